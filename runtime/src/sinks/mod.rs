//! Where redacted pictures go. A sink takes [`Redacted`](crate::privacy::Redacted) and nothing else.

mod annotate;
mod pictures;

pub use annotate::annotate;
pub use pictures::{PictureError, PictureSink};
