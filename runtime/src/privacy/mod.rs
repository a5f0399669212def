//! What must not be kept is hidden before anything leaves the device.
//!
//! ```text
//! detections ─▶ Cover (margin, missed frames) ─▶ Regions ─▶ Redactor ─▶ Redacted<Frame> ─▶ sinks
//!                                                           mosaic, then fill, then a second look
//! ```
//!
//! [`Redacted`] is proof: having one means that every region of a hidden class was covered, and a sink takes nothing
//! else. A fill is made from what lies around a region and from nothing in it: pixels that were hidden have no influence
//! on it. A mosaic is five by five averages of them.
//!
//! | file | noun |
//! |---|---|
//! | [`region`] | rectangles of whole pixels, bounded in number |
//! | [`hiding`] | which classes, how much more than their boxes, and how long after they were seen |
//! | [`mosaic`] | averages, and black |
//! | [`fill`] | what paints a hole |
//! | [`hidden`] | which pixels may not be read |
//! | [`window`], [`paint`] | a region painted over from its surroundings |
//! | [`recheck`] | the second look |
//! | [`redactor`] | all of these, in their order |
//! | [`budget`] | how much there is time for |

pub mod budget;
pub mod fill;
pub mod hidden;
pub mod hiding;
pub mod mosaic;
pub mod paint;
pub mod recheck;
pub mod redactor;
pub mod region;
pub mod window;

#[cfg(test)]
mod tests;

pub use budget::{Budget, Tally};
pub use fill::{Fill, FillError, Lazy};
pub use hiding::{Cover, Hiding, MISSED_FRAMES_MIN};
pub use recheck::{Look, Recheck};
pub use redactor::{Account, Level, Redactor};
pub use region::{Rect, Region, Regions};

/// A value from which everything that must be hidden has been removed.
///
/// Only this module makes one, so a function that takes `Redacted<T>` cannot be handed a raw `T`:
///
/// ```compile_fail
/// use lapwing_camera::frame::Frame;
/// use lapwing_runtime::privacy::Redacted;
/// fn sink(_: &Redacted<Frame>) {}
/// sink(&Frame::new());
/// ```
#[derive(Debug)]
pub struct Redacted<T> {
    inner: T,
}

impl<T> Redacted<T> {
    /// Only for the redactor, which knows that it is so.
    fn proven(inner: T) -> Redacted<T> {
        Redacted { inner }
    }

    /// The value, to read.
    pub fn get(&self) -> &T {
        &self.inner
    }

    /// Draws on the value; what is drawn over a hidden region cannot bring it back.
    pub(crate) fn annotate(&mut self, draw: impl FnOnce(&mut T)) {
        draw(&mut self.inner);
    }

    /// Gives the buffer back for reuse.
    pub fn recycle(self) -> T {
        self.inner
    }
}
