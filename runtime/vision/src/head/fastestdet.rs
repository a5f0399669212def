//! The head of FastestDet: one tensor (1, 5 + classes, h, w) on a single grid.
//!
//! Planes: objectness (probability), dx, dy, width, height (raw), class probabilities. The centre
//! is `cell + tanh(d)`, the size `sigmoid(raw)` of the whole picture, and
//! `score = objectness^0.6 * class^0.4` (FastestDet, dog-qiuqiu, BSD-3-Clause).

use super::candidates::{Candidate, Candidates};
use super::family::{Family, Head, Outputs, expect_shapes, grid};
use super::math::{corners, sigmoid};
use super::options::DetectOptions;
use lapwing_engine::manifest::Manifest;

/// One output, whose scores are probabilities.
pub const FAMILY: Family = Family {
    name: "fastestdet",
    head: |manifest, shapes| Ok(Box::new(FastestDet::new(manifest, shapes)?)),
    is_logit: |_| false,
    reads: &[],
};

/// Decoder of the `fastestdet` family.
#[derive(Debug, Clone)]
pub struct FastestDet {
    classes: usize,
    width: usize,
    height: usize,
    /// Input size in pixels.
    input: [f32; 2],
    /// Pixels of the input per cell.
    stride: f32,
}

impl FastestDet {
    /// Checks the output shape (1, 5 + classes, h, w) for the manifest's only stride.
    pub fn new(manifest: &Manifest, shapes: &[Vec<usize>]) -> Result<FastestDet, String> {
        let [stride] = manifest.head.strides[..] else {
            return Err("head family `fastestdet` has one scale: give `head.strides` one number".into());
        };
        let (width, height) = grid(manifest, stride);
        let classes = manifest.classes.names.len();
        expect_shapes(shapes, &[vec![1, 5 + classes, height, width]], "fastestdet")?;
        let input = [manifest.input.width as f32, manifest.input.height as f32];
        Ok(FastestDet { classes, width, height, input, stride: stride as f32 })
    }

    fn bounds(&self, at: impl Fn(usize) -> f32, cell: usize) -> [f32; 4] {
        let x = ((cell % self.width) as f32 + at(1).tanh()) * self.stride;
        let y = ((cell / self.width) as f32 + at(2).tanh()) * self.stride;
        corners([x, y], [sigmoid(at(3)) * self.input[0], sigmoid(at(4)) * self.input[1]])
    }
}

impl Head for FastestDet {
    fn decode<'a>(&self, outputs: Outputs<'_, 'a>, options: &DetectOptions, into: &mut Candidates) {
        let output = outputs(0).unwrap_or(&[]);
        let cells = self.width * self.height;
        if output.len() != (5 + self.classes) * cells {
            return;
        }
        for cell in 0..cells {
            let at = |plane: usize| output[plane * cells + cell];
            let objectness = at(0).max(0.0).powf(0.6);
            if objectness < options.score_min {
                continue; // a class score never exceeds 1
            }
            options.labels.choose(
                self.classes,
                |class| at(5 + class),
                |class, probability| {
                    let score = objectness * probability.max(0.0).powf(0.4);
                    if score > options.score_min {
                        into.push(Candidate {
                            class: class as u16,
                            score,
                            bounds: self.bounds(at, cell),
                            ..Candidate::default()
                        });
                    }
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_becomes_a_box() {
        let head = FastestDet { classes: 2, width: 2, height: 2, input: [32.0, 32.0], stride: 16.0 };
        let mut output = [0.0; 7 * 4];
        output[3] = 1.0; // objectness of cell (1, 1)
        output[6 * 4 + 3] = 1.0; // class 1
        let mut found = Candidates::default();
        head.decode(&|_| Some(&output[..]), &DetectOptions { score_min: 0.5, ..DetectOptions::default() }, &mut found);
        assert_eq!(
            found.sorted(),
            [Candidate { class: 1, score: 1.0, bounds: [8.0, 8.0, 24.0, 24.0], ..Candidate::default() }]
        );
    }
}
