//! The artifact: a quantised model in one file that needs no ONNX parser.
//!
//! ```text
//!  0  8   magic  "lapwing\0"
//!  8  4   format, u32; 1 lacks Pick, DepthToSpace and Bilinear, 2 lacks Tables and multipliers below
//!         zero, else as 3
//! 12  4   0x01020304: all numbers are little-endian
//! 16  8   length of the header, u64
//! 24  8   length of the blobs, u64
//! 32 32   SHA-256 of everything behind byte 64
//! 64  ..  header: JSON; then zeros up to a multiple of 64
//!     ..  blobs: weights, biases, multipliers, tables, each at a multiple of 64
//! ```
//!
//! The header holds the manifest, the graph with offsets into the blobs, a word about the
//! calibration, and a golden run: the sum over all outputs for a stated input, by which
//! `lapwing model verify` proves that this machine computes what the maker's did.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ir::{Between, Conv, Graph, Node, Op, Output, Source, Tensor, TensorId, Window};
use super::manifest::Manifest;
use super::quant::Table;
use super::reference;

/// The format that this build writes; it reads this one and every older one.
pub const FORMAT: u32 = 3;
/// The first bytes of every artifact.
pub const MAGIC: &[u8; 8] = b"lapwing\0";

const ENDIAN: u32 = 0x0102_0304;
const PREFIX: usize = 64;
const ALIGNMENT: usize = 64;
const HEADER_MAX: usize = 64 << 20;

/// A quantised model with all that is known of it.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// From picture to input, from outputs to boxes.
    pub manifest: Manifest,
    /// The network.
    pub graph: Graph,
    /// How it was quantised.
    pub calibration: Calibration,
    /// What it must compute.
    pub golden: Golden,
}

/// How a model was quantised.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Calibration {
    /// SHA-256 of the network it was made from.
    pub source_sha256: String,
    /// Pictures that it was calibrated on.
    pub pictures: usize,
}

/// A run with a known result.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Golden {
    /// SHA-256 of the output tensors' values for [`golden_input`], in the order of the outputs.
    pub outputs_sha256: String,
}

/// The input of the golden run: a fixed sequence (SplitMix64), one byte a value.
pub fn golden_input(elements: usize) -> Vec<u8> {
    let mut state = 0u64;
    let next = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 56) as u8
    };
    (0..elements).map(next).collect()
}

