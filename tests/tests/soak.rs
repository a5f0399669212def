//! The main job over many frames of a seeded camera: flat memory, and no request for memory after the first frames.
//!
//! Everything runs: capture, detector, rules, a simulated line, the durable log; only pictures are not kept, for a JPEG
//! encoder makes its buffers anew. Requests are counted over all threads, so it has a `main` of its own: the test
//! harness asks for memory too. `LAPWING_SOAK_FRAMES` and `LAPWING_SOAK_SEED` make it longer and another;
//! `cargo xtask soak` runs 100000 frames.
#![allow(clippy::print_stdout)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lapwing_camera::clock::SystemClock;
use lapwing_camera::frame::{Frame, picture};
use lapwing_camera::photos::PHOTOS;
use lapwing_camera::{Next, Pacing, Source};
use lapwing_firmware::event::{Event, EventKind};
use lapwing_firmware::linux::{DirMedia, Watchdogs};
use lapwing_firmware::log::{Durable, Item, Reader};
use lapwing_runtime::config::{BoundRule, Config};
use lapwing_runtime::latency::Histogram;
use lapwing_runtime::name_table::NameTable;
use lapwing_runtime::pins::Line;
use lapwing_runtime::pipeline::{DeadMan, Observer, Pipeline, Recorder, RuleRunner, Seen};
use lapwing_runtime::privacy::Redactor;
use lapwing_runtime::sinks::{Looked, Recorded, Sink, SinkError, Sinks, Wants};
use lapwing_tests::Seeded;
use lapwing_vision::Model;
use lapwing_vision::detect::Detector;

/// Frames before counting begins: every buffer of the pipeline has been used by then.
const WARM: u64 = 200;
/// Frames before the last at which counting ends: behind it buffers are given back.
const TAIL: u64 = 16;
/// Time between two frames on the camera's clock, in microseconds.
const PERIOD_US: u64 = 40_000;
/// Most that the process may grow, in KiB: pages that the system hands out late, stacks above all.
const GROWN_KIB_MAX: i64 = 2048;

/// The system's allocator, counting requests and bytes of all threads.
struct Counting;

static REQUESTS: AtomicU64 = AtomicU64::new(0);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

// Safety: every call is handed to the system's allocator as it is; the counters are atomic and allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        LIVE_BYTES.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // Safety: handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // Safety: handed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        LIVE_BYTES.fetch_add(size as i64 - layout.size() as i64, Ordering::Relaxed);
        // Safety: handed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Memory at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    requests: u64,
    live_bytes: i64,
    resident_kib: i64,
}

fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn counted() -> Memory {
    let (requests, live_bytes) = (REQUESTS.load(Ordering::Relaxed), LIVE_BYTES.load(Ordering::Relaxed));
    Memory { requests, live_bytes, resident_kib: 0 }
}

/// Shows the bundled photographs and noise, by a seed, at the network's size.
struct Camera {
    scenes: Vec<Frame>,
    random: Seeded,
    frames: u64,
}

impl Camera {
    fn new(size: u32, seed: u64) -> Camera {
        let scenes = PHOTOS.iter().map(|(name, bytes)| fitted(name, bytes, size)).collect();
        Camera { scenes, random: Seeded(seed), frames: 0 }
    }
}

/// A photograph with its long side at `size`, by the nearest pixel, on grey.
fn fitted(name: &str, bytes: &[u8], size: u32) -> Frame {
    let mut whole = Frame::new();
    picture::decode(bytes, name, &mut whole).unwrap();
    let (w, h) = (whole.width() as usize, whole.height() as usize);
    let (size, side) = (size as usize, w.max(h));
    let mut frame = Frame::new();
    frame.reset(size as u32, size as u32).unwrap();
    for (at, pixel) in frame.rgb_mut().chunks_exact_mut(3).enumerate() {
        let (y, x) = (at / size * side / size, at % size * side / size);
        match whole.rgb().get((y * w + x) * 3..).filter(|_| x < w && y < h) {
            Some(seen) => pixel.copy_from_slice(&seen[..3]),
            None => pixel.fill(114),
        }
    }
    frame
}

impl Source for Camera {
    fn next(&mut self, frame: &mut Frame, _deadline: Duration) -> Next {
        let draw = self.random.draw();
        // four frames of one scene, or its neighbour: rules fire, hold and release
        let scene = &self.scenes[(self.frames / 4 * 5 + (draw & 1)) as usize % self.scenes.len()];
        frame.reset(scene.width(), scene.height()).unwrap();
        frame.rgb_mut().copy_from_slice(scene.rgb());
        let mut noise = draw | 1;
        for byte in frame.rgb_mut().iter_mut().step_by(7) {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = byte.saturating_add((noise >> 60) as u8);
        }
        frame.set_name("seeded");
        frame.captured_us = self.frames * PERIOD_US;
        self.frames += 1;
        Next::Frame
    }

    fn pacing(&self) -> Pacing {
        Pacing::OnDemand
    }

    fn describe(&self) -> String {
        "a seeded camera".into()
    }

    fn len_hint(&self) -> Option<u64> {
        None
    }
}

/// A sink that is told of everything and keeps nothing.
struct Listener;

