//! Why a picture could not be read or written: what is wrong with it, and what to do.

use image::ImageError;
use thiserror::Error;

use super::printable::Printable;
use super::size::FrameError;

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

pub(super) fn undecodable(name: &str, format: &'static str, cause: ImageError) -> PictureError {
    PictureError::Undecodable { name: name.to_owned(), format, cause }
}
