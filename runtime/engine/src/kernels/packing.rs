//! Packing: weights of a graph into the order in which the kernels read them.

use std::ops::Range;

use super::super::ir::{Conv, WeightSums, Window};
use super::memory::{Memory, Piece};
use super::packed::{
    AccumulatorBound, DEPTHWISE_CHANNELS, PackedConv, PackedDepthwise, Panel, Part, RESULT_MAX, SUM_MAX,
};
use super::packed_table::PackedTable;
use super::set::Kernels;
use super::tensor_span::TensorSpan;

/// Columns farther apart than this are not read as one run: what lies between may be another tensor.
const GAP_BYTES_MAX: usize = 4;

impl AccumulatorBound {
    /// Over the outputs of a convolution from `first` on, each with the sums of its weights; an input
    /// less its zero point lies between `-zero_in` and `255 - zero_in`.
    fn of(conv: &Conv, first: usize, sums: &[WeightSums], zero_in: u8) -> AccumulatorBound {
        let (below, above) = (i64::from(zero_in), i64::from(255 - zero_in));
        let of_one = |(o, sums): (usize, &WeightSums)| {
            let (magnitude, sum) = (i64::from(sums.magnitude), i64::from(sums.sum));
            let (plus, minus) = ((magnitude + sum) / 2, (magnitude - sum) / 2);
            let products = (plus * above + minus * below).max(plus * below + minus * above);
            let sum = products + i64::from(conv.bias[o]).abs();
            match sum as f32 * conv.multiplier[o].abs() < RESULT_MAX {
                true if sum < SUM_MAX => AccumulatorBound::SmallSums,
                true => AccumulatorBound::SmallResults,
                false => AccumulatorBound::Any,
            }
        };
        (first..).zip(sums).map(of_one).min().unwrap_or(AccumulatorBound::Any)
    }
}

/// How the input of a convolution lies in memory.
#[derive(Debug, Clone, Copy)]
pub struct InputSteps {
    /// Bytes to the next column.
    pub column: usize,
    /// Bytes to the next row.
    pub row: usize,
}

impl InputSteps {
    /// Of a tensor.
    pub fn of(input: &TensorSpan) -> InputSteps {
        InputSteps { column: input.pixel, row: input.row }
    }
}

/// What weights are packed for, and where they go: each convolution takes a part.
#[derive(Clone, Copy)]
pub struct Packer<'a> {
    /// They will run on them.
    pub kernels: &'a Kernels,
    /// Room for the weights.
    pub memory: &'a Memory,
}

/// How the taps of a window lie one behind the other.
struct Runs {
    /// The taps of a row are one run, not each its own.
    whole: bool,
    /// Length of a run in bytes.
    run: usize,
    /// The same in blocks.
    groups: usize,
    /// Weights of one output, padded to whole blocks.
    weights: usize,
}

impl Runs {
    /// For so many products, in blocks of `block` bytes.
    fn of(window: Window, products: usize, input: InputSteps, block: usize) -> Runs {
        let [kh, kw] = window.kernel;
        let channels = products / (kh * kw);
        // neighbouring columns are one run if the zero weights of the gap cost nothing
        let row = (kw - 1) * input.column + channels;
        let near = window.dilation[1] == 1 && input.column < channels + GAP_BYTES_MAX;
        let whole = near && row.div_ceil(block) <= kw * channels.div_ceil(block);
        let (runs, run) = if whole { (kh, row) } else { (kh * kw, channels) };
        let groups = run.div_ceil(block);
        Runs { whole, run, groups, weights: runs * groups * block }
    }

    /// Weights of so many outputs, padded to whole vectors.
    fn all_weights(&self, outputs: usize, lanes: usize) -> usize {
        outputs.next_multiple_of(lanes).saturating_mul(self.weights)
    }
}

impl PackedConv {
    /// Packs group `group` of `conv`.
    pub fn new(conv: &Conv, group: usize, zero_in: u8, input: InputSteps, packer: Packer) -> PackedConv {
        let outputs = conv.bias.len() / conv.groups;
        let filters: Vec<&[i8]> = conv.filters().skip(group * outputs).take(outputs).collect();
        let mut packed = PackedConv::of(&filters, conv.window, input, packer);
        packed.table = PackedTable::room(conv);
        packed.set_params(conv, group, zero_in, packer.kernels);
        packed
    }

