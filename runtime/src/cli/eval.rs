//! `lapwing eval`: average precision on annotated pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lapwing_camera::frame::Frame;
use lapwing_engine::manifest::Extra;
use lapwing_flow::FlowModel;
use lapwing_vision::Model;
use lapwing_vision::detect::nms::iou;
use lapwing_vision::detect::{DetectOptions, Detection, Detector};
use lapwing_vision::eval::coco::{Annotations, Truth};
use lapwing_vision::eval::listing::Roll;
use lapwing_vision::eval::{Claim, Evaluation, Found, Shape, match_classes};

use super::eval_report::Worst;
use super::eval_scores::{Part, Scored, Scores, ShapeScores, Tenth};
use super::frames::{all_used, each_frame};
use super::out::{Failure, Out, complain, line};
use super::progress;

/// Arguments of `lapwing eval`.
#[derive(clap::Args)]
#[command(
    after_help = "AP at IoU 0.5, area under all points, difficult and crowd boxes ignored; the mean goes over the \
    categories that both the annotations and the model know; mAP50-95 is that over IoU 0.5, 0.55 to 0.95. \
    By size: small under 32x32 pixels, medium, large from 96x96; cut: a side lies at the picture's edge. \
    Recall: the share that is found at one false box a picture. Masks and turned boxes are scored too, where the \
    annotations have `segmentation` (polygons or COCO's runs).\n\n\
    With --report: curves.png (precision by recall, calibration of the scores), confusion.png, and \
    worst.png, the pictures with most mistakes at the model's own threshold: white is annotated, colours \
    are found. They are not redacted.\n\n\
    With a flow as --model: what eight bits cost it, in velocity and in fills of holes that meet nothing \
    annotated.\n\
    With --redact: which share of the annotated is hidden, also by size, and how many fills pass the \
    second look.\n\n\
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
    /// A folder for pictures of where a detector fails; not with --redact
    #[arg(long, value_name = "DIR", conflicts_with = "redact")]
    report: Option<PathBuf>,
    /// The result as one JSON object, on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    if FlowModel::is_word(&args.model) {
        if args.report.is_some() {
            return Err(Failure::call("--report shows where a detector fails; leave it out with a flow"));
        }
        return of_flow(args, out);
    }
    let model = Model::open(&args.model)?;
    if args.redact {
        return super::eval_redact::run(&model, &args.images, &args.annotations, &args.hide, args.json, out);
    }
    if let Some(folder) = &args.report {
        super::eval_report::prepare(folder)?;
    }
    let (scored, worst) = scored(&model, &args.images, &args.annotations, "scoring", args.report.is_some())?;
    let scores = &scored.scores;
    if args.json {
        out.json(scores)?;
    } else {
        tell(scores, out)?;
    }
    if let (Some(folder), Some(worst)) = (&args.report, &worst) {
        super::eval_report::write(folder, &scored, worst)?;
    }
    all_used(scores.failures)
}

fn tell(scores: &Scores, out: &mut Out) -> Result<(), Failure> {
    let Scores { map50, map50_95, images, ms_median, .. } = scores;
    line!(out, "{:>16} {:>6} {:>8}", "", "AP50", "recall")?;
    for (name, ap) in &scores.per_class {
        line!(out, "{name:>16} {ap:6.2} {:8.2}", scores.recall.get(name).copied().unwrap_or(0.0))?;
    }
    for (name, part) in &scores.parts {
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        line!(out, "{name:>16} {:>6} {:>8}  boxes: {}", shown(part.map50), shown(part.recall), part.boxes)?;
    }
    if let Some(ShapeScores { of, map50, map50_95 }) = &scores.shapes {
        line!(out, "{:>16} {map50_95:6.2}  of {of}", "mAP50-95")?;
        line!(out, "{:>16} {map50:6.2}  of {of}", "mAP50")?;
    }
    line!(out, "{:>16} {map50_95:6.2}", "mAP50-95")?;
    line!(out, "{:>16} {map50:6.2}  over {images} pictures, {ms_median:.1} ms a picture", "mAP50")
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

/// Scores a model on annotated pictures, with a progress bar that is called `what`.
#[cfg(feature = "onnx")]
pub fn score(model: &Model, images: &[PathBuf], annotations: &Path, what: &'static str) -> Result<Scores, Failure> {
    Ok(scored(model, images, annotations, what, false)?.0.scores)
}

fn scored(
    model: &Model,
    images: &[PathBuf],
    annotations: &Path,
    what: &'static str,
    is_reported: bool,
) -> Result<(Scored, Option<Worst>), Failure> {
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
        evaluation: Evaluation::new(annotations.categories.len()),
        worst: is_reported.then(|| Worst::new(&annotations.categories)),
        score_min: DetectOptions::of(model.manifest()).score_min,
        annotations: &annotations,
        shapes: None,
        roll: Roll::new(&annotations.listing),
        category_of,
        times_ms: Vec::new(),
        unlisted: 0,
        misfits: 0,
    };
    if let Some(kind) = shape_kind(model) {
        if annotations.unread_shapes() > 0 {
            complain!(
                "the `segmentation` of {} annotations is neither polygons nor runs of a picture; it is left out",
                annotations.unread_shapes()
            );
        }
        match annotations.has_shapes() {
            true => tally.shapes = Some((kind, Evaluation::new(annotations.categories.len()))),
            false => {
                complain!(
                    "the annotations have no `segmentation` that can be used, so that {kind} are not scored, only their boxes"
                )
            }
        }
    }
    let bar = progress::bar(Some(annotations.listing.len() as u64), what, false);
    let failures = each_frame(images, &mut |frame| {
        let done = tally.picture(frame);
        bar.set_position(tally.evaluation.pictures() as u64);
        done.map(|()| true)
    })?;
    bar.finish_and_clear();
    tally.scores(failures)
}

