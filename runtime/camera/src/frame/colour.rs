//! What the numbers of a YUV picture mean, and the way from them to RGB, in integers.
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
    #[inline]
    pub fn chroma(&self, u: u8, v: u8) -> [i32; 3] {
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        let green = self.u_to_g.wrapping_mul(u).wrapping_add(self.v_to_g.wrapping_mul(v));
        [self.v_to_r.wrapping_mul(v), green.wrapping_neg(), self.u_to_b.wrapping_mul(u)]
    }

    /// The pixel of luma `y` with what [`Matrix::chroma`] adds.
    #[must_use]
    #[inline]
    pub fn pixel(&self, y: u8, [r, g, b]: [i32; 3]) -> [u8; 3] {
        // at most 1.2 * 2^16 * 2^8 and 2.2 * 2^16 * 2^7: no sum overflows, and none is checked for it
        let luma = (i32::from(y) - self.black).wrapping_mul(self.y).wrapping_add(1 << 15);
        let level = |added: i32| (luma.wrapping_add(added) >> 16).clamp(0, 255) as u8;
        [level(r), level(g), level(b)]
    }

    /// The matrix times 8192, which fits into 16 bits: what black is, and what Y, U and V (Y less black, the others less
    /// 128) are multiplied with for red, for green and for blue.
    #[must_use]
    pub fn short(&self) -> (i16, [[i16; 3]; 3]) {
        let short = |times_65536: i32| ((times_65536 + 4) >> 3) as i16;
        let y = short(self.y);
        let red = [y, 0, short(self.v_to_r)];
        let green = [y, -short(self.u_to_g), -short(self.v_to_g)];
        let blue = [y, short(self.u_to_b), 0];
        (self.black as i16, [red, green, blue])
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
}
