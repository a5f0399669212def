//! Draws detections on a picture.

use lapwing_camera::frame::{Frame, draw};
use lapwing_vision::detect::Detection;

/// Draws each detection's box with its class name and score.
pub fn annotate<'a>(frame: &mut Frame, detections: &[Detection], class_name: impl Fn(u16) -> &'a str) {
    // best last, so that it lies on top
    for detection in detections.iter().rev() {
        let label = format!("{} {:.0}%", class_name(detection.class), detection.score * 100.0);
        draw::detection(frame, detection.bounds, usize::from(detection.class), &label);
    }
}

/// Says in the corner of a picture that it was too old, and how old, when it had been looked at.
pub fn annotate_stale(frame: &mut Frame, age_us: u64) {
    let words = format!("stale {:.1} s", age_us as f64 / 1e6);
    let scale = draw::text_scale(frame);
    let (width, height) = draw::text_size_px(&words, scale);
    let ground = [255, 255, 0];
    draw::fill(frame, [0.0, 0.0, width as f32 + 4.0, height as f32 + 4.0], ground);
    draw::text(frame, 2.0, 2.0, &words, draw::ink_on(ground), scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_picture_says_so() {
        let mut frame = Frame::new();
        frame.reset(200, 100).unwrap();
        annotate_stale(&mut frame, 1_250_000);
        let yellow = frame.rgb().chunks_exact(3).filter(|p| **p == [255, 255, 0]).count();
        assert!(yellow > 100, "{yellow}");
        assert_eq!(frame.pixel(199, 99), Some([0; 3]));
    }
}
