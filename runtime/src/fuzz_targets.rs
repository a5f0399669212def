//! Any bytes as a configuration. For tests and `cargo xtask fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a promise that is broken is a panic")]

use lapwing_engine::Manifest;

use crate::config::Config;

/// A format's name and what its bytes are given to.
pub type Target = (&'static str, fn(&[u8]));

/// Every format.
pub const TARGETS: [Target; 1] = [("config", config)];

/// A configuration; every refusal names a cure.
fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let detector = Manifest::parse(lapwing_models::DETECT_NANO.manifest).unwrap();
    if let Err(error) = Config::parse(&text, "hostile").and_then(|config| config.bind(&detector)) {
        assert!(!error.what.is_empty() && !error.cure.is_empty(), "no cure: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_bytes_are_taken() {
        lapwing_seeds::take(&TARGETS, &[("config", vec![crate::config::BUILTIN.as_bytes().to_vec()])]);
    }
}
