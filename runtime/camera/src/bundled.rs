//! The bundled photographs: what lapwing watches when it has no camera.
//!
//! The pictures are the caller's, in memory for the whole run; this source owns none and opens no file.

use std::time::Duration;

use super::{Next, Pacing, STILL_PERIOD_US, Source, SourceError};
use crate::frame::{Frame, picture};

/// A file's name and its bytes (JPEG or PNG).
pub type Photo = (&'static str, &'static [u8]);

/// Replays pictures that are part of the program.
#[derive(Debug, Clone)]
pub struct Bundled {
    photos: &'static [Photo],
    next: usize,
}

impl Bundled {
    /// A replay of `photos`, in order.
    #[must_use]
    pub fn new(photos: &'static [Photo]) -> Self {
        Self { photos, next: 0 }
    }
}

impl Source for Bundled {
    fn next(&mut self, frame: &mut Frame, _deadline: Duration) -> Next {
        let Some((name, bytes)) = self.photos.get(self.next) else {
            return Next::End;
        };
        frame.seq = self.next as u64;
        frame.captured_us = frame.seq.saturating_mul(STILL_PERIOD_US);
        self.next += 1;
        match picture::decode(bytes, name, frame) {
            Ok(()) => Next::Frame,
            Err(error) => Next::Broken(error.into()),
        }
    }

    fn pacing(&self) -> Pacing {
        Pacing::OnDemand
    }

    fn describe(&self) -> String {
        format!("{} bundled photographs", self.photos.len())
    }

    fn len_hint(&self) -> Option<u64> {
        Some(self.photos.len() as u64)
    }

    fn skip(&mut self, _scratch: &mut Frame) -> Next {
        if self.next >= self.photos.len() {
            return Next::End;
        }
        self.next += 1;
        Next::Frame
    }

    fn rewind(&mut self) -> Result<bool, SourceError> {
        self.next = 0;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREY: &[u8] = include_bytes!("frame/fixtures/grey_32x16.jpg");
    const PHOTOS: &[Photo] = &[("a.jpg", GREY), ("b.jpg", b"oops"), ("c.jpg", GREY)];

    #[test]
    fn in_order_and_around_again() {
        let mut source = Bundled::new(PHOTOS);
        assert_eq!((source.len_hint(), source.pacing()), (Some(3), Pacing::OnDemand));
        let mut frame = Frame::new();
        for _ in 0..2 {
            assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Frame));
            assert_eq!((frame.name(), frame.seq, frame.width()), ("a.jpg", 0, 32));
            assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Broken(_)));
            assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Frame));
            assert_eq!((frame.name(), frame.seq, frame.captured_us), ("c.jpg", 2, 2_000_000));
            assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::End));
            assert!(source.rewind().unwrap());
        }
        assert!(matches!(source.skip(&mut frame), Next::Frame));
    }
}
