//! One program for all formats: the environment says which (`LAPWING_FUZZ`), libFuzzer's arguments say how long.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fn choose() {
    let asked = std::env::var("LAPWING_FUZZ").unwrap_or_default();
    let all = lapwing_engine::fuzz_targets::TARGETS
        .into_iter()
        .chain(lapwing_camera::fuzz_targets::TARGETS)
        .chain(lapwing_vision::fuzz_targets::TARGETS)
        .chain(lapwing_flow::fuzz_targets::TARGETS)
        .chain(lapwing_runtime::fuzz_targets::TARGETS)
        .chain(lapwing_firmware::log::fuzz_targets::TARGETS);
    let found = all.clone().find(|(name, _)| *name == asked);
    let Some((_, target)) = found else {
        let names: Vec<&str> = all.map(|(name, _)| name).collect();
        eprintln!("LAPWING_FUZZ is {asked:?}; it is one of {}", names.join(", "));
        std::process::exit(2);
    };
    let _ = TARGET.set(target);
}

fuzz_target!(init: choose(), |bytes: &[u8]| {
    if let Some(target) = TARGET.get() {
        target(bytes);
    }
});
