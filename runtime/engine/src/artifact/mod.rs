//! The artifact: a quantized model in one file that needs no ONNX parser.
//!
//! It is a [`container`]: a JSON header, then blobs at multiples of 64: weights, biases, multipliers, tables,
//! constants. Its count is the length of the blobs. Format 4 has results of sixteen bits, 3 has a tail, 2 neither;
//! 1 lacks Pick, DepthToSpace and Bilinear too.
//!
//! The header holds the manifest, the graph with offsets into the blobs, what follows it in real
//! numbers, a word about the calibration, and a golden run: the sum over all outputs for a stated
//! input, by which `lapwing model verify` proves that this machine computes what the maker's did.

pub mod container;
mod golden;
mod header;
mod sha256;

use super::bytes::Bytes;
use super::ir::{Checked, Graph, NODES_MAX};
use super::manifest::Manifest;
use super::tail::Tail;
use container::Container;
use header::{BlobReader, Blobs, Header, node_header, node_of, tail_header, tail_of};

pub use golden::{Golden, golden, golden_input, tail_sha256};
pub use header::Calibration;
pub use sha256::{hex, other_sha256, sha256_hex};

/// The newest format that this build reads; it reads every older one. It writes the oldest that serves.
pub const FORMAT: u32 = 5;
/// The format of a network with ends of sixteen bits.
const FORMAT_WIDE: u32 = 4;
/// The format of a network of eight bits with a tail.
const FORMAT_WITH_TAIL: u32 = 3;
/// The format of a network without either.
const FORMAT_PLAIN: u32 = 2;
/// The first bytes of every artifact.
pub const MAGIC: &[u8; 8] = b"lapwing\0";
/// The first bytes of another file of ours, a flow's; see `lapwing_flow::int8::artifact`.
pub const FLOW_MAGIC: &[u8; 8] = b"lapflow\0";

const HEADER_MAX: usize = 64 << 20;
/// Bytes whose checksum takes longer than a thread to start.
const LARGE: usize = 256 << 10;

/// A quantized model with all that is known of it.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// From picture to input, from outputs to boxes.
    pub manifest: Manifest,
    /// The network.
    pub graph: Checked<Graph>,
    /// What follows it in float32; without one the graph's outputs are the network's.
    pub tail: Option<Tail>,
    /// How it was quantized.
    pub calibration: Calibration,
    /// What it must compute.
    pub golden: Golden,
}

impl Artifact {
    /// The file's bytes.
    ///
    /// # Errors
    /// If the header cannot be written as JSON: a number in it is not finite.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let mut blobs = Blobs::default();
        let header = Header {
            manifest: self.manifest.clone(),
            calibration: self.calibration.clone(),
            golden: self.golden.clone(),
            tensors: self.graph.tensors.clone(),
            nodes: self.graph.nodes.iter().map(|n| node_header(n, &mut blobs)).collect(),
            inputs: self.graph.inputs.clone(),
            outputs: self.graph.outputs.clone(),
            tail: self.tail.as_ref().map(|tail| tail_header(tail, &mut blobs)),
        };
        let format = match &self.tail {
            _ if self.graph.has_attention() || self.manifest.is_extended() => FORMAT,
            _ if self.graph.is_wide() => FORMAT_WIDE,
            Some(_) => FORMAT_WITH_TAIL,
            None => FORMAT_PLAIN,
        };
        let header = serde_json::to_vec(&header).map_err(|e| e.to_string())?;
        Ok(Container::write(MAGIC, format, blobs.0.len() as u64, &header, &blobs.0))
    }

    /// Reads a file's bytes and checks everything that running it takes for granted. The weights are
    /// views of `file`.
    ///
    /// # Errors
    /// One line: what is wrong with the file.
    pub fn from_bytes(file: impl Into<Bytes>) -> Result<Artifact, String> {
        Artifact::read(file.into(), true)
    }

    /// As [`Artifact::from_bytes`], for an artifact that travels in this binary: it is as whole as the
    /// program around it, so its checksum is left to `lapwing model verify`.
    ///
    /// # Errors
    /// As for [`Artifact::from_bytes`].
    pub fn from_binary(file: &'static [u8]) -> Result<Artifact, String> {
        Artifact::read(file.into(), false)
    }

    fn read(file: Bytes, proved: bool) -> Result<Artifact, String> {
        let magic = file.get(..8).ok_or("it is shorter than an artifact's first 64 bytes")?;
        if magic != MAGIC {
            return Err(if magic == FLOW_MAGIC {
                "it is a flow, which makes pictures and finds nothing in them; `lapwing generate`, `bench` and `model` \
                 take it"
                    .into()
            } else {
                "it is not a lapwing artifact".into()
            });
        }
        let file = Container::open(file, 1..=FORMAT, HEADER_MAX)?;
        let blobs = file.body();
        if file.count() != blobs.len() as u64 {
            return Err(format!("it has {} bytes, its first lines promise others: it was cut or grew", file.len()));
        }
        let contents = || Artifact::contents(file.header(), &blobs);
        if !proved {
            return contents();
        }
        let whole = || file.is_whole();
        let (whole, contents) = if file.len() < LARGE { (whole(), contents()) } else { beside(whole, contents) };
        if !whole {
            return Err("its checksum does not match: it was altered; copy it again".into());
        }
        contents
    }

    /// What a header says, and the blobs behind it.
    fn contents(header: &[u8], blobs: &Bytes) -> Result<Artifact, String> {
        let header: Header = serde_json::from_slice(header).map_err(|e| format!("its header: {e}"))?;
        header.manifest.validate().map_err(|what| format!("its manifest: {what}"))?;
        if header.nodes.len() > NODES_MAX {
            return Err(format!("{} nodes are more than {NODES_MAX}", header.nodes.len()));
        }
        let blobs = BlobReader::new(blobs.clone());
        let nodes = header.nodes.into_iter().map(|n| node_of(n, &blobs)).collect::<Result<Vec<_>, _>>()?;
        let graph = Graph { tensors: header.tensors, nodes, inputs: header.inputs, outputs: header.outputs };
        let graph = Checked::new(graph)?;
        let tail = header.tail.map(|tail| tail_of(tail, &blobs)).transpose()?;
        if let Some(tail) = &tail {
            tail.check(&graph.output_shapes())?;
        }
        let (calibration, golden) = (header.calibration, header.golden);
        Ok(Artifact { manifest: header.manifest, graph, tail, calibration, golden })
    }
}

