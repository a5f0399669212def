//! The maps behind YOLOX's head: for each stride distances (1, 4, h, w), objectness (1, 1, h, w) and classes
//! (1, classes, h, w), all raw.
//!
//! `centre = (raw + cell) * stride`, `size = exp(raw) * stride`, `score = sigmoid(objectness) * sigmoid(class)` (Ge et
//! al., "YOLOX: Exceeding YOLO Series in 2021", arXiv:2107.08430). The family `yolox` reads what a file makes of them.

use super::candidates::{Candidate, Candidates};
use super::family::{Family, Head, expect_shapes, grid};
use super::maps::{CellHead, Map, OnMaps};
use super::math::{logit, sigmoid};
use super::options::{DetectOptions, Labels};
use lapwing_engine::ir::Shape;
use lapwing_engine::manifest::Manifest;

/// Outputs come in threes: distances, objectness, classes.
pub const FAMILY: Family =
    Family { name: "yolox-maps", head: YoloxMaps::head, is_logit: |output| !output.is_multiple_of(3) };

/// Decoder of the family.
#[derive(Debug, Clone)]
struct YoloxMaps {
    classes: usize,
    /// Stride, width, height.
    scales: Vec<(f32, usize, usize)>,
}

impl YoloxMaps {
    fn head(manifest: &Manifest, shapes: &[Vec<usize>]) -> Result<Box<dyn Head>, String> {
        let scale = |&stride: &u32| {
            let (width, height) = grid(manifest, stride);
            (stride as f32, width, height)
        };
        let scales = manifest.head.strides.iter().map(scale).collect();
        let head = OnMaps::new(YoloxMaps { classes: manifest.classes.names.len(), scales })?;
        expect_shapes(shapes, &head.expected(), "yolox-maps")?;
        Ok(Box::new(head))
    }
}

impl CellHead for YoloxMaps {
    fn maps(&self) -> Vec<Shape> {
        let of = |&(_, width, height): &(f32, usize, usize)| {
            [4, 1, self.classes].map(|channels| Shape { height, width, channels })
        };
        self.scales.iter().flat_map(of).collect()
    }

    fn cells<M: Map>(&self, maps: &[M], options: &DetectOptions, into: &mut Candidates) {
        let logit_min = logit(options.score_min);
        for (maps, &(stride, ..)) in maps.chunks_exact(3).zip(&self.scales) {
            let [boxes, objects, classes] = maps else { continue };
            // a score never exceeds its objectness
            objects.above(0..1, logit_min, &mut |y, x| {
                let objectness = sigmoid(objects.value(0, y, x));
                let logits = (0..self.classes).map(|class| (class, classes.value(class, y, x)));
                let mut add = |class: usize, score: f32| {
                    let value = |channel: usize| boxes.value(channel, y, x);
                    let centre = [(value(0) + x as f32) * stride, (value(1) + y as f32) * stride];
                    let half = [value(2).exp() * stride / 2.0, value(3).exp() * stride / 2.0];
                    let bounds = [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]];
                    if score > options.score_min {
                        into.push(Candidate { class: class as u16, score, bounds });
                    }
                };
                match options.labels {
                    Labels::All => logits.for_each(|(class, logit)| add(class, objectness * sigmoid(logit))),
                    Labels::Best => {
                        let first = (0, f32::NEG_INFINITY);
                        let (class, logit) = logits.fold(first, |best, it| if it.1 > best.1 { it } else { best });
                        add(class, objectness * sigmoid(logit));
                    }
                }
            });
        }
    }
}
