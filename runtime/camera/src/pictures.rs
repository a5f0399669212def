//! Pictures from disk: files, folders and `.tar` archives, one after the other.
//!
//! A folder is walked once, when the source is opened, to [`FOLDER_DEPTH_MAX`] levels, by name and without following links
//! to folders; what does not end like a picture is passed over in silence. A file that was named by itself is tried
//! whatever it is called, and told about if it is no picture. An archive is read in its own order, without unpacking.
//! The list is fixed at opening; a file that vanishes later is one [`Next::Broken`], and so is a folder inside that cannot
//! be looked into, at its place among the others.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::picture_file::has_extension;
use super::tarball::{Entry, Tarball};
use super::{Next, Pacing, STILL_PERIOD_US, Source, SourceError};
use crate::frame::printable::Printable;
use crate::frame::{Frame, picture};

pub use super::picture_file::{PICTURE_BYTES_MAX, is_picture_name};

/// The most levels of folders inside a folder.
pub const FOLDER_DEPTH_MAX: usize = 16;
/// The most things in the folders of one source.
pub const FILES_MAX: usize = 1_000_000;

/// What a walk finds.
#[derive(Debug, Clone)]
enum Item {
    /// A picture or an archive.
    File(PathBuf),
    /// A folder that cannot be looked into, with the system's words.
    Closed { folder: PathBuf, kind: io::ErrorKind, cause: String },
}

/// Replays pictures.
#[derive(Debug)]
pub struct Pictures {
    items: Vec<Item>,
    described: String,
    /// The next of `items`.
    item_at: usize,
    tarball: Option<Tarball<File>>,
    next: u64,
    bytes: Vec<u8>,
    name: String,
}

impl Pictures {
    /// A replay of `paths` in their order: files, folders and `.tar` archives.
    ///
    /// # Errors
    /// [`SourceError::NoPictures`] if nothing is found, [`SourceError::Unreadable`] and [`SourceError::TooMany`] for a
    /// folder that cannot be walked. A file that does not exist is told about on its turn.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Self, SourceError> {
        Self::open_with(paths, list)
    }

    /// As [`Pictures::open`], with another way to list a folder.
    fn open_with<P: AsRef<Path>>(paths: &[P], list: List) -> Result<Self, SourceError> {
        let described = describe(paths);
        let mut walk = Walk { list, visited: 0, found: Vec::new() };
        for path in paths.iter().map(AsRef::as_ref) {
            if path.is_dir() {
                let before = walk.found.len();
                walk.folder(path, 0)?;
                if walk.found.len() == before {
                    log::warn!("{} holds no pictures (.jpg, .jpeg, .png)", Printable(path.display()));
                }
            } else {
                walk.found.push(Item::File(path.to_owned()));
            }
        }
        if walk.found.is_empty() {
            return Err(SourceError::NoPictures { path: described });
        }
        let (bytes, name) = (Vec::new(), String::new());
        Ok(Self { items: walk.found, described, item_at: 0, tarball: None, next: 0, bytes, name })
    }

    /// Enters the next path: its bytes are read, or its archive opened.
    fn enter(&mut self, read: bool) -> Option<Result<Entry, SourceError>> {
        let item = self.items.get(self.item_at)?;
        self.item_at += 1;
        let path = match item {
            Item::File(path) => path,
            Item::Closed { folder, kind, cause } => {
                let cause = io::Error::new(*kind, cause.clone());
                return Some(Err(SourceError::io(&folder.to_string_lossy(), cause)));
            }
        };
        self.name.clear();
        self.name.push_str(&path.to_string_lossy());
        if has_extension(path, &["tar"]) {
            let opened = File::open(path).map_err(|cause| SourceError::io(&self.name, cause));
            return Some(opened.map(|file| {
                self.tarball = Some(Tarball::new(file, &self.name));
                Entry::End // nothing yet: the archive is asked next
            }));
        }
        if !read {
            return Some(Ok(Entry::Picture));
        }
        Some(read_file(path, &self.name, &mut self.bytes).map(|()| Entry::Picture))
    }

    /// Finds the next picture; with `read` its bytes and name are in the buffers. `None`: the end.
    fn advance(&mut self, read: bool) -> Option<Result<(), SourceError>> {
        // Each turn takes an entry or a path, or leaves an archive: both are bounded.
        loop {
            let entry = match &mut self.tarball {
                Some(tarball) if read => tarball.next_picture(&mut self.bytes, &mut self.name),
                Some(tarball) => tarball.skip_picture(),
                None => match self.enter(read)? {
                    Ok(Entry::End) => continue,
                    Ok(entry) => entry,
                    Err(error) => Entry::Broken(error),
                },
            };
            match entry {
                Entry::Picture => {
                    self.next += 1;
                    return Some(Ok(()));
                }
                Entry::Broken(error) => {
                    self.next += 1;
                    return Some(Err(error));
                }
                Entry::End => self.tarball = None,
            }
        }
    }
}

