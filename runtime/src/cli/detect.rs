//! `lapwing detect`: objects in pictures.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lapwing_camera::frame::printable::Printable;
use lapwing_camera::frame::{Frame, picture};
use lapwing_camera::v4l::CameraOptions;
use lapwing_camera::{Next, Pacing, SourceSpec};
use lapwing_runtime::sinks::annotate_found;
use lapwing_vision::Model;
use lapwing_vision::detect::{DetectOptions, Detection, Detector, KeyPoint};
use lapwing_vision::eval::canonical_class;
use lapwing_vision::head::is_classifier;
use serde_json::{Value, json};

use super::out::{Complaints, Failure, Out, complain, line};
use super::progress;

/// Arguments of `lapwing detect`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  lapwing detect garden.jpg\n  lapwing detect --json photos/ more.tar > found.jsonl\n  \
    lapwing detect --json clip.mjpeg,fps=10 clip.y4m > frames.jsonl\n  \
    lapwing detect --model yolox_nano.onnx --annotate seen/ garden.jpg"
)]
pub struct Args {
    /// Pictures, folders, .tar archives of pictures, .y4m or .mjpeg clips; v4l:/dev/video0 for one look
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A built-in model, a .onnx, or a manifest
    #[arg(long, value_name = "M", default_value = "detect-nano")]
    model: String,
    /// Lowest score that is reported; default: the manifest's
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    score_min: Option<f32>,
    /// One JSON object a picture, or a frame of a clip with its number, on standard output
    #[arg(long)]
    json: bool,
    /// Also write each picture with what was found drawn on it, as JPEG, into this folder; people in it are not redacted
    #[arg(long, value_name = "DIR")]
    annotate: Option<PathBuf>,
}

/// A number in 0..=1.
pub fn fraction(word: &str) -> Result<f32, String> {
    match word.parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("give a fraction, 0.0 to 1.0".into()),
    }
}

/// Classes that are told of a picture by a classifier, the surest.
const CLASSES_TOLD: usize = 5;
/// Whom nobody expects in a picture that is passed on.
const PERSON: &str = "person";
const WAIT: Duration = Duration::from_secs(5);

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    let specs = args
        .paths
        .iter()
        .map(|p| SourceSpec::parse(&p.to_string_lossy()).map_err(Failure::call))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(folder) = &args.annotate {
        std::fs::create_dir_all(folder)
            .map_err(|e| Failure::Call(format!("--annotate {}: {e}", Printable(folder.display()))))?;
    }
    let detector = Detector::load(&Model::open(&args.model)?)?;
    let mut options = DetectOptions::of(detector.manifest());
    options.score_min = args.score_min.unwrap_or(options.score_min);
    let mut job = Job {
        args,
        detector,
        options,
        out,
        complaints: Complaints::new(),
        encoded: Vec::new(),
        is_clip: false,
        pictures: 0,
        showing: 0,
        failures: 0,
    };
    let bar = progress::bar(None, "detecting", true);
    let mut frame = Frame::new();
    for spec in &specs {
        job.is_clip = matches!(spec, SourceSpec::Y4m(_) | SourceSpec::Mjpeg(..));
        let mut source = match spec.open_live(lapwing_camera::photos::PHOTOS, &CameraOptions::default()) {
            Ok(source) => source,
            Err(error) => {
                job.failed(&error);
                continue;
            }
        };
        loop {
            match source.next(&mut frame, WAIT) {
                Next::Frame => {
                    job.picture(&mut frame)?;
                    if source.pacing() == Pacing::Live {
                        break; // a camera has no end: it is looked at once
                    }
                }
                Next::Broken(error) => job.failed(&error),
                Next::Lost(error) => {
                    job.failed(&error);
                    break;
                }
                Next::Timeout => {}
                Next::End => break,
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    job.tell_showing();
    match (job.failures, job.pictures) {
        (0, 0) => Err(Failure::job("no picture was found there; give JPEG or PNG files, folders or archives of them")),
        (0, _) => Ok(()),
        (failures, pictures) => {
            Err(Failure::Job(format!("{failures} of {} inputs failed, see above", failures + pictures)))
        }
    }
}

struct Job<'a> {
    args: &'a Args,
    detector: Detector,
    options: DetectOptions,
    out: &'a mut Out,
    complaints: Complaints,
    encoded: Vec<u8>,
    /// Frames have numbers.
    is_clip: bool,
    pictures: usize,
    /// Drawn pictures that show people.
    showing: usize,
    failures: usize,
}

impl Job<'_> {
    fn failed(&mut self, error: &dyn std::fmt::Display) {
        self.failures += 1;
        self.complaints.tell(error);
    }

    /// Drawn pictures leave as they are: whoever expects them redacted must learn that they are not.
    fn tell_showing(&self) {
        if let (1.., Some(folder)) = (self.showing, &self.args.annotate) {
            complain!(
                "{} of the pictures in {} show people and are not redacted; `lapwing redact` hides them",
                self.showing,
                Printable(folder.display())
            );
        }
    }

    fn picture(&mut self, frame: &mut Frame) -> Result<(), Failure> {
        if let Err(error) = self.detector.detect(frame, &self.options) {
            let what = format!("{}: {error}", Printable(frame.name()));
            self.failed(&what);
            return Ok(());
        }
        self.pictures += 1;
        if self.args.json {
            self.out.json(&as_json(frame, &self.detector, self.is_clip))?;
        } else {
            line!(self.out, "{}", as_text(frame, &self.detector, self.is_clip))?;
        }
        if let Some(folder) = &self.args.annotate {
            if let Err(error) = frame.develop() {
                self.failed(&error);
                return Ok(());
            }
            annotate_found(frame, &self.detector);
            let path = annotated_path(folder, frame.name(), self.pictures);
            self.encoded.clear();
            let stored = picture::encode_jpeg(frame, 90, &mut self.encoded)
                .map_err(|e| e.to_string())
                .and_then(|()| std::fs::write(&path, &self.encoded).map_err(|e| e.to_string()));
            if let Err(error) = stored {
                self.failed(&format!("{}: {error}", Printable(path.display())));
                return Ok(());
            }
            let is_person = |d: &Detection| canonical_class(self.detector.class_name(d.class)) == PERSON;
            self.showing += usize::from(self.detector.detections().iter().any(is_person));
        }
        Ok(())
    }
}

