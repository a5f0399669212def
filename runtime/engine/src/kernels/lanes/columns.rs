//! The weights of a row's columns, as vectors multiply them.

use super::block::{Block, LANES};

/// For each column of a result, where its samples begin and what they are multiplied with. Where samples of several
/// components lie beside each other, those of the others have the weight zero.
#[derive(Debug)]
pub struct Columns {
    /// By eight columns: the first sample of each. No window of `blocks` blocks from it reaches past `reach`.
    first: Vec<[usize; LANES]>,
    /// (groups, blocks, 4, 2), flat: of the eight columns of a group, the fifth lies beside the first, and so on.
    weights: Vec<Block>,
    blocks: usize,
    reach: usize,
}

/// Eight columns of a row. From each of `first`, `blocks` blocks lie in `samples`, and `weights` has as many for each.
#[derive(Debug, Clone, Copy)]
pub struct Group<'a> {
    /// The row.
    pub(super) samples: &'a [i16],
    /// The first sample of each.
    pub(super) first: &'a [usize; LANES],
    /// (blocks, 4, 2), flat; see [`Columns`].
    pub(super) weights: &'a [Block],
    /// Blocks of each; at least 1.
    pub(super) blocks: usize,
}

/// Where the weights of a column's block lie in its group.
#[inline(always)]
pub(super) fn place(lane: usize, block: usize) -> usize {
    block * LANES + lane % (LANES / 2) * 2 + lane / (LANES / 2)
}

impl Group<'_> {
    /// For each column the sum over its window: `add` adds the products of a block of samples with one of weights.
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    #[inline(always)]
    pub(super) fn windows<T: Copy>(self, zero: T, add: impl Fn(T, &Block, &Block) -> T) -> [T; LANES] {
        // SAFETY: as many blocks as there are. Numbers that are constants write out the loop.
        unsafe {
            match self.blocks {
                1 => self.sums(1, zero, add),
                2 => self.sums(2, zero, add),
                blocks => self.sums(blocks, zero, add),
            }
        }
    }

    /// # Safety
    /// There are so many blocks.
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    #[inline(always)]
    unsafe fn sums<T: Copy>(self, blocks: usize, zero: T, add: impl Fn(T, &Block, &Block) -> T) -> [T; LANES] {
        let mut sums = [zero; LANES];
        for (lane, sum) in sums.iter_mut().enumerate() {
            for block in 0..blocks {
                // SAFETY: the caller's promise, and what a group promises. A block of samples begins at any of them, and is no more aligned.
                let (samples, weights) = unsafe {
                    let at = self.samples.as_ptr().add(self.first[lane] + block * LANES);
                    (&*at.cast::<Block>(), self.weights.get_unchecked(place(lane, block)))
                };
                *sum = add(*sum, samples, weights);
            }
        }
        sums
    }
}

impl Columns {
    /// Column i is the sum of the `count` samples from `first[i]` on, each times its weight of
    /// `weights[i * count..][..count]`; samples lie `step` apart.
    ///
    /// # Panics
    /// If `count` or `step` is zero, or if there are not so many weights.
    pub fn new(first: &[usize], weights: &[i16], count: usize, step: usize) -> Columns {
        assert!(count > 0 && step > 0 && weights.len() == first.len() * count, "{count} weights for each column");
        let blocks = ((count - 1) * step + 1).div_ceil(LANES);
        let groups = first.len().div_ceil(LANES);
        let mut columns = Columns {
            first: vec![[0; LANES]; groups],
            weights: vec![[0; LANES]; groups * LANES * blocks],
            blocks,
            reach: blocks * LANES,
        };
        for (column, (start, weights)) in first.iter().zip(weights.chunks_exact(count)).enumerate() {
            let start = start * step;
            columns.first[column / LANES][column % LANES] = start;
            columns.reach = columns.reach.max(start + blocks * LANES);
            let group = &mut columns.weights[column / LANES * LANES * blocks..][..LANES * blocks];
            for (tap, weight) in weights.iter().enumerate() {
                let at = tap * step;
                group[place(column % LANES, at / LANES)][at % LANES] = *weight;
            }
        }
        columns
    }

    /// Samples that a row must have, the zeros behind it counted.
    pub fn reach(&self) -> usize {
        self.reach
    }

    /// The columns of a row, eight at a time.
    ///
    /// # Panics
    /// If there are fewer samples than [`Columns::reach`].
    #[inline(always)]
    pub fn groups<'a>(&'a self, samples: &'a [i16]) -> impl Iterator<Item = Group<'a>> {
        assert!(samples.len() >= self.reach, "a row shorter than its windows: {} samples", samples.len());
        let blocks = self.blocks;
        let groups = self.first.iter().zip(self.weights.chunks_exact(LANES * blocks));
        groups.map(move |(first, weights)| Group { samples, first, weights, blocks })
    }
}
