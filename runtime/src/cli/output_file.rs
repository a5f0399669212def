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
    std::fs::write(output, bytes).map_err(|e| {
        Failure::Job(format!(
            "{}: cannot be written: {e}; name another file with --output",
            Printable(output.display())
        ))
    })
}

/// Writes a picture as PNG.
///
/// # Errors
/// What the encoder says, or the path and what the disk says.
pub fn write_png(frame: &Frame, path: &Path) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    picture::encode_png(frame, &mut bytes).map_err(Failure::job)?;
    std::fs::write(path, &bytes)
        .map_err(|e| Failure::Job(format!("{}: cannot be written: {e}; name another file", Printable(path.display()))))
}