impl Sink for Listener {
    fn name(&self) -> &'static str {
        "listener"
    }

    fn wants(&self) -> Wants {
        Wants { events: true, frames: true, ..Wants::default() }
    }

    fn frame(&mut self, looked: &Looked) -> Result<(), SinkError> {
        std::hint::black_box(looked);
        Ok(())
    }
}

/// Looks at the memory and counts, and asks for none; hands on what it is told to a sink, as a run does.
struct Witness {
    sinks: Sinks,
    frames: u64,
    first: Memory,
    last: Memory,
    events: u64,
    latencies: Histogram,
    since: Instant,
    took: Duration,
}

impl Observer for Witness {
    fn seen(&mut self, seen: &Seen<'_>) {
        Observer::seen(&mut &self.sinks, seen);
        if seen.seq == WARM {
            let resident_kib = resident_kib();
            self.since = Instant::now();
            self.first = Memory { resident_kib, ..counted() };
        }
        if seen.seq == self.frames - TAIL {
            self.last = counted();
            self.took = self.since.elapsed();
            self.last.resident_kib = resident_kib();
        }
    }

    fn recorded(&mut self, recorded: &Durable<Recorded>, name_table: &NameTable) {
        Observer::recorded(&mut &self.sinks, recorded, name_table);
        let event = recorded.get().event;
        self.events += 1;
        if event.kind == EventKind::Fired {
            self.latencies.record(event.latency_us);
        }
    }

    fn trouble(&mut self, what: &str) {
        panic!("{what}");
    }
}

fn number(key: &str, default: u64) -> u64 {
    std::env::var(key).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{key}={text}: give a number")))
}

fn main() {
    let frames = number("LAPWING_SOAK_FRAMES", 2000).max(2 * WARM);
    let seed = number("LAPWING_SOAK_SEED", 1);
    let folder = tempfile::tempdir().unwrap();
    let rule = "[[rule]]\nname = \"visitor\"\nclasses = [\"person\", \"cat\"]\nhold_ms = 100\n";
    let config = Config::parse(&format!("[pictures]\nkeep = \"none\"\n{rule}"), "soak.toml").unwrap();
    let model = Model::builtin().unwrap();
    let bound = config.bind(model.manifest()).unwrap();
    let recorder = Recorder::open(&config, Redactor::new(bound.hiding), bound.name_table, folder.path()).unwrap();
    let line = |rule: &BoundRule| Line::open(None, rule.polarity).unwrap();
    let rules = bound.rules.iter().map(|rule| RuleRunner::new(0, rule, line(rule)).unwrap()).collect();
    let clock = SystemClock::default();
    let pipeline = Pipeline {
        source: Box::new(Camera::new(model.manifest().input.width, seed)),
        detector: Detector::load(&model).unwrap(),
        options: bound.options,
        shown_score_min: bound.shown_score_min,
        rules: Arc::new(DeadMan::new(rules)),
        inputs: Vec::new(),
        watchdogs: Watchdogs::default(),
        recorder,
        clock: &clock,
        stale_us: u64::MAX,
        frames_max: Some(frames),
    };
    let mut witness = Witness {
        sinks: Sinks::start(vec![Box::new(Listener)]).unwrap(),
        frames,
        first: Memory::default(),
        last: Memory::default(),
        events: 0,
        latencies: Histogram::default(),
        since: Instant::now(),
        took: Duration::ZERO,
    };
    let report = pipeline.run(&mut witness, &AtomicBool::new(false)).unwrap();
    let (first, last) = (witness.first, witness.last);
    let (requests, grown_bytes) = (last.requests - first.requests, last.live_bytes - first.live_bytes);
    let grown_kib = last.resident_kib - first.resident_kib;
    println!(
        "{{\"frames\":{frames},\"seed\":{seed},\"requests\":{requests},\"grown_bytes\":{grown_bytes},\
         \"resident_grown_kib\":{grown_kib},\"events\":{},\"frames_per_s\":{:.1},\"frame_to_pin\":{}}}",
        witness.events,
        (frames - WARM - TAIL) as f64 / witness.took.as_secs_f64(),
        witness.latencies.json()
    );
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.frames, report.record.events_durable), (frames, witness.events));
    assert!(witness.latencies.count() > frames / 100, "{} firings: the soak says nothing", witness.latencies.count());
    assert_eq!((requests, grown_bytes), (0, 0), "between frame {WARM} and frame {}", frames - TAIL);
    assert!(grown_kib <= GROWN_KIB_MAX, "the process grew by {grown_kib} KiB");

    let mut media = DirMedia::read(&folder.path().join("log")).unwrap();
    let mut reader = Reader::new(&mut media);
    let mut logged = 0;
    while let Some(item) = reader.next().unwrap() {
        assert!(matches!(item, Item::Record { .. }), "{item:?}");
        logged += u64::from(Event::decode(reader.payload()).is_ok());
    }
    assert_eq!(logged, witness.events, "what was told is in the log");
    let before = REQUESTS.load(Ordering::Relaxed);
    drop(std::hint::black_box(Box::new(1u8)));
    assert!(REQUESTS.load(Ordering::Relaxed) > before, "the counter counts");
}
