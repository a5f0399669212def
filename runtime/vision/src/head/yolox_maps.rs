//! The maps behind YOLOX's head: for each stride distances (1, 4, h, w), objectness (1, 1, h, w) and classes
//! (1, classes, h, w), all raw.
//!
//! `centre = (raw + cell) * stride`, `size = exp(raw) * stride`, `score = sigmoid(objectness) * sigmoid(class)` (Ge et
//! al., "YOLOX: Exceeding YOLO Series in 2021", arXiv:2107.08430). The family `yolox` reads what a file makes of them.

use super::candidates::{Candidate, Candidates};
use super::family::{Family, Grid, Head, expect_shapes};
use super::maps::{CellHead, Map, OnMaps};
use super::math::{logit, sigmoid};
use super::options::DetectOptions;
use super::yolox::bounds;
use lapwing_engine::ir::Shape;
use lapwing_engine::manifest::Manifest;

/// Outputs come in threes: distances, objectness, classes.
pub const FAMILY: Family =
    Family { name: "yolox-maps", head: YoloxMaps::head, is_logit: |output| !output.is_multiple_of(3), reads: &[] };

/// Decoder of the family.
#[derive(Debug, Clone)]
struct YoloxMaps {
    classes: usize,
    grids: Vec<Grid>,
}

impl YoloxMaps {
    fn head(manifest: &Manifest, shapes: &[Vec<usize>]) -> Result<Box<dyn Head>, String> {
        let head = OnMaps::new(YoloxMaps { classes: manifest.classes.names.len(), grids: Grid::all(manifest) })?;
        expect_shapes(shapes, &head.expected(), "yolox-maps")?;
        Ok(Box::new(head))
    }
}

impl CellHead for YoloxMaps {
    fn maps(&self) -> Vec<Shape> {
        self.grids.iter().flat_map(|grid| [4, 1, self.classes].map(|channels| grid.shape(channels))).collect()
    }

    fn cells<M: Map>(&self, maps: &[M], options: &DetectOptions, into: &mut Candidates) {
        let logit_min = logit(options.score_min);
        for (maps, &Grid { stride, .. }) in maps.chunks_exact(3).zip(&self.grids) {
            let [boxes, objects, classes] = maps else { continue };
            // a score never exceeds its objectness
            objects.above(0..1, logit_min, &mut |y, x, _| {
                let objectness = sigmoid(objects.value(0, y, x));
                options.labels.choose(
                    self.classes,
                    |class| classes.value(class, y, x),
                    |class, logit| {
                        let score = objectness * sigmoid(logit);
                        if score > options.score_min {
                            let raw = std::array::from_fn(|channel| boxes.value(channel, y, x));
                            let bounds = bounds(raw, &[x as f32, y as f32, stride]);
                            into.push(Candidate { class: class as u16, score, bounds, ..Candidate::default() });
                        }
                    },
                );
            });
        }
    }
}
