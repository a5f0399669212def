//! A folder as a log's medium: one file a segment.
//!
//! | operation | system calls |
//! |---|---|
//! | create | a file of another name, written at its full size, `fdatasync`; `rename`, `fsync` of the folder |
//! | write | `pwrite` |
//! | sync | `fdatasync` of the file; then its path must still name it |
//! | remove | `unlink`, `fsync` of the folder |
//! | find | the folder's list, kept until it has no answer; `stat` of the segment that it names |
//!
//! A segment takes all of its room when it is made, so that a disk that fills up later takes nothing from it. Every
//! file is its owner's alone, is opened without following links, and must be a regular file.
//!
//! A walk over all segments therefore lists the folder twice, however many there are. The kept list may miss no
//! segment that matters: numbers only grow, so a later one stands behind the list's end, where the folder is asked anew.
//!
//! The single writer holds a lock on the file `lock`; the kernel releases it when the process ends,
//! however it ends. Readers need no lock.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::string::ToString;
use std::vec::Vec;

use super::own_file;
use crate::limits::{BLOCK_BYTES, SEGMENTS_MAX};
use crate::log::{Media, MediaError, fill_blank, id_of, name};

/// Segments whose numbers are kept.
const LISTED_MAX: usize = SEGMENTS_MAX as usize;

#[cfg(test)]
#[path = "media_tests.rs"]
mod tests;

/// An operation on a folder failed.
#[derive(Debug)]
pub struct DirError {
    operation: &'static str,
    path: PathBuf,
    error: io::Error,
    is_gone: bool,
}

impl DirError {
    fn new(operation: &'static str, path: &Path, error: io::Error) -> DirError {
        let writes = matches!(operation, "create" | "write" | "sync");
        let is_gone = writes && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::StaleNetworkFileHandle);
        DirError { operation, path: path.into(), error, is_gone }
    }

    /// Nobody who comes later finds `path` there.
    fn gone(operation: &'static str, path: &Path) -> DirError {
        let what = "the folder was removed, moved or unmounted under the run, and what it held is not there";
        let error = io::Error::new(ErrorKind::NotFound, what);
        DirError { operation, path: path.into(), error, is_gone: true }
    }
}

impl core::fmt::Display for DirError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let cure = match self.error.kind() {
            _ if self.is_gone => "; a new log is begun at this place if it can be made",
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
            ErrorKind::ResourceBusy | ErrorKind::InvalidInput => "",
            _ => "; see dmesg for the disk's own words",
        };
        write!(f, "{} {}: {}{cure}", self.operation, super::one_line(&self.path), self.error)
    }
}

impl core::error::Error for DirError {}

impl MediaError for DirError {
    fn is_full(&self) -> bool {
        matches!(self.error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    }

    fn is_gone(&self) -> bool {
        self.is_gone
    }
}

/// A folder of segments.
#[derive(Debug)]
pub struct DirMedia {
    folder: PathBuf,
    /// The path of the segment named last: its memory is used again, so that a long run asks for none.
    path: PathBuf,
    /// The path of a segment that is being made.
    part: PathBuf,
    /// Held for its lock; a reader has none.
    lock: Option<File>,
    /// Device and inode of the folder that is locked.
    identity: (u64, u64),
    /// The segment used last.
    open: Option<(u32, File)>,
    listed: Listed,
}

/// The segments of a folder as they were listed last.
#[derive(Debug, Default)]
struct Listed {
    /// Every number from here on was listed, up to the last in `ids`.
    from: u32,
    /// In order, at most [`LISTED_MAX`].
    ids: Vec<u32>,
    /// How often the folder was listed.
    #[cfg(test)]
    times: u32,
}

impl Listed {
    /// Takes the place of what was listed before: the smallest numbers from `from` on.
    fn fill(&mut self, from: u32, ids: impl Iterator<Item = io::Result<Option<u32>>>) -> io::Result<()> {
        self.from = from;
        self.ids.clear();
        for id in ids {
            let id = id.inspect_err(|_| self.ids.clear())?; // half a list may miss some
            self.ids.extend(id.filter(|id| *id >= from));
            if self.ids.len() == 2 * LISTED_MAX {
                self.order();
            }
        }
        self.order();
        #[cfg(test)]
        {
            self.times += 1;
        }
        Ok(())
    }

