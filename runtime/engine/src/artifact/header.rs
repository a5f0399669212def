//! The header of an artifact: the graph and the tail with the places of their numbers.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

use super::super::bytes::Bytes;
use super::super::int16::Curve;
use super::super::ir::{Attention, Between, Conv, Node, Op, Output, Source, Tensor, TensorId, Weights, Wide, Window};
use super::super::manifest::Manifest;
use super::super::quant::Table;
use super::super::tail::{self, End, Function, Pair, Reduction, Tail, TailStep};
use super::golden::Golden;

/// Blobs begin at multiples of this many bytes.
const ALIGNMENT: usize = 64;

/// How a model was quantized.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Calibration {
    /// SHA-256 of the network it was made from.
    pub source_sha256: String,
    /// Pictures that it was calibrated on.
    pub pictures: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub manifest: Manifest,
    pub calibration: Calibration,
    pub golden: Golden,
    pub tensors: Vec<Tensor>,
    pub nodes: Vec<NodeHeader>,
    pub inputs: Vec<TensorId>,
    pub outputs: Vec<Output>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<TailHeader>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeHeader {
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
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wide: Option<WideHeader>,
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
    Attention(Box<Attention>),
}

/// See [`Wide`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WideHeader {
    input: bool,
    output: bool,
    curve: Option<Blob>,
}

/// See [`Tail`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TailHeader {
    steps: Vec<StepHeader>,
    outputs: Vec<End>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepHeader {
    name: String,
    why: String,
    op: StepOpHeader,
    inputs: Vec<usize>,
    shape: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StepOpHeader {
    Constant(Blob),
    View { base: usize, strides: Vec<usize> },
    Concat { axis: usize },
    Softmax { axis: usize },
    Function(Function),
    Pair(Pair),
    Reduce { how: Reduction, axis: usize },
    Mix { axis: usize, weights: Blob, bias: Blob },
}

/// A run of bytes behind the header.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Blob {
    offset: usize,
    bytes: usize,
}

/// The bytes behind the header, as they are read. Each byte belongs to one blob: so no file makes more numbers than
/// it has.
pub(super) struct BlobReader {
    blobs: Bytes,
    /// Bytes that no blob has taken.
    left: Cell<usize>,
}

impl BlobReader {
    pub fn new(blobs: Bytes) -> BlobReader {
        BlobReader { left: Cell::new(blobs.len()), blobs }
    }
}

impl Blob {
    fn of(self, blobs: &BlobReader, name: &str) -> Result<Bytes, String> {
        let end = self.offset.saturating_add(self.bytes);
        let bytes = blobs.blobs.part(self.offset..end);
        let bytes = bytes.ok_or_else(|| format!("node {name:?}: its numbers lie outside the file"))?;
        let left = blobs.left.get().checked_sub(self.bytes);
        blobs.left.set(left.ok_or_else(|| format!("node {name:?}: its numbers are those of another node too"))?);
        Ok(bytes)
    }

    fn words(self, blobs: &BlobReader, name: &str) -> Result<Vec<[u8; 4]>, String> {
        let bytes = self.of(blobs, name)?;
        let (words, rest) = bytes.as_chunks::<4>();
        if rest.is_empty() { Ok(words.to_vec()) } else { Err(format!("node {name:?}: a number is cut")) }
    }

    fn reals(self, blobs: &BlobReader, name: &str) -> Result<Vec<f32>, String> {
        Ok(self.words(blobs, name)?.into_iter().map(f32::from_le_bytes).collect())
    }
}

/// The bytes behind the header, as they are written.
#[derive(Default)]
pub(super) struct Blobs(pub Vec<u8>);

impl Blobs {
    fn add(&mut self, bytes: impl IntoIterator<Item = u8>) -> Blob {
        self.0.resize(self.0.len().next_multiple_of(ALIGNMENT), 0);
        let offset = self.0.len();
        self.0.extend(bytes);
        Blob { offset, bytes: self.0.len() - offset }
    }

    fn reals(&mut self, reals: &[f32]) -> Blob {
        self.add(reals.iter().flat_map(|v| v.to_le_bytes()))
    }
}

