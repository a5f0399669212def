//! Heads that give four distances from the cell's centre, as lapwing's own detector does.
//!
//! For each stride two tensors: class logits (1, classes, h, w) and raw distances (1, 4, h, w).
//! `score = sigmoid(logit)`; the distances left, top, right, bottom in input pixels are
//! `exp(clamp(raw, -6, 5)) * stride` from the centre `((x + 0.5) * stride, (y + 0.5) * stride)`.

use super::candidates::{Candidate, Candidates};
use super::family::{ByteDecoder, Family, Head, Outputs, expect_shapes, grid};
use super::math::{logit, sigmoid};
use super::options::{DetectOptions, Labels};
use lapwing_engine::ir::{Output, Part, Shape, Signature};
use lapwing_engine::manifest::Manifest;
use lapwing_engine::plan::Plan;

/// Outputs come in pairs: class logits, distances.
pub const FAMILY: Family = Family {
    name: "ltrb",
    head: |manifest, shapes| Ok(Box::new(Ltrb::new(manifest, shapes)?)),
    is_logit: |output| output.is_multiple_of(2),
};

/// Decoder of the `ltrb` family.
#[derive(Debug, Clone)]
pub struct Ltrb {
    classes: usize,
    scales: Vec<Scale>,
}

#[derive(Debug, Clone)]
struct Scale {
    stride: f32,
    width: usize,
    height: usize,
}

impl Ltrb {
    /// Checks the output shapes: for each stride (1, classes, h, w) and (1, 4, h, w).
    pub fn new(manifest: &Manifest, shapes: &[Vec<usize>]) -> Result<Ltrb, String> {
        let classes = manifest.classes.names.len();
        let mut scales = Vec::new();
        let mut expected = Vec::new();
        for &stride in &manifest.head.strides {
            let (width, height) = grid(manifest, stride);
            expected.push(vec![1, classes, height, width]);
            expected.push(vec![1, 4, height, width]);
            scales.push(Scale { stride: stride as f32, width, height });
        }
        expect_shapes(shapes, &expected, "ltrb")?;
        Ok(Ltrb { classes, scales })
    }
}

impl Head for Ltrb {
    fn decode<'a>(&self, outputs: Outputs<'_, 'a>, options: &DetectOptions, into: &mut Candidates) {
        let output = |index| outputs(index).unwrap_or(&[]);
        let logit_min = logit(options.score_min);
        for (index, scale) in self.scales.iter().enumerate() {
            let (logits, raw) = (output(2 * index), output(2 * index + 1)); // (classes, h, w), (4, h, w)
            let cells = scale.width * scale.height;
            if logits.len() != self.classes * cells || raw.len() != 4 * cells {
                continue;
            }
            match options.labels {
                Labels::All => {
                    for (at, &value) in logits.iter().enumerate().filter(|(_, v)| **v > logit_min) {
                        let cell = at % cells;
                        into.push(candidate(scale, |side| raw[side * cells + cell], cell, at / cells, value));
                    }
                }
                Labels::Best => {
                    for cell in 0..cells {
                        let (class, value) = best(logits, cells, cell);
                        if value > logit_min {
                            into.push(candidate(scale, |side| raw[side * cells + cell], cell, class, value));
                        }
                    }
                }
            }
        }
    }

    fn byte_decoder(&self, network: &Signature) -> Option<Box<dyn ByteDecoder>> {
        self.reads(network).then(|| Box::new(self.clone()) as Box<dyn ByteDecoder>)
    }
}

impl Ltrb {
    /// True if each output of `network` is one tensor of (rows, columns, channels), so that
    /// [`ByteDecoder::decode`] can read it as it lies in memory.
    fn reads(&self, network: &Signature) -> bool {
        let expected = self.scales.iter().flat_map(|s| [(s, self.classes), (s, 4)]);
        let whole = |output: &Output, (scale, channels): (&Scale, usize)| {
            let shape = Shape { height: scale.height, width: scale.width, channels };
            let strides = [scale.width, 1, scale.width * scale.height];
            matches!(output.parts[..], [Part { tensor, base: 0, strides: found }]
                if found == strides && network.tensor(tensor).shape == shape)
        };
        network.outputs.len() == 2 * self.scales.len() && network.outputs.iter().zip(expected).all(|(o, e)| whole(o, e))
    }
}

