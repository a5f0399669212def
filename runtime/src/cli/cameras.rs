//! Cameras as the command line meets them: which one `run` takes by itself, and what `doctor` says of each.

use lapwing_camera::frame::printable::Printable;
use lapwing_camera::v4l::choose::NoChoice;
use lapwing_camera::v4l::fourcc::use_of;
use lapwing_camera::v4l::kernel::Size;
use lapwing_camera::v4l::{BAYER_CURE, CameraOptions, Found, FourCc, Verdict, find};

/// Set to `none`, no camera is looked for: for tests and for machines whose cameras are not lapwing's.
pub const CAMERAS_VARIABLE: &str = "LAPWING_CAMERAS";
/// The most sizes of a format that are listed.
const SIZES_SHOWN: usize = 6;

/// Every video device; none if the environment says so.
pub fn cameras(options: &CameraOptions) -> Vec<Found> {
    if std::env::var_os(CAMERAS_VARIABLE).is_some_and(|word| word == "none") {
        return Vec::new();
    }
    find(options)
}

/// The words for the first camera that lapwing can read, else why there is none.
pub fn first_usable(found: &[Found]) -> Result<String, String> {
    let usable = found.iter().find(|f| matches!(f.verdict, Verdict::Camera { .. }));
    match usable {
        Some(camera) => Ok(format!("v4l:{}", camera.path.display())),
        None => Err(found.iter().find_map(why_not).unwrap_or_else(|| "none found".to_owned())),
    }
}

/// Why a device that may be a camera cannot be used; `None` for what is none.
fn why_not(found: &Found) -> Option<String> {
    let path = Printable(found.path.display());
    match &found.verdict {
        Verdict::Camera { .. } | Verdict::NoCamera { .. } => None,
        Verdict::Unusable { identity, why: NoChoice::BayerOnly(_) } => {
            Some(format!("{path} ({}) is a bare sensor: {BAYER_CURE}", identity.card))
        }
        Verdict::Unusable { identity, why } => Some(format!("{path} ({}) {}", identity.card, in_words(why))),
        Verdict::Refused(error) => Some(format!("{path} cannot be asked: {error}")),
    }
}

/// One device for the doctor: what was found, and the cure if there is something to mend. `None` for what is no camera.
pub fn diagnose(found: &Found) -> Option<(String, Option<String>)> {
    let path = Printable(found.path.display());
    Some(match &found.verdict {
        Verdict::NoCamera { .. } => return None,
        Verdict::Camera { identity, formats, offers, wish } => {
            let (read, others): (Vec<_>, Vec<_>) = formats.iter().partition(|(fourcc, _)| use_of(*fourcc).is_some());
            let mut listed: Vec<String> =
                read.iter().map(|(fourcc, sizes)| format!("{fourcc}{}", list(sizes))).collect();
            if !others.is_empty() {
                listed.push(format!("{} formats that lapwing does not read", others.len()));
            }
            let told: Vec<String> = offers.iter().map(ToString::to_string).collect();
            let takes = if told.is_empty() { String::new() } else { format!("; [camera] takes {}", told.join(", ")) };
            let used = format!("{} {}x{}", wish.fourcc, wish.width, wish.height);
            (
                format!(
                    "{path}: {} ({}, {}); {}; `run` asks for {used}{takes}",
                    identity.card,
                    identity.driver,
                    identity.bus,
                    listed.join(", ")
                ),
                None,
            )
        }
        Verdict::Unusable { identity, why } => {
            let cure = match why {
                NoChoice::BayerOnly(_) => BAYER_CURE.to_owned(),
                _ => "lapwing reads NV12, NV21, YUYV, UYVY, YU12, RGB3, BGR3, GREY and MJPG: set the camera to one of them".to_owned(),
            };
            (format!("{path}: {} ({}) {}", identity.card, identity.driver, in_words(why)), Some(cure))
        }
        Verdict::Refused(error) if error.kind() == std::io::ErrorKind::PermissionDenied => (
            format!("{path}: {error}"),
            Some("add this user to the group video: `sudo usermod -aG video $USER`, then log in anew".to_owned()),
        ),
        Verdict::Refused(error) => (format!("{path}: {error}"), Some("unplug it and plug it in again".to_owned())),
    })
}

