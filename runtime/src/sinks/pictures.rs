//! A folder of JPEG pictures, bounded in number.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::files::Part;
use crate::privacy::Redacted;
use lapwing_camera::frame::{Frame, picture};

/// A picture could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("picture {path:?}: {what}; check that the disk has room and may be written")]
pub struct PictureError {
    /// The file or folder.
    pub path: PathBuf,
    /// What failed.
    pub what: String,
}

impl PictureError {
    pub(super) fn new(path: &Path, what: impl ToString) -> PictureError {
        PictureError { path: path.into(), what: what.to_string() }
    }
}

/// Stores pictures as JPEG; keeps at most `count_max`, the oldest goes first.
#[derive(Debug)]
pub struct PictureSink {
    folder: PathBuf,
    quality: u8,
    count_max: usize,
    /// File names in the order of their age.
    stored: VecDeque<String>,
    encoded: Vec<u8>,
}

impl PictureSink {
    /// Opens or makes the folder; counts what earlier runs left there.
    pub fn open(folder: &Path, quality: u8, count_max: usize) -> Result<PictureSink, PictureError> {
        let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)
            .and_then(|()| File::open(above)?.sync_all())
            .map_err(|e| PictureError::new(folder, e))?;
        let mut names: Vec<String> = fs::read_dir(folder)
            .map_err(|e| PictureError::new(folder, e))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| is_ours(name))
            .collect();
        names.sort_unstable(); // run and frame lead the name, zero-padded
        Ok(PictureSink {
            folder: folder.into(),
            quality,
            count_max: count_max.max(1),
            stored: names.into(),
            encoded: Vec::new(),
        })
    }

    /// Where the pictures are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stores a picture under its run and frame number. It appears whole or not at all, and outlives a power cut
    /// from the return on: its bytes are synced before it gets its name, the folder after.
    pub fn store(&mut self, run: u32, picture: &Redacted<Frame>) -> Result<PathBuf, PictureError> {
        let frame = picture.get();
        let name = format!("r{run:06}-f{:08}-{}.jpg", frame.seq, stem(frame.name()));
        let (path, part) = (self.folder.join(&name), self.folder.join(".part"));
        self.encoded.clear();
        picture::encode_jpeg(frame, self.quality, &mut self.encoded).map_err(|e| PictureError::new(&path, e))?;
        let mut part = Part::at(&path, part)?;
        part.write(&self.encoded)?;
        part.finish()?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(|e| PictureError::new(&path, e))?;
        self.stored.push_back(name);
        while self.stored.len() > self.count_max {
            if let Some(oldest) = self.stored.pop_front() {
                let path = self.folder.join(oldest);
                fs::remove_file(&path).map_err(|e| PictureError::new(&path, e))?;
            }
        }
        Ok(path)
    }
}

/// `r000001-f00000001-….jpg`: anything else in the folder is left alone.
fn is_ours(name: &str) -> bool {
    let digits = |from: usize, count: usize| {
        name.get(from..from + count).is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()))
    };
    name.starts_with('r') && digits(1, 6) && name.get(7..9) == Some("-f") && digits(9, 8) && name.ends_with(".jpg")
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

    #[test]
    fn the_oldest_goes_first_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine.jpg"), "keep").unwrap();
        let mut sink = PictureSink::open(folder.path(), 80, 2).unwrap();
        sink.store(1, &redacted(1)).unwrap();
        sink.store(1, &redacted(2)).unwrap();
        let mut sink = PictureSink::open(folder.path(), 80, 2).unwrap();
        sink.store(2, &redacted(1)).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["mine.jpg", "r000001-f00000002-a_b.jpg", "r000002-f00000001-a_b.jpg"]);
    }
}
