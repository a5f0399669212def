//! What a sampler is given: velocities, fresh noise, and the times of its steps.

use super::super::FlowError;
use super::super::normal::Normal;

/// What gives the velocity at (x, t).
pub trait Velocity {
    /// Writes `v`, as long as `x`.
    ///
    /// # Errors
    /// Whatever computes it.
    fn velocity(&mut self, x: &[f64], t: f64, v: &mut [f64]) -> Result<(), FlowError>;
}

impl<F: FnMut(&[f64], f64, &mut [f64])> Velocity for F {
    fn velocity(&mut self, x: &[f64], t: f64, v: &mut [f64]) -> Result<(), FlowError> {
        self(x, t, v);
        Ok(())
    }
}

/// What gives the fresh noise of a step.
pub trait Noise {
    /// Fills `z` with the noise of step `step`.
    fn draw(&mut self, step: usize, z: &mut [f64]);
}

/// Noise from a seed: step k draws stream k + 1 (stream 0 is the start).
#[derive(Debug, Clone, Copy)]
pub struct Seeded(pub u64);

impl Noise for Seeded {
    fn draw(&mut self, step: usize, z: &mut [f64]) {
        Normal::new(self.0, step as u64 + 1).fill_f64(z);
    }
}

/// Equal steps from 1 to 0: steps + 1 times.
pub fn grid(steps: usize) -> Vec<f64> {
    (0..=steps).map(|k| 1.0 - k as f64 / steps as f64).collect()
}
