//! Heads of files that decode their boxes themselves: one tensor, a row a box.
//!
//! | family | tensor | a row |
//! |---|---|---|
//! | `yolov8` | (1, 4 + classes + more, rows) | centre x, y, width, height in input pixels, probabilities; what follows is passed over |
//! | `yolov5-rows` | (1, rows, 5 + classes) | centre x, y, width, height in input pixels, objectness, probabilities: `score` is their product |
//! | `end2end` | (1, rows, 6) | left, top, right, bottom in input pixels, score, class; chosen already |
//! | `rtdetr` | (1, rows, 6) | centre x, y, width, height in shares of the input, score, class; chosen already |
//!
//! With `head.extra` a row of `yolov8` and of `end2end` goes on: key points (x, y in input pixels, visibility), the
//! coefficients of a mask, whose prototypes are the second output, or an angle in radians, which turns the box; the box
//! is then a centre and sides in both.

use super::candidates::{Candidate, Candidates};
use super::extra;
use super::family::{Family, Head, Optional, Outputs, grid};
use super::math::corners;
use super::options::DetectOptions;
use super::prototypes::Prototypes;
use lapwing_engine::manifest::{Extra, Manifest};

/// Ultralytics' from YOLOv8 on.
pub const YOLOV8: Family =
    family("yolov8", &[Optional::Extra], |manifest, shapes| Rows::head(manifest, shapes, Kind::Probabilities));
/// YOLOv5, YOLOv7, and YOLOX decoded in its graph.
pub const YOLOV5_ROWS: Family =
    family("yolov5-rows", &[], |manifest, shapes| Rows::head(manifest, shapes, Kind::Objectness));
/// Networks with NMS, or without need of it.
pub const END2END: Family =
    family("end2end", &[Optional::Extra], |manifest, shapes| Rows::head(manifest, shapes, Kind::Corners));
/// RT-DETR.
pub const RTDETR: Family = family("rtdetr", &[], |manifest, shapes| Rows::head(manifest, shapes, Kind::Shares));

const fn family(name: &'static str, reads: &'static [Optional], head: super::MakeHead) -> Family {
    Family { name, head, is_logit: |_| false, reads }
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
    extra: Option<Extra>,
    prototypes: Option<Prototypes>,
}

impl Rows {
    fn head(manifest: &Manifest, shapes: &[Vec<usize>], kind: Kind) -> Result<Box<dyn Head>, String> {
        let classes = manifest.classes.names.len();
        let extra = manifest.head.extra;
        let more = extra.map_or(0, |extra| extra.channels());
        let (is_open, least) = match kind {
            Kind::Probabilities => (extra.is_none(), 4 + classes + more),
            Kind::Objectness => (false, 5 + classes),
            Kind::Corners | Kind::Shares => (false, 6 + more),
        };
        let expected = match kind {
            Kind::Probabilities if is_open => format!("(1, {least} or more, rows)"),
            Kind::Probabilities => format!("(1, {least}, rows)"),
            _ => format!("(1, rows, {least})"),
        };
        let prototypes = Prototypes::of(manifest, shapes)?;
        let found = match (shapes, kind) {
            ([shape, more @ ..], Kind::Probabilities) if prototypes.is_none() || more.len() == 1 => {
                shape[..].try_into().ok().map(|[one, columns, rows]: [usize; 3]| (one, rows, columns))
            }
            ([shape], _) | ([shape, _], Kind::Corners) => {
                shape[..].try_into().ok().map(|[one, rows, columns]: [usize; 3]| (one, rows, columns))
            }
            _ => None,
        };
        let cells: usize = manifest.head.strides.iter().map(|&stride| grid(manifest, stride)).map(|(w, h)| w * h).sum();
        // every cell has a row, or several
        let counted = |rows: usize| match kind {
            Kind::Probabilities => rows == cells,
            Kind::Objectness => rows > 0 && rows.is_multiple_of(cells),
            Kind::Corners | Kind::Shares => rows > 0,
        };
        let fits = |columns: usize| columns == least || is_open && columns > least;
        let found = found.filter(|&(_, rows, columns)| counted(rows) && fits(columns));
        let Some((1, rows, columns)) = found else {
            return Err(format!(
                "its outputs have shapes {shapes:?}, but head family `{}` with {classes} classes and {cells} cells needs \
                 {expected}; correct `head.family`, `head.strides` or `classes.names`",
                manifest.head.family
            ));
        };
        let input = [manifest.input.width as f32, manifest.input.height as f32];
        Ok(Box::new(Rows { kind, classes, rows, columns, input, extra, prototypes }))
    }
}

impl Head for Rows {
    fn decode<'a>(&self, outputs: Outputs<'_, 'a>, options: &DetectOptions, into: &mut Candidates) {
        let output = outputs(0).unwrap_or(&[]);
        if output.len() != self.rows * self.columns {
            return;
        }
        for row in 0..self.rows {
            let at = |column: usize| self.at(output, row, column);
            let cell = row as u32;
            let angle = match self.extra {
                Some(Extra::Angle { .. }) => at(self.extra_column()),
                _ => 0.0,
            };
            let made = Candidate { angle, cell, ..Candidate::default() };
            match self.kind {
                Kind::Probabilities => self.scored(&at, 4, 1.0, made, options, into),
                Kind::Objectness if at(4) >= options.score_min => self.scored(&at, 5, at(4), made, options, into),
                Kind::Objectness => {}
                Kind::Corners | Kind::Shares => {
                    let (score, class) = (at(4), at(5));
                    // rows that fill up are zero
                    if score > options.score_min && (0.0..self.classes as f32).contains(&class) {
                        let bounds = match self.kind {
                            Kind::Corners if matches!(self.extra, Some(Extra::Angle { .. })) => {
                                corners([at(0), at(1)], [at(2), at(3)])
                            }
                            Kind::Corners => [at(0), at(1), at(2), at(3)],
                            _ => {
                                let [width, height] = self.input;
                                corners([at(0) * width, at(1) * height], [at(2) * width, at(3) * height])
                            }
                        };
                        into.push(Candidate { class: class as u16, score, bounds, ..made });
                    }
                }
            }
        }
    }

    fn carried<'a>(&self, outputs: Outputs<'_, 'a>, cell: u32, into: &mut Vec<f32>) {
        let (row, output) = (cell as usize, outputs(0).unwrap_or(&[]));
        if output.len() != self.rows * self.columns || row >= self.rows {
            return;
        }
        let raw = |place: usize| self.at(output, row, self.extra_column() + place);
        if let Some(extra) = self.extra {
            extra::carry(extra, raw, |_, at| at, |visibility| visibility, into);
        }
    }

    fn prototypes(&self) -> Option<Prototypes> {
        self.prototypes
    }
}

impl Rows {
    fn at(&self, output: &[f32], row: usize, column: usize) -> f32 {
        match self.kind {
            Kind::Probabilities => output[column * self.rows + row],
            _ => output[row * self.columns + column],
        }
    }

    /// The first column of what a row has beside its box.
    fn extra_column(&self) -> usize {
        match self.kind {
            Kind::Probabilities => 4 + self.classes,
            _ => 6,
        }
    }

    /// The candidates of a row whose class probabilities begin at column `first`.
    fn scored(
        &self,
        at: &dyn Fn(usize) -> f32,
        first: usize,
        factor: f32,
        made: Candidate,
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
                    into.push(Candidate { class: class as u16, score, bounds, ..made });
                }
            },
        );
    }
}
