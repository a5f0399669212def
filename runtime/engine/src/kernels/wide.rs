//! Convolutions with ends of sixteen bits: the instruction set's sums, then a store in plain loops.
//!
//! The sums of some pixels of a row go to memory of the thread's own, those of the values and those of
//! the rests; the store ([`super::wide_store`]) makes numbers of them, pixel by pixel. See [`super::super::ir::Wide`].

use std::ops::Range;

use super::super::int16;
use super::super::ir::{Conv, WeightSums, Window};
use super::operands::Rows;
use super::packed::{DEPTHWISE_CHANNELS, PackedConv, PackedDepthwise};
use super::packing::{InputSteps, Packer, folded_bias};
use super::scratch::Scratch;
use super::set::Kernels;
use super::tensor_span::TensorSpan;
use super::wide_store::{BLOCK, PIXELS, WideRow, WideStore};
use super::windowed::{rows_of, windowed};

/// A convolution of sixteen bits at one end or both, ready to run.
#[derive(Debug)]
pub struct WideConv {
    filters: Filters,
    window: Window,
    /// With the border in its reach; values, then rests if it reads them.
    input: TensorSpan,
    /// Values, then rests if it writes them.
    output: TensorSpan,
    scratch: Scratch,
    store: WideStore,
}

/// Weights; their biases are zero.
#[derive(Debug)]
enum Filters {
    /// Group by group.
    Dense(Vec<PackedConv>),
    Depthwise(PackedDepthwise),
}

impl Filters {
    /// Groups of channels that run on their own.
    fn groups(&self) -> usize {
        if let Filters::Dense(groups) = self { groups.len() } else { 1 }
    }

    fn sums(&self) -> impl Iterator<Item = &WeightSums> {
        let (dense, depthwise) = match self {
            Filters::Dense(groups) => (groups.as_slice(), None),
            Filters::Depthwise(packed) => (&[][..], Some(packed)),
        };
        dense.iter().flat_map(|g| &g.sums).chain(depthwise.into_iter().flat_map(|packed| &packed.sums))
    }
}

impl WideConv {
    /// Packs `conv`, as any other; a part of `scratch` has [`WideConv::scratch_bytes`] or more.
    pub fn new(conv: &Conv, zero_in: u8, ends: [TensorSpan; 2], scratch: Scratch, packer: Packer) -> WideConv {
        let [input, output] = ends;
        let steps = InputSteps::of(&input);
        let filters = if conv.is_depthwise(input.shape) {
            let mut packed = PackedDepthwise::new(conv, zero_in, steps, packer);
            packed.bias.fill(0);
            Filters::Depthwise(packed)
        } else {
            let pack = |group| {
                let mut packed = PackedConv::new(conv, group, zero_in, steps, packer);
                packed.bias.fill(0);
                packed
            };
            Filters::Dense((0..conv.groups).map(pack).collect())
        };
        let outputs = conv.bias.len();
        let groups = filters.groups();
        let constants = groups * (outputs / groups).next_multiple_of(BLOCK);
        let store = WideStore {
            bias: [vec![0; constants], vec![0; constants]],
            multiplier: vec![0.0; constants],
            pre_zero: 0,
            table: None,
            curve: None,
            outputs,
            reads: conv.wide.input,
            writes: conv.wide.output,
            sign_xor: packer.kernels.sign_xor,
        };
        let mut made = WideConv { filters, window: conv.window, input, output, scratch, store };
        made.set_params(conv, zero_in, packer.kernels);
        made
    }

    /// Takes the numbers of `conv`, whose weights are those that were packed.
    pub fn set_params(&mut self, conv: &Conv, zero_in: u8, kernels: &Kernels) {
        let store = &mut self.store;
        let group = store.outputs / self.filters.groups();
        for (o, sums) in self.filters.sums().enumerate() {
            let at = o / group * group.next_multiple_of(BLOCK) + o % group;
            store.bias[0][at] = folded_bias(conv.bias[o], *sums, kernels.centre(zero_in));
            store.bias[1][at] = folded_bias(0, *sums, kernels.centre(int16::NO_LOW_BYTE));
            store.multiplier[at] = conv.multiplier[o];
        }
        store.pre_zero = conv.pre_zero;
        store.table.clone_from(&conv.table);
        store.curve.clone_from(&conv.wide.curve);
    }