fn describe<P: AsRef<Path>>(paths: &[P]) -> String {
    match paths {
        [] => "an empty list of paths".to_owned(),
        [only] => only.as_ref().display().to_string(),
        [first, rest @ ..] => format!("{} and {} more", first.as_ref().display(), rest.len()),
    }
}

/// The paths in a folder, and which of them are folders and no links; at most so many.
type List = fn(&Path, usize) -> io::Result<Vec<(PathBuf, bool)>>;

fn list(folder: &Path, most: usize) -> io::Result<Vec<(PathBuf, bool)>> {
    let entries = fs::read_dir(folder)?.take(most);
    entries.map(|entry| entry.and_then(|entry| Ok((entry.path(), entry.file_type()?.is_dir())))).collect()
}

/// A walk over folders.
struct Walk {
    list: List,
    visited: usize,
    found: Vec<Item>,
}

impl Walk {
    /// Adds the pictures under `folder`, by name. Only the first folder must let itself be looked into.
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), SourceError> {
        let path = || folder.display().to_string();
        if depth > FOLDER_DEPTH_MAX {
            return Err(SourceError::TooMany { path: path(), bound: FOLDER_DEPTH_MAX, what: "levels" });
        }
        let left = FILES_MAX - self.visited;
        let mut inside = match (self.list)(folder, left + 1) {
            Ok(inside) => inside,
            Err(cause) if depth == 0 => return Err(SourceError::io(&path(), cause)),
            Err(cause) => {
                let (kind, cause) = (cause.kind(), cause.to_string());
                self.found.push(Item::Closed { folder: folder.to_owned(), kind, cause });
                return Ok(());
            }
        };
        if inside.len() > left {
            return Err(SourceError::TooMany { path: path(), bound: FILES_MAX, what: "files" });
        }
        self.visited += inside.len();
        inside.sort_unstable();
        for (path, is_folder) in inside {
            if is_folder {
                self.folder(&path, depth + 1)?;
            } else if path.file_name().is_some_and(|name| is_picture_name(&name.to_string_lossy())) && is_file(&path) {
                self.found.push(Item::File(path));
            }
        }
        Ok(())
    }
}

/// Whether it is a file, through links.
fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file())
}

/// Reads a whole file into `bytes`; never a pipe or a device, which could wait for ever.
fn read_file(path: &Path, name: &str, bytes: &mut Vec<u8>) -> Result<(), SourceError> {
    let io_error = |cause| SourceError::io(name, cause);
    bytes.clear();
    if !fs::metadata(path).map_err(io_error)?.is_file() {
        return Err(io_error(io::Error::other("it is not a file")));
    }
    let file = File::open(path).map_err(io_error)?;
    let size = file.metadata().map_err(io_error)?.len();
    if size > PICTURE_BYTES_MAX {
        return Err(SourceError::TooLarge { name: name.to_owned(), bytes: size, bytes_max: PICTURE_BYTES_MAX });
    }
    file.take(PICTURE_BYTES_MAX).read_to_end(bytes).map_err(io_error)?;
    Ok(())
}

impl Source for Pictures {
    fn next(&mut self, frame: &mut Frame, _deadline: Duration) -> Next {
        match self.advance(true) {
            None => return Next::End,
            Some(Err(error)) => return Next::Broken(error),
            Some(Ok(())) => {}
        }
        frame.seq = self.next - 1;
        frame.captured_us = frame.seq.saturating_mul(STILL_PERIOD_US);
        match picture::decode(&self.bytes, &self.name, frame) {
            Ok(()) => Next::Frame,
            Err(error) => Next::Broken(error.into()),
        }
    }

    fn pacing(&self) -> Pacing {
        Pacing::OnDemand
    }

    fn describe(&self) -> String {
        self.described.clone()
    }

    fn len_hint(&self) -> Option<u64> {
        let is_archive = |item: &Item| matches!(item, Item::File(path) if has_extension(path, &["tar"]));
        (!self.items.iter().any(is_archive)).then_some(self.items.len() as u64)
    }

    fn skip(&mut self, _scratch: &mut Frame) -> Next {
        match self.advance(false) {
            None => Next::End,
            Some(Err(error)) => Next::Broken(error),
            Some(Ok(())) => Next::Frame,
        }
    }

    fn rewind(&mut self) -> Result<bool, SourceError> {
        (self.item_at, self.tarball, self.next) = (0, None, 0);
        Ok(true)
    }
}

#[cfg(test)]
#[path = "pictures_tests.rs"]
mod tests;
