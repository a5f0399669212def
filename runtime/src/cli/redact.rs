//! `lapwing redact`: pictures and clips without those who must not be kept.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lapwing_camera::frame::Frame;
use lapwing_camera::frame::printable::Printable;
use lapwing_camera::{Next, Source, SourceSpec};
use lapwing_runtime::config::Config;
use lapwing_runtime::privacy::{Account, Cover, Level, MISSED_FRAMES_MIN, Redactor};
use lapwing_runtime::sinks::{ClipSink, write_picture};
use lapwing_vision::Model;
use lapwing_vision::detect::{DetectOptions, Detector};
use lapwing_vision::track::Patience;
use serde_json::json;

use super::detect::fraction;
use super::hiding::{How, in_words, redactor};
use super::out::{Complaints, Failure, Out, complain, line};
use super::progress;
use super::redact_paths::{QUALITY, Taken, Target, refuse_same, target};

/// What is hidden in a clip stays so for this long after it was found last, in milliseconds.
const PERSIST_MS: u64 = 800;
const WAIT: Duration = Duration::from_secs(5);

/// Arguments of `lapwing redact`.
#[derive(clap::Args)]
#[command(
    after_help = "IN is never changed. OUT is a picture for a picture, a clip of the same kind for a clip, and a folder for a \
    folder or a .tar; what was under its name before is replaced once the new file is whole. Pictures are encoded anew, \
    without EXIF. A region is filled from what lies around it; then the detector looks again, and where it still finds \
    someone, the region is filled once more, becomes a 5x5 mosaic, or black. In clips, what is missed for less \
    than a second stays hidden. The account says which share of each picture is covered.\n\n\
    Examples:\n  lapwing redact party.jpg party-redacted.jpg\n  lapwing redact --how mosaic --hide person,car street/ safe/\n  \
    lapwing redact --json clip.y4m safe.y4m > account.jsonl\n  lapwing redact clip.mjpeg,fps=10 safe.mjpeg"
)]
pub struct Args {
    /// A picture, a folder or .tar of pictures, a .y4m or .mjpeg clip
    #[arg(value_name = "IN")]
    input: String,
    /// Where the redacted one goes
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// How; default: fill, or mosaic in a build without a generator
    #[arg(long, value_enum)]
    how: Option<How>,
    /// Classes to hide, separated by commas
    #[arg(long, value_name = "CLASSES", value_delimiter = ',', default_value = "person")]
    hide: Vec<String>,
    /// Lowest score that hides; default: the configuration's
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    score_min: Option<f32>,
    /// How long what is missed in a clip stays hidden, in milliseconds; 0: each frame is hidden by itself
    #[arg(long, value_name = "MS", default_value_t = PERSIST_MS, value_parser = clap::value_parser!(u64).range(..=60_000))]
    persist_ms: u64,
    /// A built-in model, an artifact, a .onnx, or a manifest
    #[arg(long, value_name = "M", default_value = "detect-nano")]
    model: String,
    /// One JSON object a picture or frame, on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    let spec = SourceSpec::parse(&args.input).map_err(Failure::call)?;
    let target = target(&spec, &args.output)?;
    let hider = Hider::new(args, &Model::open(&args.model)?)?;
    let source = spec.open(lapwing_camera::photos::PHOTOS).map_err(Failure::call)?;
    let sink = match &target {
        Target::Clip(clip) => Some(ClipSink::create(&args.output, clip.kind.clone()).map_err(Failure::job)?),
        _ => None,
    };
    let mut job = Job {
        args,
        target,
        hider,
        sink,
        out,
        total: Account::default(),
        shares: Shares::default(),
        complaints: Complaints::new(),
        pictures: 0,
        failures: 0,
        encoded: Vec::new(),
        taken: Taken::default(),
    };
    job.all(source)?;
    job.end()
}

/// Finds and hides; what `redact` and its evaluation share.
pub struct Hider {
    detector: Detector,
    options: DetectOptions,
    redactor: Redactor,
    level: Level,
}

