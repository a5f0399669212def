//! What a box has beside class and score, as the outputs hold it: `head.extra` of the manifest.

use std::f32::consts::PI;

use super::math::sigmoid;
use lapwing_engine::manifest::{AngleUnit, Extra, PointOrigin};

/// The angle that a raw value means, in radians.
pub fn angle(unit: AngleUnit, raw: f32) -> f32 {
    match unit {
        AngleUnit::Logit => (sigmoid(raw) - 0.25) * PI,
        AngleUnit::Radians => raw,
    }
}

/// The input pixel that a raw x means in column `cell`, or a raw y in row `cell`.
fn point(origin: PointOrigin, raw: f32, cell: usize, stride: f32) -> f32 {
    match origin {
        PointOrigin::Corner => (2.0 * raw + cell as f32) * stride,
        PointOrigin::Centre => (raw + cell as f32 + 0.5) * stride,
        PointOrigin::Cell => (raw + cell as f32) * stride,
    }
}

/// Appends what a box has to `into`: coefficients as they are, of each key point x and y by `place` (0 across, 1 down) and
/// its visibility; `raw` is value i of the outputs. An angle is part of the box.
pub fn carry(
    extra: Extra,
    raw: impl Fn(usize) -> f32,
    place: impl Fn(usize, f32) -> f32,
    visibility: impl Fn(f32) -> f32,
    into: &mut Vec<f32>,
) {
    match extra {
        Extra::Mask { coefficients } => into.extend((0..coefficients).map(raw)),
        Extra::KeyPoints { count, values, .. } => {
            for first in (0..count).map(|point| point * values) {
                let seen = if values == 3 { visibility(raw(first + 2)) } else { 1.0 };
                into.extend([place(0, raw(first)), place(1, raw(first + 1)), seen]);
            }
        }
        Extra::Angle { .. } => {}
    }
}

/// As [`carry`], from the raw values of the cell in column x, row y.
pub fn of_cell(extra: Extra, raw: impl Fn(usize) -> f32, cell: [usize; 2], stride: f32, into: &mut Vec<f32>) {
    let origin = match extra {
        Extra::KeyPoints { origin, .. } => origin,
        Extra::Mask { .. } | Extra::Angle { .. } => PointOrigin::default(),
    };
    carry(extra, raw, |axis, at| point(origin, at, cell[axis], stride), sigmoid, into);
}

/// A box around `centre` that reaches `low` to the left and above and `high` to the right and below, along its own axes,
/// which are turned by `angle`: the box before it is turned around its own centre.
pub fn turned(centre: [f32; 2], low: [f32; 2], high: [f32; 2], angle: f32) -> [f32; 4] {
    let (sin, cos) = angle.sin_cos();
    let [across, down] = [(high[0] - low[0]) / 2.0, (high[1] - low[1]) / 2.0];
    let [x, y] = [centre[0] + across * cos - down * sin, centre[1] + across * sin + down * cos];
    let [half_w, half_h] = [(low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0];
    [x - half_w, y - half_h, x + half_w, y + half_h]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_that_is_not_turned_is_the_plain_one() {
        assert_eq!(turned([10.0, 20.0], [1.0, 2.0], [3.0, 6.0], 0.0), [9.0, 18.0, 13.0, 26.0]);
    }

    /// Turned by a quarter, what reaches to the right reaches down.
    #[test]
    fn a_quarter_turn_moves_the_centre_along_the_box_s_own_axes() {
        let [x0, y0, x1, y1] = turned([0.0, 0.0], [1.0, 1.0], [5.0, 1.0], PI / 2.0);
        assert!(((x0 + x1) / 2.0).abs() < 1e-6 && ((y0 + y1) / 2.0 - 2.0).abs() < 1e-6);
        assert_eq!((x1 - x0, y1 - y0), (6.0, 2.0));
    }
}