/// The golden run as the reference computes it. Takes seconds.
///
/// # Errors
/// If the graph has more than one input.
pub fn golden(graph: &Graph) -> Result<Golden, String> {
    let [input] = graph.inputs.as_slice() else { return Err(format!("{} inputs, not one", graph.inputs.len())) };
    let values = reference::run(graph, &[&golden_input(graph.tensor(*input).shape.elements())])?;
    let mut digest = Sha256::new();
    for part in graph.outputs.iter().flat_map(|o| &o.parts) {
        digest.update(&values[part.tensor.at()]);
    }
    Ok(Golden { outputs_sha256: hex(&digest.finalize()) })
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    manifest: Manifest,
    calibration: Calibration,
    golden: Golden,
    tensors: Vec<Tensor>,
    nodes: Vec<NodeHeader>,
    inputs: Vec<TensorId>,
    outputs: Vec<Output>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeHeader {
    name: String,
    op: OpHeader,
    inputs: Vec<TensorId>,
    output: TensorId,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum OpHeader {
    Conv {
        window: Window,
        groups: usize,
        weights: Blob,
        bias: Blob,
        multiplier: Blob,
        pre_zero: u8,
        table: Option<Blob>,
    },
    Table(Blob),
    Tables(Blob),
    Add {
        multipliers: [f32; 2],
    },
    Mul {
        multiplier: f32,
    },
    MaxPool(Window),
    MeanPool(Window),
    Upsample {
        factor: [usize; 2],
    },
    Concat,
    Slice {
        start: usize,
    },
    Gather {
        stride: [usize; 2],
        from: Vec<Source>,
    },
    Pick {
        rows: Vec<Option<u16>>,
        columns: Vec<Option<u16>>,
        fill: u8,
    },
    DepthToSpace {
        block: [usize; 2],
        from: Vec<usize>,
    },
    Bilinear {
        rows: Vec<Between>,
        columns: Vec<Between>,
    },
}

/// A run of bytes behind the header.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Blob {
    offset: usize,
    bytes: usize,
}

#[derive(Default)]
struct Blobs(Vec<u8>);

impl Blobs {
    fn add(&mut self, bytes: impl IntoIterator<Item = u8>) -> Blob {
        self.0.resize(self.0.len().next_multiple_of(ALIGNMENT), 0);
        let offset = self.0.len();
        self.0.extend(bytes);
        Blob { offset, bytes: self.0.len() - offset }
    }
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
        };
        let mut body = serde_json::to_vec(&header).map_err(|e| e.to_string())?;
        let header_bytes = body.len();
        body.resize(body.len().next_multiple_of(ALIGNMENT), 0);
        body.extend(&blobs.0);
        let mut file = Vec::with_capacity(PREFIX + body.len());
        file.extend(MAGIC);
        file.extend(FORMAT.to_le_bytes());
        file.extend(ENDIAN.to_le_bytes());
        file.extend((header_bytes as u64).to_le_bytes());
        file.extend((blobs.0.len() as u64).to_le_bytes());
        file.extend(Sha256::digest(&body));
        file.extend(body);
        Ok(file)
    }

    /// Reads a file's bytes and checks everything that running it takes for granted.
    ///
    /// # Errors
    /// One line: what is wrong with the file.
    pub fn from_bytes(file: &[u8]) -> Result<Artifact, String> {
        let prefix: &[u8; PREFIX] = file.first_chunk().ok_or("it is shorter than an artifact's first 64 bytes")?;
        if &prefix[..8] != MAGIC {
            return Err("it is not a lapwing artifact".into());
        }
        let word = |at: usize| u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if !(1..=FORMAT).contains(&word(8)) {
            return Err(format!(
                "its format is {}, this lapwing reads up to {FORMAT}; update lapwing or make the file again",
                word(8)
            ));
        }
        if word(12) != ENDIAN {
            return Err("its bytes are in another order".into());
        }
        let (header, blobs) = (long(16) as usize, long(24) as usize);
        let body = &file[PREFIX..];
        if header > HEADER_MAX || header.next_multiple_of(ALIGNMENT).checked_add(blobs) != Some(body.len()) {
            return Err(format!("it has {} bytes, its first lines promise others: it was cut or grew", file.len()));
        }
        if Sha256::digest(body)[..] != prefix[32..] {
            return Err("its checksum does not match: it was altered; copy it again".into());
        }
        let blobs = &body[header.next_multiple_of(ALIGNMENT)..];
        let header: Header = serde_json::from_slice(&body[..header]).map_err(|e| format!("its header: {e}"))?;
        header.manifest.validate().map_err(|what| format!("its manifest: {what}"))?;
        let nodes = header.nodes.into_iter().map(|n| node_of(n, blobs)).collect::<Result<Vec<_>, _>>()?;
        let graph = Graph { tensors: header.tensors, nodes, inputs: header.inputs, outputs: header.outputs };
        graph.check()?;
        Ok(Artifact { manifest: header.manifest, graph, calibration: header.calibration, golden: header.golden })
    }
}

fn node_header(node: &Node, blobs: &mut Blobs) -> NodeHeader {
    let op = match &node.op {
        Op::Conv(conv) => OpHeader::Conv {
            window: conv.window,
            groups: conv.groups,
            weights: blobs.add(conv.weights.iter().map(|w| w.to_le_bytes()[0])),
            bias: blobs.add(conv.bias.iter().flat_map(|b| b.to_le_bytes())),
            multiplier: blobs.add(conv.multiplier.iter().flat_map(|m| m.to_le_bytes())),
            pre_zero: conv.pre_zero,
            table: conv.table.as_ref().map(|t| blobs.add(t.iter().copied())),
        },
        Op::Table(table) => OpHeader::Table(blobs.add(table.iter().copied())),
        Op::Add { multipliers } => OpHeader::Add { multipliers: *multipliers },
        Op::Tables(tables) => OpHeader::Tables(blobs.add(tables.as_flattened().iter().copied())),
        Op::Mul { multiplier } => OpHeader::Mul { multiplier: *multiplier },
        Op::MaxPool(window) => OpHeader::MaxPool(*window),
        Op::MeanPool(window) => OpHeader::MeanPool(*window),
        Op::Upsample { factor } => OpHeader::Upsample { factor: *factor },
        Op::Concat => OpHeader::Concat,
        Op::Slice { start } => OpHeader::Slice { start: *start },
        Op::Gather { stride, from } => OpHeader::Gather { stride: *stride, from: from.clone() },
        Op::Pick { rows, columns, fill } => {
            OpHeader::Pick { rows: rows.clone(), columns: columns.clone(), fill: *fill }
        }
        Op::DepthToSpace { block, from } => OpHeader::DepthToSpace { block: *block, from: from.clone() },
        Op::Bilinear { rows, columns } => OpHeader::Bilinear { rows: rows.clone(), columns: columns.clone() },
    };
    NodeHeader { name: node.name.clone(), op, inputs: node.inputs.clone(), output: node.output }
}

