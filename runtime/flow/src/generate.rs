//! Whole pictures of classes.

use super::FlowError;
use super::field::Field;
use super::guidance::{Classifier, ClassifierFree};
use super::network::VelocityNetwork;
use super::normal::Normal;
use super::pixel::pixel;
use super::samplers::{Noise, Sampler, Velocity};

/// Most pictures of one call.
pub const PICTURES_MAX: usize = 1024;

/// Which velocity is walked along, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Walk {
    /// Euler's steps along straight lines to the end.
    Jump,
    /// A sampler along the flow's own velocity.
    Flow(Sampler),
}

impl Walk {
    /// `jump` or a sampler's name.
    ///
    /// # Errors
    /// The names that there are.
    pub fn parse(word: &str) -> Result<Walk, String> {
        match word {
            "jump" => Ok(Walk::Jump),
            _ => Sampler::parse(word).map(Walk::Flow).map_err(|what| format!("{what}; and jump")),
        }
    }

    /// The name that [`Walk::parse`] takes.
    pub fn name(self) -> String {
        match self {
            Walk::Jump => "jump".into(),
            Walk::Flow(sampler) => sampler.name(),
        }
    }

    /// True if fresh noise joins on the way, so that a start has more than one end.
    pub fn adds_noise(self) -> bool {
        matches!(self, Walk::Flow(Sampler::Ddpm | Sampler::Sde))
            || matches!(self, Walk::Flow(Sampler::Ddim { eta }) if eta > 0.0)
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// One picture each.
    pub labels: Vec<usize>,
    /// How.
    pub walk: Walk,
    /// How many steps.
    pub steps: usize,
    /// Classifier-free guidance; 1 is none.
    pub guidance: f64,
    /// The t in which guidance holds.
    pub interval: [f64; 2],
    /// Picture i starts from the noise of seed + i.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Made {
    /// (side, side, 3) each.
    pub pictures: Vec<Vec<u8>>,
    /// Times that a sampler asked for the velocity.
    pub evaluations: usize,
}

/// The gradient of log p(label | x_t): writes it for one picture from (x, t, label).
pub type Gradient<'a> = dyn FnMut(&[f64], f64, usize, &mut [f64]) -> Result<(), FlowError> + 'a;

/// Noise that is a picture's own, whoever else is in the call.
struct Each {
    seed: u64,
    values: usize,
}

impl Noise for Each {
    fn draw(&mut self, step: usize, z: &mut [f64]) {
        for (picture, z) in z.chunks_mut(self.values).enumerate() {
            Normal::new(self.seed.wrapping_add(picture as u64), step as u64 + 1).fill_f64(z);
        }
    }
}

/// Makes the pictures. With `classifier`, a scale and a gradient, the walk is the null class's,
/// guided by them, and `guidance` is not used.
///
/// # Errors
/// A count that is not possible, or the sampler's or the network's.
pub fn generate(
    network: &mut dyn VelocityNetwork,
    request: &Request,
    classifier: Option<(f64, &mut Gradient<'_>)>,
) -> Result<Made, FlowError> {
    let (values, null) = (network.manifest().values(), network.manifest().condition.null_label);
    let count = request.labels.len();
    if count == 0 || count > PICTURES_MAX {
        return Err(FlowError::Setting { name: "the count", value: count as f64, cure: "give 1 to 1024 pictures" });
    }
    let mut x = vec![0.0; values * count];
    for (picture, x) in x.chunks_mut(values).enumerate() {
        Normal::new(request.seed.wrapping_add(picture as u64), 0).fill_f64(x);
    }
    let mut noise = Each { seed: request.seed, values };
    let (sampler, jump) = match request.walk {
        Walk::Jump => (Sampler::Euler, true),
        Walk::Flow(sampler) => (sampler, false),
    };
    let nulls = vec![null; count];
    let mut sample = |field: &mut dyn Velocity| sampler.sample(field, &mut x, request.steps, &mut noise);
    let evaluations = match classifier {
        None => {
            let field = Field::new(network, &request.labels, jump);
            let (weight, interval) = (request.guidance, request.interval);
            sample(&mut ClassifierFree { field, weight, interval, buffer: Vec::new() })?
        }
        Some((scale, gradient)) => {
            let labels = &request.labels;
            let each = |x: &[f64], t: f64, g: &mut [f64]| -> Result<(), FlowError> {
                let pictures = x.chunks(values).zip(g.chunks_mut(values)).zip(labels);
                pictures.into_iter().try_for_each(|((x, g), &label)| gradient(x, t, label, g))
            };
            let without = Field::new(network, &nulls, jump);
            sample(&mut Classifier { without, gradient: each, scale, buffer: Vec::new() })?
        }
    };
    let pictures = x.chunks(values).map(|x| x.iter().map(|&v| pixel(v as f32)).collect()).collect();
    Ok(Made { pictures, evaluations })
}

/// Each label's pictures are one grey: 10 times the label.
#[cfg(test)]
pub(super) struct Greys(pub(super) super::FlowManifest);

#[cfg(test)]
impl VelocityNetwork for Greys {
    fn manifest(&self) -> &super::FlowManifest {
        &self.0
    }

    fn origin(&self) -> &str {
        "greys"
    }

    fn velocity(&mut self, x: &[f32], context: &[f32], asked: super::Asked, v: &mut [f32]) -> Result<(), FlowError> {
        super::network::check(&self.0, x, context, v)?;
        let grey = super::pixel::value(10 * asked.label as u8);
        v.iter_mut().zip(x).for_each(|(v, x)| *v = (x - grey) / (asked.t as f32).max(1e-3));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::FlowManifest;
    use super::*;

    fn request(walk: Walk) -> Request {
        Request { labels: vec![3, 0, 3, 7], walk, steps: 4, guidance: 1.0, interval: [0.0, 1.0], seed: 5 }
    }

    #[test]
    fn each_picture_is_of_its_label_by_every_walk() {
        let mut network = Greys(FlowManifest::parse(lapwing_models::FLOW_CIFAR.manifest).unwrap());
        for word in ["jump", "euler", "heun", "rk45", "ddim", "ddim:0.5", "ddpm"] {
            let walk = Walk::parse(word).unwrap();
            // the adaptive pair takes its tolerance from the steps, and this field is singular at the end
            let steps = if word == "rk45" { 40 } else { 4 };
            let made = generate(&mut network, &Request { steps, ..request(walk) }, None).unwrap();
            for (picture, label) in made.pictures.iter().zip([3i32, 0, 3, 7]) {
                let off = picture.iter().map(|&p| (i32::from(p) - 10 * label).abs()).max();
                assert!(off <= Some(1), "{word}: {off:?}");
            }
        }
    }

    #[test]
    fn a_picture_does_not_depend_on_its_neighbours() {
        let mut network = Greys(FlowManifest::parse(lapwing_models::FLOW_CIFAR.manifest).unwrap());
        let mut all = request(Walk::Flow(Sampler::Sde));
        all.steps = 3;
        let made = generate(&mut network, &all, None).unwrap();
        let alone = Request { labels: vec![3], seed: 7, ..all };
        assert_eq!(generate(&mut network, &alone, None).unwrap().pictures[0], made.pictures[2]);
    }

    #[test]
    fn nothing_and_too_much_are_refused() {
        let mut network = Greys(FlowManifest::parse(lapwing_models::FLOW_CIFAR.manifest).unwrap());
        for count in [0, PICTURES_MAX + 1] {
            let bad = Request { labels: vec![0; count], ..request(Walk::Jump) };
            assert!(matches!(generate(&mut network, &bad, None), Err(FlowError::Setting { .. })));
        }
    }
}
