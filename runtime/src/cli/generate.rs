//! `lapwing generate`: pictures out of noise, and how far each sampler gets in how many steps.

use std::path::PathBuf;
use std::time::Instant;

use lapwing_camera::frame::Frame;
use lapwing_camera::frame::printable::Printable;
use lapwing_flow::generate::{Made, PICTURES_MAX, Request, Walk, generate};
use lapwing_flow::manifest::STEPS_MAX;
use lapwing_flow::{FlowModel, plot};
use serde_json::json;

use super::out::{Failure, Out, line};
use super::output_file::write_png;
use super::table;

/// Arguments of `lapwing generate`.
#[derive(clap::Args)]
#[command(
    after_help = "Samplers: jump (straight lines, made for 1 to 8 steps), and over the flow's own velocity euler, \
    heun, rk45, ddim, ddim:ETA, ddpm, sde, ode.\n\n\
    Examples:\n  lapwing generate --class ship -o ship.png\n  \
    lapwing generate --count 100 --sampler heun --steps 16 --guidance 2 -o grid.png\n  \
    lapwing generate --table samplers/ --threads 4    # distance against steps, a plot, pictures"
)]
pub struct Args {
    /// One of the flow's classes; default: all of them in turn
    #[arg(long, value_name = "C")]
    class: Option<String>,
    /// Steps; default: the flow's own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=STEPS_MAX as i64))]
    steps: Option<u16>,
    /// How to walk from noise to the picture
    #[arg(long, value_name = "S", default_value = "jump", value_parser = Walk::parse)]
    sampler: Walk,
    /// Classifier-free guidance, 1 for none; default: 1 for jump, else the flow's own
    #[arg(long, value_name = "W")]
    guidance: Option<f64>,
    /// The t in which guidance holds
    #[arg(long, value_names = ["FROM", "TO"], num_args = 2, default_values_t = [0.0, 1.0])]
    guidance_interval: Vec<f64>,
    /// Guidance by the flow's classifier instead, with this scale; needs networks in float32
    #[arg(long, value_name = "SCALE", conflicts_with_all = ["guidance", "table"])]
    classifier: Option<f64>,
    /// The same seed gives the same picture, on every machine where the flow is in eight bits
    #[arg(long, value_name = "K", default_value_t = 0)]
    seed: u64,
    /// Pictures, as a grid; picture i is that of seed K + i. Default: 1; 100 a point for a table
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=PICTURES_MAX as i64))]
    count: Option<u16>,
    /// flow-cifar, flow-patch, one of them with -float, a .lap, or a folder
    #[arg(long, value_name = "M", default_value = "flow-cifar")]
    model: String,
    /// The PNG
    #[arg(short, long, value_name = "OUT.png", required_unless_present = "table")]
    output: Option<PathBuf>,
    /// Every sampler at 1 to 32 steps: a table here, and plot.png and pictures.png in this folder
    #[arg(long, value_name = "DIR")]
    table: Option<PathBuf>,
    /// For a table: pictures (a folder or a .tar) to measure the distance to; default: the flow's own ends
    #[arg(long, value_name = "S", requires = "table")]
    reference: Option<String>,
    /// Threads: of a flow in eight bits, or of a table
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// One JSON object (a row, for a table) on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    let model = FlowModel::open(&args.model)?;
    let manifest = model.manifest();
    let [from, to] = args.guidance_interval[..] else { return Err(Failure::call("--guidance-interval takes two")) };
    let count = usize::from(args.count.unwrap_or(if args.table.is_some() { table::COUNT } else { 1 }));
    let labels = match &args.class {
        Some(class) => vec![manifest.label(Some(class))?; count],
        None => (0..count).map(|i| i % manifest.classes.names.len()).collect(),
    };
    let jump = args.sampler == Walk::Jump && args.table.is_none();
    let own = if jump { manifest.sampler.guidance } else { manifest.sampler.flow_guidance };
    let request = Request {
        labels,
        walk: args.sampler,
        steps: args.steps.map_or(if jump { manifest.sampler.steps } else { 32 }, usize::from),
        guidance: args.guidance.unwrap_or(own),
        interval: [from, to],
        seed: args.seed,
    };
    if !request.guidance.is_finite() || !args.classifier.unwrap_or(0.0).is_finite() {
        return Err(Failure::call("--guidance and --classifier take a finite number"));
    }
    if let Some(folder) = &args.table {
        let wanted =
            table::Wanted { folder, reference: args.reference.as_deref(), threads: args.threads, json: args.json };
        return table::run(&wanted, &model, &request, out);
    }
    let Some(output) = &args.output else { return Err(Failure::call("name the picture: -o OUT.png")) };
    let mut network = model.network(usize::from(args.threads))?;
    let begun = Instant::now();
    let made = match args.classifier {
        None => generate(network.as_mut(), &request, None)?,
        Some(scale) => guided(&model, network.as_mut(), &request, scale)?,
    };
    let ms = begun.elapsed().as_secs_f64() * 1e3;
    let mut frame = Frame::new();
    plot::grid(&made.pictures, manifest.velocity.side, &mut frame).map_err(Failure::job)?;
    write_png(&frame, output)?;
    let (walk, each) = (request.walk.name(), ms / made.pictures.len().max(1) as f64);
    if args.json {
        return out.json(&json!({
            "model": manifest.name, "runs": network.origin(), "sampler": walk, "steps": request.steps,
            "guidance": request.guidance, "seed": request.seed, "pictures": made.pictures.len(),
            "evaluations": made.evaluations, "ms_a_picture": each, "output": output.display().to_string(),
        }));
    }
    line!(
        out,
        "{}: {} of {}, {walk}, {} steps, {} evaluations, {each:.0} ms a picture",
        Printable(output.display()),
        match made.pictures.len() {
            1 => "a picture".into(),
            n => format!("{n} pictures"),
        },
        network.origin(),
        request.steps,
        made.evaluations
    )
}

#[cfg(feature = "onnx")]
fn guided(
    model: &FlowModel,
    network: &mut dyn lapwing_flow::VelocityNetwork,
    request: &Request,
    scale: f64,
) -> Result<Made, Failure> {
    let mut guide = lapwing_flow::real::RealGuide::load(model)?;
    let mut buffers = (Vec::new(), Vec::new(), Vec::new());
    let mut gradient = |x: &[f64], t: f64, label: usize, g: &mut [f64]| -> Result<(), lapwing_flow::FlowError> {
        let (plain, found, logits) = &mut buffers;
        *plain = x.iter().map(|&v| v as f32).collect::<Vec<f32>>();
        found.resize(x.len(), 0f32);
        guide.gradient(plain, t, label, found, logits)?;
        g.iter_mut().zip(&*found).for_each(|(to, &from)| *to = f64::from(from));
        Ok(())
    };
    Ok(generate(network, request, Some((scale, &mut gradient)))?)
}

#[cfg(not(feature = "onnx"))]
fn guided(_: &FlowModel, _: &mut dyn lapwing_flow::VelocityNetwork, _: &Request, _: f64) -> Result<Made, Failure> {
    Err(Failure::call("--classifier needs a lapwing with ONNX (feature `onnx`); use --guidance"))
}
