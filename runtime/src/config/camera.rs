//! `[camera]`: what to ask of a camera, and when its frames are too old.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use toml::Spanned;

use super::schema::unplaced;
use super::{Config, ConfigError};
use lapwing_camera::v4l::controls::{Controls, Knob, Setting, Settings};
use lapwing_camera::v4l::driver::BUFFERS_MAX;
use lapwing_camera::v4l::fourcc::{USABLE, use_of};
use lapwing_camera::v4l::{CameraOptions, FourCc};

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
    /// Time in light of a picture, in microseconds, or `auto`; none: as the camera has it, as all that follow.
    pub exposure_us: Option<Spanned<SettingWord>>,
    /// Amplification in the camera's own unit, or `auto`.
    pub gain: Option<Spanned<SettingWord>>,
    /// The colour of the light in kelvin, or `auto`.
    pub white_balance_k: Option<Spanned<SettingWord>>,
    /// Distance in the camera's own unit, or `auto`.
    pub focus: Option<Spanned<SettingWord>>,
}

/// A whole number or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettingWord(pub Setting);

impl<'de> Deserialize<'de> for SettingWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SettingWord, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = SettingWord;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number from 0, or \"auto\"")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<SettingWord, E> {
                let wrong = |_| E::invalid_value(de::Unexpected::Signed(number), &self);
                i32::try_from(number)
                    .and_then(u32::try_from)
                    .map(|value| SettingWord(Setting::Value(value)))
                    .map_err(wrong)
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<SettingWord, E> {
                match word {
                    AUTO => Ok(SettingWord(Setting::Auto)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }
        }
        deserializer.deserialize_any(Word)
    }
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
            exposure_us: None,
            gain: None,
            white_balance_k: None,
            focus: None,
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
            settings: self.settings(),
        }
    }

    fn settings(&self) -> Settings {
        let asked = |word: &Option<Spanned<SettingWord>>| word.as_ref().map(|word| word.get_ref().0);
        Settings {
            exposure_us: asked(&self.exposure_us),
            gain: asked(&self.gain),
            white_balance_k: asked(&self.white_balance_k),
            focus: asked(&self.focus),
        }
    }

    fn place(&self, knob: Knob) -> Option<&Spanned<SettingWord>> {
        match knob {
            Knob::Exposure => self.exposure_us.as_ref(),
            Knob::Gain => self.gain.as_ref(),
            Knob::WhiteBalance => self.white_balance_k.as_ref(),
            Knob::Focus => self.focus.as_ref(),
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

impl Config {
    /// Whether a camera can take what is asked of it; nothing is changed on it.
    ///
    /// # Errors
    /// The line that it cannot follow.
    pub fn check_camera(&self, device: &impl Controls) -> Result<(), ConfigError> {
        for (knob, setting) in self.camera.settings().asked() {
            if let (Err(refusal), Some(place)) = (knob.check(device, setting), self.camera.place(knob)) {
                return Err(self.error(place, refusal.what, refusal.cure));
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
    use lapwing_camera::v4l::controls::Span;

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
            ("# exposure_us = \"auto\"", "exposure_us = \"bright\"", "auto"),
            ("# gain = 16", "gain = -1", ""),
            ("# focus = \"auto\"", "focus = 1.5", ""),
            ("# white_balance_k = 4600", "white_balance = 4600", "white_balance_k"),
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

    /// A camera with a gain of 0 to 255 and nothing else.
    struct GainOnly;

    impl Controls for GainOnly {
        fn span(&self, id: u32) -> Option<Span> {
            (id == v4l::v4l_sys::V4L2_CID_GAIN).then_some(Span { least: 0, most: 255, step: 1 })
        }

        fn control(&self, _: u32) -> std::io::Result<i32> {
            panic!("a check reads no value")
        }

        fn set_control(&self, _: u32, _: i32) -> std::io::Result<()> {
            panic!("a check changes nothing")
        }
    }

    #[test]
    fn what_a_camera_cannot_follow_is_found_on_its_line() {
        let config = |keys: &str| Config::parse(&format!("[camera]\nfps = 5\n{keys}\n"), "f.toml").unwrap();
        for (keys, what, cure) in [
            ("gain = 256", "gain is 256", "give 0 to 255"),
            ("gain = \"auto\"", "by itself", "give 0 to 255"),
            ("focus = 10", "no focus", "drop focus"),
            ("exposure_us = \"auto\"", "no exposure_us", "drop exposure_us"),
            ("white_balance_k = 4600", "no white_balance_k", "drop white_balance_k"),
        ] {
            let error = config(keys).check_camera(&GainOnly).unwrap_err();
            assert_eq!((error.line, error.cure.as_str()), (3, cure), "{error}");
            assert!(error.what.contains(what) && error.text.contains(keys), "{error}");
        }
        config("gain = 255").check_camera(&GainOnly).unwrap();
        config("").check_camera(&GainOnly).unwrap();
        let asked = config("gain = 16\nexposure_us = \"auto\"").camera.options().settings;
        assert_eq!((asked.gain, asked.exposure_us, asked.focus), (Some(Setting::Value(16)), Some(Setting::Auto), None));
    }
}
