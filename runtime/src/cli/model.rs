//! `lapwing model`: make, look into and prove artifacts.

use lapwing_engine::ir::Op;
use lapwing_engine::{Artifact, Int8Engine, kernels};
use lapwing_flow::FlowModel;
use lapwing_vision::Model;
use lapwing_vision::model::NetworkFile;

use super::model_flow;
use super::out::{Failure, Out, line};
#[cfg(feature = "onnx")]
use super::{model_onnx, quantize};

/// Arguments of `lapwing model`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  lapwing model quantize street.onnx --calibrate pictures/ -o street.lap\n  \
    lapwing model info yolo11n.onnx\n  lapwing model info street.lap\n  lapwing model verify street.lap\n  lapwing model info flow-patch")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// A network in float32 becomes an eight-bit artifact
    #[cfg(feature = "onnx")]
    Quantize(quantize::Args),
    /// What is inside, how it was recognised, and what will run it
    Info {
        /// A built-in model or flow, a .lap, or a .onnx
        #[arg(value_name = "MODEL", default_value = "detect-nano")]
        model: String,
        /// Print its manifest instead, ready to be saved beside it under its name with the ending .toml
        #[arg(long)]
        manifest: bool,
    },
    /// Prove that the file is whole and that this machine computes what its maker's did
    Verify {
        /// A built-in model or flow, or a .lap
        #[arg(value_name = "MODEL", default_value = "detect-nano")]
        model: String,
    },
}

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    match &args.command {
        #[cfg(feature = "onnx")]
        Command::Quantize(args) => quantize::run(args, out),
        Command::Info { model, manifest: false } if FlowModel::is_word(model) => model_flow::info(model, out),
        Command::Verify { model } if FlowModel::is_word(model) => model_flow::verify(model, out),
        Command::Info { model, manifest: true } => manifest(model, out),
        Command::Info { model, manifest: false } => info(model, out),
        Command::Verify { model } => verify(model, out),
    }
}

fn artifact_of(model: &Model) -> Result<&Artifact, Failure> {
    match model.network() {
        NetworkFile::Int8(artifact) => Ok(artifact),
        NetworkFile::Onnx(_) => Err(Failure::Call(format!(
            "{} is a network in float32; `lapwing model quantize` makes an artifact of it",
            model.origin()
        ))),
    }
}

fn manifest(word: &str, out: &mut Out) -> Result<(), Failure> {
    let model = Model::open(word)?;
    line!(out, "{}", model.manifest().to_toml().map_err(Failure::Job)?.trim_end())
}

fn info(word: &str, out: &mut Out) -> Result<(), Failure> {
    let model = Model::open(word)?;
    #[cfg(feature = "onnx")]
    if let NetworkFile::Onnx(bytes) = model.network() {
        return model_onnx::info(&model, bytes, out);
    }
    let artifact = artifact_of(&model)?;
    let engine = Int8Engine::load(artifact, 1).map_err(Failure::Job)?;
    let plan = engine.plan();
    let graph = &artifact.graph;
    line!(out, "model      {} ({})", artifact.manifest.name, model.origin())?;
    line!(out, "made from  {} on {} pictures", artifact.calibration.source_sha256, artifact.calibration.pictures)?;
    line!(
        out,
        "runs on    {}; {:.3} GMAC, weights {:.2} MB, tensors {:.2} MB",
        plan.kernels(),
        graph.macs() as f64 / 1e9,
        plan.weight_bytes() as f64 / 1e6,
        plan.arena_bytes() as f64 / 1e6
    )?;
    for node in &graph.nodes {
        let of = |id| graph.tensor(id);
        let shape = of(node.output).shape;
        let window = match &node.op {
            Op::Conv(conv) => {
                let w = &conv.window;
                let kind = if conv.is_depthwise(of(node.inputs[0]).shape) { " depthwise" } else { "" };
                let table = if conv.has_function() { " table" } else { "" };
                let bits = match (conv.wide.input, conv.wide.output) {
                    (false, false) => "",
                    (false, true) => " 8>16 bits",
                    (true, false) => " 16>8 bits",
                    (true, true) => " 16>16 bits",
                };
                format!(" {}x{}/{}{kind}{table}{bits}", w.kernel[0], w.kernel[1], w.stride[0])
            }
            _ => String::new(),
        };
        line!(
            out,
            "{:<8} {:>4}x{:<4} {:>4} channels {:>9.3} MMAC{window}  {}",
            node.op.name(),
            shape.height,
            shape.width,
            shape.channels,
            graph.macs_of(node) as f64 / 1e6,
            node.name
        )?;
    }
    for step in artifact.tail.iter().flat_map(|tail| &tail.steps) {
        let extents: Vec<String> = step.shape.iter().map(usize::to_string).collect();
        line!(out, "{:<8} {} in float32: {}  {}", step.op.name(), extents.join("x"), step.why, step.name)?;
    }
    Ok(())
}

fn verify(word: &str, out: &mut Out) -> Result<(), Failure> {
    let model = Model::open_proved(word)?;
    let artifact = artifact_of(&model)?;
    for kernels in kernels::available() {
        let mut engine = Int8Engine::with_kernels(artifact, kernels, 1).map_err(Failure::Job)?;
        if engine.golden() != artifact.golden {
            return Err(Failure::Job(format!(
                "{word}: the kernels `{}` compute another result than the maker's; do not use this machine, and report it",
                kernels.name()
            )));
        }
        line!(out, "{word}: whole; `{}` computes the golden outputs", kernels.name())?;
    }
    Ok(())
}
