//! The way back of what circulates: frames to the capture thread, boxes to the detector's. After the first frames the
//! pipeline makes neither.

use std::sync::atomic::Ordering;

use super::queue::Queue;
use super::{SeenFrame, Shared};
use lapwing_camera::frame::Frame;

/// The way back of what circulates.
#[derive(Clone, Copy)]
pub(crate) struct Back<'a> {
    pub free: &'a Queue<Frame>,
    pub boxes: &'a Queue<Box<SeenFrame>>,
    pub shared: &'a Shared,
}

impl Back<'_> {
    /// A frame that nobody needs any more.
    pub(crate) fn frame(&self, frame: Frame) {
        let _ = self.free.push_newest(frame); // the queue holds every frame there is
    }

    /// A box that the recorder was sent and has emptied.
    pub(crate) fn recorded(&self, seen: Box<SeenFrame>) {
        let _ = self.boxes.push_newest(seen); // the queue holds every box there is
        self.shared.recording.fetch_sub(1, Ordering::SeqCst);
    }
}
