//! `lapwing run`: the main job.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lapwing_camera::clock::SystemClock;
use lapwing_camera::frame::printable::Printable;
use lapwing_camera::photos::PHOTOS;
use lapwing_camera::v4l::kernel::Kernel;
use lapwing_camera::{Pacing, Source, SourceSpec};
use lapwing_engine::Manifest;
use lapwing_firmware::linux::{PanicRecords, Watchdogs};
use lapwing_runtime::config::{Bound, BoundInput, Config};
use lapwing_runtime::pins::{Input, Line};
use lapwing_runtime::pipeline::{DeadMan, Pipeline, Recorder, Report, RuleRunner};
use lapwing_runtime::privacy::Redactor;
use lapwing_runtime::sinks::{Names, Sink, Sinks, Stream};
use lapwing_vision::Model;
use lapwing_vision::detect::Detector;

use super::cameras::{cameras, first_usable};
use super::out::{Failure, complain};
use super::printer::{Complainer, Printer};
use super::signals;
use super::voice;

/// `say!(sinks, "...", ...)` tells a person a line, and does not wait until it is read.
macro_rules! say {
    ($sinks:expr, $($format:tt)*) => { $sinks.words(Stream::Out, &format!($($format)*)) };
}

/// Arguments of `lapwing run`.
#[derive(Default, clap::Args)]
#[command(after_help = "Examples:\n  lapwing run\n  lapwing run --config /etc/lapwing.toml\n  \
    lapwing run --source pictures/ --data /tmp/try --frames 20\n  lapwing run --source clip.y4m\n  lapwing run --source v4l:/dev/video0\n\n\
    Without --source it takes the first camera that it can read (none if LAPWING_CAMERAS=none), else the \
    bundled photographs.\n\
    A camera that is unplugged, or not there yet, is waited for.\n\
    Stop it with Ctrl-C: outputs take their safe level, the record is closed.")]
