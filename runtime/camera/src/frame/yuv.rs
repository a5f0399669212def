//! YUV to RGB and back, in integers.
//!
//! With Y, U, V from 0 to 255, u = U - 128, v = V - 128, and the weights Kr, Kb of red and blue in luma
//! (Kg = 1 - Kr - Kb):
//!
//! | | limited range (Y 16..235, U and V 16..240) | full range (JPEG, JFIF) |
//! |---|---|---|
//! | y | 255/219 (Y - 16) | Y |
//! | c | 255/224 | 1 |
//!
//! R = y + 2 (1 - Kr) c v, B = y + 2 (1 - Kb) c u, G = y - 2 (1 - Kb) Kb/Kg c u - 2 (1 - Kr) Kr/Kg c v.
//!
//! | | Kr | Kb | where |
//! |---|---|---|---|
//! | ITU-R BT.601 | 0.299 | 0.114 | JPEG, webcams, standard definition |
//! | ITU-R BT.709 | 0.2126 | 0.0722 | HDMI, high definition |
//! | ITU-R BT.2020 | 0.2627 | 0.0593 | ultra high definition |
//!
//! The coefficients are multiplied by 65536 and the sum is rounded to nearest; every result is within 1 of the formula.
//! Chroma is taken from the nearest sample that covers the pixel, without interpolation, so that the siting of the
//! chroma samples (JPEG's centre, MPEG-2's left) makes no difference here.
//! On the way back a chroma sample is that of the average colour of the pixels that it covers.

use super::{CHANNELS, Frame};

/// What the numbers of a YUV picture mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Black is 16 and white is 235, as in video.
    Limited,
    /// Black is 0 and white is 255, as in JPEG.
    Full,
}

/// Which weights luma was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// ITU-R BT.601.
    Bt601,
    /// ITU-R BT.709.
    Bt709,
    /// ITU-R BT.2020, non-constant luminance.
    Bt2020,
}

/// Encoding and range together: all that is needed to come back to RGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// The weights of luma.
    pub encoding: Encoding,
    /// Where black and white are.
    pub range: Range,
}

impl Colour {
    /// Video in standard definition: BT.601, limited range.
    pub const VIDEO: Colour = Colour { encoding: Encoding::Bt601, range: Range::Limited };
    /// JPEG: BT.601, full range.
    pub const JPEG: Colour = Colour { encoding: Encoding::Bt601, range: Range::Full };
}

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

/// The way from YUV to RGB for one [`Colour`], times 65536.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matrix {
    black: i32,
    y: i32,
    v_to_r: i32,
    u_to_g: i32,
    v_to_g: i32,
    u_to_b: i32,
}

const ENCODINGS: [(f64, f64); 3] = [(0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)];

/// By encoding, then by range.
static MATRICES: [[Matrix; 2]; 3] = {
    let mut all = [[Matrix::from_weights(0.299, 0.114, Range::Limited); 2]; 3];
    let mut at = 0;
    while at < 3 {
        let (kr, kb) = ENCODINGS[at];
        all[at] = [Matrix::from_weights(kr, kb, Range::Limited), Matrix::from_weights(kr, kb, Range::Full)];
        at += 1;
    }
    all
};

impl Matrix {
    const fn from_weights(kr: f64, kb: f64, range: Range) -> Matrix {
        let (black, y, c) = match range {
            Range::Limited => (16, 255.0 / 219.0, 255.0 / 224.0),
            Range::Full => (0, 1.0, 1.0),
        };
        let kg = 1.0 - kr - kb;
        Matrix {
            black,
            y: fixed(y),
            v_to_r: fixed(2.0 * (1.0 - kr) * c),
            u_to_g: fixed(2.0 * (1.0 - kb) * kb / kg * c),
            v_to_g: fixed(2.0 * (1.0 - kr) * kr / kg * c),
            u_to_b: fixed(2.0 * (1.0 - kb) * c),
        }
    }

