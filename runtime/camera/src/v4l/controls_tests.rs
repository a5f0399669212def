//! Settings on cameras that differ in what they have, in what they take, and in what they make of it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use rustix::io::Errno;

use super::*;

/// A device of so many controls; it keeps what was set, in order.
#[derive(Default)]
struct Device {
    controls: BTreeMap<u32, Span>,
    /// Menu items that are refused though they lie in the range.
    holes: Vec<(u32, i32)>,
    /// Must have this value before the other can be set.
    gate: Option<(u32, i32)>,
    set: RefCell<Vec<(u32, i32)>>,
}

impl Device {
    fn with(controls: &[(u32, i32, i32, i32)]) -> Device {
        let controls =
            controls.iter().map(|(id, least, most, step)| (*id, Span { least: *least, most: *most, step: *step }));
        Device { controls: controls.collect(), ..Device::default() }
    }

    fn has(&self, id: u32) -> Option<i32> {
        self.set.borrow().iter().rev().find(|(set, _)| *set == id).map(|(_, value)| *value)
    }
}

impl Controls for Device {
    fn span(&self, id: u32) -> Option<Span> {
        self.controls.get(&id).copied()
    }

    fn control(&self, id: u32) -> io::Result<i32> {
        self.has(id).ok_or_else(|| Errno::INVAL.into())
    }

    fn set_control(&self, id: u32, value: i32) -> io::Result<()> {
        let span = self.span(id).ok_or(Errno::INVAL)?;
        if let Some((gate, open)) = self.gate
            && gate != id
            && self.has(gate) != Some(open)
        {
            return Err(Errno::BUSY.into());
        }
        if !(span.least..=span.most).contains(&value) || self.holes.contains(&(id, value)) {
            return Err(Errno::RANGE.into());
        }
        let past = (i64::from(value) - i64::from(span.least)) % i64::from(span.step);
        self.set.borrow_mut().push((id, (i64::from(value) - past) as i32));
        Ok(())
    }
}

/// The controls of a common USB camera.
fn webcam() -> Device {
    let mut device = Device::with(&[
        (sys::V4L2_CID_EXPOSURE_AUTO, 0, 3, 1),
        (sys::V4L2_CID_EXPOSURE_ABSOLUTE, 3, 2047, 1),
        (sys::V4L2_CID_GAIN, 0, 255, 1),
        (sys::V4L2_CID_AUTO_WHITE_BALANCE, 0, 1, 1),
        (sys::V4L2_CID_WHITE_BALANCE_TEMPERATURE, 2000, 6500, 10),
        (sys::V4L2_CID_FOCUS_AUTO, 0, 1, 1),
    ]);
    device.holes = vec![(sys::V4L2_CID_EXPOSURE_AUTO, 0), (sys::V4L2_CID_EXPOSURE_AUTO, 2)];
    device
}

#[test]
fn the_automatic_ends_before_the_value_is_set() {
    let mut device = webcam();
    device.gate = Some((sys::V4L2_CID_EXPOSURE_AUTO, EXPOSURE_MANUAL));
    assert_eq!(Knob::Exposure.apply(&device, Setting::Value(10_000)).unwrap(), "exposure_us 10000");
    let order = [(sys::V4L2_CID_EXPOSURE_AUTO, 1), (sys::V4L2_CID_EXPOSURE_ABSOLUTE, 100)];
    assert_eq!(*device.set.borrow(), order);
    // the control: set alone, the value is refused
    let mut device = webcam();
    device.gate = Some((sys::V4L2_CID_EXPOSURE_AUTO, EXPOSURE_MANUAL));
    assert!(device.set_control(sys::V4L2_CID_EXPOSURE_ABSOLUTE, 100).is_err());
}

