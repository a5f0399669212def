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

use super::memory::Piece;
use super::operands::Rows;
use super::packed::PackedConv;

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
    /// True if it is faster than `Kernels::conv` for so many inputs, outputs, and rows and columns of results.
    pub gains: fn(inputs: usize, outputs: usize, size: [usize; 2]) -> bool,
    /// Computes the tiles of a block.
    ///
    /// Safety: as for `Kernels::conv`, for the pixels of these tiles; nobody else touches the patches and
    /// products, which are those of [`PackedWinograd::run`].
    pub run: unsafe fn(&PackedWinograd, &Block),
}

impl Loops {
    /// Numbers of one transformed filter, with padding.
    pub(super) fn filter(&self, inputs: usize) -> usize {
        PLACES * inputs.next_multiple_of(self.together)
    }

    /// Numbers of all transformed filters of a convolution, with padding.
    pub(super) fn filters(&self, inputs: usize, outputs: usize) -> usize {
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
    /// Its constants; the weights are [`PackedWinograd::filters`], where a panel's begin at `Panel::weights`.
    pub conv: PackedConv,
    /// Panel by panel; in a panel by (place, group of input channels, lane, channel of the group); see
    /// [`Loops::together`].
    pub filters: Piece<i16>,
    /// Input channels.
    pub inputs: usize,
    pub(super) loops: Loops,
}

impl PackedWinograd {
    /// Pairs of input channels.
    pub fn pairs(&self) -> usize {
        self.inputs.div_ceil(2)
    }

    /// Channels of a transformed patch.
    pub fn padded_inputs(&self) -> usize {
        self.inputs.next_multiple_of(CHANNELS)
    }

    /// Numbers of a transformed patch.
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
    /// As for `Kernels::conv`, for the pixels of these tiles of `rows`; nobody else touches the scratch, which
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