    /// Bytes of one thread's sums.
    pub fn scratch_bytes(conv: &Conv) -> usize {
        // groups are not larger than the whole; no instruction set pads to more
        2 * PIXELS * conv.bias.len().next_multiple_of(DEPTHWISE_CHANNELS) * size_of::<i32>()
    }

    /// Of the weights of each output.
    pub fn sums(&self) -> impl Iterator<Item = WeightSums> {
        self.filters.sums().copied()
    }

    /// Bytes that it keeps.
    pub fn bytes(&self) -> usize {
        match &self.filters {
            Filters::Dense(groups) => groups.iter().map(PackedConv::bytes).sum(),
            Filters::Depthwise(packed) => packed.bytes(),
        }
    }

    /// The output.
    pub fn output(&self) -> &TensorSpan {
        &self.output
    }

    /// Checks that what it reads lies below `limit`, and its sums below `bytes`.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self, limit: u64, bytes: usize) -> Result<(), String> {
        let reach = match &self.filters {
            Filters::Dense(groups) => groups.iter().map(PackedConv::extent).max().unwrap_or(0),
            Filters::Depthwise(packed) => packed.extent(),
        };
        let rests = if self.store.reads { self.values() } else { 0 };
        windowed(&self.window, &self.input, &self.output, reach + rests, limit)?;
        self.scratch.check(2 * PIXELS * self.store.outputs * size_of::<i32>(), bytes)
    }

    /// Values a pixel of the input, which is the distance of a value from its rest.
    fn values(&self) -> usize {
        if self.store.reads { self.input.shape.channels / 2 } else { self.input.shape.channels }
    }

    /// Writes `share`, a range of the output's rows.
    ///
    /// # Safety
    /// The output lies inside the memory at `base`, for which [`WideConv::check`] held; nobody else touches these rows of the output or
    /// part `part` of the scratch, or writes the input; `kernels` are those that it was packed for.
    pub unsafe fn run(&self, base: *mut u8, share: Range<usize>, part: usize, kernels: &Kernels) {
        let width = self.output.shape.width;
        let tiles = share.flat_map(|y| (0..width).step_by(PIXELS).map(move |x| (y, x)));
        for (y, x) in tiles {
            // Safety: inside the memory, by `check`.
            unsafe {
                match &self.filters {
                    Filters::Dense(groups) => {
                        for (g, packed) in groups.iter().enumerate() {
                            let sums = |rows: &Rows| (kernels.conv_sums)(packed, rows);
                            self.tile(base, (y, x), part, kernels, (g, packed.bias.len()), sums);
                        }
                    }
                    Filters::Depthwise(packed) => {
                        let sums = |rows: &Rows| (kernels.depthwise_sums)(packed, rows);
                        self.tile(base, (y, x), part, kernels, (0, packed.bias.len()), sums);
                    }
                }
            }
        }
    }

    /// Group `g` of up to [`PIXELS`] pixels from (y, x) on, whose sums, `padded` a pixel, `sums` computes.
    ///
    /// Safety: as for [`WideConv::run`].
    unsafe fn tile(
        &self,
        base: *mut u8,
        (y, x): (usize, usize),
        part: usize,
        kernels: &Kernels,
        (g, padded): (usize, usize),
        sums: impl Fn(&Rows),
    ) {
        let groups = self.filters.groups();
        let (inputs, outputs) = (self.values() / groups, self.store.outputs / groups);
        let count = PIXELS.min(self.output.shape.width - x);
        let scratch = self.scratch.at(part);
        // Safety: handed on.
        let row = unsafe { rows_of(base, &self.window, &self.input, &self.output, y..y + 1) };
        // the rests are summed like the values, with the same weights
        for half in 0..if self.store.reads { 2 } else { 1 } {
            sums(&Rows {
                input: row.input.wrapping_add(x * row.input_pixel + g * inputs + half * self.values()),
                output: base.wrapping_add(scratch + half * PIXELS * padded * size_of::<i32>()),
                output_pixel: padded * size_of::<i32>(),
                output_row: 0,
                width: count,
                ..row
            });
        }
        let row = WideRow {
            sums: base.wrapping_add(scratch).cast(),
            padded,
            count,
            output: row.output.wrapping_add(x * row.output_pixel + g * outputs),
            output_pixel: row.output_pixel,
            constants: g * outputs.next_multiple_of(BLOCK),
            channels: outputs,
        };
        // Safety: sums that were just written, and bytes of these pixels that nobody else touches.
        unsafe { (kernels.wide_store)(&self.store, &row) }
    }
}
