//! Samplers that predict the data and go back to a lower noise: DDIM and DDPM.
//!
//! On the variance-preserving path `y = alpha x_0 + sigma eps`, alpha-bar of the papers is alpha^2.

use super::super::FlowError;
use super::super::path::{Preserving, data_of_velocity, noise_of_velocity};
use super::{Noise, Velocity, grid};

/// Points with equal steps in the straight path's time.
pub fn straight(steps: usize) -> Vec<Preserving> {
    grid(steps).into_iter().map(Preserving::of).collect()
}

/// Points with equal steps in the linear schedule's time, ended by the data itself.
pub fn linear(steps: usize) -> Vec<Preserving> {
    grid(steps).into_iter().map(|s| if s > 0.0 { Preserving::at(s) } else { Preserving::of(0.0) }).collect()
}

/// DDIM (Song, Meng and Ermon, arXiv:2010.02502, equations 12 and 16):
///
/// ```text
/// s  = eta (sigma' / sigma) sqrt(1 - alpha^2 / alpha'^2)
/// y' = alpha' x_0 + sqrt(sigma'^2 - s^2) eps + s z
/// ```
///
/// # Errors
/// The velocity's, or an eta outside 0..=1.
pub fn ddim(
    field: &mut dyn Velocity,
    x: &mut [f64],
    points: &[Preserving],
    eta: f64,
    noise: &mut dyn Noise,
) -> Result<(), FlowError> {
    if !(0.0..=1.0).contains(&eta) {
        return Err(FlowError::Setting { name: "eta", value: eta, cure: "give a number from 0 to 1" });
    }
    walk(field, x, points, noise, |now, then, data, eps, _| {
        let ratio = now.alpha / then.alpha;
        let s = eta * then.sigma / now.sigma * libm::sqrt((1.0 - ratio * ratio).max(0.0));
        let rest = libm::sqrt((then.sigma * then.sigma - s * s).max(0.0));
        (then.alpha * data + rest * eps, s)
    })
}

/// DDPM's ancestral sampling (Ho, Jain and Abbeel, arXiv:2006.11239, equations 6 and 7): the
/// posterior of y' given y and the predicted data,
///
/// ```text
/// a = alpha^2 / alpha'^2,  b = 1 - a
/// mean = alpha' b / sigma^2 x_0 + sqrt(a) sigma'^2 / sigma^2 y,   variance = sigma'^2 / sigma^2 b
/// ```
///
/// # Errors
/// The velocity's.
pub fn ddpm(
    field: &mut dyn Velocity,
    x: &mut [f64],
    points: &[Preserving],
    noise: &mut dyn Noise,
) -> Result<(), FlowError> {
    walk(field, x, points, noise, |now, then, data, _, y| {
        let root = now.alpha / then.alpha;
        let (b, share) = (1.0 - root * root, (then.sigma / now.sigma).powi(2));
        (then.alpha * b / (now.sigma * now.sigma) * data + root * share * y, libm::sqrt((share * b).max(0.0)))
    })
}

/// Steps over `points`; `next` gives mean and deviation of y' from (now, then, data, eps, y).
fn walk(
    field: &mut dyn Velocity,
    x: &mut [f64],
    points: &[Preserving],
    noise: &mut dyn Noise,
    next: impl Fn(Preserving, Preserving, f64, f64, f64) -> (f64, f64),
) -> Result<(), FlowError> {
    let (mut v, mut z) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    // the start is taken for y at the first point, whose data's share is nought or nearly
    let first = points.first().map_or(1.0, |p| p.scale());
    x.iter_mut().for_each(|x| *x /= first);
    for (step, pair) in points.windows(2).enumerate() {
        let (now, then, t) = (pair[0], pair[1], pair[0].t());
        field.velocity(x, t, &mut v)?;
        noise.draw(step, &mut z);
        for ((x, &v), &z) in x.iter_mut().zip(&v).zip(&z) {
            let (data, eps) = (data_of_velocity(*x, v, t), noise_of_velocity(*x, v, t));
            let (mean, deviation) = next(now, then, data, eps, *x * now.scale());
            let fresh = if deviation > 0.0 { deviation * z } else { 0.0 };
            *x = (mean + fresh) / then.scale();
        }
    }
    Ok(())
}