pub struct Args {
    /// Configuration file; default: the built-in one (`lapwing check --print` shows it)
    #[arg(long, value_name = "F")]
    config: Option<PathBuf>,
    /// v4l:/dev/video0, a picture, a folder, a .tar of pictures, a .y4m or .mjpeg clip (`clip.mjpeg,fps=10`), or `photos`
    #[arg(long, value_name = "S")]
    source: Option<String>,
    /// Stop after this many frames
    #[arg(long, value_name = "N")]
    frames: Option<u64>,
    /// Where the log and the pictures go
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Longest wait at the end for whoever does not read what was said.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs the command. Whatever it says from here on goes through sinks: a terminal that is stopped, a pipe that nobody
/// reads and a full disk neither end the run nor hold it up.
pub fn run(args: &Args) -> Result<(), Failure> {
    let every_frame = Arc::new(AtomicBool::new(false));
    let voices: Vec<Box<dyn Sink>> =
        vec![Box::new(Printer::new(Arc::clone(&every_frame))), Box::new(Complainer::new())];
    let sinks = Sinks::start(voices).map_err(|e| Failure::Job(format!("a thread could not be started: {e}")))?;
    let sinks = Arc::new(sinks);
    voice::speak_through(&sinks);
    let done = watch(args, &sinks, &every_frame);
    let (told, code) = match &done {
        Ok(()) => (None, 0),
        Err(Failure::Quiet | Failure::Told(_)) => return done,
        Err(Failure::Job(what)) => (Some(what), 1),
        Err(Failure::Call(what)) => (Some(what), 2),
    };
    if let Some(what) = told {
        complain!("{what}");
    }
    sinks.finish(LAST_WORDS, |report| {
        if !report.is_clean() {
            complain!("{report}"); // it is no failure of the run
        }
    });
    if code == 0 { Ok(()) } else { Err(Failure::Told(code)) }
}

/// The run itself.
fn watch(args: &Args, sinks: &Sinks, every_frame: &AtomicBool) -> Result<(), Failure> {
    let clock = SystemClock::default();
    let start = Instant::now();
    signals::bear_the_harmless().map_err(Failure::job)?;
    let config = match &args.config {
        Some(path) => Config::read(path)?,
        None => Config::builtin()?,
    };
    let data = args.data.as_deref().unwrap_or(&config.data);
    let model = Model::open(&config.model.path)?;
    let bound = config.bind(model.manifest())?;
    // lines first: outputs take their safe level and edges are armed before anything slow or anything that may fail
    let rules = Arc::new(DeadMan::new(make_rules(&bound)?));
    let inputs = open_inputs(&bound)?;
    let source = open_source(args.source.as_deref().unwrap_or(&config.source), &config, sinks)?;
    let detector = Detector::load(&model)?;
    let manifest = model.into_manifest();
    let redactor = super::hiding::configured(&config, &bound, &detector)?;
    let mut recorder = open_recorder(&config, redactor, &bound, data, sinks)?;
    tell_last_words(&mut recorder, data, &rules);
    let watchdogs = Watchdogs::open(config.watchdog.device.as_deref()).map_err(Failure::job)?;
    say!(
        sinks,
        "model   {} ({}), ready after {:.0} ms",
        manifest.name,
        detector.engine_name(),
        start.elapsed().as_secs_f64() * 1e3
    );
    say!(sinks, "source  {}", source.describe());
    let stop = signals::stop_flag(&rules).map_err(Failure::job)?;
    every_frame.store(source.pacing() == Pacing::OnDemand, Ordering::Relaxed);
    sinks.begin(Names { classes: manifest.classes.names.clone(), name_table: bound.name_table.clone() });
    let pipeline = Pipeline {
        source,
        detector,
        options: bound.options,
        shown_score_min: bound.shown_score_min,
        rules,
        inputs,
        watchdogs,
        recorder,
        clock: &clock,
        stale_us: u64::from(*config.camera.stale_ms.get_ref()) * 1000,
        frames_max: args.frames,
    };
    let report = pipeline.run(&mut &*sinks, &stop).map_err(Failure::job)?;
    tell_summary(&report, &manifest, data, sinks);
    if report.is_clean() {
        Ok(())
    } else {
        Err(Failure::job("the run went on, but not everything went well; see above"))
    }
}

/// `auto` means the first camera that lapwing can read, else the bundled photographs; it says which, and why.
fn open_source(word: &str, config: &Config, sinks: &Sinks) -> Result<Box<dyn Source>, Failure> {
    let options = &config.camera.options();
    let found;
    let word = if word == "auto" {
        match first_usable(&cameras(options)) {
            Ok(camera) => {
                found = camera;
                &found
            }
            Err(why) => {
                say!(
                    sinks,
                    "camera  {why}: replaying the bundled photographs (--source takes a camera, picture, folder or clip)"
                );
                "photos"
            }
        }
    } else {
        word
    };
    let spec = SourceSpec::parse(word).map_err(Failure::call)?;
    // one that is not there yet is waited for, and then told what it cannot do
    if let SourceSpec::V4l(path) = &spec
        && options.settings.asked().next().is_some()
        && let Ok(kernel) = Kernel::open(path)
    {
        config.check_camera(&kernel)?;
    }
    spec.open_live(PHOTOS, options).map_err(Failure::call)
}

fn open_recorder(
    config: &Config,
    redactor: Redactor,
    bound: &Bound,
    data: &Path,
    sinks: &Sinks,
) -> Result<Recorder, Failure> {
    let recorder = Recorder::open(config, redactor, bound.name_table.clone(), data).map_err(Failure::job)?;
    let recovery = recorder.recovery();
    say!(
        sinks,
        "log     {}: run {}, {} records from before{}",
        Printable(data.join("log").display()),
        recovery.run,
        recovery.records,
        if recovery.bytes_torn > 0 {
            format!("; {} torn bytes passed over after a cut", recovery.bytes_torn)
        } else {
            String::new()
        }
    );
    if let Some(damage) = recorder.damage() {
        complain!("{damage}");
    }
    Ok(recorder)
}

/// What the process before this one said when it died becomes a record; what this one says will be kept.
/// A panic makes the lines of `rules` safe before it touches a disk, also where its words cannot be kept.
fn tell_last_words(recorder: &mut Recorder, data: &Path, rules: &Arc<DeadMan>) {
    let rules = Arc::clone(rules);
    let make_safe = move || rules.make_safe();
    let (file, found) = match PanicRecords::open(data) {
        Ok(opened) => opened,
        Err(error) => {
            PanicRecords::before_panics(make_safe);
            return complain!("{}: panic record cannot be kept: {error}", Printable(data.display()));
        }
    };
    if let Some(words) = found {
        complain!("the last run panicked: {}", super::log::words_on_a_line(&words));
        let kept = recorder.panic_record(&words).map_err(|e| e.to_string());
        if let Err(error) = kept.and_then(|()| file.forget().map_err(|e| e.to_string())) {
            complain!("its panic record stays in {}: {error}", Printable(data.display()));
        }
    }
    file.keep_panics(make_safe);
}

fn make_rules(bound: &Bound) -> Result<Vec<RuleRunner>, Failure> {
    bound
        .rules
        .iter()
        .enumerate()
        .map(|(index, rule)| {
            let line = Line::open(rule.output.as_ref(), rule.polarity)
                .map_err(|e| Failure::Job(format!("rule {:?}: {e}", rule.watch.name)))?;
            RuleRunner::new(index as u16, rule, line).map_err(Failure::call)
        })
        .collect()
}

fn open_inputs(bound: &Bound) -> Result<Vec<Input>, Failure> {
    let open = |input: &BoundInput| Input::open(&input.address, input.options);
    let named = |input| open(input).map_err(|e| Failure::Job(format!("input {:?}: {e}", input.name)));
    bound.inputs.iter().map(named).collect()
}

fn tell_summary(report: &Report, manifest: &Manifest, data: &Path, sinks: &Sinks) {
    let names = &manifest.classes.names;
    let counts: Vec<String> = report
        .record
        .detections_by_class
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(class, count)| format!("{count} {}", names.get(class).map_or("?", String::as_str)))
        .collect();
    let saw = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
    say!(sinks, "saw     {saw} in {} frames{}", report.frames, dropped(report));
    if report.frames_untold > 0 {
        say!(sinks, "missed  {} of these were not counted or stored: the recorder was busy", report.frames_untold);
    }
    if let Some(name) = report.panicked {
        complain!("the {name} thread panicked: the run ended early, with its outputs safe");
    }
    if report.record.panicked {
        complain!(
            "the recorder thread panicked: the run ended early, and what was logged and stored is not counted here"
        );
    }
    for rule in &report.rules {
        say!(sinks, "fired   {}: {} times, released {}", rule.name, rule.fired, rule.released);
    }
    say!(
        sinks,
        "logged  {} events, durable; `lapwing log show --data {}`",
        report.record.events_durable,
        Printable(data.display())
    );
    say!(sinks, "kept    {} pictures in {}", report.record.pictures, Printable(data.join("pictures").display()));
    tell_hidden(report, sinks);
    if let Some(us) = report.first_detection_us {
        say!(sinks, "first detection {:.0} ms after the start", us as f64 / 1e3);
    }
}

/// What was hidden, how, and how well there was time for it.
fn tell_hidden(report: &Report, sinks: &Sinks) {
    let (account, levels) = (&report.record.redaction, &report.record.levels);
    if account.regions > 0 {
        let fell_back = match account.fell_back {
            0 => String::new(),
            count => format!("; {count} fills did not pass the second look"),
        };
        say!(sinks, "hid     {}{fell_back}", super::hiding::in_words(account));
    }
    if levels.falls > 0 || levels.dropped > 0 {
        say!(
            sinks,
            "budget  {} pictures filled, {} mosaic, {} black, {} not kept; {} times down, {} up",
            levels.fill,
            levels.mosaic,
            levels.black,
            levels.dropped,
            levels.falls,
            levels.rises
        );
    }
}

fn dropped(report: &Report) -> String {
    let part = |count: u64, what: &str| (count > 0).then(|| format!("{count} {what}"));
    let parts = [
        part(report.frames_dropped, "dropped for newer ones"),
        part(report.frames_damaged, "damaged"),
        part(report.frames_stale, "stale"),
    ];
    let said: Vec<String> = parts.into_iter().flatten().collect();
    if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) }
}
