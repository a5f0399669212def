//! The variance-preserving diffusion `dy = -beta y / 2 ds + sqrt(beta) dw` backwards (Song et al.,
//! arXiv:2011.13456): as an SDE, and as the ODE that has the same marginals.
//!
//! Both end at time [`TIME_MIN`], where the score begins to stiffen, with the data prediction there
//! (Tweedie's formula; appendix G of the paper).

use super::super::FlowError;
use super::super::path::{Preserving, data_of_velocity, score_of_velocity};
use super::{Noise, Velocity};

/// Where the walk ends.
pub const TIME_MIN: f64 = 1e-3;

/// The reverse SDE (equation 6), by Euler and Maruyama:
/// `y' = y + h (beta y / 2 + beta score) + sqrt(h beta) z`.
///
/// # Errors
/// The velocity's.
pub fn reverse_sde(
    field: &mut dyn Velocity,
    x: &mut [f64],
    steps: usize,
    noise: &mut dyn Noise,
) -> Result<(), FlowError> {
    let mut slope = Slope::new(x.len());
    let mut z = vec![0.0; x.len()];
    let h = (1.0 - TIME_MIN) / steps as f64;
    for step in 0..steps {
        let s = 1.0 - h * step as f64;
        slope.score(field, x, s)?;
        noise.draw(step, &mut z);
        let beta = Preserving::rate(s);
        for ((y, score), z) in x.iter_mut().zip(&slope.score).zip(&z) {
            *y += h * beta * (*y / 2.0 + score) + libm::sqrt(h * beta) * z;
        }
    }
    slope.end(field, x)
}

/// The probability-flow ODE (equation 13), by Heun: `dy/ds = -beta (y + score) / 2`.
///
/// # Errors
/// The velocity's.
pub fn probability_flow(field: &mut dyn Velocity, x: &mut [f64], steps: usize) -> Result<(), FlowError> {
    let mut slope = Slope::new(x.len());
    let (mut first, mut middle) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    let h = (1.0 - TIME_MIN) / steps as f64;
    for step in 0..steps {
        let s = 1.0 - h * step as f64;
        slope.score(field, x, s)?;
        let beta = Preserving::rate(s);
        for (i, y) in x.iter().enumerate() {
            first[i] = -beta * (y + slope.score[i]) / 2.0;
            middle[i] = y - h * first[i];
        }
        slope.score(field, &middle, s - h)?;
        let beta = Preserving::rate(s - h);
        for (i, y) in x.iter_mut().enumerate() {
            *y -= h * (first[i] - beta * (middle[i] + slope.score[i]) / 2.0) / 2.0;
        }
    }
    slope.end(field, x)
}

/// The score along the diffusion, from a velocity of the straight path.
struct Slope {
    straight: Vec<f64>,
    v: Vec<f64>,
    score: Vec<f64>,
}

impl Slope {
    fn new(n: usize) -> Slope {
        Slope { straight: vec![0.0; n], v: vec![0.0; n], score: vec![0.0; n] }
    }

    /// The score of y: that of x_t over the scale between them.
    fn score(&mut self, field: &mut dyn Velocity, y: &[f64], s: f64) -> Result<(), FlowError> {
        let point = Preserving::at(s);
        let (t, scale) = (point.t(), point.scale());
        self.straight.iter_mut().zip(y).for_each(|(x, y)| *x = y / scale);
        field.velocity(&self.straight, t, &mut self.v)?;
        for ((to, &x), &v) in self.score.iter_mut().zip(&self.straight).zip(&self.v) {
            *to = score_of_velocity(x, v, t) / scale;
        }
        Ok(())
    }

    /// The data that the last point predicts.
    fn end(&mut self, field: &mut dyn Velocity, y: &mut [f64]) -> Result<(), FlowError> {
        self.score(field, y, TIME_MIN)?;
        let t = Preserving::at(TIME_MIN).t();
        for ((y, &x), &v) in y.iter_mut().zip(&self.straight).zip(&self.v) {
            *y = data_of_velocity(x, v, t);
        }
        Ok(())
    }
}
