//! Heads of files that decode their boxes themselves and give them as two outputs.
//!
//! | family | first output | second output |
//! |---|---|---|
//! | `yolov4-rows` | (1, rows, 1, 4) or (1, rows, 4): left, top, right, bottom in shares of the input | (1, rows, classes): probabilities |
//! | `boxes-scores` | (1, rows, 4): left, top, right, bottom in input pixels | (1, classes, rows) or (1, rows, classes): probabilities |
//!
//! The first is pytorch-YOLOv4's; the second is what a non-maximum suppression in the file reads, such as MMDeploy puts
//! there, and what YOLO-NAS gives without one.

use super::candidates::{Candidate, Candidates};
use super::family::{Family, Head, Outputs};
use super::options::DetectOptions;
use lapwing_engine::manifest::Manifest;

/// Of YOLOv4, before suppression.
pub const YOLOV4_ROWS: Family = Family {
    name: "yolov4-rows",
    head: |manifest, shapes| TwoOutputs::head(manifest, shapes, Kind::Shares),
    is_logit: |_| false,
    reads: &[],
};

/// Of MMDetection's networks, before suppression.
pub const BOXES_SCORES: Family = Family {
    name: "boxes-scores",
    head: |manifest, shapes| TwoOutputs::head(manifest, shapes, Kind::Pixels),
    is_logit: |_| false,
    reads: &[],
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Shares,
    Pixels,
}

#[derive(Debug, Clone)]
struct TwoOutputs {
    /// Scores lie row by row, else class by class.
    by_row: bool,
    classes: usize,
    rows: usize,
    /// Input pixels for each unit of its sides.
    unit: [f32; 2],
}

impl TwoOutputs {
    fn head(manifest: &Manifest, shapes: &[Vec<usize>], kind: Kind) -> Result<Box<dyn Head>, String> {
        let classes = manifest.classes.names.len();
        let rows = match (kind, shapes) {
            (Kind::Shares, [boxes, scores]) => match (&boxes[..], &scores[..]) {
                (&[1, rows, 1, 4] | &[1, rows, 4], &[1, scored, of]) if (rows, classes) == (scored, of) => Some(rows),
                _ => None,
            },
            (Kind::Pixels, [boxes, scores]) => match (&boxes[..], &scores[..]) {
                (&[1, rows, 4], &[1, a, b]) if [(classes, rows), (rows, classes)].contains(&(a, b)) => Some(rows),
                _ => None,
            },
            _ => None,
        };
        let Some(rows) = rows else {
            let expected = match kind {
                Kind::Shares => format!("(1, rows, 1, 4) and (1, rows, {classes})"),
                Kind::Pixels => format!("(1, rows, 4) and (1, {classes}, rows) or (1, rows, {classes})"),
            };
            return Err(format!(
                "its outputs have shapes {shapes:?}, but head family `{}` with {classes} classes needs {expected}; correct \
                 `head.family` or `classes.names`",
                manifest.head.family
            ));
        };
        let unit = match kind {
            Kind::Shares => [manifest.input.width as f32, manifest.input.height as f32],
            Kind::Pixels => [1.0; 2],
        };
        let by_row =
            shapes.get(1).is_some_and(|scores| scores.get(1) == Some(&rows) && scores.get(2) == Some(&classes));
        Ok(Box::new(TwoOutputs { by_row, classes, rows, unit }))
    }
}

impl Head for TwoOutputs {
    fn decode<'a>(&self, outputs: Outputs<'_, 'a>, options: &DetectOptions, into: &mut Candidates) {
        let (Some(boxes), Some(scores)) = (outputs(0), outputs(1)) else { return };
        if [boxes.len(), scores.len()] != [4 * self.rows, self.classes * self.rows] {
            return;
        }
        let [width, height] = self.unit;
        for (row, sides) in boxes.chunks_exact(4).enumerate() {
            let &[left, top, right, bottom] = sides else { continue };
            let bounds = [left * width, top * height, right * width, bottom * height];
            let score = |class: usize| match self.by_row {
                true => scores[row * self.classes + class],
                false => scores[class * self.rows + row],
            };
            options.labels.choose(self.classes, score, |class, score| {
                if score > options.score_min {
                    let cell = row as u32;
                    into.push(Candidate { class: class as u16, score, bounds, cell, ..Candidate::default() });
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::manifest;
    use super::*;

    #[test]
    fn two_outputs_become_boxes() {
        // the input of the test's manifest is 48 x 32
        let boxes = [8.0 / 48.0, 8.0 / 32.0, 16.0 / 48.0, 12.0 / 32.0, 0.0, 0.0, 0.0, 0.0];
        type Case<'a> = (&'a str, Vec<usize>, &'a [f32], Vec<usize>, &'a [f32]);
        let cases: [Case<'_>; 4] = [
            ("yolov4-rows", vec![1, 2, 1, 4], &boxes, vec![1, 2, 3], &[0.1, 0.75, 0.2, 0.1, 0.1, 0.1]),
            ("yolov4-rows", vec![1, 2, 4], &boxes, vec![1, 2, 3], &[0.1, 0.75, 0.2, 0.1, 0.1, 0.1]),
            (
                "boxes-scores",
                vec![1, 2, 4],
                &[8.0, 8.0, 16.0, 12.0, 0.0, 0.0, 0.0, 0.0],
                vec![1, 2, 3],
                &[0.1, 0.75, 0.2, 0.1, 0.1, 0.1],
            ),
            (
                "boxes-scores",
                vec![1, 2, 4],
                &[8.0, 8.0, 16.0, 12.0, 0.0, 0.0, 0.0, 0.0],
                vec![1, 3, 2],
                &[0.1, 0.1, 0.75, 0.1, 0.2, 0.1],
            ),
        ];
        for (family, first, boxes, second, values) in cases {
            let manifest = manifest(family);
            assert_eq!((manifest.input.width, manifest.input.height), (48, 32));
            let head = super::super::head(&manifest, &[first.clone(), second]).unwrap();
            let mut found = Candidates::default();
            let options = DetectOptions { score_min: 0.3, ..DetectOptions::default() };
            head.decode(&|index| Some(if index == 0 { boxes } else { values }), &options, &mut found);
            let expected = Candidate { class: 1, score: 0.75, bounds: [8.0, 8.0, 16.0, 12.0], ..Candidate::default() };
            assert_eq!(found.sorted(), [expected], "{family}");
            let error = super::super::head(&manifest, &[first]).unwrap_err();
            assert!(error.contains(family) && error.contains("head.family"), "{error}");
        }
    }
}
