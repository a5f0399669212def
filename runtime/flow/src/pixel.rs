//! A pixel as the networks know it: 0..=255 as -1..=1.

/// The value of a pixel.
pub fn value(pixel: u8) -> f32 {
    f32::from(pixel) / 127.5 - 1.0
}

/// The pixel nearest to a value.
pub fn pixel(value: f32) -> u8 {
    ((value + 1.0) * 127.5).round_ties_even().clamp(0.0, 255.0) as u8
}
