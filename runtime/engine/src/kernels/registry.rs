//! The instruction sets that this build knows, and which of them this processor has.

#[cfg(target_arch = "arm")]
use super::armv7;
use super::portable;
use super::set::Kernels;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, avxvnni};
#[cfg(target_arch = "aarch64")]
use super::{dotprod, i8mm, neon};

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
pub(crate) fn tested() -> Vec<&'static Kernels> {
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
