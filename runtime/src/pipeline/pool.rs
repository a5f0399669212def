//! The frames of a run: a fixed number of them, in bounded memory.
//!
//! Frames circulate and keep their buffers, so that after the first ones none is made. What a frame may keep is bounded
//! by [`FRAME_BYTES_MAX`]: a live source whose pictures are larger is refused, and a replay's larger pictures go through
//! one at a time and give their memory back. So all frames together take at most [`POOL_BYTES_MAX`], and a replay one
//! large picture more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::queue::{Pop, Queue};
use lapwing_camera::frame::Frame;
use lapwing_camera::{LIVE_BYTES_MAX, LIVE_PIXELS_MAX};

/// Memory that a frame in circulation keeps, in bytes.
pub const FRAME_BYTES_MAX: usize = LIVE_BYTES_MAX;
/// Memory that all frames together take at most, in bytes: each once, and one of them as RGB beside what the camera gave.
pub const POOL_BYTES_MAX: usize = FRAME_BYTES_MAX * (super::message::FRAMES + 1);

/// The frames that are free.
pub(crate) struct Pool {
    free: Queue<Frame>,
    frames: usize,
    /// A large frame has left since all were free.
    stretched: AtomicBool,
}

impl Pool {
    /// `frames` frames without memory.
    pub(super) fn new(frames: usize) -> Pool {
        let free = Queue::new(frames);
        for _ in 0..frames {
            let _ = free.push_newest(Frame::new()); // has room
        }
        Pool { free, frames, stretched: AtomicBool::new(false) }
    }

    /// A free frame, if there is one within `wait`.
    pub(super) fn take(&self, wait: Duration) -> Option<Frame> {
        match self.free.pop(wait) {
            Pop::Item(frame) => Some(frame),
            Pop::Timeout | Pop::Closed => None,
        }
    }

    /// A frame that was filled leaves for the detector.
    pub(super) fn leaves(&self, frame: &Frame) {
        self.stretched.fetch_or(is_large(frame), Ordering::SeqCst);
    }

    /// A frame that nobody needs any more.
    pub(crate) fn give(&self, frame: Frame) {
        let kept = if frame.capacity_bytes() > FRAME_BYTES_MAX { Frame::new() } else { frame };
        let _ = self.free.push_newest(kept); // the queue holds every frame there is
    }

    /// True while a large frame may be out: no other may be made beside it. For the thread that fills frames, while it
    /// has none.
    pub(super) fn is_stretched(&self) -> bool {
        if self.free.len() == self.frames {
            self.stretched.store(false, Ordering::SeqCst);
        }
        self.stretched.load(Ordering::SeqCst)
    }
}

/// A frame that a live source may not have.
pub(super) fn is_large(frame: &Frame) -> bool {
    u64::from(frame.width()) * u64::from(frame.height()) > LIVE_PIXELS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_frame_gives_its_memory_back_and_a_small_one_keeps_it() {
        let pool = Pool::new(1);
        let mut frame = pool.take(Duration::ZERO).unwrap();
        frame.reset(640, 480).unwrap();
        pool.leaves(&frame);
        assert!(!pool.is_stretched());
        pool.give(frame);
        let mut frame = pool.take(Duration::ZERO).unwrap();
        assert_eq!(frame.capacity_bytes(), 640 * 480 * 3);
        frame.reset(4096, 3200).unwrap();
        pool.leaves(&frame);
        assert!(pool.is_stretched() && pool.take(Duration::ZERO).is_none());
        pool.give(frame);
        assert!(!pool.is_stretched());
        assert_eq!(pool.take(Duration::ZERO).unwrap().capacity_bytes(), 0);
    }
}
