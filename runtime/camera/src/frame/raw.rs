//! Pictures as cameras give them: the formats, where their samples lie, and the plain way to RGB.
//!
//! | format | V4L2 | bytes |
//! |---|---|---|
//! | [`PixelFormat::Yuyv`], [`PixelFormat::Uyvy`] | `YUYV`, `UYVY` | Y U Y V or U Y V Y for two pixels |
//! | [`PixelFormat::Nv12`], [`PixelFormat::Nv21`] | `NV12`, `NV21`, `NM12`, `NM21` | Y plane, then U V or V U for 2x2 pixels |
//! | [`PixelFormat::Yu12`] | `YU12`, `YM12` | Y plane, U plane, V plane, chroma for 2x2 pixels |
//! | [`PixelFormat::Rgb`], [`PixelFormat::Bgr`] | `RGB3`, `BGR3` | R G B or B G R |
//! | [`PixelFormat::Grey`] | `GREY` | Y |
//!
//! A [`RawLayout`] is proof that its numbers fit together: every sample of every row lies inside [`RawLayout::bytes`].
//! [`to_rgb`] is the reference that the fused way into the network's input is held against.

use super::colour::{Colour, Matrix, Range};
use super::size::{CHANNELS, FrameError, rgb_bytes};

/// The most planes of a format.
pub const PLANES_MAX: usize = 3;
/// The most bytes from one row to the next where rows have gaps between them.
pub const STRIDE_MAX: usize = 1 << 20;

/// How the samples of a picture are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFormat {
    /// Y0 U Y1 V: two pixels in four bytes.
    Yuyv,
    /// U Y0 V Y1: two pixels in four bytes.
    Uyvy,
    /// A plane of Y, a plane of U V pairs at half size.
    Nv12,
    /// A plane of Y, a plane of V U pairs at half size.
    Nv21,
    /// A plane of Y, then U and V at half size.
    Yu12,
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Luma alone.
    Grey,
}

/// Where the samples of one component lie: sample (x, y) is byte `at + (x >> shift_x) * step` of row `y >> shift_y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// The plane.
    pub plane: usize,
    /// Byte of the row's first sample.
    pub at: usize,
    /// Bytes from one sample to the next.
    pub step: usize,
    /// Halvings of the horizontal resolution.
    pub shift_x: u32,
}

const fn component(plane: usize, at: usize, step: usize, shift_x: u32) -> Component {
    Component { plane, at, step, shift_x }
}

/// The components of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Components {
    /// Luma alone.
    Grey(Component),
    /// Y, U, V.
    Yuv([Component; 3]),
    /// R, G, B.
    Rgb([Component; 3]),
}

impl PixelFormat {
    /// Every format.
    pub const ALL: [PixelFormat; 8] = [
        PixelFormat::Yuyv,
        PixelFormat::Uyvy,
        PixelFormat::Nv12,
        PixelFormat::Nv21,
        PixelFormat::Yu12,
        PixelFormat::Rgb,
        PixelFormat::Bgr,
        PixelFormat::Grey,
    ];

    /// The name that V4L2 has for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PixelFormat::Yuyv => "YUYV",
            PixelFormat::Uyvy => "UYVY",
            PixelFormat::Nv12 => "NV12",
            PixelFormat::Nv21 => "NV21",
            PixelFormat::Yu12 => "YU12",
            PixelFormat::Rgb => "RGB3",
            PixelFormat::Bgr => "BGR3",
            PixelFormat::Grey => "GREY",
        }
    }

    /// Number of planes, 1 to [`PLANES_MAX`].
    #[must_use]
    pub fn planes(self) -> usize {
        match self {
            PixelFormat::Nv12 | PixelFormat::Nv21 => 2,
            PixelFormat::Yu12 => 3,
            _ => 1,
        }
    }

    /// Bytes of one row of `plane` that carry samples of a picture `width` pixels wide.
    #[must_use]
    pub fn row_bytes(self, plane: usize, width: u32) -> usize {
        let (width, half) = (width as usize, width.div_ceil(2) as usize);
        match self {
            PixelFormat::Yuyv | PixelFormat::Uyvy => half * 4,
            PixelFormat::Nv12 | PixelFormat::Nv21 if plane > 0 => half * 2,
            PixelFormat::Yu12 if plane > 0 => half,
            PixelFormat::Rgb | PixelFormat::Bgr => width * 3,
            _ => width,
        }
    }

    /// Halvings of the vertical resolution in `plane`.
    #[must_use]
    pub fn shift_y(self, plane: usize) -> u32 {
        match self {
            PixelFormat::Nv12 | PixelFormat::Nv21 | PixelFormat::Yu12 => u32::from(plane > 0),
            _ => 0,
        }
    }

    /// Rows of `plane` of a picture `height` pixels high.
    #[must_use]
    pub fn rows(self, plane: usize, height: u32) -> usize {
        (height as usize).div_ceil(1 << self.shift_y(plane))
    }

    /// Where the samples lie.
    #[must_use]
    pub fn components(self) -> Components {
        match self {
            PixelFormat::Yuyv => Components::Yuv([component(0, 0, 2, 0), component(0, 1, 4, 1), component(0, 3, 4, 1)]),
            PixelFormat::Uyvy => Components::Yuv([component(0, 1, 2, 0), component(0, 0, 4, 1), component(0, 2, 4, 1)]),
            PixelFormat::Nv12 => Components::Yuv([component(0, 0, 1, 0), component(1, 0, 2, 1), component(1, 1, 2, 1)]),
            PixelFormat::Nv21 => Components::Yuv([component(0, 0, 1, 0), component(1, 1, 2, 1), component(1, 0, 2, 1)]),
            PixelFormat::Yu12 => Components::Yuv([component(0, 0, 1, 0), component(1, 0, 1, 1), component(2, 0, 1, 1)]),
            PixelFormat::Rgb => Components::Rgb([component(0, 0, 3, 0), component(0, 1, 3, 0), component(0, 2, 3, 0)]),
            PixelFormat::Bgr => Components::Rgb([component(0, 2, 3, 0), component(0, 1, 3, 0), component(0, 0, 3, 0)]),
            PixelFormat::Grey => Components::Grey(component(0, 0, 1, 0)),
        }
    }
}

