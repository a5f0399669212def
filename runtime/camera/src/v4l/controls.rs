//! What an operator sets on a camera first: exposure, gain, white balance, focus.
//!
//! | key of `[camera]` | automatic | by hand | unit |
//! |---|---|---|---|
//! | `exposure_us` | `EXPOSURE_AUTO`: aperture priority, else automatic; manual | `EXPOSURE_ABSOLUTE` | microseconds, in steps of 100 |
//! | `gain` | `AUTOGAIN` | `GAIN`, else `ANALOGUE_GAIN` | the camera's own |
//! | `white_balance_k` | `AUTO_WHITE_BALANCE` | `WHITE_BALANCE_TEMPERATURE` | kelvin |
//! | `focus` | `FOCUS_AUTO` | `FOCUS_ABSOLUTE` | the camera's own |
//!
//! In this order: the stream begins (many cameras forget their settings there); the automatic is switched off, for until
//! then drivers refuse or ignore the value; the value is set and read back. What is not asked for is left as it is.

use std::fmt;
use std::io;

use v4l::v4l_sys as sys;

/// `enum v4l2_exposure_auto_type`: the shutter by itself, the iris by hand.
const APERTURE_PRIORITY: i32 = 3;
const EXPOSURE_AUTOMATIC: i32 = 0;
const EXPOSURE_MANUAL: i32 = 1;
/// The unit of `EXPOSURE_ABSOLUTE` in microseconds.
const EXPOSURE_UNIT_US: i64 = 100;

/// The values that a control takes, in the driver's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The least.
    pub least: i32,
    /// The most; not below the least.
    pub most: i32,
    /// From one to the next, from 1.
    pub step: i32,
}

/// The controls of a device, by the kernel's ids.
pub trait Controls {
    /// The values of a control; `None` if there is none that can be set.
    fn span(&self, id: u32) -> Option<Span>;
    /// The value that a control has.
    ///
    /// # Errors
    /// The system's.
    fn control(&self, id: u32) -> io::Result<i32>;
    /// Sets a control.
    ///
    /// # Errors
    /// The system's.
    fn set_control(&self, id: u32, value: i32) -> io::Result<()>;
}

/// Something that can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knob {
    /// How long the sensor takes in light.
    Exposure,
    /// How far its signal is amplified.
    Gain,
    /// The colour of the light that is shown as white.
    WhiteBalance,
    /// The distance that is sharp.
    Focus,
}

/// What is asked of a knob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// The camera finds it by itself.
    Auto,
    /// In the key's unit, at most [`i32::MAX`].
    Value(u32),
}

/// What is asked of all knobs; none leaves a knob as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Microseconds.
    pub exposure_us: Option<Setting>,
    /// In the camera's own unit.
    pub gain: Option<Setting>,
    /// Kelvin.
    pub white_balance_k: Option<Setting>,
    /// In the camera's own unit.
    pub focus: Option<Setting>,
}

/// What a camera offers for a knob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Which.
    pub knob: Knob,
    /// It can find the value by itself.
    pub auto: bool,
    /// The least and the most by hand, in the key's unit.
    pub values: Option<(i64, i64)>,
}

/// Why a camera does not take a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The setting.
    pub knob: Knob,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub cure: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.cure)
    }
}

impl Settings {
    /// What is asked for, in the order in which it is set.
    pub fn asked(&self) -> impl Iterator<Item = (Knob, Setting)> {
        let all = [self.exposure_us, self.gain, self.white_balance_k, self.focus];
        Knob::ALL.into_iter().zip(all).filter_map(|(knob, setting)| Some((knob, setting?)))
    }
}

impl Knob {
    /// Each of them.
    pub const ALL: [Knob; 4] = [Knob::Exposure, Knob::Gain, Knob::WhiteBalance, Knob::Focus];

