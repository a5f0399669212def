//! The models that lapwing ships: what the main job needs travels in the binary, the rest are files that are found.
//!
//! | item | is | its card |
//! |---|---|---|
//! | [`DETECT_NANO`] | the default detector, 20 classes | `models/detect-nano/CARD.md` |
//! | [`DETECT_TINY`] | the same classes in four tenths of the time | `models/detect-tiny/CARD.md` |
//! | [`DETECT_SMALL`] | the same classes, better, in twice the time | `models/detect-small/CARD.md` |
//! | [`FLOW_PATCH`] | the generator of 64x64 windows, which fills holes | `models/flow-patch/CARD.md` |
//! | [`FLOW_CIFAR`] | the generator of 32x32 pictures of ten classes | `models/flow-cifar/CARD.md` |
//! | [`KNOWN`] | manifests of networks made elsewhere, recognised by their SHA-256 | in the manifest |
//! | [`folder`] | where the files of a model lie that do not travel in the binary | |
//!
//! Training recipes stand in `models/train`. This crate holds bytes and names, and looks for files; it computes
//! nothing.

mod search;

use std::path::PathBuf;

pub use search::{Missing, VARIABLE, folder};

/// A detector or a generator.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// The name a user gives to choose it.
    pub name: &'static str,
    /// Its manifest, TOML. The float32 networks that it names, ONNX, lie in [`folder`].
    pub manifest: &'static str,
    /// It in eight bits, with everything it needs to run; where the main job does not need it, it is [`ARTIFACT`] in
    /// [`folder`].
    pub artifact: Option<&'static [u8]>,
    /// The artifact's SHA-256 in hexadecimal digits: what is found in a folder must be it.
    pub artifact_sha256: &'static str,
}

impl Shipped {
    /// Where a file of it lies that does not travel in the binary; see [`folder`].
    ///
    /// # Errors
    /// That it was not found, and what to do.
    pub fn file(&self, file: &str) -> Result<PathBuf, Missing> {
        Ok(folder(self.name, file)?.join(file))
    }
}

/// The file name of a float32 detector in its folder.
pub const NETWORK: &str = "model.onnx";

/// The file name of an artifact in its folder.
pub const ARTIFACT: &str = "model.lap";

/// The default detector: 20 classes, 320x320, trained from random initialisation.
pub static DETECT_NANO: Shipped = Shipped {
    name: "detect-nano",
    manifest: include_str!("../detect-nano/manifest.toml"),
    artifact: Some(include_bytes!("../detect-nano/model.lap")),
    artifact_sha256: "b17b802bc1bc46c0905510bda8ed8bfe7b2efbfb3b4cf862af21cd2b0a6d4dbd",
};

/// For the smallest boards: the same classes, 256x256. Its artifact is a file, so that the binary stays small.
pub static DETECT_TINY: Shipped = Shipped {
    name: "detect-tiny",
    manifest: include_str!("../detect-tiny/manifest.toml"),
    artifact: None,
    artifact_sha256: "a5eedfe11c88a70d55f70af4822f25a217951d28d318e44c799fe7ea6a09fd54",
};

/// For boards with time to spare: the same classes, 320x320. Its artifact is a file.
pub static DETECT_SMALL: Shipped = Shipped {
    name: "detect-small",
    manifest: include_str!("../detect-small/manifest.toml"),
    artifact: None,
    artifact_sha256: "68c80cb4af3a2b71d543d048d3f3dd9f37a37a161ea576b103598a99a4d878b0",
};

/// All detectors, the default first.
pub static DETECTORS: [&Shipped; 3] = [&DETECT_NANO, &DETECT_TINY, &DETECT_SMALL];

/// Fills holes in 64x64 windows, and makes such windows of 20 classes.
pub static FLOW_PATCH: Shipped = Shipped {
    name: "flow-patch",
    manifest: include_str!("../flow-patch/manifest.toml"),
    artifact: Some(include_bytes!("../flow-patch/model.lap")),
    artifact_sha256: "2247ee06b2dd347c077ab164dfbe2ebce5c69f5927809ba78a49111f14480df0",
};

/// Makes 32x32 pictures of ten classes. The main job has no use for it: its artifact is a file.
pub static FLOW_CIFAR: Shipped = Shipped {
    name: "flow-cifar",
    manifest: include_str!("../flow-cifar/manifest.toml"),
    artifact: None,
    artifact_sha256: "2aa161397c1448a82f2ff7a419ac1f0bcab3294ded8fd95bd0ce8ba4ac11a748",
};

/// All generators.
pub static FLOWS: [&Shipped; 2] = [&FLOW_PATCH, &FLOW_CIFAR];

/// Manifests (TOML) of networks made elsewhere; each states the SHA-256 it belongs to.
pub const KNOWN: &[&str] = &[include_str!("../known/yolox-nano.toml"), include_str!("../known/fastestdet.toml")];