    /// The matrix of `colour`.
    #[must_use]
    pub fn of(colour: Colour) -> &'static Matrix {
        let of_encoding = match colour.encoding {
            Encoding::Bt601 => &MATRICES[0],
            Encoding::Bt709 => &MATRICES[1],
            Encoding::Bt2020 => &MATRICES[2],
        };
        match colour.range {
            Range::Limited => &of_encoding[0],
            Range::Full => &of_encoding[1],
        }
    }

    /// What U and V add to red, green and blue, times 65536.
    #[must_use]
    pub fn chroma(&self, u: u8, v: u8) -> [i32; 3] {
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        [self.v_to_r * v, -self.u_to_g * u - self.v_to_g * v, self.u_to_b * u]
    }

    /// The pixel of luma `y` with what [`Matrix::chroma`] adds.
    #[must_use]
    pub fn pixel(&self, y: u8, chroma: [i32; 3]) -> [u8; 3] {
        let luma = self.y * (i32::from(y) - self.black) + (1 << 15);
        chroma.map(|c| ((luma + c) >> 16).clamp(0, 255) as u8)
    }

    /// The pixel of Y, U and V in sixteenths, each from 0 to 255 * 16.
    #[must_use]
    #[inline]
    pub fn pixel_from_sixteenths(&self, [y, u, v]: [i32; 3]) -> [u8; 3] {
        let (u, v) = (u - 128 * 16, v - 128 * 16);
        // at most 1.2 * 2^16 * 2^12 and 2.2 * 2^16 * 2^11: the sum fits
        let luma = self.y * (y - self.black * 16) + (1 << 19);
        let rgb = [self.v_to_r * v, -self.u_to_g * u - self.v_to_g * v, self.u_to_b * u];
        rgb.map(|c| ((luma + c) >> 20).clamp(0, 255) as u8)
    }
}

/// `value` times 65536, rounded.
const fn fixed(value: f64) -> i32 {
    (value * 65536.0 + 0.5) as i32
}

/// One pixel.
#[must_use]
pub fn pixel(y: u8, u: u8, v: u8, colour: Colour) -> [u8; 3] {
    let matrix = Matrix::of(colour);
    matrix.pixel(y, matrix.chroma(u, v))
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

    /// From the definition, in float32.
    fn formula(y: u8, u: u8, v: u8, (kr, kb): (f64, f64), range: Range) -> [f64; 3] {
        let (u, v) = (f64::from(u) - 128.0, f64::from(v) - 128.0);
        let (y, c) = match range {
            Range::Limited => ((f64::from(y) - 16.0) * 255.0 / 219.0, 255.0 / 224.0),
            Range::Full => (f64::from(y), 1.0),
        };
        let kg = 1.0 - kr - kb;
        let r = y + 2.0 * (1.0 - kr) * v * c;
        let b = y + 2.0 * (1.0 - kb) * u * c;
        let g = y - 2.0 * (1.0 - kb) * kb / kg * u * c - 2.0 * (1.0 - kr) * kr / kg * v * c;
        [r, g, b].map(|x| x.clamp(0.0, 255.0))
    }

    const ALL: [(Encoding, (f64, f64)); 3] =
        [(Encoding::Bt601, (0.299, 0.114)), (Encoding::Bt709, (0.2126, 0.0722)), (Encoding::Bt2020, (0.2627, 0.0593))];

    #[test]
    fn colours_are_within_one_of_the_formula() {
        for (encoding, weights) in ALL {
            for range in [Range::Limited, Range::Full] {
                for y in 0..=255u8 {
                    for u in (0..=255u8).step_by(5) {
                        for v in (0..=255u8).step_by(5) {
                            let got = pixel(y, u, v, Colour { encoding, range });
                            for (got, want) in got.into_iter().zip(formula(y, u, v, weights, range)) {
                                assert!((f64::from(got) - want).abs() <= 1.0, "{y} {u} {v} {encoding:?} {range:?}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn black_and_white_are_exact() {
        for (encoding, _) in ALL {
            let limited = Colour { encoding, range: Range::Limited };
            let full = Colour { encoding, range: Range::Full };
            assert_eq!(pixel(16, 128, 128, limited), [0; 3]);
            assert_eq!(pixel(235, 128, 128, limited), [255; 3]);
            assert_eq!(pixel(0, 128, 128, full), [0; 3]);
            assert_eq!(pixel(255, 128, 128, full), [255; 3]);
        }
    }

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
