//! A model: a manifest and the bytes of its network, from the binary or from a file.
//!
//! Having a [`Model`] means that the manifest is valid and, where it states a checksum, that the
//! bytes are the ones it speaks of. Nothing is known yet about what is inside the network.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::head;
use lapwing_engine::EngineError;
use lapwing_engine::artifact::{Artifact, other_sha256, sha256_hex};
use lapwing_engine::bytes::Bytes;
use lapwing_engine::kernels::memory::Piece;
use lapwing_engine::manifest::Manifest;
use lapwing_engine::user_file;
use lapwing_models::{Missing, Shipped};
#[cfg(feature = "onnx")]
use lapwing_quantize::float::OnnxFile;

/// Largest network file that is read, in bytes.
pub const NETWORK_BYTES_MAX: u64 = 1 << 30;
/// Largest manifest that is read, in bytes.
pub const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// What can be wrong with a model. Each message names the file or the node, and the cure.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No such file, and no built-in model of that name.
    #[error("model {path:?}: no such file; give a .onnx, .lap or .toml file, or one of lapwing's own: {}", own())]
    Missing {
        /// What the user asked for.
        path: PathBuf,
    },
    /// A model of lapwing's own whose file does not travel in the binary and was not found.
    #[error("model {word}: {what}")]
    NotFound {
        /// What the user asked for.
        word: String,
        /// Where it was looked for, and what to do.
        what: String,
    },
    /// The file exists and cannot be read.
    #[error("model {path:?}: cannot be read: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// A network whose head is not recognised, or that is not one.
    #[error("model {network:?}: {what}")]
    Unrecognised {
        /// The network.
        network: PathBuf,
        /// What was found, and the lines of a manifest that would state the rest.
        what: String,
    },
    /// A network of another format.
    #[error("model {path:?}: {what}")]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// What it is, and how it becomes ONNX.
        what: &'static str,
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
    /// The artifact is not the one that belongs to this lapwing.
    #[error(
        "model {origin}: its SHA-256 is {found}, that of the one that belongs to this lapwing is {stated}; copy it again"
    )]
    OtherArtifact {
        /// The artifact.
        origin: String,
        /// What it should have.
        stated: String,
        /// What the file has.
        found: String,
    },
    /// The network is larger than the limit.
    #[error("model {path:?}: {bytes} bytes is more than the limit of {} bytes", NETWORK_BYTES_MAX)]
    TooLarge {
        /// The network.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A network in float32, and a build that runs artifacts only.
    #[error(
        "model {origin}: this lapwing was built without ONNX (feature `onnx`); run `lapwing model quantize` with a full build, on any machine, and give the .lap"
    )]
    NoOnnx {
        /// The network.
        origin: String,
    },
    /// The network.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The names of the shipped detectors.
fn own() -> String {
    lapwing_models::DETECTORS.map(|shipped| shipped.name).join(", ")
}

impl ModelError {
    fn read(path: &Path, cause: std::io::Error) -> ModelError {
        ModelError::Read { path: path.into(), cause }
    }

    fn not_found(word: &str, missing: Missing) -> ModelError {
        ModelError::NotFound { word: word.to_owned(), what: missing.to_string() }
    }

    /// Points a manifest error at the file the manifest was read from.
    fn in_file(self, path: &Path) -> ModelError {
        match self {
            ModelError::Manifest { what, .. } => ModelError::Manifest { path: path.into(), what },
            other => other,
        }
    }
}

/// A manifest and the bytes of its network.
#[derive(Debug, Clone)]
pub struct Model {
    manifest: Manifest,
    network: NetworkFile,
    origin: String,
    /// How the manifest was found, where nobody wrote it.
    why: Vec<String>,
}

