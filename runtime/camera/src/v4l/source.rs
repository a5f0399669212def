//! A camera as a [`Source`]: every fault is a state, and the way back is always tried.
//!
//! ```text
//!            plugged in, format granted, streaming
//!   away ────────────────────────────────────────────▶ streaming
//!    ▲                                                     │
//!    └──── no whole picture for timeout_ms, EIO, ENODEV, ──┘
//!          a buffer that was not queued, STREAMON refused
//! ```
//!
//! A call in the state *away* tries once to open the device and to begin a stream, and says [`Next::Lost`] with cause
//! and cure if that fails; the pauses between the tries are the reader's ([`Source::next`] is called again when it is
//! time). Whatever fails, the device is closed and opened anew: what a driver left half-done does not survive.
//! A camera never ends.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::choose::{NoChoice, choose};
use super::driver::{Driver, Wish};
use super::kernel::Kernel;
use super::options::CameraOptions;
use super::queue::{CaptureQueue, Counts, QueueError};
use super::shape::Shape;
use crate::frame::outline::with_tables;
use crate::frame::yuv::{Encoding, Range};
use crate::frame::{Frame, picture};
use crate::{LIVE_PIXELS_MAX, Next, Pacing, Source, SourceError, Tally};

/// Where a device comes from, each time it is needed.
pub trait Socket: Send {
    /// What comes out of it.
    type Device: Driver;
    /// Opens the device and says what to ask of it.
    ///
    /// # Errors
    /// [`SourceError::Camera`].
    fn plug_in(&mut self, options: &CameraOptions) -> Result<(Self::Device, Wish), SourceError>;
    /// The device in the operator's words.
    fn name(&self) -> &str;
}

/// A device file of the kernel.
#[derive(Debug)]
pub struct DeviceFile {
    path: PathBuf,
    name: String,
}

impl DeviceFile {
    /// The device at `path`; nothing is opened yet.
    #[must_use]
    pub fn new(path: &Path) -> DeviceFile {
        DeviceFile { path: path.to_owned(), name: path.display().to_string() }
    }
}

impl Socket for DeviceFile {
    type Device = Kernel;

    fn plug_in(&mut self, options: &CameraOptions) -> Result<(Kernel, Wish), SourceError> {
        let kernel = Kernel::open(&self.path).map_err(|error| refused(&self.name, "open", &error))?;
        if !kernel.identity().captures {
            let what = format!("{} gives no pictures", kernel.identity().card);
            return Err(SourceError::camera(
                &self.name,
                what,
                "`lapwing doctor` lists the cameras; a v4l2loopback device needs its writer first",
            ));
        }
        let wish = choose(&kernel, options).map_err(|none| no_choice(&self.name, &none))?;
        Ok((kernel, wish))
    }

    fn name(&self) -> &str {
        &self.name
    }
}

enum State<D: Driver> {
    Away,
    Streaming {
        queue: Box<CaptureQueue<D>>,
        /// When the last whole picture came, or the stream began, in the driver's microseconds.
        good_us: u64,
        /// What was wrong with the last picture that could not be decoded.
        damage: Option<String>,
    },
}

/// A camera.
pub struct Camera<S: Socket> {
    socket: S,
    options: CameraOptions,
    state: State<S::Device>,
    /// Number of the next picture, over all streams.
    number: u64,
    /// Of the streams that have ended.
    counts: Counts,
    /// What was granted last, in words.
    granted: String,
    /// For JPEGs that need something put in.
    scratch: Vec<u8>,
}

/// The camera at a device file.
pub type V4lCamera = Camera<DeviceFile>;

impl<S: Socket> Camera<S> {
    /// A camera in `socket`. One try is made to reach it, so that [`Source::describe`] can tell what it grants; a
    /// camera that is not there yet is no error.
    pub fn new(socket: S, options: CameraOptions) -> Camera<S> {
        let mut camera = Camera {
            socket,
            options,
            state: State::Away,
            number: 0,
            counts: Counts::default(),
            granted: String::new(),
            scratch: Vec::new(),
        };
        if let Err(error) = camera.begin() {
            log::debug!("{error}"); // told by the first call of `next`, with what has become of it by then
        }
        camera
    }

