//! Where something is hidden: rectangles of whole pixels inside one frame, or the parts of them that an object touches, in
//! a list that never grows past its bound.

use std::ops::Range;

use lapwing_vision::detect::{OUTLINE_CELLS, Outline};

/// Most regions of one frame. What is more is not left out: it widens the last region.
pub const REGIONS_MAX: usize = 160;

/// Whole pixels `x0..x1` by `y0..y1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// First column.
    pub x0: u32,
    /// First row.
    pub y0: u32,
    /// One past the last column; more than `x0`.
    pub x1: u32,
    /// One past the last row; more than `y0`.
    pub y1: u32,
}

impl Rect {
    /// Every pixel of a frame of `width` x `height` that the box `[x0, y0, x1, y1]` touches; `None` if there is none.
    /// A NaN edge is the frame's own edge on the left and above, so that a broken box covers rather than shows.
    pub fn touched(bounds: [f32; 4], width: u32, height: u32) -> Option<Rect> {
        let bounds = ordered(bounds);
        let far = |edge: f32, end: u32| if edge.is_nan() { end } else { (edge.ceil().max(0.0) as u32).min(end) };
        // casts of floats saturate, and NaN becomes 0
        let near = |edge: f32, end: u32| (edge.floor().max(0.0) as u32).min(end);
        let rect = Rect {
            x0: near(bounds[0], width),
            y0: near(bounds[1], height),
            x1: far(bounds[2], width),
            y1: far(bounds[3], height),
        };
        (rect.x0 < rect.x1 && rect.y0 < rect.y1).then_some(rect)
    }

    /// What lies in a frame of `width` x `height`; `None` if nothing does.
    pub fn within(&self, width: u32, height: u32) -> Option<Rect> {
        let cut = Rect { x0: self.x0, y0: self.y0, x1: self.x1.min(width), y1: self.y1.min(height) };
        (cut.x0 < cut.x1 && cut.y0 < cut.y1).then_some(cut)
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.x1 - self.x0
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.y1 - self.y0
    }

    /// Pixels.
    pub fn area(&self) -> u64 {
        u64::from(self.width()) * u64::from(self.height())
    }

    /// Whether every pixel of `other` is one of this.
    pub fn holds(&self, other: &Rect) -> bool {
        self.x0 <= other.x0 && self.y0 <= other.y0 && self.x1 >= other.x1 && self.y1 >= other.y1
    }

    /// Pixels that both have.
    pub fn shared(&self, other: &Rect) -> u64 {
        let across = self.x1.min(other.x1).saturating_sub(self.x0.max(other.x0));
        let down = self.y1.min(other.y1).saturating_sub(self.y0.max(other.y0));
        u64::from(across) * u64::from(down)
    }

    /// The smallest rectangle around both.
    pub fn around(&self, other: &Rect) -> Rect {
        Rect {
            x0: self.x0.min(other.x0),
            y0: self.y0.min(other.y0),
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
        }
    }
}

/// A box whose edges may be the wrong way round, the right way round: whoever is between them is hidden.
pub fn ordered([x0, y0, x1, y1]: [f32; 4]) -> [f32; 4] {
    let pair = |a: f32, b: f32| if a > b { [b, a] } else { [a, b] };
    let ([x0, x1], [y0, y1]) = (pair(x0, x1), pair(y0, y1));
    [x0, y0, x1, y1]
}

/// Pixels of rectangles, those that several share once.
pub fn union_px(rects: impl Iterator<Item = Rect> + Clone) -> u64 {
    // strip by strip between two edges, left to right, and in each from the top down; nothing is allocated
    let next_after = |x: u32| rects.clone().flat_map(|r| [r.x0, r.x1]).filter(|&edge| edge > x).min();
    let (mut px, mut left) = (0, rects.clone().map(|r| r.x0).min());
    while let Some(x0) = left {
        let Some(x1) = next_after(x0) else { break };
        let inside = || rects.clone().filter(|r| r.x0 <= x0 && r.x1 >= x1);
        let (mut y, mut rows) = (0, 0);
        while let Some(top) = inside().filter(|r| r.y1 > y).map(|r| r.y0.max(y)).min() {
            let bottom = inside().filter(|r| r.y0 <= top && r.y1 > top).map(|r| r.y1).max().unwrap_or(top);
            rows += u64::from(bottom - top);
            y = bottom;
        }
        px += rows * u64::from(x1 - x0);
        left = Some(x1);
    }
    px
}

/// What is to be hidden: the parts of a rectangle that an outline has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// The rectangle around it.
    pub rect: Rect,
    /// The parts of the rectangle that are hidden.
    pub outline: Outline,
    /// What the random numbers of its fill begin with; the same object has the same one in every frame.
    pub seed: u64,
}

/// Cells of an outline, as pixels are counted.
const CELLS: u64 = OUTLINE_CELLS as u64;

impl Region {
    /// All of a rectangle.
    pub fn whole(rect: Rect, seed: u64) -> Region {
        Region { rect, outline: Outline::FULL, seed }
    }

