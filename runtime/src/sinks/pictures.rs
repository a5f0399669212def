//! A folder of JPEG pictures, bounded in number.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lapwing_firmware::linux::own_file;

use super::files::Part;
use super::picture_error::PictureError;
use crate::privacy::Redacted;
use lapwing_camera::frame::{Frame, picture};

/// Times that a picture is tried to be stored: once more where the folder was gone, once more where the disk was full.
const STORE_TRIES_MAX: u32 = 3;

/// A picture in the folder: by its number, then by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Stored {
    run: u64,
    frame: u64,
    name: String,
}

/// Stores pictures as JPEG; keeps at most `count_max`, the oldest goes first.
#[derive(Debug)]
pub struct PictureSink {
    folder: PathBuf,
    quality: u8,
    count_max: usize,
    /// In the order of their age.
    stored: VecDeque<Stored>,
    /// The highest run that had left one when the folder was opened.
    last_run: u32,
    encoded: Vec<u8>,
}

impl PictureSink {
    /// Counts what earlier runs left in the folder; where this one `stores` pictures, makes it if it is missing.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: &Path, quality: u8, count_max: usize, stores: bool) -> Result<PictureSink, PictureError> {
        let mut sink = PictureSink {
            folder: folder.into(),
            quality,
            count_max: count_max.max(1),
            stored: VecDeque::new(),
            last_run: 0,
            encoded: Vec::new(),
        };
        if stores {
            sink.make_folder()?;
            own_file::remove_parts(folder).map_err(|e| PictureError::io(folder, &e))?;
        }
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound && !stores => return Ok(sink),
            entries => entries.map_err(|e| PictureError::io(folder, &e))?,
        };
        let mut stored: Vec<Stored> =
            entries.filter_map(|entry| Stored::of(entry.ok()?.file_name().into_string().ok()?)).collect();
        stored.sort_unstable();
        sink.last_run = stored.last().map_or(0, |last| u32::try_from(last.run).unwrap_or(0));
        sink.stored = stored.into();
        Ok(sink)
    }

    fn make_folder(&self) -> Result<(), PictureError> {
        let above = self.folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let made = own_file::make_folder(&self.folder).and_then(|()| File::open(above)?.sync_all());
        made.map_err(|e| PictureError::io(&self.folder, &e))
    }

    /// Where the pictures are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The highest number of an earlier run that left a picture here, 0 if none did; also of one that has given way since.
    pub fn last_run(&self) -> u32 {
        self.last_run
    }

    /// Stores a picture under its run and frame number. It appears whole or not at all, and outlives a power cut
    /// from the return on: its bytes are synced before it gets its name, the folder after.
    ///
    /// # Errors
    /// The path, and what the encoder or the disk says.
    pub fn store(&mut self, run: u32, picture: &Redacted<Frame>) -> Result<PathBuf, PictureError> {
        let frame = picture.get();
        let name = format!("r{run:06}-f{:08}-{}.jpg", frame.seq, stem(frame.name()));
        let path = self.folder.join(&name);
        self.encoded.clear();
        picture::encode_jpeg(frame, self.quality, &mut self.encoded).map_err(|e| PictureError::new(&path, e))?;
        let mut done = self.write(&path);
        for _ in 1..STORE_TRIES_MAX {
            let helped = match done.as_ref().err().map(|error| error.kind) {
                Some(ErrorKind::NotFound) => self.make_folder().is_ok(),
                Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => self.give_way(self.encoded.len() as u64),
                _ => break,
            };
            if !helped {
                break;
            }
            done = self.write(&path);
        }
        done?;
        self.stored.push_back(Stored { run: run.into(), frame: frame.seq, name });
        while self.stored.len() > self.count_max && self.remove_oldest()?.is_some() {}
        Ok(path)
    }

    fn write(&self, path: &Path) -> Result<(), PictureError> {
        let mut part = Part::at(path)?;
        part.write(&self.encoded)?;
        part.finish()?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(|e| PictureError::io(path, &e))
    }

    /// Removes the oldest pictures until so many bytes are free; false if there was none.
    pub fn give_way(&mut self, bytes: u64) -> bool {
        let mut freed = 0;
        while freed < bytes {
            match self.remove_oldest() {
                Ok(Some(bytes)) => freed += bytes,
                Ok(None) => break,
                Err(_) => {} // it stays; the next one may go
            }
        }
        freed > 0 && File::open(&self.folder).and_then(|folder| folder.sync_all()).is_ok()
    }

    /// Removes the oldest picture; the bytes that it had, `None` where there is none. One that a person has removed is as
    /// good.
    fn remove_oldest(&mut self) -> Result<Option<u64>, PictureError> {
        let Some(oldest) = self.stored.pop_front() else { return Ok(None) };
        let path = self.folder.join(oldest.name);
        let bytes = fs::symlink_metadata(&path).map_or(0, |found| found.len());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(PictureError::io(&path, &error)),
            _ => Ok(Some(bytes)),
        }
    }
}

