//! Which devices are cameras, and what can be done with each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::choose::{NoChoice, choose};
use super::controls::{Knob, Offer};
use super::driver::Wish;
use super::fourcc::FourCc;
use super::kernel::{Identity, Kernel, Size};
use super::options::CameraOptions;

/// The most devices that are looked at.
pub const DEVICES_MAX: usize = 64;

/// A video device.
#[derive(Debug)]
pub struct Found {
    /// Its file.
    pub path: PathBuf,
    /// What can be done with it.
    pub verdict: Verdict,
}

/// What can be done with a video device.
#[derive(Debug)]
pub enum Verdict {
    /// A camera that lapwing reads.
    Camera {
        /// What it says of itself.
        identity: Identity,
        /// Its formats, with the sizes of each.
        formats: Vec<(FourCc, Vec<Size>)>,
        /// What can be set on it.
        offers: Vec<Offer>,
        /// What `lapwing run` would ask of it.
        wish: Wish,
    },
    /// A camera that lapwing cannot read.
    Unusable {
        /// What it says of itself.
        identity: Identity,
        /// Why.
        why: NoChoice,
    },
    /// A device that takes no pictures: a codec, an output, a device of metadata.
    NoCamera {
        /// What it says of itself.
        identity: Identity,
    },
    /// It could not be asked.
    Refused(io::Error),
}

/// Every `/dev/video*`, by number; nothing is changed on any of them.
#[must_use]
pub fn find(options: &CameraOptions) -> Vec<Found> {
    let mut numbers: Vec<u32> = fs::read_dir("/dev")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("video")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers.truncate(DEVICES_MAX);
    numbers
        .into_iter()
        .map(|number| {
            let path = PathBuf::from(format!("/dev/video{number}"));
            let verdict = judge(&path, options);
            Found { path, verdict }
        })
        .collect()
}

fn judge(path: &Path, options: &CameraOptions) -> Verdict {
    let kernel = match Kernel::open(path) {
        Ok(kernel) => kernel,
        Err(error) => return Verdict::Refused(error),
    };
    let identity = kernel.identity().clone();
    if !identity.captures {
        return Verdict::NoCamera { identity };
    }
    match choose(&kernel, options) {
        Ok(wish) => {
            let formats = kernel.formats().into_iter().map(|fourcc| (fourcc, kernel.sizes(fourcc))).collect();
            let offers = Knob::ALL.iter().filter_map(|knob| knob.offer(&kernel)).collect();
            Verdict::Camera { identity, formats, offers, wish }
        }
        // codecs and image processors list formats of their own only once they are set up: they are no cameras
        Err(NoChoice::Nothing) => Verdict::NoCamera { identity },
        Err(why) => Verdict::Unusable { identity, why },
    }
}
