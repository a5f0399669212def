//! The head of YOLOX: one tensor (1, cells, 5 + classes).
//!
//! Cells of all strides follow each other, row by row. A row holds centre offset x, y (raw),
//! log-width, log-height (raw), objectness and class scores (after sigmoid):
//! `centre = (raw + cell) * stride`, `size = exp(raw) * stride`, `score = objectness * class`
//! (Ge et al., "YOLOX: Exceeding YOLO Series in 2021", arXiv:2107.08430).

use super::candidates::{Candidate, Candidates};
use super::family::{ByteDecoder, Family, Head, Outputs, expect_shapes, grid};
use super::math::corners;
use super::options::DetectOptions;
use lapwing_engine::ir::{Shape, Signature, TensorId};
use lapwing_engine::manifest::Manifest;
use lapwing_engine::plan::Plan;

/// One output, whose scores are probabilities.
pub const FAMILY: Family = Family {
    name: "yolox",
    head: |manifest, shapes| Ok(Box::new(Yolox::new(manifest, shapes)?)),
    is_logit: |_| false,
    reads: &[],
};

/// Decoder of the `yolox` family.
#[derive(Debug, Clone)]
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

    /// How the tensors of `network` lie in the output, if each row of it is put together from pixels.
    fn reads(&self, network: &Signature) -> Option<Rows> {
        let [output] = network.outputs.as_slice() else { return None };
        let mut parts = Vec::new();
        for part in &output.parts {
            let shape = network.tensor(part.tensor).shape;
            let (first, channel) = (part.base / self.row, part.base % self.row);
            let strides = [shape.width * self.row, self.row, 1];
            if part.strides != strides || channel + shape.channels > self.row {
                return None;
            }
            parts.push(RowPart { tensor: part.tensor, first, channel, shape });
        }
        // the objectness of every cell is there; what else is not is zero in the output as well
        let objects = parts.iter().filter(|p| p.has(4)).map(|p| p.shape.height * p.shape.width);
        let whole = objects.sum::<usize>() == self.cells.len()
            && output.shape.iter().product::<usize>() == self.row * self.cells.len();
        whole.then(|| Rows { parts, values: vec![0.0; self.row], cells: self.cells.clone() })
    }
}

impl Head for Yolox {
    fn decode<'a>(&self, outputs: Outputs<'_, 'a>, options: &DetectOptions, into: &mut Candidates) {
        let output = outputs(0).unwrap_or(&[]);
        for (values, cell) in output.chunks_exact(self.row).zip(&self.cells) {
            // a class score never exceeds 1
            if values[4] >= options.score_min {
                row(values, cell, options, into);
            }
        }
    }

    fn byte_decoder(&self, network: &Signature) -> Option<Box<dyn ByteDecoder>> {
        self.reads(network).map(|rows| Box::new(rows) as Box<dyn ByteDecoder>)
    }
}

impl ByteDecoder for Rows {
    fn decode(&mut self, plan: &Plan, options: &DetectOptions, into: &mut Candidates) {
        let Rows { parts, values, cells } = self;
        for part in parts.iter().filter(|p| p.has(4)) {
            let objectness = plan.view(part.tensor);
            // a greater byte is a greater number
            let Some(least) = (0..=255).find(|&q| objectness.quant.real(q) >= options.score_min) else { continue };
            for at in 0..part.shape.height * part.shape.width {
                let (y, x) = (at / part.shape.width, at % part.shape.width);
                if objectness.value(y, x, 4 - part.channel) < least {
                    continue;
                }
                let number = part.first + at;
                for part in parts.iter() {
                    let Some((y, x)) = part.pixel(number) else { continue };
                    let view = plan.view(part.tensor);
                    let reals = view.pixel(y, x).map(|q| view.quant.real(q));
                    values[part.channel..].iter_mut().zip(reals).for_each(|(to, real)| *to = real);
                }
                row(values, &cells[number], options, into);
            }
        }
    }
}

/// Where a tensor's pixels stand in the output: one a row.
#[derive(Debug, Clone, Copy)]
struct RowPart {
    tensor: TensorId,
    /// Row of its first pixel.
    first: usize,
    /// Place of its first channel in a row.
    channel: usize,
    shape: Shape,
}

impl RowPart {
    fn has(&self, channel: usize) -> bool {
        (self.channel..self.channel + self.shape.channels).contains(&channel)
    }

    /// The pixel that stands in row `number`.
    fn pixel(&self, number: usize) -> Option<(usize, usize)> {
        let at = number.checked_sub(self.first).filter(|at| *at < self.shape.height * self.shape.width)?;
        Some((at / self.shape.width, at % self.shape.width))
    }
}

/// The tensors of an output, and room for one row of it.
#[derive(Debug)]
struct Rows {
    parts: Vec<RowPart>,
    values: Vec<f32>,
    /// Those of the head.
    cells: Vec<[f32; 3]>,
}

/// The candidates of one row.
fn row(values: &[f32], cell: &[f32; 3], options: &DetectOptions, into: &mut Candidates) {
    let (objectness, classes) = (values[4], &values[5..]);
    options.labels.choose(
        classes.len(),
        |class| classes[class],
        |class, probability| {
            let score = objectness * probability;
            if score > options.score_min {
                let bounds = bounds(std::array::from_fn(|side| values[side]), cell);
                into.push(Candidate { class: class as u16, score, bounds, ..Candidate::default() });
            }
        },
    );
}

/// The corners of a box by its four raw values and its cell (x, y, stride).
pub(super) fn bounds(raw: [f32; 4], &[x, y, stride]: &[f32; 3]) -> [f32; 4] {
    corners([(raw[0] + x) * stride, (raw[1] + y) * stride], [raw[2].exp() * stride, raw[3].exp() * stride])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_becomes_a_box() {
        let head = Yolox { row: 7, cells: vec![[1.0, 2.0, 8.0]] };
        let values = [0.5, 0.0, 0.0, (2.0f32).ln(), 0.9, 0.1, 0.5];
        let mut found = Candidates::default();
        head.decode(&|_| Some(&values[..]), &DetectOptions { score_min: 0.2, ..DetectOptions::default() }, &mut found);
        let found = found.sorted();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].class, found[0].score), (1, 0.45));
        assert_eq!(found[0].bounds, [8.0, 8.0, 16.0, 24.0]);
    }
}
