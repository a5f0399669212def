//! A mosaic of five by five averages over a region.

use crate::frame::Frame;

/// Tiles along each side of a region, however large it is.
const TILES: usize = 5;

/// Replaces the pixels of `bounds` (`[x0, y0, x1, y1]`, clipped to the frame, widened to whole
/// pixels) by the averages of five by five tiles.
pub fn cover(frame: &mut Frame, bounds: [f32; 4]) {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    // casts of out-of-range and NaN floats saturate: a broken box covers at most the frame
    let (x0, y0) =
        ((bounds[0].floor().max(0.0) as usize).min(width), (bounds[1].floor().max(0.0) as usize).min(height));
    let (x1, y1) = ((bounds[2].ceil().max(0.0) as usize).min(width), (bounds[3].ceil().max(0.0) as usize).min(height));
    if x0 >= x1 || y0 >= y1 {
        return;
    }
    let cut = |from: usize, to: usize, tile: usize| from + (to - from) * tile / TILES;
    let rgb = frame.rgb_mut();
    for row in 0..TILES {
        for column in 0..TILES {
            let across = cut(x0, x1, column)..cut(x0, x1, column + 1);
            let down = cut(y0, y1, row)..cut(y0, y1, row + 1);
            average_tile(rgb, width, across, down);
        }
    }
}

fn average_tile(rgb: &mut [u8], width: usize, across: std::ops::Range<usize>, down: std::ops::Range<usize>) {
    let count = (across.len() * down.len()) as u64;
    if count == 0 {
        return;
    }
    let row = |y: usize| (y * width + across.start) * 3..(y * width + across.end) * 3;
    let mut sums = [0u64; 3];
    for y in down.clone() {
        for pixel in rgb[row(y)].chunks_exact(3) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += u64::from(value);
            }
        }
    }
    let average = sums.map(|s| (s / count) as u8);
    for y in down {
        for pixel in rgb[row(y)].chunks_exact_mut(3) {
            pixel.copy_from_slice(&average);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noisy(width: u32, height: u32) -> Frame {
        let mut frame = Frame::new();
        frame.reset(width, height).unwrap();
        for (i, byte) in frame.rgb_mut().iter_mut().enumerate() {
            *byte = (i.wrapping_mul(2_654_435_761) >> 13) as u8;
        }
        frame
    }

    proptest! {
        #[test]
        fn at_most_25_colours_remain_whatever_the_box(
            w in 1u32..60, h in 1u32..60, b in prop::array::uniform4(prop_oneof![-50.0f32..120.0, Just(f32::NAN), Just(f32::INFINITY), Just(-1e30f32)]),
        ) {
            let mut frame = noisy(w, h);
            cover(&mut frame, b);
            let inside = |v: u32, lo: f32, hi: f32| v as f32 >= lo.floor() && ((v + 1) as f32) <= hi.ceil();
            let mut colours = std::collections::HashSet::new();
            for y in 0..h {
                for x in 0..w {
                    if inside(x, b[0], b[2]) && inside(y, b[1], b[3]) {
                        let at = (y * w + x) as usize * 3;
                        colours.insert(frame.rgb()[at..at + 3].to_vec());
                    }
                }
            }
            prop_assert!(colours.len() <= 25);
        }
    }

    #[test]
    fn a_box_larger_than_the_frame_covers_all_of_it() {
        let mut frame = noisy(10, 10);
        cover(&mut frame, [-1e9, -1e9, 1e9, 1e9]);
        let colours: std::collections::HashSet<_> = frame.rgb().chunks(3).collect();
        assert!(colours.len() <= 25);
    }
}
