//! A flow from the binary or from a folder: a manifest and the bytes of its networks.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use lapwing_models::{ARTIFACT, Missing, Shipped};

use super::int8::FlowArtifact;
use super::int8::artifact::MAGIC;
use super::{FlowError, FlowManifest};
use lapwing_engine::artifact::other_sha256;
use lapwing_engine::bytes::Bytes;
use lapwing_engine::user_file;

/// Largest network file that is read, in bytes.
pub const NETWORK_BYTES_MAX: u64 = 256 << 20;
/// Behind the name of a built-in flow: its networks in float32.
pub const FLOAT: &str = "-float";
/// The manifest's name in a folder.
pub const MANIFEST: &str = "manifest.toml";

/// A valid manifest and networks that have the checksums it states.
#[derive(Debug, Clone)]
pub struct FlowModel {
    manifest: FlowManifest,
    origin: String,
    source: Source,
}

/// What a flow's networks are.
#[derive(Debug, Clone)]
pub enum Source {
    /// In float32 values.
    Real(Arc<Real>),
    /// In eight bits.
    Int8(Arc<FlowArtifact>),
}

/// The networks in float32, ONNX.
#[derive(Debug)]
pub struct Real {
    /// x_t, film and context to v.
    pub velocity: Vec<u8>,
    /// Time, class and mode to film.
    pub condition: Vec<u8>,
    /// The gradient of a classifier, if there is one.
    pub guide: Option<Vec<u8>>,
    /// A classifier of clean pictures, if there is one.
    pub measure: Option<Vec<u8>>,
}

impl FlowModel {
    /// The flow of 64x64 windows that travels in the binary.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn patch() -> Result<FlowModel, FlowError> {
        FlowModel::open(lapwing_models::FLOW_PATCH.name)
    }

    /// True if the word means a flow, and not a detector.
    pub fn is_word(word: &str) -> bool {
        let path = Path::new(word);
        let plain = word.strip_suffix(FLOAT).unwrap_or(word);
        let begins = || -> std::io::Result<bool> {
            let mut first = [0; MAGIC.len()];
            user_file::open(path)?.0.read_exact(&mut first)?;
            Ok(&first == MAGIC)
        };
        lapwing_models::FLOWS.iter().any(|f| f.name == plain)
            || path.join(MANIFEST).exists()
            || (path.is_file() && begins().unwrap_or(false))
    }

    /// Opens a flow by the word a user gives: the name of a shipped one (in eight bits; with
    /// [`FLOAT`] behind it in float32), a `.lap`, or a folder with a manifest and the files it
    /// names.
    ///
    /// # Errors
    /// What is missing or wrong, and the cure.
    pub fn open(word: &str) -> Result<FlowModel, FlowError> {
        if let Some(shipped) = lapwing_models::FLOWS.iter().find(|f| f.name == word) {
            return FlowModel::shipped(shipped);
        }
        let float = word.strip_suffix(FLOAT);
        if let Some(shipped) = lapwing_models::FLOWS.iter().find(|f| float == Some(f.name)) {
            return FlowModel::shipped_float(shipped);
        }
        let path = Path::new(word);
        if path.extension().is_some_and(|e| e == "lap") && path.exists() {
            let bytes = read(path).map_err(|what| FlowError::Load { origin: word.into(), what })?;
            return FlowModel::from_artifact(bytes, word.into());
        }
        if !path.join(MANIFEST).exists() {
            let names = lapwing_models::FLOWS.map(|f| f.name).join(", ");
            let what = format!(
                "no such flow; give {names}, one of them with {FLOAT}, a .lap, or a folder that holds {MANIFEST} and its networks"
            );
            return Err(FlowError::Missing { word: word.into(), what });
        }
        FlowModel::from_folder(path, None)
    }

    /// A shipped flow in eight bits, from the binary or from its folder.
    fn shipped(shipped: &Shipped) -> Result<FlowModel, FlowError> {
        if let Some(bytes) = shipped.artifact {
            return FlowModel::from_artifact(bytes, format!("{} (built in)", shipped.name));
        }
        let file = shipped.file(ARTIFACT).map_err(|missing| not_found(shipped, missing))?;
        let origin = file.display().to_string();
        let bytes = read(&file).map_err(|what| FlowError::Load { origin: shipped.name.into(), what })?;
        match checked(&bytes, shipped.artifact_sha256, "it has", "the one that belongs to this lapwing has") {
            Ok(()) => FlowModel::from_artifact(bytes, origin),
            Err(what) => Err(FlowError::Load { origin, what }),
        }
    }

    /// A shipped flow in float32, from its folder.
    #[cfg(feature = "onnx")]
    fn shipped_float(shipped: &Shipped) -> Result<FlowModel, FlowError> {
        let manifest = parse(shipped.manifest, shipped.name)?;
        let folder = lapwing_models::folder(shipped.name, &manifest.velocity.file);
        let folder = folder.map_err(|missing| not_found(shipped, missing))?;
        FlowModel::from_folder(&folder, Some(shipped.manifest))
    }

    #[cfg(not(feature = "onnx"))]
    fn shipped_float(shipped: &Shipped) -> Result<FlowModel, FlowError> {
        Err(no_onnx(shipped.name))
    }

    /// The networks in a folder, by the manifest that is given, else by the one that lies there.
    fn from_folder(folder: &Path, manifest: Option<&str>) -> Result<FlowModel, FlowError> {
        let origin = folder.display().to_string();
        let load = |what: String| FlowError::Load { origin: origin.clone(), what };
        let text = match manifest {
            Some(text) => text.to_owned(),
            None => {
                let text = read(&folder.join(MANIFEST)).map_err(load)?;
                String::from_utf8(text).map_err(|e| load(format!("{MANIFEST}: {e}")))?
            }
        };
        let manifest = parse(&text, &origin)?;
        let file = |name: &str| match Path::new(name).file_name() {
            Some(plain) if plain == name => read(&folder.join(name)).map_err(load),
            _ => Err(load(format!("{MANIFEST}: file {name:?} must lie in the same folder"))),
        };
        let real = Real {
            velocity: file(&manifest.velocity.file)?,
            condition: file(&manifest.condition.file)?,
            guide: manifest.guide.as_ref().map(|g| file(&g.file)).transpose()?,
            measure: manifest.measure.as_ref().map(|m| file(&m.file)).transpose()?,
        };
        FlowModel::new(&text, real, origin)
    }

    fn new(manifest: &str, real: Real, origin: String) -> Result<FlowModel, FlowError> {
        let manifest = parse(manifest, &origin)?;
        let guide = manifest.guide.as_ref().map(|g| &g.sha256).zip(real.guide.as_ref());
        let measure = manifest.measure.as_ref().map(|m| &m.sha256).zip(real.measure.as_ref());
        let pairs = [(&manifest.velocity.sha256, &real.velocity), (&manifest.condition.sha256, &real.condition)];
        for (stated, bytes) in pairs.into_iter().chain(guide).chain(measure) {
            if let Err(what) = checked(bytes, stated, "a network has", "the manifest states") {
                return Err(FlowError::Load { origin, what });
            }
        }
        Ok(FlowModel { manifest, origin, source: Source::Real(Arc::new(real)) })
    }

    /// The flow in eight bits in `bytes`; `origin` names it in messages.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn from_artifact(bytes: impl Into<Bytes>, origin: String) -> Result<FlowModel, FlowError> {
        match FlowArtifact::from_bytes(bytes) {
            Ok(artifact) => {
                Ok(FlowModel { manifest: artifact.manifest.clone(), origin, source: Source::Int8(Arc::new(artifact)) })
            }
            Err(what) => Err(FlowError::Load { origin, what }),
        }
    }

    /// The manifest.
    pub fn manifest(&self) -> &FlowManifest {
        &self.manifest
    }

    /// Where it came from, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Its networks.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Its networks in float32.
    ///
    /// # Errors
    /// That it is in eight bits.
    pub fn real(&self) -> Result<&Real, FlowError> {
        match &self.source {
            Source::Real(real) => Ok(real),
            Source::Int8(_) => {
                let what = "it is in eight bits; this needs its networks in float32".into();
                Err(FlowError::Unable { origin: self.origin.clone(), what })
            }
        }
    }
}

