//! A detector: input, engine, head and NMS of one model, with every buffer it needs.

use std::time::{Duration, Instant};

use std::sync::Arc;

use super::detection::{DETECTIONS_MAX, Detection, KeyPoint};
use super::extras::Extras;
use super::mask::Mask;
use super::nms;
use super::rotated::Turned;
use crate::head::{self, ByteDecoder, Candidates, DetectOptions, Head, Outputs};
use crate::input::{InputError, InputTensor};
use crate::model::{Model, ModelError, NetworkFile};
use lapwing_camera::frame::Frame;
use lapwing_engine::finite::first_not_finite;
use lapwing_engine::manifest::{AxisOrder, InputSpec};
use lapwing_engine::plan::Plan;
use lapwing_engine::{EngineError, Int8Engine, Manifest};
#[cfg(feature = "onnx")]
use lapwing_quantize::float::{FloatEngine, OnnxFile};

/// Where the time of one picture went.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StageTimes {
    /// Resize and normalise.
    pub input: Duration,
    /// The network.
    pub model: Duration,
    /// Decode and NMS.
    pub decode: Duration,
}

impl StageTimes {
    /// All stages together.
    pub fn total(&self) -> Duration {
        self.input + self.model + self.decode
    }
}

/// Detection failed on one picture.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// The picture could not be brought to the input's size.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The network failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The network ran, and what it gave is of no use: nobody knows what is in the picture.
    #[error("model {model}: {what}; nothing is known of this picture. Make the model anew, or use another")]
    Unusable {
        /// The model.
        model: String,
        /// What it gave.
        what: String,
    },
}

/// What runs the network, and the input it takes.
enum Engine {
    #[cfg(feature = "onnx")]
    Float(Box<InputTensor<f32>>, Box<FloatEngine>),
    Int8(Box<InputTensor<u8>>, Box<Int8Engine>),
}

impl Engine {
    fn load(model: &Model, threads: usize) -> Result<Engine, ModelError> {
        let spec = &model.manifest().input;
        Ok(match model.network() {
            #[cfg(feature = "onnx")]
            NetworkFile::Onnx(bytes) => {
                let outputs = &model.manifest().head.outputs;
                Engine::float(
                    spec,
                    FloatEngine::load(OnnxFile { bytes, input: spec, outputs, origin: model.origin() })?,
                )
            }
            #[cfg(not(feature = "onnx"))]
            NetworkFile::Onnx(_) => return Err(ModelError::NoOnnx { origin: model.origin().to_owned() }),
            NetworkFile::Int8(artifact) => {
                let engine = Int8Engine::load(artifact, threads).map_err(|what| EngineError::Load {
                    origin: model.origin().to_owned(),
                    stage: "planning it",
                    what,
                })?;
                Engine::int8(spec, engine)
            }
        })
    }

    #[cfg(feature = "onnx")]
    fn float(spec: &InputSpec, engine: FloatEngine) -> Engine {
        Engine::Float(Box::new(InputTensor::real(spec)), Box::new(engine))
    }

    fn int8(spec: &InputSpec, engine: Int8Engine) -> Engine {
        let input = InputTensor::new(spec, AxisOrder::Nhwc, *engine.tables());
        Engine::Int8(Box::new(input), Box::new(engine))
    }

    /// Another engine of the same weights, for `manifest`.
    fn sharing_weights(&self, manifest: &Manifest) -> Result<Engine, EngineError> {
        Ok(match self {
            #[cfg(feature = "onnx")]
            Engine::Float(_, engine) => Engine::float(&manifest.input, engine.sharing_weights()?),
            Engine::Int8(_, engine) => {
                let failed =
                    |what| EngineError::Load { origin: manifest.name.clone(), stage: "planning it again", what };
                Engine::int8(&manifest.input, engine.sharing_weights().map_err(failed)?)
            }
        })
    }

    fn output_shapes(&self) -> &[Vec<usize>] {
        match self {
            #[cfg(feature = "onnx")]
            Engine::Float(_, engine) => engine.output_shapes(),
            Engine::Int8(_, engine) => engine.output_shapes(),
        }
    }
}

/// What the outputs of one picture come to.
struct Found {
    candidates: Candidates,
    /// Those for which no better one stands: places among the sorted candidates.
    kept: Vec<u16>,
    extras: Extras,
}

