//! Yolo-FastestV2's head (Ma, "Yolo-FastestV2", 2021): for each stride boxes (1, 4 anchors, h, w), objectness (1, anchors, h,
//! w) and classes (1, classes, h, w) that all anchors share, all raw.
//!
//! `score = s(objectness) softmax(classes)` with the logistic function s; the box is that of YOLOv5: `centre = (2 s(xy) -
//! 0.5 + cell) stride`, `size = (2 s(wh))^2 anchor`.

use super::anchors::{Scale, Size};
use super::candidates::{Candidate, Candidates};
use super::family::{Family, Head, Optional, expect_shapes};
use super::maps::{CellHead, Map, OnMaps};
use super::math::{logit, sigmoid, softmax};
use super::options::DetectOptions;
use lapwing_engine::ir::Shape;
use lapwing_engine::manifest::Manifest;

/// Outputs come in threes: boxes, objectness, classes.
pub const FAMILY: Family = Family {
    name: "fastestv2",
    head: FastestV2::head,
    is_logit: |output| output % 3 == 1,
    reads: &[Optional::Anchors],
};

/// Its anchors at strides 16 and 32: (width, height) in pixels of an input of 352.
pub const ANCHORS: [[[f32; 2]; 3]; 2] =
    [[[12.64, 19.39], [37.88, 51.48], [55.71, 138.31]], [[126.91, 78.23], [131.57, 214.55], [279.92, 258.87]]];

/// Decoder of the family.
#[derive(Debug, Clone)]
struct FastestV2 {
    classes: usize,
    scales: Vec<Scale>,
}

impl FastestV2 {
    fn head(manifest: &Manifest, shapes: &[Vec<usize>]) -> Result<Box<dyn Head>, String> {
        let scales = Scale::all(manifest, Size::Square)?;
        let head = OnMaps::new(FastestV2 { classes: manifest.classes.names.len(), scales })?;
        expect_shapes(shapes, &head.expected(), "fastestv2")?;
        Ok(Box::new(head))
    }
}

impl CellHead for FastestV2 {
    fn maps(&self) -> Vec<Shape> {
        let of = |Scale { grid, anchors, .. }: &Scale| {
            [4 * anchors.len(), anchors.len(), self.classes].map(|channels| grid.shape(channels))
        };
        self.scales.iter().flat_map(of).collect()
    }

    fn cells<M: Map>(&self, maps: &[M], options: &DetectOptions, into: &mut Candidates) {
        let logit_min = logit(options.score_min);
        for (maps, scale) in maps.chunks_exact(3).zip(&self.scales) {
            let [boxes, objects, classes] = maps else { continue };
            for (index, anchor) in scale.anchors.iter().enumerate() {
                // a score never exceeds its objectness
                objects.above(index..index + 1, logit_min, &mut |y, x, objectness| {
                    let objectness = sigmoid(objectness);
                    let share = softmax((0..self.classes).map(|class| classes.value(class, y, x)));
                    options.labels.choose(
                        self.classes,
                        |class| classes.value(class, y, x),
                        |class, logit| {
                            let score = objectness * share(logit);
                            if score > options.score_min {
                                let raw = std::array::from_fn(|at| boxes.value(4 * index + at, y, x));
                                let bounds = scale.bounds(Size::Square, *anchor, (x, y), raw);
                                into.push(Candidate { class: class as u16, score, bounds, ..Candidate::default() });
                            }
                        },
                    );
                });
            }
        }
    }
}
