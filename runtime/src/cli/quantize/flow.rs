//! `lapwing model quantize` of a flow: networks in float32 become one file in eight bits.

use std::path::PathBuf;

use lapwing_camera::frame::printable::Printable;
use lapwing_flow::FlowModel;
use lapwing_flow::quantize::windows::{WINDOWS_MAX, Windows};
use lapwing_flow::quantize::{BANDS, quantize};
use serde_json::json;

use super::args::Args;
use crate::cli::frames::each_picture;
use crate::cli::out::{Failure, Out, line};
use crate::cli::output_file::write;
use crate::cli::{eval_flow, progress};

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    let model = FlowModel::open(&args.network)?;
    model.real()?; // in eight bits already?
    let side = model.manifest().velocity.side;
    if args.calibrate.is_empty() {
        return Err(Failure::Call(format!("{}: give pictures to calibrate on: --calibrate DIR", args.network)));
    }
    let mut windows = Windows::new(side, args.pictures.min(WINDOWS_MAX));
    each_picture(&args.calibrate, &mut |frame| windows.add(frame).map(|()| true))?;
    if windows.is_empty() {
        return Err(Failure::Call(
            "--calibrate: no picture in it can be read; give a folder or .tar of pictures".into(),
        ));
    }
    let bar = progress::bar(Some(BANDS.len() as u64), "calibrating", false);
    let made = quantize(&model, &windows, &mut || bar.inc(1))?;
    bar.finish_and_clear();
    let bytes = made.to_bytes().map_err(Failure::Job)?;
    let output = args.output.clone().unwrap_or_else(|| PathBuf::from(&args.network).with_extension("lap"));
    write(&output, &bytes)?;
    let cost = match &args.annotations {
        Some(annotations) => {
            let int8 = FlowModel::from_artifact(bytes.clone(), model.origin().into())?;
            let threads = args.threads.map_or(1, usize::from);
            Some(eval_flow::compare(&args.images, annotations, &model, &int8, threads)?)
        }
        None => None,
    };
    if args.json {
        return out.json(&json!({ "artifact": output.display().to_string(), "bytes": bytes.len(), "cost": cost }));
    }
    if let Some(cost) = cost {
        eval_flow::told(&cost, out)?;
    }
    line!(
        out,
        "{}: {:.2} MB, {} bands of t, calibrated on {} windows",
        Printable(output.display()),
        bytes.len() as f64 / 1e6,
        BANDS.len(),
        windows.len()
    )
}
