//! Heads that scale anchor boxes: for each stride one map (1, anchors (5 + classes), h, w).
//!
//! The channels of an anchor are x, y, width, height, objectness, classes, all raw; `s` is the logistic function,
//! `score = s(objectness) s(class)`, the centre is `(k s(xy) - (k - 1) / 2 + cell) stride`, and k and the size are
//!
//! | family | k | size |
//! |---|---|---|
//! | `yolov5` | 2 | `(2 s(wh))^2 anchor`: YOLOv5, YOLOv7, Scaled-YOLOv4 |
//! | `yolov3` | 1 | `exp(wh) anchor`: YOLOv3 (Redmon and Farhadi, arXiv:1804.02767) |
//! | `yolov4` | `head.centre_scale` | as `yolov3`: YOLOv4 (Bochkovskiy et al., arXiv:2004.10934), Darknet's `scale_x_y` |
//! | `yolov2` | as `yolov3` | as `yolov3`; the classes are a softmax: YOLOv2 (Redmon and Farhadi, arXiv:1612.08242) |

use super::candidates::{Candidate, Candidates};
use super::family::{Family, Grid, Head, Optional, expect_shapes};
use super::maps::{CellHead, Map, OnMaps};
use super::math::{corners, logit, sigmoid, softmax};
use super::options::DetectOptions;
use lapwing_engine::ir::Shape;
use lapwing_engine::manifest::Manifest;

/// Sizes by a square.
pub const YOLOV5: Family = Family {
    name: "yolov5",
    head: |manifest, shapes| Anchors::head(manifest, shapes, Size::Square, false),
    is_logit: |_| true,
    reads: &[Optional::Anchors],
};

/// Sizes by an exponential.
pub const YOLOV3: Family = Family {
    name: "yolov3",
    head: |manifest, shapes| Anchors::head(manifest, shapes, Size::Exponential, false),
    is_logit: |_| true,
    reads: &[Optional::Anchors],
};

/// As [`YOLOV3`], its centres reaching beyond their cells.
pub const YOLOV4: Family = Family {
    name: "yolov4",
    head: |manifest, shapes| match manifest.head.centre_scale.is_empty() {
        true => Err("head family `yolov4` needs `head.centre_scale`: for each stride Darknet's `scale_x_y`, which is \
                     [1.2, 1.1, 1.05] for YOLOv4 and [1.05, 1.05] for YOLOv4-tiny"
            .to_owned()),
        false => Anchors::head(manifest, shapes, Size::Exponential, false),
    },
    is_logit: |_| true,
    reads: &[Optional::Anchors, Optional::CentreScale],
};

/// As [`YOLOV3`], with a softmax over the classes.
pub const YOLOV2: Family = Family {
    name: "yolov2",
    head: |manifest, shapes| Anchors::head(manifest, shapes, Size::Exponential, true),
    is_logit: |_| true,
    reads: &[Optional::Anchors],
};

/// Anchors of YOLOv2 on PASCAL VOC, as its configuration has them, at stride 32: (width, height) in pixels.
pub const ANCHORS_YOLOV2: [[f32; 2]; 5] = [
    [1.08 * 32.0, 1.19 * 32.0],
    [3.42 * 32.0, 4.41 * 32.0],
    [6.63 * 32.0, 11.38 * 32.0],
    [9.42 * 32.0, 5.11 * 32.0],
    [16.62 * 32.0, 10.52 * 32.0],
];

/// Anchors of YOLOv5 (v6) at strides 8, 16, 32: (width, height) in pixels.
pub const ANCHORS_YOLOV5: [[[f32; 2]; 3]; 3] = [
    [[10.0, 13.0], [16.0, 30.0], [33.0, 23.0]],
    [[30.0, 61.0], [62.0, 45.0], [59.0, 119.0]],
    [[116.0, 90.0], [156.0, 198.0], [373.0, 326.0]],
];

/// How raw values become the size of a box beside an anchor.
#[derive(Debug, Clone, Copy)]
pub enum Size {
    /// As in YOLOv5.
    Square,
    /// As in YOLOv3.
    Exponential,
}

/// Decoder of these families.
#[derive(Debug, Clone)]
struct Anchors {
    classes: usize,
    scales: Vec<Scale>,
    size: Size,
    /// The classes share one probability.
    is_softmax: bool,
}

/// A grid and the anchors of its cells.
#[derive(Debug, Clone)]
pub struct Scale {
    /// The grid.
    pub grid: Grid,
    /// (width, height) in pixels of the input.
    pub anchors: Vec<[f32; 2]>,
    /// How far around its cell a centre may lie, in cells.
    pub centre_scale: f32,
}

impl Scale {
    /// Those of the manifest's strides, with boxes of `size`.
    ///
    /// # Errors
    /// That it has no anchors.
    pub fn all(manifest: &Manifest, size: Size) -> Result<Vec<Scale>, String> {
        let head = &manifest.head;
        if head.anchors.is_empty() {
            return Err(format!(
                "head family `{}` needs `head.anchors`: for each stride a list of [width, height] in pixels",
                head.family
            ));
        }
        let of = |(index, (grid, anchors)): (usize, (Grid, &Vec<[f32; 2]>))| {
            let centre_scale = match size {
                Size::Square => 2.0,
                Size::Exponential => head.centre_scale.get(index).copied().unwrap_or(1.0),
            };
            Scale { grid, anchors: anchors.clone(), centre_scale }
        };
        Ok(Grid::all(manifest).into_iter().zip(&head.anchors).enumerate().map(of).collect())
    }

