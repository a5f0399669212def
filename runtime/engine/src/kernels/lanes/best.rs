//! The fastest instruction set of this processor.

#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
use super::instructions::Pass;
#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use super::portable::Portable;
#[cfg(target_arch = "x86_64")]
use super::sse2::Sse2;

/// Runs `pass` with the fastest instruction set that this processor has.
#[inline]
pub fn best<P: Pass>(pass: P) {
    #[cfg(target_arch = "x86_64")]
    match Avx2::new() {
        Some(lanes) => lanes.run(pass),
        None => pass.run(Sse2),
    }
    #[cfg(target_arch = "aarch64")]
    pass.run(Neon);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pass.run(Portable);
}
