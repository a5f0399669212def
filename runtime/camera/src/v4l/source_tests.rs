//! The camera as a source: every fault is a state, and there is a way back from each.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rustix::io::Errno;

use super::controls::{Setting, Settings};
use super::driver::Wish;
use super::fourcc::FourCc;
use super::options::CameraOptions;
use super::simulated::{Books, Filled, Move, Simulated, granted};
use super::source::{Camera, Socket};
use crate::frame::Frame;
use crate::{Next, Pacing, Source, SourceError};

const WAIT: Duration = Duration::from_millis(100);

/// What is found each time that the device is opened; at the end the last again.
enum Plug {
    Device(Vec<Move>),
    NotThere,
    StartFails,
    Odd(&'static [u8; 4]),
    /// Its pictures are larger than a live source may have.
    Huge,
    /// With a gain of 0 to 255.
    WithGain(Vec<Move>),
}

struct Bench {
    plugs: Vec<Plug>,
    opened: usize,
    books: Arc<Mutex<Vec<Arc<Mutex<Books>>>>>,
}

impl Socket for Bench {
    type Device = Simulated;

    fn plug_in(&mut self, options: &CameraOptions) -> Result<(Simulated, Wish), SourceError> {
        let plug = &self.plugs[self.opened.min(self.plugs.len() - 1)];
        self.opened += 1;
        let yuyv = granted(b"YUYV", 4, 3, &[12]);
        let device = match plug {
            Plug::NotThere => return Err(SourceError::camera("bench", "not there", "plug it in")),
            Plug::Device(script) => Simulated::new(yuyv, 36, script.clone()),
            Plug::WithGain(script) => {
                let device = Simulated::new(yuyv, 36, script.clone());
                device.books().lock().unwrap().control = Some(v4l::v4l_sys::V4L2_CID_GAIN);
                device
            }
            Plug::StartFails => {
                let device = Simulated::new(yuyv, 36, vec![]);
                device.books().lock().unwrap().start_fails = Some(Errno::INVAL);
                device
            }
            Plug::Huge => Simulated::new(granted(b"GREY", 4200, 3100, &[4200]), 4200 * 3100, vec![]),
            Plug::Odd(fourcc) => {
                Simulated::new(granted(fourcc, 4, 3, &[12]), 36, vec![Move::Fill(vec![Filled::Whole])])
            }
        };
        self.books.lock().unwrap().push(device.books());
        let wish = Wish { fourcc: FourCc(*b"YUYV"), width: options.width, height: options.height, fps: options.fps };
        Ok((device, wish))
    }