impl Found {
    fn clear(&mut self) {
        self.candidates.clear();
        self.kept.clear();
        self.extras.clear();
    }

    /// From outputs in float32.
    fn decode(&mut self, head: &dyn Head, outputs: Outputs<'_, '_>, options: &DetectOptions) {
        head.decode(outputs, options, &mut self.candidates);
        nms::suppress(self.candidates.sorted(), options.nms_iou, DETECTIONS_MAX, &mut self.kept);
        let carried = |cell: u32, into: &mut Vec<f32>| head.carried(outputs, cell, into);
        self.extras.read(&self.candidates, &self.kept, carried, |prototypes, into| prototypes.read(outputs, into));
    }

    /// From outputs as they lie in a plan.
    fn decode_bytes(&mut self, head: &mut dyn ByteDecoder, plan: &Plan, options: &DetectOptions) {
        head.decode(plan, options, &mut self.candidates);
        nms::suppress(self.candidates.sorted(), options.nms_iou, DETECTIONS_MAX, &mut self.kept);
        let carried = |cell: u32, into: &mut Vec<f32>| head.carried(plan, cell, into);
        self.extras.read(&self.candidates, &self.kept, carried, |prototypes, into| prototypes.read_bytes(plan, into));
    }
}

/// A model with its buffers; one a thread.
pub struct Detector {
    manifest: Manifest,
    engine: Engine,
    head: Arc<dyn Head>,
    /// Reads an artifact's outputs without dequantizing them.
    bytes: Option<Box<dyn ByteDecoder>>,
    found: Found,
    detections: Vec<Detection>,
    times: StageTimes,
}

impl Detector {
    /// Loads the network on one thread and checks its outputs against the manifest's head.
    pub fn load(model: &Model) -> Result<Detector, ModelError> {
        Detector::with_threads(model, 1)
    }

    /// As [`Detector::load`]; an artifact runs on `threads` threads.
    pub fn with_threads(model: &Model, threads: usize) -> Result<Detector, ModelError> {
        let engine = Engine::load(model, threads)?;
        let head = head::head(model.manifest(), engine.output_shapes())
            .map_err(|what| EngineError::Shape { origin: model.origin().to_owned(), what })?;
        Ok(Detector::of(model.manifest().clone(), engine, head.into()))
    }

    /// Another detector of the same network, whose weights are in memory once for both.
    ///
    /// # Errors
    /// If the system has no thread or memory for it.
    pub fn sharing_weights(&self) -> Result<Detector, EngineError> {
        Ok(Detector::of(self.manifest.clone(), self.engine.sharing_weights(&self.manifest)?, self.head.clone()))
    }

    fn of(manifest: Manifest, engine: Engine, head: Arc<dyn Head>) -> Detector {
        let bytes = match &engine {
            Engine::Int8(_, engine) if engine.tail().is_none() => head.byte_decoder(engine.plan().signature()),
            _ => None,
        };
        let found = Found {
            candidates: Candidates::default(),
            kept: Vec::with_capacity(DETECTIONS_MAX),
            extras: Extras::new(manifest.head.extra, head.prototypes()),
        };
        let detections = Vec::with_capacity(DETECTIONS_MAX);
        Detector { manifest, engine, head, bytes, found, detections, times: StageTimes::default() }
    }