    fn order(&mut self) {
        self.ids.sort_unstable();
        self.ids.truncate(LISTED_MAX);
    }

    /// The smallest listed number from `from` on; `None` where only the folder knows.
    fn first(&self, from: u32) -> Option<u32> {
        if from < self.from {
            return None;
        }
        self.ids.get(self.ids.partition_point(|id| *id < from)).copied()
    }
}

impl DirMedia {
    /// Opens a folder for writing, makes it if it is missing, and locks it.
    ///
    /// # Errors
    /// The folder cannot be made or written, or another process writes to it.
    pub fn open(folder: &Path) -> Result<DirMedia, DirError> {
        let mut media = DirMedia::of(folder);
        media.take()?;
        Ok(media)
    }

    /// Opens a folder for reading, beside a writer if there is one.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn read(folder: &Path) -> Result<DirMedia, DirError> {
        fs::read_dir(folder).map_err(|error| DirError::new("read", folder, error))?;
        Ok(DirMedia::of(folder))
    }

    fn of(folder: &Path) -> DirMedia {
        DirMedia {
            folder: folder.into(),
            path: folder.join(name(0).as_str()),
            part: folder.join(own_file::part_name().as_str()),
            lock: None,
            identity: (0, 0),
            open: None,
            listed: Listed::default(),
        }
    }

    /// Makes the folder if it is missing, and locks it.
    fn take(&mut self) -> Result<(), DirError> {
        let folder = self.folder.as_path();
        (self.lock, self.open) = (None, None);
        self.listed = Listed::default();
        let existed = folder.is_dir();
        own_file::make_folder(folder).map_err(|e| DirError::new("make", folder, e))?;
        if !existed {
            for above in folder.ancestors().skip(1).take(2) {
                let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
                File::open(above).and_then(|f| f.sync_all()).map_err(|e| DirError::new("sync", above, e))?;
            }
        }
        let path = folder.join("lock");
        let lock = own_file::write_or_make(&path).map_err(|e| DirError::new("open", &path, e))?;
        locked(&lock).map_err(|e| match e {
            TryLockError::WouldBlock => {
                let what = "another lapwing writes to this log; stop it, or give another folder with --data";
                DirError::new("lock", &path, io::Error::new(ErrorKind::ResourceBusy, what.to_string()))
            }
            TryLockError::Error(e) => DirError::new("lock", &path, e),
        })?;
        self.identity = fs::metadata(folder).map(|m| identity(&m)).map_err(|e| DirError::new("stat", folder, e))?;
        own_file::remove_parts(folder).map_err(|e| DirError::new("list", folder, e))?;
        self.lock = Some(lock);
        Ok(())
    }

    fn path(&mut self, id: u32) -> &Path {
        self.path.set_file_name(name(id).as_str());
        &self.path
    }

    fn failed(&self, operation: &'static str, id: u32, error: io::Error) -> DirError {
        DirError::new(operation, &self.folder.join(name(id).as_str()), error)
    }

