//! Good bytes of each format, from which the fuzzer begins.
//!
//! Every crate that reads bytes from outside has a module `fuzz_targets` with a list of formats, and one test there
//! that calls [`take`]. `cargo xtask fuzz` sets `LAPWING_SEEDS` and so gets the seeds as files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

/// A format's name and what its bytes are given to.
pub type Target = (&'static str, fn(&[u8]));

/// Every target takes its seeds, and with one byte changed refuses or does without. Where `LAPWING_SEEDS` names a
/// folder, the seeds are written there, a folder a format.
///
/// # Panics
/// If a target breaks a promise, or a format has no seed.
pub fn take(targets: &[Target], seeds: &[(&str, Vec<Vec<u8>>)]) {
    assert!(targets.iter().map(|(name, _)| *name).eq(seeds.iter().map(|(name, _)| *name)));
    for ((name, target), (_, seeds)) in targets.iter().zip(seeds) {
        assert!(!seeds.is_empty(), "{name}");
        for (number, seed) in seeds.iter().enumerate() {
            target(seed);
            let mut other = seed.clone();
            if !other.is_empty() {
                let at = number * 7 % other.len();
                other[at] ^= 0x11;
                target(&other);
            }
            if let Some(folder) = std::env::var_os("LAPWING_SEEDS") {
                let folder = Path::new(&folder).join(name);
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
            }
        }
    }
}
