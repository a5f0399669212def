//! The operator's words for a source: `--source S`, or `source = "S"` in the configuration.
//!
//! | words | source |
//! |---|---|
//! | `v4l:/dev/video0` | a camera |
//! | `photos` | the bundled photographs (a folder of that name is `./photos`) |
//! | a `.jpg`, `.jpeg` or `.png` file | one picture |
//! | a folder | its pictures and those of the folders inside, by name |
//! | a `.tar` file | the pictures in it, in its order |
//! | a `.y4m` file | raw video |
//! | a `.mjpeg` or `.mjpg` file | motion JPEG, 25 frames a second |
//! | `clip.mjpeg,fps=10` | the same at another rate, for it does not say its own |
//!
//! Having a [`SourceSpec`] means that the words were understood and that the path existed when they were read.
//! [`SourceSpec::parse`] opens nothing; [`SourceSpec::open`] does.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::mjpeg::ClipRate;
use super::paced::{FPS_MAX, FPS_MIN};
use super::picture_file::has_extension;
use super::v4l::{Camera, CameraOptions, DeviceFile};
use super::{Bundled, Mjpeg, Photo, Pictures, Source, SourceError, Y4m};

/// The most bytes of a source's words (a path's limit on Linux).
pub const SPEC_BYTES_MAX: usize = 4096;

const CAMERA_PREFIX: &str = "v4l:";
const BUNDLED: &str = "photos";
/// What stands between a clip's path and its rate.
const RATE: &str = ",fps=";

/// A source in words that were understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// A V4L2 camera, by its device.
    V4l(PathBuf),
    /// The bundled photographs.
    Bundled,
    /// A picture, a folder or a `.tar` of pictures.
    Pictures(PathBuf),
    /// A raw video clip.
    Y4m(PathBuf),
    /// A motion JPEG clip and its rate.
    Mjpeg(PathBuf, ClipRate),
}

impl SourceSpec {
    /// Reads the operator's words.
    ///
    /// # Errors
    /// [`SourceError::BadSpec`] for words that name no source, [`SourceError::NoSuchPath`] and
    /// [`SourceError::Unreadable`] for a path that cannot be looked at.
    pub fn parse(words: &str) -> Result<Self, SourceError> {
        let bad = |why: &str| {
            let end = words.char_indices().nth(80).map_or(words.len(), |(at, _)| at);
            Err(SourceError::BadSpec { spec: words[..end].to_owned(), why: why.to_owned() })
        };
        if words.is_empty() {
            return bad("it is empty");
        }
        if words.len() > SPEC_BYTES_MAX || words.contains('\0') {
            return bad("no path is like that");
        }
        if words == BUNDLED {
            return Ok(Self::Bundled);
        }
        if let Some(device) = words.strip_prefix(CAMERA_PREFIX) {
            return if device.is_empty() {
                bad("the camera's device is missing")
            } else {
                Ok(Self::V4l(device.into()))
            };
        }
        if words.contains("://") {
            return bad("network streams are not read");
        }
        if words.starts_with("/dev/video") {
            return bad(&format!("a camera is written {CAMERA_PREFIX}{words}"));
        }
        let (path, rate) = match words.rsplit_once(RATE) {
            Some((path, rate)) if !Path::new(words).exists() => (path, Some(rate)),
            _ => (words, None),
        };
        let data = fs::metadata(path).map_err(|cause| SourceError::io(path, cause))?;
        let path = PathBuf::from(path);
        let is_mjpeg = data.is_file() && has_extension(&path, &["mjpeg", "mjpg"]);
        let clip_rate = match rate.map(|rate| rate.parse().ok().and_then(ClipRate::new)) {
            Some(_) if !is_mjpeg => {
                return bad("only a .mjpeg takes fps: other clips say their own, and pictures have none");
            }
            Some(None) => return bad(&format!("fps is {FPS_MIN} to {FPS_MAX} frames a second")),
            Some(Some(rate)) => rate,
            None => ClipRate::default(),
        };
        match () {
            () if data.is_dir() => Ok(Self::Pictures(path)),
            () if has_extension(&path, &["jpg", "jpeg", "png", "tar"]) => Ok(Self::Pictures(path)),
            () if has_extension(&path, &["y4m"]) => Ok(Self::Y4m(path)),
            () if is_mjpeg => Ok(Self::Mjpeg(path, clip_rate)),
            () if has_extension(&path, &["gz", "tgz", "xz", "zst", "bz2", "zip"]) => {
                bad("it is compressed; unpack it first")
            }
            () if has_extension(&path, &["mp4", "mkv", "avi", "mov", "webm", "h264"]) => {
                bad("compressed video is not read; make a .mjpeg of it, for example with ffmpeg -i IN -q:v 3 OUT.mjpeg")
            }
            () if path.extension().is_none() => bad("it is a file without an extension"),
            () => bad("its extension is not known"),
        }
    }

