//! From an ONNX file to an artifact, as one call after the other.
//!
//! ```no_run
//! use lapwing_engine::Manifest;
//! use lapwing_quantize::{OnnxFile, OnnxNetwork, Samples, Settings};
//!
//! # fn make(manifest: Manifest, samples: Samples) -> Result<(), Box<dyn std::error::Error>> {
//! let bytes = std::fs::read("street.onnx")?;
//! let file = OnnxFile { bytes: &bytes, input: &manifest.input, outputs: &manifest.head.outputs, origin: "street.onnx" };
//! let made = OnnxNetwork::import(file)?.calibrate(&manifest, &samples, &Settings::default(), &mut |_| {})?;
//! std::fs::write("street.lap", made.artifact.to_bytes()?)?;
//! # Ok(())
//! # }
//! ```

use lapwing_engine::artifact::{self, Artifact, Calibration};
use lapwing_engine::ir::{Checked, Graph};
use lapwing_engine::tail::Tail;
use lapwing_engine::{EngineError, Manifest};

use crate::float::OnnxFile;
use crate::import::{self, Options};
use crate::network::FloatNetwork;
use crate::report::Report;
use crate::samples::Samples;
use crate::search::{Phase, Quantized, Request, tuned};
use crate::{float, own_scales};

/// A network that was read from ONNX: the part that can run in eight bits, and what follows it in float32.
pub struct OnnxNetwork {
    network: FloatNetwork,
    tail: Option<Tail>,
    scales_dropped: bool,
    origin: String,
    source_sha256: String,
}

/// Share of all multiplications that scales must reach, where a file states some.
const STATED_SHARE_MIN: f64 = 0.9;

/// How a network is quantized.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Whether an output holds logits: its errors are measured behind the logistic function.
    pub is_logit: fn(usize) -> bool,
    /// Threads that pictures are dealt over. The result is the same for every number of them.
    pub threads: usize,
    /// Try all methods; without it every range takes the first one.
    pub search: bool,
    /// Share of all convolutions' results, in 0..=1, that may have sixteen bits where that helps.
    pub wide: f64,
    /// Measure what each layer costs at the outputs.
    pub sensitivity: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { is_logit: |_| false, threads: 1, search: true, wide: 0.0, sensitivity: false }
    }
}

/// What came of it.
pub struct Made {
    /// The quantized network.
    pub artifact: Artifact,
    /// How it was made and how good it is; `None` if the file stated its own scales.
    pub report: Option<Report>,
}

impl OnnxNetwork {
    /// Reads a file through tract.
    ///
    /// # Errors
    /// The node and what is wrong with it.
    pub fn import(file: OnnxFile<'_>) -> Result<OnnxNetwork, EngineError> {
        let origin = file.origin.to_owned();
        let failed = |what| EngineError::Load { origin: origin.clone(), stage: "importing it", what };
        let options = Options { behind: true, ..Options::default() };
        let graph = float::graph(file)?;
        let bare = graph.states_rounding().then(|| graph.clone().without_stated_rounding());
        let mut network = import::regions(float::typed_graph(graph, file)?, &options);
        let mut scales_dropped = false;
        if let Some(bare) = bare {
            // scales for convolutions alone keep everything between them in float32
            let bare = float::typed_graph(bare, file)?;
            let bare = import::regions(bare, &options).map_err(failed)?;
            let share = network.as_ref().map_or(0.0, |network| network.macs() as f64 / bare.macs().max(1) as f64);
            if share < STATED_SHARE_MIN {
                (network, scales_dropped) = (Ok(bare), true);
            }
        }
        let network = network.map_err(failed)?;
        let tail = import::tail(&network).map_err(failed)?;
        let source_sha256 = artifact::sha256_hex(file.bytes);
        Ok(OnnxNetwork { network, tail, scales_dropped, origin, source_sha256 })
    }

    /// Whether the file states scales that do not reach from its input to its outputs, so that they are passed over.
    pub fn scales_dropped(&self) -> bool {
        self.scales_dropped
    }

    /// The part in eight bits, and the nodes that have no place in it.
    pub fn network(&self) -> &FloatNetwork {
        &self.network
    }

    /// Whether the file states its own scales (QDQ), so that no pictures are needed.
    pub fn has_own_scales(&self) -> bool {
        self.network.has_own_scales()
    }

    /// The artifact with the scales that the file states.
    ///
    /// # Errors
    /// The node and what is wrong with it.
    pub fn with_own_scales(self, manifest: &Manifest) -> Result<Made, EngineError> {
        let made = own_scales::graph(&self.network).and_then(|graph| self.artifact(manifest, graph, 0));
        made.map(|artifact| Made { artifact, report: None }).map_err(|what| self.failed(what))
    }

    /// Calibrates on `samples`, quantizes and tunes; `told` hears of every step. Takes minutes with `search`.
    ///
    /// # Errors
    /// The node or the picture, and what is wrong with it.
    pub fn calibrate(
        self,
        manifest: &Manifest,
        samples: &Samples,
        settings: &Settings,
        told: &mut dyn FnMut(Phase),
    ) -> Result<Made, EngineError> {
        let Settings { is_logit, threads, search, wide, sensitivity } = *settings;
        let request = Request { samples, is_logit, threads, search, wide, sensitivity, tail: self.tail.as_ref() };
        let made = tuned(self.network.clone(), &request, told).and_then(|Quantized { graph, report }| {
            Ok(Made { artifact: self.artifact(manifest, graph, report.pictures)?, report: Some(report) })
        });
        made.map_err(|what| self.failed(what))
    }

    fn artifact(&self, manifest: &Manifest, graph: Graph, pictures: usize) -> Result<Artifact, String> {
        let golden = artifact::golden(&graph, self.tail.as_ref())?;
        let calibration = Calibration { source_sha256: self.source_sha256.clone(), pictures };
        let graph = Checked::new(graph)?;
        Ok(Artifact { manifest: manifest.clone(), graph, tail: self.tail.clone(), calibration, golden })
    }

    fn failed(&self, what: String) -> EngineError {
        EngineError::Load { origin: self.origin.clone(), stage: "quantizing it", what }
    }
}
