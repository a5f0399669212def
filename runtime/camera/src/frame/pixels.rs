//! The pixels that a decoder gives, as a frame has them: turned, in RGB, in eight bits, without alpha.

use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError};

use super::buffer::Frame;
use super::picture_error::{PictureError, undecodable};
use super::size::{CHANNELS, FrameError, rgb_bytes};

/// What shows through a transparent pixel: mid grey, the letterbox's colour too.
pub const BACKDROP: u8 = 114;

/// The part that both formats share: size, orientation, pixels.
pub(super) fn read(
    mut decoder: impl ImageDecoder,
    format: &'static str,
    name: &str,
    into: &mut Frame,
) -> Result<(), PictureError> {
    let fail = |cause| undecodable(name, format, cause);
    let size = |cause| PictureError::Size { name: name.to_owned(), cause };
    let (width, height) = decoder.dimensions();
    // Before anything is computed from it; every index below then fits.
    rgb_bytes(width, height).map_err(size)?;
    // A damaged EXIF block is no reason to lose the picture: it is then taken as it lies.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let colours = decoder.color_type();
    let turn = Turn::new(orientation, width, height);
    into.reset(turn.width, turn.height).map_err(size)?;
    if colours == ColorType::Rgb8 && orientation == Orientation::NoTransforms {
        return decoder.read_image(into.rgb_mut()).map_err(fail);
    }
    // At most 8 bytes a pixel: PIXELS_MAX bounds this too.
    let bytes = usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX);
    let mut raw = Vec::new();
    raw.try_reserve_exact(bytes).map_err(|_| size(FrameError::OutOfMemory { width, height, bytes }))?;
    raw.resize(bytes, 0);
    decoder.read_image(&mut raw).map_err(fail)?;
    let rgb = into.rgb_mut();
    match colours {
        ColorType::Rgb8 => turn.store(&raw, 3, rgb, |p| [p[0], p[1], p[2]]),
        ColorType::L8 => turn.store(&raw, 1, rgb, |p| [p[0]; 3]),
        ColorType::La8 => turn.store(&raw, 2, rgb, |p| [over_backdrop(p[0], p[1]); 3]),
        ColorType::Rgba8 => turn.store(&raw, 4, rgb, |p| [p[0], p[1], p[2]].map(|c| over_backdrop(c, p[3]))),
        ColorType::L16 => turn.store(&raw, 2, rgb, |p| [narrow(p, 0); 3]),
        ColorType::La16 => turn.store(&raw, 4, rgb, |p| [over_backdrop(narrow(p, 0), narrow(p, 1)); 3]),
        ColorType::Rgb16 => turn.store(&raw, 6, rgb, |p| [0, 1, 2].map(|i| narrow(p, i))),
        ColorType::Rgba16 => {
            turn.store(&raw, 8, rgb, |p| [0, 1, 2].map(|i| over_backdrop(narrow(p, i), narrow(p, 3))));
        }
        other => {
            let text = format!("pixels of type {other:?}");
            let cause = image::error::UnsupportedError::from_format_and_kind(
                image::error::ImageFormatHint::Unknown,
                image::error::UnsupportedErrorKind::GenericFeature(text),
            );
            return Err(fail(ImageError::Unsupported(cause)));
        }
    }
    Ok(())
}

/// Sample `index` of a pixel of native-endian 16-bit samples, as 8 bits: round(v / 257).
#[inline]
pub(super) fn narrow(pixel: &[u8], index: usize) -> u8 {
    let wide = u16::from_ne_bytes([pixel[2 * index], pixel[2 * index + 1]]);
    ((u32::from(wide) + 128) / 257) as u8
}

/// `colour` with opacity `alpha` over [`BACKDROP`], rounded.
#[inline]
fn over_backdrop(colour: u8, alpha: u8) -> u8 {
    let (colour, alpha) = (u32::from(colour), u32::from(alpha));
    ((colour * alpha + u32::from(BACKDROP) * (255 - alpha) + 127) / 255) as u8
}

/// Where each pixel of the stored picture goes in the turned one: index = origin + x * step_x + y * step_y.
pub(super) struct Turn {
    /// Width after turning.
    pub width: u32,
    /// Height after turning.
    pub height: u32,
    stored_width: usize,
    origin: isize,
    step_x: isize,
    step_y: isize,
}

impl Turn {
    /// The size must have passed [`rgb_bytes`].
    pub fn new(orientation: Orientation, stored_width: u32, stored_height: u32) -> Self {
        let (w, h) = (stored_width as isize, stored_height as isize);
        let last = w * h - 1;
        let (swapped, origin, step_x, step_y) = match orientation {
            Orientation::NoTransforms => (false, 0, 1, w),
            Orientation::FlipHorizontal => (false, w - 1, -1, w),
            Orientation::Rotate180 => (false, last, -1, -w),
            Orientation::FlipVertical => (false, last - (w - 1), 1, -w),
            Orientation::Rotate90FlipH => (true, 0, h, 1),
            Orientation::Rotate90 => (true, h - 1, h, -1),
            Orientation::Rotate270FlipH => (true, last, -h, -1),
            Orientation::Rotate270 => (true, last - (h - 1), -h, 1),
        };
        let (width, height) = if swapped { (stored_height, stored_width) } else { (stored_width, stored_height) };
        Self { width, height, stored_width: stored_width as usize, origin, step_x, step_y }
    }

    /// Writes `raw`, `pixel_bytes` a pixel, to its places in `rgb`.
    pub fn store(&self, raw: &[u8], pixel_bytes: usize, rgb: &mut [u8], colour: impl Fn(&[u8]) -> [u8; 3]) {
        let mut row_at = self.origin;
        for row in raw.chunks_exact(self.stored_width * pixel_bytes) {
            let mut at = row_at;
            for pixel in row.chunks_exact(pixel_bytes) {
                let to = at as usize * CHANNELS;
                if let Some(place) = rgb.get_mut(to..to + CHANNELS) {
                    place.copy_from_slice(&colour(pixel));
                }
                at += self.step_x;
            }
            row_at += self.step_y;
        }
    }
}