impl ByteDecoder for Ltrb {
    fn decode(&mut self, plan: &Plan, options: &DetectOptions, into: &mut Candidates) {
        let logit_min = logit(options.score_min);
        let view = |output: usize| Some(plan.view(plan.signature().outputs.get(output)?.parts.first()?.tensor));
        for (index, scale) in self.scales.iter().enumerate() {
            let (Some(logits), Some(raw)) = (view(2 * index), view(2 * index + 1)) else { continue };
            // a greater byte is a greater number
            let Some(least) = (0..=255).find(|&q| logits.quant.real(q) > logit_min) else { continue };
            let rows = (0..scale.height).filter(|&y| logits.most(y) >= least);
            for (y, x) in rows.flat_map(|y| (0..scale.width).map(move |x| (y, x))) {
                let cell = y * scale.width + x;
                let most = logits.pixel(y, x).max().unwrap_or(0);
                if most < least {
                    continue;
                }
                let side = |side: usize| raw.pixel(y, x).nth(side).map_or(0.0, |q| raw.quant.real(q));
                for (class, q) in logits.pixel(y, x).enumerate().filter(|(_, q)| *q >= least) {
                    if options.labels == Labels::All || q == most {
                        into.push(candidate(scale, side, cell, class, logits.quant.real(q)));
                    }
                    if options.labels == Labels::Best && q == most {
                        break;
                    }
                }
            }
        }
    }
}

/// The class with the greatest logit in `cell`, and that logit.
fn best(logits: &[f32], cells: usize, cell: usize) -> (usize, f32) {
    let mut found = (0, f32::NEG_INFINITY);
    for (class, plane) in logits.chunks_exact(cells).enumerate() {
        if plane[cell] > found.1 {
            found = (class, plane[cell]);
        }
    }
    found
}

fn candidate(scale: &Scale, raw: impl Fn(usize) -> f32, cell: usize, class: usize, logit: f32) -> Candidate {
    let x = ((cell % scale.width) as f32 + 0.5) * scale.stride;
    let y = ((cell / scale.width) as f32 + 0.5) * scale.stride;
    let d: [f32; 4] = std::array::from_fn(|side| raw(side).clamp(-6.0, 5.0).exp() * scale.stride);
    Candidate { class: class as u16, score: sigmoid(logit), bounds: [x - d[0], y - d[1], x + d[2], y + d[3]] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Ltrb {
        Ltrb { classes: 2, scales: vec![Scale { stride: 8.0, width: 3, height: 2 }] }
    }

    #[test]
    fn a_cell_becomes_a_box_around_its_centre() {
        let mut logits = [-10.0; 12];
        logits[6 + 4] = 0.0; // class 1, cell (x 1, y 1)
        let raw = [0.0; 24]; // one stride to each side
        let mut found = Candidates::default();
        let options = DetectOptions { score_min: 0.3, ..DetectOptions::default() };
        Head::decode(&head(), &|i| Some(if i == 0 { &logits[..] } else { &raw[..] }), &options, &mut found);
        assert_eq!(found.sorted(), [Candidate { class: 1, score: 0.5, bounds: [4.0, 4.0, 20.0, 20.0] }]);
    }

    #[test]
    fn all_labels_of_a_cell_or_the_best() {
        let logits = [1.0; 12];
        let raw = [f32::INFINITY; 24]; // clamped, never infinite
        for (labels, count) in [(Labels::All, 12), (Labels::Best, 6)] {
            let mut found = Candidates::default();
            let options = DetectOptions { score_min: 0.3, labels, ..DetectOptions::default() };
            Head::decode(&head(), &|i| Some(if i == 0 { &logits[..] } else { &raw[..] }), &options, &mut found);
            assert_eq!(found.sorted().len(), count);
        }
    }
}
