//! The window around a region: what is known of it, brought to the generator's size, and the way back.
//!
//! A window is a part of the frame, brought to 64x64 cells. A cell that touches a hidden pixel belongs to the hole;
//! every other one is the average of its pixels. The way back is bilinear between the cells' centres, in integers, so
//! that every machine paints the same bytes. No hidden pixel is read on either way.

use super::fill::{PIXELS, SIDE};
use super::hidden::Hidden;
use super::region::Rect;
use lapwing_camera::frame::Frame;

/// The longer side of a region takes at most this share of the window's side, in hundredths, where the frame has room.
const HOLE_SIDE_PERCENT: u64 = 70;
/// Fractional bits of a place between cells.
const BITS: u32 = 8;

/// A 64x64 picture of a part of the frame, with a hole.
#[derive(Debug)]
pub struct Window {
    /// The part of the frame.
    pub place: Rect,
    /// RGB, (64, 64, 3); black in the hole until it is filled.
    pub rgb: Vec<u8>,
    /// The hole, (64, 64).
    pub hole: Vec<bool>,
}

/// The part of a frame of `width` x `height` pixels to look at for filling `rect`: a square that the rectangle takes
/// 70 % of, `larger` times as large, moved and cut to the frame; at least 64 pixels a side where the frame has them.
pub fn place_around(rect: &Rect, larger: u32, width: u32, height: u32) -> Rect {
    let longer = u64::from(rect.width().max(rect.height()));
    let side = (longer * u64::from(larger) * 100).div_ceil(HOLE_SIDE_PERCENT).max(SIDE as u64);
    let span = |from: u32, to: u32, end: u32| {
        let side = side.min(u64::from(end));
        let middle = u64::from(from) + u64::from(to); // twice
        let first = (middle.saturating_sub(side) / 2).min(u64::from(end) - side);
        (first as u32, (first + side) as u32) // within a frame's side, a u32
    };
    let ((x0, x1), (y0, y1)) = (span(rect.x0, rect.x1, width), span(rect.y0, rect.y1, height));
    Rect { x0, y0, x1, y1 }
}

impl Default for Window {
    fn default() -> Self {
        let place = Rect { x0: 0, y0: 0, x1: 1, y1: 1 };
        Window { place, rgb: vec![0; PIXELS * 3], hole: vec![false; PIXELS] }
    }
}

impl Window {
    /// Takes what is known of `place`, which lies in the frame. Returns the cells of the hole.
    pub fn take(&mut self, frame: &Frame, hidden: &Hidden, place: Rect) -> usize {
        self.place = place;
        let cut = |from: u32, length: u32, cell: usize| {
            let first = from + (u64::from(length) * cell as u64 / SIDE as u64) as u32;
            let end = from + (u64::from(length) * (cell as u64 + 1) / SIDE as u64) as u32;
            (first, end.max(first + 1)) // a place smaller than the window has cells that share a pixel
        };
        let mut holes = 0;
        for row in 0..SIDE {
            let down = cut(place.y0, place.height(), row);
            for column in 0..SIDE {
                let known = average(frame, hidden, cut(place.x0, place.width(), column), down);
                let at = row * SIDE + column;
                self.hole[at] = known.is_none();
                holes += usize::from(known.is_none());
                self.rgb[at * 3..at * 3 + 3].copy_from_slice(&known.unwrap_or([0; 3]));
            }
        }
        holes
    }

    /// The pixels that are not hole.
    pub fn known(&self) -> impl Iterator<Item = &[u8]> {
        self.rgb.chunks_exact(3).zip(&self.hole).filter(|(_, hole)| !**hole).map(|(pixel, _)| pixel)
    }

    /// The window's colour at the centre of a pixel of the frame, between cells.
    pub fn colour_at(&self, x: u32, y: u32) -> [i32; 3] {
        let (column, right) = between(x, self.place.x0, self.place.width());
        let (row, below) = between(y, self.place.y0, self.place.height());
        let one = 1i32 << BITS;
        let (next_column, next_row) = ((column + 1).min(SIDE - 1), (row + 1).min(SIDE - 1));
        let cell = |row: usize, column: usize, c: usize| i32::from(self.rgb[(row * SIDE + column) * 3 + c]);
        std::array::from_fn(|c| {
            let upper = cell(row, column, c) * (one - right) + cell(row, next_column, c) * right;
            let lower = cell(next_row, column, c) * (one - right) + cell(next_row, next_column, c) * right;
            (upper * (one - below) + lower * below + (1 << (2 * BITS - 1))) >> (2 * BITS)
        })
    }
}

/// The cell whose centre is the last one at or before a pixel's centre, and how far that is beyond it.
fn between(at: u32, from: u32, length: u32) -> (usize, i32) {
    let centre = (2 * i64::from(at.saturating_sub(from)) + 1) * ((SIDE as i64) << (BITS - 1)) / i64::from(length);
    let place = (centre - (1 << (BITS - 1))).clamp(0, ((SIDE as i64) - 1) << BITS);
    ((place >> BITS) as usize, (place & ((1 << BITS) - 1)) as i32)
}

