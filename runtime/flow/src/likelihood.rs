//! How likely a picture is under the flow: an anomaly score for a watched scene.
//!
//! Along dx = v dt the density changes by the divergence (the instantaneous change of variables:
//! Chen et al., arXiv:1806.07366, theorem 1), so from data (t = 0) to noise (t = 1)
//!
//! ```text
//! log p_0(x_0) = log N(x_1; 0, 1) + integral of div v dt
//! ```
//!
//! The divergence is estimated as e' J e with e of random signs (Hutchinson 1989; FFJORD, Grathwohl
//! et al., arXiv:1810.01367, equation 8), one e a run. The networks give no gradients, so J e is a
//! central difference along e. Use the flow's own velocity (`jump` = false), without guidance.

use super::FlowError;
use super::manifest::STEPS_MAX;
use super::normal::Normal;
use super::samplers::Velocity;

/// How the integral is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Heun steps; each asks for the velocity six times.
    pub steps: usize,
    /// Where the walk begins: below it a network's velocity is not to be trusted, and pixels are
    /// rounded anyway. The density is that of x at this t.
    pub t_min: f64,
    /// Half the length of the central difference, in units of e. Small beside the values, large
    /// beside the rounding of the network's numbers.
    pub reach: f64,
    /// Of the signs e.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { steps: 16, t_min: 0.02, reach: 0.01, seed: 0 }
    }
}

/// Natural logarithm of the density of `x` at `settings.t_min`.
///
/// # Errors
/// The velocity's, or a setting that makes no sense.
pub fn log_density(field: &mut dyn Velocity, x: &[f64], settings: &Settings) -> Result<f64, FlowError> {
    Ok(log_densities(field, x, settings)?.iter().sum())
}

/// What each value of `x` adds to [`log_density`]: its own part of the noise's density, and of the trace. The sum is
/// what the theorem speaks of; the parts say where in a picture it comes from.
///
/// # Errors
/// As for [`log_density`].
pub fn log_densities(field: &mut dyn Velocity, x: &[f64], settings: &Settings) -> Result<Vec<f64>, FlowError> {
    let Settings { steps, t_min, reach, seed } = *settings;
    if steps == 0 || steps > STEPS_MAX {
        return Err(FlowError::Steps { steps, most: STEPS_MAX });
    }
    for (name, value, good, cure) in [
        ("t_min", t_min, (0.0..1.0).contains(&t_min), "give a number from 0 to below 1"),
        ("reach", reach, reach > 0.0 && reach.is_finite(), "give a number above 0"),
    ] {
        if !good {
            return Err(FlowError::Setting { name, value, cure });
        }
    }
    let mut signs = vec![0.0; x.len()];
    Normal::new(seed, 0).signs(&mut signs);
    let buffer = || vec![0.0; x.len()];
    let mut trace = Trace { signs, reach, moved: buffer(), ahead: buffer(), behind: buffer() };
    let (mut x, mut y) = (x.to_vec(), vec![0.0; x.len()]);
    let (mut v, mut w) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    let h = (1.0 - t_min) / steps as f64;
    let mut gained = vec![0.0; x.len()];
    for step in 0..steps {
        let t = t_min + h * step as f64;
        let then = if step + 1 == steps { 1.0 } else { t + h };
        field.velocity(&x, t, &mut v)?;
        trace.add(field, &x, t, h / 2.0, &mut gained)?;
        y.iter_mut().zip(&x).zip(&v).for_each(|((y, x), v)| *y = x + h * v);
        field.velocity(&y, then, &mut w)?;
        trace.add(field, &y, then, h / 2.0, &mut gained)?;
        x.iter_mut().zip(v.iter().zip(&w)).for_each(|(x, (v, w))| *x += h * (v + w) / 2.0);
    }
    let normal = libm::log(std::f64::consts::TAU);
    gained.iter_mut().zip(&x).for_each(|(gained, x)| *gained -= 0.5 * (x * x + normal));
    Ok(gained)
}

struct Trace {
    signs: Vec<f64>,
    reach: f64,
    moved: Vec<f64>,
    ahead: Vec<f64>,
    behind: Vec<f64>,
}

impl Trace {
    /// Adds `weight e (v(x + h e) - v(x - h e)) / 2h`, value by value.
    fn add(
        &mut self,
        field: &mut dyn Velocity,
        x: &[f64],
        t: f64,
        weight: f64,
        to: &mut [f64],
    ) -> Result<(), FlowError> {
        for (reach, into) in [(self.reach, &mut self.ahead), (-self.reach, &mut self.behind)] {
            self.moved.iter_mut().zip(x).zip(&self.signs).for_each(|((to, x), e)| *to = x + reach * e);
            field.velocity(&self.moved, t, into)?;
        }
        let differences = self.ahead.iter().zip(&self.behind).map(|(a, b)| a - b);
        let parts = differences.zip(&self.signs).map(|(d, e)| d * e * weight / (2.0 * self.reach));
        to.iter_mut().zip(parts).for_each(|(to, part)| *to += part);
        Ok(())
    }
}