fn node_of(header: NodeHeader, blobs: &[u8]) -> Result<Node, String> {
    let name = header.name;
    let bytes = |blob: Blob| {
        let end = blob.offset.checked_add(blob.bytes).filter(|&end| end <= blobs.len());
        end.map(|end| &blobs[blob.offset..end])
            .ok_or_else(|| format!("node {name:?}: its numbers lie outside the file"))
    };
    let words = |blob: Blob| -> Result<Vec<[u8; 4]>, String> {
        let (words, rest) = bytes(blob)?.as_chunks::<4>();
        if rest.is_empty() { Ok(words.to_vec()) } else { Err(format!("node {name:?}: a number is cut")) }
    };
    let table = |blob: Blob| -> Result<Box<Table>, String> {
        <&Table>::try_from(bytes(blob)?).map(|t| Box::new(*t)).map_err(|_| format!("node {name:?}: a table is cut"))
    };
    let op = match header.op {
        OpHeader::Conv { window, groups, weights, bias, multiplier, pre_zero, table: activation } => Op::Conv(Conv {
            window,
            groups,
            weights: bytes(weights)?.iter().map(|&b| i8::from_le_bytes([b])).collect(),
            bias: words(bias)?.into_iter().map(i32::from_le_bytes).collect(),
            multiplier: words(multiplier)?.into_iter().map(f32::from_le_bytes).collect(),
            pre_zero,
            table: activation.map(table).transpose()?,
        }),
        OpHeader::Table(blob) => Op::Table(table(blob)?),
        OpHeader::Tables(blob) => match bytes(blob)?.as_chunks::<256>() {
            (tables, []) => Op::Tables(tables.into()),
            _ => return Err(format!("node {name:?}: a table is cut")),
        },
        OpHeader::Add { multipliers } => Op::Add { multipliers },
        OpHeader::Mul { multiplier } => Op::Mul { multiplier },
        OpHeader::MaxPool(window) => Op::MaxPool(window),
        OpHeader::MeanPool(window) => Op::MeanPool(window),
        OpHeader::Upsample { factor } => Op::Upsample { factor },
        OpHeader::Concat => Op::Concat,
        OpHeader::Slice { start } => Op::Slice { start },
        OpHeader::Gather { stride, from } => Op::Gather { stride, from },
        OpHeader::Pick { rows, columns, fill } => Op::Pick { rows, columns, fill },
        OpHeader::DepthToSpace { block, from } => Op::DepthToSpace { block, from },
        OpHeader::Bilinear { rows, columns } => Op::Bilinear { rows, columns },
    };
    Ok(Node { name, op, inputs: header.inputs, output: header.output })
}

#[cfg(test)]
mod tests {
    use super::super::plan_tests::random_graph;
    use super::*;
    use proptest::prelude::*;

    fn artifact(seed: u64) -> Artifact {
        let manifest = Manifest::parse(lapwing_models::DETECT_NANO.manifest).unwrap();
        let graph = random_graph(seed);
        Artifact { manifest, graph, calibration: Calibration::default(), golden: Golden::default() }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(seed: u64) {
            let made = artifact(seed);
            prop_assume!(made.graph.check().is_ok());
            let read = Artifact::from_bytes(&made.to_bytes().unwrap()).unwrap();
            prop_assert_eq!(read.graph, made.graph);
            prop_assert_eq!(read.calibration, made.calibration);
        }

        #[test]
        fn cuts_and_flips_are_refused(seed: u64, at: prop::sample::Index, flip in 1u8..) {
            let made = artifact(seed);
            prop_assume!(made.graph.check().is_ok());
            let file = made.to_bytes().unwrap();
            prop_assert!(Artifact::from_bytes(&file[..at.index(file.len())]).is_err());
            let mut altered = file.clone();
            altered[at.index(file.len())] ^= flip;
            prop_assert!(Artifact::from_bytes(&altered).is_err());
        }

        /// Altered and signed anew: whatever is read must be fit to run.
        #[test]
        fn forged_files_are_refused_or_run(seed: u64, at: prop::sample::Index, to: u8) {
            let made = artifact(seed);
            prop_assume!(made.graph.check().is_ok());
            let mut file = made.to_bytes().unwrap();
            let place = PREFIX + at.index(file.len() - PREFIX);
            file[place] = to;
            let sum = Sha256::digest(&file[PREFIX..]);
            file[32..64].copy_from_slice(&sum);
            if let Ok(read) = Artifact::from_bytes(&file) {
                let mut plan = super::super::plan::Plan::new(read.graph, super::super::kernels::best(), 1).unwrap();
                plan.run();
            }
        }
    }
}
