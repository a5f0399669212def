//! Where something is hidden: rectangles of whole pixels inside one frame, in a list that never grows past its bound.

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

/// A rectangle to hide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Its pixels.
    pub rect: Rect,
    /// What the random numbers of its fill begin with; the same object has the same one in every frame.
    pub seed: u64,
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

    /// Pixels of all regions; those that two share count twice.
    pub fn area(&self) -> u64 {
        self.list.iter().map(|r| r.rect.area()).sum()
    }

    /// Adds a region, unless another one holds it; those that it holds go.
    pub fn add(&mut self, region: Region) {
        if self.list.iter().any(|r| r.rect.holds(&region.rect)) {
            return;
        }
        self.list.retain(|r| !region.rect.holds(&r.rect));
        if let Err(region) = self.list.push(region)
            && let Some(last) = self.list.last_mut()
        {
            last.rect = last.rect.around(&region.rect);
        }
    }

    /// Adds every pixel that a box touches.
    pub fn add_box(&mut self, bounds: [f32; 4], width: u32, height: u32, seed: u64) {
        if let Some(rect) = Rect::touched(bounds, width, height) {
            self.add(Region { rect, seed });
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
    }

    proptest! {
        #[test]
        fn shared_pixels_count_once(boxes in prop::collection::vec((0u32..30, 0u32..30, 1u32..12, 1u32..12), 0..12)) {
            let rects = boxes.iter().map(|&(x, y, w, h)| Rect { x0: x, y0: y, x1: x + w, y1: y + h });
            let is_in = |x: u32, y: u32| rects.clone().any(|r| (r.x0..r.x1).contains(&x) && (r.y0..r.y1).contains(&y));
            let counted = (0..50).flat_map(|y| (0..50).map(move |x| (x, y))).filter(|&(x, y)| is_in(x, y)).count();
            prop_assert_eq!(union_px(rects), counted as u64);
        }

        /// However many come, every pixel of every box stays in some region.
        #[test]
        fn nothing_is_left_out(
            boxes in prop::collection::vec((0u32..90, 0u32..90, 1u32..10, 1u32..10), 0..400),
        ) {
            let mut regions = Regions::default();
            let rects: Vec<Rect> =
                boxes.into_iter().map(|(x, y, w, h)| Rect { x0: x, y0: y, x1: x + w, y1: y + h }).collect();
            for (seed, &rect) in rects.iter().enumerate() {
                regions.add(Region { rect, seed: seed as u64 });
            }
            for rect in rects {
                prop_assert!(regions.as_slice().iter().any(|r| r.rect.holds(&rect)));
            }
        }
    }
}
