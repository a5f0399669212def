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

impl Labels {
    /// Calls `each` with the classes of a cell that are asked for, and their values: the one with the greatest `value`
    /// (the first of several), or all of `classes`. Whether they are above the threshold is not looked at.
    pub(super) fn choose(self, classes: usize, value: impl Fn(usize) -> f32, mut each: impl FnMut(usize, f32)) {
        let all = (0..classes).map(|class| (class, value(class)));
        match self {
            Labels::All => all.for_each(|(class, value)| each(class, value)),
            Labels::Best => {
                let first = (0, f32::NEG_INFINITY);
                let (class, value) = all.fold(first, |best, it| if it.1 > best.1 { it } else { best });
                each(class, value);
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_first_of_the_greatest_and_no_nan() {
        let chosen = |labels: Labels, values: &[f32]| {
            let mut chosen = Vec::new();
            labels.choose(values.len(), |class| values[class], |class, value| chosen.push((class, value)));
            chosen
        };
        assert_eq!(chosen(Labels::Best, &[f32::NAN, 1.0, 3.0, 3.0]), [(2, 3.0)]);
        assert_eq!(chosen(Labels::All, &[2.0, -1.0]), [(0, 2.0), (1, -1.0)]);
    }
}
