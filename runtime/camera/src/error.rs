//! What can go wrong with a source, in the operator's words: what happened, where, and what to do.

use std::io;

use thiserror::Error;

use super::limits::{LIVE_BYTES_MAX, LIVE_PIXELS_MAX};
use crate::frame::PictureError;
use crate::frame::printable::Printable;

/// Why a source could not be opened, or why one of its inputs could not be used.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The words name no source.
    #[error(
        "'{}' names no source: {why}; give v4l:/dev/video0, a picture, a folder, a .tar, .y4m or .mjpeg file, or photos",
        Printable(.spec)
    )]
    BadSpec {
        /// The operator's words.
        spec: String,
        /// What is wrong with them.
        why: String,
    },
    /// The path does not exist.
    #[error("{} does not exist; check the spelling, and that its disk is mounted", Printable(.path))]
    NoSuchPath {
        /// The path.
        path: String,
    },
    /// The operating system refused.
    #[error("{} cannot be read: {cause}; check its permissions and the disk", Printable(.path))]
    Unreadable {
        /// The path.
        path: String,
        /// The system's own words.
        cause: io::Error,
    },
    /// There is nothing to show.
    #[error("{} holds no pictures; put .jpg or .png files into it or name another place", Printable(.path))]
    NoPictures {
        /// The path.
        path: String,
    },
    /// A folder is too deep or too full.
    #[error("{} is too large to walk: more than {bound} {what}; name a folder inside it", Printable(.path))]
    TooMany {
        /// The folder.
        path: String,
        /// The bound.
        bound: usize,
        /// Of what: files, levels.
        what: &'static str,
    },
    /// A file or an entry of an archive is larger than any picture.
    #[error("{} has {bytes} bytes, more than the {bytes_max} that a picture may have; scale it down", Printable(.name))]
    TooLarge {
        /// The file.
        name: String,
        /// Its size.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// A picture could not be decoded.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The archive is damaged.
    #[error(
        "{} is damaged as a tar archive near byte {at}: {}; pack it again (plain .tar, not compressed)",
        Printable(.path),
        Printable(.why)
    )]
    Tar {
        /// The archive.
        path: String,
        /// Offset of the entry's header.
        at: u64,
        /// What is wrong.
        why: String,
    },
    /// A member of an archive that is stored without its zeros.
    #[error("{} is a sparse member, which is not put together; pack it again without tar's --sparse", Printable(.name))]
    Sparse {
        /// The archive and the member.
        name: String,
    },
    /// The clip's header or one of its frames cannot be used.
    #[error(
        "{}, frame {frame}: {}; make the clip again, for example with ffmpeg -i IN -pix_fmt yuv420p OUT.y4m",
        Printable(.path),
        Printable(.why)
    )]
    Y4m {
        /// The clip.
        path: String,
        /// Number of the frame, from 0.
        frame: u64,
        /// What is wrong.
        why: String,
    },
    /// The stream of JPEGs is damaged here.
    #[error(
        "{}, frame {frame}, near byte {at}: {why}; the frame is skipped, copy the clip again if there are many",
        Printable(.path)
    )]
    Mjpeg {
        /// The clip.
        path: String,
        /// Number of the frame, from 0.
        frame: u64,
        /// Offset in the file.
        at: u64,
        /// What is wrong.
        why: String,
    },
    /// A camera cannot be used, at least not now.
    #[error("{}: {}; {cure}", Printable(.device), Printable(.what))]
    Camera {
        /// The device.
        device: String,
        /// What is wrong.
        what: String,
        /// What to do.
        cure: &'static str,
    },
}

impl SourceError {
    /// A camera that cannot be used.
    #[must_use]
    pub fn camera(device: &str, what: impl Into<String>, cure: &'static str) -> Self {
        Self::Camera { device: device.to_owned(), what: what.into(), cure }
    }

    /// A live source whose pictures of (width, height) pixels are larger than [`LIVE_PIXELS_MAX`]
    /// or [`LIVE_BYTES_MAX`].
    #[must_use]
    pub fn live_picture_too_large(device: &str, (width, height): (u32, u32)) -> Self {
        let (pixels_max, mib_max) = (LIVE_PIXELS_MAX as f64 / 1e6, LIVE_BYTES_MAX >> 20);
        let what = format!(
            "its pictures of {width}x{height} are too large: a live source may have {pixels_max:.1} megapixels in {mib_max} MiB"
        );
        Self::camera(device, what, "set a smaller width and height under [camera]; `lapwing doctor` lists its sizes")
    }

    /// An I/O error with the path that it happened to.
    #[must_use]
    pub fn io(path: &str, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::NotFound => Self::NoSuchPath { path: path.to_owned() },
            _ => Self::Unreadable { path: path.to_owned(), cause },
        }
    }
}
