//! Inner loops, one file an instruction set, behind one table that is chosen once.
//!
//! A kernel sees bytes and steps, never a graph. What each must compute is [`super::reference`];
//! [`portable`] is the loop that every other one is tested against, and what a processor without
//! any of the others runs.
//!
//! Vectors stay inside functions that enable their features: arrays of them are written out or filled
//! by loops. `array::from_fn` and `array::map` enable nothing, so a closure is not inlined into them.
//!
//! # Safety
//! All `unsafe` of the engine is in this folder. A job holds raw pointers because the parts of one
//! picture's memory that two jobs touch interleave (concatenation in place, rows over threads).
//! [`super::plan`] makes jobs; it proves once, when a plan is made, that each byte a job may touch
//! lies inside the arena: those of the job itself and [`SLACK`] bytes behind them for reading.

#[cfg(target_arch = "aarch64")]
mod aarch64;
pub(super) mod arena;
#[cfg(target_arch = "arm")]
mod armv7;
pub(super) mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avxvnni;
mod barrier;
#[cfg(target_arch = "aarch64")]
mod dotprod;
#[cfg(test)]
mod feature_tests;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
mod gather;
#[cfg(test)]
mod guard_tests;
#[cfg(target_arch = "aarch64")]
mod i8mm;
pub(super) mod max_pool;
pub mod memory;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(super) mod packing;
pub(super) mod place;
mod portable;
pub(super) mod program;
pub(super) mod scratch;
mod short_table;
pub(super) mod step;
pub(super) mod tensor_span;
pub(super) mod wide;
pub(super) mod winograd;
#[cfg(target_arch = "x86_64")]
mod ymm;

pub(super) use packing::{PackedConv, PackedDepthwise};

use super::quant::Table;

/// Bytes that a kernel may read, and never writes, behind the last one of its job.
pub(super) const SLACK: usize = 128;

/// Rows of pixels to be read and written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    /// The first tap of the first output pixel.
    pub input: *const u8,
    /// Bytes from the input of one output pixel to that of its right neighbour.
    pub input_pixel: usize,
    /// Bytes from the input of one output row to that of the next.
    pub input_row: usize,
    /// The first channel of the first output pixel.
    pub output: *mut u8,
    /// Bytes from one output pixel to its right neighbour.
    pub output_pixel: usize,
    /// Bytes from one output row to the next.
    pub output_row: usize,
    /// Output pixels a row.
    pub width: usize,
    /// Output rows.
    pub height: usize,
}

/// What [`Kernels::add`] computes: `round((a - zeros[0]) * multipliers[0] + (b - zeros[1]) * multipliers[1]) + zeros[2]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    /// Of the two inputs.
    pub multipliers: [f32; 2],
    /// Of the two inputs and the output.
    pub zeros: [u8; 3],
}

/// What [`Kernels::mul`] computes: `round((a - zeros[0]) * (b - zeros[1]) * multiplier) + zeros[2]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    /// Of the product.
    pub multiplier: f32,
    /// Of the two inputs and the output.
    pub zeros: [u8; 3],
}

/// The pixels under a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// Rows and columns.
    pub pixels: [usize; 2],
    /// Bytes from one row and from one column to the next.
    pub steps: [usize; 2],
}

