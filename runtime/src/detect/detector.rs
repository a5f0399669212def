//! A detector: input, engine, head and NMS of one model, with every buffer it needs.

use std::time::{Duration, Instant};

use super::head::Head;
use super::{Candidates, DETECTIONS_MAX, Detection, nms};
use crate::engine::{EngineError, FloatEngine, Manifest, Model};
use crate::frame::Frame;
use crate::input::{InputError, InputTensor};

/// How detections are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectOptions {
    /// Lowest score that is reported, in 0..=1.
    pub score_min: f32,
    /// Two boxes of one class that overlap more are one object.
    pub nms_iou: f32,
    /// One class a cell, or every class above the threshold.
    pub labels: Labels,
}

/// Which classes of a cell become candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// The best one: what people expect to see.
    Best,
    /// All above the threshold: what average precision is measured with.
    All,
}

impl Default for DetectOptions {
    fn default() -> Self {
        DetectOptions { score_min: 0.25, nms_iou: 0.55, labels: Labels::Best }
    }
}

impl DetectOptions {
    /// The operating point that the model's manifest states.
    pub fn of(manifest: &Manifest) -> DetectOptions {
        DetectOptions { score_min: manifest.head.score_min, nms_iou: manifest.head.nms_iou, labels: Labels::Best }
    }

    /// The protocol for average precision: all labels, a threshold low enough for the whole curve.
    pub fn for_evaluation(manifest: &Manifest) -> DetectOptions {
        DetectOptions { score_min: 0.005, nms_iou: manifest.head.nms_iou, labels: Labels::All }
    }
}

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
}

/// A model with its buffers; one a thread.
pub struct Detector {
    manifest: Manifest,
    input: InputTensor,
    engine: FloatEngine,
    head: Head,
    candidates: Candidates,
    kept: Vec<u16>,
    detections: Vec<Detection>,
    times: StageTimes,
}

impl Detector {
    /// Loads the network and checks its outputs against the manifest's head.
    pub fn load(model: &Model) -> Result<Detector, EngineError> {
        let engine = FloatEngine::load(model)?;
        let head = Head::new(model.manifest(), engine.output_shapes())
            .map_err(|what| EngineError::Shape { origin: model.origin().to_owned(), what })?;
        Ok(Detector {
            manifest: model.manifest().clone(),
            input: InputTensor::new(&model.manifest().input),
            engine,
            head,
            candidates: Candidates::default(),
            kept: Vec::with_capacity(DETECTIONS_MAX),
            detections: Vec::with_capacity(DETECTIONS_MAX),
            times: StageTimes::default(),
        })
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
    pub fn detect(&mut self, frame: &Frame, options: &DetectOptions) -> Result<&[Detection], DetectError> {
        let start = Instant::now();
        let fitting = self.input.fill(frame)?;
        let filled = Instant::now();
        let outputs = self.engine.run(self.input.values())?;
        let run = Instant::now();
        self.candidates.clear();
        self.head.decode(&outputs, options, &mut self.candidates);
        let sorted = self.candidates.sorted();
        nms::suppress(sorted, options.nms_iou, DETECTIONS_MAX, &mut self.kept);
        self.detections.clear();
        self.detections.extend(self.kept.iter().map(|&k| {
            let c = &sorted[usize::from(k)];
            Detection { class: c.class, score: c.score, bounds: fitting.to_picture(c.bounds) }
        }));
        self.times = StageTimes { input: filled - start, model: run - filled, decode: run.elapsed() };
        Ok(&self.detections)
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
