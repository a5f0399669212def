//! The models that lapwing ships, embedded in the binary, and the manifests of models it knows.
//!
//! | item | is | its card |
//! |---|---|---|
//! | [`DETECT_NANO`] | the default detector, 20 classes | `models/detect-nano/CARD.md` |
//! | [`KNOWN`] | manifests of networks made elsewhere, recognised by their SHA-256 | in the manifest |
//!
//! Training recipes stand in `models/train`. This crate holds bytes and names; it computes nothing.
#![no_std]

/// A model that travels in the binary.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// The name a user gives to choose it.
    pub name: &'static str,
    /// Its manifest, TOML.
    pub manifest: &'static str,
    /// Its network in real numbers, ONNX. Only with the feature `onnx`.
    #[cfg(feature = "onnx")]
    pub network: &'static [u8],
    /// The quantised model: an artifact that needs neither of the others.
    pub artifact: &'static [u8],
}

/// The default detector: 20 classes, 320x320, trained from random initialisation.
pub const DETECT_NANO: Shipped = Shipped {
    name: "detect-nano",
    manifest: include_str!("../detect-nano/manifest.toml"),
    #[cfg(feature = "onnx")]
    network: include_bytes!("../detect-nano/model.onnx"),
    artifact: include_bytes!("../detect-nano/model.lap"),
};

/// Manifests (TOML) of networks made elsewhere; each states the SHA-256 it belongs to.
pub const KNOWN: &[&str] = &[include_str!("../known/yolox-nano.toml"), include_str!("../known/fastestdet.toml")];
