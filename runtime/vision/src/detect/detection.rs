//! One detected object.

use super::outline::Outline;

/// Most detections reported for one picture.
pub const DETECTIONS_MAX: usize = 300;

/// One detected object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Index into the manifest's class names.
    pub class: u16,
    /// Confidence in 0..=1.
    pub score: f32,
    /// `[x0, y0, x1, y1]` in the picture's pixels, clipped to the picture; of a turned box the upright one around it.
    pub bounds: [f32; 4],
    /// The parts of this box that the object touches: those of its mask or of its turned box, else all of it.
    pub outline: Outline,
}

impl Detection {
    /// An object of which its box alone is known.
    pub fn new(class: u16, score: f32, bounds: [f32; 4]) -> Detection {
        Detection { class, score, bounds, outline: Outline::FULL }
    }
}

/// A point of an object, such as a joint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeyPoint {
    /// x, y in the picture's pixels; not clipped to it.
    pub at: [f32; 2],
    /// How surely it is seen, in 0..=1.
    pub visibility: f32,
}
