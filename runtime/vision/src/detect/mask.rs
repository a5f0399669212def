//! The mask of one object: where it is inside its box.

use contour::ContourBuilder;

use super::outline::{OUTLINE_CELLS, Outline};
use crate::head::Prototypes;
use crate::input::Fitting;

/// A mask that covers less of its box than this is taken for a failure: whatever hides, hides the box.
const COVERED_MIN: u32 = (OUTLINE_CELLS * OUTLINE_CELLS) as u32 / 10;

/// A mask: values on a grid, between which it is linear; the object is where they are positive, inside the box.
///
/// The grid is that of the network's prototypes, and coarser than the picture. Decoding is that of YOLACT (Bolya et al.,
/// arXiv:1904.02689): the prototypes, each times the box's coefficient, are added up, enlarged and cut by the box.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mask {
    /// (rows, columns)
    values: Vec<f32>,
    columns: usize,
    rows: usize,
    /// Picture pixels of the first value.
    first: [f32; 2],
    /// Picture pixels from one value to the next.
    step: [f32; 2],
    /// `[x0, y0, x1, y1]` in picture pixels.
    bounds: [f32; 4],
}

impl Mask {
    /// Room for any mask of these prototypes.
    pub(super) fn with_room(prototypes: &Prototypes) -> Mask {
        Mask { values: Vec::with_capacity(prototypes.shape.height * prototypes.shape.width), ..Mask::default() }
    }

    /// Makes the mask of a box: `values` are the prototypes, (h, w, coefficients); `input` is the box in input pixels.
    pub(super) fn make(
        &mut self,
        prototypes: &Prototypes,
        values: &[f32],
        coefficients: &[f32],
        input: [f32; 4],
        fitting: &Fitting,
    ) {
        let [width, height] = [prototypes.shape.width, prototypes.shape.height];
        // the cells whose centres are next to the box, on either side of its edges
        let place = |edge: f32, stride: f32| edge / stride - 0.5;
        let [stride_x, stride_y] = prototypes.stride;
        let [left, right] =
            [place(input[0], stride_x).floor(), place(input[2], stride_x).ceil()].map(|at| line(at, width));
        let [top, bottom] =
            [place(input[1], stride_y).floor(), place(input[3], stride_y).ceil()].map(|at| line(at, height));
        self.columns = right.max(left) - left + 1;
        self.rows = bottom.max(top) - top + 1;
        let centre = [(left as f32 + 0.5) * stride_x, (top as f32 + 0.5) * stride_y];
        self.first = fitting.point_to_picture(centre);
        self.step = [stride_x / fitting.scale_x, stride_y / fitting.scale_y];
        self.bounds = fitting.to_picture(input);
        self.values.clear();
        let channels = coefficients.len();
        for y in top..top + self.rows {
            let cells = &values[(y * width + left) * channels..][..self.columns * channels];
            self.values.extend(cells.chunks_exact(channels).map(|cell| weighed(cell, coefficients)));
        }
    }

    /// The box that cuts it, `[x0, y0, x1, y1]` in picture pixels.
    pub fn bounds(&self) -> [f32; 4] {
        self.bounds
    }

    /// Whether the object is at x, y, in picture pixels.
    pub fn has(&self, x: f32, y: f32) -> bool {
        let [x0, y0, x1, y1] = self.bounds;
        x >= x0 && x <= x1 && y >= y0 && y <= y1 && self.value(x, y) > 0.0
    }

    /// Between the four values around x, y; beyond the grid as at its edge.
    fn value(&self, x: f32, y: f32) -> f32 {
        let place = |at: f32, axis: usize, count: usize| {
            let at = ((at - self.first[axis]) / self.step[axis]).clamp(0.0, (count.max(1) - 1) as f32);
            let low = at.floor();
            (low as usize, (low as usize + 1).min(count.max(1) - 1), at - low)
        };
        let (left, right, across) = place(x, 0, self.columns);
        let (top, bottom, down) = place(y, 1, self.rows);
        let of = |row: usize, column: usize| self.values.get(row * self.columns + column).copied().unwrap_or(0.0);
        let upper = of(top, left) + (of(top, right) - of(top, left)) * across;
        let lower = of(bottom, left) + (of(bottom, right) - of(bottom, left)) * across;
        upper + (lower - upper) * down
    }

