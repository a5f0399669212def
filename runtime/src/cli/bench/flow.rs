//! `lapwing bench` of a flow: a step of the velocity, and fills at 1, 2 and 4 steps.

use std::time::Instant;

use lapwing_engine::kernels;
use lapwing_flow::model::Source;
use lapwing_flow::network::{Asked, whole_context};
use lapwing_flow::{Filler, FlowModel, VelocityNetwork};
use serde_json::{Map, Value, json};

use super::args::Args;
use crate::cli::out::{Failure, Out, line};

/// Precision of steps that are timed.
const STEPS: [usize; 3] = [1, 2, 4];

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    let start = Instant::now();
    let model = FlowModel::open(&args.model)?;
    let (manifest, threads) = (model.manifest().clone(), usize::from(args.threads));
    let mut network = model.network(threads)?;
    let load_ms = ms(start);
    let (x, mut v) = (vec![0.25; manifest.values()], vec![0.0; manifest.values()]);
    let context = whole_context(&manifest);
    let asked = Asked { t: 0.5, label: manifest.condition.null_label, jump: true };
    let first = Instant::now();
    network.velocity(&x, &context, asked, &mut v)?;
    let first_ms = ms(first);
    let step = median(args.runs, || network.velocity(&x, &context, asked, &mut v).map_err(Failure::from))?;
    let (kernel, gmac) = match model.source() {
        Source::Int8(artifact) => (kernels::best().name(), json!(artifact.macs() as f64 / 1e9)),
        Source::Real(_) => ("tract", Value::Null),
    };
    let fills = if manifest.velocity.context { fills(args.runs, network)? } else { Value::Null };
    let found = json!({
        "model": manifest.name, "threads": threads, "kernel": kernel, "load_ms": load_ms, "first_step_ms": first_ms,
        "step_ms_median": step, "gmac": gmac, "fill_ms_median": fills,
    });
    if args.json {
        return line!(out, "{found}");
    }
    line!(out, "{}: {step:.2} ms a step on {kernel}, {threads} threads", manifest.name)?;
    for (steps, took) in fills_of(&found) {
        line!(out, "{steps} steps  {took:.2} ms a fill of {0}x{0}", manifest.velocity.side)?;
    }
    Ok(())
}

fn fills_of(found: &Value) -> impl Iterator<Item = (&str, f64)> {
    let fills = found["fill_ms_median"].as_object();
    fills.into_iter().flatten().filter_map(|(steps, took)| Some((steps.as_str(), took.as_f64()?)))
}

fn fills(runs: u32, network: Box<dyn VelocityNetwork>) -> Result<Value, Failure> {
    let mut filler = Filler::new(network)?;
    let side = filler.side();
    let window: Vec<u8> = (0..side * side * 3).map(|i| (i / side % 256) as u8).collect();
    let middle = side / 4..side * 3 / 4;
    let mask: Vec<bool> =
        (0..side * side).map(|i| middle.contains(&(i / side)) && middle.contains(&(i % side))).collect();
    let mut out = vec![0; window.len()];
    let mut all = Map::new();
    for steps in STEPS {
        filler.fill(&window, &mask, steps, 0, &mut out)?;
        let took = median(runs, || filler.fill(&window, &mask, steps, 1, &mut out).map_err(Failure::from))?;
        all.insert(steps.to_string(), json!(took));
    }
    Ok(Value::Object(all))
}

fn median(runs: u32, mut run: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let mut times = Vec::with_capacity(runs as usize);
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        times.push(ms(start));
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() / 2).copied().unwrap_or(0.0))
}

fn ms(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}
