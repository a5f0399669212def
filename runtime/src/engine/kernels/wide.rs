//! Convolutions with ends of sixteen bits: the instruction set's sums, then a store in plain loops.
//!
//! The sums of some pixels of a row go to memory of the thread's own, those of the values and those of
//! the rests; the store makes numbers of them, pixel by pixel. See [`super::super::ir::Wide`].

use std::ops::Range;

use super::super::ir::{Conv, WeightSums, Window};
use super::super::quant::Table;
use super::super::sixteen::{self, Curve};
use super::packing::{DEPTHWISE_CHANNELS, InputSteps, folded_bias};
use super::step::{Region, windowed};
use super::{Kernels, PackedConv, PackedDepthwise, Rows};

/// Pixels whose sums are held at a time.
const PIXELS: usize = 32;
/// Results that the store holds at a time.
const RUN: usize = 64;

/// A convolution of sixteen bits at one end or both, ready to run.
#[derive(Debug)]
pub struct WideConv {
    filters: Filters,
    window: Window,
    /// With the border in its reach; values, then rests if it reads them.
    input: Region,
    /// Values, then rests if it writes them.
    output: Region,
    scratch: Scratch,
    /// What the sums of the values begin with, then those of the rests; by output channel.
    bias: [Vec<i32>; 2],
    multiplier: Vec<f32>,
    pre_zero: u8,
    /// Of values.
    table: Option<Box<Table>>,
    curve: Option<Box<Curve>>,
    /// It reads rests.
    reads: bool,
    /// It writes rests.
    writes: bool,
}

/// Weights; their biases are zero.
#[derive(Debug)]
enum Filters {
    /// Group by group.
    Dense(Vec<PackedConv>),
    Depthwise(PackedDepthwise),
}

/// Memory for sums, a part for each thread; all are multiples of a vector's bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scratch {
    /// Offset of the first thread's part.
    pub first: usize,
    /// Bytes of a part.
    pub bytes: usize,
    /// Threads.
    pub threads: usize,
}

impl Filters {
    fn sums(&self) -> impl Iterator<Item = &WeightSums> {
        let (dense, depthwise) = match self {
            Filters::Dense(groups) => (groups.as_slice(), None),
            Filters::Depthwise(packed) => (&[][..], Some(packed)),
        };
        dense.iter().flat_map(|g| &g.sums).chain(depthwise.into_iter().flat_map(|packed| &packed.sums))
    }
}

impl WideConv {
    /// Packs `conv` for `kernels`; a part of `scratch` has [`WideConv::scratch_bytes`] or more.
    pub fn new(conv: &Conv, zero_in: u8, [input, output]: [Region; 2], scratch: Scratch, kernels: &Kernels) -> Self {
        let steps = InputSteps { column: input.pixel, row: input.row };
        let filters = if conv.is_depthwise(input.shape) {
            let mut packed = PackedDepthwise::new(conv, zero_in, steps, kernels);
            packed.bias.fill(0);
            Filters::Depthwise(packed)
        } else {
            let pack = |group| {
                let mut packed = PackedConv::new(conv, group, zero_in, steps, kernels);
                packed.bias.fill(0);
                packed
            };
            Filters::Dense((0..conv.groups).map(pack).collect())
        };
        let outputs = conv.bias.len();
        let mut made = WideConv {
            filters,
            window: conv.window,
            input,
            output,
            scratch,
            bias: [vec![0; outputs], vec![0; outputs]],
            multiplier: vec![0.0; outputs],
            pre_zero: 0,
            table: None,
            curve: None,
            reads: conv.wide.input,
            writes: conv.wide.output,
        };
        made.renumber(conv, zero_in, kernels);
        made
    }

