//! Any bytes as annotated boxes, and as an export without a manifest. For tests and `cargo xtask fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a promise that is broken is a panic")]

use std::path::Path;

use crate::eval::coco::Annotations;

/// A format's name and what its bytes are given to.
pub type Target = (&'static str, fn(&[u8]));

/// Every format.
#[cfg(not(feature = "onnx"))]
pub const TARGETS: [Target; 1] = [("annotations", annotations)];
/// Every format.
#[cfg(feature = "onnx")]
pub const TARGETS: [Target; 2] = [("annotations", annotations), ("export", export)];

/// An export: it is recognised with a whole manifest, or refused on one line.
#[cfg(feature = "onnx")]
fn export(bytes: &[u8]) {
    match crate::recognise::recognise(bytes, "hostile.onnx", "") {
        Ok(found) => {
            let text = found.manifest.to_toml().unwrap();
            lapwing_engine::Manifest::parse(&text).unwrap();
            assert!(!found.why.is_empty());
        }
        Err(what) => assert!(!what.is_empty() && !what.contains('\n'), "{what:?}"),
    }
}

/// Annotated boxes; every refusal names the file.
fn annotations(bytes: &[u8]) {
    match Annotations::parse(bytes, Path::new("hostile")) {
        Ok(read) => (0..read.listing.len().min(100)).for_each(|picture| {
            assert_eq!(read.listing.find(read.listing.path(picture)), Ok(Some(picture)));
            assert!(read.truths(picture).iter().all(|truth| truth.category < read.categories.len()));
        }),
        Err(error) => assert!(error.to_string().contains("hostile"), "{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_bytes_are_taken() {
        let good = br#"{"images":[{"id":1,"file_name":"a.jpg","width":9,"height":9}],"categories":[{"id":7,
            "name":"cat"}],"annotations":[{"id":3,"image_id":1,"category_id":7,"bbox":[1,2,3,4],"iscrowd":0}]}"#;
        let mut seeds = vec![("annotations", vec![good.to_vec()])];
        if cfg!(feature = "onnx") {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/exports");
            let file = |name: &str| std::fs::read(folder.join(name)).unwrap();
            seeds.push(("export", ["dfl.onnx", "end2end.onnx", "anchors-raw.onnx", "yolox.onnx"].map(file).to_vec()));
        }
        lapwing_seeds::take(&TARGETS, &seeds);
    }
}