impl Stored {
    /// `r000001-f00000001-….jpg`, with more digits where the numbers have more: anything else in the folder is left alone.
    fn of(name: String) -> Option<Stored> {
        let digits = |text: &str, least: usize| {
            let are = text.len() >= least && text.bytes().all(|b| b.is_ascii_digit());
            are.then(|| text.parse().ok()).flatten()
        };
        let (run, rest) = name.strip_suffix(".jpg")?.strip_prefix('r')?.split_once("-f")?;
        let (frame, _) = rest.split_once('-')?;
        let (run, frame) = (digits(run, 6)?, digits(frame, 8)?);
        Some(Stored { run, frame, name })
    }
}

/// The last component of a name without its ending, in letters that every file system takes.
fn stem(name: &str) -> String {
    const LENGTH_MAX: usize = 48;
    let base = name.rsplit('/').next().unwrap_or(name);
    let base = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
    base.chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' })
        .take(LENGTH_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::{Hiding, Level, Redactor, Regions};

    fn redacted(seq: u64) -> Redacted<Frame> {
        let mut frame = Frame::new();
        frame.reset(8, 8).unwrap();
        frame.seq = seq;
        frame.set_name("some/folder/a b.png");
        Redactor::new(Hiding::default()).redact(frame, &Regions::default(), Level::Mosaic).0
    }

    fn left(folder: &Path) -> Vec<String> {
        let mut left: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        left
    }

    #[test]
    fn the_oldest_goes_first_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine.jpg"), "keep").unwrap();
        let mut sink = PictureSink::open(folder.path(), 80, 2, true).unwrap();
        sink.store(1, &redacted(1)).unwrap();
        sink.store(1, &redacted(2)).unwrap();
        let mut sink = PictureSink::open(folder.path(), 80, 2, true).unwrap();
        sink.store(2, &redacted(1)).unwrap();
        assert_eq!(left(folder.path()), ["mine.jpg", "r000001-f00000002-a_b.jpg", "r000002-f00000001-a_b.jpg"]);
        assert_eq!(PictureSink::open(folder.path(), 80, 2, true).unwrap().last_run(), 2);
    }

    /// Frame 100,000,000 is later than frame 99,999,999, and run 1,000,000 later than run 999,999.
    #[test]
    fn age_is_by_number_and_not_by_text() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = PictureSink::open(folder.path(), 80, 100, true).unwrap();
        for (run, seq) in [(1, 99_999_998), (1, 99_999_999), (1, 100_000_000), (999_999, 1), (1_000_000, 1)] {
            sink.store(run, &redacted(seq)).unwrap();
        }
        let mut sink = PictureSink::open(folder.path(), 80, 3, true).unwrap();
        assert_eq!(sink.last_run(), 1_000_000);
        sink.store(1_000_000, &redacted(2)).unwrap();
        let names = ["r1000000-f00000001-a_b.jpg", "r1000000-f00000002-a_b.jpg", "r999999-f00000001-a_b.jpg"];
        assert_eq!(left(folder.path()), names);
    }

    #[test]
    fn a_picture_that_a_person_deleted_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = PictureSink::open(folder.path(), 80, 2, true).unwrap();
        for seq in 1..=2 {
            sink.store(1, &redacted(seq)).unwrap();
        }
        for name in left(folder.path()) {
            fs::remove_file(folder.path().join(name)).unwrap();
        }
        for seq in 3..=5 {
            sink.store(1, &redacted(seq)).unwrap();
        }
        assert_eq!(left(folder.path()), ["r000001-f00000004-a_b.jpg", "r000001-f00000005-a_b.jpg"]);
    }

    #[test]
    fn a_folder_that_is_gone_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = folder.path().join("pictures");
        let mut sink = PictureSink::open(&pictures, 80, 5, true).unwrap();
        sink.store(1, &redacted(1)).unwrap();
        fs::remove_dir_all(&pictures).unwrap();
        sink.store(1, &redacted(2)).unwrap();
        assert_eq!(left(&pictures), ["r000001-f00000002-a_b.jpg"]);
    }

    #[test]
    fn pictures_give_way_oldest_first_and_are_their_owner_s_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let pictures = folder.path().join("pictures");
        let mut sink = PictureSink::open(&pictures, 80, 9, true).unwrap();
        let mut path = PathBuf::new();
        for seq in 1..=4 {
            path = sink.store(1, &redacted(seq)).unwrap();
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&pictures)), (0o600, 0o700));
        let bytes = fs::metadata(&path).unwrap().len();
        // a run that keeps no pictures gives up those of earlier ones
        let mut sink = PictureSink::open(&pictures, 80, 9, false).unwrap();
        assert!(sink.give_way(2 * bytes));
        assert_eq!(left(&pictures), ["r000001-f00000003-a_b.jpg", "r000001-f00000004-a_b.jpg"]);
        assert!(sink.give_way(100 * bytes) && !sink.give_way(1));
        assert_eq!(sink.last_run(), 1, "what has given way is not forgotten");
        let none = folder.path().join("none");
        assert!(!PictureSink::open(&none, 80, 9, false).unwrap().give_way(1) && !none.exists());
    }
}
