//! Picture files: JPEG and PNG to a frame, and a frame to JPEG and PNG.
//!
//! [`decode`] goes by what the bytes are and not by the file's name. It reads JPEG (baseline, progressive, grey, CMYK
//! and YCCK as Adobe writes them: inverted) and PNG (grey, palette, 1 to 16 bits, alpha). It turns the picture as its
//! EXIF orientation says (CIPA DC-008, tag 0x0112), lays alpha over [`BACKDROP`], and brings 16 bits to 8 by rounding.
//! A picture above [`super::PIXELS_MAX`] is refused by its header, before memory for its pixels is asked for, and a JPEG
//! of whose data a part is missing at the end is refused (`jpeg`).
//! It may not open files (that is the camera's) and it knows no colour profiles: every picture is taken for sRGB.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{PngDecoder, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, Limits};

use super::buffer::Frame;
use super::picture_error::undecodable;
use super::pixels::read;
use super::{jpeg, segments};

pub use super::jpeg::JPEG_SIDE_PX_MAX;
pub use super::picture_error::PictureError;
pub use super::pixels::BACKDROP;

/// The most memory that the PNG decoder may take for rows, profiles and texts, in bytes. Pixels have their own bound.
pub const PNG_SIDE_BYTES_MAX: u64 = 64 * 1024 * 1024;

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
