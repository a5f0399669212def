//! Which files are pictures, by their names, and how large one may be.

use std::path::Path;

/// The most bytes of one picture file.
pub const PICTURE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How a picture's file name ends, in lower case.
const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// Whether a file's name ends like a picture's and does not begin with a dot.
#[must_use]
pub fn is_picture_name(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    !base.starts_with('.') && has_extension(Path::new(base), &EXTENSIONS)
}

pub(super) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| extensions.iter().any(|e| e.eq_ignore_ascii_case(extension)))
}
