//! Picture files: JPEG and PNG to a frame, and a frame to JPEG and PNG.
//!
//! [`decode`] goes by what the bytes are and not by the file's name. It reads JPEG (baseline, progressive, grey, CMYK
//! and YCCK as Adobe writes them: inverted) and PNG (grey, palette, 1 to 16 bits, alpha). It turns the picture as its
//! EXIF orientation says (CIPA DC-008, tag 0x0112), lays alpha over [`BACKDROP`], and brings 16 bits to 8 by rounding.
//! A picture above [`super::PIXELS_MAX`] is refused by its header, before memory for its pixels is asked for, and a JPEG
//! of whose data a part is missing at the end is refused ([`super::jpeg`]).
//! It may not open files (that is the camera's) and it knows no colour profiles: every picture is taken for sRGB.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{PngDecoder, PngEncoder};
use image::metadata::Orientation;
use image::{ColorType, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, Limits};
use thiserror::Error;

use super::printable::Printable;
use super::{CHANNELS, Frame, FrameError, jpeg, rgb_bytes, segments};

/// What shows through a transparent pixel: mid grey, the letterbox's colour too.
pub const BACKDROP: u8 = 114;

/// The most memory that the PNG decoder may take for rows, profiles and texts, in bytes. Pixels have their own bound.
pub const PNG_SIDE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The longest side that a JPEG can have, in pixels.
pub const JPEG_SIDE_PX_MAX: u32 = 65_535;

/// Why a picture could not be read or written.
#[derive(Debug, Error)]
pub enum PictureError {
    /// No bytes.
    #[error("{} is empty; was it copied completely?", Printable(.name))]
    Empty {
        /// The file.
        name: String,
    },
    /// Neither JPEG nor PNG.
    #[error("{} is not a picture that lapwing reads: it starts with {starts}; convert it to JPEG or PNG", Printable(.name))]
    NotAPicture {
        /// The file.
        name: String,
        /// Its first bytes, and what they look like.
        starts: String,
    },
    /// The end is missing.
    #[error("{} is cut short: {why}; copy it again", Printable(.name))]
    Truncated {
        /// The file.
        name: String,
        /// What is missing.
        why: &'static str,
    },
    /// The decoder gave up.
    #[error(
        "{} is damaged or of a kind that the {format} decoder does not know: {cause}; open and save it again",
        Printable(.name)
    )]
    Undecodable {
        /// The file.
        name: String,
        /// JPEG or PNG.
        format: &'static str,
        /// The decoder's own words.
        cause: ImageError,
    },
    /// The size is impossible here.
    #[error("{}: {cause}", Printable(.name))]
    Size {
        /// The file.
        name: String,
        /// Which size, and what to do.
        cause: FrameError,
    },
    /// The frame could not be written.
    #[error("{} ({width}x{height}) cannot be written as {format}: {cause}", Printable(.name))]
    Unencodable {
        /// The frame's name.
        name: String,
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
        /// JPEG or PNG.
        format: &'static str,
        /// The encoder's own words.
        cause: String,
    },
}

/// Decodes a picture into `into`, which takes the size after turning and the name; `seq` and `captured_us` stay.
///
/// # Errors
/// See [`PictureError`]. After an error the frame is whole but its size, pixels and name are unspecified.
pub fn decode(bytes: &[u8], name: &str, into: &mut Frame) -> Result<(), PictureError> {
    into.set_name(name);
    match bytes {
        [] => Err(PictureError::Empty { name: name.to_owned() }),
        [0xFF, 0xD8, 0xFF, ..] => jpeg::decode(bytes, name, into),
        [0x89, b'P', b'N', b'G', ..] => decode_png(bytes, name, into),
        _ => Err(PictureError::NotAPicture { name: name.to_owned(), starts: starts_with(bytes) }),
    }
}

fn decode_png(bytes: &[u8], name: &str, into: &mut Frame) -> Result<(), PictureError> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(PNG_SIDE_BYTES_MAX);
    let decoder =
        PngDecoder::with_limits(Cursor::new(bytes), limits).map_err(|cause| undecodable(name, "PNG", cause))?;
    read(decoder, "PNG", name, into)
}

