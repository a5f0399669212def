//! A function from one quantization to another, as a lookup table: of 256 values for eight bits, a curve for sixteen.

use crate::network::Function;
use lapwing_engine::int16::{self, Curve};
use lapwing_engine::quant::{Quant, Table};

/// The 256 values of `function` from one quantization to another.
pub fn table(from: Quant, to: Quant, function: &Function) -> Result<Box<Table>, String> {
    let points: Vec<f32> = (0..=255).map(|q| from.real(q)).collect();
    let values = function.eval(&points).map_err(|e| format!("{e:#}"))?;
    Ok(Box::new(std::array::from_fn(|q| to.quantize(values[q]))))
}

/// `function` from one quantization to another, in sixteen bits.
pub fn curve(from: Quant, to: Quant, function: &Function) -> Result<Box<Curve>, String> {
    let points: Vec<f32> = int16::points(from).collect();
    let values = function.eval(&points).map_err(|e| format!("{e:#}"))?;
    Ok(Box::new(std::array::from_fn(|at| int16::quantize(values[at], to))))
}
