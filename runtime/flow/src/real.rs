//! A flow in float32: tract runs its networks.
//!
//! `film` is computed once a step, class and mode and kept.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{bail, format_err};

use super::condition::{Kept, features, one_hot};
use super::manifest::{ConditionSpec, FlowManifest};
use super::network::{Asked, VelocityNetwork, check, expect_finite};
use super::{FlowError, FlowModel};
use lapwing_quantize::onnx::{self, OnnxGraph};

/// Most results of the condition network that are kept.
const FILMS_MAX: usize = 64;

/// A network's graph with the inputs `inputs`, in this order, each with its shape.
///
/// # Errors
/// tract's words.
pub fn typed(bytes: &[u8], inputs: &[(&str, Vec<usize>)]) -> Result<TypedModel, String> {
    let mut parsed = OnnxGraph::read(bytes)?.parsed()?;
    let model = &mut parsed.model;
    let mut prepare = || -> TractResult<()> {
        let outlets = model.input_outlets()?.to_vec();
        let names: Vec<&str> = outlets.iter().map(|o| model.node(o.node).name.as_str()).collect();
        let mut order = Vec::with_capacity(inputs.len());
        for (name, _) in inputs {
            let at = names.iter().position(|n| n == name);
            order.push(outlets[at.ok_or_else(|| format_err!("it has no input {name:?} but {names:?}"))?]);
        }
        if names.len() != inputs.len() {
            bail!("its inputs are {names:?}");
        }
        model.set_input_outlets(&order)?;
        for (index, (_, shape)) in inputs.iter().enumerate() {
            model.set_input_fact(index, f32::fact(shape).into())?;
        }
        Ok(())
    };
    prepare().map_err(|e| format!("{e:#}"))?;
    parsed.typed()
}

/// A tract network that is ready to run.
pub struct Runner {
    state: TypedSimpleState,
    shapes: Vec<Vec<usize>>,
}

impl Runner {
    /// Plans a network whose inputs are `inputs`.
    fn load(bytes: &[u8], inputs: &[(&str, Vec<usize>)]) -> Result<Runner, String> {
        Runner::plan(typed(bytes, inputs)?, inputs.iter().map(|(_, shape)| shape.clone()).collect())
    }

    /// Plans a graph whose inputs have `shapes`.
    ///
    /// # Errors
    /// tract's words.
    pub fn plan(model: TypedModel, shapes: Vec<Vec<usize>>) -> Result<Runner, String> {
        let state = onnx::runnable(model)?.spawn().map_err(|e| format!("{e:#}"))?;
        Ok(Runner { state, shapes })
    }

    /// Runs it; `write` fills input `index`, `read` is given each output.
    ///
    /// # Errors
    /// tract's words.
    pub fn run(&mut self, write: impl Fn(usize, &mut [f32]), read: impl FnMut((usize, &[f32]))) -> Result<(), String> {
        let inputs = || -> TractResult<TVec<TValue>> {
            let mut inputs: TVec<TValue> = tvec!();
            for (index, shape) in self.shapes.iter().enumerate() {
                let mut tensor = Tensor::zero::<f32>(shape)?;
                write(index, tensor.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?);
                inputs.push(tensor.into_tvalue());
            }
            Ok(inputs)
        };
        let outputs = onnx::run(&mut self.state, inputs().map_err(|e| format!("{e:#}"))?)?;
        let flat = outputs.iter().map(|o| o.as_plain_ram().and_then(|v| v.as_slice::<f32>().ok()));
        let flat: Option<Vec<&[f32]>> = flat.collect();
        let flat = flat.ok_or("an output is not of f32")?;
        flat.iter().try_for_each(|values| expect_finite(values))?;
        flat.into_iter().enumerate().for_each(read);
        Ok(())
    }
}

/// The condition network: time, label and mode to film.
pub struct RealCondition {
    runner: Runner,
    spec: ConditionSpec,
    film: usize,
}

