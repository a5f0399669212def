//! JPEG to a frame: which decoder, what of the picture has to be there, and how it is turned.
//!
//! | coded as | decoder |
//! |---|---|
//! | [`Outline::is_common`] | zune-jpeg, fast, straight into the frame |
//! | otherwise: a scan for each component, chroma finer than luma, factors of three | jpeg-decoder |
//!
//! Both give what libjpeg gives, within a few levels of its rounding. A picture without Huffman tables is read with those
//! of annex K. A picture without its end-of-image marker is read where its data are whole, to the bit; where data are
//! missing it is [`PictureError::Truncated`], for a decoder would paint the rest grey without a word.

use std::io::Cursor;

use image::codecs::jpeg::JpegDecoder;
use image::error::DecodingError;
use image::metadata::Orientation;
use image::{ImageDecoder, ImageError, ImageFormat, Limits};
use jpeg_decoder::PixelFormat;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::buffer::Frame;
use super::outline::{Outline, with_tables};
use super::picture_error::{PictureError, undecodable};
use super::pixels::{Turn, narrow, read};
use super::segments::{Step, Walker};
use super::size::rgb_bytes;

/// The longest side that a JPEG can have, in pixels.
pub const JPEG_SIDE_PX_MAX: u32 = 65_535;

const FORMAT: &str = "JPEG";

/// Whether the picture's data are all there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The end-of-image marker is there, or the decoder will say what is wrong before it.
    Marked,
    /// The bytes end inside a scan.
    Missing,
}

/// Decodes a JPEG into `into`.
///
/// # Errors
/// See [`PictureError`].
pub(super) fn decode(bytes: &[u8], name: &str, into: &mut Frame) -> Result<(), PictureError> {
    // Stray bytes between segments are the decoder's to judge.
    let mut walker = Walker::new();
    let ending = match walker.feed(bytes) {
        Step::More if walker.is_in_scan() => Ending::Missing,
        Step::More => return Err(truncated(name)),
        _ => Ending::Marked,
    };
    let outline = Outline::of(bytes).unwrap_or_default();
    if ending == Ending::Missing && (outline.is_progressive() || !outline.is_common()) {
        return Err(truncated(name)); // another scan may be missing
    }
    let mut completed = Vec::new();
    let bytes = if outline.lacks_tables() { with_tables(bytes, &mut completed) } else { bytes };
    if outline.is_common() {
        return match ending {
            Ending::Marked => decode_common(bytes, ending, name, into),
            Ending::Missing => decode_unended(bytes, name, into),
        };
    }
    if walker.scans() > outline.scans_max() {
        return Err(fail(name, "it has more scans than its components need"));
    }
    decode_uncommon(bytes, name, into)
}

fn truncated(name: &str) -> PictureError {
    PictureError::Truncated { name: name.to_owned(), why: "it ends before its end-of-image marker" }
}

