//! The second look: what a detector still finds in a picture that was painted over.

use super::hiding::Hiding;
use super::region::Rect;
use lapwing_camera::frame::Frame;
use lapwing_vision::detect::{DetectOptions, Detection, Detector};

/// Looks at a frame again.
pub trait Look: Send {
    /// What is in the frame, best first.
    ///
    /// # Errors
    /// The detector's words.
    fn look(&mut self, frame: &Frame) -> Result<&[Detection], String>;
}

/// A detector of its own for the second look, with the options of the first.
pub struct Recheck {
    detector: Detector,
    options: DetectOptions,
}

impl Recheck {
    /// Looks with `detector`; `options` must let pass whatever hides.
    pub fn new(detector: Detector, options: DetectOptions) -> Recheck {
        Recheck { detector, options }
    }
}

impl Look for Recheck {
    fn look(&mut self, frame: &Frame) -> Result<&[Detection], String> {
        self.detector.detect(frame, &self.options).map_err(|e| e.to_string())
    }
}

/// A detection is in a region if they share this part of the smaller of the two.
const SHARED_MIN: f64 = 0.25;

/// The hidden things of a look: most that are kept; the surest come first.
pub const FOUND_MAX: usize = lapwing_vision::detect::DETECTIONS_MAX;

/// The boxes of a look that are to be hidden, in whole pixels of the frame.
pub fn hidden_boxes(hiding: &Hiding, frame: &Frame, detections: &[Detection]) -> heapless::Vec<Rect, FOUND_MAX> {
    let hidden = detections.iter().filter(|d| hiding.hides(d));
    hidden.filter_map(|d| Rect::touched(d.bounds, frame.width(), frame.height())).take(FOUND_MAX).collect()
}

/// Whether something that was found is in a region.
pub fn is_in(found: &Rect, region: &Rect) -> bool {
    let smaller = found.area().min(region.area());
    found.shared(region) as f64 >= SHARED_MIN * smaller as f64
}
