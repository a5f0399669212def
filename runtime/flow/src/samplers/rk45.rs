//! Steps that choose their own length: the pair of orders 5 and 4 of Dormand and Prince ("A family
//! of embedded Runge-Kutta formulae", 1980), with the step control of Hairer, Nørsett and Wanner,
//! "Solving Ordinary Differential Equations I", section II.4.

use super::super::FlowError;
use super::Velocity;

/// Most evaluations of the velocity in one run.
pub const EVALUATIONS_MAX: usize = 20_000;
const ORDER: f64 = 5.0;
const SAFETY: f64 = 0.9;
const GROWTH: [f64; 2] = [0.2, 5.0];

const NODES: [f64; 7] = [0.0, 0.2, 0.3, 0.8, 8.0 / 9.0, 1.0, 1.0];
const STAGES: [[f64; 6]; 7] = [
    [0.0; 6],
    [0.2, 0.0, 0.0, 0.0, 0.0, 0.0],
    [3.0 / 40.0, 9.0 / 40.0, 0.0, 0.0, 0.0, 0.0],
    [44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0, 0.0, 0.0, 0.0],
    [19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0, 0.0, 0.0],
    [9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0, 0.0],
    [35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0],
];
/// Weights of the fifth order less those of the fourth.
const ERROR: [f64; 7] =
    [71.0 / 57600.0, 0.0, -71.0 / 16695.0, 71.0 / 1920.0, -17253.0 / 339_200.0, 22.0 / 525.0, -1.0 / 40.0];

/// The tolerance for which a smooth flow takes about `steps` Euler steps' worth of evaluations.
pub fn tolerance_for(steps: usize) -> f64 {
    let steps = steps.max(1) as f64;
    (0.1 * libm::pow(6.0 / steps, ORDER)).clamp(1e-9, 0.5)
}

/// Integrates from `ends[0]` to `ends[1]`; each step's error stays below `tolerance (1 + |x|)`.
///
/// # Errors
/// The velocity's, or [`FlowError::Setting`] where the tolerance cannot be reached in
/// [`EVALUATIONS_MAX`] evaluations.
pub fn integrate(field: &mut dyn Velocity, x: &mut [f64], ends: [f64; 2], tolerance: f64) -> Result<(), FlowError> {
    let refused = |cure| FlowError::Setting { name: "the tolerance of rk45", value: tolerance, cure };
    if !(tolerance > 0.0 && tolerance.is_finite()) {
        return Err(refused("give a number above zero"));
    }
    let span = ends[1] - ends[0];
    let (mut t, mut length, mut evaluations) = (ends[0], span / 8.0, 1);
    let mut k = vec![vec![0.0; x.len()]; 7];
    let mut y = vec![0.0; x.len()];
    field.velocity(x, t, &mut k[0])?;
    while (ends[1] - t) * span.signum() > 1e-12 * span.abs() {
        if evaluations + 6 > EVALUATIONS_MAX {
            return Err(refused("it is too small for this velocity; give a larger one or fewer steps"));
        }
        if (t + length - ends[1]) * span.signum() > 0.0 {
            length = ends[1] - t;
        }
        for stage in 1..7 {
            for (i, y) in y.iter_mut().enumerate() {
                let slope: f64 = (0..stage).map(|j| STAGES[stage][j] * k[j][i]).sum();
                *y = x[i] + length * slope;
            }
            field.velocity(&y, t + NODES[stage] * length, &mut k[stage])?;
        }
        evaluations += 6;
        // the last stage's point is the solution of order 5
        let mut sum = 0.0;
        for (i, y) in y.iter().enumerate() {
            let off: f64 = (0..7).map(|j| ERROR[j] * k[j][i]).sum();
            let scale = tolerance * (1.0 + x[i].abs().max(y.abs()));
            sum += (length * off / scale) * (length * off / scale);
        }
        let error = libm::sqrt(sum / x.len().max(1) as f64);
        if error <= 1.0 {
            t += length;
            x.copy_from_slice(&y);
            k.swap(0, 6);
        }
        let factor = if error > 0.0 { SAFETY * libm::pow(error, -1.0 / ORDER) } else { GROWTH[1] };
        length *= if factor.is_finite() { factor.clamp(GROWTH[0], GROWTH[1]) } else { GROWTH[0] };
    }
    Ok(())
}