/// The average of some pixels, unless one of them is hidden.
fn average(frame: &Frame, hidden: &Hidden, across: (u32, u32), down: (u32, u32)) -> Option<[u8; 3]> {
    let mut sums = [0u64; 3];
    for y in down.0..down.1 {
        if hidden.row(y, across.0, across.1).contains(&true) {
            return None;
        }
        let row = y as usize * frame.width() as usize;
        for pixel in frame.rgb()[(row + across.0 as usize) * 3..(row + across.1 as usize) * 3].chunks_exact(3) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += u64::from(value);
            }
        }
    }
    let count = u64::from(across.1 - across.0) * u64::from(down.1 - down.0);
    Some(sums.map(|sum| ((sum + count / 2) / count) as u8))
}

#[cfg(test)]
mod tests {
    use super::super::region::Region;
    use super::*;
    use proptest::prelude::*;

    fn frame(width: u32, height: u32) -> Frame {
        let mut frame = Frame::new();
        frame.reset(width, height).unwrap();
        for (i, byte) in frame.rgb_mut().iter_mut().enumerate() {
            *byte = (i.wrapping_mul(2_654_435_761) >> 13) as u8;
        }
        frame
    }

    proptest! {
        #[test]
        fn a_place_lies_in_the_frame_and_holds_the_region(
            width in 1u32..3000, height in 1u32..3000, a in 0u32..3000, b in 0u32..3000, w in 1u32..3000, h in 1u32..3000,
            larger in 1u32..4,
        ) {
            let (x0, y0) = (a % width, b % height);
            let rect = Rect { x0, y0, x1: (x0 + w).min(width), y1: (y0 + h).min(height) };
            let place = place_around(&rect, larger, width, height);
            prop_assert!(place.holds(&rect) && place.x1 <= width && place.y1 <= height);
            let longer = rect.width().max(rect.height());
            prop_assert!(place.width() == width || (place.width() >= 64 && 7 * place.width() >= 10 * longer));
            prop_assert!(place.height() == height || (place.height() >= 64 && 7 * place.height() >= 10 * longer));
        }

        /// At the window's own size the way there and back changes nothing.
        #[test]
        fn a_window_of_its_own_size_is_exact(x0 in 0u32..40, y0 in 0u32..30) {
            let (frame, mut hidden) = (frame(110, 100), Hidden::default());
            hidden.reset(110, 100);
            let mut window = Window::default();
            prop_assert_eq!(window.take(&frame, &hidden, Rect { x0, y0, x1: x0 + 64, y1: y0 + 64 }), 0);
            for (x, y) in [(x0, y0), (x0 + 63, y0 + 63), (x0 + 20, y0 + 31)] {
                prop_assert_eq!(window.colour_at(x, y).map(|v| v as u8), frame.pixel(x, y).unwrap());
            }
        }

        /// What is hidden changes neither the known cells nor the hole.
        #[test]
        fn hidden_pixels_are_not_read(
            width in 1u32..200, height in 1u32..200, x in 0.0f32..1.0, y in 0.0f32..1.0, w in 0.0f32..1.0, noise in any::<u8>(),
        ) {
            let (fw, fh) = (width as f32, height as f32);
            let bounds = [x * fw, y * fh, x * fw + w * fw + 1.0, y * fh + w * fh + 1.0];
            let rect = Rect::touched(bounds, width, height).unwrap();
            let mut one = frame(width, height);
            let mut hidden = Hidden::default();
            hidden.reset(width, height);
            hidden.set(&Region::whole(rect, 0), true);
            let place = place_around(&rect, 1, width, height);
            let (mut a, mut b) = (Window::default(), Window::default());
            let cells = a.take(&one, &hidden, place);
            for y in rect.y0..rect.y1 {
                for x in rect.x0..rect.x1 {
                    one.rgb_mut()[((y * width + x) * 3) as usize] ^= noise;
                }
            }
            prop_assert_eq!(b.take(&one, &hidden, place), cells);
            prop_assert!(cells > 0);
            prop_assert_eq!((a.rgb, a.hole), (b.rgb, b.hole));
        }
    }

    #[test]
    fn a_plain_colour_stays_what_it_is_at_any_scale() {
        for (width, height) in [(5, 3), (64, 64), (1000, 700)] {
            let mut plain = frame(width, height);
            plain.rgb_mut().fill(77);
            let mut hidden = Hidden::default();
            hidden.reset(width, height);
            let mut window = Window::default();
            window.take(&plain, &hidden, Rect { x0: 0, y0: 0, x1: width, y1: height });
            assert_eq!(window.colour_at(0, 0), [77; 3]);
            assert_eq!(window.colour_at(width - 1, height / 2), [77; 3]);
        }
    }
}
