//! The way back of what circulates: frames to the capture thread, boxes to the detector's. After the first frames the
//! pipeline makes neither.

use std::sync::atomic::Ordering;

use super::message::{SeenFrame, Shared};
use super::pool::Pool;
use crate::queue::Queue;
use lapwing_camera::frame::Frame;

/// The way back of what circulates.
#[derive(Clone, Copy)]
pub(crate) struct Recycle<'a> {
    pub pool: &'a Pool,
    pub boxes: &'a Queue<Box<SeenFrame>>,
    pub shared: &'a Shared,
}

impl Recycle<'_> {
    /// A frame that nobody needs any more.
    pub(crate) fn frame(&self, frame: Frame) {
        self.pool.give(frame);
    }

    /// A box that the recorder was sent and has emptied.
    pub(crate) fn recorded(&self, seen: Box<SeenFrame>) {
        let _ = self.boxes.push_newest(seen); // the queue holds every box there is
        self.shared.recording.fetch_sub(1, Ordering::SeqCst);
    }
}
