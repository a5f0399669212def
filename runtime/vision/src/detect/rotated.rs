//! A box that is turned around its centre.

use super::bounds::around;
use super::outline::{OUTLINE_CELLS, Outline};
use crate::input::Fitting;

/// A turned box, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RotatedBox {
    /// x, y of its centre.
    pub centre: [f32; 2],
    /// Its width and height before it is turned.
    pub sides: [f32; 2],
    /// By how much it is turned, in radians from the x to the y axis.
    pub angle: f32,
}

impl RotatedBox {
    /// `bounds`, turned by `angle` around its centre.
    pub fn new(bounds: [f32; 4], angle: f32) -> RotatedBox {
        let [x0, y0, x1, y1] = bounds;
        RotatedBox { centre: [(x0 + x1) / 2.0, (y0 + y1) / 2.0], sides: [x1 - x0, y1 - y0], angle }
    }

    /// x, y of its corners, one after another along its edge.
    pub fn corners(&self) -> [[f32; 2]; 4] {
        let (sin, cos) = self.angle.sin_cos();
        let [x, y] = self.centre;
        [[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]].map(|[across, down]| {
            let [across, down] = [across * self.sides[0], down * self.sides[1]];
            [x + across * cos - down * sin, y + across * sin + down * cos]
        })
    }

    /// It in the pixels of the picture, where this one is in those of the input.
    pub fn to_picture(&self, fitting: &Fitting) -> Turned {
        Turned { corners: self.corners().map(|corner| fitting.point_to_picture(corner)) }
    }

    /// How alike two turned boxes are, 0..=1, from the Bhattacharyya distance of the normal distributions that have their
    /// centres and extents ("ProbIoU": Llerena et al., arXiv:2106.06072); near their intersection over union, and what
    /// Ultralytics suppresses by.
    pub fn prob_iou(&self, other: &RotatedBox) -> f32 {
        const EPSILON: f32 = 1e-7;
        let ([a1, b1, c1], [a2, b2, c2]) = (self.covariance(), other.covariance());
        let [dx, dy] = [self.centre[0] - other.centre[0], self.centre[1] - other.centre[1]];
        let (a, b, c) = (a1 + a2, b1 + b2, c1 + c2);
        let determinant = a * b - c * c + EPSILON;
        let near = (a * dy * dy + b * dx * dx) / determinant * 0.25 - c * dx * dy / determinant * 0.5;
        let own = (a1 * b1 - c1 * c1).max(0.0) * (a2 * b2 - c2 * c2).max(0.0);
        let alike = ((a * b - c * c) / (4.0 * own.sqrt() + EPSILON) + EPSILON).ln() * 0.5;
        let distance = (near + alike).clamp(EPSILON, 100.0);
        1.0 - (1.0 - (-distance).exp() + EPSILON).sqrt()
    }

    /// Variance along x, along y, and covariance of an even distribution over the box.
    fn covariance(&self) -> [f32; 3] {
        let (sin, cos) = self.angle.sin_cos();
        let [w, h] = self.sides.map(|side| side * side / 12.0);
        [w * cos * cos + h * sin * sin, w * sin * sin + h * cos * cos, (w - h) * cos * sin]
    }
}

/// A turned box in the picture's pixels. Where the picture is stretched to the input's size, its corners are no right
/// angles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turned {
    /// x, y of its corners, one after another along its edge.
    pub corners: [[f32; 2]; 4],
}

impl Turned {
    /// The angle of its first edge, in radians from the x to the y axis.
    pub fn angle(&self) -> f32 {
        let [a, b, ..] = self.corners;
        (b[1] - a[1]).atan2(b[0] - a[0])
    }

    /// The smallest upright box `[x0, y0, x1, y1]` around it.
    pub fn bounds(&self) -> [f32; 4] {
        around(&self.corners)
    }

