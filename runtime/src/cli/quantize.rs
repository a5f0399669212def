//! `lapwing model quantize`: a network in float32 becomes an artifact.

mod args;
mod flow;

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::ProgressBar;
use lapwing_camera::frame::Frame;
use lapwing_camera::frame::printable::Printable;
use lapwing_camera::{Next, SourceSpec};
use lapwing_engine::manifest::{AxisOrder, InputSpec};
use lapwing_flow::FlowModel;
use lapwing_quantize::{LayerReport, Made, OnnxNetwork, Phase, Report, Samples, Settings};
use lapwing_vision::Model;
use lapwing_vision::head;
use lapwing_vision::input::InputTensor;
use serde_json::json;

use super::eval::score;
use super::eval_scores::Scores;
use super::out::{Failure, Out, complain, line};
use super::output_file::write;
use super::progress;

pub use args::Args;

const WAIT: Duration = Duration::from_secs(5);
/// Most threads that are taken unasked.
const THREADS_MAX: usize = 32;
/// Share of noise at the outputs from which more is worth trying.
const NOISE_MUCH: f64 = 0.02;
/// The share from which an artifact is of no use.
const NOISE_MAX: f64 = 0.2;
/// Layers that a refusal names.
const LAYERS_NAMED: usize = 3;

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    if FlowModel::is_word(&args.network) {
        return flow::run(args, out);
    }
    let model = Model::open(&args.network)?;
    let Some(file) = model.onnx() else {
        return Err(Failure::Call(format!("{} is an artifact already; give the .onnx it was made from", args.network)));
    };
    let output = args.output.clone().unwrap_or_else(|| PathBuf::from(&args.network).with_extension("lap"));
    let network = OnnxNetwork::import(file)?;
    let Made { artifact: made, report } = match network.has_own_scales() {
        true => network.with_own_scales(model.manifest())?,
        false => calibrated(args, &model, network)?,
    };
    if let Some(report) = report.as_ref().filter(|_| !args.force) {
        refuse_noise(args, report)?;
    }
    let named = |what: String| Failure::Job(format!("model {}: {what}", args.network));
    let bytes = made.to_bytes().map_err(named)?;
    write(&output, &bytes)?;
    let size = bytes.len();
    let maps = match &args.annotations {
        Some(annotations) => Some(before_and_after(args, &model, bytes, &output, annotations)?),
        None => None,
    };
    let steps = made.tail.as_ref().map_or(0, |tail| tail.steps.len());
    if args.json {
        let maps = maps.map(|(before, after)| json!({ "float": before.map50, "int8": after.map50 }));
        return out.json(&json!({
            "artifact": output.display().to_string(),
            "bytes": size,
            "nodes": made.graph.nodes.len(),
            "real_steps": steps,
            "macs": made.graph.macs(),
            "map50": maps,
            "report": report,
        }));
    }
    if let Some(report) = &report {
        if args.report {
            layers(report, out)?;
        }
        summary(report, out)?;
        hint(args, report, out)?;
    }
    if let Some((before, after)) = maps {
        line!(
            out,
            "mAP50     {:.2} in float32, {:.2} as int8, over {} pictures",
            before.map50,
            after.map50,
            after.images
        )?;
    }
    let behind = if steps > 0 { format!(" and {steps} steps in float32 behind them") } else { String::new() };
    let scales = match &report {
        Some(report) => format!("calibrated on {} pictures", report.pictures),
        None => "with the scales of the file".to_owned(),
    };
    line!(
        out,
        "{}: {:.2} MB, {} nodes{behind}, {:.3} GMAC, {scales}",
        Printable(output.display()),
        size as f64 / 1e6,
        made.graph.nodes.len(),
        made.graph.macs() as f64 / 1e9,
    )
}

/// Quantizes a network that states no scales of its own.
fn calibrated(args: &Args, model: &Model, network: OnnxNetwork) -> Result<Made, Failure> {
    if args.calibrate.is_empty() {
        return Err(Failure::Call(format!(
            "{}: it states no scales of its own; give pictures like those the camera will see: --calibrate DIR",
            args.network
        )));
    }
    let samples = samples(&args.calibrate, &model.manifest().input, args.pictures)?;
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
    let settings = Settings {
        is_logit: head::family(model.manifest()).map_err(Failure::Call)?.is_logit,
        threads: args.threads.map_or(cores, usize::from),
        search: !args.quick,
        wide: args.int16 / 100.0,
        sensitivity: args.report || args.json,
    };
    let mut bars = Bars::default();
    let made = network.calibrate(model.manifest(), &samples, &settings, &mut |phase| bars.tell(phase));
    bars.end();
    Ok(made?)
}

fn before_and_after(
    args: &Args,
    model: &Model,
    artifact: Vec<u8>,
    output: &Path,
    annotations: &Path,
) -> Result<(Scores, Scores), Failure> {
    let quantized = Model::from_artifact(artifact, output.display().to_string())?;
    let before = score(model, &args.images, annotations, "scoring float")?;
    let after = score(&quantized, &args.images, annotations, "scoring int8")?;
    Ok((before, after))
}

