//! Any network: it is loaded, imported and run, or refused with words. For tests and `cargo xtask fuzz`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a promise that is broken is a panic")]

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::DimLike;

use crate::import;
use crate::onnx::{OnnxGraph, Parsed, run, runnable, structured};

/// A format's name and what its bytes are given to.
pub type Target = (&'static str, fn(&[u8]));

/// Every format.
pub const TARGETS: [Target; 2] = [("onnx", bytes), ("onnx_network", network)];

/// Values of all tensors of a network that is run here, times those of its largest constant; more is only loaded.
const COST_MAX: usize = 1 << 26;

/// The bytes of a file.
pub fn bytes(bytes: &[u8]) {
    if let Ok(parsed) = said(OnnxGraph::read(bytes).and_then(OnnxGraph::parsed)) {
        loaded(parsed);
    }
}

/// The bytes from which a network is made.
pub fn network(bytes: &[u8]) {
    if let Ok(parsed) = said(OnnxGraph::of(structured::network(bytes), bytes.len()).and_then(OnnxGraph::parsed)) {
        loaded(parsed);
    }
}

/// A refusal says something, on one line.
fn said<T>(answer: Result<T, String>) -> Result<T, String> {
    if let Err(what) = &answer {
        assert!(!what.is_empty() && !what.contains('\n'), "{what:?}");
    }
    answer
}

fn loaded(mut parsed: Parsed) {
    let inputs = parsed.model.input_outlets().unwrap().to_vec();
    let [input] = inputs[..] else { return };
    let fact = parsed.model.outlet_fact(input).unwrap().clone();
    if fact.shape.concretize().is_none_or(|extents| extents.iter().any(|extent| extent.to_i64().is_err())) {
        parsed.model.set_input_fact(0, f32::fact([1, 3, 16, 16]).into()).unwrap();
    }
    let Ok(typed) = said(parsed.typed()) else { return };
    let options = import::Options { behind: true, ..import::Options::default() };
    if let Ok(network) = said(import::regions(typed.clone(), &options)) {
        let _ = said(import::tail(&network));
    }
    let volume = |fact: &TypedFact| fact.shape.volume().to_usize().unwrap_or(usize::MAX);
    let facts = || typed.nodes().iter().flat_map(|node| &node.outputs).map(|outlet| &outlet.fact);
    let all = facts().map(volume).fold(0, usize::saturating_add);
    let constant = facts().filter(|fact| fact.konst.is_some()).map(volume).max().unwrap_or(1);
    let input = typed.input_fact(0).ok().and_then(|fact| Some((fact.datum_type, fact.shape.as_concrete()?.to_vec())));
    let (Some((datum, shape)), true) = (input, all.saturating_mul(constant.max(1)) <= COST_MAX) else { return };
    let Ok(plan) = said(runnable(typed)) else { return };
    let (Ok(mut state), Ok(zeros)) = (plan.spawn(), Tensor::zero_dt(datum, &shape)) else { return };
    for _ in 0..2 {
        let _ = said(run(&mut state, tvec!(zeros.clone().into_tvalue())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::tests::{files, recipes};

    #[test]
    fn good_bytes_are_taken() {
        lapwing_seeds::take(&TARGETS, &[("onnx", files()), ("onnx_network", recipes())]);
    }
}
