//! The kernels of one instruction set, as a table.

use super::super::quant::Table;
use super::operands::{Block, Product, Rows, Sum};
use super::packed::{PackedConv, PackedDepthwise};
use super::wide_store::{WideRow, WideStore};
use super::winograd::Loops;

/// The kernels of one instruction set, which this processor has: nothing else makes one than
/// [`available`](super::available) and [`best`](super::best), and they ask the processor. So a plan on them is sound, whoever asks for it.
///
/// ```
/// use lapwing_engine::kernels::{Kernels, best};
/// let kernels: &'static Kernels = best();
/// assert!(!kernels.name().is_empty());
/// ```
///
/// ```compile_fail
/// // the loops of an instruction set cannot be had without that question
/// let loops = &lapwing_engine::kernels::portable::KERNELS;
/// ```
///
/// ```compile_fail
/// // nor can they be replaced
/// use lapwing_engine::kernels::{Kernels, best};
/// let own = Kernels { name: "mine", ..*best() };
/// ```
pub struct Kernels {
    /// Shown by `doctor` and `bench`.
    pub(super) name: &'static str,
    /// Output channels of one vector of packed dense weights.
    pub(crate) lanes: usize,
    /// Widest panel, in vectors.
    pub(super) panel: usize,
    /// Input bytes that one lane of such a vector is multiplied with.
    pub(super) block: usize,
    /// A value lies in memory as `value ^ sign_xor`: 0 where the processor multiplies u8 by i8, 0x80 where
    /// it multiplies i8 by i8. Then a byte of memory, read as i8, is the value less 128.
    pub(crate) sign_xor: u8,
    /// Most output channels of convolutions that are better computed as one, see [`PackedConv::parts`]; 0 if
    /// `conv` does not know such.
    pub(crate) joins: usize,
    /// It looks up few entries at a time, so that a short table takes less time.
    pub(super) short_tables: bool,
    /// Dense convolution with fewer multiplications, if the processor gains by it.
    pub(super) winograd: Option<Loops>,
    /// Dense convolution of all rows and channels.
    ///
    /// Safety: every run of every pixel is readable ([`SLACK`](super::operands::SLACK) included); every output channel is
    /// writable and no other thread touches it.
    pub(super) conv: unsafe fn(&PackedConv, &Rows),
    /// Depthwise convolution of all rows and channels. Safety: as for `conv`.
    pub(super) depthwise: unsafe fn(&PackedDepthwise, &Rows),
    /// As `conv`, but writes the sums themselves, i32 in the machine's order, whole vectors of lanes:
    /// that of channel c of a pixel at byte 4 c. Multipliers and tables are left out.
    ///
    /// Safety: as for `conv`; the output is aligned to four bytes, its padded channels are writable.
    pub(super) conv_sums: unsafe fn(&PackedConv, &Rows),
    /// As `conv_sums`, with channels padded to whole blocks. Safety: as for `conv_sums`.
    pub(super) depthwise_sums: unsafe fn(&PackedDepthwise, &Rows),
    /// What becomes of such sums where an end has sixteen bits: [`super::wide_store::store`]. Safety: as stated there.
    pub(super) wide_store: unsafe fn(&WideStore, &WideRow),
    /// `output[i] = table[input[i]]`. Safety: `count` bytes are readable and writable; the two may
    /// be the same.
    pub(super) table: unsafe fn(table: &Table, input: *const u8, output: *mut u8, count: usize),
    /// `accumulator[i] = max(accumulator[i], input[i])` of the values, not of the xored bytes.
    /// Safety: as for `table`.
    pub(super) max: unsafe fn(input: *const u8, accumulator: *mut u8, count: usize),
    /// See [`Sum`]. Safety: as for `table`, both inputs.
    pub(super) add: unsafe fn(sum: &Sum, a: *const u8, b: *const u8, output: *mut u8, count: usize),
    /// See [`Product`]. Safety: as for `table`, both inputs.
    pub(super) mul: unsafe fn(product: &Product, a: *const u8, b: *const u8, output: *mut u8, count: usize),
    /// The mean over a block of each of `channels` bytes, rounded to nearest even.
    ///
    /// Safety: `channels` bytes are readable at every pixel of the block and writable at `output`.
    pub(super) mean: unsafe fn(block: &Block, input: *const u8, output: *mut u8, channels: usize),
    /// Channel i of each output pixel is the byte `sources[i]` behind the first one of its input pixel.
    ///
    /// Safety: these bytes are readable ([`SLACK`](super::operands::SLACK) included); every output channel is writable and no
    /// other thread touches it.
    pub(super) gather: unsafe fn(sources: &[usize], rows: &Rows),
    /// `sums[i]` is the sum of the products of `a` with row i of `rows`, see [`super::dots`]. Safety: the processor has
    /// these kernels; `a` is a multiple of [`super::dots::ROW`] long.
    pub(super) dots: unsafe fn(a: &[i16], rows: &[i16], sums: &mut [i32]),
    /// Keeps the multipliers busy for this many multiplications and nothing else; 0 done where the
    /// instruction set has no such loop. Safety: `self` runs on this processor.
    pub(super) burn: unsafe fn(multiplications: u64) -> u64,
}

impl Kernels {
    /// The name of the instruction set, shown by `doctor` and `bench`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A zero point as the kernels' multiplications see it.
    pub(crate) fn centre(&self, zero: u8) -> i32 {
        i32::from(zero) - i32::from(self.sign_xor)
    }

    /// A table of values as a table of bytes in memory.
    pub(crate) fn sign_xored(&self, table: &Table) -> Table {
        std::array::from_fn(|i| table[i ^ usize::from(self.sign_xor)] ^ self.sign_xor)
    }

    /// Multiplications a second of one thread that waits for nothing, in 10^9; the best of several
    /// tries. Takes some 50 ms. 0 for kernels that do not say.
    pub fn peak_gmac_per_s(&self) -> f64 {
        const MULTIPLICATIONS: u64 = 1 << 30;
        let rate = |_| {
            let start = std::time::Instant::now();
            // Safety: this processor has these kernels.
            let done = unsafe { (self.burn)(MULTIPLICATIONS) };
            done as f64 / start.elapsed().as_secs_f64() / 1e9
        };
        (0..8).map(rate).fold(0.0, f64::max)
    }
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
