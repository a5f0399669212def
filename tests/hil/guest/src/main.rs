//! What runs on the emulated board beside `lapwing`. Called as
//!
//! | name | is |
//! |---|---|
//! | `/init` | the first process: the agent of the harness |
//! | `exercise` | writes and checks a log, with the firmware's own code |
#![allow(clippy::print_stdout, reason = "the harness reads what is printed")]

mod agent;
mod exercise;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    let done = match name.rsplit('/').next() {
        Some("init") => agent::run(),
        Some("exercise") => exercise::run(&words),
        _ => Err(format!("called as {name:?}: link it as init or exercise")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}