    fn with<T>(
        &mut self,
        id: u32,
        operation: &'static str,
        act: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> Result<T, DirError> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != id) {
            let open = if self.lock.is_some() { own_file::write } else { own_file::read };
            let opened = open(self.path(id));
            self.open = Some((id, opened.map_err(|error| self.failed(operation, id, error))?));
        }
        let done = match &mut self.open {
            Some((_, file)) => act(file),
            None => Err(ErrorKind::NotFound.into()),
        };
        done.map_err(|error| self.failed(operation, id, error))
    }

    fn sync_folder(&self) -> Result<(), DirError> {
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| DirError::new("sync", &self.folder, error))
    }

    /// What lies at the path of the log is the folder that was locked.
    fn is_there(&self) -> Result<(), DirError> {
        match fs::metadata(&self.folder) {
            Ok(found) if identity(&found) == self.identity => Ok(()),
            Ok(_) => Err(DirError::gone("create", &self.folder)),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(DirError::gone("create", &self.folder)),
            Err(error) => Err(DirError::new("stat", &self.folder, error)),
        }
    }

    /// Writes the file that becomes a segment.
    fn fill(&self, head: &[u8], bytes: u32) -> io::Result<File> {
        let file = own_file::make(&self.part)?;
        let mut block = [0; BLOCK_BYTES];
        fill_blank(&mut block, 0);
        let mut at = 0;
        while at < u64::from(bytes) {
            let count = (u64::from(bytes) - at).min(BLOCK_BYTES as u64) as usize;
            file.write_all_at(block.get(..count).unwrap_or(&[]), at)?;
            at += count as u64;
        }
        file.write_all_at(head, 0)?;
        file.sync_data()?;
        Ok(file)
    }
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
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
    const IN_BLOCKS: bool = true;

    fn find(&mut self, from: u32) -> Result<Option<u32>, DirError> {
        // a listed segment may be gone since, one that is not listed may have come behind them
        if let Some(id) = self.listed.first(from)
            && self.len(id)?.is_some()
        {
            return Ok(Some(id));
        }
        let failed = |error| DirError::new("list", &self.folder, error);
        let entries = fs::read_dir(&self.folder).map_err(failed)?;
        let ids = entries.map(|entry| Ok(entry?.file_name().to_str().and_then(id_of)));
        self.listed.fill(from, ids).map_err(failed)?;
        Ok(self.listed.first(from))
    }

    fn len(&mut self, id: u32) -> Result<Option<u32>, DirError> {
        let found = fs::symlink_metadata(self.path(id)).and_then(|found| match found.is_file() {
            true => Ok(found),
            false => Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file: move it away")),
        });
        let found = found.map_err(|error| self.failed("stat", id, error));
        Ok(unless_gone(found)?.map(|m| u32::try_from(m.len()).unwrap_or(u32::MAX)))
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

    fn create(&mut self, id: u32, head: &[u8], bytes: u32) -> Result<(), DirError> {
        self.is_there()?;
        if self.len(id)?.is_some() {
            return Err(self.failed("create", id, ErrorKind::AlreadyExists.into()));
        }
        self.part.set_file_name(own_file::part_name().as_str());
        let made = self.fill(head, bytes).and_then(|file| {
            self.path(id);
            fs::rename(&self.part, &self.path).map(|()| file)
        });
        match made {
            Ok(file) => self.open = Some((id, file)),
            Err(error) => {
                let _ = fs::remove_file(&self.part); // the error that matters is told
                return Err(self.failed("create", id, error));
            }
        }
        self.sync_folder()
    }

    fn write(&mut self, id: u32, offset: u32, bytes: &[u8]) -> Result<(), DirError> {
        self.with(id, "write", |file| file.write_all_at(bytes, u64::from(offset)))
    }

    fn sync(&mut self, id: u32) -> Result<(), DirError> {
        let written = self.with(id, "sync", |file| {
            file.sync_data()?;
            file.metadata()
        })?;
        match fs::symlink_metadata(self.path(id)) {
            Ok(found) if identity(&found) == identity(&written) => Ok(()),
            Ok(_) => Err(DirError::gone("sync", &self.path)),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(DirError::gone("sync", &self.path)),
            Err(error) => Err(self.failed("stat", id, error)),
        }
    }

    fn remove(&mut self, id: u32) -> Result<(), DirError> {
        self.open = self.open.take().filter(|(open, _)| *open != id);
        unless_gone(fs::remove_file(self.path(id)).map_err(|error| self.failed("remove", id, error)))?;
        self.listed.ids.retain(|listed| *listed != id);
        self.sync_folder()
    }

    fn renew(&mut self) -> Result<(), DirError> {
        self.take()
    }
}

/// How often, and how long apart, a lock is tried for.
const LOCK_TRIES: (u32, std::time::Duration) = (20, std::time::Duration::from_millis(10));

/// Takes a lock. One that was just given back may be held for a moment still: a process that is being started by this
/// one, or by the last run, has a copy of every open file until it runs its own program.
fn locked(file: &File) -> Result<(), TryLockError> {
    for _ in 1..LOCK_TRIES.0 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_TRIES.1),
            done => return done,
        }
    }
    file.try_lock()
}
