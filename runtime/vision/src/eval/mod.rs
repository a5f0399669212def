//! Accuracy of a detector on annotated pictures.
//!
//! | file | noun |
//! |---|---|
//! | [`coco`] | annotations |
//! | `shape` | where an object is, more closely than its box |
//! | [`listing`] | a picture among those that are annotated |
//! | `ap` | average precision at one IoU of one group of boxes |
//! | `group` | boxes by their size |
//! | `evaluation` | all of it, at COCO's IoUs, by group; calibration |
//! | `confusion` | which category is taken for which |
//!
//! Difficult and crowd boxes count neither for nor against.

mod ap;
pub mod coco;
mod confusion;
mod evaluation;
mod group;
pub mod listing;
mod shape;

pub use ap::{Claim, Found, average_precision};
pub use confusion::{Confusion, Mistakes};
pub use evaluation::{Bin, Evaluation};
pub use group::Group;
pub use shape::{Ring, Shape};

use std::collections::HashMap;

/// Names that COCO and PASCAL VOC give to the same thing, in VOC's spelling.
const SYNONYMS: &[(&str, &str)] =
    &[("airplane", "aeroplane"), ("motorcycle", "motorbike"), ("couch", "sofa"), ("tv", "tvmonitor")];

/// A class name without case, spaces and dashes, in VOC's spelling where COCO has another.
pub fn canonical_class(name: &str) -> String {
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    SYNONYMS.iter().find(|(coco, _)| *coco == plain).map_or(plain, |(_, voc)| (*voc).to_owned())
}

/// For each class of the model, its category in the annotations, if it has one.
pub fn match_classes(model: &[String], categories: &[String]) -> Vec<Option<usize>> {
    let by_name: HashMap<String, usize> =
        categories.iter().enumerate().map(|(index, name)| (canonical_class(name), index)).collect();
    model.iter().map(|name| by_name.get(&canonical_class(name)).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coco_and_voc_meet() {
        let model = ["potted plant", "TV", "airplane", "zebra"].map(str::to_owned);
        let categories = ["aeroplane", "pottedplant", "tvmonitor"].map(str::to_owned);
        assert_eq!(match_classes(&model, &categories), [Some(1), Some(2), Some(0), None]);
    }
}
