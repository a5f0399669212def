//! One Rust engine in a process of its own, for `cargo xtask bench peers`.
//!
//! `lapwing-bench-peers ENGINE NETWORK THREADS HEIGHT WIDTH`, ENGINE `rten` or `tract`, NETWORK an ONNX
//! file that takes (1, 3, height, width) bytes. It speaks the same lines as `worker.py`: one object when it has
//! loaded, then, for each number on standard input, an object with that many times.

use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Instant;

use rten::{Model, RunOptions, ThreadPool};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;
use serde_json::json;
use tract_onnx::prelude::*;

type Failure = Box<dyn Error>;
/// Runs the network once.
type Run = Box<dyn FnMut() -> Result<(), Failure>>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, engine, network, threads, height, width] = arguments.as_slice() else {
        return Err("usage: lapwing-bench-peers rten|tract NETWORK THREADS HEIGHT WIDTH".into());
    };
    let shape = [1, 3, height.parse()?, width.parse()?];
    let (threads, before) = (threads.parse()?, memory_mb("VmRSS:"));
    let start = Instant::now();
    let mut run = match engine.as_str() {
        "rten" => rten(network, threads, shape)?,
        "tract" => tract(network, threads, shape)?,
        other => return Err(format!("no engine {other:?}: rten or tract").into()),
    };
    let load_ms = milliseconds(start);
    run()?;
    say(&json!({"load_ms": load_ms, "before_mb": before}))?;
    for line in std::io::stdin().lock().lines() {
        let runs: u32 = line?.trim().parse()?;
        let mut times = Vec::new();
        for _ in 0..runs {
            let start = Instant::now();
            run()?;
            times.push(milliseconds(start));
        }
        say(&json!({"ms": times, "peak_mb": memory_mb("VmHWM:")}))?;
    }
    Ok(())
}

fn rten(network: &str, threads: usize, shape: [usize; 4]) -> Result<Run, Failure> {
    let model = Model::load_file(network)?;
    let pool = Arc::new(ThreadPool::with_num_threads(threads));
    let (input, outputs) = (model.input_ids()[0], model.output_ids().to_vec());
    let values = NdTensor::<u8, 4>::full(shape, 114);
    Ok(Box::new(move || {
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&pool)));
        model.run(vec![(input, values.view().into())], &outputs, Some(options))?;
        Ok(())
    }))
}

fn tract(network: &str, threads: usize, shape: [usize; 4]) -> Result<Run, Failure> {
    if threads != 1 {
        return Err("tract runs a network on one thread".into());
    }
    let model = tract_onnx::onnx()
        .model_for_path(network)?
        .with_input_fact(0, u8::fact(shape).into())?
        .into_typed()?
        .into_optimized()?
        .into_runnable()?;
    let mut state = model.spawn()?;
    let input = Tensor::from_shape(&shape, &vec![114u8; shape.iter().product()])?;
    Ok(Box::new(move || {
        state.run(tvec!(input.clone().into_tvalue()))?;
        Ok(())
    }))
}

fn say(value: &serde_json::Value) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// A line of this process's status, in MB.
fn memory_mb(key: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0 / 1e6)
}