/// What the model tells of an object beside its box, if shapes can be compared with it.
fn shape_kind(model: &Model) -> Option<&'static str> {
    match model.manifest().head.extra? {
        Extra::Mask { .. } => Some("masks"),
        Extra::Angle { .. } => Some("turned boxes"),
        Extra::KeyPoints { .. } => None,
    }
}

/// The shape of a detection of the last picture.
fn shape_of(detector: &Detector, index: usize) -> Option<Shape> {
    let turned = || detector.rotated(index).and_then(|rotated| Shape::any(vec![rotated.corners.to_vec()]));
    detector.mask(index).map_or_else(turned, |mask| Shape::odd(mask.polygons()))
}

struct Tally<'a> {
    detector: Detector,
    options: DetectOptions,
    evaluation: Evaluation,
    /// By masks or turned boxes, where both sides have them.
    shapes: Option<(&'static str, Evaluation)>,
    worst: Option<Worst>,
    score_min: f32,
    annotations: &'a Annotations,
    roll: Roll<'a>,
    category_of: Vec<Option<usize>>,
    times_ms: Vec<f64>,
    unlisted: usize,
    /// Shapes whose runs are those of a picture of another size.
    misfits: usize,
}

impl Tally<'_> {
    fn picture(&mut self, frame: &Frame) -> Result<(), String> {
        let Some(listed) = self.roll.meet(frame.name())? else {
            self.unlisted += 1;
            return Ok(());
        };
        let truths = self.annotations.truths(listed);
        let detections = self.detector.detect(frame, &self.options).map_err(|error| error.to_string())?;
        let category_of = |d: &Detection| self.category_of.get(usize::from(d.class)).copied().flatten();
        let known: Vec<(usize, Claim)> = detections
            .iter()
            .enumerate()
            .filter_map(|(index, d)| Some((index, (category_of(d)?, d.score, d.bounds))))
            .collect();
        let claims: Vec<Claim> = known.iter().map(|(_, claim)| *claim).collect();
        let size = (frame.width(), frame.height());
        self.evaluation.add(size, truths, &claims);
        if let Some((_, evaluation)) = &mut self.shapes {
            let shapes = self.annotations.shapes(listed);
            let annotated: Vec<Option<&Shape>> =
                shapes.iter().map(|shape| shape.as_ref().filter(|shape| shape.fits(size))).collect();
            self.misfits += shapes.iter().flatten().count() - annotated.iter().flatten().count();
            // one without a shape is ignored: nobody knows where it is
            let truths: Vec<Truth> = truths
                .iter()
                .zip(&annotated)
                .map(|(truth, shape)| Truth { ignore: truth.ignore || shape.is_none(), ..*truth })
                .collect();
            let found: Vec<Option<Shape>> = known.iter().map(|(index, _)| shape_of(&self.detector, *index)).collect();
            evaluation.add_by(size, &truths, &claims, &|at, truth| match (&found[at], annotated[truth]) {
                (Some(found), Some(annotated)) => found.iou(annotated),
                (None, Some(_)) => 0.0,
                (_, None) => iou(&claims[at].2, &truths[truth].bounds), // ignored
            });
        }
        if let Some(worst) = &mut self.worst {
            let shown = claims.iter().take_while(|claim| claim.1 >= self.score_min).count();
            worst.picture(frame, truths, &claims[..shown])?;
        }
        self.times_ms.push(self.detector.times().total().as_secs_f64() * 1e3);
        Ok(())
    }

    fn scores(mut self, failures: u64) -> Result<(Scored, Option<Worst>), Failure> {
        if self.evaluation.pictures() == 0 {
            return Err(Failure::job(
                "none of the pictures is listed in the annotations; check that both belong together",
            ));
        }
        if self.unlisted > 0 {
            complain!("{} pictures are not in the annotations and were passed over", self.unlisted);
        }
        if self.misfits > 0 {
            complain!(
                "the runs of {} annotations are of a picture of another size (`size` is height, width); they are left out",
                self.misfits
            );
        }
        let missing = self.annotations.listing.len().saturating_sub(self.evaluation.pictures());
        if missing > 0 {
            complain!("{missing} annotated pictures were not among the images; the score is over the others");
        }
        let names: Vec<(String, bool)> = self
            .annotations
            .categories
            .iter()
            .enumerate()
            .map(|(index, name)| (name.clone(), self.category_of.contains(&Some(index))))
            .collect();
        // of the classes that the model knows and that are annotated here
        let by_name = |values: Vec<Option<f64>>| -> BTreeMap<String, f64> {
            let known = names.iter().zip(values).filter(|((_, is_known), _)| *is_known);
            known.filter_map(|((name, _), value)| Some((name.clone(), percent(value?)))).collect()
        };
        let all = self.evaluation.all();
        let per_class = by_name(all.iter().map(|found| found.ap).collect());
        if per_class.is_empty() {
            return Err(Failure::job(
                "no annotated box counts: none is in these pictures and of a class that the model knows, difficult and \
                crowd boxes aside",
            ));
        }
        let part = |found: Vec<Found>| {
            let recall_of = by_name(found.iter().map(|found| found.recall).collect());
            let known = found.iter().zip(&names).filter(|(_, (_, is_known))| *is_known);
            Part {
                boxes: known.map(|(found, _)| found.truths).sum(),
                map50: some_mean(&by_name(found.iter().map(|found| found.ap).collect())),
                recall: some_mean(&recall_of),
                recall_of,
            }
        };
        let bins = self.evaluation.calibration(|category| names[category].1);
        self.times_ms.sort_by(f64::total_cmp);
        let scores = Scores {
            map50: mean(&per_class),
            map50_95: mean(&by_name(self.evaluation.mean_over_ious())),
            images: self.evaluation.pictures(),
            per_class,
            recall: by_name(all.iter().map(|found| found.recall).collect()),
            parts: self.evaluation.by_group().map(|(group, found)| (group.name(), part(found))).collect(),
            calibration: bins
                .iter()
                .filter(|bin| bin.detections > 0)
                .map(|bin| Tenth { detections: bin.detections, score: percent(bin.score), right: percent(bin.right) })
                .collect(),
            ms_median: round(self.times_ms.get(self.times_ms.len() / 2).copied().unwrap_or(0.0), 3),
            shapes: self.shapes.map(|(of, evaluation)| {
                let ap = evaluation.all().iter().map(|found| found.ap).collect();
                let over_ious = evaluation.mean_over_ious();
                ShapeScores { of, map50: mean(&by_name(ap)), map50_95: mean(&by_name(over_ious)) }
            }),
            failures,
        };
        Ok((Scored { scores, evaluation: self.evaluation, categories: names }, self.worst))
    }
}

/// The mean of values in percent; 0 of none.
fn mean(values: &BTreeMap<String, f64>) -> f64 {
    some_mean(values).unwrap_or(0.0)
}

fn some_mean(values: &BTreeMap<String, f64>) -> Option<f64> {
    (!values.is_empty()).then(|| round(values.values().sum::<f64>() / values.len() as f64, 2))
}

fn percent(share: f64) -> f64 {
    round(share * 100.0, 2)
}

pub fn round(value: f64, places: i32) -> f64 {
    let unit = 10f64.powi(places);
    (value * unit).round() / unit
}