    /// The cells of `bounds` that it touches: those that no line along one of its edges parts from it (two convex things
    /// that are apart have such a line along an edge of one of them, and the edges of cells are those of `bounds`).
    pub fn outline(&self, bounds: [f32; 4]) -> Outline {
        let [w, h] = [bounds[2] - bounds[0], bounds[3] - bounds[1]].map(|side| side / OUTLINE_CELLS as f32);
        let [a, b, c, _] = self.corners;
        // across each pair of edges: the direction, and where the box lies along it
        let across = [[a, b, c], [b, c, a]].map(|[from, to, far]| {
            let normal = [to[1] - from[1], from[0] - to[0]];
            let along = |at: [f32; 2]| at[0] * normal[0] + at[1] * normal[1];
            let (near, far) = (along(from), along(far));
            (normal, near.min(far), near.max(far))
        });
        Outline::of(|column, row| {
            let [x, y] = [bounds[0] + (column as f32 + 0.5) * w, bounds[1] + (row as f32 + 0.5) * h];
            across.iter().all(|(normal, low, high)| {
                let reach = (w * normal[0].abs() + h * normal[1].abs()) / 2.0;
                let at = x * normal[0] + y * normal[1];
                // what rounding may add; a normal of no length parts nothing
                let slack = 1e-5 * (low.abs().max(high.abs()) + reach);
                at >= low - reach - slack && at <= high + reach + slack
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::f32::consts::PI;

    fn rotated() -> impl Strategy<Value = RotatedBox> {
        (10.0f32..90.0, 10.0f32..90.0, 1.0f32..60.0, 1.0f32..60.0, -PI..PI).prop_map(|(x, y, w, h, angle)| RotatedBox {
            centre: [x, y],
            sides: [w, h],
            angle,
        })
    }

    fn turned(made: &RotatedBox) -> Turned {
        Turned { corners: made.corners() }
    }

    #[test]
    fn cells_that_a_diamond_leaves_free_are_free() {
        let made = turned(&RotatedBox { centre: [50.0, 50.0], sides: [60.0, 60.0], angle: PI / 4.0 });
        let outline = made.outline(made.bounds());
        assert!((500..620).contains(&outline.cells()), "half of 1024 and its edge: {}", outline.cells());
        assert!(!outline.has(1, 1) && outline.has(16, 16));
    }

    #[test]
    fn a_quarter_turn_swaps_the_sides() {
        let made = turned(&RotatedBox::new([0.0, 0.0, 20.0, 10.0], PI / 2.0));
        let bounds = made.bounds();
        for (side, expected) in bounds.iter().zip([5.0, -5.0, 15.0, 15.0]) {
            assert!((side - expected).abs() < 1e-4, "{bounds:?}");
        }
        assert!(made.outline(bounds).is_full());
    }

    #[test]
    fn boxes_that_are_the_same_are_alike_and_far_ones_are_not() {
        let one = RotatedBox { centre: [50.0, 50.0], sides: [30.0, 10.0], angle: 0.4 };
        assert!(one.prob_iou(&one) > 0.99);
        assert!(one.prob_iou(&RotatedBox { angle: 0.4 + PI, ..one }) > 0.99, "half a turn changes nothing");
        assert!(one.prob_iou(&RotatedBox { angle: 0.4 + PI / 2.0, ..one }) < 0.6);
        assert!(one.prob_iou(&RotatedBox { centre: [500.0, 50.0], ..one }) < 0.01);
    }

    proptest! {
        #[test]
        fn the_outline_covers_the_box_and_the_bounds_hold_it(
            made in rotated(), stretch in 0.2f32..5.0, points in prop::collection::vec((0.0f32..1.0, 0.0f32..1.0), 40),
        ) {
            // as a stretched picture makes it
            let corners = made.corners().map(|[x, y]| [x * stretch, y]);
            let made = Turned { corners };
            let bounds = made.bounds();
            let outline = made.outline(bounds);
            for (u, v) in points {
                let along = |axis: usize| {
                    corners[0][axis] + u * (corners[1][axis] - corners[0][axis]) + v * (corners[3][axis] - corners[0][axis])
                };
                let [px, py] = [along(0), along(1)];
                prop_assert!(px >= bounds[0] - 1e-3 && px <= bounds[2] + 1e-3 && py >= bounds[1] - 1e-3 && py <= bounds[3] + 1e-3);
                let cell = |at: f32, from: f32, to: f32| ((at - from) / (to - from) * 32.0).clamp(0.0, 31.0) as usize;
                prop_assert!(outline.has(cell(px, bounds[0], bounds[2]), cell(py, bounds[1], bounds[3])));
            }
        }

        #[test]
        fn alike_goes_both_ways_and_stays_in_its_range(a in rotated(), b in rotated()) {
            let (one, other) = (a.prob_iou(&b), b.prob_iou(&a));
            prop_assert!((one - other).abs() < 1e-3 && (-1e-3..=1.0).contains(&one), "{one} {other}");
        }
    }
}
