//! The engine: a network file becomes something that runs.
//!
//! ```text
//! Manifest + bytes ─▶ Model ─┬▶ Int8Engine ─▶ views of u8      (an artifact)
//!                            └▶ FloatEngine ─▶ f32 slices      (ONNX, through tract; feature `onnx`)
//! ```
//!
//! From ONNX to an artifact: [`import`] ─▶ [`calibrate`] ─▶ [`quantize`] ─▶ [`artifact`].
//! From an artifact to a result: [`ir`] ─▶ [`layout`] ─▶ [`plan`] ─▶ [`kernels`] ─▶ [`tail`].
//!
//! The engine knows tensors, not pictures and not boxes: `input` fills its input, `detect` reads
//! its outputs.

pub mod artifact;
pub mod bytes;
#[cfg(feature = "onnx")]
pub mod calibrate;
#[cfg(feature = "onnx")]
pub mod float;
#[cfg(feature = "onnx")]
pub mod import;
pub mod int8;
pub mod ir;
#[allow(unsafe_code)]
pub mod kernels;
pub mod layout;
pub mod manifest;
#[cfg(feature = "onnx")]
pub mod mixed;
pub mod model;
#[cfg(feature = "onnx")]
pub mod network;
#[cfg(feature = "onnx")]
pub mod own_scales;
pub mod plan;
#[cfg(test)]
mod plan_tests;
mod planner;
pub mod quant;
#[cfg(feature = "onnx")]
pub mod quantize;
pub mod reference;
pub mod refit;
#[cfg(feature = "onnx")]
pub mod region;
pub mod sixteen;
pub mod tail;
pub mod user_file;

pub use artifact::Artifact;
#[cfg(feature = "onnx")]
pub use float::{FloatEngine, Outputs};
pub use int8::Int8Engine;
pub use manifest::Manifest;
pub use model::Model;

use std::path::{Path, PathBuf};

/// What can be wrong with a model. Each message names the file or the node, and the cure.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No such file, and no built-in model of that name.
    #[error("model {path:?}: no such file; give a .onnx or .toml file, or the built-in `{known}`")]
    Missing {
        /// What the user asked for.
        path: PathBuf,
        /// The built-in model's name.
        known: &'static str,
    },
    /// The file exists and cannot be read.
    #[error("model {path:?}: cannot be read: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// A network without a manifest that lapwing does not know.
    #[error(
        "model {network:?}: no manifest beside it and its checksum is unknown; write {manifest:?} (the README shows one) to state input size, colours, head and classes"
    )]
    NoManifest {
        /// The network.
        network: PathBuf,
        /// Where the manifest should be.
        manifest: PathBuf,
    },
    /// The manifest has a mistake.
    #[error("manifest {path:?}: {what}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The field and the cure.
        what: String,
    },
    /// The network is not the one the manifest speaks of.
    #[error(
        "model {origin}: its SHA-256 is {found}, the manifest says {stated}; copy the file again or correct `sha256`"
    )]
    Checksum {
        /// The network.
        origin: String,
        /// What the manifest says.
        stated: String,
        /// What the file has.
        found: String,
    },
    /// The network is larger than the limit.
    #[error("model {path:?}: {bytes} bytes is more than the limit of {} bytes", model::NETWORK_BYTES_MAX)]
    TooLarge {
        /// The network.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The network cannot be parsed, typed or planned.
    #[error("model {origin}: {stage} failed: {what}")]
    Load {
        /// The network.
        origin: String,
        /// Which step.
        stage: &'static str,
        /// tract's words; they name the node.
        what: String,
    },
    /// The network's input or outputs are not what the manifest says.
    #[error("model {origin}: {what}")]
    Shape {
        /// The network.
        origin: String,
        /// Found, expected, and which field of the manifest to correct.
        what: String,
    },
    /// A network in real numbers, and a build that runs artifacts only.
    #[error(
        "model {origin}: this lapwing was built without ONNX (feature `onnx`); run `lapwing model quantize` with a full build, on any machine, and give the .lap"
    )]
    NoOnnx {
        /// The network.
        origin: String,
    },
    /// A node failed while running.
    #[error("model {origin}: running it failed: {what}")]
    Run {
        /// The network.
        origin: String,
        /// tract's words; they name the node.
        what: String,
    },
}

impl EngineError {
    pub(crate) fn read(path: &Path, cause: std::io::Error) -> EngineError {
        EngineError::Read { path: path.into(), cause }
    }

    /// Points a manifest error at the file the manifest was read from.
    fn in_file(self, path: &Path) -> EngineError {
        match self {
            EngineError::Manifest { what, .. } => EngineError::Manifest { path: path.into(), what },
            other => other,
        }
    }
}
