//! The manifest of a model: everything a network file does not say about itself.
//!
//! A manifest is a TOML file beside the network. It states how a picture becomes the input tensor,
//! how the raw outputs become boxes, and what the classes are called. Unknown keys are refused, so
//! that a misspelt one is found at the desk and not on the ladder.
//!
//! This file reads and validates; it never opens the network itself.

mod extra;

use serde::{Deserialize, Serialize};

pub use extra::{AngleUnit, EXTRA_MAX, Extra, PointOrigin};

/// The manifest format this build reads.
pub const MANIFEST_FORMAT: u32 = 1;
/// Largest accepted input side, in pixels.
pub const INPUT_SIDE_MAX_PX: u32 = 2048;
/// Largest accepted number of classes (an event stores the class in 16 bits, 0xFFFF means none).
pub const CLASSES_MAX: usize = 4096;

/// A model's manifest, as read from TOML.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of this file; [`MANIFEST_FORMAT`].
    pub format: u32,
    /// Short name, shown to people.
    pub name: String,
    /// Network file, relative to the manifest.
    pub file: String,
    /// SHA-256 of the network file in lower-case hex; checked when present.
    #[serde(default)]
    pub sha256: Option<String>,
    /// SPDX expression of the weights' licence.
    #[serde(default)]
    pub licence: Option<String>,
    /// Where the weights come from.
    #[serde(default)]
    pub source: Option<String>,
    /// From picture to tensor.
    pub input: InputSpec,
    /// From raw outputs to boxes.
    pub head: HeadSpec,
    /// What the class indices mean.
    pub classes: Classes,
    /// Measured facts about the model; shown, never computed with.
    #[serde(default)]
    pub card: Option<Card>,
}

/// From picture to input tensor: `x = (pixel - mean[c]) * scale[c]`, pixel in 0..=255.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Width of the input tensor, in pixels.
    pub width: u32,
    /// Height of the input tensor, in pixels.
    pub height: u32,
    /// Order of the colour planes.
    pub colour: Colour,
    /// Order of the tensor's axes.
    pub layout: AxisOrder,
    /// Subtracted from each pixel, by plane of the tensor.
    pub mean: [f32; 3],
    /// Multiplied after the subtraction, by plane of the tensor.
    pub scale: [f32; 3],
    /// How a picture of another shape is fitted.
    pub fit: Fit,
    /// Value of the pixels that a letterbox leaves free.
    #[serde(default = "pad_default")]
    pub pad: u8,
    /// The filter that brings pictures to size.
    #[serde(default, skip_serializing_if = "Resize::is_default")]
    pub resize: Resize,
}

fn pad_default() -> u8 {
    114
}

/// Order of the colour planes in the input tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Red first.
    Rgb,
    /// Blue first, as OpenCV reads pictures.
    Bgr,
}

/// Order of the axes of the input tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AxisOrder {
    /// (1, 3, height, width).
    Nchw,
    /// (1, height, width, 3).
    Nhwc,
}

/// How a picture of another shape is fitted to the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Keep the aspect ratio, put the picture at the top left, fill the rest with `pad`.
    Letterbox,
    /// Keep the aspect ratio, put the picture in the middle, fill the rest with `pad`.
    LetterboxCentred,
    /// Scale both axes on their own.
    Stretch,
    /// The part in the middle of the picture that has the input's aspect ratio, as large as the picture allows.
    Crop,
}

/// How a picture is brought to another size. A network is most accurate with the filter that it was trained with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// A triangle that spans two samples of whichever side is coarser: averages when it shrinks.
    #[default]
    Area,
    /// Between the two nearest samples of the picture, also when it shrinks (OpenCV's `INTER_LINEAR`).
    Bilinear,
}

impl Resize {
    fn is_default(&self) -> bool {
        *self == Resize::default()
    }
}