    /// From *away* to *streaming*.
    fn begin(&mut self) -> Result<(), SourceError> {
        let (device, wish) = self.socket.plug_in(&self.options)?;
        let queue = CaptureQueue::open(device, &wish, self.options.buffers, self.number)
            .map_err(|error| in_words(self.socket.name(), &error))?;
        let granted = queue.granted();
        if u64::from(granted.width) * u64::from(granted.height) > LIVE_PIXELS_MAX {
            let px = (granted.width, granted.height);
            return Err(SourceError::live_picture_too_large(self.socket.name(), px));
        }
        let mut set = String::new();
        for (knob, setting) in self.options.settings.asked() {
            // a camera that sees with another setting is better than none
            match knob.apply(queue.controls(), setting) {
                Ok(words) => set += &format!(", {words}"),
                Err(refusal) => log::warn!("{}: {refusal}", self.socket.name()),
            }
        }
        if (granted.fourcc, granted.width, granted.height) != (wish.fourcc, wish.width, wish.height) {
            log::warn!(
                "{}: asked for {} {}x{}, got {} {}x{}, which is used",
                self.socket.name(),
                wish.fourcc,
                wish.width,
                wish.height,
                granted.fourcc,
                granted.width,
                granted.height
            );
        }
        self.granted = granted_in_words(&queue) + &set;
        log::info!("{}: {}", self.socket.name(), self.granted);
        let good_us = queue.now_us();
        self.state = State::Streaming { queue: Box::new(queue), good_us, damage: None };
        Ok(())
    }

    /// From *streaming* to *away*: the stream is stopped and the device closed.
    fn end(&mut self) {
        if let State::Streaming { queue, .. } = std::mem::replace(&mut self.state, State::Away) {
            self.number = queue.next_number();
            self.counts = self.counts.with(queue.counts());
        }
    }

    fn lost(&mut self, error: SourceError) -> Next {
        self.end();
        Next::Lost(error)
    }
}

