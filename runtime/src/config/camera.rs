//! `[camera]`: what to ask of a camera, and when its frames are too old.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use toml::Spanned;

use super::place::unplaced;
use lapwing_camera::v4l::controls::{Knob, Setting, Settings};
use lapwing_camera::v4l::fourcc::use_of;
use lapwing_camera::v4l::{CameraOptions, FourCc};

/// The word for a format that lapwing chooses.
pub(super) const AUTO: &str = "auto";

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

    pub(super) fn settings(&self) -> Settings {
        let asked = |word: &Option<Spanned<SettingWord>>| word.as_ref().map(|word| word.get_ref().0);
        Settings {
            exposure_us: asked(&self.exposure_us),
            gain: asked(&self.gain),
            white_balance_k: asked(&self.white_balance_k),
            focus: asked(&self.focus),
        }
    }

    /// Where a setting stands in the file.
    pub(super) fn place(&self, knob: Knob) -> Option<&Spanned<SettingWord>> {
        match knob {
            Knob::Exposure => self.exposure_us.as_ref(),
            Knob::Gain => self.gain.as_ref(),
            Knob::WhiteBalance => self.white_balance_k.as_ref(),
            Knob::Focus => self.focus.as_ref(),
        }
    }
}

/// A format by its four characters; `None` unless lapwing reads it.
pub(super) fn fourcc(word: &str) -> Option<FourCc> {
    let code = FourCc(word.as_bytes().try_into().ok()?);
    use_of(code).map(|_| code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_builtin_file_says_what_the_defaults_are() {
        let (file, none) = (Config::builtin().unwrap().camera, CameraSection::default());
        assert_eq!(file.options(), none.options());
        assert_eq!(file.stale_ms.get_ref(), none.stale_ms.get_ref());
        assert_eq!(file.options().format, None);
    }
}