/// From raw outputs to boxes.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSpec {
    /// Which decoder reads the outputs: a name of the crate that decodes; the engine does not read it.
    pub family: String,
    /// Input pixels per grid cell, one per scale, ascending; empty where the family has no grid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strides: Vec<u32>,
    /// Detections below this score are not reported unless the user asks.
    pub score_min: f32,
    /// Two boxes of one class that overlap more than this are one object.
    pub nms_iou: f32,
    /// Tensors of the file at which decoding begins, in the order that the family reads them: the network ends there.
    /// Empty: at the file's own outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// Anchor boxes (width, height) in input pixels, a list for each stride; empty where the family has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anchors: Vec<Vec<[f32; 2]>>,
    /// How far around its cell the centre of a box may lie, in cells, one for each stride: Darknet's `scale_x_y`. Empty
    /// where the family has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub centre_scale: Vec<f32>,
    /// The network was trained to give each object one box: boxes that overlap are different objects, and a cell may
    /// hold several classes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub one_to_one: bool,
    /// What each box has beside its class and score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Extra>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Most numbers in `head.strides`.
pub const STRIDES_MAX: usize = 8;
/// Most names in `head.outputs`, and most anchors of a stride.
pub const HEAD_LIST_MAX: usize = 64;

/// What `head.centre_scale` may hold: within its cell alone, up to two cells around its middle.
pub const CENTRE_SCALES: std::ops::RangeInclusive<f32> = 1.0..=4.0;

/// What the class indices mean.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    /// Names in the order of the network.
    pub names: Vec<String>,
}

/// Measured facts about a model.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Number of weights.
    #[serde(default)]
    pub params: Option<u64>,
    /// Multiply-accumulates for one picture at the manifest's input size.
    #[serde(default)]
    pub macs: Option<u64>,
    /// What it was trained on.
    #[serde(default)]
    pub training_data: Option<String>,
    /// Measured accuracy.
    #[serde(default)]
    pub map50: Vec<MeasuredMap>,
}

/// The numbers in which a network runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit float32 values.
    #[default]
    Float,
    /// Eight-bit whole numbers.
    Int8,
}

/// One measured accuracy: AP at IoU 0.5, in percent.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredMap {
    /// Input side, in pixels.
    pub size: u32,
    /// What it was measured on.
    pub split: String,
    /// Which numbers the network ran in.
    #[serde(default)]
    pub numbers: Precision,
    /// Percent.
    pub value: f64,
}

impl Manifest {
    /// Reads and validates a manifest. The message names the field and the cure.
    pub fn parse(text: &str) -> Result<Manifest, String> {
        let manifest: Manifest = toml::from_str(text).map_err(|e| e.to_string().trim().to_owned())?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// This manifest with the fields that `text` states, which may be any part of a manifest.
    ///
    /// # Errors
    /// The field and the cure.
    pub fn overlaid(&self, text: &str) -> Result<Manifest, String> {
        let mut base = toml::Table::try_from(self).map_err(|e| e.to_string())?;
        let stated: toml::Table = toml::from_str(text).map_err(|e| e.to_string().trim().to_owned())?;
        overlay(&mut base, stated);
        let text = toml::to_string(&base).map_err(|e| e.to_string())?;
        Manifest::parse(&text)
    }

    /// True if it says what readers of artifacts before format 5 do not know.
    pub fn is_extended(&self) -> bool {
        let Manifest { input, head, .. } = self;
        let plain = matches!(input.fit, Fit::Letterbox | Fit::Stretch) && input.resize == Resize::Area;
        let lists = head.outputs.len() + head.anchors.len() + head.centre_scale.len();
        !plain || lists > 0 || head.one_to_one || head.extra.is_some()
    }

    /// The manifest as a file that [`Manifest::parse`] reads.
    ///
    /// # Errors
    /// If a value of it cannot stand in TOML.
    pub fn to_toml(&self) -> Result<String, String> {
        toml::to_string(self).map_err(|e| e.to_string())
    }

    /// What every user of a manifest takes for granted.
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.format != MANIFEST_FORMAT {
            return Err(format!(
                "`format = {}`: this build reads format {MANIFEST_FORMAT}; use a lapwing that matches the file",
                self.format
            ));
        }
        for (key, side) in [("width", self.input.width), ("height", self.input.height)] {
            if side == 0 || side > INPUT_SIDE_MAX_PX {
                return Err(format!("`input.{key} = {side}`: must lie in 1..={INPUT_SIDE_MAX_PX}"));
            }
        }
        if !self.input.mean.iter().chain(&self.input.scale).all(|v| v.is_finite()) {
            return Err("`input.mean` and `input.scale` must be finite numbers".into());
        }
        if self.classes.names.is_empty() || self.classes.names.len() > CLASSES_MAX {
            return Err(format!("`classes.names` must hold 1..={CLASSES_MAX} names"));
        }
        for (key, v) in [("score_min", self.head.score_min), ("nms_iou", self.head.nms_iou)] {
            if !(0.0..=1.0).contains(&v) {
                return Err(format!("`head.{key} = {v}`: must lie in 0..=1"));
            }
        }
        if self.head.outputs.len() > HEAD_LIST_MAX {
            return Err(format!("`head.outputs` must hold at most {HEAD_LIST_MAX} names"));
        }
        self.head.extra.as_ref().map_or(Ok(()), Extra::validate)?;
        self.validate_anchors()?;
        self.validate_strides()
    }