#[test]
fn what_the_camera_made_of_it_is_told() {
    let device = webcam();
    assert_eq!(Knob::Exposure.apply(&device, Setting::Value(10_049)).unwrap(), "exposure_us 10000 (asked for 10049)");
    assert_eq!(
        Knob::WhiteBalance.apply(&device, Setting::Value(4605)).unwrap(),
        "white_balance_k 4610 (asked for 4605)"
    );
    assert_eq!(Knob::Gain.apply(&device, Setting::Value(16)).unwrap(), "gain 16");
    assert_eq!(device.has(sys::V4L2_CID_AUTO_WHITE_BALANCE), Some(0));
}

#[test]
fn automatic_takes_what_the_camera_has() {
    let device = webcam();
    assert_eq!(Knob::Exposure.apply(&device, Setting::Auto).unwrap(), "exposure_us auto");
    assert_eq!(device.has(sys::V4L2_CID_EXPOSURE_AUTO), Some(APERTURE_PRIORITY));
    let mut other = webcam();
    other.holes = vec![(sys::V4L2_CID_EXPOSURE_AUTO, 3)];
    Knob::Exposure.apply(&other, Setting::Auto).unwrap();
    assert_eq!(other.has(sys::V4L2_CID_EXPOSURE_AUTO), Some(EXPOSURE_AUTOMATIC));
    other.holes.push((sys::V4L2_CID_EXPOSURE_AUTO, 0));
    assert!(Knob::Exposure.apply(&other, Setting::Auto).unwrap_err().cure.contains("doctor"));
    let sensor = Device::with(&[(sys::V4L2_CID_ANALOGUE_GAIN, 1, 16, 1)]);
    assert_eq!(Knob::Gain.apply(&sensor, Setting::Value(4)).unwrap(), "gain 4");
}

#[test]
fn what_it_does_not_have_or_take_is_refused_and_nothing_is_set() {
    let device = webcam();
    for (knob, setting, what, cure) in [
        (Knob::Exposure, Setting::Value(299), "exposure_us is 299", "give 300 to 204700, or \"auto\""),
        (Knob::Gain, Setting::Value(256), "gain is 256", "give 0 to 255"),
        (Knob::Gain, Setting::Auto, "by itself", "give 0 to 255"),
        (Knob::Focus, Setting::Value(3), "no value for focus", "give focus = \"auto\""),
    ] {
        let refusal = knob.apply(&device, setting).unwrap_err();
        assert!(refusal.what.contains(what) && refusal.cure == cure, "{refusal}");
    }
    let refusal = Knob::Focus.check(&Device::default(), Setting::Auto).unwrap_err();
    assert_eq!(refusal.to_string(), "the camera has no focus to set: drop focus");
    assert!(device.set.borrow().is_empty());
}

#[test]
fn offers_are_told_in_the_unit_of_their_key() {
    let device = webcam();
    let told: Vec<String> = Knob::ALL.iter().filter_map(|k| k.offer(&device)).map(|o| o.to_string()).collect();
    let all =
        ["exposure_us 300 to 204700 or auto", "gain 0 to 255", "white_balance_k 2000 to 6500 or auto", "focus auto"];
    assert_eq!(told, all);
}

proptest! {
    /// Whatever a driver claims of a control: what is set lies in its range and on its steps, and nothing panics.
    #[test]
    fn any_range_is_kept(a in any::<i32>(), b in any::<i32>(), step in 1..=i32::MAX, value in 0..=i32::MAX as u32, exposure in any::<bool>()) {
        let (least, most) = (a.min(b), a.max(b));
        let (knob, id) =
            if exposure { (Knob::Exposure, sys::V4L2_CID_EXPOSURE_ABSOLUTE) } else { (Knob::Gain, sys::V4L2_CID_GAIN) };
        let span = Span { least, most, step };
        let set = i64::from(span.nearest(i64::from(value), knob.unit()));
        prop_assert!((i64::from(least)..=i64::from(most)).contains(&set));
        prop_assert_eq!((set - i64::from(least)) % i64::from(step), 0);
        let device = Device::with(&[(id, least, most, step)]);
        let took = knob.apply(&device, Setting::Value(value)).is_ok();
        let unit = knob.unit();
        prop_assert_eq!(took, (i64::from(least) * unit..=i64::from(most) * unit).contains(&i64::from(value)));
    }
}
