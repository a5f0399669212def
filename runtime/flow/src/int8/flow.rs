//! A flow in eight bits, ready to run: one plan, whose numbers change with step, class and mode.
//!
//! Film and the bands of t touch multipliers, biases, zero points and tables only, so the weights are
//! packed once. What a step needs beside the plan is kept: film of the steps asked for last, tables of
//! every band. Nothing is allocated after the load.

use super::super::condition::Kept;
use super::super::network::{Asked, VelocityNetwork, check, expect_finite};
use super::super::{FlowError, FlowManifest};
use super::FlowArtifact;
use lapwing_engine::ir::Checked;
use lapwing_engine::kernels::{self, Kernels};
use lapwing_engine::plan::Plan;
use lapwing_engine::quant::Table;
use lapwing_engine::refit::Refittable;

/// Most films that are kept.
pub const FILMS_MAX: usize = 64;

/// See the module.
pub struct Int8Flow {
    artifact: FlowArtifact,
    origin: String,
    kernels: &'static Kernels,
    threads: usize,
    /// None after numbers that did not fit.
    plan: Option<Refittable>,
    /// What the plan's numbers are for.
    now: Option<Asked>,
    films: Kept<Vec<f32>>,
    /// By band; none before its first step.
    tables: Vec<(bool, Vec<Table>)>,
    /// For the condition network.
    layer: Vec<f32>,
    row: Vec<u8>,
    v: Vec<f32>,
}

impl Int8Flow {
    /// A flow on this processor's best kernels.
    ///
    /// # Errors
    /// What is wrong with the artifact.
    pub fn load(artifact: &FlowArtifact, origin: &str, threads: usize) -> Result<Int8Flow, FlowError> {
        Int8Flow::with_kernels(artifact, origin, kernels::best(), threads)
    }

    /// A flow on `kernels`, which must be among those available.
    ///
    /// # Errors
    /// What is wrong with the artifact.
    pub fn with_kernels(
        artifact: &FlowArtifact,
        origin: &str,
        kernels: &'static Kernels,
        threads: usize,
    ) -> Result<Int8Flow, FlowError> {
        let manifest = &artifact.manifest;
        let channels = artifact.recipe.shapes.first().map_or(0, |s| s.channels);
        let widest = artifact.condition.layers.iter().map(|l| l.inputs().max(l.bias.len())).max();
        let (buffer, count) = (|| Vec::with_capacity(widest.unwrap_or(0)), artifact.recipe.table_count());
        let mut flow = Int8Flow {
            artifact: artifact.clone(),
            origin: format!("{origin} in eight bits"),
            kernels,
            threads: threads.max(1),
            plan: None,
            now: None,
            films: Kept::over((0..FILMS_MAX).map(|_| buffer())),
            tables: artifact.recipe.bands.iter().map(|_| (false, vec![[0; 256]; count])).collect(),
            layer: buffer(),
            row: vec![0; manifest.velocity.side * channels],
            v: Vec::with_capacity(manifest.values()),
        };
        let packed = || -> Result<Refittable, String> {
            let band = artifact.recipe.bands.first().ok_or("it has no ranges")?;
            let graph = artifact.recipe.graph(band, &artifact.neutral_film()?)?;
            Refittable::new(Checked::new(graph)?, kernels, flow.threads)
        };
        flow.plan = Some(packed().map_err(|what| FlowError::Load { origin: origin.into(), what })?);
        Ok(flow)
    }

    /// Brings the plan to the numbers for `asked`.
    fn turn_to(&mut self, asked: Asked) -> Result<(), String> {
        if self.now == Some(asked) && self.plan.is_some() {
            return Ok(());
        }
        self.now = None;
        let FlowArtifact { manifest, recipe, condition, .. } = &self.artifact;
        let film = self.films.get(asked, |old| {
            let mut film = old.unwrap_or_default();
            condition.film(&manifest.condition, asked, &mut self.layer, &mut film);
            Ok::<_, String>(film)
        })?;
        let index = recipe.band_index(asked.t).ok_or("it has no ranges")?;
        let band = recipe.bands.get(index).ok_or("it has no ranges")?;
        let (written, tables) = self.tables.get_mut(index).ok_or("it has no tables")?;
        if !*written {
            recipe.write_tables(band, tables)?;
            *written = true;
        }
        self.plan = Some(match self.plan.take() {
            Some(plan) => plan.refitted(|numbers| recipe.set_params(band, Some(tables), film, numbers))?,
            None => Refittable::new(Checked::new(recipe.graph(band, film)?)?, self.kernels, self.threads)?,
        });
        self.now = Some(asked);
        Ok(())
    }

    /// As a step without a plan to begin with: what the property test compares with.
    #[cfg(test)]
    pub(super) fn velocity_of_new_plan(&mut self, x: &[f32], asked: Asked, v: &mut [f32]) -> Result<(), FlowError> {
        self.plan = None;
        self.velocity(x, &[], asked, v)
    }

    /// The plan and what it runs on; none after a step that failed.
    pub fn program(&self) -> Option<&Plan> {
        self.plan.as_ref().map(Refittable::plan)
    }

    fn run(&mut self, x: &[f32], context: &[f32], asked: Asked, v: &mut [f32]) -> Result<(), String> {
        self.turn_to(asked)?;
        let FlowArtifact { manifest, recipe, .. } = &self.artifact;
        let plan = self.plan.as_mut().ok_or("it has no plan")?.plan_mut();
        let side = manifest.velocity.side;
        let range = recipe.band(asked.t).and_then(|b| b.ranges.first()).ok_or("it has no ranges")?;
        let around = if context.is_empty() { 0 } else { 4 };
        let factors: [f32; 7] = std::array::from_fn(|c| range.lines.get(c).map_or(1.0, |line| line[0]));
        for y in 0..side {
            for (column, pixel) in self.row.chunks_exact_mut(3 + around).enumerate() {
                let at = y * side + column;
                let values = x[3 * at..3 * at + 3].iter().chain(&context[around * at..around * (at + 1)]);
                for ((to, value), factor) in pixel.iter_mut().zip(values).zip(&factors) {
                    *to = range.quant.quantize(value / factor);
                }
            }
            plan.write_row(0, y, &self.row);
        }
        plan.run();
        plan.real_output(0, &mut self.v);
        v.copy_from_slice(&self.v);
        expect_finite(v)
    }
}

impl VelocityNetwork for Int8Flow {
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
