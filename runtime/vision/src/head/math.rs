//! The functions that heads share.

/// The logistic function.
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Corners (left, top, right, bottom) of a box by its centre and its size.
pub fn corners([x, y]: [f32; 2], [width, height]: [f32; 2]) -> [f32; 4] {
    let (across, down) = (width / 2.0, height / 2.0);
    [x - across, y - down, x + across, y + down]
}

/// The logit of a probability, for thresholds that are compared before the sigmoid.
pub fn logit(p: f32) -> f32 {
    if p <= 0.0 {
        f32::NEG_INFINITY
    } else if p >= 1.0 {
        f32::INFINITY
    } else {
        (p / (1.0 - p)).ln()
    }
}

/// The share of a logit among `all` of them.
pub fn softmax(all: impl Iterator<Item = f32> + Clone) -> impl Fn(f32) -> f32 {
    let greatest = all.clone().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = all.map(|logit| (logit - greatest).exp()).sum();
    move |logit| (logit - greatest).exp() / sum
}
