//! 128-bit vectors of NEON, which every aarch64 processor has.

use std::arch::aarch64::*;

use super::block::{Block, COLUMNS_SHIFT, LANES, MIX_SHIFT, Pixels, ROWS_SHIFT};
use super::columns::Group;
use super::instructions::Lanes;
use super::mix::Mix;

/// NEON.
#[derive(Debug, Clone, Copy)]
pub struct Neon;

/// A mix: its weights, and what is added.
#[derive(Debug, Clone, Copy)]
pub struct Mixing {
    weights: [[i16; 3]; 3],
    added: [int32x4_t; 3],
}

#[inline(always)]
fn load(block: &Block) -> int16x8_t {
    bytemuck::cast(*block)
}

impl Lanes for Neon {
    type Sums = [int32x4_t; 2];
    type Values = int16x8_t;
    type Mixing = Mixing;

    #[inline(always)]
    fn sums(self, numbers: [i32; LANES]) -> Self::Sums {
        bytemuck::cast(numbers)
    }

    #[inline(always)]
    fn numbers(self, sums: Self::Sums) -> [i32; LANES] {
        bytemuck::cast(sums)
    }

    #[inline(always)]
    fn add_rows(self, [mut low, mut high]: Self::Sums, rows: [&[u8; LANES]; 2], weights: [i16; 2]) -> Self::Sums {
        for (row, weight) in rows.into_iter().zip(weights) {
            // SAFETY: NEON is part of aarch64.
            unsafe {
                let samples = vreinterpretq_s16_u16(vmovl_u8(bytemuck::cast(*row)));
                low = vmlal_n_s16(low, vget_low_s16(samples), weight);
                high = vmlal_high_n_s16(high, samples, weight);
            }
        }
        [low, high]
    }

    #[inline(always)]
    fn blended(self, [low, high]: Self::Sums) -> Block {
        // SAFETY: NEON is part of aarch64.
        bytemuck::cast(unsafe { vcombine_s16(vrshrn_n_s32::<ROWS_SHIFT>(low), vrshrn_n_s32::<ROWS_SHIFT>(high)) })
    }

    #[inline(always)]
    fn columns(self, group: Group<'_>) -> int16x8_t {
        // SAFETY: NEON is part of aarch64.
        let add = |sum, samples: &Block, weights: &Block| unsafe {
            let (samples, weights) = (load(samples), load(weights));
            vmlal_high_s16(vmlal_s16(sum, vget_low_s16(samples), vget_low_s16(weights)), samples, weights)
        };
        let zero: int32x4_t = bytemuck::cast([0i32; 4]);
        let [a, b, c, d, e, f, g, h] = group.windows(zero, add);
        // SAFETY: as above.
        unsafe {
            let low = vrshrq_n_s32::<COLUMNS_SHIFT>(vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)));
            let high = vrshrq_n_s32::<COLUMNS_SHIFT>(vpaddq_s32(vpaddq_s32(e, f), vpaddq_s32(g, h)));
            vcombine_s16(vmovn_s32(low), vmovn_s32(high))
        }
    }

    #[inline(always)]
    fn same(self, value: i16) -> int16x8_t {
        load(&[value; LANES])
    }

    #[inline(always)]
    fn mixing(self, mix: &Mix) -> Mixing {
        let [p, q, r] = mix.added();
        let added = [bytemuck::cast([p; 4]), bytemuck::cast([q; 4]), bytemuck::cast([r; 4])];
        Mixing { weights: mix.weights, added }
    }

    #[inline(always)]
    fn mix(self, mixing: &Mixing, [a, b, c]: [int16x8_t; 3], pixels: &mut Pixels) {
        // SAFETY: NEON is part of aarch64; 24 bytes are written to as many.
        unsafe {
            let mut planes = [vdup_n_u8(0); 3];
            for ((plane, &[p, q, r]), &added) in planes.iter_mut().zip(&mixing.weights).zip(&mixing.added) {
                let low = vmlal_n_s16(vmlal_n_s16(added, vget_low_s16(a), p), vget_low_s16(b), q);
                let low = vshrq_n_s32::<MIX_SHIFT>(vmlal_n_s16(low, vget_low_s16(c), r));
                let high = vmlal_high_n_s16(vmlal_high_n_s16(added, a, p), b, q);
                let high = vshrq_n_s32::<MIX_SHIFT>(vmlal_high_n_s16(high, c, r));
                *plane = vqmovun_s16(vcombine_s16(vqmovn_s32(low), vqmovn_s32(high)));
            }
            let [red, green, blue] = planes;
            vst3_u8(pixels.as_mut_ptr(), uint8x8x3_t(red, green, blue));
        }
    }
}
