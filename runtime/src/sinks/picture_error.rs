//! Why a picture or a clip could not be stored: the path, what failed, and the cure.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// A picture could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("picture {path:?}: {what}; check that the disk has room and may be written")]
pub struct PictureError {
    /// The file or folder.
    pub path: PathBuf,
    /// What failed.
    pub what: String,
    pub(super) kind: ErrorKind,
}

impl PictureError {
    pub(super) fn new(path: &Path, what: impl ToString) -> PictureError {
        PictureError { path: path.into(), what: what.to_string(), kind: ErrorKind::Other }
    }

    pub(super) fn io(path: &Path, error: &io::Error) -> PictureError {
        PictureError { path: path.into(), what: error.to_string(), kind: error.kind() }
    }
}
