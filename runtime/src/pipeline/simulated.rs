//! A world by a script: camera, clock, lines and witness that drive the real pipeline in tests.
//!
//! The camera acts the script step by step and waits for what the script waits for, so a test needs no sleep and no
//! measured time. The clock moves only where the script says so. The world lets any wait end after [`PATIENCE`]; a run
//! that needed this is [`State::stuck`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use embedded_hal::digital::ErrorKind;
use lapwing_firmware::event::{Event, EventKind};
use lapwing_firmware::linux::Watchdogs;
use lapwing_firmware::linux::gpio::{GpioError, InputEdge};

use super::{Observer, Pipeline, Recorder, Report, RuleRunner, Seen};
use crate::config::{BoundRule, Config};
use crate::legend::Legend;
use crate::pins::{Input, Line, LineError, Probe, Script};
use crate::privacy::{Eye, Fill, FillError, Redactor};
use lapwing_camera::clock::{Clock, WALL_VALID_FROM_US};
use lapwing_camera::frame::{Frame, picture};
use lapwing_camera::photos::PHOTOS;
use lapwing_camera::{Next, Pacing, Source, SourceError};
use lapwing_vision::Model;
use lapwing_vision::detect::Detector;

/// Longest wait for anything that a script waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// The wall clock when a run begins, behind [`WALL_VALID_FROM_US`].
const WALL_AT_START_US: i64 = 86_400_000_000;

/// More often than one rule asks for the time after its line has moved.
const ASKED: u64 = 8;

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
    /// The detector's thread asks for the time [`ASKED`] times: what it was busy with is done.
    Settle,
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
    hold: bool,
    held: bool,
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
    /// The wall clock was set by so many microseconds.
    pub wall_set_us: i64,
    /// Something was waited for that never came.
    pub stuck: bool,
}

impl State {
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
            self.act(|state| state.stuck = true);
        }
    }
}

impl Clock for World {
    fn mono_us(&self) -> u64 {
        if std::thread::current().id() != self.detector_thread {
            return self.lock().now_us;
        }
        let now_us = self.act(|state| {
            state.asked += 1;
            state.held = state.hold;
            state.now_us
        });
        self.wait_or_stuck(|state| !state.hold);
        self.act(|state| state.held = false);
        now_us
    }

    fn wall_us(&self) -> i64 {
        let state = self.lock();
        WALL_VALID_FROM_US + WALL_AT_START_US + state.now_us as i64 + state.wall_set_us
    }

    fn sleep_us(&self, duration_us: u64) {
        self.act(|state| state.now_us += duration_us);
    }
}

/// A camera that acts a script and then ends.
struct Camera {
    world: Arc<World>,
    pacing: Pacing,
    script: std::vec::IntoIter<Step>,
    /// The step that has not ended yet, and since when.
    current: Option<(Step, Instant)>,
}

impl Camera {
    fn show(&self, photo: Option<&'static str>, frame: &mut Frame) -> Next {
        let seq = self.world.act(|state| {
            state.shown += 1;
            state.shown
        });
        match photo {
            Some(name) => {
                let (_, bytes) = PHOTOS.iter().find(|(known, _)| *known == name).unwrap();
                picture::decode(bytes, name, frame).unwrap();
            }
            None => {
                frame.reset(16, 16).unwrap();
                frame.rgb_mut().fill(128);
            }
        }
        frame.set_name(&format!("{} {seq}", photo.unwrap_or("blank")));
        frame.captured_us = self.world.lock().now_us;
        Next::Frame
    }

    fn broken(&self) -> Next {
        let error = SourceError::Mjpeg { path: "camera".into(), frame: 0, at: 0, why: "no end".into() };
        Next::Broken(error)
    }
}

