//! The grid of YOLO's first paper (Redmon et al., "You Only Look Once", arXiv:1506.02640): one map (1, classes + 5 boxes,
//! h, w).
//!
//! A cell has one probability for each class, and for each of its boxes confidence, x, y, v and u: the box's centre is
//! `(cell + xy) / cells` and its sides are `v^2` and `u^2`, both in shares of the input; `score = probability *
//! confidence`. All values are linear; scores are cut to 0..=1.

use super::candidates::{Candidate, Candidates};
use super::family::{Family, Grid, Head};
use super::maps::{CellHead, Map, OnMaps};
use super::math::corners;
use super::options::DetectOptions;
use lapwing_engine::ir::Shape;
use lapwing_engine::manifest::Manifest;

/// Direct regression by cells.
pub const FAMILY: Family = Family { name: "grid", head: Cells::head, is_logit: |_| false, reads: &[] };

/// Values of a box.
const BOX: usize = 5;

/// Decoder of the family.
#[derive(Debug, Clone)]
struct Cells {
    classes: usize,
    boxes: usize,
    grid: Grid,
}

impl Cells {
    fn head(manifest: &Manifest, shapes: &[Vec<usize>]) -> Result<Box<dyn Head>, String> {
        let classes = manifest.classes.names.len();
        let wrong = || {
            format!(
                "its outputs have shapes {shapes:?}; head family `grid` needs one, (1, {classes} + 5 boxes, h, w), and one \
                 stride; correct `head.family`, `head.strides` or `classes.names`"
            )
        };
        let (grids, [shape]) = (Grid::all(manifest), shapes) else { return Err(wrong()) };
        let channels = shape.get(1).and_then(|channels| channels.checked_sub(classes));
        let boxes = channels.filter(|channels| *channels > 0 && channels.is_multiple_of(BOX)).map(|c| c / BOX);
        let ([grid], Some(boxes)) = (&grids[..], boxes) else { return Err(wrong()) };
        let head = OnMaps::new(Cells { classes, boxes, grid: *grid })?;
        if head.expected() != shapes {
            return Err(wrong());
        }
        Ok(Box::new(head))
    }
}

impl CellHead for Cells {
    fn maps(&self) -> Vec<Shape> {
        vec![self.grid.shape(self.classes + BOX * self.boxes)]
    }

    fn cells<M: Map>(&self, maps: &[M], options: &DetectOptions, into: &mut Candidates) {
        let [map] = maps else { return };
        let Grid { stride, width, height } = self.grid;
        let input = [width as f32 * stride, height as f32 * stride];
        for first in (0..self.boxes).map(|index| self.classes + BOX * index) {
            // a score never exceeds its confidence
            map.above(first..first + 1, options.score_min, &mut |y, x, confidence| {
                let confidence = confidence.min(1.0);
                let value = |channel: usize| map.value(first + channel, y, x);
                options.labels.choose(
                    self.classes,
                    |class| map.value(class, y, x),
                    |class, probability| {
                        let score = probability.min(1.0) * confidence;
                        if score > options.score_min {
                            let centre = [(x as f32 + value(1)) * stride, (y as f32 + value(2)) * stride];
                            let sides = [value(3).powi(2) * input[0], value(4).powi(2) * input[1]];
                            let bounds = corners(centre, sides);
                            into.push(Candidate { class: class as u16, score, bounds, ..Candidate::default() });
                        }
                    },
                );
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_gives_each_of_its_boxes() {
        let grid = Grid { stride: 32.0, width: 3, height: 2 };
        let head = OnMaps::new(Cells { classes: 2, boxes: 2, grid }).unwrap();
        let mut values = vec![0.0; 12 * 6];
        // cell (1, 1): class 1 is sure beyond one, the second box is half sure
        let mut set = |channel: usize, value: f32| values[channel * 6 + 4] = value;
        set(1, 1.2);
        [0.5, 0.5, 0.25, 0.5, 1.0].into_iter().enumerate().for_each(|(at, value)| set(2 + BOX + at, value));
        let mut found = Candidates::default();
        let options = DetectOptions { score_min: 0.3, ..DetectOptions::default() };
        Head::decode(&head, &|_| Some(&values[..]), &options, &mut found);
        // 96 x 64 pixels: a quarter of the width, all of the height
        let bounds = [48.0 - 12.0, 40.0 - 32.0, 48.0 + 12.0, 40.0 + 32.0];
        assert_eq!(found.sorted(), [Candidate { class: 1, score: 0.5, bounds, ..Candidate::default() }]);
    }
}
