//! Which format to ask a camera for.
//!
//! Formats that need no decoding come first, in the order of [`USABLE`]; but a camera on a slow bus often gives them at
//! a few frames a second only, and JPEG at full rate. So: the first that reaches the wanted rate at the wanted size, else
//! the fastest. A format whose rate the camera does not tell is taken to be fast enough.

use super::driver::Wish;
use super::fourcc::{FourCc, USABLE, is_bayer};
use super::kernel::{Kernel, Size};
use super::options::CameraOptions;

/// Drivers of the sockets for image sensors. Besides the sensor's own mosaic they list whatever could come in over the
/// wires, which does not mean that it does.
const SENSOR_DRIVERS: [&str; 3] = ["unicam", "rp1-cfe", "bcm2835-unicam"];
/// Drivers of devices that work on pictures of others: they look like cameras, and wait for ever.
const WORKER_DRIVERS: [&str; 3] = ["bcm2835-isp", "pispbe", "bcm2835-codec"];

/// What a camera offers, as far as the choice needs it.
pub trait Offers {
    /// The name of its driver.
    fn driver(&self) -> &str;
    /// Its formats.
    fn formats(&self) -> Vec<FourCc>;
    /// The sizes of a format; none if it does not say.
    fn sizes(&self, fourcc: FourCc) -> Vec<Size>;
    /// The highest rate of a format at a size, in frames a second.
    fn fps_max(&self, fourcc: FourCc, size: (u32, u32)) -> Option<f64>;
}

impl Offers for Kernel {
    fn driver(&self) -> &str {
        &self.identity().driver
    }
    fn formats(&self) -> Vec<FourCc> {
        Kernel::formats(self)
    }
    fn sizes(&self, fourcc: FourCc) -> Vec<Size> {
        Kernel::sizes(self, fourcc)
    }
    fn fps_max(&self, fourcc: FourCc, size: (u32, u32)) -> Option<f64> {
        Kernel::fps_max(self, fourcc, size)
    }
}

/// Why there is nothing to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoChoice {
    /// It offers no format at all.
    Nothing,
    /// It is an image sensor without its processor: nothing but these mosaics.
    BayerOnly(Vec<FourCc>),
    /// Formats, but none that lapwing reads.
    Unreadable(Vec<FourCc>),
}

/// What to ask of a camera that offers `offers`. A format that the operator names is asked for even if it is not
/// listed: the camera has the last word.
///
/// # Errors
/// See [`NoChoice`].
pub fn choose(offers: &impl Offers, options: &CameraOptions) -> Result<Wish, NoChoice> {
    let formats = offers.formats();
    let wish = |fourcc, (width, height)| Wish { fourcc, width, height, fps: options.fps };
    if let Some(fourcc) = options.format {
        return Ok(wish(fourcc, nearest(&offers.sizes(fourcc), options)));
    }
    if WORKER_DRIVERS.contains(&offers.driver()) {
        return Err(NoChoice::Nothing);
    }
    let mosaics: Vec<FourCc> = formats.iter().copied().filter(|fourcc| is_bayer(*fourcc)).collect();
    if SENSOR_DRIVERS.contains(&offers.driver()) && !mosaics.is_empty() {
        return Err(NoChoice::BayerOnly(mosaics));
    }
    let usable = USABLE.iter().map(|(fourcc, _)| *fourcc).filter(|fourcc| formats.contains(fourcc));
    let mut fastest: Option<(f64, Wish)> = None;
    for fourcc in usable {
        let size = nearest(&offers.sizes(fourcc), options);
        let fps = offers.fps_max(fourcc, size).unwrap_or(f64::INFINITY);
        if fps >= f64::from(options.fps) - 0.5 {
            return Ok(wish(fourcc, size));
        }
        if fastest.is_none_or(|(best, _)| fps > best) {
            fastest = Some((fps, wish(fourcc, size)));
        }
    }
    match fastest {
        Some((_, wish)) => Ok(wish),
        None if formats.is_empty() => Err(NoChoice::Nothing),
        None if mosaics.len() == formats.len() => Err(NoChoice::BayerOnly(formats)),
        None => Err(NoChoice::Unreadable(formats)),
    }
}

