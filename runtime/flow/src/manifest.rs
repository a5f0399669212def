//! The manifest of a flow: what its network files do not say about themselves.
//!
//! Unknown keys are refused, as in a detector's manifest. The numbers are data; the formulas they
//! belong to are in [`super::path`] and [`super::condition`]. This file opens no network.

use serde::{Deserialize, Serialize};

/// The format that this build reads.
pub const FORMAT: u32 = 1;
/// Largest side of a flow's picture, in pixels.
pub const SIDE_MAX: usize = 256;
/// Most values of `film`.
pub const FILM_MAX: usize = 1 << 16;
/// Most labels, the null class included.
pub const LABELS_MAX: usize = 4096;
/// Most steps of a sampler.
pub const STEPS_MAX: usize = 1024;

/// A flow's manifest, as read from TOML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowManifest {
    /// Format of this file; [`FORMAT`].
    pub format: u32,
    /// Short name, shown to people.
    pub name: String,
    /// SPDX expression of the weights' licence.
    #[serde(default)]
    pub licence: Option<String>,
    /// The velocity network.
    pub velocity: VelocitySpec,
    /// The network that makes `film`.
    pub condition: ConditionSpec,
    /// The direction of time.
    pub path: PathSpec,
    /// What to do unless told otherwise.
    pub sampler: SamplerSpec,
    /// The gradient network, if there is one.
    #[serde(default)]
    pub guide: Option<GuideSpec>,
    /// The network that measures pictures, if there is one.
    #[serde(default)]
    pub measure: Option<MeasureSpec>,
    /// What the labels mean; the null class has no name.
    pub classes: Classes,
    /// Measured facts; shown, never computed with.
    #[serde(default)]
    pub card: toml::Table,
}

/// The velocity network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VelocitySpec {
    /// Its file, beside the manifest.
    pub file: String,
    /// The file's SHA-256.
    pub sha256: String,
    /// Width and height in pixels.
    pub side: usize,
    /// Colour planes.
    pub channels: usize,
    /// Their order.
    pub colour: String,
    /// What a pixel of 0 becomes.
    pub value_min: f32,
    /// What a pixel of 255 becomes.
    pub value_max: f32,
    /// Values of `film`.
    pub film: usize,
    /// Whether it is told the known pixels and the mask.
    pub context: bool,
}

/// The network that makes `film`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionSpec {
    /// Its file, beside the manifest.
    pub file: String,
    /// The file's SHA-256.
    pub sha256: String,
    /// Number of time features.
    pub features: usize,
    /// Turns of the slowest feature over t = 0..1.
    pub cycles_min: f64,
    /// Turns of the fastest.
    pub cycles_max: f64,
    /// Classes and the null class.
    pub labels: usize,
    /// Which label is the null class.
    pub null_label: usize,
}

/// The direction of time; this build knows noise at 1 and data at 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathSpec {
    /// Where noise is.
    pub noise_at: f64,
    /// Where data is.
    pub data_at: f64,
}

/// What to do unless told otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplerSpec {
    /// The sampler.
    pub name: String,
    /// `jump`: straight lines for few Euler steps; `flow`: the flow's own velocity.
    pub mode: String,
    /// How many.
    pub steps: usize,
    /// Of `mode`; 1 is none.
    pub guidance: f64,
    /// For the flow's own velocity.
    pub flow_guidance: f64,
}

/// The gradient network of a classifier of noisy pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuideSpec {
    /// Its file, beside the manifest.
    pub file: String,
    /// The file's SHA-256.
    pub sha256: String,
    /// How strongly, unless told otherwise.
    pub scale: f64,
}

/// A classifier of clean pictures that took no part in training: its features measure, its classes are counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasureSpec {
    /// Its file, beside the manifest.
    pub file: String,
    /// The file's SHA-256.
    pub sha256: String,
    /// The share of test pictures that it names right.
    pub accuracy: f64,
}

/// What the labels mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    /// In the order of the network, without the null class.
    pub names: Vec<String>,
}

