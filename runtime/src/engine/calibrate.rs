//! What values a network's maps take on real pictures.
//!
//! tract runs the network in real numbers, twice over the same pictures: once for the extremes and
//! the means of channels, once for a histogram between the extremes.

use tract_onnx::prelude::*;

use super::network::Network;

/// Bins of a histogram.
const BINS: usize = 2048;

/// The values of one map over all pictures.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The least value.
    pub low: f32,
    /// The greatest value.
    pub high: f32,
    /// Values by size between the extremes, in equal bins.
    pub histogram: Vec<f32>,
    /// Mean of each channel.
    pub means: Vec<f32>,
}

impl Observed {
    /// The middle of bin `index`.
    pub fn bin(&self, index: usize) -> f32 {
        self.low + (self.high - self.low) * (index as f32 + 0.5) / self.histogram.len() as f32
    }

    /// Bins that are not empty: (middle, share of all values).
    pub fn bins(&self) -> impl Iterator<Item = (f32, f32)> {
        let total: f32 = self.histogram.iter().sum::<f32>().max(1.0);
        self.histogram.iter().enumerate().filter(|(_, n)| **n > 0.0).map(move |(i, n)| (self.bin(i), n / total))
    }
}

/// Runs a network in real numbers and keeps every map.
pub struct Calibrator {
    state: TypedSimpleState,
    shape: Vec<usize>,
    observed: Vec<Observed>,
    /// Output of the run for each map.
    slots: Vec<usize>,
    /// Whether a map's values come channel by channel.
    ordered: Vec<bool>,
    pictures: usize,
}

impl Calibrator {
    /// Plans the network with all its maps as outputs.
    ///
    /// # Errors
    /// tract's words.
    pub fn new(network: &Network) -> Result<Calibrator, String> {
        let mut outlets: Vec<OutletId> = Vec::new();
        let slots = network
            .maps
            .iter()
            .map(|map| {
                outlets.iter().position(|o| *o == map.outlet).unwrap_or_else(|| {
                    outlets.push(map.outlet);
                    outlets.len() - 1
                })
            })
            .collect();
        let mut model = network.model.clone();
        let prepare = |model: &mut TypedModel| -> TractResult<(TypedSimpleState, Vec<usize>)> {
            let shape = model.input_fact(0)?.shape.as_concrete().map(<[usize]>::to_vec).unwrap_or_default();
            model.select_output_outlets(&outlets)?;
            Ok((model.clone().into_optimized()?.into_runnable()?.spawn()?, shape))
        };
        let (state, shape) = prepare(&mut model).map_err(|e| format!("planning it in real numbers: {e:#}"))?;
        let observed = network
            .maps
            .iter()
            .map(|m| Observed {
                low: f32::INFINITY,
                high: f32::NEG_INFINITY,
                histogram: vec![0.0; BINS],
                means: vec![0.0; m.shape.channels],
            })
            .collect();
        Ok(Calibrator {
            state,
            shape,
            observed,
            slots,
            ordered: network.maps.iter().map(|m| m.ordered).collect(),
            pictures: 0,
        })
    }

    /// First pass: extremes and means.
    ///
    /// # Errors
    /// tract's words, or a value that is not a number.
    pub fn extremes(&mut self, input: &[f32]) -> Result<(), String> {
        self.pictures += 1;
        let outputs = self.run(input)?;
        for (map, observed) in self.observed.iter_mut().enumerate() {
            let values = plain(&outputs[self.slots[map]])?;
            for &v in values {
                if !v.is_finite() {
                    return Err(format!("a value of map {map} is {v}"));
                }
                observed.low = observed.low.min(v);
                observed.high = observed.high.max(v);
            }
            let channels = observed.means.len();
            let area = values.len() / channels;
            if self.ordered[map] && area * channels == values.len() && area > 0 {
                for (mean, plane) in observed.means.iter_mut().zip(values.chunks_exact(area)) {
                    *mean += plane.iter().sum::<f32>() / area as f32;
                }
            }
        }
        Ok(())
    }

    /// Second pass: histograms.
    ///
    /// # Errors
    /// tract's words.
    pub fn count(&mut self, input: &[f32]) -> Result<(), String> {
        let outputs = self.run(input)?;
        for (map, observed) in self.observed.iter_mut().enumerate() {
            let per = BINS as f32 / (observed.high - observed.low).max(f32::MIN_POSITIVE);
            for &v in plain(&outputs[self.slots[map]])? {
                let bin = ((v - observed.low) * per) as usize; // saturates; NaN was refused before
                observed.histogram[bin.min(BINS - 1)] += 1.0;
            }
        }
        Ok(())
    }

    /// What was seen, by map.
    pub fn finish(mut self) -> Vec<Observed> {
        let pictures = self.pictures.max(1) as f32;
        for observed in &mut self.observed {
            observed.means.iter_mut().for_each(|m| *m /= pictures);
        }
        self.observed
    }

    fn run(&mut self, input: &[f32]) -> Result<TVec<TValue>, String> {
        Tensor::from_shape(&self.shape, input)
            .and_then(|tensor| self.state.run(tvec!(tensor.into_tvalue())))
            .map_err(|e| format!("running it in real numbers: {e:#}"))
    }
}

fn plain(value: &TValue) -> Result<&[f32], String> {
    value.as_plain_ram().and_then(|v| v.as_slice::<f32>().ok()).ok_or_else(|| "a map is not of f32".into())
}
