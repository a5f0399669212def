//! Where an annotated or detected object is, more closely than its box: polygons, or COCO's runs of pixels.

use crate::detect::around;

/// A shape in a picture's pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    area: Area,
    /// `[x0, y0, x1, y1]` around it.
    bounds: [f32; 4],
}

#[derive(Debug, Clone, PartialEq)]
enum Area {
    /// What any of the rings surrounds.
    Any(Vec<Ring>),
    /// What an odd number of the rings surround.
    Odd(Vec<Ring>),
    /// Pixels column by column from the top left, in a picture so many pixels high: `ends[i]` is one past the last pixel of
    /// run i. Odd runs are the object.
    Runs { height: u32, ends: Vec<u64> },
}

/// The corners of a closed line, one after another.
pub type Ring = Vec<[f32; 2]>;

/// Points across and down at which two shapes are compared.
const SAMPLES: usize = 192;

impl Shape {
    /// What any of these rings surrounds; `None` if none has three points.
    pub fn any(rings: Vec<Ring>) -> Option<Shape> {
        let (rings, bounds) = bounded(rings)?;
        Some(Shape { area: Area::Any(rings), bounds })
    }

    /// What an odd number of these rings surround; `None` if none has three points.
    pub fn odd(rings: Vec<Ring>) -> Option<Shape> {
        let (rings, bounds) = bounded(rings)?;
        Some(Shape { area: Area::Odd(rings), bounds })
    }

    /// Runs of pixels column by column, first outside and then inside by turns, in a picture of `height` rows and `width`
    /// columns; `None` if they do not fill it, or nothing is inside.
    pub fn runs(counts: &[u32], height: u32, width: u32) -> Option<Shape> {
        let mut end = 0u64;
        let ends: Vec<u64> = counts
            .iter()
            .map(|&count| {
                end += u64::from(count);
                end
            })
            .collect();
        if height == 0 || end != u64::from(height) * u64::from(width) {
            return None;
        }
        let rows = u64::from(height);
        let corners = |pair: &[u64]| {
            let (first, last) = (pair[0], pair[1] - 1);
            let is_one_column = first / rows == last / rows;
            let (top, bottom) = if is_one_column { (first % rows, last % rows) } else { (0, rows - 1) };
            [[(first / rows) as f32, top as f32], [(last / rows + 1) as f32, (bottom + 1) as f32]]
        };
        let inside = ends.chunks_exact(2).filter(|pair| pair[1] > pair[0]);
        let corners: Vec<[f32; 2]> = inside.flat_map(corners).collect();
        let bounds = around(&corners);
        bounds[0].is_finite().then_some(Shape { area: Area::Runs { height, ends }, bounds })
    }

    /// As [`Shape::runs`], of COCO's compressed text: groups of five bits from 48 up, the lowest first, a sixth bit where
    /// more follow; from the third run on the difference to the run before last.
    pub fn compressed_runs(text: &str, height: u32, width: u32) -> Option<Shape> {
        let mut counts: Vec<u32> = Vec::new();
        let mut bytes = text.bytes();
        while let Some(mut byte) = bytes.next() {
            let (mut value, mut shift) = (0i64, 0);
            loop {
                let group = i64::from(byte.checked_sub(48).filter(|group| *group < 64)?);
                value |= (group & 0x1f) << shift;
                shift += 5;
                if group & 0x20 == 0 {
                    if group & 0x10 != 0 {
                        value |= -1i64 << shift; // the sign goes on
                    }
                    break;
                }
                if shift > 40 {
                    return None;
                }
                byte = bytes.next()?;
            }
            if counts.len() > 2 {
                value += i64::from(counts[counts.len() - 2]);
            }
            counts.push(u32::try_from(value).ok()?);
        }
        Shape::runs(&counts, height, width)
    }

    /// Whether it can be of a picture of this size: runs are of one size alone.
    pub fn fits(&self, (width, height): (u32, u32)) -> bool {
        match &self.area {
            Area::Runs { height: rows, ends } => {
                *rows == height && ends.last() == Some(&(u64::from(width) * u64::from(height)))
            }
            Area::Any(_) | Area::Odd(_) => true,
        }
    }

    /// Intersection over union with another shape, from a raster of points over the box around both.
    pub fn iou(&self, other: &Shape) -> f32 {
        let (a, b) = (&self.bounds, &other.bounds);
        if a[0] >= b[2] || b[0] >= a[2] || a[1] >= b[3] || b[1] >= a[3] {
            return 0.0;
        }
        let [x0, y0, x1, y1] = [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])];
        let [step_x, step_y] = [(x1 - x0) / SAMPLES as f32, (y1 - y0) / SAMPLES as f32];
        let (mut both, mut either) = (0u32, 0u32);
        let mut rows = [[false; SAMPLES]; 2];
        for row in 0..SAMPLES {
            let y = y0 + (row as f32 + 0.5) * step_y;
            self.row(y, x0, step_x, &mut rows[0]);
            other.row(y, x0, step_x, &mut rows[1]);
            for (a, b) in rows[0].iter().zip(&rows[1]) {
                both += u32::from(*a && *b);
                either += u32::from(*a || *b);
            }
        }
        if either == 0 { 0.0 } else { both as f32 / either as f32 }
    }

    /// Whether each of the points x0 + (i + 1/2) step of a row is inside.
    pub fn row(&self, y: f32, x0: f32, step: f32, inside: &mut [bool]) {
        inside.fill(false);
        match &self.area {
            Area::Any(rings) => {
                let mut one = vec![false; inside.len()];
                for ring in rings {
                    one.fill(false);
                    flip(ring, y, x0, step, &mut one);
                    inside.iter_mut().zip(&one).for_each(|(all, one)| *all |= one);
                }
            }
            Area::Odd(rings) => rings.iter().for_each(|ring| flip(ring, y, x0, step, inside)),
            Area::Runs { height, ends } => {
                for (index, inside) in inside.iter_mut().enumerate() {
                    let x = x0 + (index as f32 + 0.5) * step;
                    if x < 0.0 || y < 0.0 || y >= *height as f32 {
                        continue;
                    }
                    let pixel = x as u64 * u64::from(*height) + y as u64;
                    let run = ends.partition_point(|end| *end <= pixel);
                    *inside = run % 2 == 1 && run < ends.len();
                }
            }
        }
    }
}

