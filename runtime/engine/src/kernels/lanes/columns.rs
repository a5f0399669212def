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

/// What [`Columns`] say of eight columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group<'a> {
    /// The first sample of each.
    pub first: &'a [usize; LANES],
    /// (blocks, 4, 2), flat; see [`Columns`].
    pub weights: &'a [Block],
}

/// Where the weights of a column's block lie in its group.
#[inline(always)]
pub(super) fn place(lane: usize, block: usize) -> usize {
    block * LANES + lane % (LANES / 2) * 2 + lane / (LANES / 2)
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

    /// Blocks of weights that a column has; at least 1.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Columns 8 `group` to 8 `group` + 7.
    #[inline(always)]
    pub(super) fn group(&self, group: usize) -> Group<'_> {
        let size = LANES * self.blocks;
        Group { first: &self.first[group], weights: &self.weights[group * size..][..size] }
    }
}
