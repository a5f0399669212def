//! Heads that scale anchor boxes: for each stride one map (1, anchors (5 + classes), h, w).
//!
//! The channels of an anchor are x, y, width, height, objectness, classes, all raw; `s` is the logistic function,
//! `score = s(objectness) s(class)`, and the box is
//!
//! | family | centre | size |
//! |---|---|---|
//! | `yolov5` | `(2 s(xy) - 0.5 + cell) stride` | `(2 s(wh))^2 anchor`: YOLOv5, YOLOv7 |
//! | `yolov3` | `(s(xy) + cell) stride` | `exp(wh) anchor`: YOLOv3 (Redmon and Farhadi, arXiv:1804.02767) |

use super::candidates::{Candidate, Candidates};
use super::family::{Family, Head, expect_shapes, grid};
use super::maps::{CellHead, Map, OnMaps};
use super::math::{logit, sigmoid};
use super::options::{DetectOptions, Labels};
use lapwing_engine::ir::Shape;
use lapwing_engine::manifest::Manifest;

/// Sizes by a square.
pub const YOLOV5: Family = Family {
    name: "yolov5",
    head: |manifest, shapes| Anchors::head(manifest, shapes, Size::Square),
    is_logit: |_| true,
};

/// Sizes by an exponential.
pub const YOLOV3: Family = Family {
    name: "yolov3",
    head: |manifest, shapes| Anchors::head(manifest, shapes, Size::Exponential),
    is_logit: |_| true,
};

/// Anchors of YOLOv5 (v6) at strides 8, 16, 32: (width, height) in pixels.
pub const ANCHORS_YOLOV5: [[[f32; 2]; 3]; 3] = [
    [[10.0, 13.0], [16.0, 30.0], [33.0, 23.0]],
    [[30.0, 61.0], [62.0, 45.0], [59.0, 119.0]],
    [[116.0, 90.0], [156.0, 198.0], [373.0, 326.0]],
];

#[derive(Debug, Clone, Copy)]
enum Size {
    Square,
    Exponential,
}

/// Decoder of these families.
#[derive(Debug, Clone)]
struct Anchors {
    classes: usize,
    scales: Vec<Scale>,
    size: Size,
}

#[derive(Debug, Clone)]
struct Scale {
    stride: f32,
    width: usize,
    height: usize,
    /// (width, height) in pixels of the input.
    anchors: Vec<[f32; 2]>,
}

impl Anchors {
    /// Checks the anchors and the output shapes.
    fn head(manifest: &Manifest, shapes: &[Vec<usize>], size: Size) -> Result<Box<dyn Head>, String> {
        let Manifest { head, classes, .. } = manifest;
        if head.anchors.is_empty() {
            return Err(format!(
                "head family `{}` needs `head.anchors`: for each stride a list of [width, height] in pixels",
                head.family
            ));
        }
        let scale = |(&stride, anchors): (&u32, &Vec<[f32; 2]>)| {
            let (width, height) = grid(manifest, stride);
            Scale { stride: stride as f32, width, height, anchors: anchors.clone() }
        };
        let scales = head.strides.iter().zip(&head.anchors).map(scale).collect();
        let made = OnMaps::new(Anchors { classes: classes.names.len(), scales, size })?;
        expect_shapes(shapes, &made.expected(), &head.family)?;
        Ok(Box::new(made))
    }

    fn bounds(&self, scale: &Scale, anchor: [f32; 2], (x, y): (usize, usize), raw: [f32; 4]) -> [f32; 4] {
        let cell = [x as f32, y as f32];
        let [half_width, half_height, centre_x, centre_y] = match self.size {
            Size::Square => {
                let half = |axis: usize| (2.0 * sigmoid(raw[2 + axis])).powi(2) * anchor[axis] / 2.0;
                let centre = |axis: usize| (2.0 * sigmoid(raw[axis]) - 0.5 + cell[axis]) * scale.stride;
                [half(0), half(1), centre(0), centre(1)]
            }
            Size::Exponential => {
                let half = |axis: usize| raw[2 + axis].exp() * anchor[axis] / 2.0;
                let centre = |axis: usize| (sigmoid(raw[axis]) + cell[axis]) * scale.stride;
                [half(0), half(1), centre(0), centre(1)]
            }
        };
        [centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height]
    }
}

impl CellHead for Anchors {
    fn maps(&self) -> Vec<Shape> {
        let of = |s: &Scale| Shape { height: s.height, width: s.width, channels: s.anchors.len() * (5 + self.classes) };
        self.scales.iter().map(of).collect()
    }

    fn cells<M: Map>(&self, maps: &[M], options: &DetectOptions, into: &mut Candidates) {
        let (row, logit_min) = (5 + self.classes, logit(options.score_min));
        for (map, scale) in maps.iter().zip(&self.scales) {
            for (first, anchor) in scale.anchors.iter().enumerate().map(|(index, anchor)| (index * row, *anchor)) {
                // a score never exceeds its objectness
                map.above(first + 4..first + 5, logit_min, &mut |y, x| {
                    let value = |channel: usize| map.value(first + channel, y, x);
                    let objectness = sigmoid(value(4));
                    let score = |class: usize| objectness * sigmoid(value(5 + class));
                    let mut add = |class: usize, score: f32| {
                        let raw = [value(0), value(1), value(2), value(3)];
                        let bounds = self.bounds(scale, anchor, (x, y), raw);
                        into.push(Candidate { class: class as u16, score, bounds });
                    };
                    match options.labels {
                        Labels::All => (0..self.classes)
                            .map(|class| (class, score(class)))
                            .filter(|(_, score)| *score > options.score_min)
                            .for_each(|(class, score)| add(class, score)),
                        Labels::Best => {
                            let best = (1..self.classes)
                                .fold(0, |best, c| if value(5 + c) > value(5 + best) { c } else { best });
                            let score = score(best);
                            if score > options.score_min {
                                add(best, score);
                            }
                        }
                    }
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
        for (size, centre, width) in [(Size::Square, [12.0, 20.0], 10.0), (Size::Exponential, [12.0, 20.0], 10.0)] {
            let anchors = vec![[1.0, 1.0], [10.0, 20.0]];
            let scales = vec![Scale { stride: 8.0, width: 2, height: 3, anchors }];
            let head = OnMaps::new(Anchors { classes: 1, scales, size }).unwrap();
            let mut values = vec![-9.0; 12 * 6];
            let mut set = |channel: usize, value: f32| values[(6 + channel) * 6 + 5] = value; // anchor 1, cell (1, 2)
            (0..4).for_each(|channel| set(channel, 0.0));
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
