//! `lapwing eval`: average precision on annotated pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lapwing_camera::frame::Frame;
use lapwing_flow::FlowModel;
use lapwing_vision::Model;
use lapwing_vision::detect::{DetectOptions, Detector};
use lapwing_vision::eval::listing::Roll;
use lapwing_vision::eval::{Scorer, coco::Annotations, match_classes};
use serde_json::json;

use super::frames::{all_used, each_frame};
use super::out::{Failure, Out, complain, line};
use super::progress;

/// Arguments of `lapwing eval`.
#[derive(clap::Args)]
#[command(
    after_help = "AP at IoU 0.5, area under all points, difficult and crowd boxes ignored; the mean goes over the\n\
    categories that both the annotations and the model know.\n\n\
    With a flow as --model: what eight bits cost it, in velocity and in fills of holes that meet nothing annotated.\n\
    With --redact: which share of the annotated is hidden, and which share of the fills passes the second look.\n\n\
    Examples:\n  lapwing eval --images test.tar --annotations instances_test.json --json\n  \
    lapwing eval --redact --images test.tar --annotations instances_test.json\n  \
    lapwing eval --model flow-patch --images test.tar --annotations instances_test.json"
)]
pub struct Args {
    /// Pictures, folders or .tar archives; only pictures that the annotations list are scored
    #[arg(long, required = true, num_args = 1.., value_name = "DIR_OR_TAR")]
    images: Vec<PathBuf>,
    /// Annotations in COCO's JSON
    #[arg(long, value_name = "COCO.json")]
    annotations: PathBuf,
    /// A built-in model, a .onnx, a manifest, or a flow
    #[arg(long, value_name = "M", default_value = "detect-nano")]
    model: String,
    /// Measure redaction and not detection
    #[arg(long)]
    redact: bool,
    /// With --redact: classes to hide, separated by commas
    #[arg(long, value_name = "CLASSES", value_delimiter = ',', default_value = "person", requires = "redact")]
    hide: Vec<String>,
    /// The result as one JSON object, on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    if FlowModel::is_word(&args.model) {
        return of_flow(args, out);
    }
    let model = Model::open(&args.model)?;
    if args.redact {
        return super::eval_redact::run(&model, &args.images, &args.annotations, &args.hide, args.json, out);
    }
    let scores = score(&model, &args.images, &args.annotations, "scoring")?;
    let Scores { map50, images, per_class, ms_median, .. } = &scores;
    if args.json {
        out.json(&json!({ "map50": map50, "images": images, "per_class": per_class, "ms_median": ms_median }))?;
    } else {
        for (name, ap) in per_class {
            line!(out, "{name:>16} {ap:6.2}")?;
        }
        line!(out, "{:>16} {map50:6.2}  over {images} pictures, {ms_median:.1} ms a picture", "mAP50")?;
    }
    all_used(scores.failures)
}

#[cfg(feature = "onnx")]
fn of_flow(args: &Args, out: &mut Out) -> Result<(), Failure> {
    super::eval_flow::run(&args.model, &args.images, &args.annotations, args.json, out)
}

#[cfg(not(feature = "onnx"))]
fn of_flow(_: &Args, _: &mut Out) -> Result<(), Failure> {
    Err(Failure::call(
        "a flow is compared with its networks in float32, which need a lapwing with ONNX (feature `onnx`)",
    ))
}

/// What an evaluation found, in percent.
pub struct Scores {
    /// The mean over classes.
    pub map50: f64,
    /// Pictures that were scored.
    pub images: usize,
    /// AP by class.
    pub per_class: BTreeMap<String, f64>,
    /// Time of a picture, input and decoding included.
    pub ms_median: f64,
    /// Pictures that could not be used.
    pub failures: u64,
}

