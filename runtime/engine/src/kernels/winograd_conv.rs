//! A convolution by [`super::winograd`], ready to run: its filters are transformed when it is made.

use super::super::ir::{Conv, Shape, WeightSums, Window};
use super::memory::Memory;
use super::packed::{PackedConv, Panel};
use super::packed_table::PackedTable;
use super::packing::{Packer, panels};
use super::scratch::Scratch;
use super::set::Kernels;
use super::tensor_span::TensorSpan;
use super::windowed::{rows_of, windowed};
use super::winograd::{Loops, PATCH, PackedWinograd, SUM_MAX, filter_bytes, tiles};

/// Most bytes of transformed filters, which are eight times as many as those of the file: what is larger would
/// come from far memory in every run, and stays direct.
const FILTERS_MAX: usize = 4 << 20;

impl PackedWinograd {
    /// Packs `conv`, of one group and three by three taps; `None` if its sums may become too great.
    pub fn new(conv: &Conv, zero_in: u8, loops: &Loops, packer: Packer) -> Option<PackedWinograd> {
        let inputs = conv.products() / (3 * 3);
        let filters: Vec<&[i8]> = conv.filters().collect();
        let panels = panels(filters.len(), loops.lanes, loops.panel, loops.filter(inputs));
        let mut packed = PackedConv::without_taps(&filters, packer.memory.take(0), panels, loops.lanes);
        if packed.sums.iter().any(|sums| i64::from(sums.magnitude) * 255 >= SUM_MAX) {
            return None;
        }
        let transform = match (loops.lanes, loops.together) {
            (4, 2) => transform::<4, 2, 8>,
            (8, 1) => transform::<8, 1, 8>,
            (8, 2) => transform::<8, 2, 16>,
            (16, 2) => transform::<16, 2, 32>,
            _ => return None,
        };
        let mut transformed = packer.memory.take(loops.filters(inputs, filters.len()));
        transform(&filters, inputs, &packed.panels, &mut transformed);
        packed.table = PackedTable::room(conv);
        packed.set_params(conv, 0, zero_in, packer.kernels);
        Some(PackedWinograd { conv: packed, filters: transformed, inputs, loops: *loops })
    }
}

/// `a + factor * b`, number by number.
#[inline(always)]
fn sum<const NUMBERS: usize>(a: &[i16; NUMBERS], factor: i16, b: &[i16; NUMBERS]) -> [i16; NUMBERS] {
    let mut sum = [0; NUMBERS];
    for i in 0..NUMBERS {
        sum[i] = a[i] + factor * b[i];
    }
    sum
}

/// `24 G g` of one column or row of filters.
#[inline(always)]
fn filter<const NUMBERS: usize>(g: [&[i16; NUMBERS]; 3]) -> [[i16; NUMBERS]; PATCH] {
    let none = &[0; NUMBERS];
    let even = sum(none, -4, &sum(g[0], 1, g[2]));
    let odd = sum(g[0], 4, g[2]);
    let first = sum(none, 6, g[0]);
    let last = sum(none, 6, g[2]);
    [first, sum(&even, -4, g[1]), sum(&even, 4, g[1]), sum(&odd, 2, g[1]), sum(&odd, -2, g[1]), last]
}

/// `24 G g 24 G'` of filters of 3 x 3 taps, and where each place goes.
#[inline(always)]
fn places<const NUMBERS: usize>(g: &[[i16; NUMBERS]; 9], mut put: impl FnMut(usize, [i16; NUMBERS])) {
    let mut down = [[[0; NUMBERS]; 3]; PATCH];
    for x in 0..3 {
        let column = filter([&g[x], &g[3 + x], &g[6 + x]]);
        down.iter_mut().zip(column).for_each(|(row, values)| row[x] = values);
    }
    for (y, [a, b, c]) in down.iter().enumerate() {
        filter([a, b, c]).into_iter().enumerate().for_each(|(x, values)| put(PATCH * y + x, values));
    }
}

/// Makes [`PackedWinograd::filters`] of zeros, vector by vector of `LANES` outputs; `NUMBERS` are `LANES` times
/// `TOGETHER`, and are transformed together.
fn transform<const LANES: usize, const TOGETHER: usize, const NUMBERS: usize>(
    filters: &[&[i8]],
    inputs: usize,
    panels: &[Panel],
    all: &mut [i16],
) {
    let groups = inputs.div_ceil(TOGETHER);
    // the taps of one vector's outputs, by (tap, group, lane, channel of the group)
    let mut taps = vec![[[0i8; TOGETHER]; LANES]; 9 * groups];
    for panel in panels {
        let packed = all[panel.weights..].as_chunks_mut::<NUMBERS>().0;
        for vector in 0..panel.vectors {
            let outputs = filters[panel.channel..][..panel.channels][vector * LANES..].iter().take(LANES);
            if outputs.len() < LANES {
                taps.fill([[0; TOGETHER]; LANES]);
            }
            for (lane, filter) in outputs.enumerate() {
                for (to, from) in taps.chunks_exact_mut(groups).zip(filter.chunks_exact(inputs)) {
                    let (from, rest) = from.as_chunks::<TOGETHER>();
                    to.iter_mut().zip(from).for_each(|(to, from)| to[lane] = *from);
                    if let Some(to) = to.get_mut(from.len()) {
                        to[lane][..rest.len()].copy_from_slice(rest);
                    }
                }
            }
            for group in 0..groups {
                let mut g = [[0; NUMBERS]; 9];
                for (tap, g) in g.iter_mut().enumerate() {
                    let taps = taps[tap * groups + group].as_flattened();
                    g.iter_mut().zip(taps).for_each(|(to, from)| *to = i16::from(*from));
                }
                places(&g, |place, values| packed[(place * groups + group) * panel.vectors + vector] = values);
            }
        }
    }
}

