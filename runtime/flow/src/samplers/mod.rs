//! Samplers: ways to walk from noise to data along one velocity.
//!
//! | sampler | integrates | from |
//! |---|---|---|
//! | `euler` | dx = v dt, order 1 | Euler |
//! | `heun` | dx = v dt, order 2 | Heun; Karras et al., arXiv:2206.00364, algorithm 1 |
//! | `rk45` | dx = v dt, order 5, steps of its own | Dormand and Prince 1980 |
//! | `ddim` | the preserving path, exactly where the data prediction is constant | arXiv:2010.02502 |
//! | `ddpm` | the posterior of each step of a linear schedule | arXiv:2006.11239 |
//! | `sde` | the reverse SDE, Euler-Maruyama | arXiv:2011.13456 |
//! | `ode` | the same SDE's probability-flow ODE, Heun | arXiv:2011.13456 |
//!
//! All start from the same noise and know nothing of networks: [`Velocity`] is whatever gives v.
//! State is f64, so that what is left of an error is the sampler's own.

pub mod diffusion;
pub mod implicit;
#[cfg(test)]
pub(crate) mod known;
pub mod ode;
pub mod rk45;
#[cfg(test)]
mod tests;
mod velocity;

use super::FlowError;
use super::manifest::STEPS_MAX;

pub use velocity::{Noise, Seeded, Velocity, grid};

/// A sampler with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampler {
    /// Equal Euler steps.
    Euler,
    /// Equal Heun steps.
    Heun,
    /// Dormand and Prince's pair; the tolerance follows from the steps asked for, see [`rk45`].
    Rk45,
    /// Noise between steps: 0 none, 1 as much as DDPM.
    Ddim {
        /// Share, 0 to 1.
        eta: f64,
    },
    /// Ancestral sampling.
    Ddpm,
    /// The reverse SDE.
    Sde,
    /// The probability-flow ODE.
    Ode,
}

impl Sampler {
    /// Their names, for messages; `ddim` may be followed by its eta: `ddim:0.5`.
    pub const NAMES: &[&str] = &["euler", "heun", "rk45", "ddim", "ddim:ETA", "ddpm", "sde", "ode"];

    /// A sampler by its name.
    ///
    /// # Errors
    /// The names that there are.
    pub fn parse(word: &str) -> Result<Sampler, String> {
        Ok(match word {
            "euler" => Sampler::Euler,
            "heun" => Sampler::Heun,
            "rk45" => Sampler::Rk45,
            "ddim" => Sampler::Ddim { eta: 0.0 },
            "ddpm" => Sampler::Ddpm,
            "sde" => Sampler::Sde,
            "ode" => Sampler::Ode,
            _ => match word.strip_prefix("ddim:").map(str::parse::<f64>) {
                Some(Ok(eta)) if (0.0..=1.0).contains(&eta) => Sampler::Ddim { eta },
                Some(_) => return Err(format!("{word}: eta is a number from 0 to 1, as in ddim:0.5")),
                None => return Err(format!("no sampler {word:?}; there are {}", Sampler::NAMES.join(", "))),
            },
        })
    }

    /// The name that [`Sampler::parse`] takes.
    pub fn name(self) -> String {
        match self {
            Sampler::Euler => "euler".into(),
            Sampler::Heun => "heun".into(),
            Sampler::Rk45 => "rk45".into(),
            Sampler::Ddim { eta: 0.0 } => "ddim".into(),
            Sampler::Ddim { eta } => format!("ddim:{eta}"),
            Sampler::Ddpm => "ddpm".into(),
            Sampler::Sde => "sde".into(),
            Sampler::Ode => "ode".into(),
        }
    }

    /// Walks `x` from noise (standard normals) to data. Returns how often the velocity was asked for.
    ///
    /// # Errors
    /// [`FlowError::Steps`] for 0 or more than [`STEPS_MAX`], [`FlowError::Setting`], or the velocity's.
    pub fn sample(
        self,
        field: &mut dyn Velocity,
        x: &mut [f64],
        steps: usize,
        noise: &mut dyn Noise,
    ) -> Result<usize, FlowError> {
        if steps == 0 || steps > STEPS_MAX {
            return Err(FlowError::Steps { steps, most: STEPS_MAX });
        }
        let mut field = Counted { field, count: 0 };
        match self {
            Sampler::Euler => ode::euler(&mut field, x, &grid(steps))?,
            Sampler::Heun => ode::heun(&mut field, x, &grid(steps))?,
            Sampler::Rk45 => rk45::integrate(&mut field, x, [1.0, 0.0], rk45::tolerance_for(steps))?,
            Sampler::Ddim { eta } => implicit::ddim(&mut field, x, &implicit::straight(steps), eta, noise)?,
            Sampler::Ddpm => implicit::ddpm(&mut field, x, &implicit::linear(steps), noise)?,
            Sampler::Sde => diffusion::reverse_sde(&mut field, x, steps, noise)?,
            Sampler::Ode => diffusion::probability_flow(&mut field, x, steps)?,
        }
        Ok(field.count)
    }
}

struct Counted<'a> {
    field: &'a mut dyn Velocity,
    count: usize,
}

impl Velocity for Counted<'_> {
    fn velocity(&mut self, x: &[f64], t: f64, v: &mut [f64]) -> Result<(), FlowError> {
        self.count += 1;
        self.field.velocity(x, t, v)
    }
}