/// Bits a value of pixels 0..=255: their density is that of -1..=1 over 127.5, and a whole pixel is a
/// cell of width 1 (Theis et al., arXiv:1511.01844, section 3.1, for pixels with uniform noise).
pub fn bits_per_dimension(log_density: f64, values: usize) -> f64 {
    -log_density / (values.max(1) as f64 * std::f64::consts::LN_2) + libm::log2(127.5)
}

/// A picture as x at `t_min`: uniform noise in each pixel's cell, then the path's own noise.
pub fn prepared(pixels: &[u8], t_min: f64, seed: u64) -> Vec<f64> {
    let mut noise = vec![0.0; pixels.len()];
    Normal::new(seed, 1).fill_f64(&mut noise);
    let mut cell = vec![0.0; pixels.len()];
    Normal::new(seed, 2).fill_f64(&mut cell);
    let place = |(&p, (&eps, &z)): (&u8, (&f64, &f64))| {
        let uniform = 0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2);
        super::path::interpolate((f64::from(p) + uniform - 0.5) / 127.5 - 1.0, eps, t_min)
    };
    pixels.iter().zip(noise.iter().zip(&cell)).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samplers::known::{ONE, TWO};
    use super::*;

    #[test]
    fn densities_of_known_data_are_found() {
        let x = [-1.2, -0.9, 0.0, 0.3, 0.8, 1.4];
        let settings = Settings { steps: 400, t_min: 0.0, reach: 1e-4, seed: 1 };
        for data in [&ONE, &TWO] {
            let known: f64 = x.iter().map(|&x| data.log_density(x, 0.0)).sum();
            let found = log_density(&mut &*data, &x, &settings).unwrap();
            assert!((found - known).abs() < 2e-3, "{found} for {known}");
        }
    }

    #[test]
    fn the_error_falls_with_the_square_of_the_step() {
        let x = [-0.7, 0.2];
        let known: f64 = x.iter().map(|&x| TWO.log_density(x, 0.0)).sum();
        let error = |steps| {
            let settings = Settings { steps, t_min: 0.0, reach: 1e-4, seed: 1 };
            (log_density(&mut &TWO, &x, &settings).unwrap() - known).abs()
        };
        let order = (error(64) / error(128)).log2();
        assert!((order - 2.0).abs() < 0.4, "order {order}");
    }

    #[test]
    fn the_estimate_is_unbiased_where_values_depend_on_one_another() {
        // v = M x with trace 0.5 + 0.25 and a large part off the diagonal: x_1 = exp(M) x_0
        let turned = |x: &[f64], _: f64, v: &mut [f64]| {
            v[0] = 0.5 * x[0] + 2.0 * x[1];
            v[1] = -x[0] + 0.25 * x[1];
        };
        let of = |seed| {
            let settings = Settings { steps: 64, t_min: 0.0, reach: 1e-3, seed };
            let mut turned = turned;
            log_density(&mut turned, &[0.0, 0.0], &settings).unwrap()
        };
        let mean = (0..400).map(of).sum::<f64>() / 400.0;
        let known = -std::f64::consts::TAU.ln() + 0.75;
        assert!((mean - known).abs() < 0.15, "{mean} for {known}");
    }

    #[test]
    fn what_is_far_from_the_data_costs_more_bits() {
        let settings = Settings { steps: 64, t_min: 0.02, reach: 1e-3, seed: 0 };
        let bits =
            |values: &[f64]| bits_per_dimension(log_density(&mut &TWO, values, &settings).unwrap(), values.len());
        assert!(bits(&[3.0, -3.0, 2.5]) > bits(&[0.8, -1.0, 0.7]) + 2.0);
        // a uniform density over -1..=1 is 8 bits less the half cell at both ends
        assert!((bits_per_dimension(-(2f64.ln()), 1) - 7.994).abs() < 0.01);
    }

    #[test]
    fn bad_settings_are_named() {
        for bad in [
            Settings { steps: 0, ..Settings::default() },
            Settings { t_min: 1.0, ..Settings::default() },
            Settings { reach: 0.0, ..Settings::default() },
        ] {
            assert!(log_density(&mut &ONE, &[0.0], &bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn prepared_pixels_stay_in_their_cells() {
        let pixels: Vec<u8> = (0..=255).collect();
        let values = prepared(&pixels, 0.0, 4);
        for (p, x) in pixels.iter().zip(values) {
            assert!(((x + 1.0) * 127.5 - f64::from(*p)).abs() <= 0.5 + 1e-9);
        }
    }
}
