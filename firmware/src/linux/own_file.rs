//! Files and folders that lapwing writes: for its owner only, never through a link, never anything but a file.
//!
//! What a person names (a configuration, a model, a clip) is opened elsewhere: that may be a link.

use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use core::fmt::Write as _;

use heapless::String;
use rustix::fs::OFlags;

/// Rights of a file: its owner reads and writes it.
pub const FILE_MODE: u32 = 0o600;
/// Rights of a folder.
pub const FOLDER_MODE: u32 = 0o700;
/// What a temporary name begins and ends with.
const PART: (&str, &str) = (".lapwing-", ".part");

/// Opens a file for reading.
///
/// # Errors
/// It is missing, a link, or no regular file.
pub fn read(path: &Path) -> io::Result<File> {
    checked(OpenOptions::new().read(true), path)
}

/// Opens a file that is there for reading and writing.
///
/// # Errors
/// It is missing, a link, or no regular file.
pub fn write(path: &Path) -> io::Result<File> {
    checked(OpenOptions::new().read(true).write(true), path)
}

/// Opens a file for reading and writing, makes it where it is missing, and keeps what is in it.
///
/// # Errors
/// It is a link or no regular file, or cannot be made.
pub fn write_or_make(path: &Path) -> io::Result<File> {
    checked(OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE), path)
}

/// Makes a file that was not there.
///
/// # Errors
/// There is something of that name, or it cannot be made.
pub fn make(path: &Path) -> io::Result<File> {
    checked(OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE), path)
}

/// Makes a folder, and those above it that are missing.
///
/// # Errors
/// It cannot be made.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// A name for a file until it is whole. Nobody can guess it.
pub fn part_name() -> String<64> {
    let mut name = String::new();
    // the keys come from the system's random numbers; a name is at most 64 bytes long
    let _ = write!(name, "{}{:016x}{}", PART.0, RandomState::new().build_hasher().finish(), PART.1);
    name
}

/// True for a name that [`part_name`] gave: of a file that a process left which ended before it was whole.
pub fn is_part(name: &str) -> bool {
    let middle = name.strip_prefix(PART.0).and_then(|rest| rest.strip_suffix(PART.1));
    middle.is_some_and(|middle| middle.len() == 16 && middle.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Removes what processes left in a folder that ended before a file was whole. The caller is the only one who writes there.
///
/// # Errors
/// The folder cannot be read.
pub fn remove_parts(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_part) {
            let _ = std::fs::remove_file(entry.path()); // it is in nobody's way
        }
    }
    Ok(())
}

fn checked(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // a pipe must not make the caller wait
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = options.custom_flags(flags.cast_signed()).open(path).map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => refused("it is a link"),
        Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => refused("it is no regular file"),
        _ => error,
    })?;
    if !file.metadata()?.is_file() {
        return Err(refused("it is no regular file"));
    }
    Ok(file)
}

fn refused(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, std::format!("{what}: move it away"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_link_and_what_is_no_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        std::fs::write(inside("good"), "x").unwrap();
        std::os::unix::fs::symlink("good", inside("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", inside("dangling")).unwrap();
        std::fs::create_dir(inside("folder")).unwrap();
        let _socket = UnixListener::bind(inside("socket")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, inside("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(
            read(&inside("good")).is_ok() && write(&inside("good")).is_ok() && write_or_make(&inside("good")).is_ok()
        );
        for name in ["link", "dangling", "folder", "socket", "pipe"] {
            for open in [read, write, write_or_make, make] {
                assert!(open(&inside(name)).is_err(), "{name}");
            }
        }
        assert!(!inside("nowhere").exists());
        let said = std::format!("{}", read(&inside("pipe")).unwrap_err());
        assert!(said.contains("no regular file"), "{said}");
    }

    #[test]
    fn what_is_made_is_the_owner_s_alone() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        make_folder(&deep).unwrap();
        make(&deep.join("file")).unwrap();
        write_or_make(&deep.join("lock")).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(&folder.path().join("a")), mode(&deep)], [0o700; 2]);
        assert_eq!([mode(&deep.join("file")), mode(&deep.join("lock"))], [0o600; 2]);
        assert!(make(&deep.join("file")).is_err(), "made twice");
    }

    #[test]
    fn parts_are_known_again_and_differ() {
        let (one, other) = (part_name(), part_name());
        assert!(one != other && is_part(&one) && is_part(&other), "{one} {other}");
        assert!(!is_part(".lapwing-.part") && !is_part("a.part") && !is_part(".lapwing-0123456789abcdeg.part"));
        let folder = tempfile::tempdir().unwrap();
        for name in [one.as_str(), "mine.part"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        remove_parts(folder.path()).unwrap();
        assert!(!folder.path().join(one.as_str()).exists() && folder.path().join("mine.part").exists());
    }
}
