//! `lapwing check`: is this configuration right?

use std::path::PathBuf;

use lapwing_camera::SourceSpec;
use lapwing_camera::frame::printable::Printable;
use lapwing_runtime::config::{BUILTIN, Config};
use lapwing_vision::Model;

use super::out::{Failure, Out, line};

/// Arguments of `lapwing check`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  lapwing check --config lapwing.toml\n  lapwing check --print > lapwing.toml   start from the built-in one, every key explained"
)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "F", required_unless_present = "print")]
    config: Option<PathBuf>,
    /// Print the built-in configuration, with every key and its default
    #[arg(long, conflicts_with = "config")]
    print: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut Out) -> Result<(), Failure> {
    let Some(path) = &args.config else {
        return line!(out, "{}", BUILTIN.trim_end());
    };
    let config = Config::read(path)?;
    let model = Model::open(&config.model.path)?;
    let bound = config.bind(model.manifest())?;
    if config.source != "auto" {
        SourceSpec::parse(&config.source)
            .map_err(|e| Failure::Call(format!("{}: source: {e}", Printable(path.display()))))?;
    }
    line!(out, "{}: good", Printable(path.display()))?;
    line!(out, "  model   {} ({} classes)", model.manifest().name, model.manifest().classes.names.len())?;
    line!(out, "  source  {}", config.source)?;
    line!(out, "  data    {}", Printable(config.data.display()))?;
    for input in &bound.inputs {
        line!(out, "  input   {}: {}", input.name, input.address)?;
    }
    for rule in &bound.rules {
        let pin = rule.output.as_ref().map_or_else(|| "a simulated pin".to_owned(), ToString::to_string);
        line!(out, "  rule    {}: {pin}", rule.watch.name)?;
    }
    if bound.rules.is_empty() {
        line!(out, "  no rule: nothing will fire and no event picture will be kept")?;
    }
    Ok(())
}