impl RealCondition {
    /// Plans it.
    ///
    /// # Errors
    /// tract's words.
    pub fn load(model: &FlowModel) -> Result<RealCondition, FlowError> {
        let spec = model.manifest().condition.clone();
        let inputs = [("features", spec.features), ("label", spec.labels), ("jump", 1)];
        let inputs = inputs.map(|(name, n)| (name, vec![1, n, 1, 1]));
        let runner =
            Runner::load(&model.real()?.condition, &inputs).map_err(|what| load_error(model, &spec.file, &what))?;
        Ok(RealCondition { runner, spec, film: model.manifest().velocity.film })
    }

    /// The film of one step.
    ///
    /// # Errors
    /// tract's words.
    pub fn film(&mut self, asked: Asked, into: &mut Vec<f32>) -> Result<(), String> {
        let spec = &self.spec;
        let write = |index: usize, values: &mut [f32]| match index {
            0 => features(spec, asked.t, values),
            1 => one_hot(asked.label, values),
            _ => values.fill(f32::from(u8::from(asked.jump))),
        };
        into.clear();
        self.runner.run(write, |(_, found)| into.extend_from_slice(found))?;
        if into.len() == self.film { Ok(()) } else { Err(format!("film has {} values, not {}", into.len(), self.film)) }
    }
}

/// A flow in float32.
pub struct RealFlow {
    manifest: FlowManifest,
    origin: String,
    velocity: Runner,
    condition: RealCondition,
    films: Kept<Vec<f32>>,
}

impl RealFlow {
    /// Plans both networks.
    ///
    /// # Errors
    /// tract's words.
    pub fn load(model: &FlowModel) -> Result<RealFlow, FlowError> {
        let manifest = model.manifest().clone();
        let (side, film) = (manifest.velocity.side, manifest.velocity.film);
        let picture = |channels: usize| vec![1, channels, side, side];
        let inputs = [("x", picture(3)), ("film", vec![1, film, 1, 1]), ("context", picture(4))];
        let inputs = &inputs[..if manifest.velocity.context { 3 } else { 2 }];
        let velocity = Runner::load(&model.real()?.velocity, inputs)
            .map_err(|what| load_error(model, &manifest.velocity.file, &what))?;
        let condition = RealCondition::load(model)?;
        let origin = format!("{} in float32", model.origin());
        Ok(RealFlow { manifest, origin, velocity, condition, films: Kept::new(FILMS_MAX) })
    }
}

impl VelocityNetwork for RealFlow {
    fn manifest(&self) -> &FlowManifest {
        &self.manifest
    }

    fn origin(&self) -> &str {
        &self.origin
    }

    fn velocity(&mut self, x: &[f32], context: &[f32], asked: Asked, v: &mut [f32]) -> Result<(), FlowError> {
        check(&self.manifest, x, context, v)?;
        let condition = &mut self.condition;
        let film = self.films.get(asked, |old| {
            let mut film = old.unwrap_or_default();
            condition.film(asked, &mut film).map(|()| film)
        });
        let mut run = |film: &[f32]| {
            let write = |index: usize, values: &mut [f32]| match index {
                0 => planes(x, 3, values),
                1 => values.copy_from_slice(film),
                _ => planes(context, 4, values),
            };
            self.velocity.run(write, |(_, found)| pixels(found, 3, v))
        };
        film.and_then(|film| run(film)).map_err(|what| FlowError::Run { origin: self.origin.clone(), what })
    }
}

/// The gradient of a classifier of noisy pictures.
pub struct RealGuide {
    runner: Runner,
    spec: ConditionSpec,
    origin: String,
}

impl RealGuide {
    /// Plans it.
    ///
    /// # Errors
    /// That the flow has none, or tract's words.
    pub fn load(model: &FlowModel) -> Result<RealGuide, FlowError> {
        let spec = model.manifest().condition.clone();
        let (Some(bytes), Some(guide)) = (&model.real()?.guide, &model.manifest().guide) else {
            let what = "it has no classifier to guide it; use --guidance, or flow-cifar".into();
            return Err(FlowError::Unable { origin: model.origin().into(), what });
        };
        let side = model.manifest().velocity.side;
        let flat = |n: usize| vec![1, n, 1, 1];
        let inputs =
            [("x", vec![1, 3, side, side]), ("features", flat(spec.features)), ("label", flat(spec.labels - 1))];
        let runner = Runner::load(bytes, &inputs).map_err(|what| load_error(model, &guide.file, &what))?;
        Ok(RealGuide { runner, spec, origin: model.origin().into() })
    }

