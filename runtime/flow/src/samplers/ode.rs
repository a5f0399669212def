//! Fixed steps along the velocity.

use super::super::FlowError;
use super::Velocity;

/// Euler's steps over `times`: `x += (t' - t) v(x, t)`.
///
/// # Errors
/// The velocity's.
pub fn euler(field: &mut dyn Velocity, x: &mut [f64], times: &[f64]) -> Result<(), FlowError> {
    let mut v = vec![0.0; x.len()];
    for pair in times.windows(2) {
        field.velocity(x, pair[0], &mut v)?;
        x.iter_mut().zip(&v).for_each(|(x, v)| *x += (pair[1] - pair[0]) * v);
    }
    Ok(())
}

/// Heun's steps: the mean of the velocities at both ends of an Euler step. The last one, which ends
/// at data, where the network was never trained, stays Euler's (arXiv:2206.00364, algorithm 1, line 6).
///
/// # Errors
/// The velocity's.
pub fn heun(field: &mut dyn Velocity, x: &mut [f64], times: &[f64]) -> Result<(), FlowError> {
    let (mut v, mut w, mut y) = (vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; x.len()]);
    for pair in times.windows(2) {
        let length = pair[1] - pair[0];
        field.velocity(x, pair[0], &mut v)?;
        if pair[1] > 0.0 {
            y.iter_mut().zip(&*x).zip(&v).for_each(|((y, x), v)| *y = x + length * v);
            field.velocity(&y, pair[1], &mut w)?;
            v.iter_mut().zip(&w).for_each(|(v, w)| *v = (*v + w) / 2.0);
        }
        x.iter_mut().zip(&v).for_each(|(x, v)| *x += length * v);
    }
    Ok(())
}
