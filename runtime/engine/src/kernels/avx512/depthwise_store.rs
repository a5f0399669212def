//! Sums of depthwise convolutions to bytes with AVX-512, and the order in which their taps are interleaved.

use std::arch::x86_64::*;

use super::super::PackedDepthwise;
use super::super::packed::DEPTHWISE_CHANNELS;
use super::store::{Lookup, activate, pack, round};

/// What the store of sixty-four channels needs, or of fewer, `lanes` of 128 bits, of several pixels.
pub(in crate::kernels) struct Store {
    multiplier: [__m512; 4],
    zero: __m512i,
    table: Option<Lookup>,
    /// The channels.
    pub mask: u64,
}

impl Store {
    /// The constants of `block`, and where its sums begin; a pixel has `lanes` (1, 2 or 4).
    ///
    /// Safety: `block` is a multiple of [`DEPTHWISE_CHANNELS`] below the padded channels.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub unsafe fn new(packed: &PackedDepthwise, block: usize, lanes: i32) -> (Store, [__m512i; 4]) {
        let channels = (packed.channels - block).min(DEPTHWISE_CHANNELS);
        // 8-bit unpacks put channels (4 v..4 v + 4) of each 128-bit lane into vector v; the packs at
        // the end undo that, so constants are taken in the same order
        let order = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 32, 33, 34, 35, 48, 49, 50, 51);
        let order = _mm512_and_si512(order, _mm512_set1_epi32(16 * lanes - 1));
        let (mut bias, mut multiplier) = ([_mm512_setzero_si512(); 4], [_mm512_setzero_ps(); 4]);
        for v in 0..4 {
            let at = block + 4 * v;
            // Safety: constants are padded to whole blocks.
            unsafe {
                bias[v] = _mm512_i32gather_epi32::<4>(order, packed.bias.as_ptr().add(at).cast());
                multiplier[v] = _mm512_i32gather_ps::<4>(order, packed.multiplier.as_ptr().add(at).cast());
            }
        }
        let store = Store {
            multiplier,
            zero: _mm512_set1_epi16(i16::from(packed.pre_zero)),
            table: Lookup::activation(&packed.table),
            mask: if channels >= 64 { u64::MAX } else { (1 << channels) - 1 },
        };
        (store, bias)
    }

    /// Sums to values in their order.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub fn bytes(&self, sums: [__m512i; 4]) -> __m512i {
        let r = |v: usize| round(sums[v], self.multiplier[v]);
        activate(pack([r(0), r(1), r(2), r(3)], [self.zero; 2]), self.table)
    }

    /// The sums of one pixel become its values.
    ///
    /// Safety: the channels under the mask are writable at `output`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub unsafe fn put(&self, sums: [__m512i; 4], output: *mut u8) {
        // Safety: masked.
        unsafe { _mm512_mask_storeu_epi8(output.cast(), self.mask, self.bytes(sums)) };
    }
}

/// Byte c of the four becomes the 32-bit group c; vector v has groups 4 v..4 v + 4 of each 128 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
pub(in crate::kernels) fn interleave(t: [__m512i; 4]) -> [__m512i; 4] {
    let low = [_mm512_unpacklo_epi8(t[0], t[1]), _mm512_unpacklo_epi8(t[2], t[3])];
    let high = [_mm512_unpackhi_epi8(t[0], t[1]), _mm512_unpackhi_epi8(t[2], t[3])];
    [
        _mm512_unpacklo_epi16(low[0], low[1]),
        _mm512_unpackhi_epi16(low[0], low[1]),
        _mm512_unpacklo_epi16(high[0], high[1]),
        _mm512_unpackhi_epi16(high[0], high[1]),
    ]
}
