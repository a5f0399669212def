//! Import, operator by operator: what the eight-bit graph gives is what tract gives, within the error
//! that eight bits allow.

mod cases;
mod elsewhere;
pub mod net;
mod own;
mod refusals;
mod regions;
mod tails;

use tract_onnx::prelude::*;

use super::{Options, import, regions};
use crate::calibrate::{Calibrator, RealRun};
use crate::network::FloatNetwork;
use crate::quantize;
use lapwing_engine::ir::{self, Checked};
use lapwing_engine::kernels;
use lapwing_engine::plan::Plan;
use lapwing_engine::quant::Quant;
use net::Net;

/// The model's outputs in float32.
pub fn real(model: &TypedModel, shape: [usize; 4], picture: &[f32]) -> Vec<Vec<f32>> {
    let input = Tensor::from_shape(&shape, picture).unwrap();
    let found =
        model.clone().into_optimized().unwrap().into_runnable().unwrap().run(tvec!(input.into_tvalue())).unwrap();
    found
        .iter()
        .map(|t| t.cast_to::<f32>().unwrap().as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec())
        .collect()
}

/// Runs a plan on (channel, row, column) numbers.
pub fn run(plan: &mut Plan, picture: &[f32]) -> Vec<Vec<f32>> {
    let tensor = plan.signature().tensor(plan.signature().inputs[0]).clone();
    let (h, w, c) = (tensor.shape.height, tensor.shape.width, tensor.shape.channels);
    for y in 0..h {
        let at = |x: usize, i: usize| tensor.quant.quantize(picture[(i * h + y) * w + x]);
        let row: Vec<u8> = (0..w).flat_map(|x| (0..c).map(move |i| (x, i))).map(|(x, i)| at(x, i)).collect();
        plan.write_row(0, y, &row);
    }
    plan.run();
    let mut outputs = vec![Vec::new(); plan.signature().outputs.len()];
    outputs.iter_mut().enumerate().for_each(|(index, values)| plan.real_output(index, values));
    outputs
}

/// Root of the mean squared error, as a share of the root of the mean square.
pub fn error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let power: f32 = expected.iter().map(|v| v * v).sum();
    let error: f32 = found.iter().zip(expected).map(|(f, e)| (f - e) * (f - e)).sum();
    (error / power.max(1e-12)).sqrt()
}

/// The graph of a network that is calibrated on `pictures`.
pub fn quantized(network: &FloatNetwork, pictures: &[Vec<f32>]) -> ir::Graph {
    let mut run = RealRun::new(network).unwrap();
    let mut calibrator = Calibrator::new(network);
    pictures.iter().for_each(|p| calibrator.extremes(&run.run(p).unwrap()).unwrap());
    calibrator.seen();
    pictures.iter().for_each(|p| calibrator.count(&run.run(p).unwrap()).unwrap());
    quantize(network, &calibrator.finish().maps, Quant::covering(-1.0, 1.0)).unwrap()
}

/// Imports, calibrates on noise, quantizes, and holds the result to tract's.
pub fn holds(net: &mut Net, outputs: &[&str], within: f32) -> FloatNetwork {
    let model = net.typed(outputs);
    let network = import(model.clone()).unwrap();
    assert_eq!(network.remaining, []);
    let pictures: Vec<Vec<f32>> = (0..3).map(|_| net.picture()).collect();
    let graph = quantized(&network, &pictures);
    let mut plan = Plan::new(&Checked::new(graph).unwrap(), kernels::best(), 1).unwrap();
    for picture in &pictures {
        let (found, expected) = (run(&mut plan, picture), real(&model, net.input, picture));
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            let error = error(found, expected);
            assert!(error < within, "error {error}");
        }
    }
    network
}
