//! Draws detections on a picture.

use crate::detect::Detection;
use crate::frame::{Frame, draw};

/// Draws each detection's box with its class name and score.
pub fn annotate<'a>(frame: &mut Frame, detections: &[Detection], class_name: impl Fn(u16) -> &'a str) {
    // best last, so that it lies on top
    for detection in detections.iter().rev() {
        let label = format!("{} {:.0}%", class_name(detection.class), detection.score * 100.0);
        draw::detection(frame, detection.bounds, usize::from(detection.class), &label);
    }
}