/// A convolution that is computed like this, ready to run.
#[derive(Debug)]
pub struct Winograd {
    packed: PackedWinograd,
    window: Window,
    /// With the border in its reach.
    input: TensorSpan,
    output: TensorSpan,
    scratch: Scratch,
}

impl Winograd {
    /// The loops of `kernels`, if they gain by a convolution of this form.
    fn loops<'a>(conv: &Conv, input: Shape, output: Shape, kernels: &'a Kernels) -> Option<&'a Loops> {
        let Window { kernel, stride, dilation, .. } = conv.window;
        let plain = (kernel, stride, dilation) == ([3, 3], [1, 1], [1, 1]) && conv.groups == 1 && conv.wide.is_none();
        let small = filter_bytes(input.channels, output.channels) <= FILTERS_MAX;
        let size = [output.height, output.width];
        let gains = |loops: &&Loops| (loops.gains)(input.channels, output.channels, size);
        kernels.winograd.as_ref().filter(|_| plain && small).filter(gains)
    }

    /// Bytes of one thread's patches and products, if `conv` may be computed like this.
    pub fn scratch_bytes(conv: &Conv, input: Shape, output: Shape, kernels: &Kernels) -> usize {
        let loops = Winograd::loops(conv, input, output, kernels);
        loops.map_or(0, |loops| PackedWinograd::scratch_bytes(input.channels, output.channels, loops))
    }

    /// Bytes of memory that `conv` takes; `None` if it is not to be computed like this.
    pub fn footprint(conv: &Conv, input: Shape, output: Shape, kernels: &Kernels) -> Option<usize> {
        let loops = Winograd::loops(conv, input, output, kernels)?;
        Some(Memory::footprint::<i16>(loops.filters(input.channels, output.channels)))
    }

    /// Packs `conv`, if it can be computed like this and the kernels gain by it; a part of `scratch` has
    /// [`Winograd::scratch_bytes`].
    pub fn new(conv: &Conv, zero_in: u8, ends: [TensorSpan; 2], scratch: Scratch, packer: Packer) -> Option<Winograd> {
        let [input, output] = ends;
        let loops = Winograd::loops(conv, input.shape, output.shape, packer.kernels)?;
        let packed = PackedWinograd::new(conv, zero_in, loops, packer)?;
        Some(Winograd { packed, window: conv.window, input, output, scratch })
    }

    /// Takes the numbers of `conv`, whose weights are those that were packed.
    pub fn set_params(&mut self, conv: &Conv, zero_in: u8, kernels: &Kernels) {
        self.packed.conv.set_params(conv, 0, zero_in, kernels);
    }

    /// Of the weights of each output.
    pub fn sums(&self) -> impl Iterator<Item = WeightSums> {
        self.packed.conv.sums.iter().copied()
    }

    /// Bytes that it keeps.
    pub fn bytes(&self) -> usize {
        self.packed.conv.bytes() + size_of_val(&*self.packed.filters)
    }

    /// The output.
    pub fn output(&self) -> &TensorSpan {
        &self.output
    }

    /// Checks that what it reads lies below `limit`, and its patches and products below `bytes`.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self, limit: u64, bytes: usize) -> Result<(), String> {
        let reach = 2 * (self.input.row + self.input.pixel) + self.input.shape.channels;
        windowed(&self.window, &self.input, &self.output, reach, limit)?;
        let [inputs, outputs] = [self.input, self.output].map(|region| region.shape.channels);
        self.scratch.check(PackedWinograd::scratch_bytes(inputs, outputs, &self.packed.loops), bytes)
    }

    /// Computes share `part` of `parts` of the tiles.
    ///
    /// # Safety
    /// The output lies inside the memory at `base`, for which [`Winograd::check`] held; nobody else touches
    /// these tiles of the output or part `part` of the scratch, or writes the input; its kernels run on this
    /// processor.
    pub unsafe fn run(&self, base: *mut u8, part: usize, parts: usize) {
        let Shape { height, width, .. } = self.output.shape;
        let count = tiles([height, width]);
        // Safety: inside the memory, by `check`.
        unsafe {
            let rows = rows_of(base, &self.window, &self.input, &self.output, 0..height);
            let share = count * part / parts..count * (part + 1) / parts;
            self.packed.run(rows, share, base.add(self.scratch.at(part)));
        }
    }
}
