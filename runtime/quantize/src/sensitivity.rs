//! What each layer's quantization costs at the outputs, measured.
//!
//! A layer is made one bit coarser: its weights, then its results, are rounded to even numbers. That
//! adds an error of half a squared step (the odd half of the values moves by one step) to the twelfth
//! of one that the layer has already, so a sixth of what the outputs lose by it is what the layer costs.

use lapwing_engine::ir::{Graph, Node, Op, TensorId};
use lapwing_engine::quant::Quant;

/// By how much the added error exceeds the one that is there.
const COARSER: f64 = 6.0;

/// The layer's share of the output error, from that with it made coarser.
pub fn share(error: f64, coarser: f64) -> f64 {
    if error > 0.0 { ((coarser - error) / COARSER / error).max(0.0) } else { 0.0 }
}

/// The graph with node `index` one bit coarser; `None` for a node that only moves values.
pub fn coarser(graph: &Graph, index: usize) -> Option<Graph> {
    let mut made = graph.clone();
    let output = graph.nodes[index].output;
    let quant = graph.tensor(output).quant;
    let even = |q: u8| {
        let centred = f32::from(q) - f32::from(quant.zero);
        ((centred / 2.0).round_ties_even() * 2.0 + f32::from(quant.zero)).clamp(0.0, 255.0) as u8
    };
    match &mut made.nodes[index].op {
        Op::Conv(conv) => {
            conv.weights.change(|weights| {
                for w in weights {
                    let coarse = (f32::from(*w) / 2.0).round_ties_even() * 2.0;
                    *w = coarse.clamp(-126.0, 126.0) as i8;
                }
            });
            match &mut conv.table {
                // of sixteen bits, rounding to an even eighth bit would be no sensitivity of this layer's
                _ if conv.wide.output => {}
                Some(table) => table.iter_mut().for_each(|q| *q = even(*q)),
                None => conv.table = Some(Box::new(std::array::from_fn(|q| even(q as u8)))),
            }
        }
        Op::Table(table) => table.iter_mut().for_each(|q| *q = even(*q)),
        Op::Add { .. } | Op::Mul { .. } | Op::MeanPool(_) => behind(&mut made, index, output, quant, even),
        _ => return None,
    }
    Some(made)
}

/// Puts a table behind node `index`, which then writes a tensor of its own.
fn behind(graph: &mut Graph, index: usize, output: TensorId, quant: Quant, function: impl Fn(u8) -> u8) {
    let mut tensor = graph.tensor(output).clone();
    tensor.quant = quant;
    let id = TensorId(graph.tensors.len() as u32);
    graph.tensors.push(tensor);
    graph.nodes[index].output = id;
    let name = graph.nodes[index].name.clone();
    let op = Op::Table(Box::new(std::array::from_fn(|q| function(q as u8))));
    graph.nodes.insert(index + 1, Node { name, op, inputs: vec![id], output });
}
