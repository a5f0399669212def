//! A flow in float32 becomes one in eight bits.
//!
//! ```text
//! velocity.onnx ─▶ Structure ─┐
//! windows ─▶ Observer ────────┴▶ ranges ─▶ Recipe ─▶ FlowArtifact
//! condition.onnx ─▶ Dense layers ─────────────────────┘
//! ```
//!
//! | file | noun |
//! |---|---|
//! | [`structure`] | what the velocity network computes, without a step's film |
//! | [`windows`] | pictures and holes to look at |
//! | [`observe`] | the values of all tensors, band by band of t |
//! | [`measure`] | what eight bits cost, against float32 values |
//! | [`ranges`] | from values to a recipe |

pub mod measure;
pub mod observe;
pub mod ranges;
pub mod structure;
pub mod windows;

use super::int8::FlowArtifact;
use super::int8::artifact::Calibration;
use super::int8::dense::{Condition, Dense};
use super::network::Asked;
use super::real::{RealCondition, RealFlow};
use super::{FlowError, FlowModel};
use lapwing_quantize::import;
use lapwing_quantize::network::RealOp;
use structure::Structure;
use windows::Windows;

/// The greatest t of each band; finer where the velocity changes fast.
pub const BANDS: [f32; 10] = [0.031_25, 0.0625, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0];

/// Quantizes a flow on `windows`; `told` is called after each of [`BANDS`]'s.
///
/// # Errors
/// The network or the node, and what is wrong with it.
pub fn quantize(model: &FlowModel, windows: &Windows, told: &mut dyn FnMut()) -> Result<FlowArtifact, FlowError> {
    let failed = |what: String| FlowError::Load { origin: model.origin().into(), what };
    let manifest = model.manifest().clone();
    let structure = Structure::of(model).map_err(failed)?;
    let mut condition = RealCondition::load(model)?;
    let mut whole = RealFlow::load(model)?;
    let mut observer = observe::Observer::new(&structure, &manifest).map_err(failed)?;
    let mut seen = Vec::with_capacity(BANDS.len());
    for (band, &t_max) in BANDS.iter().enumerate() {
        let t_min = if band == 0 { 0.01 } else { BANDS[band - 1] };
        let mut film = |asked: Asked, into: &mut Vec<f32>| condition.film(asked, into);
        let found = windows.draw(band as u64, [f64::from(t_min), f64::from(t_max)], &manifest, &mut whole)?;
        seen.push(observer.band(&found, &mut film).map_err(failed)?);
        told();
    }
    let recipe = ranges::recipe(&structure, &seen, &BANDS).map_err(failed)?;
    let calibration = Calibration { source_sha256: manifest.velocity.sha256.clone(), windows: windows.len() };
    let made = FlowArtifact { condition: dense(model).map_err(failed)?, manifest, calibration, recipe };
    made.check().map_err(failed)?;
    Ok(made)
}

/// The layers of the condition network.
fn dense(model: &FlowModel) -> Result<Condition, String> {
    let spec = &model.manifest().condition;
    let inputs = [("features", spec.features), ("label", spec.labels), ("jump", 1)];
    let shapes: Vec<(&str, Vec<usize>)> = inputs.iter().map(|(name, n)| (*name, vec![1, *n, 1, 1])).collect();
    let typed = super::real::typed(&model.real().map_err(|e| e.to_string())?.condition, &shapes)?;
    let network = import::import(typed)?;
    let convs: Vec<Dense> = network
        .nodes
        .iter()
        .filter_map(|node| match &node.op {
            RealOp::Conv(conv) => Some(Dense { weights: conv.weights.clone(), bias: conv.bias.clone() }),
            _ => None,
        })
        .collect();
    let layers =
        <[Dense; 3]>::try_from(convs).map_err(|all| format!("its condition network has {} layers", all.len()))?;
    let made = Condition { layers };
    made.check(spec, model.manifest().velocity.film)?;
    Ok(made)
}
