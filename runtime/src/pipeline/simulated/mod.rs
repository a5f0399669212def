//! A world by a script: camera, clock, lines and witness that drive the real pipeline in tests.
//!
//! The camera acts the script step by step and waits for what the script waits for, so a test needs no sleep and no
//! measured time. The clock moves only where the script says so. The world lets any wait end after [`PATIENCE`]; a run
//! that needed this is [`State::stuck`].

mod camera;
mod stage;

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use lapwing_firmware::event::{Event, EventKind};
use lapwing_firmware::linux::gpio::InputEdge;

use lapwing_camera::clock::{Clock, Mono, WALL_VALID_FROM_US, Wall};
use lapwing_camera::frame::Frame;
pub use stage::Stage;

/// Longest wait for anything that a script waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// The wall clock when a run begins, behind [`WALL_VALID_FROM_US`].
const WALL_AT_START_US: i64 = 86_400_000_000;

/// More often than one rule asks for the time after its line has moved.
const ASKED: u64 = 4;
/// So often the dead-man asks for the time until it has acted on what it was told first.
const DEAD_MAN_ASKED: u64 = 2;

/// A frame that is older is stale, in microseconds.
pub const STALE_US: u64 = 500_000;

type Condition = Box<dyn Fn(&State) -> bool + Send>;

/// What the camera does next.
pub enum Step {
    /// Shows the bundled photograph of this name.
    Show(&'static str),
    /// Shows the bundled photograph of this name, as taken so many milliseconds ago.
    Late(&'static str, u64),
    /// Shows what this paints.
    Make(fn(&mut Frame)),
    /// Shows a small grey picture.
    Blank,
    /// Shows what cannot be used.
    Broken,
    /// Is unplugged.
    Lost,
    /// Panics.
    Panic,
    /// Waits for milliseconds of real time.
    Nap(u64),
    /// The detector's thread panics when it asks for the time next.
    PanicDetector,
    /// The clock moves on by milliseconds.
    Pass(u64),
    /// Brings nothing until this holds.
    Until(Condition),
    /// Shows what cannot be used, every 10 ms of the clock, until this holds, at most this often.
    BrokenUntil(u32, Condition),
    /// Waits until the detector's thread has asked for the time and stands still in it.
    Hold,
    /// Lets it go on.
    Release,
    /// The detector's thread asks for the time [`ASKED`] times and the dead-man's [`DEAD_MAN_ASKED`] times: what they were
    /// busy with is done.
    Settle,
    /// The dead-man's alone: the detector's thread may hang.
    SettleDeadMan,
    /// Anything else.
    Do(Box<dyn FnMut(&mut State) + Send>),
    /// The stop flag is set, as by Ctrl-C.
    Stop,
}

/// Waits until as many events of this kind are told.
pub fn told(kind: EventKind, count: usize) -> Step {
    Step::Until(Box::new(move |state| state.count(kind) >= count))
}

/// A line as the world sees it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Wire {
    /// What was written last; `None` before the first write.
    pub level: Option<bool>,
    /// Every change, oldest first.
    pub edges: Vec<bool>,
    /// Writes to refuse.
    pub refuse: u32,
}

/// An input as the world makes it.
#[derive(Debug, Default)]
pub struct Switch {
    /// Its level when the run begins.
    pub active: bool,
    /// Edges that were made and not yet taken.
    pub edges: VecDeque<InputEdge>,
    /// Its chip is gone.
    pub gone: bool,
}

/// All that happened.
#[derive(Default)]
pub struct State {
    now_us: u64,
    asked: u64,
    dead_man_asked: u64,
    hold: bool,
    held: bool,
    detector_panics: bool,
    /// Frames that the camera showed.
    pub shown: u64,
    /// Frames told, by number and name.
    pub seen: Vec<(u64, String)>,
    /// Events told.
    pub events: Vec<Event>,
    /// Levels of the lines when each event was told.
    pub levels: Vec<Vec<bool>>,
    /// Failures told.
    pub troubles: Vec<String>,
    /// The lines, in the order of the rules.
    pub wires: Vec<Wire>,
    /// The inputs, in the order of the configuration.
    pub switches: Vec<Switch>,
    /// The recorder stands still when it tells of a frame.
    pub recorder_hold: bool,
    /// It does.
    pub recorder_held: bool,
    /// The recorder panics when it tells of the next frame.
    pub recorder_panics: bool,
    /// Real time at each change of a line, oldest first.
    pub moved: Vec<Instant>,
    /// The wall clock was set by so many microseconds.
    pub wall_set_us: i64,
    /// Something was waited for that never came.
    pub stuck: bool,
}

impl State {
    /// The script cannot go on: that is noted, and whoever it holds is let go, so that the run ends and the test fails.
    fn give_up(&mut self) {
        self.stuck = true;
        self.hold = false;
        self.recorder_hold = false;
    }

    /// The clock moves on.
    pub fn pass_ms(&mut self, ms: u64) {
        self.now_us += ms * 1000;
    }

    /// An input becomes active or inactive now.
    pub fn switch(&mut self, index: usize, active: bool) {
        self.switches[index].edges.push_back(InputEdge { active, kernel_us: self.now_us });
    }

    /// Kinds of the events told.
    pub fn kinds(&self) -> Vec<EventKind> {
        self.events.iter().map(|e| e.kind).collect()
    }

    /// Events told of one kind.
    pub fn count(&self, kind: EventKind) -> usize {
        self.events.iter().filter(|e| e.kind == kind).count()
    }

    /// The first event of a kind.
    pub fn first(&self, kind: EventKind) -> Event {
        *self.events.iter().find(|e| e.kind == kind).unwrap_or_else(|| panic!("no {kind:?} in {:?}", self.kinds()))
    }
}

/// What camera, clock, lines and witness share.
pub struct World {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
    detector_thread: ThreadId,
}

impl World {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let done = act(&mut self.lock());
        self.changed.notify_all();
        done
    }

    /// Waits until `holds`; false when it did not within `patience`.
    fn wait(&self, patience: Duration, holds: impl Fn(&State) -> bool) -> bool {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), patience, |state| !holds(state))
            .unwrap_or_else(PoisonError::into_inner);
        holds(&state)
    }

    fn wait_or_stuck(&self, holds: impl Fn(&State) -> bool) {
        if !self.wait(PATIENCE, holds) {
            self.act(State::give_up);
        }
    }
}

impl Clock for World {
    fn mono(&self) -> Mono {
        let this = std::thread::current();
        if this.id() != self.detector_thread {
            let dead_man = u64::from(this.name() == Some("dead-man"));
            return Mono::from_us(self.act(|state| {
                state.dead_man_asked += dead_man;
                state.now_us
            }));
        }
        let panics = self.act(|state| std::mem::replace(&mut state.detector_panics, false));
        assert!(!panics, "the detector has a mistake");
        let (now_us, held) = self.act(|state| {
            state.asked += 1;
            state.held = state.hold;
            (state.now_us, state.held)
        });
        // who was told to go on goes on, also if the next moment says otherwise: nobody would know that it stands
        if held {
            self.wait_or_stuck(|state| !state.hold);
            self.act(|state| state.held = false);
        }
        Mono::from_us(now_us)
    }

    fn wall(&self) -> Wall {
        let state = self.lock();
        Wall::from_us(WALL_VALID_FROM_US + WALL_AT_START_US + state.now_us as i64 + state.wall_set_us)
    }

    fn sleep_us(&self, duration_us: u64) {
        self.act(|state| state.now_us += duration_us);
    }
}