    /// Packs convolutions of one group each, which slide this window over the same input, as one.
    pub fn joined(convs: &[&Conv], window: Window, zero_in: u8, input: InputSteps, packer: Packer) -> PackedConv {
        let filters: Vec<&[i8]> = convs.iter().flat_map(|conv| conv.filters()).collect();
        let mut packed = PackedConv::of(&filters, window, input, packer);
        for (index, conv) in convs.iter().enumerate() {
            let first = packed.parts.last().map_or(0, |part| part.channels.end);
            let table = PackedTable::room(conv);
            packed.parts.push(Part { channels: first..first + conv.bias.len(), pre_zero: 0, table });
            packed.renumber_part(index, conv, zero_in, packer.kernels);
        }
        packed
    }

    /// Bytes of memory that so many outputs take, in groups, with the window and the products of `conv`.
    pub fn footprint(conv: &Conv, outputs: usize, input: InputSteps, kernels: &Kernels) -> usize {
        let runs = Runs::of(conv.window, conv.products(), input, kernels.block);
        conv.groups.saturating_mul(Memory::footprint::<i8>(runs.all_weights(outputs / conv.groups, kernels.lanes)))
    }

    /// Packs the weights of each output.
    fn of(filters: &[&[i8]], window: Window, input: InputSteps, Packer { kernels, memory }: Packer) -> PackedConv {
        let (lanes, block) = (kernels.lanes, kernels.block);
        let [kh, kw] = window.kernel;
        let [dy, dx] = window.dilation;
        let products = filters.first().map_or(0, |weights| weights.len());
        let channels = products / (kh * kw);
        let runs = Runs::of(window, products, input, block);
        let Runs { whole, run, groups, weights } = runs;
        // where the weights of a tap go in the runs of one filter
        let place = |tap: usize| {
            let (index, byte) = if whole { (tap / kw, tap % kw * input.column) } else { (tap, 0) };
            index * groups * block + byte
        };
        let mut filter = vec![0i8; weights];
        let panels = panels(filters.len(), lanes, kernels.panel, weights);
        let mut packed = memory.take::<i8>(runs.all_weights(filters.len(), lanes));
        for panel in &panels {
            let width = panel.vectors * lanes;
            for lane in 0..panel.channels {
                for (tap, weights) in filters[panel.channel + lane].chunks_exact(channels).enumerate() {
                    filter[place(tap)..][..channels].copy_from_slice(weights);
                }
                let target = &mut packed[panel.weights..];
                match block {
                    4 => interleave::<4>(&filter, target, width, lane),
                    8 => interleave::<8>(&filter, target, width, lane),
                    _ => interleave::<16>(&filter, target, width, lane),
                }
            }
        }
        let taps = if whole {
            (0..kh).map(|y| y * dy * input.row).collect()
        } else {
            (0..kh * kw).map(|t| t / kw * dy * input.row + t % kw * dx * input.column).collect()
        };
        PackedConv { taps, groups, run, ..PackedConv::without_taps(filters, packed, panels, lanes) }
    }

    /// Packed weights with room for the constants.
    pub(super) fn without_taps(filters: &[&[i8]], weights: Piece<i8>, panels: Vec<Panel>, lanes: usize) -> PackedConv {
        let padded = filters.len().next_multiple_of(lanes);
        PackedConv {
            panels,
            weights,
            bias: vec![0; padded],
            multiplier: vec![0.0; padded],
            pre_zero: 0,
            table: PackedTable::default(),
            parts: Vec::new(),
            taps: Vec::new(),
            groups: 0,
            run: 0,
            reach: AccumulatorBound::Any,
            sums: filters.iter().map(|weights| WeightSums::of(weights)).collect(),
        }
    }

    /// Takes the numbers of `conv`, whose weights are those that were packed.
    pub fn set_params(&mut self, conv: &Conv, group: usize, zero_in: u8, kernels: &Kernels) {
        let first = group * self.sums.len();
        self.reconstant(conv, first, 0..self.sums.len(), kernels.centre(zero_in));
        self.pre_zero = conv.pre_zero;
        retable(&mut self.table, conv, kernels);
        self.reach = AccumulatorBound::of(conv, first, &self.sums, zero_in);
    }

    /// Takes the numbers of the convolution that became part `index`.
    pub fn renumber_part(&mut self, index: usize, conv: &Conv, zero_in: u8, kernels: &Kernels) {
        let Some(part) = self.parts.get_mut(index) else { return };
        part.pre_zero = conv.pre_zero;
        retable(&mut part.table, conv, kernels);
        let channels = part.channels.clone();
        self.reconstant(conv, 0, channels, kernels.centre(zero_in));
    }