    /// Whatever of a frame of `width` x `height` pixels is nearer than `margin` pixels, across and down, to the parts of the
    /// box `bounds` that `outline` has; `None` if nothing is.
    pub fn around(
        bounds: [f32; 4],
        outline: &Outline,
        margin: f32,
        (width, height): (u32, u32),
        seed: u64,
    ) -> Option<Region> {
        let [x0, y0, x1, y1] = ordered(bounds);
        let rect = Rect::touched([x0 - margin, y0 - margin, x1 + margin, y1 + margin], width, height)?;
        let has_sides = x1 - x0 > 0.0 && y1 - y0 > 0.0 && bounds.iter().all(|edge| edge.is_finite());
        if outline.is_full() || !has_sides {
            return Some(Region::whole(rect, seed));
        }
        // the box's cells that are nearer than the margin to a pixel of a cell of the rectangle
        let near = |cell: usize, first: u32, length: u32, from: f32, to: f32| {
            let edge = |cell: usize| first as f32 + cell as f32 * length as f32 / OUTLINE_CELLS as f32;
            let place = |at: f32| (at - from) / (to - from) * OUTLINE_CELLS as f32;
            let (low, high) = (place(edge(cell) - margin - 1.0).floor(), place(edge(cell + 1) + margin + 1.0).floor());
            // casts saturate; a range that ends before the first cell is empty
            if high < 0.0 { [1, 0] } else { [low as usize, high as usize] }
        };
        let columns: [[usize; 2]; OUTLINE_CELLS] =
            std::array::from_fn(|cell| near(cell, rect.x0, rect.width(), x0, x1));
        let rows: [[usize; 2]; OUTLINE_CELLS] = std::array::from_fn(|cell| near(cell, rect.y0, rect.height(), y0, y1));
        let outline = Outline::of(|column, row| outline.has_any(columns[column], rows[row]));
        Some(Region { rect, outline, seed })
    }

    /// Its pixels inside a frame of `width` x `height`; `None` if nothing of it is.
    pub fn within(&self, width: u32, height: u32) -> Option<Region> {
        let rect = self.rect.within(width, height)?;
        // cells are shares of the rectangle: where it is cut they are others
        Some(if rect == self.rect { *self } else { Region::whole(rect, self.seed) })
    }

    /// Whether a pixel is hidden.
    pub fn has(&self, x: u32, y: u32) -> bool {
        let Rect { x0, y0, x1, y1 } = self.rect;
        let cell = |at: u32, from: u32, to: u32| (u64::from(at - from) * CELLS / u64::from(to - from)) as usize;
        (x0..x1).contains(&x) && (y0..y1).contains(&y) && self.outline.has(cell(x, x0, x1), cell(y, y0, y1))
    }

    /// Whether every pixel of `other` is one of this.
    pub fn holds(&self, other: &Region) -> bool {
        let is_same = self.rect == other.rect && self.outline == other.outline;
        is_same || self.outline.is_full() && self.rect.holds(&other.rect)
    }

    /// The hidden columns of row `y` of the frame, from left to right.
    pub fn spans(&self, y: u32) -> impl Iterator<Item = Range<u32>> + use<> {
        let Region { rect, outline, .. } = *self;
        let row = (u64::from(y.saturating_sub(rect.y0)) * CELLS / u64::from(rect.height())) as usize;
        let edge = move |cell: usize| rect.x0 + (cell as u64 * u64::from(rect.width())).div_ceil(CELLS) as u32;
        let is_inside = (rect.y0..rect.y1).contains(&y);
        let mut column = 0;
        std::iter::from_fn(move || {
            let start = (column..OUTLINE_CELLS).find(|&cell| is_inside && outline.has(cell, row))?;
            let end = (start..OUTLINE_CELLS).find(|&cell| !outline.has(cell, row)).unwrap_or(OUTLINE_CELLS);
            column = end;
            Some(edge(start)..edge(end))
        })
    }
}

/// The regions of one frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Regions {
    list: heapless::Vec<Region, REGIONS_MAX>,
}

impl Regions {
    /// The regions.
    pub fn as_slice(&self) -> &[Region] {
        &self.list
    }

    /// Pixels of all rectangles; those that two share count twice.
    pub fn area(&self) -> u64 {
        self.list.iter().map(|r| r.rect.area()).sum()
    }

    /// Adds a region, unless another one holds it; those that it holds go.
    pub fn add(&mut self, region: Region) {
        if self.list.iter().any(|r| r.holds(&region)) {
            return;
        }
        self.list.retain(|r| !region.holds(r));
        if let Err(region) = self.list.push(region)
            && let Some(last) = self.list.last_mut()
        {
            *last = Region::whole(last.rect.around(&region.rect), last.seed);
        }
    }

