//! Pictures in planes of YUV: to RGB and back, in integers.
//!
//! Chroma is taken from the nearest sample that covers the pixel, without interpolation, so that the siting of the
//! chroma samples (JPEG's centre, MPEG-2's left) makes no difference here.
//! On the way back a chroma sample is that of the average colour of the pixels that it covers.

use super::buffer::Frame;
use super::size::CHANNELS;

pub use super::colour::{Colour, Encoding, Matrix, Range, pixel};

/// How chroma is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chroma {
    /// No chroma: a grey picture.
    Mono,
    /// One sample for 2x2 pixels.
    C420,
    /// One sample for 2x1 pixels.
    C422,
    /// One sample a pixel.
    C444,
}

impl Chroma {
    /// Width and height of a chroma plane for a picture of `width` by `height` pixels; odd sides round up.
    #[must_use]
    pub fn plane_size(self, width: u32, height: u32) -> (u32, u32) {
        match self {
            Chroma::Mono => (0, 0),
            Chroma::C420 => (width.div_ceil(2), height.div_ceil(2)),
            Chroma::C422 => (width.div_ceil(2), height),
            Chroma::C444 => (width, height),
        }
    }

    /// Bytes of a whole picture: the Y plane, then U, then V.
    #[must_use]
    pub fn picture_bytes(self, width: u32, height: u32) -> u64 {
        let (chroma_w, chroma_h) = self.plane_size(width, height);
        u64::from(width) * u64::from(height) + 2 * u64::from(chroma_w) * u64::from(chroma_h)
    }
}

/// Fills `frame`, whose size is the picture's, from `planes`: Y `(h, w)`, then U and V of [`Chroma::plane_size`].
///
/// Returns false, and leaves the frame as it was, if `planes` is not [`Chroma::picture_bytes`] long.
#[must_use]
pub fn planar_to_rgb(planes: &[u8], chroma: Chroma, colour: Colour, frame: &mut Frame) -> bool {
    let (width, height) = (frame.width(), frame.height());
    if planes.is_empty() || planes.len() as u64 != chroma.picture_bytes(width, height) {
        return false;
    }
    let matrix = Matrix::of(colour);
    let (width, luma_bytes) = (width as usize, width as usize * height as usize);
    let (chroma_w, chroma_h) = chroma.plane_size(frame.width(), height);
    let (chroma_w, chroma_h) = (chroma_w as usize, chroma_h as usize);
    let (luma, rest) = planes.split_at(luma_bytes);
    let (u_plane, v_plane) = rest.split_at(chroma_w * chroma_h);
    let (shift_x, shift_y) = match chroma {
        Chroma::Mono | Chroma::C444 => (0, 0),
        Chroma::C422 => (1, 0),
        Chroma::C420 => (1, 1),
    };
    let rows = frame.rgb_mut().chunks_exact_mut(width * CHANNELS).zip(luma.chunks_exact(width));
    for (row, (rgb, luma)) in rows.enumerate() {
        if chroma == Chroma::Mono {
            for (rgb, &y) in rgb.chunks_exact_mut(CHANNELS).zip(luma) {
                rgb.copy_from_slice(&matrix.pixel(y, [0; 3]));
            }
            continue;
        }
        let from = (row >> shift_y) * chroma_w;
        let (us, vs) = (&u_plane[from..from + chroma_w], &v_plane[from..from + chroma_w]);
        let step = 1usize << shift_x;
        let groups = rgb.chunks_mut(step * CHANNELS).zip(luma.chunks(step)).zip(us.iter().zip(vs));
        for ((rgb, luma), (&u, &v)) in groups {
            let added = matrix.chroma(u, v);
            for (rgb, &y) in rgb.chunks_exact_mut(CHANNELS).zip(luma) {
                rgb.copy_from_slice(&matrix.pixel(y, added));
            }
        }
    }
    true
}

/// The rows of the way back, times 65536: what red, green and blue add to Y, U and V.
struct Inverse {
    black: i32,
    y: [i32; 3],
    u: [i32; 3],
    v: [i32; 3],
}

const TO_LIMITED: Inverse =
    Inverse { black: 16, y: [16_829, 33_039, 6_416], u: [-9_714, -19_070, 28_784], v: [28_784, -24_103, -4_681] };
const TO_FULL: Inverse =
    Inverse { black: 0, y: [19_595, 38_470, 7_471], u: [-11_058, -21_710, 32_768], v: [32_768, -27_439, -5_329] };

fn weighed(weights: [i32; 3], rgb: [i32; 3], offset: i32) -> u8 {
    let sum: i32 = weights.iter().zip(rgb).map(|(w, v)| w * v).sum();
    (((sum + (1 << 15)) >> 16) + offset).clamp(0, 255) as u8
}

