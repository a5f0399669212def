//! `lapwing run`: the main job.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use lapwing_firmware::event::{Event, EventKind};
use lapwing_firmware::linux::{LastWords, Watchdogs};
use lapwing_runtime::camera::v4l::kernel::Kernel;
use lapwing_runtime::camera::{Pacing, Source, SourceSpec};
use lapwing_runtime::clock::SystemClock;
use lapwing_runtime::config::{Bound, BoundInput, Config};
use lapwing_runtime::detect::Detector;
use lapwing_runtime::engine::{Manifest, Model};
use lapwing_runtime::frame::printable::{self, Printable};
use lapwing_runtime::legend::Legend;
use lapwing_runtime::photos::PHOTOS;
use lapwing_runtime::pins::{Input, Line};
use lapwing_runtime::pipeline::{Observer, Pipeline, Recorder, Report, RuleRunner, Seen};
use lapwing_runtime::privacy::Redactor;

use super::cameras::{cameras, first_usable};
use super::detect::in_words;
use super::out::{Complaints, Failure, Out, complain, line};

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

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    let clock = SystemClock::default();
    let start = Instant::now();
    let config = match &args.config {
        Some(path) => Config::read(path)?,
        None => Config::builtin()?,
    };
    let data = args.data.as_deref().unwrap_or(&config.data);
    let model = Model::open(&config.model.path)?;
    let bound = config.bind(model.manifest())?;
    // lines first: outputs take their safe level and edges are armed before anything slow or anything that may fail
    let rules = make_rules(&bound)?;
    let inputs = open_inputs(&bound)?;
    let source = open_source(args.source.as_deref().unwrap_or(&config.source), &config, out)?;
    let detector = Detector::load(&model)?;
    let manifest = model.into_manifest();
    let redactor = super::hiding::configured(&config, &bound, &detector)?;
    let mut recorder = open_recorder(&config, redactor, &bound, data, out)?;
    tell_last_words(&mut recorder, data);
    let watchdogs = Watchdogs::open(config.watchdog.device.as_deref()).map_err(Failure::job)?;
    line!(
        out,
        "model   {} ({}), ready after {:.0} ms",
        manifest.name,
        detector.engine_name(),
        start.elapsed().as_secs_f64() * 1e3
    )?;
    line!(out, "source  {}", source.describe())?;
    let stop = stop_flag()?;
    let mut teller = Teller { every_frame: source.pacing() == Pacing::OnDemand, complaints: Complaints::new() };
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
    let report = pipeline.run(&mut teller, &stop);
    tell_summary(&report, &manifest, data, out)?;
    if report.is_clean() {
        Ok(())
    } else {
        Err(Failure::job("the run went on, but not everything went well; see above"))
    }
}

/// `auto` means the first camera that lapwing can read, else the bundled photographs; it says which, and why.
fn open_source(word: &str, config: &Config, out: &mut Out) -> Result<Box<dyn Source>, Failure> {
    let options = &config.camera.options();
    let found;
    let word = if word == "auto" {
        match first_usable(&cameras(options)) {
            Ok(camera) => {
                found = camera;
                &found
            }
            Err(why) => {
                line!(
                    out,
                    "camera  {why}: replaying the bundled photographs (--source takes a camera, picture, folder or clip)"
                )?;
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
    out: &mut Out,
) -> Result<Recorder, Failure> {
    let recorder = Recorder::open(config, redactor, bound.legend.clone(), data).map_err(Failure::job)?;
    let recovery = recorder.recovery();
    line!(
        out,
        "log     {}: run {}, {} records from before{}",
        data.join("log").display(),
        recovery.run,
        recovery.records,
        if recovery.bytes_trimmed > 0 {
            format!("; {} torn bytes trimmed after a cut", recovery.bytes_trimmed)
        } else {
            String::new()
        }
    )?;
    Ok(recorder)
}

/// What the process before this one said when it died becomes a record; what this one says will be kept.
fn tell_last_words(recorder: &mut Recorder, data: &Path) {
    let (file, found) = match LastWords::open(data) {
        Ok(opened) => opened,
        Err(error) => return complain!("{}: last words cannot be kept: {error}", data.display()),
    };
    if let Some(words) = found {
        complain!("the last run panicked: {}", super::log::words_on_a_line(&words));
        let kept = recorder.last_words(&words).map_err(|e| e.to_string());
        if let Err(error) = kept.and_then(|()| file.forget().map_err(|e| e.to_string())) {
            complain!("its last words stay in {}: {error}", data.display());
        }
    }
    file.keep_panics();
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

/// A flag that Ctrl-C and a service manager's stop set. A second Ctrl-C ends the process at once.
fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop)).map_err(Failure::job)?;
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(Failure::job)?;
    }
    Ok(stop)
}

