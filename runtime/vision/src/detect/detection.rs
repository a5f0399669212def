//! One detected object.

/// Most detections reported for one picture.
pub const DETECTIONS_MAX: usize = 300;

/// One detected object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Index into the manifest's class names.
    pub class: u16,
    /// Confidence in 0..=1.
    pub score: f32,
    /// `[x0, y0, x1, y1]` in the picture's pixels, clipped to the picture.
    pub bounds: [f32; 4],
}
