//! A mosaic of five by five averages over a region, and black.
//!
//! Averages are safer than a blur, which can be estimated back. They are kept apart from the frame ([`Averages`]), so
//! that the mosaic can be painted again over what was painted over it.

use std::ops::Range;

use super::region::{Rect, Region};
use lapwing_camera::frame::Frame;

/// Tiles along each side of a region, however large it is.
const TILES: usize = 5;

/// The colours of a region's tiles, row by row.
pub type Averages = [[u8; 3]; TILES * TILES];

/// The averages of a region that lies in the frame.
pub fn average(frame: &Frame, rect: &Rect) -> Averages {
    let width = frame.width() as usize;
    let mut averages = [[0; 3]; TILES * TILES];
    for (tile, average) in averages.iter_mut().enumerate() {
        let (across, down) = tile_of(rect, tile);
        let count = (across.len() * down.len()) as u64;
        let mut sums = [0u64; 3];
        for y in down {
            for pixel in frame.rgb()[(y * width + across.start) * 3..(y * width + across.end) * 3].chunks_exact(3) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += u64::from(value);
                }
            }
        }
        *average = sums.map(|sum| (sum / count.max(1)) as u8);
    }
    averages
}

/// Paints a region's tiles, as far as they are hidden.
pub fn paint(frame: &mut Frame, region: &Region, averages: &Averages) {
    for (tile, average) in averages.iter().enumerate() {
        let (across, down) = tile_of(&region.rect, tile);
        fill(frame, region, across, down, *average);
    }
}

/// Covers a region with a mosaic of its rectangle, whose colours it gives back.
pub fn cover(frame: &mut Frame, region: &Region) -> Averages {
    let averages = average(frame, &region.rect);
    paint(frame, region, &averages);
    averages
}

/// Paints a region black.
pub fn blacken(frame: &mut Frame, region: &Region) {
    let rect = region.rect;
    fill(frame, region, rect.x0 as usize..rect.x1 as usize, rect.y0 as usize..rect.y1 as usize, [0; 3]);
}

/// Columns and rows of a tile; empty for some tiles of a region narrower than five pixels.
fn tile_of(rect: &Rect, tile: usize) -> (Range<usize>, Range<usize>) {
    let cut = |from: u32, to: u32, at: usize| from as usize + (to - from) as usize * at / TILES;
    let (row, column) = (tile / TILES, tile % TILES);
    let across = cut(rect.x0, rect.x1, column)..cut(rect.x0, rect.x1, column + 1);
    let down = cut(rect.y0, rect.y1, row)..cut(rect.y0, rect.y1, row + 1);
    (across, down)
}

/// Paints what of a region lies in these columns and rows.
fn fill(frame: &mut Frame, region: &Region, across: Range<usize>, down: Range<usize>, colour: [u8; 3]) {
    let width = frame.width() as usize;
    for y in down {
        for span in region.spans(y as u32) {
            let (start, end) = (across.start.max(span.start as usize), across.end.min(span.end as usize));
            if start < end {
                let pixels = &mut frame.rgb_mut()[(y * width + start) * 3..(y * width + end) * 3];
                pixels.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&colour));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_vision::detect::Outline;
    use proptest::prelude::*;

    fn noisy(width: u32, height: u32) -> Frame {
        let mut frame = Frame::new();
        frame.reset(width, height).unwrap();
        for (i, byte) in frame.rgb_mut().iter_mut().enumerate() {
            *byte = (i.wrapping_mul(2_654_435_761) >> 13) as u8;
        }
        frame
    }

    fn colours(frame: &Frame, rect: &Rect) -> usize {
        let inside = |x: u32, y: u32| (rect.x0..rect.x1).contains(&x) && (rect.y0..rect.y1).contains(&y);
        let pixels = (0..frame.height()).flat_map(|y| (0..frame.width()).map(move |x| (x, y)));
        pixels
            .filter(|&(x, y)| inside(x, y))
            .map(|(x, y)| frame.pixel(x, y))
            .collect::<std::collections::HashSet<_>>()
            .len()
    }

    proptest! {
        #[test]
        fn at_most_25_colours_remain_whatever_the_box_and_nothing_else_changes(
            w in 1u32..60, h in 1u32..60,
            b in prop::array::uniform4(prop_oneof![-50.0f32..120.0, Just(f32::NAN), Just(f32::INFINITY), Just(-1e30f32)]),
        ) {
            let (before, mut frame) = (noisy(w, h), noisy(w, h));
            if let Some(rect) = Rect::touched(b, w, h) {
                let region = Region::whole(rect, 0);
                let averages = cover(&mut frame, &region);
                prop_assert!(colours(&frame, &rect) <= 25);
                let covered = frame.rgb().to_vec();
                blacken(&mut frame, &region);
                prop_assert_eq!(colours(&frame, &rect), 1);
                paint(&mut frame, &region, &averages);
                prop_assert_eq!(frame.rgb(), covered);
                for (i, (a, b)) in before.rgb().chunks(3).zip(frame.rgb().chunks(3)).enumerate() {
                    let (x, y) = (i as u32 % w, i as u32 / w);
                    let pixel = Rect { x0: x, y0: y, x1: x + 1, y1: y + 1 };
                    prop_assert!(rect.holds(&pixel) || a == b);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn of_an_outline_its_pixels_are_covered_and_no_others(w in 20u32..60, h in 20u32..60, bits in any::<u64>()) {
            let (before, mut frame) = (noisy(w, h), noisy(w, h));
            let rect = Rect { x0: 3, y0: 5, x1: w - 2, y1: h - 4 };
            let outline = Outline::of(|x, y| bits >> ((x / 4 * 5 + y / 4 * 3) % 64) & 1 == 1);
            let region = Region { rect, outline, seed: 0 };
            cover(&mut frame, &region);
            blacken(&mut frame, &region);
            for y in 0..h {
                for x in 0..w {
                    let expected = if region.has(x, y) { Some([0; 3]) } else { before.pixel(x, y) };
                    prop_assert_eq!(frame.pixel(x, y), expected);
                }
            }
        }
    }

    #[test]
    fn a_box_larger_than_the_frame_covers_all_of_it() {
        let mut frame = noisy(10, 10);
        let rect = Rect::touched([-1e9, -1e9, 1e9, 1e9], 10, 10).unwrap();
        cover(&mut frame, &Region::whole(rect, 0));
        assert!(colours(&frame, &rect) <= 25);
    }
}
