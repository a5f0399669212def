//! The velocity network, as whatever runs it.

use super::{FlowError, FlowManifest};
use lapwing_engine::finite::first_not_finite;

/// What a velocity is asked for: time, label and mode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// 1 is noise, 0 data.
    pub t: f64,
    /// Class, or the null class.
    pub label: usize,
    /// `true`: of a straight line to the end, for 1 to 8 Euler steps; `false`: the flow's own.
    pub jump: bool,
}

/// A network that gives `v = eps - x_0` of the line through x_t.
pub trait VelocityNetwork: Send {
    /// What it is.
    fn manifest(&self) -> &FlowManifest;

    /// Where it came from and what runs it, for messages.
    fn origin(&self) -> &str;

    /// The velocity `v` at `x`, both (side, side, 3). `context`, (side, side, 4), is the known
    /// picture (0 in the hole) and the mask (1 in the hole); for a network without one it is empty.
    ///
    /// # Errors
    /// A buffer of another size, or the engine's words.
    fn velocity(&mut self, x: &[f32], context: &[f32], asked: Asked, v: &mut [f32]) -> Result<(), FlowError>;
}

/// Values of the context that belongs to a manifest.
pub fn context_values(manifest: &FlowManifest) -> usize {
    if manifest.velocity.context { manifest.values() / 3 * 4 } else { 0 }
}

/// Fills a context of which nothing is known: a whole picture is to be made.
pub fn unknown(context: &mut [f32]) {
    context.chunks_exact_mut(4).for_each(|pixel| pixel.copy_from_slice(&[0.0, 0.0, 0.0, 1.0]));
}

/// A context of which nothing is known; empty for a network without one.
pub fn whole_context(manifest: &FlowManifest) -> Vec<f32> {
    let mut context = vec![0.0; context_values(manifest)];
    unknown(&mut context);
    context
}

/// What a network gave is of use only if every value of it is finite.
///
/// # Errors
/// Which value is not.
pub fn expect_finite(values: &[f32]) -> Result<(), String> {
    match first_not_finite(values) {
        None => Ok(()),
        Some((at, value)) => Err(format!("value {at} of its output is {value}, which is no number to go on with")),
    }
}

/// The buffers of a call are those of the manifest.
///
/// # Errors
/// The first that is not.
pub fn check(manifest: &FlowManifest, x: &[f32], context: &[f32], v: &[f32]) -> Result<(), FlowError> {
    let (values, around) = (manifest.values(), context_values(manifest));
    for (name, found, expected) in
        [("x", x.len(), values), ("the velocity", v.len(), values), ("the context", context.len(), around)]
    {
        if found != expected {
            return Err(FlowError::Size { name, found, expected });
        }
    }
    Ok(())
}