/// One plane in a picture's bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlaneLayout {
    /// Where it begins.
    pub at: usize,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Rows.
    pub rows: usize,
}

/// Format, size and places of a raw picture; see the module's promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawLayout {
    format: PixelFormat,
    width: u32,
    height: u32,
    colour: Colour,
    planes: [PlaneLayout; PLANES_MAX],
    bytes: usize,
}

impl RawLayout {
    /// A picture of `width` x `height` pixels whose planes lie one after another with `strides` bytes a row.
    ///
    /// # Errors
    /// [`FrameError`] for a size that no frame may have, or for a stride that is shorter than a row or beyond
    /// [`STRIDE_MAX`].
    pub fn new(
        format: PixelFormat,
        (width, height): (u32, u32),
        strides: [usize; PLANES_MAX],
        colour: Colour,
    ) -> Result<RawLayout, FrameError> {
        rgb_bytes(width, height)?;
        let mut planes = [PlaneLayout::default(); PLANES_MAX];
        let mut bytes = 0usize;
        for (index, plane) in planes.iter_mut().enumerate().take(format.planes()) {
            let (stride, row_bytes) = (strides[index], format.row_bytes(index, width));
            let rows = format.rows(index, height);
            let whole = stride.checked_mul(rows).and_then(|whole| bytes.checked_add(whole));
            match whole {
                Some(whole) if (row_bytes..=STRIDE_MAX.max(row_bytes)).contains(&stride) => {
                    *plane = PlaneLayout { at: bytes, stride, rows };
                    bytes = whole;
                }
                _ => return Err(FrameError::Stride { stride, row_bytes, width }),
            }
        }
        Ok(RawLayout { format, width, height, colour, planes, bytes })
    }

    /// As [`RawLayout::new`], without a gap between rows.
    ///
    /// # Errors
    /// As there.
    pub fn packed(format: PixelFormat, size: (u32, u32), colour: Colour) -> Result<RawLayout, FrameError> {
        RawLayout::new(format, size, std::array::from_fn(|plane| format.row_bytes(plane, size.0)), colour)
    }

    /// The part of `width` x `height` pixels whose first pixel is (x, y), both even; `None` if they are odd, or if it does
    /// not lie in the picture.
    #[must_use]
    pub fn part(&self, (x, y): (u32, u32), (width, height): (u32, u32)) -> Option<RawLayout> {
        let ends = [x.checked_add(width)?, y.checked_add(height)?];
        let fits = x % 2 == 0 && y % 2 == 0 && ends[0] <= self.width && ends[1] <= self.height;
        if !fits || width == 0 || height == 0 {
            return None;
        }
        let mut part = RawLayout { width, height, ..*self };
        for (index, plane) in part.planes.iter_mut().enumerate().take(self.format.planes()) {
            let row = (y >> self.format.shift_y(index)) as usize;
            // an even number of pixels is a whole number of pairs
            plane.at += row * plane.stride + self.format.row_bytes(index, x);
            plane.rows = self.format.rows(index, height);
        }
        Some(part)
    }

    /// The format.
    #[must_use]
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// What the numbers mean.
    #[must_use]
    pub fn colour(&self) -> Colour {
        self.colour
    }

    /// The planes that the format has.
    #[must_use]
    pub fn planes(&self) -> &[PlaneLayout] {
        &self.planes[..self.format.planes()]
    }

    /// Bytes of the whole picture.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A raw picture.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a> {
    layout: &'a RawLayout,
    bytes: &'a [u8],
}