impl Hider {
    fn new(args: &Args, model: &Model) -> Result<Hider, Failure> {
        Hider::of(model, &args.hide, args.score_min, args.how)
    }

    /// Hides `classes`, as well as this build can unless `how` says otherwise.
    pub fn of(model: &Model, classes: &[String], score_min: Option<f32>, how: Option<How>) -> Result<Hider, Failure> {
        // the configuration's own words for it, so that a misspelt class gets the same cure
        let names: Vec<String> = classes.iter().map(|c| format!("{:?}", c.trim())).collect();
        // one score for both: nothing is shown here that is not hidden
        let (shown, hidden) = score_min.map_or_else(Default::default, |s| {
            (format!("[model]\nscore_min = {s:?}\n"), format!("hide_score_min = {s:?}\n"))
        });
        let text = format!("{shown}[privacy]\nhide = [{}]\n{hidden}", names.join(", "));
        let bound = Config::parse(&text, "--hide")?.bind(model.manifest())?;
        let level = how.map_or(Level::Fill, How::level);
        let options = DetectOptions { score_min: bound.hiding.score_min(), ..bound.options };
        let detector = Detector::load(model)?;
        let mut redactor = redactor(&detector, bound.hiding, options, level)?;
        redactor.prepare(level);
        if let Some(trouble) = redactor.take_trouble() {
            return Err(Failure::Job(trouble));
        }
        Ok(Hider { detector, options, redactor, level })
    }

    /// What is hidden, how and with what.
    pub fn redactor(&mut self) -> &mut Redactor {
        &mut self.redactor
    }

    /// The detector of the first look.
    pub fn detector(&mut self) -> (&mut Detector, &DetectOptions) {
        (&mut self.detector, &self.options)
    }

    /// The best that is tried.
    pub fn level(&self) -> Level {
        self.level.min(self.redactor.best())
    }
}

struct Job<'a> {
    args: &'a Args,
    target: Target,
    hider: Hider,
    sink: Option<ClipSink>,
    out: &'a mut Out,
    total: Account,
    shares: Shares,
    complaints: Complaints,
    pictures: u64,
    failures: u64,
    encoded: Vec<u8>,
    taken: Taken,
}

/// Which share of the pictures is covered.
#[derive(Debug, Default)]
struct Shares {
    sum: f64,
    most: f64,
}

