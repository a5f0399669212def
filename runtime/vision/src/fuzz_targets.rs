//! Any bytes as annotated boxes. For tests and `cargo xtask fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a promise that is broken is a panic")]

use std::path::Path;

use crate::eval::coco::Annotations;

/// A format's name and what its bytes are given to.
pub type Target = (&'static str, fn(&[u8]));

/// Every format.
pub const TARGETS: [Target; 1] = [("annotations", annotations)];

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
        lapwing_seeds::take(&TARGETS, &[("annotations", vec![good.to_vec()])]);
    }
}
