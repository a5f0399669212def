//! Convolutions of three by three taps with fewer multiplications: F(4x4, 3x3) of Winograd, in integers.
//!
//! The sixteen results of a tile take 36 products a channel instead of 144: `A' ((G g G') * (B' d B)) A`, where
//! `g` is a filter, `d` the patch of 6 x 6 values that the tile sees, and `*` multiplies place by place
//! (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015, with the points 0, 1, -1, 2, -2).
//!
//! `G` holds sixths and 24ths. Filters are taken 24 times in each direction (the last row six times, its
//! four is in `A`), so that all numbers are whole: those of a filter are at most 144 x 128, those of a
//! patch at most 68 x 255, and both fit 16 bits. A tile then gives 576 times its sums. Everything is
//! computed modulo 2^32, where 9 has an inverse: times that, it is 64 times the sums, and a shift gives
//! the sums themselves, exactly, if they are below [`SUM_MAX`]. So nothing is lost: a convolution
//! computed like this gives the bytes of [`super::super::reference`].

use std::ops::Range;

use super::super::ir::{Conv, Shape, WeightSums, Window};
use super::memory::{Memory, Piece};
use super::packing::{PackedConv, Packer, Panel, panels};
use super::scratch::Scratch;
use super::step::{rows_of, windowed};
use super::tensor_span::TensorSpan;
use super::{Kernels, Rows};

/// Rows and columns of a tile.
pub const TILE: usize = 4;
/// Rows and columns of the patch that a tile sees.
pub const PATCH: usize = 6;
/// Places of a patch.
pub const PLACES: usize = PATCH * PATCH;
/// Channels of a transformed patch are padded to a multiple of this.
pub const CHANNELS: usize = 32;
/// The inverse of nine modulo 2^32.
pub const NINTH: i32 = 954_437_177;
/// Binary digits of 576 / 9.
pub const SHIFT: u32 = 6;
/// Sums must be below this in magnitude: 64 of them fit 32 bits.
pub const SUM_MAX: i64 = 1 << (31 - SHIFT);

/// Most bytes of transformed filters, which are eight times as many as those of the file: what is larger would
/// come from far memory in every run, and stays direct.
const FILTERS_MAX: usize = 4 << 20;

/// `$line` of each column, then of each row, of what `$value` is in row `$y` and column `$x`; `$each` takes
/// the rows one by one. Without closures, which would not be compiled for the instruction set around them.
macro_rules! both_ways {
    ($line:ident, $rows:expr, |$y:ident, $x:ident| $value:expr, |$row:ident, $values:ident| $each:expr) => {{
        const SIDE: usize = $crate::kernels::winograd::PATCH;
        let any = {
            let ($y, $x) = (0, 0);
            $value
        };
        let mut columns = [$line!([any; SIDE]); SIDE];
        for $x in 0..SIDE {
            let mut values = [any; SIDE];
            for $y in 0..SIDE {
                values[$y] = $value;
            }
            columns[$x] = $line!(values);
        }
        let [a, b, c, d, e, f] = columns;
        for $row in 0..$rows {
            let $values = $line!([a[$row], b[$row], c[$row], d[$row], e[$row], f[$row]]);
            $each
        }
    }};
}

/// `B' d B` of a patch of vectors or numbers; see [`both_ways`].
macro_rules! patch {
    ([$add:path, $sub:path, $four:path], |$y:ident, $x:ident| $value:expr, |$row:ident, $values:ident| $each:expr) => {{
        macro_rules! line {
            ($d:expr) => {{
                let d = $d;
                let (a, b) = ($sub(d[4], $four(d[2])), $sub(d[3], $four(d[1])));
                let (c, half) = ($sub(d[4], d[2]), $sub(d[3], d[1]));
                let e = $add(half, half);
                let first = $add($four($sub(d[0], d[2])), c);
                let last = $sub($sub(d[5], d[3]), $add(e, e));
                [first, $add(a, b), $sub(a, b), $add(c, e), $sub(c, e), last]
            }};
        }
        use $crate::kernels::winograd;
        winograd::both_ways!(line, winograd::PATCH, |$y, $x| $value, |$row, $values| $each)
    }};
}

/// `A' m A` of the products of a tile, vectors or numbers; see [`both_ways`].
macro_rules! results {
    ([$add:path, $sub:path, $four:path], |$y:ident, $x:ident| $value:expr, |$row:ident, $values:ident| $each:expr) => {{
        macro_rules! line {
            ($m:expr) => {{
                let m = $m;
                let (a, b) = ($add(m[1], m[2]), $sub(m[1], m[2]));
                let (c, half) = ($add(m[3], m[4]), $sub(m[3], m[4]));
                let e = $add(half, half);
                [$add($add(m[0], a), c), $add(b, e), $add(a, $four(c)), $add(b, $four($add(e, m[5])))]
            }};
        }
        use $crate::kernels::winograd;
        winograd::both_ways!(line, winograd::TILE, |$y, $x| $value, |$row, $values| $each)
    }};
}

pub(super) use {both_ways, patch, results};

/// How an instruction set runs it.
#[derive(Debug, Clone, Copy)]
pub struct Loops {
    /// Tiles that are computed together.
    pub tiles: usize,
    /// Output channels of one vector of packed filters.
    pub lanes: usize,
    /// Widest panel, in vectors.
    pub panel: usize,
    /// Input channels that lie together in one lane of such a vector.
    pub together: usize,
    /// True if it is faster than [`Kernels::conv`] for so many inputs, outputs, and rows and columns of results.
    pub gains: fn(inputs: usize, outputs: usize, size: [usize; 2]) -> bool,
    /// Computes the tiles of a block.
    ///
    /// Safety: as for [`Kernels::conv`], for the pixels of these tiles; nobody else touches the patches and
    /// products, which are those of [`PackedWinograd::run`].
    pub run: unsafe fn(&PackedWinograd, &Block),
}

