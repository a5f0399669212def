//! A flow in eight bits, ready to run: a plan for each step, class and mode that was asked for last.

use super::super::condition::Kept;
use super::super::network::{Asked, Network, check};
use super::super::{FlowError, FlowManifest};
use super::FlowArtifact;
use crate::engine::ir::Checked;
use crate::engine::kernels;
use crate::engine::plan::Plan;

/// Most plans that are kept; each holds its packed weights and its memory.
pub const PLANS_MAX: usize = 4;

/// See the module.
pub struct Int8Flow {
    artifact: FlowArtifact,
    origin: String,
    threads: usize,
    plans: Kept<Plan>,
    row: Vec<u8>,
    v: Vec<f32>,
}

impl Int8Flow {
    /// A flow on this processor's best kernels.
    ///
    /// # Errors
    /// What is wrong with the artifact.
    pub fn load(artifact: &FlowArtifact, origin: &str, threads: usize) -> Result<Int8Flow, FlowError> {
        let side = artifact.manifest.velocity.side;
        let channels = artifact.recipe.shapes.first().map_or(0, |s| s.channels);
        Ok(Int8Flow {
            artifact: artifact.clone(),
            origin: format!("{origin} in eight bits"),
            threads: threads.max(1),
            plans: Kept::new(PLANS_MAX),
            row: vec![0; side * channels],
            v: Vec::new(),
        })
    }

    fn run(&mut self, x: &[f32], context: &[f32], asked: Asked, v: &mut [f32]) -> Result<(), String> {
        let FlowArtifact { manifest, recipe, condition, .. } = &self.artifact;
        let band = recipe.band(asked.t).ok_or("it has no ranges")?;
        let threads = self.threads;
        let plan = self.plans.get(asked, |_| {
            let film = condition.film(&manifest.condition, asked);
            Plan::new(Checked::new(recipe.graph(band, &film)?)?, kernels::best(), threads)
        })?;
        let side = manifest.velocity.side;
        let range = band.ranges.first().ok_or("it has no ranges")?;
        let around = if context.is_empty() { 0 } else { 4 };
        let factors: [f32; 7] = std::array::from_fn(|c| range.lines.get(c).map_or(1.0, |line| line[0]));
        for y in 0..side {
            for (column, pixel) in self.row.chunks_exact_mut(3 + around).enumerate() {
                let at = y * side + column;
                let values = x[3 * at..3 * at + 3].iter().chain(&context[around * at..around * (at + 1)]);
                for ((to, value), factor) in pixel.iter_mut().zip(values).zip(&factors) {
                    *to = range.quant.quantise(value / factor);
                }
            }
            plan.write_row(0, y, &self.row);
        }
        plan.run();
        plan.real_output(0, &mut self.v);
        v.copy_from_slice(&self.v);
        Ok(())
    }
}

impl Network for Int8Flow {
    fn manifest(&self) -> &FlowManifest {
        &self.artifact.manifest
    }

    fn origin(&self) -> &str {
        &self.origin
    }

    fn velocity(&mut self, x: &[f32], context: &[f32], asked: Asked, v: &mut [f32]) -> Result<(), FlowError> {
        check(&self.artifact.manifest, x, context, v)?;
        self.run(x, context, asked, v).map_err(|what| FlowError::Run { origin: self.origin.clone(), what })
    }
}