/// Endings of networks that lapwing cannot read, and how they become ONNX.
const OTHER_FORMATS: [(&str, &str); 6] = [
    (
        "pt",
        "a PyTorch checkpoint holds a program, not a network; export it: `yolo export model=FILE.pt format=onnx` (Ultralytics), or `torch.onnx.export`",
    ),
    (
        "pth",
        "a PyTorch checkpoint holds weights, not a network; export it from the program that made it, with `torch.onnx.export`",
    ),
    (
        "tflite",
        "lapwing does not read TensorFlow Lite; export the network it was made from to ONNX: `yolo export format=onnx`, or `python -m tf2onnx.convert --tflite FILE.tflite --output FILE.onnx`",
    ),
    ("engine", "a TensorRT engine runs on the one GPU that it was built for; give the ONNX file it was built from"),
    ("hef", "a HEF runs on Hailo's processors only; give the ONNX file it was compiled from"),
    ("ncnn", "lapwing does not read ncnn; give the ONNX file it was converted from"),
];

/// What a model's network is.
#[derive(Debug, Clone)]
pub enum NetworkFile {
    /// The bytes of an ONNX file, to be run in float32.
    Onnx(Vec<u8>),
    /// A quantized network.
    Int8(Arc<Artifact>),
}

impl Model {
    /// The default detector, which travels inside the binary, quantized.
    pub fn builtin() -> Result<Model, ModelError> {
        Model::shipped(&lapwing_models::DETECT_NANO)
    }

    /// A shipped detector in eight bits, from the binary or from its folder.
    fn shipped(shipped: &Shipped) -> Result<Model, ModelError> {
        if let Some(bytes) = shipped.artifact {
            return Model::of(Artifact::from_binary(bytes), format!("{} (built in)", shipped.name));
        }
        let file = shipped.file(lapwing_models::ARTIFACT).map_err(|e| ModelError::not_found(shipped.name, e))?;
        let (bytes, origin) = (read_to_stay(&file)?, file.display().to_string());
        if let Some(found) = other_sha256(bytes.as_ref(), shipped.artifact_sha256) {
            let stated = shipped.artifact_sha256.to_owned();
            return Err(ModelError::OtherArtifact { origin, stated, found });
        }
        Model::from_artifact(bytes, origin)
    }

    /// As [`Model::open`]; the checksum of a built-in model is proved as well.
    ///
    /// # Errors
    /// As for [`Model::open`].
    pub fn open_proved(word: &str) -> Result<Model, ModelError> {
        let shipped = lapwing_models::DETECTORS.iter().find(|shipped| shipped.name == word);
        match shipped.and_then(|shipped| shipped.artifact) {
            Some(artifact) => Model::from_artifact(artifact, word.to_owned()),
            None => Model::open(word),
        }
    }

    /// A shipped detector in float32, as it was trained. Its network is a file: see [`lapwing_models::folder`].
    ///
    /// # Errors
    /// That the file was not found, and what to do.
    #[cfg(feature = "onnx")]
    pub fn shipped_float(shipped: &Shipped) -> Result<Model, ModelError> {
        let network = shipped.file(lapwing_models::NETWORK);
        let network = network.map_err(|e| ModelError::not_found(&format!("{}-float", shipped.name), e))?;
        Model::new(shipped.manifest, read_bounded(&network)?, network.display().to_string())
    }

    /// Opens a model by the word a user gives: the name of a built-in one, an artifact (`.lap`), a
    /// network (`.onnx`, as it was exported; a manifest may lie beside it under the same name and the ending `.toml`), or
    /// a manifest (`.toml`).
    ///
    /// A network without a manifest is recognised by its checksum when lapwing knows it, and else by what is in it
    /// (`recognise`); a manifest beside it may state any part of what there is to know.
    pub fn open(word: &str) -> Result<Model, ModelError> {
        for shipped in lapwing_models::DETECTORS {
            if word == shipped.name {
                return Model::shipped(shipped);
            }
            if word.strip_suffix("-float") == Some(shipped.name) {
                #[cfg(feature = "onnx")]
                return Model::shipped_float(shipped);
                #[cfg(not(feature = "onnx"))]
                return Err(ModelError::NoOnnx { origin: word.to_owned() });
            }
        }
        let path = Path::new(word);
        if !path.exists() {
            return Err(ModelError::Missing { path: path.into() });
        }
        let ending = path.extension().and_then(|e| e.to_str());
        if let Some((_, what)) = OTHER_FORMATS.iter().find(|(other, _)| ending == Some(other)) {
            return Err(ModelError::OtherFormat { path: path.into(), what });
        }
        match ending {
            Some("toml") => Model::from_manifest(path),
            Some("lap") => Model::from_artifact(read_to_stay(path)?, path.display().to_string()),
            _ => Model::from_network(path),
        }
    }

