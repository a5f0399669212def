//! How unusual a picture of a watched scene is: its bits per dimension beside those of ordinary pictures.
//!
//! The level of a likelihood says little (a plain wall is likelier than any garden, whatever was learned: Nalisnick
//! et al., arXiv:1810.09136). Its change in one scene does: pictures of the same place differ in light and noise, and
//! what comes in from outside changes the bits. So a scene is known by the mean and the spread of ordinary
//! pictures, and a picture is scored in their standard deviations, on both sides.

use super::FlowError;
use super::field::Field;
use super::likelihood::{Settings, bits_per_dimension, log_density, prepared};
use super::network::Network;

/// Pictures that a scene needs at least.
pub const ORDINARY_MIN: usize = 8;
/// Spread that is taken where ordinary pictures differ less, in bits: below it is the estimate's own noise.
pub const SPREAD_MIN: f64 = 1e-3;

/// Bits per dimension of a picture, (side, side, 3), under the flow without a class; the mean over `probes`
/// Hutchinson estimates. The same seeds for every picture, so that most of their noise falls out of a comparison.
///
/// # Errors
/// The network's, or a setting that makes no sense.
pub fn bits(network: &mut dyn Network, picture: &[u8], settings: &Settings, probes: usize) -> Result<f64, FlowError> {
    if probes == 0 {
        return Err(FlowError::Setting { name: "probes", value: 0.0, cure: "give at least 1" });
    }
    let manifest = network.manifest();
    let (values, labels) = (manifest.values(), [manifest.condition.null_label]);
    if picture.len() != values {
        return Err(FlowError::Size { name: "the picture", found: picture.len(), expected: values });
    }
    let mut total = 0.0;
    for probe in 0..probes {
        let settings = Settings { seed: settings.seed.wrapping_add(probe as u64), ..*settings };
        let x = prepared(picture, settings.t_min, settings.seed);
        let mut field = Field::new(network, &labels, false);
        total += bits_per_dimension(log_density(&mut field, &x, &settings)?, values);
    }
    Ok(total / probes as f64)
}

/// What is ordinary in a scene.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scene {
    /// Mean of the bits per dimension.
    pub mean: f64,
    /// Their standard deviation.
    pub spread: f64,
}

impl Scene {
    /// Of ordinary pictures' bits; none of fewer than [`ORDINARY_MIN`].
    pub fn of(bits: &[f64]) -> Option<Scene> {
        if bits.len() < ORDINARY_MIN {
            return None;
        }
        let count = bits.len() as f64;
        let mean = bits.iter().sum::<f64>() / count;
        let variance = bits.iter().map(|b| (b - mean) * (b - mean)).sum::<f64>() / (count - 1.0);
        Some(Scene { mean, spread: variance.sqrt().max(SPREAD_MIN) })
    }

    /// How far a picture lies from what is ordinary, in standard deviations; below zero it is likelier.
    pub fn deviations(&self, bits: f64) -> f64 {
        (bits - self.mean) / self.spread
    }
}

#[cfg(test)]
mod tests {
    use super::super::FlowManifest;
    use super::super::network::{Asked, check};
    use super::*;

    /// The flow of a normal of deviation `s` at t = 0: v = x (t - (1 - t) s^2) / ((1 - t)^2 s^2 + t^2).
    struct Known(FlowManifest, f64);

    impl Network for Known {
        fn manifest(&self) -> &FlowManifest {
            &self.0
        }

        fn origin(&self) -> &str {
            "known"
        }

        fn velocity(&mut self, x: &[f32], context: &[f32], asked: Asked, v: &mut [f32]) -> Result<(), FlowError> {
            check(&self.0, x, context, v)?;
            let (t, s) = (asked.t, self.1 * self.1);
            let slope = (t - (1.0 - t) * s) / ((1.0 - t) * (1.0 - t) * s + t * t);
            v.iter_mut().zip(x).for_each(|(v, x)| *v = (slope * f64::from(*x)) as f32);
            Ok(())
        }
    }

    #[test]
    fn bits_of_a_known_density_are_found() {
        let deviation = 0.4;
        let mut network = Known(FlowManifest::parse(lapwing_models::FLOW_CIFAR.manifest).unwrap(), deviation);
        let picture: Vec<u8> = (0..32 * 32 * 3).map(|k| (90 + (k * 7919) % 70) as u8).collect();
        let settings = Settings { steps: 64, ..Settings::default() };
        let found = bits(&mut network, &picture, &settings, 1).unwrap();
        // at t_min the density is that of a normal of this variance
        let t = settings.t_min;
        let variance = (1.0 - t) * (1.0 - t) * deviation * deviation + t * t;
        let x = prepared(&picture, t, 0);
        let log: f64 = x.iter().map(|x| -0.5 * (x * x / variance + (std::f64::consts::TAU * variance).ln())).sum();
        let known = bits_per_dimension(log, x.len());
        assert!((found - known).abs() < 5e-3, "{found} for {known}");
        assert!(bits(&mut network, &picture[1..], &settings, 1).is_err());
        assert!(bits(&mut network, &picture, &settings, 0).is_err());
    }

    #[test]
    fn a_scene_is_its_mean_and_spread() {
        assert_eq!(Scene::of(&[1.0; ORDINARY_MIN - 1]), None);
        let scene = Scene::of(&[2.0, 4.0, 2.0, 4.0, 2.0, 4.0, 2.0, 4.0]).unwrap();
        assert!((scene.mean - 3.0).abs() < 1e-12 && (scene.spread - (8.0f64 / 7.0).sqrt()).abs() < 1e-12);
        assert!((scene.deviations(3.0 + 2.0 * scene.spread) - 2.0).abs() < 1e-12);
        assert_eq!(Scene::of(&[5.0; 9]).unwrap().spread, SPREAD_MIN);
    }
}