/// A row a layer, the most sensitive first.
fn layers(report: &Report, out: &mut Out) -> Result<(), Failure> {
    line!(
        out,
        "{:>6} {:>8} {:>8} {:>5}  {:<21} {:<17} {:>8}  layer",
        "sensitivity",
        "SQNR dB",
        "MMAC",
        "bits",
        "range",
        "method",
        "clipped"
    )?;
    for layer in &report.layers {
        let sensitivity = layer.sensitivity.map_or_else(|| "-".to_owned(), |h| format!("{:.2} %", h * 100.0));
        let before = layer.method_before_table.map_or(String::new(), |m| format!("{m}, "));
        let method = format!("{before}{}", layer.method);
        line!(
            out,
            "{sensitivity:>7} {:>7.1} {:>8.3} {:>5}  {:>9.3} ..{:>9.3} {method:<17} {:>6.3} %  {} {}",
            layer.sqnr_db,
            layer.macs as f64 / 1e6,
            layer.bits,
            layer.low,
            layer.high,
            layer.clipped * 100.0,
            layer.op,
            layer.name
        )?;
    }
    Ok(())
}

fn summary(report: &Report, out: &mut Out) -> Result<(), Failure> {
    for output in &report.outputs {
        line!(out, "{:<9} {:>6.1} dB  part {} of {}", "output", output.sqnr_db, output.part, output.name)?;
    }
    for step in &report.steps {
        line!(
            out,
            "{:<9} {:>9.6} of the signal is noise after {} ({} of {} kept)",
            "error",
            step.error,
            step.step,
            step.kept,
            step.tried
        )?;
    }
    Ok(())
}

/// An artifact whose outputs are noise is not written: it would find nothing, or what is not there.
fn refuse_noise(args: &Args, report: &Report) -> Result<(), Failure> {
    let Some(step) = report.steps.last().filter(|step| step.error > NOISE_MAX) else { return Ok(()) };
    let mut layers: Vec<&LayerReport> = report.layers.iter().filter(|layer| layer.macs > 0).collect();
    layers.sort_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db));
    let worst: Vec<String> =
        layers.iter().take(LAYERS_NAMED).map(|l| format!("{:?} ({:.1} dB)", l.name, l.sqnr_db)).collect();
    Err(Failure::Job(format!(
        "model {}: {:.0} % of its outputs would be noise in eight bits, more than the limit of {:.0} %; nothing is written. \
         Furthest from float32 are the layers {}. Try {}; run the .onnx itself; or keep it all the same with `--force`",
        args.network,
        step.error * 100.0,
        NOISE_MAX * 100.0,
        worst.join(", "),
        cures(args).join(", or ")
    )))
}

/// What may bring the outputs closer.
fn cures(args: &Args) -> Vec<&'static str> {
    let search = args.quick.then_some("no `--quick`");
    let wide = (args.int16 == 0.0).then_some("`--int16 15`, which costs time in every run");
    let more = "more pictures for `--calibrate`";
    search.into_iter().chain(wide).chain([more]).collect()
}

/// What may bring the outputs closer, if they are far.
fn hint(args: &Args, report: &Report, out: &mut Out) -> Result<(), Failure> {
    let Some(step) = report.steps.last().filter(|step| step.error > NOISE_MUCH) else { return Ok(()) };
    line!(out, "{:<9} {:.1} % of noise is much: try {}", "hint", step.error * 100.0, cures(args).join(", or "))
}

/// One bar a phase.
#[derive(Default)]
struct Bars {
    bar: Option<(&'static str, ProgressBar)>,
}

impl Bars {
    fn tell(&mut self, phase: Phase) {
        if self.bar.as_ref().is_none_or(|(name, _)| *name != phase.name) {
            self.end();
            self.bar = Some((phase.name, progress::bar(Some(phase.of as u64), phase.name, false)));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(phase.done as u64);
        }
    }

    fn end(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// At most `most` pictures, spread evenly; a broken one is named and passed over.
fn samples(paths: &[PathBuf], spec: &InputSpec, most: usize) -> Result<Samples, Failure> {
    let plain: [u8; 256] = std::array::from_fn(|v| v as u8);
    let mut input = InputTensor::new(spec, AxisOrder::Nhwc, [plain; 3]);
    let mut samples = Samples::new(spec, most);
    let mut frame = Frame::new();
    let bar = progress::bar(None, "reading pictures", false);
    for path in paths {
        let spec = SourceSpec::parse(&path.to_string_lossy()).map_err(Failure::call)?;
        let mut source = spec.open(lapwing_camera::photos::PHOTOS).map_err(Failure::call)?;
        loop {
            let next = if samples.wants_next() { source.next(&mut frame, WAIT) } else { source.skip(&mut frame) };
            match next {
                Next::End => break,
                Next::Frame if samples.wants_next() => match input.fill(&frame) {
                    Ok(_) => samples.add(frame.name(), input.values()),
                    Err(error) => complain!("{}: {error}", frame.name()),
                },
                Next::Frame => samples.pass(),
                Next::Timeout => {}
                Next::Broken(error) => complain!("{error}"),
                Next::Lost(error) => {
                    complain!("{error}");
                    break;
                }
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    samples.finish();
    if samples.is_empty() {
        let named: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        return Err(Failure::Call(format!(
            "--calibrate {}: no picture in it can be read; give a folder or .tar of pictures",
            named.join(" ")
        )));
    }
    if samples.len() < most {
        log::info!("calibrating on {} pictures", samples.len());
    }
    Ok(samples)
}
