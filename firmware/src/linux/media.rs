//! A folder as a log's medium: one file a segment.
//!
//! | operation | system calls |
//! |---|---|
//! | create | `open(O_CREAT, O_EXCL)`, `fsync` of the folder |
//! | append | `write` |
//! | sync | `fdatasync` of the file |
//! | truncate | `ftruncate` |
//! | remove | `unlink`, `fsync` of the folder |
//! | find | the folder's list, kept until it has no answer; `stat` of the segment that it names |
//!
//! A walk over all segments therefore lists the folder twice, however many there are. The kept list may miss no
//! segment that matters: numbers only grow, so a later one stands behind the list's end, where the folder is asked anew.
//!
//! The single writer holds a lock on the file `lock`; the kernel releases it when the process ends,
//! however it ends. Readers need no lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::string::ToString;
use std::vec::Vec;

use crate::limits::SEGMENTS_MAX;
use crate::log::{Media, MediaError, id_of, name};

/// Segments whose numbers are kept.
const LISTED_MAX: usize = SEGMENTS_MAX as usize;

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
        DirMedia {
            folder: folder.into(),
            path: folder.join(name(0).as_str()),
            _lock: lock,
            open: None,
            writes,
            listed: Listed::default(),
        }
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
        // a listed segment may be gone since, one that is not listed may have come behind them
        if let Some(id) = self.listed.first(from)
            && self.len(id)?.is_some()
        {
            return Ok(Some(id));
        }
        let failed = |error| DirError { operation: "list", path: self.folder.clone(), error };
        let entries = fs::read_dir(&self.folder).map_err(failed)?;
        let ids = entries.map(|entry| Ok(entry?.file_name().to_str().and_then(id_of)));
        self.listed.fill(from, ids).map_err(failed)?;
        Ok(self.listed.first(from))
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
        self.listed.ids.retain(|listed| *listed != id);
        self.sync_folder()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Limits, Log, Reader};

    fn filled(folder: &Path, runs: u32) {
        for _ in 0..runs {
            let limits = Limits { segment_bytes: 16_384, total_bytes: 64 << 20 };
            let (mut log, _) = Log::open(DirMedia::open(folder).unwrap(), limits).unwrap();
            log.append(b"x").unwrap();
            log.commit().unwrap();
        }
    }

    fn walk(media: &mut DirMedia) -> Vec<u32> {
        let (mut seen, mut from) = (Vec::new(), 0);
        while let Some(id) = media.find(from).unwrap() {
            seen.push(id);
            from = id + 1;
        }
        seen
    }

    #[test]
    fn opening_lists_the_folder_as_often_for_many_segments_as_for_few() {
        let folder = tempfile::tempdir().unwrap();
        let mut times = Vec::new();
        for runs in [2, 30] {
            filled(folder.path(), runs);
            let limits = Limits { segment_bytes: 16_384, total_bytes: 64 << 20 };
            let (log, found) = Log::open(DirMedia::open(folder.path()).unwrap(), limits).unwrap();
            times.push((found.segments, log.into_media().listed.times));
        }
        assert_eq!(times.iter().map(|(segments, _)| *segments).collect::<Vec<_>>(), [2, 32]);
        assert!(times[0].1 == times[1].1 && times[0].1 < 8, "{times:?}");
    }

    #[test]
    fn what_comes_and_goes_beside_a_reader_is_found() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path(), 4);
        let mut media = DirMedia::read(folder.path()).unwrap();
        assert_eq!(walk(&mut media), [1, 2, 3, 4]);
        filled(folder.path(), 2);
        fs::remove_file(folder.path().join(name(1).as_str())).unwrap();
        fs::remove_file(folder.path().join(name(3).as_str())).unwrap();
        assert_eq!(media.find(3).unwrap(), Some(4));
        assert_eq!(walk(&mut media), [2, 4, 5, 6]);
        for stranger in ["lock~", "0000001.seg", "7.seg"] {
            fs::write(folder.path().join(stranger), b"").unwrap();
        }
        assert_eq!(walk(&mut media), [2, 4, 5, 6]);
        let mut reader = Reader::new(&mut media);
        assert!(reader.next().unwrap().is_some());
    }

    #[test]
    fn a_list_is_bounded_and_keeps_the_smallest() {
        let mut listed = Listed::default();
        let many = (1..=5 * LISTED_MAX as u32).rev().map(|id| Ok(Some(id)));
        listed.fill(7, many).unwrap();
        assert!(listed.ids.len() == LISTED_MAX && listed.ids.capacity() <= 4 * LISTED_MAX);
        assert_eq!((listed.first(7), listed.first(6), listed.first(8)), (Some(7), None, Some(8)));
        let last = 6 + LISTED_MAX as u32;
        assert_eq!((listed.first(last), listed.first(last + 1)), (Some(last), None));
        // a list that breaks off answers nothing
        let broken = [Ok(Some(9)), Err(io::Error::from(ErrorKind::Other)), Ok(Some(8))];
        assert!(listed.fill(7, broken.into_iter()).is_err());
        assert_eq!(listed.first(7), None);
    }
}