    /// Its key in `[camera]`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Knob::Exposure => "exposure_us",
            Knob::Gain => "gain",
            Knob::WhiteBalance => "white_balance_k",
            Knob::Focus => "focus",
        }
    }

    /// The control that makes it automatic, the values that do so, the better one first, and the one that ends it.
    fn automatic(self) -> (u32, &'static [i32], i32) {
        match self {
            Knob::Exposure => (sys::V4L2_CID_EXPOSURE_AUTO, &[APERTURE_PRIORITY, EXPOSURE_AUTOMATIC], EXPOSURE_MANUAL),
            Knob::Gain => (sys::V4L2_CID_AUTOGAIN, &[1], 0),
            Knob::WhiteBalance => (sys::V4L2_CID_AUTO_WHITE_BALANCE, &[1], 0),
            Knob::Focus => (sys::V4L2_CID_FOCUS_AUTO, &[1], 0),
        }
    }

    /// The controls that hold its value, the better one first.
    fn by_hand(self) -> &'static [u32] {
        match self {
            Knob::Exposure => &[sys::V4L2_CID_EXPOSURE_ABSOLUTE],
            Knob::Gain => &[sys::V4L2_CID_GAIN, sys::V4L2_CID_ANALOGUE_GAIN],
            Knob::WhiteBalance => &[sys::V4L2_CID_WHITE_BALANCE_TEMPERATURE],
            Knob::Focus => &[sys::V4L2_CID_FOCUS_ABSOLUTE],
        }
    }

    /// The key's units in one of the control's.
    fn unit(self) -> i64 {
        if self == Knob::Exposure { EXPOSURE_UNIT_US } else { 1 }
    }

    fn value_span(self, device: &impl Controls) -> Option<(u32, Span)> {
        self.by_hand().iter().find_map(|id| Some((*id, device.span(*id)?)))
    }

    /// What a camera offers for it; `None` if nothing.
    #[must_use]
    pub fn offer(self, device: &impl Controls) -> Option<Offer> {
        let auto = device.span(self.automatic().0).is_some();
        let unit = self.unit();
        let values =
            self.value_span(device).map(|(_, span)| (i64::from(span.least) * unit, i64::from(span.most) * unit));
        (auto || values.is_some()).then_some(Offer { knob: self, auto, values })
    }

    fn refuse(self, what: impl Into<String>, cure: impl Into<String>) -> Refusal {
        Refusal { knob: self, what: what.into(), cure: cure.into() }
    }

    /// Whether a camera can take the setting; nothing is changed.
    ///
    /// # Errors
    /// It has no such control, or the value is out of its range.
    pub fn check(self, device: &impl Controls, setting: Setting) -> Result<(), Refusal> {
        let key = self.key();
        let Some(offer) = self.offer(device) else {
            return Err(self.refuse(format!("the camera has no {key} to set"), format!("drop {key}")));
        };
        let range = offer.values.map(|(least, most)| format!("give {least} to {most}"));
        match (setting, offer.values) {
            (Setting::Auto, _) if offer.auto => Ok(()),
            (Setting::Auto, _) => Err(self.refuse(
                format!("the camera cannot find {key} by itself"),
                range.unwrap_or_else(|| format!("drop {key}")),
            )),
            (Setting::Value(value), Some((least, most))) if (least..=most).contains(&i64::from(value)) => Ok(()),
            (Setting::Value(value), Some(_)) => Err(self.refuse(
                format!("{key} is {value}, which the camera does not take"),
                format!("{}{}", range.unwrap_or_default(), if offer.auto { ", or \"auto\"" } else { "" }),
            )),
            (Setting::Value(_), None) => {
                Err(self.refuse(format!("the camera takes no value for {key}"), format!("give {key} = \"auto\"")))
            }
        }
    }

    /// Sets it; says in words what the camera has then.
    ///
    /// # Errors
    /// As [`Knob::check`], or the driver refuses.
    pub fn apply(self, device: &impl Controls, setting: Setting) -> Result<String, Refusal> {
        self.check(device, setting)?;
        let key = self.key();
        let failed = |error: io::Error| {
            self.refuse(
                format!("the camera refused {key} ({error})"),
                format!("`lapwing doctor` lists what it takes; or drop {key}"),
            )
        };
        let (auto_id, on, off) = self.automatic();
        let value = match setting {
            Setting::Auto => {
                let mut done = Ok(());
                for value in on {
                    done = device.set_control(auto_id, *value);
                    if done.is_ok() {
                        break;
                    }
                }
                return done.map(|()| format!("{key} auto")).map_err(failed);
            }
            Setting::Value(value) => i64::from(value),
        };
        if device.span(auto_id).is_some() {
            device.set_control(auto_id, off).map_err(failed)?;
        }
        let Some((id, span)) = self.value_span(device) else { return self.check(device, setting).map(|()| key.into()) };
        device.set_control(id, span.nearest(value, self.unit())).map_err(failed)?;
        let has = i64::from(device.control(id).map_err(failed)?) * self.unit();
        Ok(if has == value { format!("{key} {has}") } else { format!("{key} {has} (asked for {value})") })
    }
}

impl Span {
    /// The control's value that is nearest to `value` in units of which `unit` make one of the control's.
    fn nearest(self, value: i64, unit: i64) -> i32 {
        let (least, step) = (i64::from(self.least), i64::from(self.step.max(1)));
        let steps = (value - least * unit + step * unit / 2).div_euclid(step * unit);
        let most = least + (i64::from(self.most) - least).div_euclid(step) * step;
        (least + steps * step).clamp(least, most) as i32 // between two numbers that are i32
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.values, self.auto) {
            (Some((least, most)), true) => write!(f, "{} {least} to {most} or auto", self.knob.key()),
            (Some((least, most)), false) => write!(f, "{} {least} to {most}", self.knob.key()),
            (None, _) => write!(f, "{} auto", self.knob.key()),
        }
    }
}

#[cfg(test)]
#[path = "controls_tests.rs"]
mod tests;
