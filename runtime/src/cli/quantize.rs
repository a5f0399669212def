//! `lapwing model quantize`: a network in real numbers becomes an artifact.

use std::path::PathBuf;
use std::time::Duration;

use lapwing_runtime::camera::{Next, SourceSpec};
use lapwing_runtime::engine::artifact::{self, Artifact, Calibration};
use lapwing_runtime::engine::calibrate::Calibrator;
use lapwing_runtime::engine::int8::input_quant;
use lapwing_runtime::engine::model::Network;
use lapwing_runtime::engine::{Model, float, import, quantize};
use lapwing_runtime::frame::Frame;
use lapwing_runtime::input::InputTensor;

use super::out::{Failure, Out, line};
use super::progress;

/// Arguments of `lapwing model quantize`.
#[derive(clap::Args)]
#[command(after_help = "Calibrate on pictures like those the camera will see, some hundred of them.\n\n\
    Example:\n  lapwing model quantize street.onnx --calibrate pictures/ -o street.lap")]
pub struct Args {
    /// A .onnx with its manifest beside it, or a manifest
    #[arg(value_name = "IN")]
    network: String,
    /// Pictures, folders or .tar archives
    #[arg(long, required = true, num_args = 1.., value_name = "DIR")]
    calibrate: Vec<PathBuf>,
    /// Most pictures that are used, spread evenly over what is there
    #[arg(long, default_value_t = 200, value_name = "N")]
    pictures: usize,
    /// The artifact; default: IN with the ending .lap
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
}

const WAIT: Duration = Duration::from_secs(5);

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    let model = Model::open(&args.network)?;
    let Network::Onnx(bytes) = model.network() else {
        return Err(Failure::Call(format!("{} is an artifact already", args.network)));
    };
    let output = args.output.clone().unwrap_or_else(|| PathBuf::from(&args.network).with_extension("lap"));
    let frames = pictures(&args.calibrate, args.pictures)?;
    let named = |what: String| Failure::Job(format!("model {}: {what}", args.network));
    let network = import::import(float::typed(&model, bytes)?, &import::Options::default()).map_err(named)?;
    let spec = &model.manifest().input;
    let mut input = InputTensor::real(spec);
    let mut calibrator = Calibrator::new(&network).map_err(named)?;
    let bar = progress::bar(Some(2 * frames.len() as u64), "calibrating", false);
    for pass in [Calibrator::extremes, Calibrator::count] {
        for frame in &frames {
            input.fill(frame).map_err(|e| Failure::Job(format!("{}: {e}", frame.name())))?;
            pass(&mut calibrator, input.values()).map_err(|e| named(format!("{}: {e}", frame.name())))?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let graph = quantize::quantize(&network, &calibrator.finish(), input_quant(spec)).map_err(named)?;
    let golden = artifact::golden(&graph).map_err(named)?;
    let calibration = Calibration { source_sha256: artifact::sha256_hex(bytes), pictures: frames.len() };
    let made = Artifact { manifest: model.manifest().clone(), graph, calibration, golden };
    let bytes = made.to_bytes().map_err(named)?;
    std::fs::write(&output, &bytes).map_err(|e| Failure::Job(format!("{}: {e}", output.display())))?;
    line!(
        out,
        "{}: {:.2} MB, {} nodes, {:.3} GMAC, calibrated on {} pictures",
        output.display(),
        bytes.len() as f64 / 1e6,
        made.graph.nodes.len(),
        made.graph.macs() as f64 / 1e9,
        frames.len()
    )
}

/// At most `most` pictures, spread evenly; a broken one is named and passed over.
fn pictures(paths: &[PathBuf], most: usize) -> Result<Vec<Frame>, Failure> {
    let mut found = Vec::new();
    let mut every = 1;
    let mut seen = 0usize;
    for path in paths {
        let spec = SourceSpec::parse(&path.to_string_lossy()).map_err(Failure::call)?;
        let mut source = spec.open(lapwing_runtime::photos::PHOTOS).map_err(Failure::call)?;
        loop {
            let mut frame = Frame::new();
            match source.next(&mut frame, WAIT) {
                Next::End => break,
                Next::Frame => {
                    if seen.is_multiple_of(every) {
                        found.push(frame);
                    }
                    seen += 1;
                    // thin out as more turn up: never more than twice `most` are held
                    if found.len() >= 2 * most.max(1) {
                        let mut index = 0;
                        found.retain(|_| {
                            index += 1;
                            index % 2 == 1
                        });
                        every *= 2;
                    }
                }
                Next::Timeout => {}
                Next::Broken(error) | Next::Lost(error) => eprintln!("lapwing: {error}"),
            }
        }
    }
    if found.is_empty() {
        return Err(Failure::Call(
            "--calibrate: no picture in it can be read; give a folder or .tar of pictures".into(),
        ));
    }
    found.truncate(most.max(1));
    Ok(found)
}
