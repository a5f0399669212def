//! `lapwing bench`: how fast a model runs here, and where the time goes.

mod args;
mod flow;
mod input;
mod latency;

use std::time::{Duration, Instant};

use lapwing_camera::frame::{Frame, picture};
use lapwing_engine::artifact::golden_input;
use lapwing_engine::ir::Op;
use lapwing_engine::{Artifact, EngineError, Int8Engine};
use lapwing_flow::FlowModel;
#[cfg(feature = "onnx")]
use lapwing_quantize::FloatEngine;
use lapwing_vision::detect::{DetectOptions, Detector};
use lapwing_vision::model::NetworkFile;
use lapwing_vision::{Model, ModelError};
use serde_json::{Value, json};

use super::out::{Failure, Out, line};

pub use args::Args;

/// Untimed runs before the timed ones.
const WARM: u32 = 5;

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    if FlowModel::is_word(&args.model) {
        args.no_kernels("a flow is timed with the fastest")?;
        return flow::run(args, out);
    }
    let start = Instant::now();
    let model = Model::open(&args.model)?;
    let found = match model.network() {
        NetworkFile::Int8(artifact) => int8(args, &model, artifact, start)?,
        #[cfg(feature = "onnx")]
        NetworkFile::Onnx(_) => float(args, &model, start)?,
        #[cfg(not(feature = "onnx"))]
        NetworkFile::Onnx(_) => {
            return Err(ModelError::NoOnnx { origin: model.origin().to_owned() }.into());
        }
    };
    if args.json {
        return line!(out, "{found}");
    }
    show(&found, out)
}

/// The contract's object; `ops` are in the order of execution. Where several nodes are one step, its time
/// and its multiplications stand at the first.
fn int8(args: &Args, model: &Model, artifact: &Artifact, start: Instant) -> Result<Value, Failure> {
    let threads = usize::from(args.threads);
    let kernels = args.kernels()?;
    let mut engine = Int8Engine::with_kernels(artifact, kernels, threads).map_err(Failure::Job)?;
    let load_ms = ms(start.elapsed());
    let graph = &artifact.graph;
    engine.write(&golden_input(graph.tensor(graph.inputs[0]).shape.elements()));
    let times = time(args.runs, || engine.run_again());
    let plan = engine.plan_mut();
    // of each node that a step begins with, the steps' time and the end of their nodes
    let mut begun = vec![(Duration::ZERO, 0); graph.nodes.len()];
    for _ in 0..args.runs {
        plan.run_timed(|nodes, took| {
            let (total, end) = &mut begun[nodes.start];
            *total += took;
            *end = nodes.end.max(*end);
        });
    }
    let median = ms(times[times.len() / 2]);
    let gmac = graph.macs() as f64 / 1e9;
    let peak = kernels.peak_gmac_per_s() * threads as f64;
    let share =
        |gmac: f64, ms: f64| if peak > 0.0 && ms > 0.0 { json!(round(gmac / ms * 1e3 / peak)) } else { Value::Null };
    let winograd = engine.plan().winograd_nodes();
    let mut ops: Vec<Value> = graph
        .nodes
        .iter()
        .zip(&begun)
        .enumerate()
        .map(|(index, (node, &(total, end)))| {
            let macs: u64 = graph.nodes[index..end.max(index)].iter().map(|node| graph.macs_of(node)).sum();
            let (took, gmac) = (ms(total) / f64::from(args.runs), macs as f64 / 1e9);
            let conv = matches!(node.op, Op::Conv(_));
            let peak_share = if conv { share(gmac, took) } else { Value::Null };
            json!({
                "name": node.name, "op": node.op.name(), "winograd": winograd.contains(&index), "ms": round(took),
                "mmac": round(gmac * 1e3), "peak_share": peak_share,
            })
        })
        .collect();
    ops.extend(tail_ops(args.runs, &mut engine));
    let weights = engine.plan().weight_bytes();
    let arena = engine.plan().arena_bytes();
    let peak_rss_mb = peak_rss_mb();
    let (stages, input) = match &args.kernels {
        None => (stages(args, model)?, input::measure(&model.manifest().input, args.runs)?),
        Some(_) => Default::default(),
    };
    Ok(json!({
        "model": model.manifest().name, "threads": threads, "kernel": engine.plan().kernels(),
        "model_ms_median": round(median), "model_ms_min": round(ms(times[0])), "load_ms": round(load_ms),
        "peak_rss_mb": peak_rss_mb, "weights_mb": round(weights as f64 / 1e6), "tensors_mb": round(arena as f64 / 1e6),
        "gmac_per_s": round(gmac / median * 1e3), "peak_gmac_per_s": round(peak), "peak_share": share(gmac, median),
        "stages": stages.times, "frame_to_pin": stages.latencies, "input": input, "ops": ops,
    }))
}