/// Two pictures of one name in different folders must not fall on each other: the second gets its number.
fn annotated_path(folder: &Path, name: &str, number: usize) -> PathBuf {
    let stem =
        Path::new(name).file_stem().map_or_else(|| "picture".into(), |s| s.to_string_lossy().replace(['/', '\\'], "_"));
    let plain = folder.join(format!("{stem}.jpg"));
    if plain.exists() { folder.join(format!("{stem}-{number}.jpg")) } else { plain }
}

fn round(value: f32, places: i32) -> f64 {
    super::eval::round(value.into(), places)
}

/// The detections of the last picture that are told.
fn told(detector: &Detector) -> &[Detection] {
    let all = detector.detections();
    let most = if is_classifier(detector.manifest()) { CLASSES_TOLD } else { all.len() };
    &all[..most.min(all.len())]
}

/// A detection, and what the network gives beside its box.
fn detection_json(detector: &Detector, index: usize, found: &Detection) -> Value {
    let point = |at: &[f32; 2]| at.map(|v| round(v, 2));
    let mut object = json!({
        "class": detector.class_name(found.class),
        "score": round(found.score, 4),
        "box": found.bounds.map(|v| round(v, 2)),
    });
    if let Some(mask) = detector.mask(index) {
        let polygons: Vec<Vec<[f64; 2]>> =
            mask.polygons().iter().map(|ring| ring.iter().map(point).collect()).collect();
        object["polygons"] = json!(polygons);
    }
    if let Some(rotated) = detector.rotated(index) {
        object["corners"] = json!(rotated.corners.map(|corner| point(&corner)));
        object["angle"] = json!(round(rotated.angle(), 4));
    }
    let points = detector.key_points(index);
    if !points.is_empty() {
        let values = |p: &KeyPoint| [round(p.at[0], 2), round(p.at[1], 2), round(p.visibility, 3)];
        object["key_points"] = json!(points.iter().map(values).collect::<Vec<_>>());
    }
    object
}

fn as_json(frame: &Frame, detector: &Detector, is_clip: bool) -> Value {
    let detections = told(detector).iter().enumerate();
    let detections: Vec<Value> = detections.map(|(index, found)| detection_json(detector, index, found)).collect();
    let ms = |stage: Duration| (stage.as_secs_f64() * 1e6).round() / 1e3;
    let times = detector.times();
    let mut object = json!({
        "image": frame.name(),
        "width": frame.width(),
        "height": frame.height(),
        "detections": detections,
        "ms": { "input": ms(times.input), "model": ms(times.model), "decode": ms(times.decode) },
    });
    if is_clip {
        object["frame"] = frame.seq.into();
    }
    object
}

fn as_text(frame: &Frame, detector: &Detector, is_clip: bool) -> String {
    let ms = detector.times().total().as_secs_f64() * 1e3;
    let number = if is_clip { format!(", frame {}", frame.seq) } else { String::new() };
    format!(
        "{}{number} ({}x{}, {ms:.0} ms): {}",
        Printable(frame.name()),
        frame.width(),
        frame.height(),
        in_words(told(detector), |c| detector.class_name(c))
    )
}

/// `person 93%, dog 41%`, or `nothing`.
pub fn in_words<'a>(detections: &[Detection], class_name: impl Fn(u16) -> &'a str) -> String {
    const SHOWN_MAX: usize = 8;
    if detections.is_empty() {
        return "nothing".to_owned();
    }
    let mut words: Vec<String> = detections
        .iter()
        .take(SHOWN_MAX)
        .map(|d| format!("{} {:.0}%", Printable(class_name(d.class)), d.score * 100.0))
        .collect();
    if detections.len() > SHOWN_MAX {
        words.push(format!("and {} more", detections.len() - SHOWN_MAX));
    }
    words.join(", ")
}
