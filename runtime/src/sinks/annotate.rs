//! Draws detections on a picture.

use lapwing_camera::frame::{Frame, draw};
use lapwing_vision::detect::{Detection, Detector, KeyPoint};

fn label_of(detection: &Detection, class_name: &str) -> String {
    format!("{class_name} {:.0}%", detection.score * 100.0)
}

/// Draws each detection's box with its class name and score.
pub fn annotate<'a>(frame: &mut Frame, detections: &[Detection], class_name: impl Fn(u16) -> &'a str) {
    // best last, so that it lies on top
    for detection in detections.iter().rev() {
        let label = label_of(detection, class_name(detection.class));
        draw::detection(frame, detection.bounds, usize::from(detection.class), &label);
    }
}

/// Draws what a detector found in the picture that it saw last: masks as a tint with their edge, turned boxes as they
/// lie, key points as dots, and else boxes; each with its class name and score.
pub fn annotate_found(frame: &mut Frame, detector: &Detector) {
    let thickness = draw::line_px(frame);
    for (index, detection) in detector.detections().iter().enumerate().rev() {
        let class = usize::from(detection.class);
        let colour = draw::class_colour(class);
        let label = label_of(detection, detector.class_name(detection.class));
        if let Some(mask) = detector.mask(index) {
            draw::tint(frame, detection.bounds, colour, |x, y| mask.has(x, y));
            mask.polygons().iter().for_each(|ring| draw::polygon(frame, ring, colour, thickness));
        }
        match detector.rotated(index) {
            Some(rotated) => {
                draw::polygon(frame, &rotated.corners, colour, thickness);
                draw::label(frame, detection.bounds, class, &label);
            }
            None => draw::detection(frame, detection.bounds, class, &label),
        }
        key_points(frame, detector.key_points(index), thickness);
    }
}

/// A key point that is less sure is not drawn.
const VISIBILITY_MIN: f32 = 0.5;
/// The joints of a person of COCO's 17 that a limb joins: ankle, knee, hip, shoulder, elbow, wrist, and the head.
const LIMBS: [(usize, usize); 16] = [
    (15, 13),
    (13, 11),
    (16, 14),
    (14, 12),
    (11, 12),
    (5, 11),
    (6, 12),
    (5, 6),
    (5, 7),
    (7, 9),
    (6, 8),
    (8, 10),
    (0, 1),
    (0, 2),
    (1, 3),
    (2, 4),
];
const PERSON_POINTS: usize = 17;

fn key_points(frame: &mut Frame, points: &[KeyPoint], thickness: u32) {
    let seen =
        |index: usize| points.get(index).filter(|point| point.visibility >= VISIBILITY_MIN).map(|point| point.at);
    if points.len() == PERSON_POINTS {
        for (a, b) in LIMBS.iter().filter_map(|&(a, b)| seen(a).zip(seen(b))) {
            draw::stroke(frame, a, b, [255, 255, 255], thickness);
        }
    }
    let half = thickness as f32 + 1.0;
    for (index, [x, y]) in (0..points.len()).filter_map(|index| Some((index, seen(index)?))) {
        draw::fill(frame, [x - half, y - half, x + half, y + half], draw::class_colour(index));
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
