//! The definition of each operation, in plain loops.

use super::block::{Block, COLUMNS_SHIFT, LANES, MIX_SHIFT, Pixels, ROWS_SHIFT};
use super::columns::{Group, place};
use super::instructions::Lanes;
use super::mix::Mix;

/// Plain loops.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

/// Half of what is shifted out is added before.
fn rounded(sum: i32, shift: i32) -> i32 {
    (sum + (1 << (shift - 1))) >> shift
}

impl Lanes for Portable {
    type Sums = [i32; LANES];
    type Values = [i32; LANES];
    type Mixing = Mix;

    fn sums(self, numbers: [i32; LANES]) -> [i32; LANES] {
        numbers
    }

    fn numbers(self, sums: [i32; LANES]) -> [i32; LANES] {
        sums
    }

    fn add_rows(self, mut sums: [i32; LANES], rows: [&[u8; LANES]; 2], weights: [i16; 2]) -> [i32; LANES] {
        for (row, weight) in rows.into_iter().zip(weights) {
            sums.iter_mut().zip(row).for_each(|(sum, &sample)| *sum += i32::from(weight) * i32::from(sample));
        }
        sums
    }

    fn blended(self, sums: [i32; LANES]) -> Block {
        sums.map(|sum| rounded(sum, ROWS_SHIFT) as i16)
    }

    fn columns(self, group: Group<'_>) -> [i32; LANES] {
        std::array::from_fn(|lane| {
            let windows = group.samples[group.first[lane]..].chunks_exact(LANES).take(group.blocks).enumerate();
            let sum_of = |(block, window): (usize, &[i16])| -> i32 {
                let weights = &group.weights[place(lane, block)];
                window.iter().zip(weights).map(|(&s, &w)| i32::from(s) * i32::from(w)).sum()
            };
            rounded(windows.map(sum_of).sum(), COLUMNS_SHIFT)
        })
    }

    fn same(self, value: i16) -> [i32; LANES] {
        [i32::from(value); LANES]
    }

    fn mixing(self, mix: &Mix) -> Mix {
        *mix
    }

    fn mix(self, mix: &Mix, values: [[i32; LANES]; 3], pixels: &mut Pixels) {
        for (lane, pixel) in pixels.chunks_exact_mut(3).enumerate() {
            for (byte, weights) in pixel.iter_mut().zip(mix.weights) {
                let product = |k: usize| i32::from(weights[k]) * (values[k][lane] - i32::from(mix.offsets[k]));
                *byte = rounded(product(0) + product(1) + product(2), MIX_SHIFT).clamp(0, 255) as u8;
            }
        }
    }
}
