//! The models that lapwing ships, embedded in the binary, and the manifests of models it knows.
//!
//! | item | is | its card |
//! |---|---|---|
//! | [`DETECT_NANO`] | the default detector, 20 classes | `models/detect-nano/CARD.md` |
//! | [`FLOW_PATCH`] | the generator of 64x64 windows, which fills holes | `models/flow-patch/CARD.md` |
//! | [`FLOW_CIFAR`] | the generator of 32x32 pictures of ten classes | `models/flow-cifar/CARD.md` |
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

/// A generator that travels in the binary.
#[derive(Debug, Clone, Copy)]
pub struct ShippedFlow {
    /// The name a user gives to choose it.
    pub name: &'static str,
    /// Its manifest, TOML.
    pub manifest: &'static str,
    /// It in eight bits, with everything it needs to run.
    pub artifact: Option<&'static [u8]>,
    /// Its velocity network in real numbers, ONNX. Only with the feature `onnx`, as the next two.
    #[cfg(feature = "onnx")]
    pub velocity: &'static [u8],
    /// Its condition network.
    #[cfg(feature = "onnx")]
    pub condition: &'static [u8],
    /// Its gradient network, if it has one.
    #[cfg(feature = "onnx")]
    pub guide: Option<&'static [u8]>,
    /// Its classifier of clean pictures, if it has one.
    #[cfg(feature = "onnx")]
    pub measure: Option<&'static [u8]>,
}

/// Fills holes in 64x64 windows, and makes such windows of 20 classes.
pub const FLOW_PATCH: ShippedFlow = ShippedFlow {
    name: "flow-patch",
    manifest: include_str!("../flow-patch/manifest.toml"),
    artifact: Some(include_bytes!("../flow-patch/model.lap")),
    #[cfg(feature = "onnx")]
    velocity: include_bytes!("../flow-patch/velocity.onnx"),
    #[cfg(feature = "onnx")]
    condition: include_bytes!("../flow-patch/condition.onnx"),
    #[cfg(feature = "onnx")]
    guide: None,
    #[cfg(feature = "onnx")]
    measure: None,
};

/// Makes 32x32 pictures of ten classes.
pub const FLOW_CIFAR: ShippedFlow = ShippedFlow {
    name: "flow-cifar",
    manifest: include_str!("../flow-cifar/manifest.toml"),
    artifact: Some(include_bytes!("../flow-cifar/model.lap")),
    #[cfg(feature = "onnx")]
    velocity: include_bytes!("../flow-cifar/velocity.onnx"),
    #[cfg(feature = "onnx")]
    condition: include_bytes!("../flow-cifar/condition.onnx"),
    #[cfg(feature = "onnx")]
    guide: Some(include_bytes!("../flow-cifar/guide.onnx")),
    #[cfg(feature = "onnx")]
    measure: Some(include_bytes!("../flow-cifar/measure.onnx")),
};

/// All generators.
pub const FLOWS: [ShippedFlow; 2] = [FLOW_PATCH, FLOW_CIFAR];

/// Manifests (TOML) of networks made elsewhere; each states the SHA-256 it belongs to.
pub const KNOWN: &[&str] = &[include_str!("../known/yolox-nano.toml"), include_str!("../known/fastestdet.toml")];