    fn validate_anchors(&self) -> Result<(), String> {
        let HeadSpec { anchors, strides, centre_scale, .. } = &self.head;
        let is_scale = |scale: &f32| CENTRE_SCALES.contains(scale);
        if !(centre_scale.is_empty() || centre_scale.len() == strides.len() && centre_scale.iter().all(is_scale)) {
            return Err(format!(
                "`head.centre_scale` must hold, for each of the {} strides, a number in {CENTRE_SCALES:?}, such as 1.05",
                strides.len()
            ));
        }
        let good = |list: &Vec<[f32; 2]>| {
            let sizes = list.iter().flatten();
            (1..=HEAD_LIST_MAX).contains(&list.len())
                && sizes.clone().all(|side| side.is_finite() && *side > 0.0)
                && list.len() == anchors[0].len()
        };
        if anchors.is_empty() || anchors.len() == strides.len() && anchors.iter().all(good) {
            return Ok(());
        }
        Err(format!(
            "`head.anchors` must hold, for each of the {} strides, a list of equally many [width, height] in pixels",
            strides.len()
        ))
    }

    fn validate_strides(&self) -> Result<(), String> {
        let strides = &self.head.strides;
        if strides.len() > STRIDES_MAX {
            return Err(format!("`head.strides` must hold at most {STRIDES_MAX} numbers, such as [8, 16, 32]"));
        }
        for &s in strides {
            if s == 0 || !self.input.width.is_multiple_of(s) || !self.input.height.is_multiple_of(s) {
                return Err(format!(
                    "`head.strides` holds {s}, which does not divide the input {}x{}",
                    self.input.width, self.input.height
                ));
            }
        }
        Ok(())
    }
}