    /// Adds every pixel that a box touches.
    pub fn add_box(&mut self, bounds: [f32; 4], width: u32, height: u32, seed: u64) {
        if let Some(rect) = Rect::touched(bounds, width, height) {
            self.add(Region::whole(rect, seed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_box_touches_whole_pixels_and_a_broken_one_the_frame() {
        let touched = |b| Rect::touched(b, 10, 8).map(|r| [r.x0, r.y0, r.x1, r.y1]);
        assert_eq!(touched([1.9, 2.0, 3.1, 4.0]), Some([1, 2, 4, 4]));
        assert_eq!(touched([f32::NAN; 4]), Some([0, 0, 10, 8]));
        assert_eq!(touched([-1e30, -5.0, f32::INFINITY, 1e9]), Some([0, 0, 10, 8]));
        assert_eq!(touched([3.0, 3.0, 3.0, 5.0]), None);
        assert_eq!(touched([20.0, 0.0, 30.0, 5.0]), None);
        assert_eq!(touched([3.1, 4.0, 1.9, 2.0]), Some([1, 2, 4, 4]), "edges the wrong way round");
    }

    proptest! {
        #[test]
        fn shared_pixels_count_once(boxes in prop::collection::vec((0u32..30, 0u32..30, 1u32..12, 1u32..12), 0..12)) {
            let rects = boxes.iter().map(|&(x, y, w, h)| Rect { x0: x, y0: y, x1: x + w, y1: y + h });
            let is_in = |x: u32, y: u32| rects.clone().any(|r| (r.x0..r.x1).contains(&x) && (r.y0..r.y1).contains(&y));
            let counted = (0..50).flat_map(|y| (0..50).map(move |x| (x, y))).filter(|&(x, y)| is_in(x, y)).count();
            prop_assert_eq!(union_px(rects), counted as u64);
        }

        /// However many come, every pixel of every region stays in some region.
        #[test]
        fn nothing_is_left_out(
            boxes in prop::collection::vec((0u32..90, 0u32..90, 1u32..10, 1u32..10, any::<u32>()), 0..400),
        ) {
            let mut regions = Regions::default();
            let all: Vec<Region> = boxes
                .into_iter()
                .map(|(x, y, w, h, bits)| {
                    let rect = Rect { x0: x, y0: y, x1: x + w, y1: y + h };
                    let whole = bits % 2 == 0;
                    Region { rect, outline: Outline::of(|x, y| whole || bits >> ((x + 3 * y) % 32) & 1 == 1), seed: 0 }
                })
                .collect();
            for (seed, &region) in all.iter().enumerate() {
                regions.add(Region { seed: seed as u64, ..region });
            }
            for region in all {
                for y in region.rect.y0..region.rect.y1 {
                    for x in region.spans(y).flatten() {
                        prop_assert!(regions.as_slice().iter().any(|r| r.has(x, y)));
                    }
                }
            }
        }

        /// The spans of rows are the pixels that it has.
        #[test]
        fn spans_are_pixels(x in 0u32..20, y in 0u32..20, w in 1u32..80, h in 1u32..80, bits in any::<u64>()) {
            let rect = Rect { x0: x, y0: y, x1: x + w, y1: y + h };
            let region = Region { rect, outline: Outline::of(|x, y| bits >> ((x * 5 + y * 3) % 64) & 1 == 1), seed: 0 };
            for y in 0..110 {
                let spans: Vec<u32> = region.spans(y).flatten().collect();
                let plain: Vec<u32> = (0..110).filter(|&x| region.has(x, y)).collect();
                prop_assert_eq!(spans, plain);
            }
        }

        /// Every pixel that is within the margin of a part of the object is hidden, and pixels far from it are not.
        #[test]
        fn a_region_around_an_outline_is_its_margin(
            x0 in -20.0f32..60.0, y0 in -20.0f32..60.0, w in 1.0f32..60.0, h in 1.0f32..60.0, margin in 1.0f32..9.0,
            cells in prop::collection::vec((0usize..32, 0usize..32), 1..6),
        ) {
            let outline = Outline::of(|x, y| cells.contains(&(x, y)));
            let bounds = [x0, y0, x0 + w, y0 + h];
            let Some(region) = Region::around(bounds, &outline, margin, (90, 80), 1) else { return Ok(()) };
            let far = |x: u32, y: u32| {
                let distance = |at: u32, cell: usize, from: f32, side: f32| {
                    let (low, high) = (from + cell as f32 * side / 32.0, from + (cell + 1) as f32 * side / 32.0);
                    (low - (at as f32 + 1.0)).max(at as f32 - high).max(0.0)
                };
                cells.iter().map(|&(cx, cy)| distance(x, cx, x0, w).max(distance(y, cy, y0, h))).fold(f32::MAX, f32::min)
            };
            // a cell of the rectangle is hidden whole
            let coarse = (w + 2.0 * margin).max(h + 2.0 * margin) / 32.0 + w.max(h) / 32.0 + 4.0;
            for y in 0..80 {
                for x in 0..90 {
                    prop_assert!(region.has(x, y) || far(x, y) > margin - 1e-3, "{} {}", x, y);
                    prop_assert!(!region.has(x, y) || far(x, y) <= margin + coarse, "{} {} {}", x, y, far(x, y));
                }
            }
        }
    }
}
