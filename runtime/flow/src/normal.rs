//! Random numbers that are the same on every machine, by number and not by order.
//!
//! Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) is a
//! function of a key and a counter: number `i` of stream `s` under seed `k` can be had without those
//! before it. Normals come from it by Box and Muller (1958), in f64, with the logarithm, sine and
//! cosine of the crate `libm`: those of C libraries differ in the last bit from one to the next.

/// Turns of the cipher.
const ROUNDS: usize = 10;

/// A seed and a stream: independent sequences of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Normal {
    key: [u32; 2],
    stream: u64,
}

impl Normal {
    /// Stream `stream` of the numbers of `seed`.
    pub fn new(seed: u64, stream: u64) -> Normal {
        Normal { key: [seed as u32, (seed >> 32) as u32], stream }
    }

    /// Fills `out` with standard normals, numbers 0 to `out.len()` of this stream.
    pub fn fill(&self, out: &mut [f32]) {
        for (block, values) in out.chunks_mut(4).enumerate() {
            for (to, from) in values.iter_mut().zip(self.block(block as u64)) {
                *to = from as f32;
            }
        }
    }

    /// As [`Normal::fill`], unrounded.
    pub fn fill_f64(&self, out: &mut [f64]) {
        for (block, values) in out.chunks_mut(4).enumerate() {
            for (to, from) in values.iter_mut().zip(self.block(block as u64)) {
                *to = from;
            }
        }
    }

    /// Fills `out` with -1 and 1, each as likely (Rademacher's distribution).
    pub fn signs(&self, out: &mut [f64]) {
        for (block, values) in out.chunks_mut(128).enumerate() {
            let bits = philox(self.counter(block as u64), self.key);
            for (i, to) in values.iter_mut().enumerate() {
                *to = if bits[i / 32] >> (i % 32) & 1 == 1 { 1.0 } else { -1.0 };
            }
        }
    }

    /// Numbers 4 `index` to 4 `index` + 3.
    fn block(&self, index: u64) -> [f64; 4] {
        let [a, b, c, d] = philox(self.counter(index), self.key);
        let ([p, q], [r, s]) = (pair(a, b), pair(c, d));
        [p, q, r, s]
    }

    fn counter(&self, index: u64) -> [u32; 4] {
        [index as u32, (index >> 32) as u32, self.stream as u32, (self.stream >> 32) as u32]
    }
}

/// Two uniform numbers become two normals.
fn pair(a: u32, b: u32) -> [f64; 2] {
    let unit = |n: u32| (f64::from(n) + 0.5) / 4_294_967_296.0; // never 0, never 1
    let radius = libm::sqrt(-2.0 * libm::log(unit(a)));
    let angle = std::f64::consts::TAU * unit(b);
    [radius * libm::cos(angle), radius * libm::sin(angle)]
}

/// The cipher.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let first = u64::from(counter[0]) * 0xd251_1f53;
        let second = u64::from(counter[2]) * 0xcd9e_8d57;
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cipher_gives_its_authors_numbers() {
        // known answers of the Random123 distribution, philox4x32-10
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn moments_are_those_of_a_normal() {
        let mut x = vec![0f64; 1 << 18];
        Normal::new(7, 1).fill_f64(&mut x);
        let mean = |f: &dyn Fn(f64) -> f64| x.iter().map(|&v| f(v)).sum::<f64>() / x.len() as f64;
        assert!(mean(&|v| v).abs() < 0.01);
        assert!((mean(&|v| v * v) - 1.0).abs() < 0.01);
        assert!(mean(&|v| v.powi(3)).abs() < 0.03);
        assert!((mean(&|v| v.powi(4)) - 3.0).abs() < 0.1);
        assert!((mean(&|v| f64::from(v < 1.0)) - 0.841_345).abs() < 0.005);
        let lag = x.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / x.len() as f64;
        assert!(lag.abs() < 0.01);
    }

    #[test]
    fn streams_and_seeds_differ_and_a_prefix_stays() {
        let of = |seed, stream, n| {
            let mut x = vec![0f32; n];
            Normal::new(seed, stream).fill(&mut x);
            x
        };
        let (a, b, c) = (of(1, 0, 9), of(1, 1, 9), of(2, 0, 9));
        assert!(a != b && a != c && b != c);
        assert_eq!(of(1, 0, 1000)[..9], a);
    }

    #[test]
    fn signs_are_even() {
        let mut x = vec![0f64; 1 << 16];
        Normal::new(3, 0).signs(&mut x);
        assert!(x.iter().all(|v| v.abs() == 1.0));
        assert!(x.iter().sum::<f64>().abs() < 1000.0);
    }
}