    /// Takes the numbers of `conv`, whose weights are those that were packed.
    pub fn renumber(&mut self, conv: &Conv, zero_in: u8, kernels: &Kernels) {
        for (o, sums) in self.filters.sums().enumerate() {
            self.bias[0][o] = folded_bias(conv.bias[o], *sums, kernels.centre(zero_in));
            self.bias[1][o] = folded_bias(0, *sums, kernels.centre(sixteen::NO_REST));
        }
        self.multiplier.copy_from_slice(&conv.multiplier);
        self.pre_zero = conv.pre_zero;
        self.table.clone_from(&conv.table);
        self.curve.clone_from(&conv.wide.curve);
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
    pub fn output(&self) -> &Region {
        &self.output
    }

    /// Checks that what it reads and writes lies below `limit`, and its sums below `bytes`.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self, limit: usize, bytes: usize) -> Result<(), String> {
        let reach = match &self.filters {
            Filters::Dense(groups) => groups.iter().flat_map(|g| g.taps.iter().map(|t| t + g.run)).max(),
            Filters::Depthwise(packed) => packed.taps.iter().max().map(|t| t + packed.channels),
        };
        windowed(&self.window, &self.input, &self.output, reach.unwrap_or(0) + self.second(), limit)?;
        let Scratch { first, bytes: each, threads } = self.scratch;
        let room = 2 * PIXELS * self.multiplier.len() * size_of::<i32>();
        if self.output.end() > limit || first + each * threads > bytes || room > each {
            return Err(format!("{:?} or {:?} leaves the arena of {bytes}", self.output, self.scratch));
        }
        Ok(())
    }

    /// Bytes from a value to its rest.
    fn second(&self) -> usize {
        if self.reads { self.input.shape.channels / 2 } else { 0 }
    }

    /// Writes `share`, a range of the output's rows.
    ///
    /// # Safety
    /// [`WideConv::check`] held for the memory at `base`; nobody else touches these rows of the output or
    /// part `part` of the scratch, or writes the input; `kernels` are those that it was packed for.
    pub unsafe fn run(&self, base: *mut u8, share: Range<usize>, part: usize, kernels: &Kernels) {
        let width = self.output.shape.width;
        let sums = self.scratch.first + part * self.scratch.bytes;
        for y in share {
            for x in (0..width).step_by(PIXELS) {
                let count = PIXELS.min(width - x);
                let origin = self.window.pad[0] * self.input.row + self.window.pad[1] * self.input.pixel;
                let [down, right] = [self.window.stride[0] * self.input.row, self.window.stride[1] * self.input.pixel];
                let rows = |channel: usize, half: usize, padded: usize| Rows {
                    // a border may lie before the first value
                    input: base.wrapping_add(self.input.first + y * down + x * right + channel).wrapping_sub(origin),
                    input_pixel: right,
                    input_row: down,
                    output: base.wrapping_add(sums + half * PIXELS * padded * size_of::<i32>()),
                    output_pixel: padded * size_of::<i32>(),
                    output_row: 0,
                    width: count,
                    height: 1,
                };
                // Safety: inside the memory, by `check`.
                unsafe {
                    match &self.filters {
                        Filters::Dense(groups) => {
                            let inputs = self.values_in() / groups.len();
                            let outputs = self.multiplier.len() / groups.len();
                            for (g, packed) in groups.iter().enumerate() {
                                let padded = packed.bias.len();
                                (kernels.conv_sums)(packed, &rows(g * inputs, 0, padded));
                                if self.reads {
                                    (kernels.conv_sums)(packed, &rows(g * inputs + self.second(), 1, padded));
                                }
                                let of = g * outputs..(g + 1) * outputs;
                                self.store(base, [y, x, count], of, base.add(sums).cast(), padded, kernels.flip);
                            }
                        }
                        Filters::Depthwise(packed) => {
                            let padded = packed.bias.len();
                            (kernels.depthwise_sums)(packed, &rows(0, 0, padded));
                            if self.reads {
                                (kernels.depthwise_sums)(packed, &rows(self.second(), 1, padded));
                            }
                            let of = 0..packed.channels;
                            self.store(base, [y, x, count], of, base.add(sums).cast(), padded, kernels.flip);
                        }
                    }
                }
            }
        }
    }