/// Puts the values of `stated` in the place of those of `base`, table by table.
fn overlay(base: &mut toml::Table, stated: toml::Table) {
    for (key, value) in stated {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(more)) => overlay(inner, more),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> String {
        r#"
format = 1
name = "toy"
file = "toy.onnx"
[input]
width = 64
height = 64
colour = "rgb"
layout = "nchw"
mean = [0.0, 0.0, 0.0]
scale = [1.0, 1.0, 1.0]
fit = "letterbox"
[head]
family = "ltrb"
strides = [8, 16, 32]
score_min = 0.25
nms_iou = 0.5
[classes]
names = ["thing"]
"#
        .to_owned()
    }

    #[test]
    fn a_good_manifest_is_read() {
        let m = Manifest::parse(&good()).unwrap();
        assert_eq!(m.input.pad, 114);
        assert_eq!(m.head.family, "ltrb");
    }

    #[test]
    fn each_mistake_names_its_field() {
        for (from, to, word) in [
            ("format = 1", "format = 9", "format"),
            ("width = 64", "width = 0", "input.width"),
            ("width = 64", "width = 60", "strides"),
            ("strides = [8, 16, 32]", "strides = [8, 0]", "head.strides"),
            ("strides = [8, 16, 32]", "strides = [8, 8, 8, 8, 8, 8, 8, 8, 8]", "head.strides"),
            ("score_min = 0.25", "score_min = 25", "head.score_min"),
            ("names = [\"thing\"]", "names = []", "classes.names"),
            ("fit = ", "fitt = ", "fitt"),
            ("mean = [0.0, 0.0, 0.0]", "mean = [nan, 0.0, 0.0]", "input.mean"),
        ] {
            let error = Manifest::parse(&good().replace(from, to)).unwrap_err();
            assert!(error.contains(word), "{word}: {error}");
        }
    }

    #[test]
    fn stated_fields_replace_those_of_a_base() {
        let base = Manifest::parse(&good()).unwrap();
        let made =
            base.overlaid("name = \"yard\"\n[head]\nscore_min = 0.5\n[classes]\nnames = [\"hen\", \"fox\"]").unwrap();
        assert_eq!((made.name.as_str(), made.head.score_min), ("yard", 0.5));
        assert_eq!((made.classes.names.len(), made.input.width, made.head.nms_iou), (2, 64, 0.5));
        let error = base.overlaid("[head]\nscor_min = 0.5").unwrap_err();
        assert!(error.contains("scor_min"), "{error}");
        assert!(base.overlaid("[input]\nwidth = 0").unwrap_err().contains("input.width"));
        let again = Manifest::parse(&made.to_toml().unwrap()).unwrap();
        assert_eq!(again.classes.names, made.classes.names);
    }

    #[test]
    fn what_a_box_has_beside_its_score_is_written_and_read_again() {
        let with =
            |extra: &str| Manifest::parse(&good().replace("[classes]", &format!("[head.extra]\n{extra}\n[classes]")));
        for (text, extra, channels) in [
            ("kind = \"mask\"\ncoefficients = 32", Extra::Mask { coefficients: 32 }, 32),
            (
                "kind = \"key-points\"\ncount = 17\nvalues = 3",
                Extra::KeyPoints { count: 17, values: 3, origin: PointOrigin::Corner },
                51,
            ),
            ("kind = \"angle\"\nunit = \"radians\"", Extra::Angle { unit: AngleUnit::Radians }, 1),
        ] {
            let read = with(text).unwrap();
            assert_eq!(read.head.extra, Some(extra));
            assert_eq!((extra.channels(), read.is_extended()), (channels, true));
            assert_eq!(Manifest::parse(&read.to_toml().unwrap()).unwrap().head.extra, Some(extra));
        }
        for (wrong, word) in [
            ("kind = \"mask\"\ncoefficients = 0", "coefficients"),
            ("kind = \"key-points\"\ncount = 999\nvalues = 3", "count"),
            ("kind = \"key-points\"\ncount = 17\nvalues = 4", "values"),
            ("kind = \"cloud\"", "cloud"),
        ] {
            assert!(with(wrong).unwrap_err().contains(word), "{wrong}");
        }
    }

    #[test]
    fn anchors_are_a_list_for_each_stride() {
        let with =
            |anchors: &str| Manifest::parse(&good().replace("score_min", &format!("anchors = {anchors}\nscore_min")));
        assert!(with("[[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]]]").is_ok());
        for wrong in
            ["[[[1.0, 2.0]]]", "[[[1.0, 2.0]], [[3.0, 4.0]], []]", "[[[1.0, 0.0]], [[3.0, 4.0]], [[5.0, 6.0]]]"]
        {
            assert!(with(wrong).unwrap_err().contains("head.anchors"), "{wrong}");
        }
    }
}
