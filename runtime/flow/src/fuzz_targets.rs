//! Any bytes as a flow in eight bits or its manifest. For tests and `cargo xtask fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a promise that is broken is a panic")]

use lapwing_engine::artifact::container::Container;

use crate::int8::Int8Flow;
use crate::int8::artifact::{FORMAT, FlowArtifact, MAGIC};
use crate::{Asked, FlowManifest, VelocityNetwork};

/// A format's name and what its bytes are given to.
pub type Target = (&'static str, fn(&[u8]));

/// Every format.
pub const TARGETS: [Target; 2] = [("flow", flow), ("flow-manifest", manifest)];

/// Multiplications of a network that is run here; a larger one is only read.
const MACS_MAX: u64 = 1 << 26;

/// A flow in parts, see [`whole`].
fn flow(bytes: &[u8]) {
    if let Ok(read) = FlowArtifact::from_bytes(whole(bytes)) {
        assert!(FlowArtifact::from_bytes(read.to_bytes().unwrap()).unwrap() == read);
        if read.macs() <= MACS_MAX {
            run_flow(&read);
        }
    }
}

/// What was read must be fit to run.
pub fn run_flow(read: &FlowArtifact) {
    let mut flow = Int8Flow::load(read, "hostile", 1).unwrap();
    let x = vec![0.5; read.manifest.values()];
    let context = vec![0.0; crate::network::context_values(&read.manifest)];
    let _ = flow.velocity(&x, &context, Asked { t: 0.2, label: 0, jump: false }, &mut vec![0.0; x.len()]);
}

/// Makes a file of its parts: a header's JSON, a zero, four bytes that count the f32, and what lies behind the
/// header. Length and checksum are right.
fn whole(parts: &[u8]) -> Vec<u8> {
    let at = parts.iter().position(|&byte| byte == 0).unwrap_or(parts.len());
    let (header, behind) = (&parts[..at], parts.get(at + 1..).unwrap_or(&[]));
    let (count, behind) = behind.split_first_chunk::<4>().unwrap_or((&[0; 4], behind));
    Container::write(MAGIC, FORMAT, u64::from(u32::from_le_bytes(*count)), header, behind)
}

/// A manifest.
fn manifest(bytes: &[u8]) {
    if let Err(what) = FlowManifest::parse(&String::from_utf8_lossy(bytes)) {
        assert!(!what.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_bytes_are_taken() {
        let file = crate::int8::tests::artifact().to_bytes().unwrap();
        let file = Container::open(file.into(), FORMAT..=FORMAT, 1 << 20).unwrap();
        let parts = [file.header(), &[0], &(file.count() as u32).to_le_bytes(), &file.body()].concat();
        FlowArtifact::from_bytes(whole(&parts)).unwrap();
        let manifests = [lapwing_models::FLOW_PATCH.manifest, lapwing_models::FLOW_CIFAR.manifest];
        let manifests = manifests.map(|text| text.as_bytes().to_vec()).to_vec();
        lapwing_seeds::take(&TARGETS, &[("flow", vec![parts]), ("flow-manifest", manifests)]);
    }
}