impl FlowManifest {
    /// Reads and validates a manifest.
    ///
    /// # Errors
    /// The field and the cure.
    pub fn parse(text: &str) -> Result<FlowManifest, String> {
        let manifest: FlowManifest = toml::from_str(text).map_err(|e| e.to_string().trim().to_owned())?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// What every user of a manifest takes for granted.
    ///
    /// # Errors
    /// The field and the cure.
    pub fn validate(&self) -> Result<(), String> {
        let (v, c) = (&self.velocity, &self.condition);
        if self.format != FORMAT {
            return Err(format!("`format = {}`: this build reads format {FORMAT}", self.format));
        }
        if !(8..=SIDE_MAX).contains(&v.side) || v.channels != 3 || v.colour != "rgb" {
            return Err(format!("`velocity`: side must lie in 8..={SIDE_MAX}, with 3 channels, colour \"rgb\""));
        }
        if (v.value_min, v.value_max) != (-1.0, 1.0) {
            return Err("`velocity.value_min`, `value_max`: this build knows -1 and 1".into());
        }
        if v.film == 0 || v.film > FILM_MAX || !v.film.is_multiple_of(2) {
            return Err(format!("`velocity.film = {}`: an even number up to {FILM_MAX}", v.film));
        }
        if c.features == 0 || c.features > 1024 || !c.features.is_multiple_of(2) {
            return Err(format!("`condition.features = {}`: an even number up to 1024", c.features));
        }
        if !(c.cycles_min > 0.0 && c.cycles_min <= c.cycles_max && c.cycles_max.is_finite()) {
            return Err("`condition.cycles_min`, `cycles_max`: above zero and in this order".into());
        }
        if c.labels > LABELS_MAX || c.null_label >= c.labels || self.classes.names.len() + 1 != c.labels {
            return Err("`condition.labels` must be the classes and one for none, `null_label` one of them".into());
        }
        if (self.path.noise_at, self.path.data_at) != (1.0, 0.0) {
            return Err("`path`: this build knows noise at 1.0 and data at 0.0".into());
        }
        if self.sampler.steps == 0 || self.sampler.steps > STEPS_MAX {
            return Err(format!("`sampler.steps = {}`: 1 to {STEPS_MAX}", self.sampler.steps));
        }
        if !["jump", "flow"].contains(&self.sampler.mode.as_str()) {
            return Err(format!("`sampler.mode = {:?}`: \"jump\" or \"flow\"", self.sampler.mode));
        }
        Ok(())
    }

    /// Values of a picture: side x side x 3.
    pub fn values(&self) -> usize {
        self.velocity.side * self.velocity.side * self.velocity.channels
    }

    /// The label of a class, by its name; the null class for none.
    ///
    /// # Errors
    /// The names that there are.
    pub fn label(&self, class: Option<&str>) -> Result<usize, super::FlowError> {
        let Some(word) = class else { return Ok(self.condition.null_label) };
        let found = self.classes.names.iter().position(|n| n.eq_ignore_ascii_case(word));
        found.ok_or_else(|| super::FlowError::Class { word: word.into(), known: self.classes.names.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_shipped_are_read_and_each_mistake_names_its_field() {
        let text = lapwing_models::FLOW_PATCH.manifest;
        let flow = FlowManifest::parse(text).unwrap();
        assert_eq!((flow.values(), flow.condition.null_label), (64 * 64 * 3, 20));
        assert_eq!(flow.label(Some("Person")).unwrap(), 14);
        assert!(flow.label(Some("lapwing")).unwrap_err().to_string().contains("pottedplant"));
        FlowManifest::parse(lapwing_models::FLOW_CIFAR.manifest).unwrap();
        for (from, to, word) in [
            ("format = 1", "format = 9", "format"),
            ("side = 64", "side = 0", "side"),
            ("film = 1920", "film = 1921", "film"),
            ("labels = 21", "labels = 20", "labels"),
            ("noise_at = 1.0", "noise_at = 0.0", "path"),
            ("steps = 2", "steps = 0", "steps"),
            ("mode = \"jump\"", "mode = \"walk\"", "mode"),
            ("cycles_min", "cycle_min", "cycle_min"),
        ] {
            let error = FlowManifest::parse(&text.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}
