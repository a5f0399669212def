//! Files that a command writes where its call says; where it cannot, the error names the path and the cure.

use std::path::Path;

use lapwing_camera::frame::printable::Printable;
use lapwing_camera::frame::{Frame, picture};

use super::out::Failure;

/// Writes an artifact.
///
/// # Errors
/// The path, and what the disk says.
#[cfg(feature = "onnx")]
pub fn write(output: &Path, bytes: &[u8]) -> Result<(), Failure> {
    put(output, bytes, "name another file with --output")
}

/// Writes a picture as PNG.
///
/// # Errors
/// What the encoder says, or the path and what the disk says.
pub fn write_png(frame: &Frame, path: &Path) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    picture::encode_png(frame, &mut bytes).map_err(Failure::job)?;
    put(path, &bytes, "name another file")
}

fn put(path: &Path, bytes: &[u8], cure: &str) -> Result<(), Failure> {
    let refused = |e| Failure::Job(format!("{}: cannot be written: {e}; {cure}", Printable(path.display())));
    std::fs::write(path, bytes).map_err(refused)
}
