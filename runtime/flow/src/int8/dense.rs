//! The condition network: three dense layers with SiLU between, in f32.
//!
//! Additions happen in one order and the exponential is `libm`'s, so that film is the same on every
//! machine.

use super::super::condition::{features, one_hot};
use super::super::manifest::ConditionSpec;
use super::super::network::Asked;

/// `y = W x + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// (output, input).
    pub weights: Vec<f32>,
    /// One an output.
    pub bias: Vec<f32>,
}

impl Dense {
    /// Values it reads.
    pub fn inputs(&self) -> usize {
        self.weights.len() / self.bias.len().max(1)
    }

    /// `y` takes its length.
    fn run(&self, x: &[f32], y: &mut Vec<f32>) {
        y.clear();
        y.extend(self.weights.chunks_exact(self.inputs().max(1)).zip(&self.bias).map(|(row, bias)| {
            let mut sum = *bias;
            for (w, x) in row.iter().zip(x) {
                sum += w * x;
            }
            sum
        }));
    }
}

/// `x / (1 + exp(-x))` (Elfwing et al., arXiv:1702.03118).
pub fn silu(x: f32) -> f32 {
    x / (1.0 + libm::expf(-x))
}

/// Time, label and mode to film.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The first reads features, one-hot label and mode, the last gives film.
    pub layers: [Dense; 3],
}

impl Condition {
    /// The layers fit one another and the manifest.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self, spec: &ConditionSpec, film: usize) -> Result<(), String> {
        let [first, second, last] = &self.layers;
        let fits = first.inputs() == spec.features + spec.labels + 1
            && second.inputs() == first.bias.len()
            && last.inputs() == second.bias.len()
            && last.bias.len() == film
            && self.layers.iter().all(|l| !l.bias.is_empty() && l.weights.len() == l.inputs() * l.bias.len());
        if !fits {
            return Err("the layers of its condition network do not fit one another".into());
        }
        let finite = self.layers.iter().flat_map(|l| l.weights.iter().chain(&l.bias)).all(|v| v.is_finite());
        if finite { Ok(()) } else { Err("its condition network holds a number that is not finite".into()) }
    }

    /// The film of one step; `into` takes its length, `x` is memory to work in.
    pub fn film(&self, spec: &ConditionSpec, asked: Asked, x: &mut Vec<f32>, into: &mut Vec<f32>) {
        x.resize(spec.features + spec.labels + 1, 0.0);
        features(spec, asked.t, &mut x[..spec.features]);
        one_hot(asked.label, &mut x[spec.features..spec.features + spec.labels]);
        x[spec.features + spec.labels] = f32::from(u8::from(asked.jump));
        for (index, layer) in self.layers.iter().enumerate() {
            if index > 0 {
                std::mem::swap(x, into);
                x.iter_mut().for_each(|v| *v = silu(*v));
            }
            layer.run(x, into);
        }
    }
}