/// The kernels of one instruction set, which this processor has: nothing else makes one than [`available`] and
/// [`best`], and they ask the processor. So a plan on them is sound, whoever asks for it.
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
    name: &'static str,
    /// Output channels of one vector of packed dense weights.
    pub(super) lanes: usize,
    /// Widest panel, in vectors.
    panel: usize,
    /// Input bytes that one lane of such a vector is multiplied with.
    block: usize,
    /// A value lies in memory as `value ^ sign_xor`: 0 where the processor multiplies u8 by i8, 0x80 where
    /// it multiplies i8 by i8. Then a byte of memory, read as i8, is the value less 128.
    pub(super) sign_xor: u8,
    /// Most output channels of convolutions that are better computed as one, see [`PackedConv::parts`]; 0 if
    /// `conv` does not know such.
    pub(super) joins: usize,
    /// Dense convolution with fewer multiplications, if the processor gains by it.
    winograd: Option<winograd::Loops>,
    /// Dense convolution of all rows and channels.
    ///
    /// Safety: every run of every pixel is readable ([`SLACK`] included); every output channel is
    /// writable and no other thread touches it.
    conv: unsafe fn(&PackedConv, &Rows),
    /// Depthwise convolution of all rows and channels. Safety: as for `conv`.
    depthwise: unsafe fn(&PackedDepthwise, &Rows),
    /// As `conv`, but writes the sums themselves, i32 in the machine's order, whole vectors of lanes:
    /// that of channel c of a pixel at byte 4 c. Multipliers and tables are left out.
    ///
    /// Safety: as for `conv`; the output is aligned to four bytes, its padded channels are writable.
    conv_sums: unsafe fn(&PackedConv, &Rows),
    /// As `conv_sums`, with channels padded to whole blocks. Safety: as for `conv_sums`.
    depthwise_sums: unsafe fn(&PackedDepthwise, &Rows),
    /// What becomes of such sums where an end has sixteen bits: [`wide::store`]. Safety: as stated there.
    wide_store: unsafe fn(&wide::WideStore, &wide::WideRow),
    /// `output[i] = table[input[i]]`. Safety: `count` bytes are readable and writable; the two may
    /// be the same.
    table: unsafe fn(table: &Table, input: *const u8, output: *mut u8, count: usize),
    /// `accumulator[i] = max(accumulator[i], input[i])` of the values, not of the xored bytes.
    /// Safety: as for `table`.
    max: unsafe fn(input: *const u8, accumulator: *mut u8, count: usize),
    /// See [`Sum`]. Safety: as for `table`, both inputs.
    add: unsafe fn(sum: &Sum, a: *const u8, b: *const u8, output: *mut u8, count: usize),
    /// See [`Product`]. Safety: as for `table`, both inputs.
    mul: unsafe fn(product: &Product, a: *const u8, b: *const u8, output: *mut u8, count: usize),
    /// The mean over a block of each of `channels` bytes, rounded to nearest even.
    ///
    /// Safety: `channels` bytes are readable at every pixel of the block and writable at `output`.
    mean: unsafe fn(block: &Block, input: *const u8, output: *mut u8, channels: usize),
    /// Channel i of each output pixel is the byte `sources[i]` behind the first one of its input pixel.
    ///
    /// Safety: these bytes are readable ([`SLACK`] included); every output channel is writable and no
    /// other thread touches it.
    gather: unsafe fn(sources: &[usize], rows: &Rows),
    /// `sums[i]` is the sum of the products of `a` with row i of `rows`, see [`attention::dots_portable`]. Safety: the processor
    /// has these kernels.
    dots: unsafe fn(a: &[i16], rows: &[i16], sums: &mut [i32]),
    /// Keeps the multipliers busy for this many multiplications and nothing else; 0 done where the
    /// instruction set has no such loop. Safety: `self` runs on this processor.
    burn: unsafe fn(multiplications: u64) -> u64,
}

impl Kernels {
    /// The name of the instruction set, shown by `doctor` and `bench`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A zero point as the kernels' multiplications see it.
    pub(super) fn centre(&self, zero: u8) -> i32 {
        i32::from(zero) - i32::from(self.sign_xor)
    }

    /// A table of values as a table of bytes in memory.
    pub(super) fn sign_xored(&self, table: &Table) -> Table {
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

/// All kernels that this processor can run, the fastest first; the last are plain loops, which run anywhere.
pub fn available() -> Vec<&'static Kernels> {
    let found = [
        #[cfg(target_arch = "x86_64")]
        avx512::kernels(),
        #[cfg(target_arch = "x86_64")]
        avxvnni::kernels(),
        #[cfg(target_arch = "x86_64")]
        avx2::kernels(),
        #[cfg(target_arch = "arm")]
        armv7::kernels(),
        #[cfg(target_arch = "aarch64")]
        i8mm::kernels(),
        #[cfg(target_arch = "aarch64")]
        dotprod::kernels(),
        #[cfg(target_arch = "aarch64")]
        Some(neon::kernels()),
        Some(portable::kernels()),
    ];
    found.into_iter().flatten().collect()
}

/// What tests compare: [`available`], the portable loops on xored bytes, and loops of another
/// processor that this one can run in another encoding.
#[cfg(test)]
pub(super) fn tested() -> Vec<&'static Kernels> {
    let others = [
        Some(portable::signed()),
        #[cfg(target_arch = "x86_64")]
        avxvnni::evex::kernels(),
        #[cfg(target_arch = "x86_64")]
        avx512::eager(),
        #[cfg(target_arch = "aarch64")]
        Some(neon::eager()),
    ];
    available().into_iter().chain(others.into_iter().flatten()).collect()
}

/// The fastest kernels of this processor.
pub fn best() -> &'static Kernels {
    available()[0]
}