/// Changes the state of each point of a row as often as edges of the ring lie to its right.
fn flip(ring: &[[f32; 2]], y: f32, x0: f32, step: f32, inside: &mut [bool]) {
    for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        if (a[1] > y) == (b[1] > y) {
            continue;
        }
        let x = a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]);
        // points before it: a cast saturates
        let before = (((x - x0) / step - 0.5).ceil().max(0.0) as usize).min(inside.len());
        inside[..before].iter_mut().for_each(|inside| *inside = !*inside);
    }
}

/// The rings that have an inside, and the box around them.
fn bounded(rings: Vec<Ring>) -> Option<(Vec<Ring>, [f32; 4])> {
    let is_ring = |ring: &Ring| ring.len() > 2 && ring.iter().flatten().all(|at| at.is_finite());
    let rings: Vec<Ring> = rings.into_iter().filter(is_ring).collect();
    let bounds = around(rings.iter().flatten());
    (!rings.is_empty()).then_some((rings, bounds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn square(x: f32, y: f32, side: f32) -> Vec<[f32; 2]> {
        vec![[x, y], [x + side, y], [x + side, y + side], [x, y + side]]
    }

    #[test]
    fn worked_by_hand() {
        let one = Shape::any(vec![square(0.0, 0.0, 10.0)]).unwrap();
        assert_eq!(one.iou(&one), 1.0);
        let half = Shape::any(vec![square(5.0, 0.0, 10.0)]).unwrap();
        assert!((one.iou(&half) - 1.0 / 3.0).abs() < 0.01);
        assert_eq!(one.iou(&Shape::any(vec![square(20.0, 0.0, 10.0)]).unwrap()), 0.0);
        // a diamond in its box
        let diamond = Shape::any(vec![vec![[5.0, 0.0], [10.0, 5.0], [5.0, 10.0], [0.0, 5.0]]]).unwrap();
        assert!((one.iou(&diamond) - 0.5).abs() < 0.01);
        // a hole, or two that lie over each other
        let rings = vec![square(0.0, 0.0, 10.0), square(2.5, 2.5, 5.0)];
        assert!((one.iou(&Shape::odd(rings.clone()).unwrap()) - 0.75).abs() < 0.01);
        assert_eq!(one.iou(&Shape::any(rings).unwrap()), 1.0);
        assert_eq!(Shape::any(vec![vec![[0.0, 0.0], [1.0, 1.0]]]), None);
    }

    /// Two columns of five rows: rows 1 to 3 of both.
    #[test]
    fn runs_go_down_the_columns() {
        let runs = Shape::runs(&[1, 3, 2, 3, 1], 5, 2).unwrap();
        assert_eq!(runs.bounds, [0.0, 1.0, 2.0, 4.0]);
        let same = Shape::any(vec![vec![[0.0, 1.0], [2.0, 1.0], [2.0, 4.0], [0.0, 4.0]]]).unwrap();
        assert!(runs.iou(&same) > 0.99);
        assert_eq!(Shape::runs(&[1, 3, 2, 3], 5, 2), None, "they do not fill the picture");
        assert_eq!(Shape::runs(&[10], 5, 2), None, "nothing is inside");
        // the same, compressed: the fourth and the fifth are written as differences to the second and third
        assert_eq!(Shape::compressed_runs("1320O", 5, 2), Some(runs));
        assert_eq!(Shape::compressed_runs("13", 5, 2), None);
        assert_eq!(Shape::compressed_runs("\u{e4}", 5, 2), None);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,40}", height in any::<u32>(), width in any::<u32>()) {
            let _ = Shape::compressed_runs(&text, height, width);
        }

        #[test]
        fn boxes_overlap_as_boxes_do(a in prop::array::uniform3(1.0f32..60.0), b in prop::array::uniform3(1.0f32..60.0)) {
            let bounds = |s: [f32; 3]| [s[0], s[1], s[0] + s[2], s[1] + s[2]];
            let shape = |s: [f32; 3]| Shape::any(vec![square(s[0], s[1], s[2])]).unwrap();
            let (exact, found) = (crate::detect::nms::iou(&bounds(a), &bounds(b)), shape(a).iou(&shape(b)));
            prop_assert!((exact - found).abs() < 0.03, "{} {}", exact, found);
        }
    }
}
