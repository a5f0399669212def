//! `[camera]`: what to ask of a camera, and when its frames are too old.

use serde::Deserialize;
use toml::Spanned;

use super::schema::unplaced;
use super::{Config, ConfigError};
use crate::camera::v4l::driver::BUFFERS_MAX;
use crate::camera::v4l::fourcc::{USABLE, use_of};
use crate::camera::v4l::{CameraOptions, FourCc};

/// The word for a format that lapwing chooses.
const AUTO: &str = "auto";

/// `[camera]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraSection {
    /// A V4L2 format, or `auto`.
    pub format: Spanned<String>,
    /// Width in pixels.
    pub width: Spanned<u32>,
    /// Height in pixels.
    pub height: Spanned<u32>,
    /// Frames a second.
    pub fps: Spanned<u32>,
    /// Buffers that go round between lapwing and the driver.
    pub buffers: Spanned<u32>,
    /// Without a whole picture for so long the stream is begun anew, in milliseconds.
    pub timeout_ms: Spanned<u32>,
    /// A frame that is older when it has been looked at is stale, in milliseconds.
    pub stale_ms: Spanned<u32>,
}

impl Default for CameraSection {
    fn default() -> Self {
        let options = CameraOptions::default();
        CameraSection {
            format: unplaced(AUTO.into()),
            width: unplaced(options.width),
            height: unplaced(options.height),
            fps: unplaced(options.fps),
            buffers: unplaced(options.buffers),
            timeout_ms: unplaced(options.timeout_ms),
            stale_ms: unplaced(500),
        }
    }
}

impl CameraSection {
    /// What is asked of the camera.
    pub fn options(&self) -> CameraOptions {
        CameraOptions {
            format: fourcc(self.format.get_ref()),
            width: *self.width.get_ref(),
            height: *self.height.get_ref(),
            fps: *self.fps.get_ref(),
            buffers: *self.buffers.get_ref(),
            timeout_ms: *self.timeout_ms.get_ref(),
        }
    }

    pub(super) fn check(&self, config: &Config) -> Result<(), ConfigError> {
        let format = self.format.get_ref();
        if format != AUTO && fourcc(format).is_none() {
            let known: Vec<String> = USABLE.iter().map(|(code, _)| code.to_string()).collect();
            let what = format!("format {format:?} is not read");
            let near = super::error::closest(format, known.iter().map(String::as_str));
            let cure = match near {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("give \"auto\" or one of {}", known.join(" ")),
            };
            return Err(config.error(&self.format, what, cure));
        }
        for (value, key, least, most) in [
            (&self.width, "width", 16, 8192),
            (&self.height, "height", 16, 8192),
            (&self.fps, "fps", 1, 240),
            (&self.buffers, "buffers", 2, BUFFERS_MAX),
            (&self.timeout_ms, "timeout_ms", 100, 60_000),
            (&self.stale_ms, "stale_ms", 1, 60_000),
        ] {
            if !(least..=most).contains(value.get_ref()) {
                let what = format!("{key} is {}", value.get_ref());
                return Err(config.error(value, what, format!("give {least} to {most}")));
            }
        }
        Ok(())
    }
}

/// A format by its four characters; `None` unless lapwing reads it.
fn fourcc(word: &str) -> Option<FourCc> {
    let code = FourCc(word.as_bytes().try_into().ok()?);
    use_of(code).map(|_| code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BUILTIN;

    #[test]
    fn the_builtin_file_says_what_the_defaults_are() {
        let (file, none) = (Config::builtin().unwrap().camera, CameraSection::default());
        assert_eq!(file.options(), none.options());
        assert_eq!(file.stale_ms.get_ref(), none.stale_ms.get_ref());
        assert_eq!(file.options().format, None);
    }

    #[test]
    fn every_mistake_is_found_on_its_line() {
        for (from, to, cure) in [
            ("format = \"auto\"", "format = \"YUVY\"", "YUYV"),
            ("format = \"auto\"", "format = \"H264\"", "MJPG"),
            ("width = 640", "width = 0", "16 to 8192"),
            ("fps = 15", "fps = 0", "1 to 240"),
            ("buffers = 4", "buffers = 1", "2 to 32"),
            ("timeout_ms = 3000", "timeout_ms = 5", "100 to"),
            ("stale_ms = 500", "stale = 500", "stale_ms"),
        ] {
            assert!(BUILTIN.contains(from), "{from}");
            let text = BUILTIN.replacen(from, to, 1);
            let line = text.lines().position(|l| l.contains(to)).unwrap() + 1;
            let error = Config::parse(&text, "f.toml").unwrap_err();
            assert_eq!(error.line, line, "{to}: {error}");
            assert!(error.cure.contains(cure), "{to}: {error}");
        }
        let text = BUILTIN.replacen("format = \"auto\"", "format = \"MJPG\"", 1);
        assert_eq!(Config::parse(&text, "f.toml").unwrap().camera.options().format, Some(FourCc(*b"MJPG")));
    }
}
