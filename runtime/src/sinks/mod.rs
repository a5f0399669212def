//! Where redacted pictures go. A sink takes [`Redacted`](crate::privacy::Redacted) and nothing else.

mod annotate;
mod files;
mod pictures;

pub use annotate::{annotate, annotate_stale};
pub use files::{ClipKind, ClipSink, write_picture};
pub use pictures::{PictureError, PictureSink};
