//! The arguments of `lapwing bench`, for a detector and for a flow.

/// Arguments of `lapwing bench`.
#[derive(clap::Args)]
#[command(after_help = "Times depend on what else the machine does: compare within one run.\n\
    Shares of the peak count all products of a convolution; one told as Winograd multiplies a quarter of them and \
    may pass 100 %.\n\n\
    Examples:\n  lapwing bench\n  lapwing bench --model street.lap --threads 2 --json")]
pub struct Args {
    /// A built-in model, a .lap, or a .onnx; a flow is timed by its fills
    #[arg(long, value_name = "M", default_value = "detect-nano")]
    pub(super) model: String,
    /// Threads of the int8 engine
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) threads: u16,
    /// Runs that are timed
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) runs: u32,
    /// One JSON object, on standard output
    #[arg(long)]
    pub(super) json: bool,
}
