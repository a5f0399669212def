//! The head of YOLOX: one tensor (1, cells, 5 + classes).
//!
//! Cells of all strides follow each other, row by row. A row holds centre offset x, y (raw),
//! log-width, log-height (raw), objectness and class scores (after sigmoid):
//! `centre = (raw + cell) * stride`, `size = exp(raw) * stride`, `score = objectness * class`
//! (Ge et al., "YOLOX: Exceeding YOLO Series in 2021", arXiv:2107.08430).

use super::{expect_shapes, grid};
use crate::detect::{Candidate, Candidates, DetectOptions, Labels};
use crate::engine::manifest::Manifest;

/// Decoder of the `yolox` family.
#[derive(Debug)]
pub struct Yolox {
    row: usize,
    /// (x, y, stride) of each row of the output.
    cells: Vec<[f32; 3]>,
}

impl Yolox {
    /// Checks the output shape (1, cells of all strides, 5 + classes).
    pub fn new(manifest: &Manifest, shapes: &[Vec<usize>]) -> Result<Yolox, String> {
        let mut cells = Vec::new();
        for &stride in &manifest.head.strides {
            let (width, height) = grid(manifest, stride);
            cells.extend((0..height).flat_map(|y| (0..width).map(move |x| [x as f32, y as f32, stride as f32])));
        }
        let row = 5 + manifest.classes.names.len();
        expect_shapes(shapes, &[vec![1, cells.len(), row]], "yolox")?;
        Ok(Yolox { row, cells })
    }

    /// `output` is the flat tensor.
    pub fn decode(&self, output: &[f32], options: &DetectOptions, into: &mut Candidates) {
        for (values, cell) in output.chunks_exact(self.row).zip(&self.cells) {
            let (objectness, classes) = (values[4], &values[5..]);
            if objectness < options.score_min {
                continue; // a class score never exceeds 1
            }
            let candidate = |class: usize| Candidate {
                class: class as u16,
                score: objectness * classes[class],
                bounds: bounds(values, cell),
            };
            match options.labels {
                Labels::All => (0..classes.len())
                    .filter(|&class| objectness * classes[class] > options.score_min)
                    .for_each(|class| into.push(candidate(class))),
                Labels::Best => {
                    let best = super::argmax(classes);
                    if objectness * classes[best] > options.score_min {
                        into.push(candidate(best));
                    }
                }
            }
        }
    }
}

fn bounds(values: &[f32], &[x, y, stride]: &[f32; 3]) -> [f32; 4] {
    let centre = [(values[0] + x) * stride, (values[1] + y) * stride];
    let half = [values[2].exp() * stride / 2.0, values[3].exp() * stride / 2.0];
    [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_becomes_a_box() {
        let head = Yolox { row: 7, cells: vec![[1.0, 2.0, 8.0]] };
        let values = [0.5, 0.0, 0.0, (2.0f32).ln(), 0.9, 0.1, 0.5];
        let mut found = Candidates::default();
        head.decode(&values, &DetectOptions { score_min: 0.2, ..DetectOptions::default() }, &mut found);
        let found = found.sorted();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].class, found[0].score), (1, 0.45));
        assert_eq!(found[0].bounds, [8.0, 8.0, 16.0, 24.0]);
    }
}
