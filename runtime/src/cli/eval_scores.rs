//! What an evaluation found.

use std::collections::BTreeMap;

use lapwing_vision::eval::Evaluation;

/// What an evaluation found, in percent.
#[derive(serde::Serialize)]
pub struct Scores {
    /// The mean over classes.
    pub map50: f64,
    /// The mean over classes and IoUs from 0.5 to 0.95.
    pub map50_95: f64,
    /// Pictures that were scored.
    pub images: usize,
    /// AP by class.
    pub per_class: BTreeMap<String, f64>,
    /// Share of each class that is found at one false box a picture.
    pub recall: BTreeMap<String, f64>,
    /// By size, and those cut by the picture's edge.
    pub parts: BTreeMap<&'static str, Part>,
    /// By tenths of the score that have any.
    pub calibration: Vec<Tenth>,
    /// The same of masks or turned boxes, where the model gives them and the annotations have shapes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shapes: Option<ShapeScores>,
    /// Time of a picture, input and decoding included.
    pub ms_median: f64,
    /// Pictures that could not be used.
    #[serde(skip)]
    pub failures: u64,
}

/// What an evaluation found by shapes, in percent.
#[derive(serde::Serialize)]
pub struct ShapeScores {
    /// Of what.
    pub of: &'static str,
    /// The mean over classes.
    pub map50: f64,
    /// The mean over classes and IoUs from 0.5 to 0.95.
    pub map50_95: f64,
}

/// Boxes of one size.
#[derive(serde::Serialize)]
pub struct Part {
    /// How many are annotated.
    pub boxes: usize,
    /// The mean over classes that have any; `None` if none has.
    pub map50: Option<f64>,
    /// The mean over these classes of the share that is found at one false box a picture.
    pub recall: Option<f64>,
    /// By class, that share.
    pub recall_of: BTreeMap<String, f64>,
}

/// Detections whose scores lie in one tenth.
#[derive(serde::Serialize)]
pub struct Tenth {
    /// How many.
    pub detections: usize,
    /// Their mean score.
    pub score: f64,
    /// How many of them are right.
    pub right: f64,
}

/// Scores, and what they are made of.
pub struct Scored {
    /// The numbers.
    pub scores: Scores,
    /// Every detection.
    pub evaluation: Evaluation,
    /// Names of the categories, and whether the model knows them.
    pub categories: Vec<(String, bool)>,
}
