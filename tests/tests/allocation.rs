//! The network and the decoding of its outputs ask for no memory after the first picture, nor does a flow
//! in eight bits after its load, whatever step it is asked for.
//!
//! The photographs have the network's size: resizing RGB goes through a library that works its weights out
//! anew, in new memory, for every picture. A camera's own formats have any size.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use lapwing_camera::frame::raw::RawLayout;
use lapwing_camera::frame::yuv::Colour;
use lapwing_camera::frame::{Frame, PixelFormat, picture};
use lapwing_camera::photos::PHOTOS;
use lapwing_flow::network::{context_values, unknown};
use lapwing_flow::{Asked, FlowModel};
use lapwing_tests::{root, say};
use lapwing_vision::Model;
use lapwing_vision::detect::{DetectOptions, Detector};

/// The system's allocator, counting the requests of each thread.
struct Counting;

thread_local! {
    static REQUESTS: Cell<usize> = const { Cell::new(0) };
}

// Safety: every call is handed to the system's allocator as it is; the counter is a plain cell of
// this thread and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = REQUESTS.try_with(|n| n.set(n.get() + 1));
        // Safety: handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // Safety: handed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = REQUESTS.try_with(|n| n.set(n.get() + 1));
        // Safety: handed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The picture with its long side at `size`, by the nearest pixel.
fn fitted(whole: &Frame, size: usize) -> Frame {
    let (w, h) = (whole.width() as usize, whole.height() as usize);
    let (width, height) = (w * size / w.max(h), h * size / w.max(h));
    let mut frame = Frame::new();
    frame.reset(width as u32, height as u32).unwrap();
    for (at, pixel) in frame.rgb_mut().chunks_exact_mut(3).enumerate() {
        let (y, x) = (at / width * h / height, at % width * w / width);
        pixel.copy_from_slice(&whole.rgb()[(y * w + x) * 3..][..3]);
    }
    frame
}

/// Masks, key points, turned boxes and five faces' points, in eight bits.
#[test]
fn what_boxes_have_beside_their_scores_allocates_nothing_after_the_first_picture() {
    let folder = tempfile::tempdir().unwrap();
    let exports = root().join("tests/exports");
    let mut frame = Frame::new();
    let picture = exports.join("picture.png");
    picture::decode(&std::fs::read(&picture).unwrap(), "picture.png", &mut frame).unwrap();
    for name in ["masks", "points", "turned", "faces"] {
        let [onnx, lap] = ["onnx", "lap"].map(|ending| format!("{name}.{ending}"));
        std::fs::copy(exports.join(&onnx), folder.path().join(&onnx)).unwrap();
        let call = ["model", "quantize", &onnx, "--calibrate", picture.to_str().unwrap(), "--quick", "-o", &lap];
        say(folder.path(), &call);
        let mut detector = Detector::load(&Model::open(folder.path().join(&lap).to_str().unwrap()).unwrap()).unwrap();
        let options = DetectOptions::of(detector.manifest());
        let first = detector.detect(&frame, &options).unwrap().len();
        let before = REQUESTS.get();
        let again = detector.detect(&frame, &options).unwrap().len();
        assert_eq!(REQUESTS.get() - before, 0, "{name}");
        assert!(first == again && first > 0, "{name}");
    }
}

#[test]
fn detection_allocates_nothing_after_the_first_picture() {
    let model = Model::builtin().unwrap();
    let mut detector = Detector::load(&model).unwrap();
    let options = DetectOptions::of(model.manifest());
    let frames: Vec<Frame> = PHOTOS
        .iter()
        .map(|(name, bytes)| {
            let mut whole = Frame::new();
            picture::decode(bytes, name, &mut whole).unwrap();
            fitted(&whole, model.manifest().input.width as usize)
        })
        .collect();
    let mut found = 0;
    for frame in &frames {
        found += detector.detect(frame, &options).unwrap().len();
        let before = REQUESTS.get();
        for _ in 0..3 {
            detector.detect(frame, &options).unwrap();
        }
        assert_eq!(REQUESTS.get() - before, 0, "{}", frame.name());
    }
    assert!(found > 3, "{found} objects on the bundled photographs");
    let before = REQUESTS.get();
    drop(std::hint::black_box(Box::new(1u8)));
    assert_eq!(REQUESTS.get() - before, 1, "the counter counts");
}

#[test]
fn a_camera_s_picture_of_any_size_allocates_nothing_after_the_first() {
    let model = Model::builtin().unwrap();
    let mut detector = Detector::load(&model).unwrap();
    let options = DetectOptions::of(model.manifest());
    for format in PixelFormat::ALL {
        let layout = RawLayout::packed(format, (640, 480), Colour::VIDEO).unwrap();
        let mut frame = Frame::new();
        for turn in 0..4u8 {
            let before = REQUESTS.get();
            frame.reset_raw(&layout).unwrap().iter_mut().zip(0u32..).for_each(|(b, i)| *b = (i >> 6) as u8 ^ turn);
            detector.detect(&frame, &options).unwrap();
            if turn > 0 {
                assert_eq!(REQUESTS.get() - before, 0, "{}", format.name());
            }
        }
    }
}

#[test]
fn a_flow_in_eight_bits_allocates_nothing_after_its_load() {
    for name in ["flow-patch", "flow-cifar"] {
        let model = FlowModel::open(name).unwrap();
        let mut network = model.network(1).unwrap();
        let values = model.manifest().values();
        let (x, mut v) = (vec![0.25; values], vec![0.0; values]);
        let mut context = vec![0.0; context_values(model.manifest())];
        unknown(&mut context);
        let before = REQUESTS.get();
        for step in 0..80 {
            let asked = Asked { t: 1.0 - f64::from(step) / 80.0, label: step as usize % 3, jump: step % 2 == 0 };
            network.velocity(&x, &context, asked, &mut v).unwrap();
        }
        assert_eq!(REQUESTS.get() - before, 0, "{name}");
        assert!(v.iter().any(|&other| other != v[0]));
    }
}