    /// What runs the network: `float`, or the name of the int8 kernels.
    pub fn engine_name(&self) -> &'static str {
        match &self.engine {
            #[cfg(feature = "onnx")]
            Engine::Float(..) => "float",
            Engine::Int8(_, engine) => engine.plan().kernels(),
        }
    }

    /// The model's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Name of a class; `?` for an index outside the manifest.
    pub fn class_name(&self, class: u16) -> &str {
        self.manifest.classes.names.get(usize::from(class)).map_or("?", String::as_str)
    }

    /// Finds objects in `frame`, best first, at most [`DETECTIONS_MAX`].
    ///
    /// # Errors
    /// Nothing is then known of the picture, and [`Detector::detections`] is empty: whoever hides must not show it.
    pub fn detect(&mut self, frame: &Frame, options: &DetectOptions) -> Result<&[Detection], DetectError> {
        let start = Instant::now();
        self.found.clear();
        self.detections.clear(); // those of another picture are not this one's
        let (fitting, filled, run) = match &mut self.engine {
            #[cfg(feature = "onnx")]
            Engine::Float(input, engine) => {
                let fitting = input.fill(frame)?;
                let filled = Instant::now();
                let outputs = engine.run(input.values())?;
                let run = Instant::now();
                for index in 0..outputs.len() {
                    usable(&self.manifest, index, outputs.get(index))?;
                }
                self.found.decode(&*self.head, &|i| outputs.get(i), options);
                (fitting, filled, run)
            }
            Engine::Int8(input, engine) => {
                let fitting = input.fill(frame)?;
                let filled = Instant::now();
                engine.run(input.values());
                let run = Instant::now();
                if let Some(bytes) = &mut self.bytes {
                    self.found.decode_bytes(&mut **bytes, engine.plan(), options);
                } else {
                    engine.dequantize();
                    for index in 0..engine.output_shapes().len() {
                        usable(&self.manifest, index, engine.output(index))?;
                    }
                    self.found.decode(&*self.head, &|i| engine.output(i), options);
                }
                (fitting, filled, run)
            }
        };
        let Found { candidates, kept, extras } = &mut self.found;
        if candidates.refused() > 0 {
            let what = format!("{} of its boxes are NaN or infinite", candidates.refused());
            return Err(DetectError::Unusable { model: self.manifest.name.clone(), what });
        }
        if let Some(score) = candidates.excess() {
            let what = format!(
                "a score is {score:.2}, and none is above 1: head family `{}` reads something else than it gives (logits, \
                 most likely); correct `head.family`",
                self.manifest.head.family
            );
            return Err(DetectError::Unusable { model: self.manifest.name.clone(), what });
        }
        if !extras.are_finite() {
            let what = "what its boxes have beside class and score is NaN or infinite".to_owned();
            return Err(DetectError::Unusable { model: self.manifest.name.clone(), what });
        }
        let sorted = candidates.sorted();
        let chosen = kept.iter().map(|&place| &sorted[usize::from(place)]).enumerate();
        self.detections.extend(chosen.map(|(index, candidate)| extras.detection(index, candidate, &fitting)));
        self.times = StageTimes { input: filled - start, model: run - filled, decode: run.elapsed() };
        Ok(&self.detections)
    }

    /// The key points of detection `index` of the last picture, of a network that gives them; else none.
    pub fn key_points(&self, index: usize) -> &[KeyPoint] {
        self.found.extras.key_points(index)
    }

    /// The turned box of detection `index` of the last picture, in the picture's pixels, of a network that gives it.
    pub fn rotated(&self, index: usize) -> Option<Turned> {
        self.found.extras.rotated(index)
    }

    /// The mask of detection `index` of the last picture, of a network that gives masks.
    pub fn mask(&self, index: usize) -> Option<Mask> {
        self.found.extras.mask(index)
    }

    /// What the last call of [`Detector::detect`] found.
    pub fn detections(&self) -> &[Detection] {
        &self.detections
    }

    /// Where the time of the last picture went.
    pub fn times(&self) -> StageTimes {
        self.times
    }
}

/// An output is of use if it is there and every value of it is finite.
fn usable(manifest: &Manifest, index: usize, output: Option<&[f32]>) -> Result<(), DetectError> {
    let what = match output.map(first_not_finite) {
        Some(None) => return Ok(()),
        Some(Some((at, value))) => format!("value {at} of output {index} is {value}"),
        None => format!("output {index} is not of float32"),
    };
    Err(DetectError::Unusable { model: manifest.name.clone(), what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_camera::frame::picture;
    use lapwing_camera::photos::PHOTOS;

    #[test]
    fn a_detector_that_shares_weights_finds_the_same() {
        let models = [
            Model::builtin(),
            #[cfg(feature = "onnx")]
            Model::shipped_float(&lapwing_models::DETECT_NANO),
        ];
        for model in models {
            let mut detector = Detector::load(&model.unwrap()).unwrap();
            let options = DetectOptions::of(detector.manifest());
            let mut sharing = detector.sharing_weights().unwrap();
            let mut frame = Frame::new();
            let mut found = 0;
            for (name, bytes) in PHOTOS {
                picture::decode(bytes, name, &mut frame).unwrap();
                let expected = detector.detect(&frame, &options).unwrap();
                found += expected.len();
                assert_eq!(sharing.detect(&frame, &options).unwrap(), expected, "{name}");
            }
            assert!(found > 0);
        }
    }
}