    /// The artifact in `bytes`; `origin` names it in messages.
    ///
    /// # Errors
    /// What is wrong with the artifact.
    pub fn from_artifact(bytes: impl Into<Bytes>, origin: String) -> Result<Model, ModelError> {
        Model::of(Artifact::from_bytes(bytes), origin)
    }

    fn of(artifact: Result<Artifact, String>, origin: String) -> Result<Model, ModelError> {
        match artifact {
            Ok(artifact) => Ok(Model {
                manifest: artifact.manifest.clone(),
                network: NetworkFile::Int8(Arc::new(artifact)),
                origin,
                why: Vec::new(),
            }),
            Err(what) => Err(EngineError::Load { origin, stage: "reading it as an artifact", what }.into()),
        }
    }

    fn from_manifest(path: &Path) -> Result<Model, ModelError> {
        let text = user_file::read_text(path, MANIFEST_BYTES_MAX).map_err(|e| ModelError::read(path, e))?;
        let network = match parse(path, &text) {
            Ok(manifest) => path.with_file_name(&manifest.file),
            // what is left out is found in the network of the same name
            Err(error) if is_part(&error) && path.with_extension("onnx").exists() => path.with_extension("onnx"),
            Err(error) => return Err(error),
        };
        Model::stated(&text, path, read_bounded(&network)?, &network)
    }

    fn from_network(path: &Path) -> Result<Model, ModelError> {
        let bytes = read_bounded(path)?;
        let beside = path.with_extension("toml");
        if beside.exists() {
            let text = user_file::read_text(&beside, MANIFEST_BYTES_MAX).map_err(|e| ModelError::read(&beside, e))?;
            return Model::stated(&text, &beside, bytes, path);
        }
        let sum = sha256_hex(&bytes);
        match lapwing_models::KNOWN.iter().find(|text| text.contains(&sum)) {
            Some(text) => Model::new(text, bytes, path.display().to_string()),
            None => Model::recognised("", bytes, path),
        }
    }

    /// A network with a manifest (the text, its file), whole or in part.
    fn stated(text: &str, manifest: &Path, bytes: Vec<u8>, network: &Path) -> Result<Model, ModelError> {
        let made = match parse(manifest, text) {
            Err(error) if is_part(&error) => Model::recognised(text, bytes, network),
            _ => Model::new(text, bytes, network.display().to_string()),
        };
        made.map_err(|e| e.in_file(manifest))
    }

    /// A network of which `stated`, a part of a manifest, does not say all.
    #[cfg(feature = "onnx")]
    fn recognised(stated: &str, bytes: Vec<u8>, network: &Path) -> Result<Model, ModelError> {
        let file = network.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let found = crate::recognise::recognise(&bytes, &file, stated)
            .map_err(|what| ModelError::Unrecognised { network: network.into(), what })?;
        let model = Model::of_network(found.manifest, bytes, network.display().to_string())?;
        if !found.is_proved {
            log::warn!(
                "model {network:?}: its shapes alone say how its boxes are read (head `{}`); look at some pictures before you \
                 rely on it: `lapwing detect --annotate`, `lapwing model info`",
                model.manifest.head.family
            );
        }
        Ok(Model { why: found.why, ..model })
    }

    #[cfg(not(feature = "onnx"))]
    fn recognised(_: &str, _: Vec<u8>, network: &Path) -> Result<Model, ModelError> {
        Err(ModelError::NoOnnx { origin: network.display().to_string() })
    }

