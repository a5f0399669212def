//! The retention policy: when the oldest segment has to go. Pure functions over sizes.
//!
//! It promises that a log within its limits stays within them when one more segment of full size is
//! added, and that the newest segment is never asked for.

use core::fmt;

use crate::limits::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SEGMENTS_MAX};

/// The space that a log may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Size of a segment in bytes.
    pub segment_bytes: u32,
    /// Size of all segments together in bytes.
    pub total_bytes: u64,
}

/// Why limits are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitsError {
    /// The segment's size is out of bounds.
    Segment(u32),
    /// Less than two segments fit.
    Total(u64),
    /// More than [`SEGMENTS_MAX`] segments fit.
    Segments(u64),
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LimitsError::Segment(bytes) => {
                write!(f, "a segment of {bytes} bytes: give {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}")
            }
            LimitsError::Total(bytes) => write!(f, "{bytes} bytes in total: give at least two segments"),
            LimitsError::Segments(count) => {
                write!(f, "{count} segments: give larger segments or less in total, so that at most {SEGMENTS_MAX} fit")
            }
        }
    }
}

impl core::error::Error for LimitsError {}

impl Limits {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`LimitsError`] says which to change.
    pub fn validate(&self) -> Result<(), LimitsError> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return Err(LimitsError::Segment(self.segment_bytes));
        }
        let count = self.total_bytes / u64::from(self.segment_bytes);
        if count < 2 {
            return Err(LimitsError::Total(self.total_bytes));
        }
        if count > u64::from(SEGMENTS_MAX) {
            return Err(LimitsError::Segments(count));
        }
        Ok(())
    }
}

/// What a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Segments.
    pub segments: u32,
    /// Their bytes together.
    pub bytes: u64,
}

/// True if the oldest segment has to go before a new one of full size is added.
pub fn must_drop_oldest(held: Held, limits: &Limits) -> bool {
    let over_bytes = held.bytes.saturating_add(u64::from(limits.segment_bytes)) > limits.total_bytes;
    held.segments > 1 && (over_bytes || held.segments >= SEGMENTS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn limits_are_checked() {
        let limits = |segment_bytes, total_bytes| Limits { segment_bytes, total_bytes }.validate();
        assert_eq!(limits(16_384, 32_768), Ok(()));
        assert_eq!(limits(16_383, 32_768), Err(LimitsError::Segment(16_383)));
        assert_eq!(limits(16_384, 32_767), Err(LimitsError::Total(32_767)));
        assert_eq!(limits(16_384, 1 << 31), Err(LimitsError::Segments(131_072)));
    }

    proptest! {
        #[test]
        fn the_total_holds(sizes in prop::collection::vec(32u32..=16_384, 1..60), fit in 2u64..8) {
            let limits = Limits { segment_bytes: 16_384, total_bytes: fit * 16_384 };
            let mut log: VecDeque<u32> = VecDeque::new();
            let mut held = Held::default();
            for size in sizes {
                while must_drop_oldest(held, &limits) {
                    held.bytes -= u64::from(log.pop_front().unwrap());
                    held.segments -= 1;
                }
                prop_assert!(held.bytes + 16_384 <= limits.total_bytes);
                log.push_back(size);
                held = Held { segments: held.segments + 1, bytes: held.bytes + u64::from(size) };
            }
        }
    }
}
