//! Files that appear whole or not at all: a picture, or a clip that grows frame by frame.
//!
//! What is written goes to a file of another name in the same folder, which takes its own name only when it is whole
//! and handed to the disk. A sink that ends before that leaves nothing.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use lapwing_firmware::linux::own_file;

use super::picture_error::PictureError;
use crate::privacy::Redacted;
use lapwing_camera::frame::yuv::{self, Chroma, Range};
use lapwing_camera::frame::{Frame, picture};
use lapwing_camera::y4m::Header;

/// A file in the making; without [`Part::finish`] it vanishes.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    part: PathBuf,
    writer: Option<BufWriter<File>>,
}

impl Part {
    fn create(path: &Path) -> Result<Part, PictureError> {
        if path.file_name().is_none() {
            return Err(PictureError::new(path, "it names no file"));
        }
        Part::at(path)
    }

    /// In the same folder, under a name that nobody can guess, for the time until it is whole.
    pub(super) fn at(path: &Path) -> Result<Part, PictureError> {
        let part = path.with_file_name(own_file::part_name().as_str());
        let file = own_file::make(&part).map_err(|e| PictureError::io(path, &e))?;
        Ok(Part { path: path.into(), part, writer: Some(BufWriter::new(file)) })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), PictureError> {
        let written = self.writer.as_mut().map_or(Ok(()), |w| w.write_all(bytes));
        written.map_err(|e| PictureError::io(&self.path, &e))
    }

    pub(super) fn finish(mut self) -> Result<(), PictureError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let done = writer.into_inner().map_err(|e| e.into_error()).and_then(|file| file.sync_all());
        let done = done.and_then(|()| fs::rename(&self.part, &self.path));
        if done.is_err() {
            let _ = fs::remove_file(&self.part); // the error that matters is told
        }
        done.map_err(|e| PictureError::io(&self.path, &e))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            let _ = fs::remove_file(&self.part); // it holds redacted frames only, and is not whole
        }
    }
}

/// Writes one picture, as PNG where the path ends so and else as JPEG of `quality` 1 to 100. `encoded` is scratch.
///
/// # Errors
/// The path, and what the encoder or the disk says.
pub fn write_picture(
    path: &Path,
    picture: &Redacted<Frame>,
    quality: u8,
    encoded: &mut Vec<u8>,
) -> Result<(), PictureError> {
    let png = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
    let done = match png {
        true => picture::encode_png(picture.get(), encoded),
        false => picture::encode_jpeg(picture.get(), quality, encoded),
    };
    done.map_err(|e| PictureError::new(path, e))?;
    let mut part = Part::create(path)?;
    part.write(encoded)?;
    part.finish()
}

/// What a clip is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClipKind {
    /// Raw video as the header says.
    Y4m(Header),
    /// JPEG pictures of this quality one after another.
    Mjpeg(u8),
}

/// Writes a clip.
#[derive(Debug)]
pub struct ClipSink {
    part: Part,
    kind: ClipKind,
    encoded: Vec<u8>,
}