    fn new(manifest: &str, network: Vec<u8>, origin: String) -> Result<Model, ModelError> {
        let manifest = parse(Path::new(&origin), manifest)?;
        if cfg!(not(feature = "onnx")) {
            return Err(ModelError::NoOnnx { origin });
        }
        Model::of_network(manifest, network, origin)
    }

    /// A network in float32 of which `manifest` says all, its checksum too where it states one.
    fn of_network(manifest: Manifest, network: Vec<u8>, origin: String) -> Result<Model, ModelError> {
        if let Some(stated) = &manifest.sha256
            && let Some(found) = other_sha256(&network, stated)
        {
            return Err(ModelError::Checksum { origin, stated: stated.clone(), found });
        }
        Ok(Model { manifest, network: NetworkFile::Onnx(network), origin, why: Vec::new() })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How the manifest was found, a sentence for each part of it; nothing where somebody wrote it.
    pub fn why(&self) -> &[String] {
        &self.why
    }

    /// The manifest alone; the network's memory goes back unless somebody else holds it.
    pub fn into_manifest(self) -> Manifest {
        self.manifest
    }

    /// The network.
    pub fn network(&self) -> &NetworkFile {
        &self.network
    }

    /// The network as an ONNX file; `None` if it is an artifact.
    #[cfg(feature = "onnx")]
    pub fn onnx(&self) -> Option<OnnxFile<'_>> {
        match &self.network {
            NetworkFile::Onnx(bytes) => {
                let Manifest { input, head, .. } = &self.manifest;
                Some(OnnxFile { bytes, input, outputs: &head.outputs, origin: &self.origin })
            }
            NetworkFile::Int8(_) => None,
        }
    }

    /// Where the network came from, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

fn parse(path: &Path, text: &str) -> Result<Manifest, ModelError> {
    let wrong = |what| ModelError::Manifest { path: PathBuf::from(path), what };
    let manifest = Manifest::parse(text).map_err(wrong)?;
    head::family(&manifest).map_err(wrong)?;
    Ok(manifest)
}

/// A manifest is right as far as it goes, and does not say all.
fn is_part(error: &ModelError) -> bool {
    matches!(error, ModelError::Manifest { what, .. } if what.contains("missing field"))
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, ModelError> {
    length_bounded(path)?;
    user_file::read(path, NETWORK_BYTES_MAX).map_err(|e| ModelError::read(path, e))
}

/// The bytes of a file that stays in memory as long as its model.
fn read_to_stay(path: &Path) -> Result<Bytes, ModelError> {
    let Some(mut bytes) = Piece::mapped(length_bounded(path)?) else { return Ok(read_bounded(path)?.into()) };
    let read = || {
        let (mut file, _) = user_file::open(path)?;
        file.read_exact(&mut bytes)?;
        let mut grown = Vec::new();
        file.take(NETWORK_BYTES_MAX).read_to_end(&mut grown)?;
        Ok(if grown.is_empty() { bytes.into() } else { [&*bytes, &grown].concat().into() })
    };
    read().map_err(|e| ModelError::read(path, e))
}

fn length_bounded(path: &Path) -> Result<usize, ModelError> {
    let (_, length) = user_file::open(path).map_err(|e| ModelError::read(path, e))?;
    let fits = usize::try_from(length).ok().filter(|_| length <= NETWORK_BYTES_MAX);
    fits.ok_or_else(|| ModelError::TooLarge { path: path.into(), bytes: length })
}

#[cfg(test)]
mod tests {
    use super::sha256_hex;

    /// What is stated of the artifacts is true, and so what is found beside a binary is the one that belongs to it.
    #[test]
    fn every_shipped_artifact_has_the_checksum_that_is_stated() {
        for shipped in lapwing_models::DETECTORS {
            let bytes = std::fs::read(shipped.file(lapwing_models::ARTIFACT).unwrap()).unwrap();
            assert_eq!(sha256_hex(&bytes), shipped.artifact_sha256, "{}", shipped.name);
            assert!(shipped.artifact.is_none_or(|inside| inside == bytes), "{}", shipped.name);
        }
    }
}