fn fail(name: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PictureError {
    undecodable(name, FORMAT, ImageError::Decoding(DecodingError::new(ImageFormat::Jpeg.into(), cause)))
}

/// Bytes that are put behind data without an end: more than the decoder reads ahead.
const FILL_BYTES: usize = 64;

/// A picture without its end-of-image marker. Its data are whole exactly if what follows them does not matter: they are
/// decoded twice, once with zeros behind them and once with ones, and both must give the same picture. (A code of ones
/// alone does not exist, annex C; data that lack a single bit end in an error or in two pictures.)
fn decode_unended(bytes: &[u8], name: &str, into: &mut Frame) -> Result<(), PictureError> {
    let data = &bytes[..bytes.iter().rposition(|&byte| byte != 0xFF).map_or(0, |last| last + 1)]; // half a marker
    let mut other = Frame::new();
    for (fill, frame) in [(&[0x00][..], &mut *into), (&[0xFF, 0x00], &mut other)] {
        let filled = [data, &fill.repeat(FILL_BYTES)].concat();
        decode_common(&filled, Ending::Missing, name, frame)?;
    }
    if into.rgb() == other.rgb() { Ok(()) } else { Err(truncated(name)) }
}

/// Pictures in colour that lie as they are to be seen, a camera's, go straight into the frame; others through a copy.
/// Memory is asked for by the decoder alone, which cannot be used for a second picture: for a baseline picture 17
/// requests, measured, for the rows that it works on (some 180 bytes a pixel of width); a progressive one needs its
/// coefficients too.
fn decode_common(bytes: &[u8], ending: Ending, name: &str, into: &mut Frame) -> Result<(), PictureError> {
    let damaged = |error: DecodeErrors| match ending {
        Ending::Marked => fail(name, error),
        Ending::Missing => truncated(name),
    };
    // strict, it does not make up data behind the last byte
    let options = DecoderOptions::default()
        .set_strict_mode(ending == Ending::Missing)
        .set_max_width(JPEG_SIDE_PX_MAX as usize)
        .set_max_height(JPEG_SIDE_PX_MAX as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(damaged)?;
    let turned = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let is_plain = turned.is_none_or(|turn| turn == Orientation::NoTransforms);
    if let (true, Some((width, height)), Some(ColorSpace::YCbCr | ColorSpace::RGB)) =
        (is_plain, decoder.dimensions(), decoder.input_colorspace())
    {
        let fits = into.reset(width as u32, height as u32); // at most JPEG_SIDE_PX_MAX
        fits.map_err(|cause| PictureError::Size { name: name.to_owned(), cause })?;
        return decoder.decode_into(into.rgb_mut()).map_err(damaged);
    }
    if ending == Ending::Missing {
        let (width, height) = decoder.dimensions().unwrap_or_default();
        size(name, width as u32, height as u32)?;
        decoder.decode().map_err(damaged)?; // for what it says
    }
    drop(decoder);
    let undecodable = |cause| undecodable(name, FORMAT, cause);
    let mut decoder = JpegDecoder::new(Cursor::new(bytes)).map_err(undecodable)?;
    let mut limits = Limits::no_limits();
    (limits.max_image_width, limits.max_image_height) = (Some(JPEG_SIDE_PX_MAX), Some(JPEG_SIDE_PX_MAX));
    decoder.set_limits(limits).map_err(undecodable)?;
    read(decoder, FORMAT, name, into)
}

/// What few programs write: slower, and right.
fn decode_uncommon(bytes: &[u8], name: &str, into: &mut Frame) -> Result<(), PictureError> {
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.read_info().map_err(|error| fail(name, error))?;
    let info = decoder.info().ok_or_else(|| fail(name, "it has no size"))?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    let rgb = size(name, width, height)?;
    decoder.set_max_decoding_buffer_size(rgb.saturating_mul(2)); // CMYK and 16 bits fit
    let raw = decoder.decode().map_err(|error| fail(name, error))?;
    let exif = decoder.exif_data().and_then(Orientation::from_exif_chunk);
    let turn = Turn::new(exif.unwrap_or(Orientation::NoTransforms), width, height);
    into.reset(turn.width, turn.height).map_err(|cause| PictureError::Size { name: name.to_owned(), cause })?;
    let rgb = into.rgb_mut();
    match info.pixel_format {
        PixelFormat::L8 => turn.store(&raw, 1, rgb, |p| [p[0]; 3]),
        PixelFormat::L16 => turn.store(&raw, 2, rgb, |p| [narrow(p, 0); 3]),
        PixelFormat::RGB24 => turn.store(&raw, 3, rgb, |p| [p[0], p[1], p[2]]),
        PixelFormat::CMYK32 => turn.store(&raw, 4, rgb, |p| [0, 1, 2].map(|i| inked(p[i], p[3]))),
    }
    Ok(())
}

/// A colour of ink under black, both as they are in the file's own sense: 255 is full ink.
fn inked(ink: u8, black: u8) -> u8 {
    let (paper, light) = (u32::from(255 - ink), u32::from(255 - black));
    ((paper * light + 127) / 255) as u8
}

/// Bytes of the picture's pixels, if it may be decoded.
fn size(name: &str, width: u32, height: u32) -> Result<usize, PictureError> {
    rgb_bytes(width, height).map_err(|cause| PictureError::Size { name: name.to_owned(), cause })
}