    /// The cells of its box that it touches, and those between values of the grid of which one is positive;
    /// [`Outline::FULL`] if that is next to nothing.
    pub fn outline(&self) -> Outline {
        // between four values none is above the greatest of them: the values around each cell
        let around = |axis: usize, count: usize| -> [(usize, usize); OUTLINE_CELLS] {
            let [low, high] = [self.bounds[axis], self.bounds[axis + 2]];
            let place = |share: f32| (low + share * (high - low) - self.first[axis]) / self.step[axis];
            std::array::from_fn(|cell| {
                let [from, to] = [cell, cell + 1].map(|edge| place(edge as f32 / OUTLINE_CELLS as f32));
                (line(from.floor(), count), line(to.ceil(), count))
            })
        };
        let (columns, rows) = (around(0, self.columns), around(1, self.rows));
        let outline = Outline::of(|column, row| {
            let ((left, right), (top, bottom)) = (columns[column], rows[row]);
            (top..=bottom).any(|y| {
                let values = self.values.get(y * self.columns + left..=y * self.columns + right);
                values.unwrap_or(&[]).iter().any(|value| *value > 0.0)
            })
        });
        if outline.cells() < COVERED_MIN { Outline::FULL } else { outline }
    }

    /// Its edge as closed polygons in picture pixels, the last point of each being its first: marching squares between the
    /// values of the grid. What an odd number of them surround is the object, so that a hole is a polygon of its own.
    pub fn polygons(&self) -> Vec<Vec<[f32; 2]>> {
        let [xs, ys] = [self.lines(0, self.columns), self.lines(1, self.rows)];
        let values: Vec<f32> = ys.iter().flat_map(|&y| xs.iter().map(move |&x| self.value(x, y))).collect();
        let rings = ContourBuilder::new(xs.len(), ys.len(), true).lines(&values, &[0.0]).unwrap_or_default();
        let rings = rings.iter().flat_map(|line| &line.geometry().0);
        rings.map(|ring| ring.coords().map(|at| [on_line(&xs, at.x), on_line(&ys, at.y)]).collect()).collect()
    }

    /// The grid's lines inside the box, and the edges of the box.
    fn lines(&self, axis: usize, count: usize) -> Vec<f32> {
        let (low, high) = (self.bounds[axis], self.bounds[axis + 2]);
        let inner = (0..count).map(|index| self.first[axis] + index as f32 * self.step[axis]);
        [low].into_iter().chain(inner.filter(|at| *at > low && *at < high)).chain([high]).collect()
    }
}

/// Largest value of a mask: what is more, or cannot be told, is the object for sure.
const VALUE_MAX: f32 = 1e30;

/// The sum of prototypes at one place, each times its coefficient; in eight parts, which the compiler computes at once.
fn weighed(prototypes: &[f32], coefficients: &[f32]) -> f32 {
    let ((eights, rest), (others, other_rest)) = (prototypes.as_chunks::<8>(), coefficients.as_chunks::<8>());
    let mut parts = [0.0f32; 8];
    for (a, b) in eights.iter().zip(others) {
        for (part, (a, b)) in parts.iter_mut().zip(a.iter().zip(b)) {
            *part += a * b;
        }
    }
    let sum = parts.iter().sum::<f32>() + rest.iter().zip(other_rest).map(|(a, b)| a * b).sum::<f32>();
    if sum.is_nan() { VALUE_MAX } else { sum.clamp(-VALUE_MAX, VALUE_MAX) }
}

/// The line of a grid of `count` that is nearest to a whole number.
fn line(at: f32, count: usize) -> usize {
    (at.max(0.0) as usize).min(count.max(1) - 1)
}

