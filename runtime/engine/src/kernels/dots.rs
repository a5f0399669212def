//! Sums of products of rows of whole numbers of sixteen bits: what attention is made of.

/// Rows are a multiple of this long.
pub(super) const ROW: usize = 16;

/// `sums[i]` is the sum of the products of `a` with row i of `rows`, each as long as `a`: what every instruction set
/// computes. Safety: none is asked for.
pub(super) unsafe fn dots_portable(a: &[i16], rows: &[i16], sums: &mut [i32]) {
    for (row, sum) in rows.chunks_exact(a.len().max(1)).zip(sums) {
        *sum = 0;
        for (a, b) in a.iter().zip(row) {
            *sum += i32::from(*a) * i32::from(*b);
        }
    }
}

/// As [`dots_portable`]. Safety: the processor has AVX2; `a` is a multiple of [`ROW`] long.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn dots_avx2(a: &[i16], rows: &[i16], sums: &mut [i32]) {
    use std::arch::x86_64::*;
    const TOGETHER: usize = 4;
    let length = a.len().max(1);
    let whole = sums.len() / TOGETHER * TOGETHER;
    for (rows, sums) in rows.chunks_exact(TOGETHER * length).zip(sums.chunks_exact_mut(TOGETHER)) {
        let mut lanes = [_mm256_setzero_si256(); TOGETHER];
        for at in (0..length).step_by(ROW) {
            // Safety: sixteen numbers of each row, which is a multiple of them long.
            unsafe {
                let x = _mm256_loadu_si256(a.as_ptr().add(at).cast());
                for (row, lane) in lanes.iter_mut().enumerate() {
                    let y = _mm256_loadu_si256(rows.as_ptr().add(row * length + at).cast());
                    *lane = _mm256_add_epi32(*lane, _mm256_madd_epi16(x, y));
                }
            }
        }
        let pairs = [_mm256_hadd_epi32(lanes[0], lanes[1]), _mm256_hadd_epi32(lanes[2], lanes[3])];
        let all = _mm256_hadd_epi32(pairs[0], pairs[1]);
        let all = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all));
        // Safety: four sums.
        unsafe { _mm_storeu_si128(sums.as_mut_ptr().cast(), all) };
    }
    // Safety: it asks for nothing.
    unsafe { dots_portable(a, &rows[whole * length..], &mut sums[whole..]) };
}

/// As [`dots_portable`]. Safety: `a` is a multiple of [`ROW`] long.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn dots_neon(a: &[i16], rows: &[i16], sums: &mut [i32]) {
    use std::arch::aarch64::*;
    for (row, sum) in rows.chunks_exact(a.len().max(1)).zip(sums) {
        // Safety: sixteen numbers of each row, which is a multiple of them long; every such processor has NEON.
        unsafe {
            let (mut low, mut high) = (vdupq_n_s32(0), vdupq_n_s32(0));
            for at in (0..a.len()).step_by(ROW / 2) {
                let (x, y) = (vld1q_s16(a.as_ptr().add(at)), vld1q_s16(row.as_ptr().add(at)));
                low = vmlal_s16(low, vget_low_s16(x), vget_low_s16(y));
                high = vmlal_high_s16(high, x, y);
            }
            *sum = vaddvq_s32(vaddq_s32(low, high));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Dots = unsafe fn(&[i16], &[i16], &mut [i32]);

    proptest! {
        #[test]
        fn every_instruction_set_sums_alike(
            length in 1usize..9, count in 0usize..11, seed in prop::collection::vec(-16_384i16..16_384, 64),
        ) {
            let number = |at: usize| seed[at * 7 % 64] / (1 + (at % 5) as i16 * 40);
            let (mut a, mut rows) = (Vec::new(), Vec::new());
            (0..length * ROW).for_each(|at| a.push(number(at)));
            (0..count * length * ROW).for_each(|at| rows.push(number(at + 13)));
            let mut expected = vec![0; count];
            // Safety: it asks for nothing.
            unsafe { dots_portable(&a, &rows, &mut expected) };
            let all: [Option<Dots>; 1] = [
                #[cfg(target_arch = "x86_64")]
                std::arch::is_x86_feature_detected!("avx2").then_some(dots_avx2 as Dots),
                #[cfg(target_arch = "aarch64")]
                Some(dots_neon as Dots),
                #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
                None,
            ];
            for dots in all.into_iter().flatten() {
                let mut found = vec![0; count];
                // Safety: the processor was asked, and rows are multiples of sixteen.
                unsafe { dots(&a, &rows, &mut found) };
                prop_assert_eq!(&found, &expected);
            }
        }
    }
}
