//! Heads of files that decode their boxes themselves: one tensor, a row a box.
//!
//! | family | tensor | a row |
//! |---|---|---|
//! | `yolov8` | (1, 4 + classes + more, rows) | centre x, y, width, height in input pixels, probabilities; what follows is passed over |
//! | `yolov5-rows` | (1, rows, 5 + classes) | centre x, y, width, height in input pixels, objectness, probabilities: `score` is their product |
//! | `end2end` | (1, rows, 6) | left, top, right, bottom in input pixels, score, class; chosen already |
//! | `rtdetr` | (1, rows, 6) | centre x, y, width, height in shares of the input, score, class; chosen already |

use super::candidates::{Candidate, Candidates};
use super::family::{Family, Head, Outputs, grid};
use super::math::corners;
use super::options::DetectOptions;
use lapwing_engine::manifest::Manifest;

/// Ultralytics' from YOLOv8 on.
pub const YOLOV8: Family = family("yolov8", |manifest, shapes| Rows::head(manifest, shapes, Kind::Probabilities));
/// YOLOv5, YOLOv7, and YOLOX decoded in its graph.
pub const YOLOV5_ROWS: Family =
    family("yolov5-rows", |manifest, shapes| Rows::head(manifest, shapes, Kind::Objectness));
/// Networks with NMS, or without need of it.
pub const END2END: Family = family("end2end", |manifest, shapes| Rows::head(manifest, shapes, Kind::Corners));
/// RT-DETR.
pub const RTDETR: Family = family("rtdetr", |manifest, shapes| Rows::head(manifest, shapes, Kind::Shares));

const fn family(name: &'static str, head: super::MakeHead) -> Family {
    Family { name, head, is_logit: |_| false }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Probabilities,
    Objectness,
    Corners,
    Shares,
}

#[derive(Debug, Clone)]
struct Rows {
    kind: Kind,
    classes: usize,
    rows: usize,
    columns: usize,
    /// Input size in pixels.
    input: [f32; 2],
}

impl Rows {
    fn head(manifest: &Manifest, shapes: &[Vec<usize>], kind: Kind) -> Result<Box<dyn Head>, String> {
        let classes = manifest.classes.names.len();
        let (fits, expected): (fn(usize, usize) -> bool, String) = match kind {
            Kind::Probabilities => {
                (|columns, classes| columns >= 4 + classes, format!("(1, {} or more, rows)", 4 + classes))
            }
            Kind::Objectness => (|columns, classes| columns == 5 + classes, format!("(1, rows, {})", 5 + classes)),
            Kind::Corners | Kind::Shares => (|columns, _| columns == 6, "(1, rows, 6)".into()),
        };
        let found = match (shapes, kind) {
            ([shape, ..], Kind::Probabilities) => {
                shape[..].try_into().ok().map(|[one, columns, rows]: [usize; 3]| (one, rows, columns))
            }
            ([shape], _) => shape[..].try_into().ok().map(|[one, rows, columns]: [usize; 3]| (one, rows, columns)),
            _ => None,
        };
        let cells: usize = manifest.head.strides.iter().map(|&stride| grid(manifest, stride)).map(|(w, h)| w * h).sum();
        // every cell has a row, or several
        let counted = |rows: usize| match kind {
            Kind::Probabilities => rows == cells,
            Kind::Objectness => rows > 0 && rows.is_multiple_of(cells),
            Kind::Corners | Kind::Shares => rows > 0,
        };
        let found = found.filter(|&(_, rows, columns)| counted(rows) && fits(columns, classes));
        let Some((1, rows, columns)) = found else {
            return Err(format!(
                "its outputs have shapes {shapes:?}, but head family `{}` with {classes} classes and {cells} cells needs \
                 {expected}; correct `head.family`, `head.strides` or `classes.names`",
                manifest.head.family
            ));
        };
        let input = [manifest.input.width as f32, manifest.input.height as f32];
        Ok(Box::new(Rows { kind, classes, rows, columns, input }))
    }
}

impl Head for Rows {
    fn decode<'a>(&self, outputs: Outputs<'_, 'a>, options: &DetectOptions, into: &mut Candidates) {
        let output = outputs(0).unwrap_or(&[]);
        if output.len() != self.rows * self.columns {
            return;
        }
        for row in 0..self.rows {
            let at = |column: usize| match self.kind {
                Kind::Probabilities => output[column * self.rows + row],
                _ => output[row * self.columns + column],
            };
            match self.kind {
                Kind::Probabilities => self.scored(&at, 4, 1.0, options, into),
                Kind::Objectness if at(4) >= options.score_min => self.scored(&at, 5, at(4), options, into),
                Kind::Objectness => {}
                Kind::Corners | Kind::Shares => {
                    let (score, class) = (at(4), at(5));
                    // rows that fill up are zero
                    if score > options.score_min && (0.0..self.classes as f32).contains(&class) {
                        let bounds = match self.kind {
                            Kind::Corners => [at(0), at(1), at(2), at(3)],
                            _ => {
                                let [width, height] = self.input;
                                corners([at(0) * width, at(1) * height], [at(2) * width, at(3) * height])
                            }
                        };
                        into.push(Candidate { class: class as u16, score, bounds });
                    }
                }
            }
        }
    }
}

impl Rows {
    /// The candidates of a row whose class probabilities begin at column `first`.
    fn scored(
        &self,
        at: &dyn Fn(usize) -> f32,
        first: usize,
        factor: f32,
        options: &DetectOptions,
        into: &mut Candidates,
    ) {
        options.labels.choose(
            self.classes,
            |class| at(first + class),
            |class, probability| {
                let score = factor * probability;
                if score > options.score_min {
                    let bounds = corners([at(0), at(1)], [at(2), at(3)]);
                    into.push(Candidate { class: class as u16, score, bounds });
                }
            },
        );
    }
}
