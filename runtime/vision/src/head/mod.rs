//! Decoders of raw network outputs, one file a family.
//!
//! A head is checked against the network's output shapes when it is made; decoding then cannot
//! meet a shape it does not know. Cells below the threshold are passed over before any exponential
//! is computed.
//!
//! A new family is a file with a `FAMILY`, and its line in [`FAMILIES`]: nothing else knows of it.

mod anchors;
mod candidates;
mod classes;
mod extra;
mod family;
mod fastestdet;
mod fastestv2;
mod grid;
mod ltrb;
mod maps;
mod math;
mod options;
mod prototypes;
mod rows;
#[cfg(test)]
mod tests;
mod two_outputs;
mod yolox;
mod yolox_maps;
mod yunet;

use lapwing_engine::manifest::{Fit, Manifest};

pub use anchors::{ANCHORS_YOLOV2, ANCHORS_YOLOV5};
pub use candidates::{CANDIDATES_MAX, Candidate, Candidates};
pub use family::{ByteDecoder, Family, Head, MakeHead, Optional, Outputs};
pub use fastestv2::ANCHORS as ANCHORS_FASTESTV2;
#[cfg(feature = "onnx")]
pub(crate) use math::{sigmoid, softmax};
pub use options::{DetectOptions, Labels};
pub use prototypes::Prototypes;
#[cfg(feature = "onnx")]
pub(crate) use yunet::POINTS as FACE_POINTS;

/// The output conventions that lapwing decodes.
pub const FAMILIES: &[Family] = &[
    ltrb::FAMILY,
    ltrb::DFL,
    ltrb::RTMDET,
    ltrb::RTMDET_EXP,
    yolox::FAMILY,
    yolox_maps::FAMILY,
    anchors::YOLOV5,
    anchors::YOLOV3,
    anchors::YOLOV4,
    anchors::YOLOV2,
    rows::YOLOV8,
    rows::YOLOV5_ROWS,
    rows::END2END,
    rows::RTDETR,
    two_outputs::YOLOV4_ROWS,
    two_outputs::BOXES_SCORES,
    fastestdet::FAMILY,
    fastestv2::FAMILY,
    yunet::FAMILY,
    grid::FAMILY,
    classes::FAMILY,
    classes::LOGITS,
];

/// The family that the manifest names.
///
/// # Errors
/// That there is none of that name, and which there are.
pub fn family(manifest: &Manifest) -> Result<&'static Family, String> {
    let asked = &manifest.head.family;
    FAMILIES.iter().find(|family| family.name == asked).ok_or_else(|| {
        let names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
        format!("`head.family = {asked:?}`: no such family; give one of {}", names.join(", "))
    })
}

/// Of classifiers, whose classes are those of the whole picture.
fn is_whole_picture(family: &Family) -> bool {
    [classes::FAMILY.name, classes::LOGITS.name].contains(&family.name)
}

/// Whether the manifest is that of a classifier.
pub fn is_classifier(manifest: &Manifest) -> bool {
    family(manifest).is_ok_and(is_whole_picture)
}

/// A decoder for outputs of `shapes`.
///
/// # Errors
/// What was found and what the manifest's head expects.
pub fn head(manifest: &Manifest, shapes: &[Vec<usize>]) -> Result<Box<dyn Head>, String> {
    let family = family(manifest)?;
    if let Some(extra) = manifest.head.extra {
        extra.validate()?;
    }
    family.expect_read(manifest)?;
    if manifest.input.fit == Fit::Crop && !is_whole_picture(family) {
        return Err(format!(
            "`input.fit = \"crop\"` sees the middle of a picture alone, and head family `{}` tells where things are: nobody \
             beside it would be found; use \"letterbox-centred\" or \"stretch\"",
            family.name
        ));
    }
    (family.head)(manifest, shapes)
}