impl Job<'_> {
    fn all(&mut self, mut source: Box<dyn Source>) -> Result<(), Failure> {
        let bar = progress::bar(source.len_hint(), "redacting", true);
        let persist_ms = self.args.persist_ms;
        let frames = if persist_ms > 0 { MISSED_FRAMES_MIN } else { 0 };
        let patience = Patience { time_us: persist_ms * 1000, frames };
        let mut cover = self.sink.is_some().then(|| Cover::new(self.hider.redactor.hiding().clone(), patience));
        let mut frame = Frame::new();
        loop {
            match source.next(&mut frame, WAIT) {
                Next::Frame => frame = self.frame(frame, &mut cover)?,
                Next::Broken(error) => self.failed(&error),
                Next::Lost(error) => {
                    self.failed(&error);
                    break;
                }
                Next::Timeout => {}
                Next::End => break,
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn failed(&mut self, error: &dyn std::fmt::Display) {
        self.failures += 1;
        self.complaints.tell(error);
    }

    /// One picture or frame; gives the buffer back.
    fn frame(&mut self, frame: Frame, cover: &mut Option<Cover>) -> Result<Frame, Failure> {
        let (width, height) = (frame.width(), frame.height());
        let start = Instant::now();
        let Hider { detector, options, redactor, level } = &mut self.hider;
        let detections = match detector.detect(&frame, options) {
            Ok(detections) => detections,
            Err(error) => {
                let what = format!("{}: {error}; it is not written", Printable(frame.name()));
                self.failed(&what);
                return Ok(frame);
            }
        };
        let regions = match cover {
            Some(cover) => cover.regions(frame.captured_us, detections, width, height),
            None => redactor.hiding().regions(detections, width, height),
        };
        let looked = start.elapsed();
        let (redacted, account) = redactor.redact(frame, &regions, *level);
        let took = start.elapsed() - looked;
        if let Some(trouble) = redactor.take_trouble() {
            let what = format!("{}: {trouble}", Printable(redacted.get().name()));
            self.failed(&what);
        }
        let path = self.target.path_of(redacted.get().name());
        let stored = path.and_then(|mut path| {
            match &mut self.sink {
                Some(clip) => clip.store(&redacted),
                None => {
                    path = self.taken.free(path);
                    let parent = path.parent().unwrap_or(Path::new(""));
                    std::fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", Printable(parent.display())))?;
                    refuse_same(Path::new(redacted.get().name()), &path)?; // now that its folder is there
                    write_picture(&path, &redacted, QUALITY, &mut self.encoded)
                }
            }
            .map(|()| path)
            .map_err(|e| e.to_string())
        });
        match stored {
            Ok(path) => {
                self.pictures += 1;
                self.total.add(&account);
                self.tell(redacted.get(), &path, &account, looked, took)?;
            }
            Err(error) => {
                self.failed(&error);
                if self.sink.is_some() {
                    return Err(Failure::job("the clip cannot be written, see above"));
                }
            }
        }
        Ok(redacted.recycle())
    }

    fn tell(
        &mut self,
        frame: &Frame,
        path: &Path,
        account: &Account,
        looked: Duration,
        took: Duration,
    ) -> Result<(), Failure> {
        let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let pixels = f64::from(frame.width()) * f64::from(frame.height());
        let covered = account.covered_px as f64 / pixels.max(1.0);
        (self.shares.sum, self.shares.most) = (self.shares.sum + covered, self.shares.most.max(covered));
        if self.args.json {
            return self.out.json(&json!({
                "image": frame.name(), "frame": frame.seq, "out": path,
                "width": frame.width(), "height": frame.height(),
                "covered": (covered * 1e4).round() / 1e4, "regions": account.regions, "filled": account.filled, "mosaic": account.mosaic, "black": account.black,
                "second_tries": account.second_tries, "fell_back": account.fell_back, "no_surroundings": account.no_surroundings,
                "second_look": { "found": account.found, "found_late": account.found_late },
                "ms": { "detect": ms(looked), "redact": ms(took) },
            }));
        }
        if self.sink.is_none() {
            line!(
                self.out,
                "{} -> {}: {} ({:.0} ms)",
                Printable(frame.name()),
                Printable(path.display()),
                in_words(account),
                ms(looked + took)
            )?;
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), Failure> {
        if self.pictures == 0 {
            return Err(Failure::job("nothing was written: no picture there could be used"));
        }
        if let Some(clip) = self.sink.take() {
            clip.finish().map_err(Failure::job)?;
        }
        let what = if matches!(self.target, Target::Clip(_)) { "frames" } else { "pictures" };
        let mut said = summary(self.pictures, what, &self.total);
        if self.total.regions > 0 {
            let (mean, most) = (self.shares.sum / self.pictures as f64 * 100.0, self.shares.most * 100.0);
            said += &format!("; {mean:.1} % of the picture covered in the mean, {most:.1} % at most");
        }
        match self.args.json {
            true => complain!("{said}"),
            false => line!(self.out, "{said}")?,
        }
        match self.failures {
            0 => Ok(()),
            failures => {
                Err(Failure::Job(format!("{failures} of {} {what} failed, see above", failures + self.pictures)))
            }
        }
    }
}

/// The account of a whole job, in words.
fn summary(pictures: u64, what: &str, total: &Account) -> String {
    let mut said = format!("{pictures} {what}: {}", in_words(total));
    let tried = total.filled + total.fell_back;
    if tried > 0 {
        said += &format!(
            "; the second look found {}: of {tried} fills {} were tried twice and {} fell back",
            total.found, total.second_tries, total.fell_back
        );
    }
    if total.no_surroundings > 0 {
        said += &format!("; {} had too little around them to be filled", total.no_surroundings);
    }
    if total.found_late > 0 {
        said += &format!("; {} were found only then", total.found_late);
    }
    said
}