/// The steps in float32, as the nodes are told.
fn tail_ops(runs: u32, engine: &mut Int8Engine) -> Vec<Value> {
    let Some(run) = engine.tail_mut() else { return Vec::new() };
    let mut told = Vec::new();
    for index in 0..run.tail().steps.len() {
        let start = Instant::now();
        (0..runs).for_each(|_| run.step(index));
        let took = ms(start.elapsed()) / f64::from(runs);
        let step = &run.tail().steps[index];
        told.push(json!({"name": step.name, "op": step.op.name(), "winograd": false, "ms": round(took), "mmac": 0.0, "peak_share": null}));
    }
    told
}

#[cfg(feature = "onnx")]
fn float(args: &Args, model: &Model, start: Instant) -> Result<Value, Failure> {
    args.no_kernels("a network in float32 runs through tract")?;
    let Some(file) = model.onnx() else { return Err(Failure::Call(format!("{} is an artifact", model.origin()))) };
    let mut engine = FloatEngine::load(file)?;
    let load_ms = ms(start.elapsed());
    let input = vec![0.5; engine.input_shape().iter().product()];
    let mut failed = None;
    let times = time(args.runs, || {
        if let Err(error) = engine.run(&input) {
            failed = Some(error);
        }
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    let median = ms(times[times.len() / 2]);
    let gmac = model.manifest().card.as_ref().and_then(|c| c.macs).map(|m| m as f64 / 1e9);
    let peak_rss_mb = peak_rss_mb();
    let stages = stages(args, model)?;
    let input = input::measure(&model.manifest().input, args.runs)?;
    Ok(json!({
        "model": model.manifest().name, "threads": 1, "kernel": "float",
        "model_ms_median": round(median), "model_ms_min": round(ms(times[0])), "load_ms": round(load_ms),
        "peak_rss_mb": peak_rss_mb, "gmac_per_s": gmac.map(|g| round(g / median * 1e3)), "peak_share": null,
        "stages": stages.times, "frame_to_pin": stages.latencies, "input": input, "ops": [],
    }))
}

/// What the stages take on a bundled photograph; null for a network that the manifest's head cannot read.
#[derive(Default)]
struct Stages {
    /// Medians of input, model and decoding, in ms.
    times: Value,
    /// From frame to pin: [`Histogram::json`](lapwing_runtime::latency::Histogram::json).
    latencies: Value,
}

fn stages(args: &Args, model: &Model) -> Result<Stages, Failure> {
    let Some((name, bytes)) = lapwing_camera::photos::PHOTOS.first() else { return Ok(Stages::default()) };
    let mut frame = Frame::new();
    picture::decode(bytes, name, &mut frame).map_err(|e| Failure::Job(e.to_string()))?;
    let mut detector = match Detector::with_threads(model, usize::from(args.threads)) {
        Ok(detector) => detector,
        Err(ModelError::Engine(EngineError::Shape { what, .. })) => {
            eprintln!("lapwing: only the network is timed, for no head reads it: {what}");
            return Ok(Stages::default());
        }
        Err(error) => return Err(error.into()),
    };
    let options = DetectOptions::of(model.manifest());
    let mut times = Vec::new();
    for _ in 0..args.runs.min(50) {
        detector.detect(&frame, &options).map_err(|e| Failure::Job(e.to_string()))?;
        times.push(detector.times());
    }
    let median = |of: fn(&lapwing_vision::detect::StageTimes) -> Duration| {
        let mut all: Vec<Duration> = times.iter().map(of).collect();
        all.sort_unstable();
        round(ms(all[all.len() / 2]))
    };
    let found = json!({"input": median(|t| t.input), "model": median(|t| t.model), "decode": median(|t| t.decode)});
    let latencies = latency::frame_to_pin(&mut detector, &frame, args.runs)?;
    Ok(Stages { times: found, latencies: latencies.json() })
}

fn time(runs: u32, mut run: impl FnMut()) -> Vec<Duration> {
    (0..WARM).for_each(|_| run());
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

fn show(found: &Value, out: &mut Out) -> Result<(), Failure> {
    for key in [
        "model",
        "kernel",
        "threads",
        "model_ms_median",
        "model_ms_min",
        "load_ms",
        "peak_rss_mb",
        "gmac_per_s",
        "peak_gmac_per_s",
        "peak_share",
        "stages",
        "frame_to_pin",
    ] {
        if let Some(value) = found.get(key).filter(|v| !v.is_null()) {
            line!(out, "{key:<16} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))?;
        }
    }
    for way in found["input"].as_array().into_iter().flatten() {
        line!(
            out,
            "input            {} {}x{}: {} ms in one pass, {} ms step by step",
            way["format"].as_str().unwrap_or(""),
            way["width"],
            way["height"],
            way["fused_ms"],
            way["plain_ms"]
        )?;
    }
    for op in found["ops"].as_array().into_iter().flatten() {
        let share = op["peak_share"].as_f64().map_or(String::new(), |s| format!("{:>4.0} %", s * 100.0));
        line!(
            out,
            "{:>8.3} ms {share:>6}  {:<8} {}",
            op["ms"].as_f64().unwrap_or(0.0),
            if op["winograd"] == true { "Winograd" } else { op["op"].as_str().unwrap_or("") },
            op["name"].as_str().unwrap_or("")
        )?;
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Most memory that this process has held; null where the system does not say.
fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(round(kib * 1024.0 / 1e6))
}