impl Loops {
    /// QuantParams of one transformed filter, with padding.
    fn filter(&self, inputs: usize) -> usize {
        PLACES * inputs.next_multiple_of(self.together)
    }

    /// QuantParams of all transformed filters of a convolution, with padding.
    fn filters(&self, inputs: usize, outputs: usize) -> usize {
        self.filter(inputs).saturating_mul(outputs.next_multiple_of(self.lanes))
    }
}

/// Tiles of a picture of so many rows and columns.
pub fn tiles([height, width]: [usize; 2]) -> usize {
    height.div_ceil(TILE) * width.div_ceil(TILE)
}

/// Bytes of the transformed filters of a convolution, but for padding.
pub fn filter_bytes(inputs: usize, outputs: usize) -> usize {
    inputs.saturating_mul(outputs).saturating_mul(PLACES * size_of::<i16>())
}

/// Tiles that are computed together.
#[derive(Debug)]
pub struct Block {
    /// All pixels of the picture.
    rows: Rows,
    /// The tiles, by their number in the order of reading; at most [`Loops::tiles`].
    pub tiles: Range<usize>,
    /// Where transformed patches may be kept, [`PackedWinograd::patch`] numbers a tile.
    pub patches: *mut i16,
    /// Where products may be kept, one a tile, place and lane of a panel.
    #[allow(dead_code, reason = "not every instruction set has them in memory")]
    pub products: *mut i32,
}

impl Block {
    /// Row and column of the first pixel of a tile.
    fn first(&self, tile: usize) -> [usize; 2] {
        let across = self.rows.width.div_ceil(TILE);
        [tile / across * TILE, tile % across * TILE]
    }

    /// The pixels of a tile that are in the picture.
    pub fn pixels(&self, tile: usize) -> Rows {
        let (rows, [y, x]) = (self.rows, self.first(tile));
        Rows {
            output: rows.output.wrapping_add(y * rows.output_row + x * rows.output_pixel),
            height: TILE.min(rows.height - y),
            width: TILE.min(rows.width - x),
            ..rows
        }
    }

    /// Where the channels of a tile's patch begin, by row and column: the sum of two distances from the
    /// picture's first tap. What only pixels outside the picture would see is some pixel inside.
    pub fn patch(&self, tile: usize) -> impl Fn(usize, usize) -> *const u8 + use<> {
        let (rows, [y, x]) = (self.rows, self.first(tile));
        let distance = |first: usize, count: usize, step: usize| {
            let mut distances = [0; PATCH];
            distances.iter_mut().enumerate().for_each(|(i, d)| *d = (first + i).min(count + 1) * step);
            distances
        };
        let down = distance(y, rows.height, rows.input_row);
        let across = distance(x, rows.width, rows.input_pixel);
        move |row, column| rows.input.wrapping_add(down[row] + across[column])
    }
}

/// A convolution whose filters are transformed.
#[derive(Debug)]
pub struct PackedWinograd {
    /// Its constants; the weights are [`PackedWinograd::filters`], where a panel's begin at [`Panel::weights`].
    pub conv: PackedConv,
    /// Panel by panel; in a panel by (place, group of input channels, lane, channel of the group); see
    /// [`Loops::together`].
    pub filters: Piece<i16>,
    /// Input channels.
    pub inputs: usize,
    loops: Loops,
}

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
        packed.table = conv.table.as_ref().map(|_| Box::new([0; 256]));
        packed.set_params(conv, 0, zero_in, packer.kernels);
        Some(PackedWinograd { conv: packed, filters: transformed, inputs, loops: *loops })
    }

    /// Pairs of input channels.
    pub fn pairs(&self) -> usize {
        self.inputs.div_ceil(2)
    }

    /// Channels of a transformed patch.
    pub fn padded_inputs(&self) -> usize {
        self.inputs.next_multiple_of(CHANNELS)
    }

    /// QuantParams of a transformed patch.
    pub fn patch(&self) -> usize {
        PLACES * self.padded_inputs()
    }

    /// Bytes of one thread's patches and products.
    pub fn scratch_bytes(inputs: usize, outputs: usize, loops: &Loops) -> usize {
        let panel = outputs.next_multiple_of(loops.lanes).min(loops.panel * loops.lanes);
        let (patch, products) = (inputs.next_multiple_of(CHANNELS) * size_of::<i16>(), panel * size_of::<i32>());
        loops.tiles * PLACES * (patch + products)
    }

    /// Computes some tiles, block by block.
    ///
    /// # Safety
    /// As for [`Kernels::conv`], for the pixels of these tiles of `rows`; nobody else touches the scratch, which
    /// is aligned to four bytes and has [`PackedWinograd::scratch_bytes`].
    pub unsafe fn run(&self, rows: Rows, tiles: Range<usize>, scratch: *mut u8) {
        let patches = scratch.cast::<i16>();
        // Safety: inside the scratch; handed on.
        unsafe {
            let products = patches.add(self.loops.tiles * self.patch()).cast();
            let mut first = tiles.start;
            for blocks in (1..=tiles.len().div_ceil(self.loops.tiles)).rev() {
                let end = first + (tiles.end - first).div_ceil(blocks);
                (self.loops.run)(self, &Block { rows, tiles: first..end, patches, products });
                first = end;
            }
        }
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