    /// The constants of some channels from those of `conv` from `first` on; in every panel the constants
    /// of a channel lie at its number.
    fn reconstant(&mut self, conv: &Conv, first: usize, channels: Range<usize>, zero: i32) {
        for (from, to) in (first..).zip(channels) {
            self.bias[to] = folded_bias(conv.bias[from], self.sums[to], zero);
            self.multiplier[to] = conv.multiplier[from];
        }
    }
}

impl PackedDepthwise {
    /// Channels with padding.
    fn padded(conv: &Conv) -> usize {
        conv.bias.len().next_multiple_of(DEPTHWISE_CHANNELS)
    }

    /// Bytes of memory that `conv` takes.
    pub fn footprint(conv: &Conv) -> usize {
        Memory::footprint::<i8>(conv.products().saturating_mul(PackedDepthwise::padded(conv)))
    }

    /// Packs `conv`, in which every channel is a group of its own.
    pub fn new(conv: &Conv, zero_in: u8, input: InputSteps, packer: Packer) -> PackedDepthwise {
        let (channels, padded) = (conv.bias.len(), PackedDepthwise::padded(conv));
        let [kh, kw] = conv.window.kernel;
        let [dy, dx] = conv.window.dilation;
        let mut weights = packer.memory.take::<i8>(conv.products() * padded);
        for (tap, to) in weights.chunks_exact_mut(padded).enumerate() {
            to.iter_mut().zip(conv.filters()).for_each(|(to, filter)| *to = filter[tap]);
        }
        let mut packed = PackedDepthwise {
            channels,
            kernel: [kh, kw],
            weights,
            bias: vec![0; padded],
            multiplier: vec![0.0; padded],
            pre_zero: 0,
            table: PackedTable::room(conv),
            reach: AccumulatorBound::Any,
            taps: (0..kh * kw).map(|t| t / kw * dy * input.row + t % kw * dx * input.column).collect(),
            sums: conv.filters().map(WeightSums::of).collect(),
        };
        packed.set_params(conv, zero_in, packer.kernels);
        packed
    }

    /// Takes the numbers of `conv`, whose weights are those that were packed.
    pub fn set_params(&mut self, conv: &Conv, zero_in: u8, kernels: &Kernels) {
        for (c, sums) in self.sums.iter().enumerate() {
            self.bias[c] = folded_bias(conv.bias[c], *sums, kernels.centre(zero_in));
            self.multiplier[c] = conv.multiplier[c];
        }
        self.pre_zero = conv.pre_zero;
        retable(&mut self.table, conv, kernels);
        self.reach = AccumulatorBound::of(conv, 0, &self.sums, zero_in);
    }
}

/// The activation of `conv` as the kernels look it up.
fn retable(table: &mut PackedTable, conv: &Conv, kernels: &Kernels) {
    if let Some(from) = &conv.table {
        table.set(kernels.sign_xored(from), kernels.short_tables);
    }
}

/// `sum w * (in - zero) = sum w * in - zero * sum w`: the second term joins the bias. Wrapping,
/// because only the whole is known to fit: the sum of all terms does.
pub(super) fn folded_bias(bias: i32, weights: WeightSums, zero: i32) -> i32 {
    bias.wrapping_sub(weights.sum.wrapping_mul(zero))
}

/// Block i of `filter` becomes block `i * width + lane` of `target`.
fn interleave<const BLOCK: usize>(filter: &[i8], target: &mut [i8], width: usize, lane: usize) {
    let (blocks, _) = filter.as_chunks::<BLOCK>();
    let (target, _) = target.as_chunks_mut::<BLOCK>();
    for (to, from) in target[lane..].iter_mut().step_by(width).zip(blocks) {
        *to = *from;
    }
}

/// Splits the channels over panels as evenly as whole vectors allow; a lane has so many weights.
pub(super) fn panels(channels: usize, lanes: usize, widest: usize, weights_a_lane: usize) -> Vec<Panel> {
    let vectors = channels.div_ceil(lanes);
    let count = vectors.div_ceil(widest);
    let mut made: Vec<Panel> = Vec::with_capacity(count);
    let (mut vector, mut weights) = (0, 0);
    for index in 0..count {
        let take = (vectors - vector).div_ceil(count - index);
        let channel = vector * lanes;
        made.push(Panel {
            channel,
            channels: (channels - channel).min(take * lanes),
            vectors: take,
            weights,
            constants: vector * lanes,
        });
        vector += take;
        weights += take * lanes * weights_a_lane;
    }
    made
}
