//! How detections are chosen from candidates.

use lapwing_engine::Manifest;

/// How detections are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectOptions {
    /// Lowest score that is reported, in 0..=1.
    pub score_min: f32,
    /// Two boxes of one class that overlap more are one object.
    pub nms_iou: f32,
    /// One class a cell, or every class above the threshold.
    pub labels: Labels,
}

/// Which classes of a cell become candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// The best one: what people expect to see.
    Best,
    /// All above the threshold: what average precision is measured with.
    All,
}

impl Default for DetectOptions {
    fn default() -> Self {
        DetectOptions { score_min: 0.25, nms_iou: 0.55, labels: Labels::Best }
    }
}

impl DetectOptions {
    /// The operating point that the model's manifest states.
    pub fn of(manifest: &Manifest) -> DetectOptions {
        let labels = if manifest.head.one_to_one { Labels::All } else { Labels::Best };
        DetectOptions { score_min: manifest.head.score_min, nms_iou: nms_iou(manifest), labels }
    }

    /// The protocol for average precision: all labels, a threshold low enough for the whole curve.
    pub fn for_evaluation(manifest: &Manifest) -> DetectOptions {
        DetectOptions { score_min: 0.005, nms_iou: nms_iou(manifest), labels: Labels::All }
    }
}

/// Boxes of a network that gives one for each object are never the same object.
fn nms_iou(manifest: &Manifest) -> f32 {
    if manifest.head.one_to_one { 1.0 } else { manifest.head.nms_iou }
}
