//! The arguments of `lapwing model quantize`, for a detector and for a flow.

use std::path::PathBuf;

/// Arguments of `lapwing model quantize`.
#[derive(clap::Args)]
#[command(after_help = "Calibrate on pictures like those the camera will see, some hundred of them. Ranges, \
    equalisations and bias corrections are tried on a quarter of them (at most 32), and kept where the outputs come \
    closer to the real ones.\n\n\
    Examples:\n  lapwing model quantize street.onnx --calibrate pictures/ -o street.lap\n  \
    lapwing model quantize net.onnx --calibrate in/ --report --images val.tar --annotations val.json\n  \
    lapwing model quantize street.onnx --calibrate pictures/ --int16 10")]
pub struct Args {
    /// A .onnx as it was exported, or a manifest
    #[arg(value_name = "IN")]
    pub(super) network: String,
    /// Pictures, folders or .tar archives; a network that states its own scales (QDQ) needs none
    #[arg(long, num_args = 1.., value_name = "DIR")]
    pub(super) calibrate: Vec<PathBuf>,
    /// Most pictures that are used, spread evenly over what is there
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub(super) pictures: usize,
    /// The artifact; default: IN with the ending .lap
    #[arg(short, long, value_name = "OUT")]
    pub(super) output: Option<PathBuf>,
    /// Only ranges of least squared error: some ten times faster, nothing is tried
    #[arg(long)]
    pub(super) quick: bool,
    /// Most of the convolutions' results, in per cent, that may have sixteen bits: where eight cost most, as
    /// far as that brings the outputs closer. Such layers run slower; `lapwing bench` tells by how much
    #[arg(long, alias = "sixteen", default_value_t = 0.0, value_name = "PERCENT", value_parser = percent)]
    pub(super) int16: f64,
    /// Keep the artifact however much of its outputs is noise
    #[arg(long)]
    pub force: bool,
    /// A table of all layers: signal to noise, range, clipping, and what each costs at the outputs
    #[arg(long)]
    pub(super) report: bool,
    /// The result as one JSON object with all layers, on standard output
    #[arg(long)]
    pub(super) json: bool,
    /// Annotated pictures; scores the network before and after
    #[arg(long, num_args = 1.., value_name = "DIR_OR_TAR", requires = "annotations")]
    pub(super) images: Vec<PathBuf>,
    /// Their annotations in COCO's JSON
    #[arg(long, value_name = "COCO.json", requires = "images")]
    pub(super) annotations: Option<PathBuf>,
    /// Threads that pictures are dealt over, which changes nothing in the result; default: all cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) threads: Option<u8>,
}

fn percent(word: &str) -> Result<f64, String> {
    let wrong = || format!("{word:?} is no share; give a number from 0 to 100");
    word.parse().ok().filter(|share| (0.0..=100.0).contains(share)).ok_or_else(wrong)
}