/// Tells a person what happens. Runs on the recorder's thread.
struct Teller {
    /// False for endless sources, where only events are told.
    every_frame: bool,
    /// A damaged source must not fill a journal.
    complaints: Complaints,
}

impl Observer for Teller {
    fn seen(&mut self, seen: &Seen<'_>) {
        if !self.every_frame && seen.picture.is_none() {
            return;
        }
        let class = |c: u16| seen.classes.get(usize::from(c)).map_or("?", String::as_str);
        let picture = seen.picture.and_then(Path::file_name).map_or(String::new(), |name| {
            let hidden = match seen.hidden.regions {
                0 => String::new(),
                _ => format!(", {}", super::hiding::in_words(&seen.hidden)),
            };
            format!(" -> {}{hidden}", name.to_string_lossy())
        });
        let stale = seen.stale_us.map_or(String::new(), |age_us| format!(", stale: {:.1} s old", age_us as f64 / 1e6));
        println_quietly(format_args!(
            "#{:<3} {} ({}x{}, {:.0} ms{stale}): {}{picture}",
            seen.seq,
            Printable(seen.name),
            seen.width,
            seen.height,
            seen.times.total().as_secs_f64() * 1e3,
            in_words(seen.detections, class),
        ));
    }

    fn recorded(&mut self, seq: u64, event: &Event, legend: &Legend) {
        if !matches!(event.kind, EventKind::Started | EventKind::Stopped) {
            println_quietly(format_args!("     {}", super::log::in_words(seq, event, legend)));
        }
    }

    fn trouble(&mut self, what: &str) {
        self.complaints.tell(&what);
    }
}

/// Output that nobody reads is no reason to stop watching.
fn println_quietly(text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{}", printable::text(&text.to_string()));
}

fn tell_summary(report: &Report, manifest: &Manifest, data: &Path, out: &mut Out) -> Result<(), Failure> {
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
    line!(out, "saw     {saw} in {} frames{}", report.frames, dropped(report))?;
    if report.frames_untold > 0 {
        line!(out, "missed  {} of these were not counted or stored: the recorder was busy", report.frames_untold)?;
    }
    if report.record.panicked {
        complain!("the recorder's thread panicked: what it logged and stored is not counted here");
    }
    for rule in &report.rules {
        line!(out, "fired   {}: {} times, released {}", rule.name, rule.fired, rule.released)?;
    }
    line!(
        out,
        "logged  {} events, durable; `lapwing log show --data {}`",
        report.record.events_durable,
        data.display()
    )?;
    line!(out, "kept    {} pictures in {}", report.record.pictures, data.join("pictures").display())?;
    tell_hidden(report, out)?;
    if let Some(us) = report.first_detection_us {
        line!(out, "first detection {:.0} ms after the start", us as f64 / 1e3)?;
    }
    Ok(())
}

/// What was hidden, how, and how well there was time for it.
fn tell_hidden(report: &Report, out: &mut Out) -> Result<(), Failure> {
    let (account, levels) = (&report.record.redaction, &report.record.levels);
    if account.regions > 0 {
        let fell_back = match account.fell_back {
            0 => String::new(),
            count => format!("; {count} fills did not pass the second look"),
        };
        line!(out, "hid     {}{fell_back}", super::hiding::in_words(account))?;
    }
    if levels.falls > 0 || levels.dropped > 0 {
        line!(
            out,
            "budget  {} pictures filled, {} mosaic, {} black, {} not kept; {} times down, {} up",
            levels.fill,
            levels.mosaic,
            levels.black,
            levels.dropped,
            levels.falls,
            levels.rises
        )?;
    }
    Ok(())
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