fn in_words(why: &NoChoice) -> String {
    let names = |formats: &[FourCc]| formats.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    match why {
        NoChoice::Nothing => "offers no format".to_owned(),
        NoChoice::BayerOnly(formats) => format!("is a bare sensor, its pictures are unfinished: {}", names(formats)),
        NoChoice::Unreadable(formats) => format!("offers {} only", names(formats)),
    }
}

fn list(sizes: &[Size]) -> String {
    if sizes.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = sizes
        .iter()
        .take(SIZES_SHOWN)
        .map(|size| match size {
            Size::Exactly(width, height) => format!("{width}x{height}"),
            Size::Range(least, most) => format!("{}x{} to {}x{}", least.0, least.1, most.0, most.1),
        })
        .collect();
    let more = if sizes.len() > SIZES_SHOWN { " and more" } else { "" };
    format!(" ({}{more})", shown.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_camera::v4l::controls::{Knob, Offer};
    use lapwing_camera::v4l::driver::Wish;
    use lapwing_camera::v4l::kernel::Identity;

    fn device(number: u32, verdict: Verdict) -> Found {
        Found { path: format!("/dev/video{number}").into(), verdict }
    }

    fn identity(card: &str) -> Identity {
        Identity { card: card.into(), driver: "d".into(), bus: "b".into(), captures: true }
    }

    fn camera() -> Verdict {
        let wish = Wish { fourcc: FourCc(*b"YUYV"), width: 640, height: 480, fps: 15 };
        let formats = vec![(wish.fourcc, vec![Size::Exactly(640, 480); 9]), (FourCc(*b"MJPG"), vec![])];
        let offers = vec![Offer { knob: Knob::Gain, auto: true, values: Some((0, 255)) }];
        Verdict::Camera { identity: identity("Webcam"), formats, offers, wish }
    }

    fn sensor() -> Verdict {
        Verdict::Unusable { identity: identity("unicam"), why: NoChoice::BayerOnly(vec![FourCc(*b"pBAA")]) }
    }

    #[test]
    fn the_first_camera_that_can_be_read_is_taken() {
        let codec = || Verdict::NoCamera { identity: identity("bcm2835-codec") };
        let found = [device(0, sensor()), device(1, codec()), device(4, camera()), device(5, camera())];
        assert_eq!(first_usable(&found), Ok("v4l:/dev/video4".into()));
        assert_eq!(first_usable(&found[1..2]), Err("none found".into()));
        let why = first_usable(&found[..2]).unwrap_err();
        assert!(why.contains("/dev/video0 (unicam) is a bare sensor") && why.contains("rpicam-vid"), "{why}");
        let refused = [device(0, Verdict::Refused(std::io::ErrorKind::PermissionDenied.into()))];
        assert!(first_usable(&refused).unwrap_err().contains("cannot be asked"));
    }

    #[test]
    fn the_doctor_lists_formats_and_cures() {
        let (found, cure) = diagnose(&device(2, camera())).unwrap();
        assert!(found.ends_with("; [camera] takes gain 0 to 255 or auto"), "{found}");
        assert!(
            found.contains("YUYV (640x480 640x480") && found.contains("and more), MJPG; `run` asks for YUYV 640x480"),
            "{found}"
        );
        assert_eq!(cure, None);
        let (found, cure) = diagnose(&device(0, sensor())).unwrap();
        assert!(found.contains("unfinished: pBAA") && cure.unwrap().contains("firmware/image"), "{found}");
        let refused = device(0, Verdict::Refused(std::io::ErrorKind::PermissionDenied.into()));
        assert!(diagnose(&refused).unwrap().1.unwrap().contains("group video"));
        assert!(diagnose(&device(9, Verdict::NoCamera { identity: identity("codec") })).is_none());
    }
}
