//! `lapwing eval` of a flow: what eight bits cost, in velocity and in fills.

use std::path::{Path, PathBuf};

use lapwing_flow::model::FLOAT;
use lapwing_flow::quantize::measure::{self, Cost, Holed};
use lapwing_flow::quantize::windows::window;
use lapwing_flow::real::RealFlow;
use lapwing_flow::{Filler, FlowModel};
use lapwing_vision::eval::coco::Annotations;
use serde_json::json;

use super::frames::each_picture;
use super::out::{Failure, Out, line};

/// Most windows on which float32 values and eight bits are compared.
const COMPARED_MAX: usize = 1024;
/// Windows that are cut from a picture.
const WINDOWS_A_PICTURE: u64 = 4;

/// Compares a flow in eight bits with the one in float32 that it was made of.
pub fn run(model: &str, images: &[PathBuf], annotations: &Path, json: bool, out: &mut Out) -> Result<(), Failure> {
    let int8 = FlowModel::open(model)?;
    let float = FlowModel::open(&format!("{}{FLOAT}", int8.manifest().name))?;
    let cost = compare(images, annotations, &float, &int8, 1)?;
    if json { out.json(&json!({ "model": int8.origin(), "cost": cost })) } else { told(&cost, out) }
}

/// Velocities and fills on windows of annotated pictures, with holes that meet no object.
///
/// # Errors
/// No picture has room for a hole, or a network fails.
pub fn compare(
    images: &[PathBuf],
    annotations: &Path,
    float: &FlowModel,
    int8: &FlowModel,
    threads: usize,
) -> Result<Cost, Failure> {
    let truths = Annotations::read(annotations).map_err(Failure::call)?;
    let side = float.manifest().velocity.side;
    let mut holed: Vec<Holed> = Vec::new();
    let mut seed = 0;
    each_picture(images, &mut |frame| {
        for _ in 0..WINDOWS_A_PICTURE {
            seed += 1;
            let (pixels, [left, top, size]) = window(frame, side, seed)?;
            let scale = side as f64 / size.max(1.0);
            let listed = truths.listing.find(frame.name()).map_err(|error| error.to_string())?;
            let truths = listed.map_or(&[][..], |picture| truths.truths(picture)).iter();
            let objects: Vec<[f32; 4]> = truths
                .map(|t| {
                    let [x0, y0, x1, y1] = t.bounds.map(f64::from);
                    [x0 - left, y0 - top, x1 - left, y1 - top].map(|v| (v * scale) as f32)
                })
                .collect();
            holed.extend(Holed::new(&pixels, side, &objects, seed));
        }
        Ok(holed.len() < COMPARED_MAX)
    })?;
    if holed.is_empty() {
        return Err(Failure::Call("--images: no picture in it has room for a hole".into()));
    }
    let manifest = float.manifest();
    let (mut float, mut eight) = (RealFlow::load(float)?, int8.network(threads)?);
    let velocity_error = measure::velocities(&mut float, eight.as_mut(), &holed)?;
    let fills = match manifest.velocity.context {
        true => measure::fills(&mut Filler::new(Box::new(float))?, &mut Filler::new(eight)?, &holed)?,
        false => Vec::new(),
    };
    Ok(Cost { velocity_error, fills, windows: holed.len() })
}

/// Says it.
pub fn told(cost: &Cost, out: &mut Out) -> Result<(), Failure> {
    line!(out, "over {} windows, eight bits against float32 values", cost.windows)?;
    for (t, jump, flow) in &cost.velocity_error {
        line!(out, "t {t:<6} velocity error {jump:.5} (jump) {flow:.5} (flow)")?;
    }
    for fill in &cost.fills {
        line!(
            out,
            "{} steps  fills {:.2} dB in float32, {:.2} dB in eight bits, {:.2} dB between them",
            fill.steps,
            fill.float_db,
            fill.int8_db,
            fill.between_db
        )?;
    }
    Ok(())
}
