//! A run that is prepared, and who is told of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::time::Instant;

use embedded_hal::digital::ErrorKind;
use lapwing_firmware::linux::Watchdogs;
use lapwing_firmware::linux::gpio::GpioError;
use lapwing_firmware::log::Durable;

use super::camera::Camera;
use super::{PATIENCE, STALE_US, State, Step, Switch, Wire, World};
use crate::config::{BoundRule, Config};
use crate::name_table::NameTable;
use crate::pins::{Input, Line, LineError, Probe, Script};
use crate::pipeline::{DeadMan, Observer, Pipeline, Recorder, Report, RuleRunner, Seen};
use crate::privacy::{Fill, FillError, Recheck, Redactor};
use crate::sinks::Recorded;
use lapwing_camera::Pacing;
use lapwing_camera::clock::Clock;
use lapwing_vision::Model;
use lapwing_vision::detect::Detector;

/// Writes down what the pipeline tells.
struct Witness(Arc<World>);

impl Observer for Witness {
    fn seen(&mut self, seen: &Seen<'_>) {
        self.0.act(|state| {
            state.seen.push((seen.seq, seen.name.to_owned()));
            state.recorder_held = state.recorder_hold;
        });
        assert!(!self.0.lock().recorder_panics, "the recorder has a mistake");
        self.0.wait_or_stuck(|state| !state.recorder_hold);
    }

    fn recorded(&mut self, recorded: &Durable<Recorded>, _name_table: &NameTable) {
        self.0.act(|state| {
            state.events.push(recorded.get().event);
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
            let recheck = Recheck::new(Detector::load(&model).unwrap(), bound.options);
            redactor = redactor.with_fill(Box::new(SlowFill(Arc::clone(&self.world), fill_ms)), Box::new(recheck));
        }
        let recorder = Recorder::open(&self.config, redactor, bound.name_table, self.folder.path()).unwrap();
        let rules = bound.rules.into_iter().enumerate().map(|(index, rule)| self.rule(index, rule)).collect();
        let rules = Arc::new(DeadMan::new(rules));
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
                    self.world.act(State::give_up);
                    self.world.stop.store(true, Ordering::SeqCst);
                }
            });
            let _done = _done; // dropped at the end of the run, by a panic too
            pipeline.run(&mut witness, &self.world.stop).unwrap()
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
                let State { wires, moved, .. } = state;
                let wire = &mut wires[index];
                if wire.refuse > 0 && level {
                    wire.refuse -= 1;
                    return Err(LineError(ErrorKind::Other));
                }
                if wire.level != Some(level) {
                    wire.edges.push(level);
                    moved.push(Instant::now());
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
