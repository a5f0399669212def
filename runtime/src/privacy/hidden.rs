//! Which pixels of a frame may not be read: a map, one byte a pixel, whose memory is used again.

use super::region::Region;

/// The map.
#[derive(Debug, Default)]
pub struct Hidden {
    width: u32,
    height: u32,
    map: Vec<bool>, // (h, w)
}

impl Hidden {
    /// Nothing is hidden in a frame of `width` x `height` pixels.
    pub fn reset(&mut self, width: u32, height: u32) {
        (self.width, self.height) = (width, height);
        self.map.clear();
        self.map.resize(width as usize * height as usize, false);
    }

    /// Hides the pixels of a region that lies in the frame, or shows them again.
    pub fn set(&mut self, region: &Region, hidden: bool) {
        let width = self.width as usize;
        for y in region.rect.y0..region.rect.y1 {
            for span in region.spans(y) {
                let row = y as usize * width;
                self.map[row + span.start as usize..row + span.end as usize].fill(hidden);
            }
        }
    }

    /// Pixels that are hidden.
    pub fn count(&self) -> u64 {
        self.map.iter().filter(|hidden| **hidden).count() as u64
    }

    /// The columns `x0..x1` of a row.
    pub fn row(&self, y: u32, x0: u32, x1: u32) -> &[bool] {
        let from = y as usize * self.width as usize;
        &self.map[from + x0 as usize..from + x1 as usize]
    }

    /// Whether a pixel may not be read; outside of the frame none may.
    pub fn at(&self, x: i64, y: i64) -> bool {
        let inside = (0..i64::from(self.width)).contains(&x) && (0..i64::from(self.height)).contains(&y);
        !inside || self.map[y as usize * self.width as usize + x as usize]
    }
}
