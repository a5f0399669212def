//! A file that holds the panic record of a process until they are in the log.
//!
//! The file exists at its full size from the start of the run, so that dying needs one write and one `fdatasync`: no
//! memory, no folder, no room on the disk. The first panic's words are kept; those that follow from it are not.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::panic;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use std::vec;

use core::fmt::Write as _;

use super::own_file;
use crate::panic_record::{PANIC_RECORD_BYTES, PanicRecord};

/// Name of the file in the data folder.
pub const FILE: &str = "last-words";

/// The file, open.
#[derive(Debug, Clone)]
pub struct PanicRecords {
    file: Arc<File>,
}

impl PanicRecords {
    /// Opens the file in `folder`, makes it where it is missing, and returns what the last process left in it.
    ///
    /// # Errors
    /// The folder does not exist or cannot be written.
    pub fn open(folder: &Path) -> io::Result<(PanicRecords, Option<PanicRecord>)> {
        let path = folder.join(FILE);
        let file = own_file::write_or_make(&path)?;
        let mut bytes = vec![0; PANIC_RECORD_BYTES];
        let found = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => PanicRecord::decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                file.write_all_at(&[0; PANIC_RECORD_BYTES], 0)?;
                file.sync_all()?;
                File::open(folder)?.sync_all()?;
                None
            }
            Err(error) => return Err(error),
        };
        Ok((PanicRecords { file: Arc::new(file) }, found))
    }

    /// From now on each panic of this process calls `make_safe` before anything else; the first one then writes its
    /// words to the file. After that a panic does what it did before. A disk that hangs holds up what comes after it,
    /// so whatever must not wait belongs into `make_safe`.
    pub fn keep_panics(&self, make_safe: impl Fn() + Send + Sync + 'static) {
        let (file, said) = (Arc::clone(&self.file), AtomicBool::new(false));
        let before = panic::take_hook();
        panic::set_hook(std::boxed::Box::new(move |info| {
            make_safe();
            if !said.swap(true, Ordering::SeqCst) {
                let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok();
                let mut words = PanicRecord::new(wall.and_then(|d| i64::try_from(d.as_micros()).ok()).unwrap_or(0));
                let thread = std::thread::current();
                let _ = write!(words, "thread {:?} {info}", thread.name().unwrap_or("without a name")); // never fails
                // a disk that fails now has the last word
                let _ = file.write_all_at(&words.encode(), 0).and_then(|()| file.sync_data());
            }
            before(info);
        }));
    }

    /// From now on each panic of this process calls `make_safe` before anything else, and no words are kept.
    pub fn before_panics(make_safe: impl Fn() + Send + Sync + 'static) {
        let before = panic::take_hook();
        panic::set_hook(std::boxed::Box::new(move |info| {
            make_safe();
            before(info);
        }));
    }

    /// The words are in the log: forgets them.
    ///
    /// # Errors
    /// The disk's own; they will be found once more.
    pub fn forget(&self) -> io::Result<()> {
        self.file.write_all_at(&[0; PANIC_RECORD_BYTES], 0)?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::{FILE, PANIC_RECORD_BYTES, PanicRecord, PanicRecords};
    use std::path::Path;
    use std::process::Command;

    /// Not a test: a process that panics, when [`a_panic_is_found_at_the_next_start`] starts it.
    #[test]
    fn child() {
        let Some(folder) = std::env::var_os("LAPWING_TEST_LAST_WORDS") else { return };
        let folder = Path::new(&folder).to_path_buf();
        let (words, _) = PanicRecords::open(&folder).unwrap();
        words.keep_panics(move || {
            // a disk may hang from the first write on: lines come before words
            let written = std::fs::read(folder.join(FILE)).unwrap();
            let order = if written.iter().all(|byte| *byte == 0) { "lines, then words" } else { "words were first" };
            let place = folder.join("order");
            if !place.exists() {
                std::fs::write(place, order).unwrap();
            }
        });
        let _ = std::thread::Builder::new()
            .name("camera".into())
            .spawn(|| panic!("the sensor said {}", 42))
            .unwrap()
            .join();
        panic!("a second one, which follows from it");
    }

    #[test]
    fn a_panic_is_found_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        assert!(PanicRecords::open(folder.path()).unwrap().1.is_none());
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "linux::panic_record::tests::child"])
            .env("LAPWING_TEST_LAST_WORDS", folder.path())
            .output()
            .unwrap();
        assert!(!output.status.success());
        assert_eq!(std::fs::read_to_string(folder.path().join("order")).unwrap(), "lines, then words");
        let (words, found) = PanicRecords::open(folder.path()).unwrap();
        let found = found.unwrap();
        for word in ["\"camera\"", "panic_record.rs", "the sensor said 42"] {
            assert!(found.text().contains(word), "{word}: {}", found.text());
        }
        assert!(found.wall_us() > 0);
        words.forget().unwrap();
        assert!(PanicRecords::open(folder.path()).unwrap().1.is_none(), "told once");
    }

    #[test]
    fn what_is_torn_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, &PanicRecord::new(1).encode()[..300]).unwrap();
        assert!(PanicRecords::open(folder.path()).unwrap().1.is_none());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), PANIC_RECORD_BYTES as u64);
    }
}