impl Source for Camera {
    fn next(&mut self, frame: &mut Frame, deadline: Duration) -> Next {
        loop {
            let (step, since) = match self.current.take() {
                Some(unfinished) => unfinished,
                None => match self.script.next() {
                    Some(step) => (step, Instant::now()),
                    None => return Next::End,
                },
            };
            match step {
                Step::Show(name) => return self.show(Some(name), frame),
                Step::Late(name, ms) => {
                    let shown = self.show(Some(name), frame);
                    frame.captured_us = frame.captured_us.saturating_sub(ms * 1000);
                    return shown;
                }
                Step::Make(paint) => {
                    let next = self.show(None, frame);
                    paint(frame);
                    return next;
                }
                Step::Blank => return self.show(None, frame),
                Step::Broken => return self.broken(),
                Step::Lost => return Next::Lost(SourceError::NoSuchPath { path: "camera".into() }),
                Step::Panic => panic!("the camera's driver has a mistake"),
                Step::Pass(ms) => self.world.act(|state| state.now_us += ms * 1000),
                Step::Until(holds) => {
                    if !self.world.wait(deadline, &holds) {
                        if since.elapsed() > PATIENCE {
                            self.world.act(|state| state.stuck = true);
                            return Next::End;
                        }
                        self.current = Some((Step::Until(holds), since));
                        return Next::Timeout;
                    }
                }
                Step::BrokenUntil(times, holds) => {
                    if times > 0 && !holds(&self.world.lock()) {
                        self.current = Some((Step::BrokenUntil(times - 1, holds), since));
                        self.world.act(|state| state.now_us += 10_000);
                        return self.broken();
                    }
                }
                Step::Hold => {
                    self.world.act(|state| state.hold = true);
                    self.world.wait_or_stuck(|state| state.held);
                }
                Step::Release => self.world.act(|state| state.hold = false),
                Step::Settle => {
                    let asked = self.world.lock().asked;
                    self.world.wait_or_stuck(|state| state.asked >= asked + ASKED);
                }
                Step::Do(mut act) => self.world.act(|state| act(state)),
                Step::Stop => self.world.stop.store(true, Ordering::SeqCst),
            }
        }
    }

    fn pacing(&self) -> Pacing {
        self.pacing
    }

    fn describe(&self) -> String {
        "a camera by a script".into()
    }

    fn len_hint(&self) -> Option<u64> {
        None
    }
}

/// Writes down what the pipeline tells.
struct Witness(Arc<World>);

impl Observer for Witness {
    fn seen(&mut self, seen: &Seen<'_>) {
        self.0.act(|state| {
            state.seen.push((seen.seq, seen.name.to_owned()));
            state.recorder_held = state.recorder_hold;
        });
        self.0.wait_or_stuck(|state| !state.recorder_hold);
    }

    fn recorded(&mut self, _seq: u64, event: &Event, _legend: &Legend) {
        self.0.act(|state| {
            state.events.push(*event);
            let levels = state.wires.iter().map(|w| w.level.unwrap()).collect();
            state.levels.push(levels);
        });
    }

    fn trouble(&mut self, what: &str) {
        self.0.act(|state| state.troubles.push(what.to_owned()));
    }
}

/// A run that is prepared.
pub struct Stage {
    /// Where log and pictures go.
    pub folder: tempfile::TempDir,
    world: Arc<World>,
    config: Config,
    /// What the next run feeds.
    watchdogs: Mutex<Watchdogs>,
    /// What filling one region takes, in milliseconds of the clock; `None`: there is no generator.
    fill_ms: Option<u64>,
}

/// A generator that paints grey and takes its time by the world's clock.
struct SlowFill(Arc<World>, u64);

impl Fill for SlowFill {
    fn fill(&mut self, _window: &[u8], _hole: &[bool], _seed: u64, out: &mut [u8]) -> Result<(), FillError> {
        self.0.sleep_us(self.1 * 1000);
        out.fill(128);
        Ok(())
    }
}

impl Stage {
    /// The configuration in TOML; the built-in detector.
    pub fn new(config: &str) -> Stage {
        let world = World {
            state: Mutex::default(),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
            detector_thread: std::thread::current().id(),
        };
        let config = Config::parse(config, "test.toml").unwrap();
        Stage {
            folder: tempfile::tempdir().unwrap(),
            world: Arc::new(world),
            config,
            fill_ms: None,
            watchdogs: Mutex::default(),
        }
    }

