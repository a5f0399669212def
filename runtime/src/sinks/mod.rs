//! Where events and redacted pictures go.
//!
//! A sink takes [`Redacted`](crate::privacy::Redacted) pictures and
//! [`Durable`](lapwing_firmware::log::Durable) events and nothing else.
//!
//! | file | noun |
//! |---|---|
//! | [`sink`] | what is told of a run, and the trait of whoever is told |
//! | [`fan_out`] | a queue and a thread for each sink; the list of them is the point of extension |
//! | `pictures` | the folder of pictures, which the recorder fills before anything is told |
//! | `files` | pictures and clips that appear whole or not at all |
//! | `picture_error` | why one could not be stored |
//! | `annotate` | what is drawn on a picture |

mod annotate;
pub mod fan_out;
mod files;
mod picture_error;
mod pictures;
pub mod sink;

#[cfg(test)]
mod fan_out_tests;

pub use annotate::{annotate, annotate_found, annotate_stale};
pub use fan_out::{SinkReport, Sinks};
pub use files::{ClipKind, ClipSink, write_picture};
pub use picture_error::PictureError;
pub use pictures::PictureSink;
pub use sink::{Looked, Names, Recorded, Sink, SinkError, Stream, Wants};