/// Both results; `first` is computed on a thread of its own, if the system has one to give.
fn beside<A: Send, B>(first: impl Fn() -> A + Sync, second: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| {
        let started = std::thread::Builder::new().name("checksum".into()).spawn_scoped(scope, &first).ok();
        let second = second();
        (started.and_then(|thread| thread.join().ok()).unwrap_or_else(&first), second)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::plan_tests::random_graph;
    use super::super::tail::tests::Maker;
    use super::*;
    use crate::fuzz_targets::run_artifact;
    use proptest::prelude::*;

    /// None if the graph is refused.
    pub fn artifact(seed: u64) -> Option<Artifact> {
        let manifest = Manifest::parse(lapwing_models::DETECT_NANO.manifest).unwrap();
        let graph = Checked::new(random_graph(seed)).ok()?;
        let tail = seed.is_multiple_of(2).then(|| Maker::new(seed, graph.output_shapes()).make());
        let tail = tail.filter(|tail| tail.check(&graph.output_shapes()).is_ok());
        Some(Artifact { manifest, graph, tail, calibration: Calibration::default(), golden: Golden::default() })
    }

    #[test]
    fn the_shipped_artifact_is_whole() {
        let file = lapwing_models::DETECT_NANO.artifact.unwrap();
        let (proved, taken) = (Artifact::from_bytes(file).unwrap(), Artifact::from_binary(file).unwrap());
        assert_eq!(proved.graph, taken.graph);
    }

    /// Of each kind of network one is among the first hundred random ones.
    #[test]
    fn the_format_is_the_oldest_that_serves() {
        let mut found = std::collections::BTreeSet::new();
        for made in (0..100).filter_map(artifact) {
            let file = made.to_bytes().unwrap();
            let format = u32::from_le_bytes(file[8..12].try_into().unwrap());
            let expected = match (made.graph.has_attention(), made.graph.is_wide()) {
                (true, _) => 5,
                (false, true) => 4,
                (false, false) => 2 + u32::from(made.tail.is_some()),
            };
            assert_eq!(format, expected);
            found.insert(format);
        }
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [2, 3, 4, 5]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(seed: u64) {
            let Some(made) = artifact(seed) else { return Err(TestCaseError::reject("refused")) };
            let read = Artifact::from_bytes(made.to_bytes().unwrap()).unwrap();
            prop_assert_eq!(read.graph, made.graph);
            prop_assert_eq!(read.tail, made.tail);
            prop_assert_eq!(read.calibration, made.calibration);
        }

        #[test]
        fn cuts_and_flips_are_refused(seed: u64, at: prop::sample::Index, flip in 1u8..) {
            let Some(made) = artifact(seed) else { return Err(TestCaseError::reject("refused")) };
            let file = made.to_bytes().unwrap();
            prop_assert!(Artifact::from_bytes(file[..at.index(file.len())].to_vec()).is_err());
            let mut altered = file.clone();
            altered[at.index(file.len())] ^= flip;
            prop_assert!(Artifact::from_bytes(altered).is_err());
        }

        /// Altered and signed anew: whatever is read must be fit to run.
        #[test]
        fn forged_files_are_refused_or_run(seed: u64, at: prop::sample::Index, to: u8) {
            let Some(made) = artifact(seed) else { return Err(TestCaseError::reject("refused")) };
            let mut file = made.to_bytes().unwrap();
            let place = container::PREFIX + at.index(file.len() - container::PREFIX);
            file[place] = to;
            container::seal(&mut file);
            if let Ok(read) = Artifact::from_bytes(file) {
                run_artifact(read);
            }
        }
    }
}
