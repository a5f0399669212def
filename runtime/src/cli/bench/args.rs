//! The arguments of `lapwing bench`, for a detector and for a flow.

use lapwing_engine::kernels::{self, Kernels};

use crate::cli::out::Failure;

/// Arguments of `lapwing bench`.
#[derive(clap::Args)]
#[command(after_help = "Times depend on what else the machine does: compare within one run.\n\
    Shares of the peak count all products of a convolution; one told as Winograd multiplies a quarter of them and \
    may pass 100 %.\n\n\
    Examples:\n  lapwing bench\n  lapwing bench --model street.lap --threads 2 --json\n  \
    lapwing bench --kernels portable")]
pub struct Args {
    /// A built-in model, a .lap, or a .onnx; a flow is timed by its fills
    #[arg(long, value_name = "M", default_value = "detect-nano")]
    pub(super) model: String,
    /// Threads of the int8 engine
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) threads: u16,
    /// Kernels of the int8 engine, such as avx2 or portable, where the processor has several; then the
    /// network alone is timed [default: the fastest]
    #[arg(long, value_name = "NAME")]
    pub(super) kernels: Option<String>,
    /// Runs that are timed
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) runs: u32,
    /// One JSON object, on standard output
    #[arg(long)]
    pub(super) json: bool,
}

impl Args {
    /// The kernels that are timed.
    ///
    /// # Errors
    /// If this processor has none of the name.
    pub(super) fn kernels(&self) -> Result<&'static Kernels, Failure> {
        let Some(name) = &self.kernels else { return Ok(kernels::best()) };
        let found = kernels::available();
        found.iter().find(|kernels| kernels.name() == name).copied().ok_or_else(|| {
            let names: Vec<&str> = found.iter().map(|kernels| kernels.name()).collect();
            Failure::Call(format!("--kernels {name:?}: this processor has {}", names.join(", ")))
        })
    }

    /// # Errors
    /// If kernels are asked for where `what` has none to choose from.
    pub(super) fn no_kernels(&self, what: &str) -> Result<(), Failure> {
        match &self.kernels {
            Some(_) => Err(Failure::Call(format!("--kernels: {what}; leave it away"))),
            None => Ok(()),
        }
    }
}
