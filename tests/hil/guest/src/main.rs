//! What runs on the emulated board beside `lapwing`. Called as
//!
//! | name | is |
//! |---|---|
//! | `/init` | the first process: the agent of the harness |
//! | `exercise` | writes and checks a log, with the firmware's own code |
//! | `camera` | sets, feeds and compares a camera |
#![allow(clippy::print_stdout, reason = "the harness reads what is printed")]

mod agent;
mod camera;
mod exercise;
mod output;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    let done = match name.rsplit('/').next() {
        Some("init") => agent::run(),
        Some("camera") => camera::run(&words),
        Some("exercise") => exercise::run(&words),
        _ => Err(format!("called as {name:?}: link it as init, exercise or camera")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}