impl<'a> Raw<'a> {
    /// `bytes` as a picture of `layout`; `None` if there are too few of them.
    #[must_use]
    pub fn new(layout: &'a RawLayout, bytes: &'a [u8]) -> Option<Raw<'a>> {
        Some(Raw { layout, bytes: bytes.get(..layout.bytes)? })
    }

    /// The same bytes, seen as `layout` says; `None` if there are too few of them.
    #[must_use]
    pub fn with_layout(&self, layout: &'a RawLayout) -> Option<Raw<'a>> {
        Raw::new(layout, self.bytes)
    }

    /// Its format and size.
    #[must_use]
    pub fn layout(&self) -> &'a RawLayout {
        self.layout
    }

    /// The samples of row `row` of plane `plane`, without what pads the row. Rows past the last repeat it.
    #[must_use]
    pub fn row(&self, plane: usize, row: usize) -> &'a [u8] {
        let place = self.layout.planes[plane];
        let from = place.at + row.min(place.rows - 1) * place.stride;
        &self.bytes[from..from + self.layout.format.row_bytes(plane, self.layout.width)]
    }
}

/// Converts `raw` into `rgb`, `(h, w, 3)`, pixel by pixel; bytes past the shorter of the two stay as they are.
pub fn to_rgb(raw: &Raw<'_>, rgb: &mut [u8]) {
    let layout = raw.layout;
    let matrix = Matrix::of(layout.colour);
    let row_bytes = layout.width as usize * CHANNELS;
    for (row, rgb) in rgb.chunks_exact_mut(row_bytes).take(layout.height as usize).enumerate() {
        let samples = raw.row(0, row);
        match layout.format {
            PixelFormat::Yuyv => packed_row(matrix, samples, [0, 1, 2, 3], rgb),
            PixelFormat::Uyvy => packed_row(matrix, samples, [1, 0, 3, 2], rgb),
            PixelFormat::Nv12 => paired_row(matrix, samples, raw.row(1, row / 2), false, rgb),
            PixelFormat::Nv21 => paired_row(matrix, samples, raw.row(1, row / 2), true, rgb),
            PixelFormat::Yu12 => planar_row(matrix, samples, raw.row(1, row / 2), raw.row(2, row / 2), rgb),
            PixelFormat::Rgb => rgb.copy_from_slice(samples),
            PixelFormat::Bgr => {
                for (to, from) in rgb.chunks_exact_mut(CHANNELS).zip(samples.chunks_exact(CHANNELS)) {
                    to.copy_from_slice(&[from[2], from[1], from[0]]);
                }
            }
            PixelFormat::Grey => {
                for (to, &y) in rgb.chunks_exact_mut(CHANNELS).zip(samples) {
                    to.copy_from_slice(&matrix.pixel(y, [0; 3]));
                }
            }
        }
        let full = layout.colour.range == Range::Full;
        if !full && matches!(layout.format, PixelFormat::Rgb | PixelFormat::Bgr) {
            rgb.iter_mut().for_each(|v| *v = matrix.pixel(*v, [0; 3])[0]); // black and white as luma has them
        }
    }
}

/// `places`: where Y of the first pixel, U, Y of the second, V lie in four bytes.
fn packed_row(matrix: &Matrix, samples: &[u8], [y0, u, y1, v]: [usize; 4], rgb: &mut [u8]) {
    let fours = samples.as_chunks::<4>().0;
    in_pairs(matrix, rgb, |pair| {
        let four = fours[pair];
        ([four[y0], four[y1]], four[u], four[v])
    });
}

/// Two bytes of chroma for two pixels; `swapped` if V comes first.
fn paired_row(matrix: &Matrix, luma: &[u8], chroma: &[u8], swapped: bool, rgb: &mut [u8]) {
    let (u, v) = if swapped { (1, 0) } else { (0, 1) };
    let chroma = chroma.as_chunks::<2>().0;
    in_pairs(matrix, rgb, |pair| (two(luma, pair), chroma[pair][u], chroma[pair][v]));
}

fn planar_row(matrix: &Matrix, luma: &[u8], us: &[u8], vs: &[u8], rgb: &mut [u8]) {
    in_pairs(matrix, rgb, |pair| (two(luma, pair), us[pair], vs[pair]));
}

/// The luma of two pixels; past the row's end that of the last.
#[inline(always)]
fn two(luma: &[u8], pair: usize) -> [u8; 2] {
    [luma[2 * pair], luma[(2 * pair + 1).min(luma.len() - 1)]]
}

/// Writes a row two pixels at a time, which share their chroma: `samples` gives both lumas, U and V. The second pixel of
/// the last pair may be past the row's end.
#[inline(always)]
fn in_pairs(matrix: &Matrix, rgb: &mut [u8], samples: impl Fn(usize) -> ([u8; 2], u8, u8)) {
    let (pairs, last) = rgb.as_chunks_mut::<{ 2 * CHANNELS }>();
    let count = pairs.len();
    for (index, pixels) in pairs.iter_mut().enumerate() {
        let ([y0, y1], u, v) = samples(index);
        let added = matrix.chroma(u, v);
        let (a, b) = (matrix.pixel(y0, added), matrix.pixel(y1, added));
        *pixels = [a[0], a[1], a[2], b[0], b[1], b[2]];
    }
    if !last.is_empty() {
        let ([y, _], u, v) = samples(count);
        last.copy_from_slice(&matrix.pixel(y, matrix.chroma(u, v)));
    }
}

#[cfg(test)]
#[path = "raw_tests.rs"]
mod tests;