pub(super) fn undecodable(name: &str, format: &'static str, cause: ImageError) -> PictureError {
    PictureError::Undecodable { name: name.to_owned(), format, cause }
}

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
pub(super) fn narrow(pixel: &[u8], index: usize) -> u8 {
    let wide = u16::from_ne_bytes([pixel[2 * index], pixel[2 * index + 1]]);
    ((u32::from(wide) + 128) / 257) as u8
}

/// `colour` with opacity `alpha` over [`BACKDROP`], rounded.
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

/// The first bytes in words, for a person who has to find out what the file is.
fn starts_with(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(8)];
    let kind = match bytes {
        [b'G', b'I', b'F', b'8', ..] => "a GIF",
        [b'B', b'M', ..] => "a BMP",
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => "a TIFF or a camera's raw file",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "a WebP",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "an HEIC, AVIF or MP4",
        [b'P', b'K', 3, 4, ..] => "a ZIP archive",
        [0x1F, 0x8B, ..] => "gzip",
        [b'%', b'P', b'D', b'F', ..] => "a PDF",
        [0xFF, 0xD8, ..] => "half a JPEG marker",
        _ if head.iter().all(|b| (b' '..=b'~').contains(b) || b.is_ascii_whitespace()) => "text",
        _ => "unknown",
    };
    let mut words = String::new();
    for (i, byte) in head.iter().enumerate() {
        let space = if i == 0 { "" } else { " " };
        words.push_str(&format!("{space}{byte:02X}"));
    }
    format!("{words} ({kind})")
}

/// Writes `frame` as a baseline JPEG of `quality` 1 to 100 into `out`, which is emptied first.
///
/// # Errors
/// [`PictureError::Unencodable`] for a frame without pixels or with a side above [`JPEG_SIDE_PX_MAX`].
pub fn encode_jpeg(frame: &Frame, quality: u8, out: &mut Vec<u8>) -> Result<(), PictureError> {
    out.clear();
    let fail = |cause| unencodable(frame, "JPEG", cause);
    if frame.width().max(frame.height()) > JPEG_SIDE_PX_MAX {
        return Err(fail(format!("a side exceeds {JPEG_SIDE_PX_MAX} pixels; write a PNG")));
    }
    let (width, height) = size_of(frame).ok_or_else(|| fail("it has no pixels".to_owned()))?;
    JpegEncoder::new_with_quality(out, quality.clamp(1, 100))
        .encode(frame.rgb(), width, height, ExtendedColorType::Rgb8)
        .map_err(|error| fail(error.to_string()))
}

/// Writes `frame` as a PNG into `out`, which is emptied first.
///
/// # Errors
/// [`PictureError::Unencodable`] for a frame without pixels.
pub fn encode_png(frame: &Frame, out: &mut Vec<u8>) -> Result<(), PictureError> {
    out.clear();
    let fail = |cause| unencodable(frame, "PNG", cause);
    let (width, height) = size_of(frame).ok_or_else(|| fail("it has no pixels".to_owned()))?;
    PngEncoder::new(out)
        .write_image(frame.rgb(), width, height, ExtendedColorType::Rgb8)
        .map_err(|error| fail(error.to_string()))
}

fn size_of(frame: &Frame) -> Option<(u32, u32)> {
    (!frame.rgb().is_empty()).then_some((frame.width(), frame.height()))
}

fn unencodable(frame: &Frame, format: &'static str, cause: String) -> PictureError {
    let (width, height) = (frame.width(), frame.height());
    PictureError::Unencodable { name: frame.name().to_owned(), width, height, format, cause }
}

/// Whether `bytes` begins like a JPEG or a PNG.
#[must_use]
pub fn looks_like_a_picture(bytes: &[u8]) -> bool {
    bytes.starts_with(&segments::SOI) || bytes.starts_with(b"\x89PNG")
}

#[cfg(test)]
#[path = "picture_tests.rs"]
mod tests;