    fn values_in(&self) -> usize {
        if self.reads { self.second() } else { self.input.shape.channels }
    }

    /// Stores the output channels `of` of `count` pixels from (y, x) on.
    ///
    /// Safety: as for [`WideConv::run`]; `padded` sums a pixel lie at `sums`, those of rests behind those
    /// of values.
    unsafe fn store(
        &self,
        base: *mut u8,
        [y, x, count]: [usize; 3],
        of: Range<usize>,
        sums: *const i32,
        padded: usize,
        flip: u8,
    ) {
        let outputs = self.multiplier.len();
        for pixel in 0..count {
            for run in of.clone().step_by(RUN) {
                let channels = run..(run + RUN).min(of.end);
                let at = pixel * padded + run - of.start;
                // Safety: sums that were just written, and bytes of this pixel that nobody else touches.
                let (values, rests, to) = unsafe {
                    let half =
                        |half: usize| std::slice::from_raw_parts(sums.add(half * PIXELS * padded + at), channels.len());
                    let to = base.add(self.output.at(y, x + pixel) + run);
                    let bytes = |at: usize| std::slice::from_raw_parts_mut(to.add(at), channels.len());
                    let to = (bytes(0), if self.writes { bytes(outputs) } else { &mut [][..] });
                    (half(0), if self.reads { half(1) } else { &[][..] }, to)
                };
                let mut steps = [0f32; RUN];
                self.steps(channels, [values, rests], &mut steps);
                self.put(&steps, to, flip);
            }
        }
    }

    /// Sums of values and rests in steps of the output, before rounding.
    fn steps(&self, of: Range<usize>, [values, rests]: [&[i32]; 2], steps: &mut [f32; RUN]) {
        let multiplier = &self.multiplier[of.clone()];
        let all = steps.iter_mut().zip(values).zip(multiplier).zip(&self.bias[0][of.clone()]);
        if rests.is_empty() {
            for (((step, sum), multiplier), bias) in all {
                *step = sum.wrapping_add(*bias) as f32 * multiplier;
            }
        } else {
            for ((((step, sum), multiplier), bias), (rest, rest_bias)) in all.zip(rests.iter().zip(&self.bias[1][of])) {
                let sum = sum.wrapping_add(*bias) as f32;
                let rest = rest.wrapping_add(*rest_bias) as f32 * (1.0 / sixteen::PARTS);
                *step = (sum + rest) * multiplier;
            }
        }
    }

    /// Rounds and writes values and, if it writes them, rests.
    fn put(&self, steps: &[f32; RUN], (values, rests): (&mut [u8], &mut [u8]), flip: u8) {
        if self.writes {
            let numbers = steps.map(|step| sixteen::requantise_fast(step, self.pre_zero));
            let all = values.iter_mut().zip(rests).zip(numbers);
            match self.curve.as_deref() {
                Some(curve) => all.for_each(|((value, rest), number)| {
                    [*value, *rest] = sixteen::halves(sixteen::along(curve, number)).map(|byte| byte ^ flip);
                }),
                None => all.for_each(|((value, rest), number)| {
                    [*value, *rest] = sixteen::halves(number).map(|byte| byte ^ flip);
                }),
            }
        } else {
            let rounded = steps.map(|step| rounded(step, self.pre_zero));
            let all = values.iter_mut().zip(rounded);
            match self.table.as_deref() {
                Some(table) => all.for_each(|(value, q)| *value = table[usize::from(q)] ^ flip),
                None => all.for_each(|(value, q)| *value = q ^ flip),
            }
        }
    }
}

/// Steps to a value: nearest, halves to even, clamped.
#[inline]
fn rounded(steps: f32, zero: u8) -> u8 {
    // what is further away is clamped by the zero point's eight bits anyway
    let nearest = sixteen::nearest(steps.clamp(-512.0, 512.0));
    (nearest + i32::from(zero)).clamp(0, 255) as u8
}