/// The offered size that is nearest to the wanted one: the smallest that covers it, else the largest.
fn nearest(sizes: &[Size], options: &CameraOptions) -> (u32, u32) {
    let wanted = (options.width, options.height);
    let area = |(w, h): (u32, u32)| u64::from(w) * u64::from(h);
    let mut best: Option<(u32, u32)> = None;
    for size in sizes {
        let size = match *size {
            Size::Exactly(width, height) => (width, height),
            Size::Range(least, most) => {
                let within = |value: u32, least: u32, most: u32| value.max(least).min(most.max(least));
                (within(wanted.0, least.0, most.0), within(wanted.1, least.1, most.1))
            }
        };
        let covers = |(w, h): (u32, u32)| w >= wanted.0 && h >= wanted.1;
        let better = best.is_none_or(|best| match (covers(size), covers(best)) {
            (true, true) => area(size) < area(best),
            (false, false) => area(size) > area(best),
            (covers, _) => covers,
        });
        if better {
            best = Some(size);
        }
    }
    best.unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Format, sizes, rate.
    type Line = (&'static [u8; 4], Vec<Size>, Option<f64>);

    struct Paper(Vec<Line>, &'static str);

    impl Offers for Paper {
        fn driver(&self) -> &str {
            self.1
        }
        fn formats(&self) -> Vec<FourCc> {
            self.0.iter().map(|(code, ..)| FourCc(**code)).collect()
        }
        fn sizes(&self, fourcc: FourCc) -> Vec<Size> {
            self.0
                .iter()
                .find(|(code, ..)| FourCc(**code) == fourcc)
                .map_or_else(Vec::new, |(_, sizes, _)| sizes.clone())
        }
        fn fps_max(&self, fourcc: FourCc, _: (u32, u32)) -> Option<f64> {
            self.0.iter().find(|(code, ..)| FourCc(**code) == fourcc)?.2
        }
    }

    fn chosen_of(driver: &'static str, paper: Vec<Line>) -> Result<String, NoChoice> {
        choose(&Paper(paper, driver), &CameraOptions::default()).map(|wish| wish.fourcc.to_string())
    }

    fn chosen(paper: Vec<Line>) -> Result<String, NoChoice> {
        chosen_of("uvcvideo", paper)
    }

    #[test]
    fn the_first_that_is_fast_enough_else_the_fastest() {
        assert_eq!(chosen(vec![(b"MJPG", vec![], Some(30.0)), (b"YUYV", vec![], Some(30.0))]).unwrap(), "YUYV");
        assert_eq!(chosen(vec![(b"MJPG", vec![], Some(30.0)), (b"YUYV", vec![], Some(5.0))]).unwrap(), "MJPG");
        assert_eq!(chosen(vec![(b"MJPG", vec![], Some(7.5)), (b"YUYV", vec![], Some(10.0))]).unwrap(), "YUYV");
        assert_eq!(chosen(vec![(b"YUYV", vec![], None), (b"NV12", vec![], Some(14.99))]).unwrap(), "NV12");
        assert_eq!(chosen(vec![(b"H264", vec![], None), (b"GREY", vec![], None)]).unwrap(), "GREY");
    }

    #[test]
    fn a_sensor_without_its_processor_is_known() {
        let sensor = vec![(b"pBAA", vec![], None), (b"BG10", vec![], None)];
        assert!(matches!(chosen(sensor), Err(NoChoice::BayerOnly(formats)) if formats.len() == 2));
        assert!(matches!(chosen(vec![(b"H264", vec![], None)]), Err(NoChoice::Unreadable(_))));
        assert_eq!(chosen(vec![]), Err(NoChoice::Nothing));
        // a Raspberry Pi 5 lists what the wires could carry beside the sensor's own
        let wires = || vec![(b"YUYV", vec![], None), (b"pRAA", vec![], None)];
        assert_eq!(chosen_of("rp1-cfe", wires()), Err(NoChoice::BayerOnly(vec![FourCc(*b"pRAA")])));
        assert_eq!(chosen_of("uvcvideo", wires()).unwrap(), "YUYV");
        // an HDMI receiver on the same wires gives pictures
        assert_eq!(chosen_of("unicam", vec![(b"UYVY", vec![], None)]).unwrap(), "UYVY");
        assert_eq!(chosen_of("bcm2835-isp", vec![(b"YUYV", vec![], None)]), Err(NoChoice::Nothing));
    }

    #[test]
    fn what_the_operator_names_is_asked_for() {
        let options = CameraOptions { format: Some(FourCc(*b"MJPG")), ..CameraOptions::default() };
        let wish = choose(&Paper(vec![(b"YUYV", vec![], None)], "uvcvideo"), &options).unwrap();
        assert_eq!((wish.fourcc, wish.width, wish.height, wish.fps), (FourCc(*b"MJPG"), 640, 480, 15));
    }

    #[test]
    fn the_smallest_size_that_covers() {
        let options = CameraOptions::default();
        let exactly = |list: &[(u32, u32)]| list.iter().map(|&(w, h)| Size::Exactly(w, h)).collect::<Vec<_>>();
        assert_eq!(nearest(&exactly(&[(1920, 1080), (1280, 720), (320, 240)]), &options), (1280, 720));
        assert_eq!(nearest(&exactly(&[(320, 240), (640, 360), (160, 120)]), &options), (640, 360));
        assert_eq!(nearest(&[Size::Range((48, 48), (4096, 2160))], &options), (640, 480));
        assert_eq!(nearest(&[Size::Range((1280, 720), (1280, 720))], &options), (1280, 720));
        assert_eq!(nearest(&[], &options), (640, 480));
    }
}
