//! A run with a known result: by it, this machine is known to compute what the maker's did.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::ir::Graph;
use super::super::reference;
use super::super::tail::{Run, Tail};
use super::sha256::hex;

/// A run with a known result.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Golden {
    /// SHA-256 of the output tensors' values for [`golden_input`], in the order of the outputs.
    pub outputs_sha256: String,
    /// SHA-256 of the float32 values that the tail gives then, in the order of its outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail_sha256: Option<String>,
}

/// The input of the golden run: a fixed sequence (SplitMix64), one byte a value.
pub fn golden_input(elements: usize) -> Vec<u8> {
    let mut state = 0u64;
    let next = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 56) as u8
    };
    (0..elements).map(next).collect()
}

/// The golden run as the reference computes it. Takes seconds.
///
/// # Errors
/// If the graph has more than one input, or what is wrong with the tail.
pub fn golden(graph: &Graph, tail: Option<&Tail>) -> Result<Golden, String> {
    let [input] = graph.inputs.as_slice() else { return Err(format!("{} inputs, not one", graph.inputs.len())) };
    let values = reference::run(graph, &[&golden_input(graph.tensor(*input).shape.elements())])?;
    let mut digest = Sha256::new();
    for part in graph.outputs.iter().flat_map(|o| &o.parts) {
        digest.update(&values[part.tensor.at()]);
    }
    let outputs_sha256 = hex(&digest.finalize());
    let Some(tail) = tail else { return Ok(Golden { outputs_sha256, tail_sha256: None }) };
    let mut run = Run::new(tail.clone(), graph.output_shapes())?;
    for (output, into) in graph.outputs.iter().zip(run.outputs_mut()) {
        for part in &output.parts {
            let tensor = graph.tensor(part.tensor);
            let reals = values[part.tensor.at()].iter().map(|&q| tensor.quant.real(q));
            part.places(tensor.shape).zip(reals).for_each(|(place, real)| into[place] = real);
        }
    }
    run.run();
    Ok(Golden { outputs_sha256, tail_sha256: Some(tail_sha256(&run)) })
}

/// SHA-256 of the outputs of a tail's last run. A NaN counts as one whatever its bits.
pub fn tail_sha256(run: &Run) -> String {
    let mut digest = Sha256::new();
    for value in (0..).map_while(|index| run.output(index)).flatten() {
        let bits = if value.is_nan() { f32::NAN.to_bits() & 0x7fff_ffff } else { value.to_bits() };
        digest.update(bits.to_le_bytes());
    }
    hex(&digest.finalize())
}
