//! The command line: what is asked, who does it, and how it ends.
//!
//! Exit codes: 0 done, 1 the job failed, 2 the call or the configuration is wrong. What a command
//! finds goes to standard output, as text for people or as JSON with `--json`; what goes wrong goes
//! to standard error.

mod bench;
mod cameras;
mod check;
mod detect;
mod doctor;
mod eval;
#[cfg(feature = "onnx")]
mod eval_flow;
mod eval_redact;
mod eval_report;
mod eval_scores;
mod frames;
mod generate;
mod hiding;
mod log;
mod model;
mod model_flow;
#[cfg(feature = "onnx")]
mod model_onnx;
mod out;
mod output_file;
mod printer;
mod progress;
#[cfg(feature = "onnx")]
mod quantize;
mod redact;
mod redact_paths;
mod run;
mod score;
mod signals;
mod table;
mod voice;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use out::{Failure, Out, complain};

/// Turns a board with a camera into a sentinel: sees, acts, hides and remembers.
#[derive(Parser)]
#[command(name = "lapwing", version, arg_required_else_help = false, max_term_width = 100)]
#[command(after_help = "Without a command, `lapwing` runs with its built-in configuration.\n\
    Exit codes: 0 done, 1 the job failed, 2 the call or the configuration is wrong.")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// The main job: watch a source, drive outputs, keep the record
    Run(run::Args),
    /// Find objects in pictures
    Detect(detect::Args),
    /// Paint people out of pictures and clips
    Redact(redact::Args),
    /// Measure a detector on annotated pictures
    Eval(eval::Args),
    /// Make, look into and prove quantized models
    Model(model::Args),
    /// How fast a model runs here
    Bench(bench::Args),
    /// Make pictures out of noise
    Generate(generate::Args),
    /// How unusual pictures of a watched scene are
    Score(score::Args),
    /// Read the record
    Log(log::Args),
    /// Check a configuration file
    Check(check::Args),
    /// Say what this machine has, what is missing, and what to do
    Doctor(doctor::Args),
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    voice::start_logger();
    // a core dump would hold frames that nobody has redacted; where the kernel knows no such thing, nothing is lost
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let cli = Cli::parse(); // ends the process with 2 where the call is wrong
    let mut out = Out::default();
    let done = match cli.command {
        None => run::run(&run::Args::default()),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Detect(args)) => detect::run(&args, &mut out),
        Some(Command::Redact(args)) => redact::run(&args, &mut out),
        Some(Command::Eval(args)) => eval::run(&args, &mut out),
        Some(Command::Model(args)) => model::run(&args, &mut out),
        Some(Command::Bench(args)) => bench::run(&args, &mut out),
        Some(Command::Generate(args)) => generate::run(&args, &mut out),
        Some(Command::Score(args)) => score::run(&args, &mut out),
        Some(Command::Log(args)) => log::run(&args, &mut out),
        Some(Command::Check(args)) => check::run(&args, &mut out),
        Some(Command::Doctor(args)) => doctor::run(&args, &mut out),
    };
    let done = done.and_then(|()| out.flush());
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Quiet) => ExitCode::SUCCESS,
        Err(Failure::Told(code)) => ExitCode::from(code),
        Err(Failure::Job(what)) => report(&what, 1),
        Err(Failure::Call(what)) => report(&what, 2),
    }
}

fn report(what: &str, code: u8) -> ExitCode {
    complain!("{what}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, CommandFactory};

    /// Lines of help that are ended by hand, and examples, fit into the width at which help is wrapped: otherwise a rest
    /// stands alone on the next line.
    fn fits(command: &Command) {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for paragraph in text.split("\n\n") {
            let lines: Vec<&str> = paragraph.lines().collect();
            for (index, line) in lines.iter().enumerate() {
                let is_whole = line.ends_with(['.', ':']) && !line.starts_with(' ');
                let is_last = index + 1 == lines.len() && !line.starts_with(' ');
                assert!(line.chars().count() <= 100 || is_whole || is_last, "{}: {line}", command.get_name());
            }
        }
        command.get_subcommands().for_each(fits);
    }

    #[test]
    fn no_line_of_help_is_broken_twice() {
        fits(&Cli::command());
    }
}
