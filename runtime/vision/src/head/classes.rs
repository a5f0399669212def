//! Classifiers: one score for each class of the whole picture, (1, classes).
//!
//! | family | values |
//! |---|---|
//! | `classes` | probabilities |
//! | `class-logits` | logits; the probabilities are their softmax |
//!
//! Each class above the threshold is a box around the whole picture.

use super::candidates::{Candidate, Candidates};
use super::family::{Family, Head, Outputs};
use super::math::softmax;
use super::options::DetectOptions;
use lapwing_engine::manifest::Manifest;

/// Files that end in probabilities.
pub const FAMILY: Family = Family {
    name: "classes",
    head: |manifest, shapes| Whole::head(manifest, shapes, false),
    is_logit: |_| false,
    reads: &[],
};
/// Files that end in logits. Their softmax goes over all classes, so that no value decides alone.
pub const LOGITS: Family = Family {
    name: "class-logits",
    head: |manifest, shapes| Whole::head(manifest, shapes, true),
    is_logit: |_| false,
    reads: &[],
};

/// Reaches beyond every picture; what is told of it is clipped to the picture.
const EVERYWHERE: [f32; 4] = [-1e9, -1e9, 1e9, 1e9];

#[derive(Debug, Clone)]
struct Whole {
    classes: usize,
    are_logits: bool,
}

impl Whole {
    fn head(manifest: &Manifest, shapes: &[Vec<usize>], are_logits: bool) -> Result<Box<dyn Head>, String> {
        let classes = manifest.classes.names.len();
        let fits = matches!(shapes, [shape] if shape.iter().product::<usize>() == classes);
        if !fits {
            return Err(format!(
                "its outputs have shapes {shapes:?}, but head family `{}` with {classes} classes needs (1, {classes}); \
                 correct `head.family` or `classes.names`",
                manifest.head.family
            ));
        }
        Ok(Box::new(Whole { classes, are_logits }))
    }
}

impl Head for Whole {
    fn decode<'a>(&self, outputs: Outputs<'_, 'a>, options: &DetectOptions, into: &mut Candidates) {
        let values = outputs(0).unwrap_or(&[]);
        if values.len() != self.classes {
            return;
        }
        let share = softmax(values.iter().copied());
        let score = |value: f32| if self.are_logits { share(value) } else { value };
        for (class, score) in values.iter().map(|&value| score(value)).enumerate() {
            // of a score that is no number nobody knows what it is: it is refused there
            if score > options.score_min || score.is_nan() {
                into.push(Candidate { class: class as u16, score, bounds: EVERYWHERE, ..Candidate::default() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(values: &[f32], are_logits: bool, score_min: f32) -> Vec<(u16, f32)> {
        let head = Whole { classes: values.len(), are_logits };
        let mut found = Candidates::default();
        let options = DetectOptions { score_min, ..DetectOptions::default() };
        head.decode(&|index| (index == 0).then_some(values), &options, &mut found);
        found.sorted().iter().map(|candidate| (candidate.class, candidate.score)).collect()
    }

    #[test]
    fn the_classes_above_the_threshold_are_told_best_first() {
        let values = [0.02, 0.3, 0.1, 0.05, 0.2, 0.11, 0.22];
        assert_eq!(
            decoded(&values, false, 0.01),
            [(1, 0.3), (6, 0.22), (4, 0.2), (5, 0.11), (2, 0.1), (3, 0.05), (0, 0.02)]
        );
        assert_eq!(decoded(&values, false, 0.21), [(1, 0.3), (6, 0.22)]);
    }

    #[test]
    fn logits_become_probabilities_of_all_classes() {
        let found = decoded(&[1.0, 1.0 + 2f32.ln(), 1.0], true, 0.1);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].0, 1);
        for ((_, score), expected) in found.iter().zip([0.5, 0.25, 0.25]) {
            assert!((score - expected).abs() < 1e-6);
        }
        // however large they are
        assert_eq!(decoded(&[900.0, -900.0], true, 0.1), [(0, 1.0)]);
    }

    #[test]
    fn a_score_that_is_no_number_is_not_passed_over() {
        let head = Whole { classes: 2, are_logits: true };
        let mut found = Candidates::default();
        head.decode(&|_| Some(&[f32::NAN, 1.0]), &DetectOptions::default(), &mut found);
        assert!(found.refused() > 0);
    }
}
