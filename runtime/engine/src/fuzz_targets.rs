//! Any bytes as an artifact or a manifest: a refusal is an answer; a panic, an endless loop or memory without a
//! bound is none. For tests and `cargo xtask fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a promise that is broken is a panic")]

use crate::artifact::{Artifact, MAGIC, container::Container};
use crate::plan::Plan;
use crate::tail::Run;
use crate::{Manifest, kernels};

/// A format's name and what its bytes are given to.
pub type Target = (&'static str, fn(&[u8]));

/// Every format.
pub const TARGETS: [Target; 2] = [("artifact", artifact), ("manifest", manifest)];

/// Multiplications of a network that is run here; a larger one is only read.
const MACS_MAX: u64 = 1 << 26;

/// An artifact in parts, see [`whole`].
fn artifact(bytes: &[u8]) {
    if let Ok(read) = Artifact::from_bytes(whole(bytes)) {
        let again = Artifact::from_bytes(read.to_bytes().unwrap()).unwrap();
        assert!(again.graph == read.graph && again.tail == read.tail, "it is read as another than was written");
        let large = read.graph.tensors.iter().any(|t| t.shape.elements() as u64 > MACS_MAX);
        if read.graph.macs() <= MACS_MAX && !large {
            run_artifact(read);
        }
    }
}

/// What was read must be fit to run.
pub fn run_artifact(read: Artifact) {
    let shapes = read.graph.output_shapes();
    Plan::new(&read.graph, kernels::best(), 1).unwrap().run();
    if let Some(tail) = read.tail {
        Run::new(tail, shapes).unwrap().run();
    }
}

/// Makes a file of its parts: a header's JSON, a zero, and what lies behind the header. Lengths and checksum are
/// right, so that what is refused is refused for what it says.
fn whole(parts: &[u8]) -> Vec<u8> {
    let at = parts.iter().position(|&byte| byte == 0).unwrap_or(parts.len());
    let (header, behind) = (&parts[..at], parts.get(at + 1..).unwrap_or(&[]));
    Container::write(MAGIC, crate::artifact::FORMAT, behind.len() as u64, header, behind)
}

/// A manifest.
fn manifest(bytes: &[u8]) {
    if let Err(what) = Manifest::parse(&String::from_utf8_lossy(bytes)) {
        assert!(!what.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_bytes_are_taken() {
        let files = (0..200).filter_map(crate::artifact::tests::artifact).map(|made| made.to_bytes().unwrap());
        let parts = |file: Vec<u8>| {
            let file = Container::open(file.into(), 1..=crate::artifact::FORMAT, 1 << 20).unwrap();
            let parts = [file.header(), &[0], &file.body()].concat();
            assert!(Artifact::from_bytes(whole(&parts)).is_ok());
            parts
        };
        let artifacts = files.filter(|file| file.len() < 16_000).map(parts).collect();
        let manifest = lapwing_models::DETECT_NANO.manifest.as_bytes().to_vec();
        lapwing_seeds::take(&TARGETS, &[("artifact", artifacts), ("manifest", vec![manifest])]);
    }
}