/// A place among lines: half a line is added to it, and beyond the first and the last there is nothing.
fn on_line(lines: &[f32], place: f32) -> f32 {
    let place = (place - 0.5).clamp(0.0, lines.len() as f32 - 1.0);
    let low = (place as usize).min(lines.len().saturating_sub(2));
    lines[low] + (lines[low + 1] - lines[low]) * (place - low as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_engine::ir::Shape;
    use lapwing_engine::manifest::{AxisOrder, Colour, Fit, InputSpec, Resize};
    use proptest::prelude::*;

    const SIDE: usize = 12;

    /// A mask of one prototype with these values, in a picture twice as large as the input of 48 pixels.
    fn mask(values: &[f32], input: [f32; 4]) -> Mask {
        let spec = InputSpec {
            width: 48,
            height: 48,
            colour: Colour::Rgb,
            layout: AxisOrder::Nchw,
            mean: [0.0; 3],
            scale: [1.0; 3],
            fit: Fit::LetterboxCentred,
            pad: 114,
            resize: Resize::Area,
        };
        let shape = Shape { height: SIDE, width: SIDE, channels: 1 };
        let prototypes = Prototypes { output: 1, shape, stride: [4.0, 4.0] };
        let fitting = Fitting::new(&spec, 96, 96);
        let mut mask = Mask::with_room(&prototypes);
        mask.make(&prototypes, values, &[1.0], input, &fitting);
        mask
    }

    /// Whether an odd number of polygons surround a point.
    fn is_inside(polygons: &[Vec<[f32; 2]>], [x, y]: [f32; 2]) -> bool {
        let crossings = polygons.iter().flat_map(|ring| ring.windows(2)).filter(|edge| {
            let ([x0, y0], [x1, y1]) = (edge[0], edge[1]);
            (y0 > y) != (y1 > y) && x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)
        });
        crossings.count() % 2 == 1
    }

    #[test]
    fn a_mask_is_cut_by_its_box_and_a_hole_is_a_polygon() {
        let ring: Vec<f32> = (0..SIDE * SIDE)
            .map(|at| {
                let (x, y) = ((at % SIDE) as f32 - 5.5, (at / SIDE) as f32 - 5.5);
                let far = x.hypot(y);
                (4.0 - far).min(far - 1.5)
            })
            .collect();
        let whole = mask(&ring, [0.0, 0.0, 48.0, 48.0]);
        assert_eq!(whole.polygons().len(), 2);
        assert!(!whole.has(48.0, 48.0) && whole.has(72.0, 48.0) && !whole.has(90.0, 48.0));
        assert!(!whole.outline().has(16, 16) && whole.outline().has(24, 16) && !whole.outline().has(30, 1));
        let half = mask(&ring, [24.0, 0.0, 48.0, 48.0]);
        assert_eq!(half.polygons().len(), 1, "it is open to the left, where the box cuts it");
        assert!(half.polygons()[0].iter().all(|[x, _]| *x >= 48.0));
        assert!(!half.has(40.0, 20.0) && whole.has(40.0, 20.0));
    }

    #[test]
    fn a_mask_of_next_to_nothing_hides_the_box() {
        let mut values = vec![-1.0; SIDE * SIDE];
        assert!(mask(&values, [4.0, 4.0, 40.0, 40.0]).outline().is_full());
        assert!(mask(&values, [4.0, 4.0, 40.0, 40.0]).polygons().is_empty());
        values[SIDE * 6 + 6] = 0.1;
        assert!(mask(&values, [0.0, 0.0, 48.0, 48.0]).outline().is_full());
    }

    #[test]
    fn a_sum_that_cannot_be_told_is_the_object() {
        assert_eq!(weighed(&[f32::MAX; 9], &[3.0; 9]), VALUE_MAX);
        assert_eq!(weighed(&[f32::MAX, -f32::MAX], &[3.0; 2]), VALUE_MAX, "infinity less infinity");
        assert_eq!(weighed(&[1.0; 11], &[2.0; 11]), 22.0);
        let mask = mask(&[f32::INFINITY; SIDE * SIDE], [4.0, 4.0, 40.0, 40.0]);
        assert!(mask.has(40.0, 40.0) && mask.outline().is_full());
    }

    proptest! {
        /// Whatever the values, the polygons are around the object and nothing else, but for what lies next to its edge, and
        /// the outline covers all of it.
        #[test]
        fn polygons_and_outline_are_the_mask(
            values in prop::collection::vec(prop_oneof![-2.0f32..-0.2, 0.2f32..2.0], SIDE * SIDE),
            input in prop::array::uniform4(0.0f32..48.0), points in prop::collection::vec((0.0f32..1.0, 0.0f32..1.0), 60),
        ) {
            let input = [input[0].min(input[2]), input[1].min(input[3]), input[0].max(input[2]) + 3.0, input[1].max(input[3]) + 3.0];
            let mask = mask(&values, input);
            let ([x0, y0, x1, y1], polygons, outline) = (mask.bounds(), mask.polygons(), mask.outline());
            for ring in &polygons {
                prop_assert_eq!(ring.first(), ring.last());
                prop_assert!(ring.iter().all(|[x, y]| *x >= x0 - 1e-3 && *x <= x1 + 1e-3 && *y >= y0 - 1e-3 && *y <= y1 + 1e-3));
            }
            for (u, v) in points {
                let [x, y] = [x0 + u * (x1 - x0), y0 + v * (y1 - y0)];
                if mask.has(x, y) {
                    prop_assert!(outline.has(((u * 32.0) as usize).min(31), ((v * 32.0) as usize).min(31)));
                }
                // a square of the grid may be cut along straight lines where the values are curved
                if mask.value(x, y).abs() > 1.0 {
                    prop_assert_eq!(is_inside(&polygons, [x, y]), mask.has(x, y), "{} {} {:?}", x, y, polygons);
                }
            }
        }
    }
}