    /// Opens a source that has an end. `bundled` are the photographs that [`SourceSpec::Bundled`] replays.
    ///
    /// # Errors
    /// [`SourceError::Camera`] for a camera, otherwise what the source itself says.
    pub fn open(&self, bundled: &'static [Photo]) -> Result<Box<dyn Source>, SourceError> {
        if let Self::V4l(device) = self {
            let device = device.display().to_string();
            let cure = "give pictures or a clip; cameras are for `lapwing run` and `lapwing detect`";
            return Err(SourceError::camera(&device, "a camera has no end, and this job needs one", cure));
        }
        self.open_live(bundled, &CameraOptions::default())
    }

    /// Opens any source. `camera` is what to ask of a camera. A camera that is not there is opened all the same: it is a
    /// state of the source, and it may come.
    ///
    /// # Errors
    /// What the source itself says.
    pub fn open_live(&self, bundled: &'static [Photo], camera: &CameraOptions) -> Result<Box<dyn Source>, SourceError> {
        match self {
            Self::V4l(device) => Ok(Box::new(Camera::new(DeviceFile::new(device), camera.clone()))),
            Self::Bundled if bundled.is_empty() => Err(SourceError::NoPictures { path: BUNDLED.to_owned() }),
            Self::Bundled => Ok(Box::new(Bundled::new(bundled))),
            Self::Pictures(path) => Ok(Box::new(Pictures::open(&[path])?)),
            Self::Y4m(path) => Ok(Box::new(Y4m::new(open_file(path)?, &path.display().to_string())?)),
            Self::Mjpeg(path, rate) => {
                Ok(Box::new(Mjpeg::new(open_file(path)?, &path.display().to_string()).at(*rate)))
            }
        }
    }
}

fn open_file(path: &Path) -> Result<File, SourceError> {
    let name = path.display().to_string();
    let io_error = |cause| SourceError::io(&name, cause);
    if !fs::metadata(path).map_err(io_error)?.is_file() {
        return Err(io_error(std::io::Error::other("it is not a file")));
    }
    File::open(path).map_err(io_error)
}

impl FromStr for SourceSpec {
    type Err = SourceError;

