//! YuNet's head (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023): for each stride classes (1, 1, h, w),
//! objectness (1, 1, h, w), boxes (1, 4, h, w) and five key points (1, 10, h, w), all raw.
//!
//! `score = sqrt(s(class) s(objectness))` with the logistic function s, `centre = (raw + cell) stride`, `size = exp(raw)
//! stride`, and a key point is `(raw + cell) stride`.

use super::candidates::{Candidate, Candidates};
use super::extra;
use super::family::{Family, Grid, Head, Optional, expect_shapes};
use super::maps::{CellHead, Map, OnMaps};
use super::math::{logit, sigmoid};
use super::options::DetectOptions;
use super::yolox::bounds;
use lapwing_engine::ir::Shape;
use lapwing_engine::manifest::{Extra, Manifest, PointOrigin};

/// Outputs come in fours: class, objectness, box, key points.
pub const FAMILY: Family =
    Family { name: "yunet", head: Yunet::head, is_logit: |output| output % 4 < 2, reads: &[Optional::Extra] };

/// What each face has.
pub const POINTS: Extra = Extra::KeyPoints { count: 5, values: 2, origin: PointOrigin::Cell };

/// Decoder of the family.
#[derive(Debug, Clone)]
struct Yunet {
    grids: Vec<Grid>,
}

const MAPS: [usize; 4] = [1, 1, 4, 10];

impl Yunet {
    fn head(manifest: &Manifest, shapes: &[Vec<usize>]) -> Result<Box<dyn Head>, String> {
        if manifest.classes.names.len() != 1 || manifest.head.extra != Some(POINTS) {
            return Err("head family `yunet` has one class and five key points: `classes.names = [\"face\"]`, \
                        `[head.extra] kind = \"key-points\", count = 5, values = 2, origin = \"cell\"`"
                .into());
        }
        let head = OnMaps::new(Yunet { grids: Grid::all(manifest) })?;
        expect_shapes(shapes, &head.expected(), "yunet")?;
        Ok(Box::new(head))
    }
}

impl CellHead for Yunet {
    fn maps(&self) -> Vec<Shape> {
        self.grids.iter().flat_map(|grid| MAPS.map(|channels| grid.shape(channels))).collect()
    }

    fn cells<M: Map>(&self, maps: &[M], options: &DetectOptions, into: &mut Candidates) {
        // neither factor is above one, so that neither is below the square of the score
        let logit_min = logit(options.score_min * options.score_min);
        let mut first = 0;
        for (maps, &Grid { stride, width, height }) in maps.chunks_exact(MAPS.len()).zip(&self.grids) {
            let [classes, objects, boxes, _] = maps else { continue };
            objects.above(0..1, logit_min, &mut |y, x, objectness| {
                let score = (sigmoid(classes.value(0, y, x)) * sigmoid(objectness)).sqrt();
                if score > options.score_min || score.is_nan() {
                    let raw = std::array::from_fn(|channel| boxes.value(channel, y, x));
                    let bounds = bounds(raw, &[x as f32, y as f32, stride]);
                    let cell = (first + y * width + x) as u32;
                    into.push(Candidate { score, bounds, cell, ..Candidate::default() });
                }
            });
            first += width * height;
        }
    }

    fn carried<M: Map>(&self, maps: &[M], cell: u32, into: &mut Vec<f32>) {
        let Some((index, grid, y, x)) = Grid::place(&self.grids, cell) else { return };
        let Some(map) = maps.get(MAPS.len() * index + 3) else { return };
        extra::of_cell(POINTS, |channel| map.value(channel, y, x), [x, y], grid.stride, into);
    }
}