/// Writes a frame as planes of BT.601 into `planes`, which is emptied first: Y `(h, w)`, then U and V of [`Chroma::plane_size`].
pub fn rgb_to_planar(frame: &Frame, chroma: Chroma, range: Range, planes: &mut Vec<u8>) {
    let inverse = match range {
        Range::Limited => &TO_LIMITED,
        Range::Full => &TO_FULL,
    };
    planes.clear();
    let pixel = |p: &[u8]| [i32::from(p[0]), i32::from(p[1]), i32::from(p[2])];
    planes.extend(frame.rgb().chunks_exact(CHANNELS).map(|p| weighed(inverse.y, pixel(p), inverse.black)));
    let (across, down) = match chroma {
        Chroma::Mono => return,
        Chroma::C420 => (2, 2),
        Chroma::C422 => (2, 1),
        Chroma::C444 => (1, 1),
    };
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    for weights in [inverse.u, inverse.v] {
        for y in (0..height).step_by(down) {
            for x in (0..width).step_by(across) {
                let (mut sums, mut count) = ([0i32; 3], 0);
                for y in y..(y + down).min(height) {
                    for p in frame.rgb()[(y * width + x) * CHANNELS..(y * width + (x + across).min(width)) * CHANNELS]
                        .chunks_exact(CHANNELS)
                    {
                        sums.iter_mut().zip(pixel(p)).for_each(|(sum, v)| *sum += v);
                        count += 1;
                    }
                }
                planes.push(weighed(weights, sums.map(|sum| (sum + count / 2) / count.max(1)), 128));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sides_take_the_covering_sample() {
        let mut frame = Frame::new();
        for (chroma, map) in [
            (Chroma::C420, [0usize, 0, 1, 0, 0, 1, 2, 2, 3]),
            (Chroma::C422, [0, 0, 1, 2, 2, 3, 4, 4, 5]),
            (Chroma::C444, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ] {
            frame.reset(3, 3).unwrap();
            let (w, h) = chroma.plane_size(3, 3);
            let plane = (w * h) as u8;
            let mut planes: Vec<u8> = (0..9).map(|i| 60 + i).collect();
            planes.extend((0..plane).map(|i| 100 + 9 * i));
            planes.extend((0..plane).map(|i| 160 - 7 * i));
            assert!(planar_to_rgb(&planes, chroma, Colour::JPEG, &mut frame));
            for (i, &c) in map.iter().enumerate() {
                let want = pixel(planes[i], planes[9 + c], planes[9 + plane as usize + c], Colour::JPEG);
                assert_eq!(frame.pixel(i as u32 % 3, i as u32 / 3), Some(want), "{chroma:?} {i}");
            }
            assert!(!planar_to_rgb(&planes[1..], chroma, Colour::JPEG, &mut frame));
        }
    }

    #[test]
    fn mono_is_grey() {
        let mut frame = Frame::new();
        frame.reset(2, 1).unwrap();
        assert!(planar_to_rgb(&[16, 235], Chroma::Mono, Colour::VIDEO, &mut frame));
        assert_eq!(frame.rgb(), [0, 0, 0, 255, 255, 255]);
        assert!(!planar_to_rgb(&[], Chroma::Mono, Colour::VIDEO, &mut Frame::new()));
    }

    #[test]
    fn there_and_back_is_within_two() {
        for range in [Range::Limited, Range::Full] {
            for chroma in [Chroma::C420, Chroma::C422, Chroma::C444] {
                let mut frame = Frame::new();
                frame.reset(5, 3).unwrap();
                let (w, h) = chroma.plane_size(5, 3);
                // colours that every range can hold
                let mut planes: Vec<u8> = (0..15).map(|i| 90 + 5 * i).collect();
                planes.extend((0..w * h).map(|i| 110 + i as u8));
                planes.extend((0..w * h).map(|i| 140 - i as u8));
                assert!(planar_to_rgb(&planes, chroma, Colour { encoding: Encoding::Bt601, range }, &mut frame));
                let mut back = vec![7; 3];
                rgb_to_planar(&frame, chroma, range, &mut back);
                assert_eq!(back.len(), planes.len());
                for (i, (a, b)) in planes.iter().zip(&back).enumerate() {
                    assert!(a.abs_diff(*b) <= 2, "{chroma:?} {range:?} {i}: {a} {b}");
                }
            }
        }
        let mut grey = Frame::new();
        grey.reset(2, 1).unwrap();
        grey.rgb_mut().copy_from_slice(&[0, 0, 0, 255, 255, 255]);
        let mut planes = Vec::new();
        rgb_to_planar(&grey, Chroma::Mono, Range::Limited, &mut planes);
        assert_eq!(planes, [16, 235]);
        rgb_to_planar(&grey, Chroma::C444, Range::Full, &mut planes);
        assert_eq!(planes, [0, 255, 128, 128, 128, 128]);
    }
}