    fn from_str(words: &str) -> Result<Self, SourceError> {
        Self::parse(words)
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4l(device) => write!(f, "{CAMERA_PREFIX}{}", device.display()),
            Self::Bundled => f.write_str(BUNDLED),
            Self::Mjpeg(path, rate) if *rate != ClipRate::default() => {
                write!(f, "{}{RATE}{}", path.display(), rate.fps())
            }
            Self::Pictures(path) | Self::Y4m(path) | Self::Mjpeg(path, _) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Next;
    use crate::frame::Frame;
    use std::time::Duration;

    const GREY: &[u8] = include_bytes!("frame/fixtures/grey_32x16.jpg");
    const PHOTOS: &[Photo] = &[("a.jpg", GREY)];

    #[test]
    fn every_kind_is_opened_and_gives_a_frame() {
        let dir = tempfile::tempdir().unwrap();
        let tar = crate::tarball::tests::pack(&[("a.jpg", GREY)]);
        let y4m = [&b"YUV4MPEG2 W2 H1 C444\nFRAME\n"[..], &[1; 6]].concat();
        fs::create_dir(dir.path().join("folder")).unwrap();
        for (name, bytes) in [
            ("a.JPG", GREY),
            ("folder/b.jpg", GREY),
            ("c.tar", &tar),
            ("d.y4m", &y4m),
            ("e.mjpeg", GREY),
            ("f.mjpg", GREY),
        ] {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let mut all: Vec<String> = ["a.JPG", "folder", "c.tar", "d.y4m", "e.mjpeg", "f.mjpg"]
            .map(|name| dir.path().join(name).display().to_string())
            .to_vec();
        all.push("photos".to_owned());
        all.push(format!("{},fps=12.5", dir.path().join("e.mjpeg").display()));
        for words in all {
            let spec: SourceSpec = words.parse().unwrap();
            assert_eq!(spec.to_string(), words);
            let mut source = spec.open(PHOTOS).unwrap();
            assert!(matches!(source.next(&mut Frame::new(), Duration::ZERO), Next::Frame), "{words}");
            assert!(matches!(source.next(&mut Frame::new(), Duration::ZERO), Next::End), "{words}");
            assert!(source.rewind().unwrap());
            assert!(matches!(source.skip(&mut Frame::new()), Next::Frame), "{words}");
        }
    }

    #[test]
    fn a_camera_that_is_not_there_is_lost_and_asked_for_again() {
        let spec = SourceSpec::parse("v4l:/dev/no-such-camera").unwrap();
        assert_eq!(spec.to_string(), "v4l:/dev/no-such-camera");
        let Err(error) = spec.open(PHOTOS) else { panic!("opened") };
        assert!(error.to_string().contains("a camera has no end"), "{error}");
        let mut source = spec.open_live(PHOTOS, &CameraOptions::default()).unwrap();
        assert_eq!(source.describe(), "v4l:/dev/no-such-camera (not there yet)");
        for _ in 0..3 {
            let Next::Lost(error) = source.next(&mut Frame::new(), Duration::ZERO) else { panic!("found") };
            assert!(error.to_string().starts_with("/dev/no-such-camera: there is no such camera"), "{error}");
        }
        let words = "v4l:/dev/null";
        let mut source = SourceSpec::parse(words).unwrap().open_live(PHOTOS, &CameraOptions::default()).unwrap();
        let Next::Lost(error) = source.next(&mut Frame::new(), Duration::ZERO) else { panic!("found") };
        assert!(error.to_string().contains("not a video device"), "{error}");
    }

    #[test]
    fn wrong_words_get_a_cure() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["clip.mp4", "x.tar.gz", "what", "x.bmp", "a.mjpeg", "a.y4m"] {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        let inside = |name: &str| dir.path().join(name).display().to_string();
        for (words, cure) in [
            (String::new(), "it is empty"),
            ("v4l:".into(), "device is missing"),
            ("/dev/video0".into(), "written v4l:/dev/video0"),
            ("rtsp://camera/1".into(), "network streams are not read"),
            ("no/such/thing.jpg".into(), "no/such/thing.jpg does not exist"),
            (inside("clip.mp4"), "ffmpeg"),
            (inside("x.tar.gz"), "unpack it first"),
            (inside("what"), "without an extension"),
            (inside("x.bmp"), "extension is not known"),
            (inside("a.mjpeg,fps=0"), "0.001 to 1000"),
            (inside("a.mjpeg,fps=ten"), "0.001 to 1000"),
            (inside("a.y4m,fps=10"), "only a .mjpeg takes fps"),
            (inside("b.mjpeg,fps=10"), "does not exist"),
            ("é".repeat(5000), "no path is like that"),
        ] {
            let error = SourceSpec::parse(&words).unwrap_err().to_string();
            assert!(error.contains(cure), "{words}: {error}");
        }
        assert!(SourceSpec::Bundled.open(&[]).is_err());
    }

    #[test]
    fn a_clip_runs_at_the_rate_that_it_is_given() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.mjpeg"), GREY.repeat(31)).unwrap();
        // a file whose name ends like a rate is that file
        fs::write(dir.path().join("b,fps=10.mjpeg"), GREY.repeat(31)).unwrap();
        for (words, last_us) in [
            ("a.mjpeg", 1_200_000),
            ("a.mjpeg,fps=10", 3_000_000),
            ("a.mjpeg,fps=29.97", 1_001_001),
            ("b,fps=10.mjpeg", 1_200_000),
        ] {
            let spec = SourceSpec::parse(&dir.path().join(words).display().to_string()).unwrap();
            let mut source = spec.open(&[]).unwrap();
            let mut frame = Frame::new();
            while matches!(source.next(&mut frame, Duration::ZERO), Next::Frame) {}
            assert_eq!((frame.seq, frame.captured_us), (30, last_us), "{words}");
        }
    }
}