    /// The box of raw x, y, width and height beside `anchor` in the cell in column x, row y.
    pub fn bounds(&self, size: Size, anchor: [f32; 2], (x, y): (usize, usize), raw: [f32; 4]) -> [f32; 4] {
        let (cell, k) = ([x as f32, y as f32], self.centre_scale);
        let centre = |raw: f32| k * sigmoid(raw) - (k - 1.0) / 2.0;
        let share = |raw: f32| match size {
            Size::Square => (2.0 * sigmoid(raw)).powi(2),
            Size::Exponential => raw.exp(),
        };
        corners(
            [0, 1].map(|axis| (centre(raw[axis]) + cell[axis]) * self.grid.stride),
            [0, 1].map(|axis| share(raw[2 + axis]) * anchor[axis]),
        )
    }
}

impl Anchors {
    /// Checks the anchors and the output shapes.
    fn head(manifest: &Manifest, shapes: &[Vec<usize>], size: Size, is_softmax: bool) -> Result<Box<dyn Head>, String> {
        let Manifest { head, classes, .. } = manifest;
        let scales = Scale::all(manifest, size)?;
        let made = OnMaps::new(Anchors { classes: classes.names.len(), scales, size, is_softmax })?;
        expect_shapes(shapes, &made.expected(), &head.family)?;
        Ok(Box::new(made))
    }
}

impl CellHead for Anchors {
    fn maps(&self) -> Vec<Shape> {
        let of = |scale: &Scale| scale.grid.shape(scale.anchors.len() * (5 + self.classes));
        self.scales.iter().map(of).collect()
    }

    fn cells<M: Map>(&self, maps: &[M], options: &DetectOptions, into: &mut Candidates) {
        let (row, logit_min) = (5 + self.classes, logit(options.score_min));
        for (map, scale) in maps.iter().zip(&self.scales) {
            for (first, anchor) in scale.anchors.iter().enumerate().map(|(index, anchor)| (index * row, *anchor)) {
                // a score never exceeds its objectness
                map.above(first + 4..first + 5, logit_min, &mut |y, x, _| {
                    let value = |channel: usize| map.value(first + channel, y, x);
                    let objectness = sigmoid(value(4));
                    let share = self.is_softmax.then(|| softmax((0..self.classes).map(|class| value(5 + class))));
                    options.labels.choose(
                        self.classes,
                        |class| value(5 + class),
                        |class, logit| {
                            let score =
                                objectness * share.as_ref().map_or_else(|| sigmoid(logit), |share| share(logit));
                            if score > options.score_min {
                                let raw = [value(0), value(1), value(2), value(3)];
                                let bounds = scale.bounds(self.size, anchor, (x, y), raw);
                                into.push(Candidate { class: class as u16, score, bounds, ..Candidate::default() });
                            }
                        },
                    );
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_scales_its_anchor() {
        // cell (1, 2), its middle at 12, 20; x at its greatest moves the centre to the right by half of what it may
        for (size, centre_scale, x, centre) in [
            (Size::Square, 2.0, 0.0, [12.0, 20.0]),
            (Size::Square, 2.0, 99.0, [20.0, 20.0]),
            (Size::Exponential, 1.0, 0.0, [12.0, 20.0]),
            (Size::Exponential, 1.0, 99.0, [16.0, 20.0]),
            (Size::Exponential, 1.5, 0.0, [12.0, 20.0]),
            (Size::Exponential, 1.5, 99.0, [18.0, 20.0]),
            (Size::Exponential, 1.5, -99.0, [6.0, 20.0]),
        ] {
            let width = 10.0;
            let anchors = vec![[1.0, 1.0], [10.0, 20.0]];
            let grid = Grid { stride: 8.0, width: 2, height: 3 };
            let scales = vec![Scale { grid, anchors, centre_scale }];
            let head = OnMaps::new(Anchors { classes: 1, scales, size, is_softmax: false }).unwrap();
            let mut values = vec![-9.0; 12 * 6];
            let mut set = |channel: usize, value: f32| values[(6 + channel) * 6 + 5] = value; // anchor 1, cell (1, 2)
            set(0, x);
            (1..4).for_each(|channel| set(channel, 0.0));
            set(4, 9.0);
            set(5, 9.0);
            let mut found = Candidates::default();
            let options = DetectOptions { score_min: 0.5, ..DetectOptions::default() };
            Head::decode(&head, &|_| Some(&values[..]), &options, &mut found);
            let [found] = found.sorted() else { panic!("one box") };
            let expected = [centre[0] - width / 2.0, centre[1] - width, centre[0] + width / 2.0, centre[1] + width];
            assert_eq!(found.bounds, expected);
            assert!((found.score - sigmoid(9.0).powi(2)).abs() < 1e-6);
        }
    }
}
