//! The straight path between data and noise, and what a prediction at one point says about the others.
//!
//! Rectified flow (Liu et al., arXiv:2209.03003), with this project's direction of time:
//!
//! ```text
//! x_t = (1 - t) x_0 + t eps        t = 0 is data, t = 1 is noise
//! v   = E[eps - x_0 | x_t]         the velocity
//! ```
//!
//! Velocity, data, noise and score are one another's affine images at every t strictly between 0 and
//! 1 (Albergo, Boffi and Vanden-Eijnden, arXiv:2303.08797, section 2; the score by Tweedie's formula,
//! Efron 2011). A variance-preserving diffusion (Song et al., arXiv:2011.13456, appendix B) is the
//! same path after a change of time and scale: see [`Preserving`].

/// `x_t = (1 - t) x_0 + t eps`.
pub fn interpolate(data: f64, noise: f64, t: f64) -> f64 {
    (1.0 - t) * data + t * noise
}

/// E[x_0 | x_t] `= x_t - t v`.
pub fn data_of_velocity(x: f64, v: f64, t: f64) -> f64 {
    x - t * v
}

/// E[eps | x_t] `= x_t + (1 - t) v`.
pub fn noise_of_velocity(x: f64, v: f64, t: f64) -> f64 {
    x + (1.0 - t) * v
}

/// The gradient of log p_t: `-E[eps | x_t] / t = -(x_t + (1 - t) v) / t`, for t > 0.
pub fn score_of_velocity(x: f64, v: f64, t: f64) -> f64 {
    -noise_of_velocity(x, v, t) / t
}

/// `v = (x_t - E[x_0]) / t`, for t > 0.
pub fn velocity_of_data(x: f64, data: f64, t: f64) -> f64 {
    (x - data) / t
}

/// `v = (E[eps] - x_t) / (1 - t)`, for t < 1.
pub fn velocity_of_noise(x: f64, noise: f64, t: f64) -> f64 {
    (noise - x) / (1.0 - t)
}

/// `v = -(x_t + t score) / (1 - t)`, for t < 1.
pub fn velocity_of_score(x: f64, score: f64, t: f64) -> f64 {
    -(x + t * score) / (1.0 - t)
}

/// A point of a variance-preserving path: `y = alpha x_0 + sigma eps`, alpha^2 + sigma^2 = 1.
///
/// With `t = sigma / (alpha + sigma)` it is `y = (alpha + sigma) x_t`: the ratio of noise to data is
/// the same, so every prediction at x_t is one at y.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preserving {
    /// Of the data.
    pub alpha: f64,
    /// Of the noise.
    pub sigma: f64,
}

/// Noise rates at both ends of Song's linear schedule, for time 0 to 1.
const BETA: [f64; 2] = [0.1, 20.0];

impl Preserving {
    /// The point that belongs to `t` of the straight path.
    pub fn of(t: f64) -> Preserving {
        let length = libm::sqrt((1.0 - t) * (1.0 - t) + t * t);
        Preserving { alpha: (1.0 - t) / length, sigma: t / length }
    }

    /// The point at time `s` in 0..=1 of the linear schedule: `alpha = exp(-s^2 (b1 - b0) / 4 - s b0 / 2)`
    /// (arXiv:2011.13456, equation 33).
    pub fn at(s: f64) -> Preserving {
        let log = -0.25 * s * s * (BETA[1] - BETA[0]) - 0.5 * s * BETA[0];
        // sigma^2 = 1 - alpha^2, without cancellation
        Preserving { alpha: libm::exp(log), sigma: libm::sqrt(-libm::expm1(2.0 * log)) }
    }

    /// The rate `beta(s)` of the linear schedule.
    pub fn rate(s: f64) -> f64 {
        BETA[0] + s * (BETA[1] - BETA[0])
    }

    /// The time of the straight path.
    pub fn t(self) -> f64 {
        self.sigma / (self.alpha + self.sigma)
    }

    /// What x_t is multiplied by to become y.
    pub fn scale(self) -> f64 {
        self.alpha + self.sigma
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_map_is_undone_by_its_inverse(x in -3f64..3.0, v in -3f64..3.0, t in 0.02f64..0.98) {
            let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
            prop_assert!(near(velocity_of_data(x, data_of_velocity(x, v, t), t), v));
            prop_assert!(near(velocity_of_noise(x, noise_of_velocity(x, v, t), t), v));
            prop_assert!(near(velocity_of_score(x, score_of_velocity(x, v, t), t), v));
            prop_assert!(near(interpolate(data_of_velocity(x, v, t), noise_of_velocity(x, v, t), t), x));
        }

        #[test]
        fn the_preserving_path_is_the_straight_one(t in 0f64..1.0, data in -1f64..1.0, noise in -3f64..3.0) {
            let point = Preserving::of(t);
            prop_assert!((point.alpha.powi(2) + point.sigma.powi(2) - 1.0).abs() < 1e-12);
            prop_assert!((point.t() - t).abs() < 1e-12);
            let y = point.alpha * data + point.sigma * noise;
            prop_assert!((y - point.scale() * interpolate(data, noise, t)).abs() < 1e-12);
        }
    }

    #[test]
    fn the_linear_schedule_follows_its_rate() {
        // d log alpha / ds = -beta / 2
        for s in [0.01, 0.3, 0.9] {
            let h = 1e-5;
            let slope = (Preserving::at(s + h).alpha.ln() - Preserving::at(s - h).alpha.ln()) / (2.0 * h);
            assert!((slope + Preserving::rate(s) / 2.0).abs() < 1e-5);
        }
        assert!(Preserving::at(1.0).t() > 0.99 && Preserving::at(1e-3).t() < 0.02);
    }
}