    /// `d log p(class | x_t, t) / d x_t` into `gradient`, both (side, side, 3), and the classes' logits.
    ///
    /// # Errors
    /// tract's words.
    pub fn gradient(
        &mut self,
        x: &[f32],
        t: f64,
        class: usize,
        gradient: &mut [f32],
        logits: &mut Vec<f32>,
    ) -> Result<(), FlowError> {
        let spec = &self.spec;
        let write = |index: usize, values: &mut [f32]| match index {
            0 => planes(x, 3, values),
            1 => features(spec, t, values),
            _ => one_hot(class, values),
        };
        logits.clear();
        let read = |(index, found): (usize, &[f32])| match index {
            0 => pixels(found, 3, gradient),
            _ => logits.extend_from_slice(found),
        };
        self.runner.run(write, read).map_err(|what| FlowError::Run { origin: self.origin.clone(), what })
    }
}

/// A classifier of clean pictures, which measures those that were made.
pub struct RealMeasure {
    runner: Runner,
    side: usize,
    /// Whose it is, and how good.
    pub about: String,
}

impl RealMeasure {
    /// The one that came with the flow, else that of a shipped flow of the same size and classes; none if there is
    /// neither.
    ///
    /// # Errors
    /// That a shipped one is not found, or tract's words.
    pub fn of(model: &FlowModel) -> Result<Option<RealMeasure>, FlowError> {
        let wanted = model.manifest();
        let own = model.real().is_ok_and(|real| real.measure.is_some());
        let model = if own { Some(model.clone()) } else { shipped_with_measure(wanted)? };
        let Some(model) = model else { return Ok(None) };
        let bytes = model.real()?.measure.as_ref();
        let (Some(bytes), Some(spec)) = (bytes, &model.manifest().measure) else { return Ok(None) };
        let side = wanted.velocity.side;
        let runner = Runner::load(bytes, &[("x", vec![1, 3, side, side])])
            .map_err(|what| load_error(&model, &spec.file, &what))?;
        let right = spec.accuracy * 100.0;
        let about = format!("{} of {}, {right:.1} % of test pictures right", spec.file, model.origin());
        Ok(Some(RealMeasure { runner, side, about }))
    }

    /// The features of a picture, (side, side, 3), and the class that it is taken for.
    ///
    /// # Errors
    /// A picture of another size, or tract's words.
    pub fn measure(&mut self, picture: &[u8]) -> Result<(Vec<f32>, usize), FlowError> {
        let expected = self.side * self.side * 3;
        if picture.len() != expected {
            return Err(FlowError::Size { name: "the picture", found: picture.len(), expected });
        }
        let x: Vec<f32> = picture.iter().map(|&p| super::pixel::value(p)).collect();
        let (mut features, mut logits) = (Vec::new(), Vec::new());
        let read = |(index, found): (usize, &[f32])| match index {
            0 => features.extend_from_slice(found),
            _ => logits.extend_from_slice(found),
        };
        let run = self.runner.run(|_, values| planes(&x, 3, values), read);
        run.map_err(|what| FlowError::Run { origin: self.about.clone(), what })?;
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0);
        Ok((features, best))
    }
}

/// A shipped flow of the same size and classes that has a classifier of clean pictures.
fn shipped_with_measure(wanted: &FlowManifest) -> Result<Option<FlowModel>, FlowError> {
    for shipped in lapwing_models::FLOWS {
        let manifest = FlowManifest::parse(shipped.manifest)
            .map_err(|what| FlowError::Manifest { origin: shipped.name.into(), what })?;
        let fits = manifest.velocity.side == wanted.velocity.side && manifest.classes == wanted.classes;
        if fits && manifest.measure.is_some() {
            return FlowModel::open(&format!("{}{}", shipped.name, super::model::FLOAT)).map(Some);
        }
    }
    Ok(None)
}

fn load_error(model: &FlowModel, file: &str, what: &str) -> FlowError {
    FlowError::Load { origin: model.origin().into(), what: format!("{file}: {what}") }
}

