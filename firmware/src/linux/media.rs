//! A folder as a log's medium: one file a segment.
//!
//! | operation | system calls |
//! |---|---|
//! | create | `open(O_CREAT, O_EXCL)`, `fsync` of the folder |
//! | append | `write` |
//! | sync | `fdatasync` of the file |
//! | truncate | `ftruncate` |
//! | remove | `unlink`, `fsync` of the folder |
//!
//! The single writer holds a lock on the file `lock`; the kernel releases it when the process ends,
//! however it ends. Readers need no lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::string::ToString;

use crate::log::{Media, MediaError, id_of, name};

/// An operation on a folder failed.
#[derive(Debug)]
pub struct DirError {
    operation: &'static str,
    path: PathBuf,
    error: io::Error,
}

impl core::fmt::Display for DirError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let cure = match self.error.kind() {
            ErrorKind::PermissionDenied => ": run as the owner of this folder, or give another with --data",
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ": make room, or lower [log] total_kib",
            ErrorKind::ReadOnlyFilesystem => {
                ": the disk is mounted read-only, often after an error of its own; see dmesg"
            }
            ErrorKind::NotFound if self.operation == "read" => ": no such folder; `lapwing run` makes it",
            ErrorKind::NotFound => ": the folder is gone or cannot be made here; give another with --data",
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
                ": a file stands where a folder should be; give another place with --data"
            }
            ErrorKind::ResourceBusy => "",
            _ => "; see dmesg for the disk's own words",
        };
        write!(f, "{} {}: {}{cure}", self.operation, self.path.display(), self.error)
    }
}

impl core::error::Error for DirError {}

impl MediaError for DirError {
    fn is_full(&self) -> bool {
        matches!(self.error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    }
}

/// A folder of segments.
#[derive(Debug)]
pub struct DirMedia {
    folder: PathBuf,
    /// The path of the segment named last: its memory is used again, so that a long run asks for none.
    path: PathBuf,
    /// Held for its lock.
    _lock: Option<File>,
    /// The segment used last.
    open: Option<(u32, File)>,
    writes: bool,
}

impl DirMedia {
    /// Opens a folder for writing, makes it if it is missing, and locks it.
    ///
    /// # Errors
    /// The folder cannot be made or written, or another process writes to it.
    pub fn open(folder: &Path) -> Result<DirMedia, DirError> {
        let failed = |operation, path: &Path, error| DirError { operation, path: path.into(), error };
        let existed = folder.is_dir();
        fs::create_dir_all(folder).map_err(|e| failed("make", folder, e))?;
        if !existed {
            for above in folder.ancestors().skip(1).take(2) {
                let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
                File::open(above).and_then(|f| f.sync_all()).map_err(|e| failed("sync", above, e))?;
            }
        }
        let path = folder.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| failed("open", &path, e))?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => {
                let what = "another lapwing writes to this log; stop it, or give another folder with --data";
                failed("lock", &path, io::Error::new(ErrorKind::ResourceBusy, what.to_string()))
            }
            TryLockError::Error(e) => failed("lock", &path, e),
        })?;
        Ok(DirMedia::of(folder, Some(lock)))
    }

    /// Opens a folder for reading, beside a writer if there is one.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn read(folder: &Path) -> Result<DirMedia, DirError> {
        fs::read_dir(folder).map_err(|error| DirError { operation: "read", path: folder.into(), error })?;
        Ok(DirMedia::of(folder, None))
    }

    fn of(folder: &Path, lock: Option<File>) -> DirMedia {
        let writes = lock.is_some();
        DirMedia { folder: folder.into(), path: folder.join(name(0).as_str()), _lock: lock, open: None, writes }
    }

    fn path(&mut self, id: u32) -> &Path {
        self.path.set_file_name(name(id).as_str());
        &self.path
    }

    fn failed(&self, operation: &'static str, id: u32, error: io::Error) -> DirError {
        DirError { operation, path: self.folder.join(name(id).as_str()), error }
    }

    fn with<T>(
        &mut self,
        id: u32,
        operation: &'static str,
        act: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> Result<T, DirError> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != id) {
            let writes = self.writes;
            let opened = OpenOptions::new().read(true).append(writes).open(self.path(id));
            self.open = Some((id, opened.map_err(|error| self.failed(operation, id, error))?));
        }
        let done = match &mut self.open {
            Some((_, file)) => act(file),
            None => Err(ErrorKind::NotFound.into()),
        };
        done.map_err(|error| self.failed(operation, id, error))
    }

    fn sync_folder(&self) -> Result<(), DirError> {
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(|error| DirError {
            operation: "sync",
            path: self.folder.clone(),
            error,
        })
    }
}

/// `None` for a segment that does not exist: a reader beside a writer sees segments vanish.
fn unless_gone<T>(result: Result<T, DirError>) -> Result<Option<T>, DirError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.error.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

impl Media for DirMedia {
    type Error = DirError;

    fn find(&mut self, from: u32) -> Result<Option<u32>, DirError> {
        let failed = |error| DirError { operation: "list", path: self.folder.clone(), error };
        let mut least = None;
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let id = entry.map_err(failed)?.file_name().to_str().and_then(id_of);
            least = id.filter(|id| *id >= from && least.is_none_or(|least| *id < least)).or(least);
        }
        Ok(least)
    }

    fn len(&mut self, id: u32) -> Result<Option<u32>, DirError> {
        let length = fs::metadata(self.path(id)).map_err(|error| self.failed("stat", id, error));
        Ok(unless_gone(length)?.map(|m| u32::try_from(m.len()).unwrap_or(u32::MAX)))
    }

    fn read_at(&mut self, id: u32, offset: u32, into: &mut [u8]) -> Result<usize, DirError> {
        let read = self.with(id, "read", |file| {
            let mut done = 0;
            while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
                match file.read_at(rest, u64::from(offset) + done as u64) {
                    Ok(0) => break,
                    Ok(count) => done += count,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(done)
        });
        Ok(unless_gone(read)?.unwrap_or(0))
    }

    fn create(&mut self, id: u32) -> Result<(), DirError> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .open(self.path(id))
            .map_err(|error| self.failed("create", id, error))?;
        self.open = Some((id, file));
        self.sync_folder()
    }

    fn append(&mut self, id: u32, bytes: &[u8]) -> Result<(), DirError> {
        self.with(id, "write", |file| file.write_all(bytes))
    }

    fn sync(&mut self, id: u32) -> Result<(), DirError> {
        self.with(id, "sync", |file| file.sync_data())
    }

    fn truncate(&mut self, id: u32, bytes: u32) -> Result<(), DirError> {
        self.with(id, "truncate", |file| file.set_len(u64::from(bytes)))
    }

    fn remove(&mut self, id: u32) -> Result<(), DirError> {
        self.open = self.open.take().filter(|(open, _)| *open != id);
        unless_gone(fs::remove_file(self.path(id)).map_err(|error| self.failed("remove", id, error)))?;
        self.sync_folder()
    }
}
