//! What can be wrong with `[camera]`: alone, and before the camera itself.

use lapwing_camera::v4l::controls::Controls;
use lapwing_camera::v4l::driver::BUFFERS_MAX;
use lapwing_camera::v4l::fourcc::USABLE;

use crate::config::camera::{AUTO, fourcc};
use crate::config::error::{ConfigError, closest};
use crate::config::schema::Config;

impl Config {
    pub(super) fn check_camera_section(&self) -> Result<(), ConfigError> {
        let camera = &self.camera;
        let format = camera.format.get_ref();
        if format != AUTO && fourcc(format).is_none() {
            let known: Vec<String> = USABLE.iter().map(|(code, _)| code.to_string()).collect();
            let what = format!("format {format:?} is not read");
            let near = closest(format, known.iter().map(String::as_str));
            let cure = match near {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("give \"auto\" or one of {}", known.join(" ")),
            };
            return Err(self.error(&camera.format, what, cure));
        }
        for (value, key, least, most) in [
            (&camera.width, "width", 16, 8192),
            (&camera.height, "height", 16, 8192),
            (&camera.fps, "fps", 1, 240),
            (&camera.buffers, "buffers", 2, BUFFERS_MAX),
            (&camera.timeout_ms, "timeout_ms", 100, 60_000),
            (&camera.stale_ms, "stale_ms", 1, 60_000),
        ] {
            if !(least..=most).contains(value.get_ref()) {
                let what = format!("{key} is {}", value.get_ref());
                return Err(self.error(value, what, format!("give {least} to {most}")));
            }
        }
        Ok(())
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BUILTIN;
    use lapwing_camera::v4l::FourCc;
    use lapwing_camera::v4l::controls::{Setting, Span};

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