impl ClipSink {
    /// Begins a clip at `path`.
    ///
    /// # Errors
    /// The path, and what the disk says.
    pub fn create(path: &Path, kind: ClipKind) -> Result<ClipSink, PictureError> {
        let mut part = Part::create(path)?;
        if let ClipKind::Y4m(header) = &kind {
            part.write(y4m_header(header).as_bytes())?;
        }
        Ok(ClipSink { part, kind, encoded: Vec::new() })
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// A frame of another size than the clip's, or what the encoder or the disk says.
    pub fn store(&mut self, frame: &Redacted<Frame>) -> Result<(), PictureError> {
        let frame = frame.get();
        match &self.kind {
            ClipKind::Y4m(header) => {
                if (frame.width(), frame.height()) != (header.width, header.height) {
                    let what = format!("a frame of {}x{} does not fit the clip", frame.width(), frame.height());
                    return Err(PictureError::new(&self.part.path, what));
                }
                yuv::rgb_to_planar(frame, header.chroma, header.range, &mut self.encoded);
                self.part.write(b"FRAME\n")?;
            }
            ClipKind::Mjpeg(quality) => picture::encode_jpeg(frame, *quality, &mut self.encoded)
                .map_err(|e| PictureError::new(&self.part.path, e))?,
        }
        self.part.write(&self.encoded)
    }

    /// The clip is whole and takes its name.
    ///
    /// # Errors
    /// The path, and what the disk says; there is then no clip.
    pub fn finish(self) -> Result<(), PictureError> {
        self.part.finish()
    }
}

/// The stream header that says what `header` says.
fn y4m_header(header: &Header) -> String {
    let Header { width, height, rate: (numerator, denominator), chroma, range } = header;
    let colours = match chroma {
        Chroma::Mono => "mono",
        Chroma::C420 => "420jpeg",
        Chroma::C422 => "422",
        Chroma::C444 => "444",
    };
    let range = if *range == Range::Full { "FULL" } else { "LIMITED" };
    format!("YUV4MPEG2 W{width} H{height} F{numerator}:{denominator} Ip C{colours} XCOLORRANGE={range}\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::privacy::{Hiding, Level, Redactor, Regions};
    use lapwing_camera::{Mjpeg, Next, Source, Y4m};

    fn redacted(value: u8, width: u32) -> Redacted<Frame> {
        let mut frame = Frame::new();
        frame.reset(width, 6).unwrap();
        frame.rgb_mut().fill(value);
        Redactor::new(Hiding::default()).redact(frame, &Regions::default(), Level::Mosaic).0
    }

    fn values(mut source: impl Source) -> Vec<u8> {
        let (mut frame, mut values) = (Frame::new(), Vec::new());
        loop {
            match source.next(&mut frame, Duration::ZERO) {
                Next::Frame => {
                    frame.develop().unwrap();
                    values.push(frame.rgb()[0]);
                }
                Next::End => return values,
                other => panic!("{other:?}"),
            }
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn clips_are_read_back_by_their_sources() {
        let folder = tempfile::tempdir().unwrap();
        for chroma in [Chroma::Mono, Chroma::C420, Chroma::C422, Chroma::C444] {
            for range in [Range::Limited, Range::Full] {
                let header = Header { width: 9, height: 6, rate: (30_000, 1001), chroma, range };
                let path = folder.path().join("a.y4m");
                let mut sink = ClipSink::create(&path, ClipKind::Y4m(header.clone())).unwrap();
                sink.store(&redacted(40, 9)).unwrap();
                sink.store(&redacted(200, 9)).unwrap();
                assert!(sink.store(&redacted(200, 8)).is_err());
                sink.finish().unwrap();
                let clip = Y4m::new(File::open(&path).unwrap(), "a").unwrap();
                assert_eq!(clip.header(), &header);
                assert!(values(clip).iter().zip([40u8, 200]).all(|(a, b)| a.abs_diff(b) <= 1));
            }
        }
        let path = folder.path().join("b.mjpeg");
        let mut sink = ClipSink::create(&path, ClipKind::Mjpeg(90)).unwrap();
        for value in [1, 100, 250] {
            sink.store(&redacted(value, 16)).unwrap();
        }
        sink.finish().unwrap();
        assert_eq!(values(Mjpeg::new(File::open(&path).unwrap(), "b")).len(), 3);
        assert_eq!(names(folder.path()), ["a.y4m", "b.mjpeg"]);
    }

    #[test]
    fn what_is_not_finished_leaves_nothing_and_harms_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mjpeg");
        fs::write(&path, "before").unwrap();
        let mut sink = ClipSink::create(&path, ClipKind::Mjpeg(90)).unwrap();
        sink.store(&redacted(1, 16)).unwrap();
        drop(sink);
        assert_eq!((names(folder.path()), fs::read(&path).unwrap()), (vec!["a.mjpeg".to_owned()], b"before".to_vec()));
        assert!(ClipSink::create(&folder.path().join("no/a.mjpeg"), ClipKind::Mjpeg(90)).is_err());
        assert!(write_picture(&folder.path().join("no/a.png"), &redacted(1, 4), 90, &mut Vec::new()).is_err());
    }

    #[test]
    fn a_picture_is_what_its_name_says() {
        let folder = tempfile::tempdir().unwrap();
        for (name, start) in [("a.png", &b"\x89PNG"[..]), ("b.JPG", b"\xFF\xD8\xFF"), ("c.jpeg", b"\xFF\xD8\xFF")] {
            let path = folder.path().join(name);
            write_picture(&path, &redacted(9, 5), 90, &mut Vec::new()).unwrap();
            assert!(fs::read(path).unwrap().starts_with(start));
        }
    }
}