impl<S: Socket> Source for Camera<S> {
    fn next(&mut self, frame: &mut Frame, deadline: Duration) -> Next {
        if matches!(self.state, State::Away)
            && let Err(error) = self.begin()
        {
            return Next::Lost(error);
        }
        let State::Streaming { queue, good_us, damage } = &mut self.state else { return Next::Timeout };
        let (name, scratch) = (self.socket.name(), &mut self.scratch);
        let looked = match queue.newest(deadline) {
            Ok(Some(lent)) => {
                let now_us = lent.now_us();
                frame.seq = lent.number();
                frame.age_us = lent.age_us();
                frame.captured_us = now_us.saturating_sub(frame.age_us);
                frame.set_name(name);
                match lent.copy(frame, |bytes, frame| picture::decode(with_tables(bytes, scratch), name, frame)) {
                    Ok(Ok(())) => {
                        drop(lent);
                        (*good_us, *damage) = (now_us, None);
                        return Next::Frame;
                    }
                    Ok(Err(error)) => *damage = Some(error.to_string()),
                    Err(error) => *damage = Some(error.to_string()),
                }
                drop(lent);
                self.counts.damaged += 1;
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => Err(in_words(name, &error)),
        };
        if let Err(error) = looked {
            return self.lost(error);
        }
        let State::Streaming { queue, good_us, damage } = &self.state else { return Next::Timeout };
        let waited_us = queue.now_us().saturating_sub(*good_us);
        if waited_us < u64::from(self.options.timeout_ms) * 1000 {
            return Next::Timeout;
        }
        let damaged = damage.clone().or_else(|| {
            (queue.counts().damaged > 0).then(|| "pictures came, but the driver marked them as damaged".to_owned())
        });
        let seconds = f64::from(self.options.timeout_ms) / 1e3; // not what it was by the clock: the same words each time
        let (what, cure) = match damaged {
            Some(damage) => (
                format!("no whole picture for {seconds:.1} s: {damage}"),
                "the stream is begun anew; check the cable and the hub's power, or try another [camera] format",
            ),
            None => (
                format!("no picture for {seconds:.1} s"),
                "the stream is begun anew; check the cable, and that the source of the picture is on",
            ),
        };
        let error = SourceError::camera(self.socket.name(), what, cure);
        self.lost(error)
    }

    fn pacing(&self) -> Pacing {
        Pacing::Live
    }

    fn describe(&self) -> String {
        let state = if self.granted.is_empty() { "not there yet" } else { &self.granted };
        format!("v4l:{} ({state})", self.socket.name())
    }

    fn len_hint(&self) -> Option<u64> {
        None
    }

    fn tally(&self) -> Tally {
        let counts = match &self.state {
            State::Streaming { queue, .. } => self.counts.with(queue.counts()),
            State::Away => self.counts,
        };
        Tally { dropped: counts.missed + counts.superseded, damaged: counts.damaged }
    }
}

fn granted_in_words<D: Driver>(queue: &CaptureQueue<D>) -> String {
    let granted = queue.granted();
    let mut words = format!("{} {}x{}", granted.fourcc, granted.width, granted.height);
    if let Shape::Raw { layout, .. } = queue.shape() {
        let encoding = match layout.colour().encoding {
            Encoding::Bt601 => "BT.601",
            Encoding::Bt709 => "BT.709",
            Encoding::Bt2020 => "BT.2020",
        };
        let range = match layout.colour().range {
            Range::Limited => "limited",
            Range::Full => "full",
        };
        words += &format!(", {} bytes a row, {encoding} {range}", layout.planes()[0].stride);
    }
    match granted.interval {
        (0, _) | (_, 0) => {}
        (numerator, denominator) => {
            words += &format!(", {:.0} frames a second", f64::from(denominator) / f64::from(numerator));
        }
    }
    words + &format!(", {} buffers", queue.buffers())
}

fn no_choice(name: &str, none: &NoChoice) -> SourceError {
    let list = |formats: &[super::fourcc::FourCc]| {
        formats.iter().take(8).map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    match none {
        NoChoice::Nothing => {
            SourceError::camera(name, "it offers no format".to_owned(), "`lapwing doctor` lists the cameras")
        }
        NoChoice::BayerOnly(formats) => {
            SourceError::camera(name, format!("it is a bare sensor: {}", list(formats)), super::BAYER_CURE)
        }
        NoChoice::Unreadable(formats) => SourceError::camera(
            name,
            format!("it offers {}, and lapwing reads none of these", list(formats)),
            "lapwing reads NV12, NV21, YUYV, UYVY, YU12, RGB3, BGR3, GREY and MJPG: set the camera to one of them",
        ),
    }
}

fn in_words(name: &str, error: &QueueError) -> SourceError {
    match error {
        QueueError::Call { call, cause } => refused(name, call, cause),
        QueueError::Shape(what) => SourceError::camera(
            name,
            what.to_string(),
            "set another [camera] format or size; `lapwing doctor` lists what it offers",
        ),
        QueueError::Buffers(_) => {
            SourceError::camera(name, error.to_string(), "give [camera] fewer buffers or a smaller size")
        }
        QueueError::WrongIndex(_) => SourceError::camera(
            name,
            error.to_string(),
            "the driver is at fault: update the kernel; the stream is begun anew",
        ),
    }
}

/// A refused call with the cure that fits the error.
fn refused(name: &str, call: &str, cause: &io::Error) -> SourceError {
    use rustix::io::Errno;
    let errno = cause.raw_os_error().map(Errno::from_raw_os_error);
    let (what, cure) = match errno {
        Some(Errno::NOENT | Errno::NXIO) => {
            ("there is no such camera", "plug it in; `lapwing doctor` lists what is there")
        }
        Some(Errno::NODEV) => ("the camera was unplugged", "plug it in; it is taken up again by itself"),
        Some(Errno::ACCESS | Errno::PERM) => {
            ("not allowed", "add this user to the group video (`sudo usermod -aG video $USER`), then log in anew")
        }
        Some(Errno::BUSY) => ("another program has it", "stop that program; `fuser -v` with the device names it"),
        Some(Errno::NOSPC) => {
            ("the USB bus has no room for it", "use another port, a smaller size, or format = \"MJPG\" under [camera]")
        }
        Some(Errno::IO | Errno::PROTO | Errno::PIPE) => {
            ("the stream broke", "it is begun anew; if that repeats, check the cable, the hub and the power supply")
        }
        Some(Errno::NOMEM) => ("no memory for its buffers", "give [camera] fewer buffers or a smaller size"),
        _ => ("refused", "it is tried again; `lapwing doctor` shows what the camera offers"),
    };
    SourceError::camera(name, format!("{what} ({call}: {cause})"), cure)
}