    /// There is a generator.
    pub fn filling(self, fill_ms: u64) -> Stage {
        Stage { fill_ms: Some(fill_ms), ..self }
    }

    /// Something that happens before the run.
    pub fn with(self, act: impl FnOnce(&mut State)) -> Stage {
        self.world.act(act);
        self
    }

    /// What the next run feeds.
    pub fn feeds(self, watchdogs: Watchdogs) -> Stage {
        Stage { watchdogs: Mutex::new(watchdogs), ..self }
    }

    /// Acts the script; `last_minute` happens when the recorder stands and nothing was written.
    pub fn act(&self, pacing: Pacing, script: Vec<Step>, last_minute: impl FnOnce()) -> Report {
        let model = Model::builtin().unwrap();
        let bound = self.config.bind(model.manifest()).unwrap();
        let mut redactor = Redactor::new(bound.hiding);
        if let Some(fill_ms) = self.fill_ms {
            let eye = Eye::new(Detector::load(&model).unwrap(), bound.options);
            redactor = redactor.with_fill(Box::new(SlowFill(Arc::clone(&self.world), fill_ms)), Box::new(eye));
        }
        let recorder = Recorder::open(&self.config, redactor, bound.legend, self.folder.path()).unwrap();
        let rules = bound.rules.into_iter().enumerate().map(|(index, rule)| self.rule(index, rule)).collect();
        let inputs = bound.inputs.iter().enumerate().map(|(index, _)| self.input(index)).collect();
        let camera = Camera { world: Arc::clone(&self.world), pacing, script: script.into_iter(), current: None };
        let pipeline = Pipeline {
            source: Box::new(camera),
            detector: Detector::load(&model).unwrap(),
            options: bound.options,
            shown_score_min: bound.shown_score_min,
            rules,
            inputs,
            watchdogs: std::mem::take(&mut *self.watchdogs.lock().unwrap()),
            recorder,
            clock: &self.world,
            stale_us: STALE_US,
            frames_max: None,
        };
        last_minute();
        let mut witness = Witness(Arc::clone(&self.world));
        let (_done, ended) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if ended.recv_timeout(PATIENCE * 2) == Err(mpsc::RecvTimeoutError::Timeout) {
                    self.world.act(|state| state.stuck = true);
                    self.world.stop.store(true, Ordering::SeqCst);
                }
            });
            let _done = _done; // dropped at the end of the run, by a panic too
            pipeline.run(&mut witness, &self.world.stop)
        })
    }

    fn input(&self, index: usize) -> Input {
        let active = self.world.act(|state| {
            state.switches.resize_with(state.switches.len().max(index + 1), Switch::default);
            state.switches[index].active
        });
        let world = Arc::clone(&self.world);
        let next = move || {
            world.act(|state| {
                let switch = &mut state.switches[index];
                if switch.gone { Err(GpioError::NoChips) } else { Ok(switch.edges.pop_front()) }
            })
        };
        Input::Script(Script { active, next: Box::new(next) })
    }

    fn rule(&self, index: usize, rule: BoundRule) -> RuleRunner {
        self.world.act(|state| state.wires.resize(state.wires.len().max(index + 1), Wire::default()));
        let world = Arc::clone(&self.world);
        let write = move |level: bool| {
            world.act(|state| {
                let wire = &mut state.wires[index];
                if wire.refuse > 0 && level {
                    wire.refuse -= 1;
                    return Err(LineError(ErrorKind::Other));
                }
                if wire.level != Some(level) {
                    wire.edges.push(level);
                }
                wire.level = Some(level);
                Ok(())
            })
        };
        let line = Line::Probe(Probe(Box::new(write)));
        RuleRunner::new(index as u16, &rule, line).unwrap()
    }

    /// All that happened.
    pub fn state(&self) -> MutexGuard<'_, State> {
        let state = self.world.lock();
        assert!(!state.stuck, "something never came: told {:?}, {:?}", state.kinds(), state.troubles);
        state
    }
}
