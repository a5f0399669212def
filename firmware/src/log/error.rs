//! Why the log refuses, and what to do.

use core::fmt;

use super::retain::LimitsError;
use crate::limits::RECORD_BYTES_MAX;

/// Why the log refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogError<E> {
    /// The medium failed.
    Media(E),
    /// The limits are out of bounds.
    Limits(LimitsError),
    /// A payload is longer than [`RECORD_BYTES_MAX`].
    TooLong(usize),
    /// The group is full: commit, then append again.
    GroupFull,
    /// A segment has a format that this build does not know.
    Format {
        /// The segment.
        segment: u32,
        /// Its format.
        format: u16,
    },
    /// All numbers of segments or of records are used up.
    Exhausted,
}

impl<E: fmt::Display> fmt::Display for LogError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Media(error) => error.fmt(f),
            LogError::Limits(error) => error.fmt(f),
            LogError::TooLong(bytes) => write!(f, "a record of {bytes} bytes: at most {RECORD_BYTES_MAX} fit"),
            LogError::GroupFull => write!(f, "as many records wait as one commit takes: commit first"),
            LogError::Format { segment, format } => write!(
                f,
                "segment {segment} has format {format}, written by another version of lapwing: use that version, or move the log away"
            ),
            LogError::Exhausted => {
                f.write_str("all numbers of segments or records are used: move the log away and begin a new one")
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for LogError<E> {}