    fn name(&self) -> &str {
        "bench"
    }
}

fn camera(plugs: Vec<Plug>) -> Camera<Bench> {
    Camera::new(Bench { plugs, opened: 0, books: Arc::default() }, CameraOptions::default())
}

fn good(times: usize) -> Plug {
    Plug::Device(vec![Move::Fill(vec![Filled::Whole]); times])
}

/// The words of what comes next, until a frame: a timeout is no word.
fn until_frame(camera: &mut Camera<Bench>, frame: &mut Frame) -> Vec<String> {
    let mut words = Vec::new();
    for _ in 0..200 {
        match camera.next(frame, WAIT) {
            Next::Frame => return words,
            Next::Timeout => {}
            Next::Lost(error) => words.push(error.to_string()),
            other => panic!("{other:?}"),
        }
    }
    panic!("no frame came: {words:?}");
}

/// Set while the stream runs, again on each stream, and told; a camera without it streams all the same.
#[test]
fn settings_are_made_on_every_stream() {
    let options = CameraOptions {
        settings: Settings { gain: Some(Setting::Value(16)), ..Settings::default() },
        ..CameraOptions::default()
    };
    let frames = || vec![Move::Fill(vec![Filled::Whole]), Move::Broken];
    let books = Arc::default();
    let plugs = vec![Plug::WithGain(frames()), Plug::WithGain(frames()), good(9)];
    let mut camera = Camera::new(Bench { plugs, opened: 0, books: Arc::clone(&books) }, options);
    assert!(camera.describe().contains("gain 16"), "{}", camera.describe());
    let mut frame = Frame::new();
    for _ in 0..3 {
        until_frame(&mut camera, &mut frame);
    }
    assert!(!camera.describe().contains("gain"), "{}", camera.describe());
    let set: Vec<_> = books.lock().unwrap().iter().map(|books| books.lock().unwrap().set.clone()).collect();
    assert_eq!(set, [vec![(16, true)], vec![(16, true)], vec![]]);
}

#[test]
fn every_fault_is_a_state_with_a_way_back() {
    let faults: Vec<(Plug, &str)> = vec![
        (Plug::NotThere, "not there"),
        (Plug::StartFails, "VIDIOC_STREAMON"),
        (Plug::Odd(b"H264"), "H264, which lapwing does not read"),
        (Plug::Device(vec![Move::Broken]), "the stream broke"),
        (Plug::Device(vec![Move::Fault]), "poll"),
        (Plug::Device(vec![Move::Unplug]), "the camera was unplugged"),
        (Plug::Device(vec![Move::Wrong(0)]), "which it did not have"),
        (Plug::Device(vec![Move::Quiet]), "no picture for 3.0 s"),
        (Plug::Device(vec![Move::Fill(vec![Filled::Flagged]); 5000]), "marked them as damaged"),
    ];
    for (fault, word) in faults {
        let mut camera = camera(vec![fault, good(3)]);
        let mut frame = Frame::new();
        let words = until_frame(&mut camera, &mut frame);
        assert_eq!(words.len(), usize::from(!words.is_empty()), "{words:?}");
        // `Camera::new` has tried once already: what failed there is gone unless it lies in the stream
        if let Some(said) = words.first() {
            assert!(said.contains(word) && said.starts_with("bench: "), "{said}");
        }
        until_frame(&mut camera, &mut frame);
        assert_eq!(frame.name(), "bench");
    }
}

#[test]
fn another_format_than_asked_is_used_if_it_can_be_read() {
    let mut camera = camera(vec![Plug::Odd(b"GREY")]);
    assert!(
        camera.describe().contains("bench (GREY 4x3, 12 bytes a row, BT.601 limited, 4 buffers)"),
        "{}",
        camera.describe()
    );
    let mut frame = Frame::new();
    assert!(until_frame(&mut camera, &mut frame).is_empty());
    assert_eq!((frame.width(), frame.height()), (4, 3));
    assert_eq!(camera.pacing(), Pacing::Live);
}

#[test]
fn numbers_go_on_and_counts_add_up_over_streams() {
    let first = vec![Move::Fill(vec![Filled::Whole; 2]), Move::Miss(4), Move::Fill(vec![Filled::Whole]), Move::Broken];
    let mut camera = camera(vec![Plug::Device(first), Plug::NotThere, good(2)]);
    let mut frame = Frame::new();
    until_frame(&mut camera, &mut frame);
    assert_eq!(frame.seq, 1);
    until_frame(&mut camera, &mut frame);
    assert_eq!((frame.seq, camera.tally().dropped), (6, 5));
    assert_eq!(until_frame(&mut camera, &mut frame).len(), 2);
    assert_eq!((frame.seq, camera.tally().dropped), (7, 5));
}

#[test]
fn a_stopped_camera_leaves_nothing_behind() {
    let bench = Bench { plugs: vec![Plug::Device(vec![Move::Broken]), good(1)], opened: 0, books: Arc::default() };
    let all = Arc::clone(&bench.books);
    let mut camera = Camera::new(bench, CameraOptions::default());
    until_frame(&mut camera, &mut Frame::new());
    drop(camera);
    for books in all.lock().unwrap().iter() {
        let books = books.lock().unwrap();
        assert_eq!((books.stopped, books.freed, books.violations.len()), (1, 1, 0));
    }
    assert_eq!(all.lock().unwrap().len(), 2);
}

fn any_plug() -> impl Strategy<Value = (u8, usize)> {
    (0u8..8, 1usize..4)
}

proptest! {
    #[test]
    fn a_camera_never_ends_and_always_comes_back(plugs in prop::collection::vec(any_plug(), 0..8)) {
        let mut list: Vec<Plug> = plugs.into_iter().map(|(kind, times)| match kind {
            0 => Plug::NotThere,
            1 => Plug::StartFails,
            2 => Plug::Odd(b"H264"),
            3 => Plug::Device(vec![Move::Broken]),
            4 => Plug::Device(vec![Move::Unplug]),
            5 => Plug::Device(vec![Move::Quiet; times]),
            6 => Plug::Device(vec![Move::Fill(vec![Filled::Flagged]); times]),
            _ => good(times),
        }).collect();
        list.push(good(1000));
        let faults = list.len();
        let mut camera = camera(list);
        let mut frame = Frame::new();
        let (mut frames, mut losses) = (0, 0);
        while frames < 20 {
            match camera.next(&mut frame, WAIT) {
                Next::Frame => frames += 1,
                Next::Timeout => {}
                Next::Lost(_) => losses += 1,
                other => prop_assert!(false, "{other:?}"),
            }
            prop_assert!(losses <= faults, "one loss a fault");
        }
    }
}

#[test]
fn a_camera_whose_pictures_are_too_large_is_refused_in_words_before_memory_is_made() {
    let mut camera = camera(vec![Plug::Huge]);
    let mut frame = Frame::new();
    let Next::Lost(error) = camera.next(&mut frame, WAIT) else { panic!("it was taken") };
    let words = error.to_string();
    assert!(words.contains("4200x3100") && words.contains("set a smaller width and height"), "{words}");
    assert_eq!(frame.capacity_bytes(), 0);
}
