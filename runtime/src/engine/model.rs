//! A model: a manifest and the bytes of its network, from the binary or from a file.
//!
//! Having a [`Model`] means that the manifest is valid and, where it states a checksum, that the
//! bytes are the ones it speaks of. Nothing is known yet about what is inside the network.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::EngineError;
use super::artifact::{Artifact, sha256_hex};
use super::bytes::Bytes;
use super::kernels::memory::Piece;
use super::manifest::Manifest;
use super::user_file;

/// Largest network file that is read, in bytes.
pub const NETWORK_BYTES_MAX: u64 = 1 << 30;
/// Largest manifest that is read, in bytes.
pub const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// A manifest and the bytes of its network.
#[derive(Debug, Clone)]
pub struct Model {
    manifest: Manifest,
    network: Network,
    origin: String,
}

/// What a model's network is.
#[derive(Debug, Clone)]
pub enum Network {
    /// The bytes of an ONNX file, to be run in real numbers.
    Onnx(Cow<'static, [u8]>),
    /// A quantised network.
    Int8(Arc<Artifact>),
}

impl Model {
    /// The detector that travels inside the binary, quantised.
    pub fn builtin() -> Result<Model, EngineError> {
        let shipped = &lapwing_models::DETECT_NANO;
        Model::of(Artifact::from_binary(shipped.artifact), format!("{} (built in)", shipped.name))
    }

    /// As [`Model::open`]; the checksum of a built-in model is proved as well.
    ///
    /// # Errors
    /// As for [`Model::open`].
    pub fn open_proved(word: &str) -> Result<Model, EngineError> {
        let shipped = &lapwing_models::DETECT_NANO;
        if word == shipped.name { Model::from_artifact(shipped.artifact, word.to_owned()) } else { Model::open(word) }
    }

    /// The built-in detector in real numbers, as it was trained.
    #[cfg(feature = "onnx")]
    pub fn builtin_float() -> Result<Model, EngineError> {
        let shipped = &lapwing_models::DETECT_NANO;
        Model::new(shipped.manifest, Cow::Borrowed(shipped.network), format!("{}-float (built in)", shipped.name))
    }

    /// Opens a model by the word a user gives: the name of a built-in one, an artifact (`.lap`), a
    /// network (`.onnx`, with its manifest beside it under the same name and the ending `.toml`), or
    /// a manifest (`.toml`).
    ///
    /// A network without a manifest is recognised by its checksum when lapwing knows it.
    pub fn open(word: &str) -> Result<Model, EngineError> {
        let name = lapwing_models::DETECT_NANO.name;
        if word == name {
            return Model::builtin();
        }
        if word.strip_suffix("-float") == Some(name) {
            #[cfg(feature = "onnx")]
            return Model::builtin_float();
            #[cfg(not(feature = "onnx"))]
            return Err(EngineError::NoOnnx { origin: word.to_owned() });
        }
        let path = Path::new(word);
        if !path.exists() {
            return Err(EngineError::Missing { path: path.into(), known: name });
        }
        match path.extension().and_then(|e| e.to_str()) {
            Some("toml") => Model::from_manifest(path),
            Some("lap") => Model::from_artifact(read_to_stay(path)?, path.display().to_string()),
            _ => Model::from_network(path),
        }
    }

    /// The artifact in `bytes`; `origin` names it in messages.
    ///
    /// # Errors
    /// What is wrong with the artifact.
    pub fn from_artifact(bytes: impl Into<Bytes>, origin: String) -> Result<Model, EngineError> {
        Model::of(Artifact::from_bytes(bytes), origin)
    }

    fn of(artifact: Result<Artifact, String>, origin: String) -> Result<Model, EngineError> {
        match artifact {
            Ok(artifact) => {
                Ok(Model { manifest: artifact.manifest.clone(), network: Network::Int8(Arc::new(artifact)), origin })
            }
            Err(what) => Err(EngineError::Load { origin, stage: "reading it as an artifact", what }),
        }
    }

    fn from_manifest(path: &Path) -> Result<Model, EngineError> {
        let text = user_file::read_text(path, MANIFEST_BYTES_MAX).map_err(|e| EngineError::read(path, e))?;
        let manifest = parse(path, &text)?;
        let network = path.with_file_name(&manifest.file);
        Model::new(&text, Cow::Owned(read_bounded(&network)?), network.display().to_string())
            .map_err(|e| e.in_file(path))
    }

    fn from_network(path: &Path) -> Result<Model, EngineError> {
        let bytes = read_bounded(path)?;
        let beside = path.with_extension("toml");
        if beside.exists() {
            let text = user_file::read_text(&beside, MANIFEST_BYTES_MAX).map_err(|e| EngineError::read(&beside, e))?;
            return Model::new(&text, Cow::Owned(bytes), path.display().to_string()).map_err(|e| e.in_file(&beside));
        }
        let sum = sha256_hex(&bytes);
        match lapwing_models::KNOWN.iter().find(|text| text.contains(&sum)) {
            Some(text) => Model::new(text, Cow::Owned(bytes), path.display().to_string()),
            None => Err(EngineError::NoManifest { network: path.into(), manifest: beside }),
        }
    }

    fn new(manifest: &str, network: Cow<'static, [u8]>, origin: String) -> Result<Model, EngineError> {
        let manifest = parse(Path::new(&origin), manifest)?;
        if cfg!(not(feature = "onnx")) {
            return Err(EngineError::NoOnnx { origin });
        }
        if let Some(stated) = &manifest.sha256 {
            let found = sha256_hex(&network);
            if !stated.eq_ignore_ascii_case(&found) {
                return Err(EngineError::Checksum { origin, stated: stated.clone(), found });
            }
        }
        Ok(Model { manifest, network: Network::Onnx(network), origin })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest alone; the network's memory goes back unless somebody else holds it.
    pub fn into_manifest(self) -> Manifest {
        self.manifest
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Where the network came from, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

fn parse(path: &Path, text: &str) -> Result<Manifest, EngineError> {
    Manifest::parse(text).map_err(|what| EngineError::Manifest { path: PathBuf::from(path), what })
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, EngineError> {
    length_bounded(path)?;
    user_file::read(path, NETWORK_BYTES_MAX).map_err(|e| EngineError::read(path, e))
}

/// The bytes of a file that stays in memory as long as its model.
fn read_to_stay(path: &Path) -> Result<Bytes, EngineError> {
    let Some(mut bytes) = Piece::mapped(length_bounded(path)?) else { return Ok(read_bounded(path)?.into()) };
    let read = || {
        let (mut file, _) = user_file::open(path)?;
        file.read_exact(&mut bytes)?;
        let mut grown = Vec::new();
        file.take(NETWORK_BYTES_MAX).read_to_end(&mut grown)?;
        Ok(if grown.is_empty() { bytes.into() } else { [&*bytes, &grown].concat().into() })
    };
    read().map_err(|e| EngineError::read(path, e))
}

fn length_bounded(path: &Path) -> Result<usize, EngineError> {
    let (_, length) = user_file::open(path).map_err(|e| EngineError::read(path, e))?;
    let fits = usize::try_from(length).ok().filter(|_| length <= NETWORK_BYTES_MAX);
    fits.ok_or_else(|| EngineError::TooLarge { path: path.into(), bytes: length })
}