/// Scores a model on annotated pictures, with a progress bar that is called `what`.
pub fn score(model: &Model, images: &[PathBuf], annotations: &Path, what: &'static str) -> Result<Scores, Failure> {
    let annotations = Annotations::read(annotations).map_err(Failure::call)?;
    let category_of = match_classes(&model.manifest().classes.names, &annotations.categories);
    let unknown: Vec<&str> = (0..annotations.categories.len())
        .filter(|index| !category_of.contains(&Some(*index)))
        .map(|index| annotations.categories[index].as_str())
        .collect();
    if unknown.len() == annotations.categories.len() {
        return Err(Failure::Call(format!("model {:?} knows none of the annotated categories", model.manifest().name)));
    }
    if !unknown.is_empty() {
        complain!("the model does not know {}; left out of the mean", unknown.join(", "));
    }
    let mut tally = Tally {
        detector: Detector::load(model)?,
        options: DetectOptions::for_evaluation(model.manifest()),
        scorer: Scorer::new(annotations.categories.len()),
        annotations: &annotations,
        roll: Roll::new(&annotations.listing),
        category_of,
        times_ms: Vec::new(),
        unlisted: 0,
    };
    let bar = progress::bar(Some(annotations.listing.len() as u64), what, false);
    let failures = each_frame(images, &mut |frame| {
        let done = tally.picture(frame);
        bar.set_position(tally.scorer.pictures() as u64);
        done.map(|()| true)
    })?;
    bar.finish_and_clear();
    tally.scores(failures)
}

struct Tally<'a> {
    detector: Detector,
    options: DetectOptions,
    scorer: Scorer,
    annotations: &'a Annotations,
    roll: Roll<'a>,
    category_of: Vec<Option<usize>>,
    times_ms: Vec<f64>,
    unlisted: usize,
}

impl Tally<'_> {
    fn picture(&mut self, frame: &Frame) -> Result<(), String> {
        let Some(listed) = self.roll.meet(frame.name())? else {
            self.unlisted += 1;
            return Ok(());
        };
        let truths = self.annotations.truths(listed);
        let detections = self.detector.detect(frame, &self.options).map_err(|error| error.to_string())?;
        let claims: Vec<(usize, f32, [f32; 4])> = detections
            .iter()
            .filter_map(|d| Some(((*self.category_of.get(usize::from(d.class))?)?, d.score, d.bounds)))
            .collect();
        self.scorer.add(truths, &claims);
        self.times_ms.push(self.detector.times().total().as_secs_f64() * 1e3);
        Ok(())
    }

    fn scores(mut self, failures: u64) -> Result<Scores, Failure> {
        if self.scorer.pictures() == 0 {
            return Err(Failure::job(
                "none of the pictures is listed in the annotations; check that both belong together",
            ));
        }
        if self.unlisted > 0 {
            complain!("{} pictures are not in the annotations and were passed over", self.unlisted);
        }
        let missing = self.annotations.listing.len().saturating_sub(self.scorer.pictures());
        if missing > 0 {
            complain!("{missing} annotated pictures were not among the images; the score is over the others");
        }
        let per_class: BTreeMap<String, f64> = self
            .scorer
            .average_precisions()
            .into_iter()
            .zip(&self.annotations.categories)
            .enumerate()
            .filter(|(index, _)| self.category_of.contains(&Some(*index)))
            .filter_map(|(_, (ap, name))| Some((name.clone(), round(ap? * 100.0, 2))))
            .collect();
        if per_class.is_empty() {
            return Err(Failure::job(
                "no annotated box counts: none is in these pictures and of a class that the model knows, difficult and \
                crowd boxes aside",
            ));
        }
        let map50 = round(per_class.values().sum::<f64>() / per_class.len().max(1) as f64, 2);
        self.times_ms.sort_by(f64::total_cmp);
        let ms_median = round(self.times_ms.get(self.times_ms.len() / 2).copied().unwrap_or(0.0), 3);
        let images = self.scorer.pictures();
        Ok(Scores { map50, images, per_class, ms_median, failures })
    }
}

fn round(value: f64, places: i32) -> f64 {
    let unit = 10f64.powi(places);
    (value * unit).round() / unit
}
