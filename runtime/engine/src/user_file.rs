//! Files that a person names: a configuration, a manifest, a network. They may be links, and must be regular files.
//!
//! A pipe or a device in their place would be waited for, or read without end.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file for reading, and says how long it is in bytes.
///
/// # Errors
/// It is missing, is no regular file, or may not be read.
pub fn open(path: &Path) -> io::Result<(File, u64)> {
    // a pipe must not make the caller wait
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file; give the path of one"));
    }
    Ok((file, found.len()))
}

/// The bytes of a file, of which there may be `bytes_max`.
///
/// # Errors
/// As [`open`], and [`ErrorKind::FileTooLarge`].
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let (file, length) = open(path)?;
    let mut bytes = Vec::with_capacity(length.min(bytes_max) as usize);
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// The same as text.
///
/// # Errors
/// As [`read`], and bytes that are not UTF-8.
pub fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    String::from_utf8(read(path, bytes_max)?)
        .map_err(|error| io::Error::new(ErrorKind::InvalidData, error.utf8_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, mknodat};

    #[test]
    fn only_a_regular_file_is_read_and_only_so_far() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        std::fs::write(inside("a"), "text").unwrap();
        std::os::unix::fs::symlink("a", inside("link")).unwrap();
        mknodat(CWD, inside("pipe"), FileType::Fifo, 0o600.into(), 0).unwrap();
        for name in ["a", "link"] {
            assert_eq!(read_text(&inside(name), 4).unwrap(), "text");
            assert_eq!(read(&inside(name), 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
        }
        for path in [inside("pipe"), folder.path().to_owned(), "/dev/zero".into()] {
            let said = read(&path, 4).unwrap_err().to_string();
            assert!(said.contains("regular file") || said.contains("directory"), "{}: {said}", path.display());
        }
        std::fs::write(inside("latin"), b"\xe9").unwrap();
        assert_eq!(read_text(&inside("latin"), 4).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