/// (h, w, c) to (c, h, w).
fn planes(from: &[f32], channels: usize, to: &mut [f32]) {
    let area = from.len() / channels;
    for (i, pixel) in from.chunks_exact(channels).enumerate() {
        for (c, &value) in pixel.iter().enumerate() {
            to[c * area + i] = value;
        }
    }
}

/// (c, h, w) to (h, w, c).
fn pixels(from: &[f32], channels: usize, to: &mut [f32]) {
    let area = from.len() / channels;
    for (i, pixel) in to.chunks_exact_mut(channels).enumerate() {
        for (c, value) in pixel.iter_mut().enumerate() {
            *value = from[c * area + i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Filler;
    use super::*;

    #[test]
    fn the_shipped_flow_goes_on_with_a_sky() {
        let mut filler =
            Filler::new(Box::new(RealFlow::load(&FlowModel::open("flow-patch-float").unwrap()).unwrap())).unwrap();
        let window: Vec<u8> =
            (0..64 * 64).flat_map(|i| [40 + i / 64, 90 + i / 64 * 2, 250 - i / 64]).map(|v| v as u8).collect();
        let mask: Vec<bool> =
            (0..64 * 64).map(|i| (18..44).contains(&(i % 64)) && (20..50).contains(&(i / 64))).collect();
        let mut out = vec![0; window.len()];
        for steps in [1, 2] {
            filler.fill(&window, &mask, steps, 3, &mut out).unwrap();
            let off = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
            let hole = 3.0 * mask.iter().filter(|&&m| m).count() as f64;
            let error = (window.iter().zip(&out).map(off).sum::<f64>() / hole).sqrt();
            assert!(error < 12.0, "{steps} steps: off by {error} of 255");
        }
        let mut again = vec![0; window.len()];
        filler.fill(&window, &mask, 2, 3, &mut again).unwrap();
        assert_eq!(out, again);
    }

    #[test]
    fn the_measure_names_what_the_flow_was_asked_for() {
        let model = FlowModel::open("flow-cifar").unwrap();
        let mut measure = RealMeasure::of(&model).unwrap().unwrap();
        let labels: Vec<usize> = (0..20).map(|i| i % 10).collect();
        let request = super::super::generate::Request {
            labels: labels.clone(),
            walk: super::super::generate::Walk::Jump,
            steps: 2,
            guidance: 1.0,
            interval: [0.0, 1.0],
            seed: 1,
        };
        let mut network = model.network(1).unwrap();
        let made = super::super::generate::generate(network.as_mut(), &request, None).unwrap();
        let named = |(picture, label): (&Vec<u8>, &usize)| measure.measure(picture).unwrap().1 == *label;
        let right = made.pictures.iter().zip(&labels).map(named).filter(|right| *right).count();
        assert!(right >= 15, "{right} of 20");
        assert!(measure.measure(&[0; 12]).is_err());
        assert!(RealMeasure::of(&FlowModel::patch().unwrap()).unwrap().is_none());
    }

    #[test]
    fn the_guide_leans_towards_its_class() {
        let model = FlowModel::open("flow-cifar-float").unwrap();
        let mut guide = RealGuide::load(&model).unwrap();
        let mut x = vec![0f32; 32 * 32 * 3];
        super::super::normal::Normal::new(1, 0).fill(&mut x);
        x.iter_mut().for_each(|x| *x *= 0.3);
        let (mut gradient, mut logits) = (vec![0f32; x.len()], Vec::new());
        let mut chance = |x: &[f32], gradient: &mut [f32]| {
            guide.gradient(x, 0.3, 8, gradient, &mut logits).unwrap();
            let total: f32 = logits.iter().map(|l| (l - logits[8]).exp()).sum();
            -total.ln()
        };
        let before = chance(&x, &mut gradient);
        let length: f32 = gradient.iter().map(|g| g * g).sum::<f32>();
        let step = 0.05 / length.sqrt();
        let moved: Vec<f32> = x.iter().zip(&gradient).map(|(x, g)| x + step * g).collect();
        let gained = chance(&moved, &mut gradient.clone()) - before;
        let foretold = step * length;
        assert!((gained - foretold).abs() < 0.2 * foretold, "gained {gained}, the gradient foretold {foretold}");
    }
}