/// A node, its numbers put into `blobs`.
pub(super) fn node_header(node: &Node, blobs: &mut Blobs) -> NodeHeader {
    let op = match &node.op {
        Op::Conv(conv) => OpHeader::Conv {
            window: conv.window,
            groups: conv.groups,
            weights: blobs.add(conv.weights.iter().map(|w| w.to_le_bytes()[0])),
            bias: blobs.add(conv.bias.iter().flat_map(|b| b.to_le_bytes())),
            multiplier: blobs.reals(&conv.multiplier),
            pre_zero: conv.pre_zero,
            table: conv.table.as_ref().map(|t| blobs.add(t.iter().copied())),
            wide: (!conv.wide.is_none()).then(|| WideHeader {
                input: conv.wide.input,
                output: conv.wide.output,
                curve: conv.wide.curve.as_ref().map(|c| blobs.add(c.iter().flat_map(|q| q.to_le_bytes()))),
            }),
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
        Op::Attention(attention) => OpHeader::Attention(attention.clone()),
    };
    NodeHeader { name: node.name.clone(), op, inputs: node.inputs.clone(), output: node.output }
}

/// A node, its weights a view of `blobs`.
///
/// # Errors
/// The node and what is wrong with its numbers.
pub(super) fn node_of(header: NodeHeader, blobs: &BlobReader) -> Result<Node, String> {
    let name = header.name;
    let bytes = |blob: Blob| blob.of(blobs, &name);
    let words = |blob: Blob| blob.words(blobs, &name);
    let table = |blob: Blob| -> Result<Box<Table>, String> {
        <&Table>::try_from(&*bytes(blob)?).map(|t| Box::new(*t)).map_err(|_| format!("node {name:?}: a table is cut"))
    };
    let curve = |blob: Blob| -> Result<Box<Curve>, String> {
        let bytes = bytes(blob)?;
        let (points, rest) = bytes.as_chunks::<2>();
        let points: Vec<u16> = points.iter().map(|p| u16::from_le_bytes(*p)).collect();
        let whole = rest.is_empty().then_some(points).and_then(|points| Box::try_from(points).ok());
        whole.ok_or_else(|| format!("node {name:?}: a curve is cut"))
    };
    let op = match header.op {
        OpHeader::Conv { window, groups, weights, bias, multiplier, pre_zero, table: activation, wide } => {
            Op::Conv(Conv {
                window,
                groups,
                weights: Weights::View(bytes(weights)?),
                bias: words(bias)?.into_iter().map(i32::from_le_bytes).collect(),
                multiplier: multiplier.reals(blobs, &name)?,
                pre_zero,
                table: activation.map(table).transpose()?,
                wide: match wide {
                    None => Wide::default(),
                    Some(WideHeader { input, output, curve: points }) => {
                        Wide { input, output, curve: points.map(curve).transpose()? }
                    }
                },
            })
        }
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
        OpHeader::Attention(attention) => Op::Attention(attention),
    };
    Ok(Node { name, op, inputs: header.inputs, output: header.output })
}

/// A tail, its numbers put into `blobs`.
pub(super) fn tail_header(tail: &Tail, blobs: &mut Blobs) -> TailHeader {
    let step = |step: &TailStep| StepHeader {
        name: step.name.clone(),
        why: step.why.clone(),
        op: match &step.op {
            tail::Op::Constant(values) => StepOpHeader::Constant(blobs.reals(values)),
            tail::Op::View { base, strides } => StepOpHeader::View { base: *base, strides: strides.clone() },
            tail::Op::Concat { axis } => StepOpHeader::Concat { axis: *axis },
            tail::Op::Softmax { axis } => StepOpHeader::Softmax { axis: *axis },
            tail::Op::Function(function) => StepOpHeader::Function(*function),
            tail::Op::Pair(pair) => StepOpHeader::Pair(*pair),
            tail::Op::Reduce { how, axis } => StepOpHeader::Reduce { how: *how, axis: *axis },
            tail::Op::Mix { axis, weights, bias } => {
                StepOpHeader::Mix { axis: *axis, weights: blobs.reals(weights), bias: blobs.reals(bias) }
            }
        },
        inputs: step.inputs.clone(),
        shape: step.shape.clone(),
    };
    TailHeader { steps: tail.steps.iter().map(step).collect(), outputs: tail.outputs.clone() }
}

/// A tail with its numbers.
///
/// # Errors
/// The step and what is wrong with its numbers.
pub(super) fn tail_of(header: TailHeader, blobs: &BlobReader) -> Result<Tail, String> {
    let step = |header: StepHeader| {
        let name = header.name;
        let op = match header.op {
            StepOpHeader::Constant(values) => tail::Op::Constant(values.reals(blobs, &name)?),
            StepOpHeader::View { base, strides } => tail::Op::View { base, strides },
            StepOpHeader::Concat { axis } => tail::Op::Concat { axis },
            StepOpHeader::Softmax { axis } => tail::Op::Softmax { axis },
            StepOpHeader::Function(function) => tail::Op::Function(function),
            StepOpHeader::Pair(pair) => tail::Op::Pair(pair),
            StepOpHeader::Reduce { how, axis } => tail::Op::Reduce { how, axis },
            StepOpHeader::Mix { axis, weights, bias } => {
                tail::Op::Mix { axis, weights: weights.reals(blobs, &name)?, bias: bias.reals(blobs, &name)? }
            }
        };
        Ok(TailStep { name, why: header.why, op, inputs: header.inputs, shape: header.shape })
    };
    let steps = header.steps.into_iter().map(step).collect::<Result<_, String>>()?;
    Ok(Tail { steps, outputs: header.outputs })
}
