//! `lapwing model info` and `verify` of a flow.

use lapwing_engine::kernels;
use lapwing_flow::int8::recipe::Kind;
use lapwing_flow::int8::{FlowArtifact, Int8Flow};
use lapwing_flow::model::Source;
use lapwing_flow::network::whole_context;
use lapwing_flow::normal::Normal;
use lapwing_flow::{Asked, FlowError, FlowModel, VelocityNetwork};

use super::out::{Failure, Out, line};

/// Times at which kernels are compared: in different bands of a shipped flow.
const TIMES: [f64; 3] = [1.0, 0.5, 0.05];

fn artifact_of(model: &FlowModel) -> Result<&FlowArtifact, Failure> {
    match model.source() {
        Source::Int8(artifact) => Ok(artifact),
        Source::Real(_) => Err(Failure::Call(format!(
            "{} is a flow in float32; `lapwing model quantize` makes an artifact of it",
            model.origin()
        ))),
    }
}

/// What is inside.
pub fn info(word: &str, out: &mut Out) -> Result<(), Failure> {
    let model = FlowModel::open(word)?;
    let artifact = artifact_of(&model)?;
    let flow = Int8Flow::load(artifact, word, 1)?;
    let manifest = &artifact.manifest;
    let (side, context) = (manifest.velocity.side, manifest.velocity.context);
    line!(out, "flow       {} ({})", manifest.name, model.origin())?;
    line!(out, "makes      {side}x{side} pictures{}", if context { ", and fills holes in them" } else { "" })?;
    line!(out, "classes    {}", manifest.classes.names.join(", "))?;
    let (source, windows) = (&artifact.calibration.source_sha256, artifact.calibration.windows);
    line!(out, "made from  {source} on {windows} windows")?;
    if let Some(plan) = flow.program() {
        line!(
            out,
            "runs on    {}; {:.3} GMAC a step, weights {:.2} MB, tensors {:.2} MB",
            plan.kernels(),
            artifact.macs() as f64 / 1e9,
            plan.weight_bytes() as f64 / 1e6,
            plan.arena_bytes() as f64 / 1e6
        )?;
    }
    let recipe = &artifact.recipe;
    let ends: Vec<String> = recipe.bands.iter().map(|band| format!("{}", band.t_max)).collect();
    line!(out, "ranges     for t up to {}", ends.join(", "))?;
    for step in &recipe.steps {
        let Some(shape) = recipe.shapes.get(step.output) else { continue };
        let (name, window) = match step.kind {
            Kind::Conv { filters, film, silu } => {
                let (kernel, stride) = recipe.convs.get(filters).map_or((0, 0), |c| (c.kernel, c.stride));
                let (film, silu) = (if film.is_some() { " film" } else { "" }, if silu { " silu" } else { "" });
                ("conv", format!(" {kernel}x{kernel}/{stride}{film}{silu}"))
            }
            Kind::Silu => ("silu", String::new()),
            Kind::Add => ("add", String::new()),
            Kind::Double => ("double", String::new()),
        };
        let (height, width, channels) = (shape.height, shape.width, shape.channels);
        line!(out, "{name:<8} {height:>4}x{width:<4} {channels:>4} channels{window}  {}", step.name)?;
    }
    line!(out, "`lapwing generate` makes pictures with it, `lapwing bench` times it")
}

/// The file is whole (opening it proved its checksum), and all kernels of this machine compute one velocity.
pub fn verify(word: &str, out: &mut Out) -> Result<(), Failure> {
    let model = FlowModel::open(word)?;
    let artifact = artifact_of(&model)?;
    let mut all = kernels::available();
    let Some(portable) = all.pop() else { return Err(Failure::job("this machine has no kernels")) };
    let expected = velocities(artifact, word, portable)?;
    for kernels in all {
        if velocities(artifact, word, kernels)? != expected {
            return Err(Failure::Job(format!(
                "{word}: the kernels `{}` compute another velocity than `{}`; do not use this machine, and report it",
                kernels.name(),
                portable.name()
            )));
        }
        line!(out, "{word}: `{}` computes what `{}` does, bit for bit", kernels.name(), portable.name())?;
    }
    line!(out, "{word}: whole; its checksum is right and its graph is fit to run on `{}`", portable.name())
}

fn velocities(
    artifact: &FlowArtifact,
    word: &str,
    kernels: &'static kernels::Kernels,
) -> Result<Vec<Vec<u32>>, FlowError> {
    let manifest = &artifact.manifest;
    let mut flow = Int8Flow::with_kernels(artifact, word, kernels, 1)?;
    let (mut x, mut v) = (vec![0.0; manifest.values()], vec![0.0; manifest.values()]);
    Normal::new(1, 0).fill(&mut x);
    let context = whole_context(manifest);
    let of = |(index, &t): (usize, &f64)| {
        let asked = Asked { t, label: index % manifest.condition.labels, jump: index == 0 };
        flow.velocity(&x, &context, asked, &mut v)?;
        Ok(v.iter().map(|v| v.to_bits()).collect())
    };
    TIMES.iter().enumerate().map(of).collect()
}
