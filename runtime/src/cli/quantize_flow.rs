//! `lapwing model quantize` of a flow: networks in real numbers become one file in eight bits.

use std::path::{Path, PathBuf};

use lapwing_runtime::camera::{Next, SourceSpec};
use lapwing_runtime::eval::coco::Annotations;
use lapwing_runtime::flow::int8::FlowArtifact;
use lapwing_runtime::flow::quantise::measure::{self, Cost, Holed};
use lapwing_runtime::flow::quantise::windows::{WINDOWS_MAX, Windows, window};
use lapwing_runtime::flow::quantise::{BANDS, quantise};
use lapwing_runtime::flow::real::RealFlow;
use lapwing_runtime::flow::{Filler, FlowModel};
use lapwing_runtime::frame::Frame;
use serde_json::json;

use super::out::{Failure, Out, complain, line};
use super::progress;
use super::quantize::{Args, WAIT};

/// Most windows on which real numbers and eight bits are compared.
const COMPARED_MAX: usize = 64;

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    let model = FlowModel::open(&args.network)?;
    model.real()?; // in eight bits already?
    let side = model.manifest().velocity.side;
    if args.calibrate.is_empty() {
        return Err(Failure::Call(format!("{}: give pictures to calibrate on: --calibrate DIR", args.network)));
    }
    let mut windows = Windows::new(side, args.pictures.min(WINDOWS_MAX));
    each_frame(&args.calibrate, &mut |frame| windows.add(frame).map(|()| true))?;
    if windows.is_empty() {
        return Err(Failure::Call(
            "--calibrate: no picture in it can be read; give a folder or .tar of pictures".into(),
        ));
    }
    let bar = progress::bar(Some(BANDS.len() as u64), "calibrating", false);
    let made = quantise(&model, &windows, &mut || bar.inc(1))?;
    bar.finish_and_clear();
    let bytes = made.to_bytes().map_err(Failure::Job)?;
    let output = args.output.clone().unwrap_or_else(|| PathBuf::from(&args.network).with_extension("lap"));
    std::fs::write(&output, &bytes).map_err(|e| {
        Failure::Job(format!("{}: cannot be written: {e}; name another file with --output", output.display()))
    })?;
    let cost = match &args.annotations {
        Some(annotations) => Some(compare(args, &model, &made, annotations)?),
        None => None,
    };
    if args.json {
        return out.json(&json!({ "artifact": output.display().to_string(), "bytes": bytes.len(), "cost": cost }));
    }
    if let Some(cost) = cost {
        told(&cost, out)?;
    }
    line!(
        out,
        "{}: {:.2} MB, {} bands of t, calibrated on {} windows",
        output.display(),
        bytes.len() as f64 / 1e6,
        BANDS.len(),
        windows.len()
    )
}

/// Velocities and fills on windows of annotated pictures, with holes that meet no object.
fn compare(args: &Args, model: &FlowModel, made: &FlowArtifact, annotations: &Path) -> Result<Cost, Failure> {
    let truths = Annotations::read(annotations).map_err(Failure::call)?;
    let side = model.manifest().velocity.side;
    let mut holed: Vec<Holed> = Vec::new();
    let mut seed = 0;
    each_frame(&args.images, &mut |frame| {
        seed += 1;
        let (pixels, [left, top, size]) = window(frame, side, seed)?;
        let scale = side as f64 / size.max(1.0);
        let name = Path::new(frame.name()).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let objects: Vec<[f32; 4]> = truths
            .of(&name)
            .unwrap_or_default()
            .iter()
            .map(|t| {
                let [x0, y0, x1, y1] = t.bounds.map(f64::from);
                [x0 - left, y0 - top, x1 - left, y1 - top].map(|v| (v * scale) as f32)
            })
            .collect();
        holed.extend(Holed::new(&pixels, side, &objects, seed));
        Ok(holed.len() < COMPARED_MAX)
    })?;
    if holed.is_empty() {
        return Err(Failure::Call("--images: no picture in it has room for a hole".into()));
    }
    let threads = args.threads.map_or(1, usize::from);
    let int8 = FlowModel::from_artifact(made.to_bytes().map_err(Failure::Job)?, model.origin().into())?;
    let (mut float, mut eight) = (RealFlow::load(model)?, int8.network(threads)?);
    let velocity_error = measure::velocities(&mut float, eight.as_mut(), &holed)?;
    let fills = match model.manifest().velocity.context {
        true => measure::fills(&mut Filler::new(Box::new(float))?, &mut Filler::new(eight)?, &holed)?,
        false => Vec::new(),
    };
    Ok(Cost { velocity_error, fills, windows: holed.len() })
}

fn told(cost: &Cost, out: &mut Out) -> Result<(), Failure> {
    line!(out, "over {} windows, eight bits against real numbers", cost.windows)?;
    for (t, jump, flow) in &cost.velocity_error {
        line!(out, "t {t:<6} velocity error {jump:.5} (jump) {flow:.5} (flow)")?;
    }
    for fill in &cost.fills {
        line!(
            out,
            "{} steps  fills {:.2} dB in real numbers, {:.2} dB in eight bits, {:.2} dB between them",
            fill.steps,
            fill.float_db,
            fill.int8_db,
            fill.between_db
        )?;
    }
    Ok(())
}

/// Calls `each` with the pictures of all paths until it gives false.
fn each_frame(paths: &[PathBuf], each: &mut dyn FnMut(&Frame) -> Result<bool, String>) -> Result<(), Failure> {
    let mut frame = Frame::new();
    for path in paths {
        let spec = SourceSpec::parse(&path.to_string_lossy()).map_err(Failure::call)?;
        let mut source = spec.open(lapwing_runtime::photos::PHOTOS).map_err(Failure::call)?;
        loop {
            match source.next(&mut frame, WAIT) {
                Next::End => break,
                Next::Frame => match each(&frame) {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(what) => complain!("{}: {what}", frame.name()),
                },
                Next::Timeout => {}
                Next::Broken(error) => complain!("{error}"),
                Next::Lost(error) => {
                    complain!("{error}");
                    break;
                }
            }
        }
    }
    Ok(())
}
