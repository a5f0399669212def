//! Data whose velocity, score and density are known at every t: mixtures of normals, each value on
//! its own.

use super::super::path::velocity_of_score;
use super::Velocity;
use crate::FlowError;

/// A mixture in one dimension: (weight, mean, deviation).
pub struct Mixture(pub &'static [(f64, f64, f64)]);

/// One normal, not centred.
pub const ONE: Mixture = Mixture(&[(1.0, 0.4, 0.5)]);
/// Two, apart.
pub const TWO: Mixture = Mixture(&[(0.3, -1.0, 0.3), (0.7, 0.8, 0.4)]);

impl Mixture {
    /// Log density of x_t: each part is normal with mean (1 - t) m and variance (1 - t)^2 s^2 + t^2.
    pub fn log_density(&self, x: f64, t: f64) -> f64 {
        self.parts(x, t).map(|(p, _, _)| p).sum::<f64>().ln()
    }

    /// Its slope.
    pub fn score(&self, x: f64, t: f64) -> f64 {
        let total: f64 = self.parts(x, t).map(|(p, _, _)| p).sum();
        self.parts(x, t).map(|(p, mean, variance)| p / total * (mean - x) / variance).sum()
    }

    /// E[eps - x_0 | x_t], by the parts' joint normals and not by the score.
    pub fn velocity_at(&self, x: f64, t: f64) -> f64 {
        let total: f64 = self.parts(x, t).map(|(p, _, _)| p).sum();
        let parts = self.parts(x, t).zip(self.0);
        let of = |((p, mean, variance), &(_, m, s)): ((f64, f64, f64), &(f64, f64, f64))| {
            let covariance = t - (1.0 - t) * s * s;
            p / total * (-m + covariance / variance * (x - mean))
        };
        parts.map(of).sum()
    }

    fn parts(&self, x: f64, t: f64) -> impl Iterator<Item = (f64, f64, f64)> + '_ {
        self.0.iter().map(move |&(weight, m, s)| {
            let (mean, variance) = ((1.0 - t) * m, ((1.0 - t) * s).powi(2) + t * t);
            let density = (-(x - mean).powi(2) / (2.0 * variance)).exp() / (std::f64::consts::TAU * variance).sqrt();
            (weight * density, mean, variance)
        })
    }
}

impl Velocity for &Mixture {
    fn velocity(&mut self, x: &[f64], t: f64, v: &mut [f64]) -> Result<(), FlowError> {
        v.iter_mut().zip(x).for_each(|(v, &x)| *v = self.velocity_at(x, t));
        Ok(())
    }
}

#[test]
fn velocity_and_score_agree() {
    for data in [&ONE, &TWO] {
        for t in [0.1, 0.5, 0.9] {
            for x in [-1.5, -0.2, 0.9] {
                let by_score = velocity_of_score(x, data.score(x, t), t);
                assert!((data.velocity_at(x, t) - by_score).abs() < 1e-9);
                let h = 1e-5;
                let slope = (data.log_density(x + h, t) - data.log_density(x - h, t)) / (2.0 * h);
                assert!((data.score(x, t) - slope).abs() < 1e-6);
            }
        }
    }
}