/// A flow in float32, and a build without tract.
#[cfg(not(feature = "onnx"))]
pub(super) fn no_onnx(origin: &str) -> FlowError {
    let what = "this lapwing was built without ONNX (feature `onnx`), which this flow needs".into();
    FlowError::Load { origin: origin.into(), what }
}

fn parse(text: &str, origin: &str) -> Result<FlowManifest, FlowError> {
    FlowManifest::parse(text).map_err(|what| FlowError::Manifest { origin: origin.into(), what })
}

fn not_found(shipped: &Shipped, missing: Missing) -> FlowError {
    FlowError::Missing { word: shipped.name.into(), what: missing.to_string() }
}

/// The bytes have the SHA-256 that is stated.
fn checked(bytes: &[u8], stated: &str, whose: &str, who: &str) -> Result<(), String> {
    let refused =
        |found| Err(format!("{whose} the SHA-256 {found}, {who} {stated}; copy the file again or correct `sha256`"));
    other_sha256(bytes, stated).map_or(Ok(()), refused)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    user_file::read(path, NETWORK_BYTES_MAX).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_engine::artifact::sha256_hex;

    /// What is stated of the artifacts is true, and so what is found beside a binary is the one that belongs to it.
    #[test]
    fn every_shipped_artifact_has_the_checksum_that_is_stated() {
        for shipped in lapwing_models::FLOWS {
            let bytes = std::fs::read(shipped.file(ARTIFACT).unwrap()).unwrap();
            assert_eq!(sha256_hex(&bytes), shipped.artifact_sha256, "{}", shipped.name);
            assert!(shipped.artifact.is_none_or(|inside| inside == bytes), "{}", shipped.name);
            let mut other = bytes;
            other.push(0);
            assert!(checked(&other, shipped.artifact_sha256, "a", "b").is_err());
        }
    }
}
