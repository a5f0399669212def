//! Developer tasks: `cargo xtask TASK`.
//!
//! Depends on the standard library alone, so that it starts at once.
#![allow(clippy::print_stdout)]

mod arm;
mod bench;
mod bindings;
mod fuzz;
mod licences;
mod miri;
mod soak;
mod steps;
mod test;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use steps::Steps;
use test::Extent;

const HELP: &str = "cargo xtask TASK

  test     what a change must pass: format, lints, licences, tests, no_std builds, the binary end to end
  test --full   everything: long tests as well, the release binary, all emulated processors
  lint     format, lints and licences only
  sizes    size of the release binary
  bench peers [OPTION]...     this machine: lapwing and its peers on the same networks, in turns
  bench families [OPTION]...  exports of every family: agreement, eight bits, time beside the fastest peer
  bench detectors [OPTION]... our detectors and others': accuracy against time
  bench arm                   emulated ARM cores: instructions, predicted cycles, traffic
  bench log [OPTION]...       durable events a second and recovery beside SQLite, in turns
  bench instructions          rewrite the instruction counts that the tests hold
  v4l2-bindings               make runtime/v4l2-sys anew from the kernel's header (Debian: bindgen, linux-libc-dev)
  soak [--frames N] [--seed S]  the main job over 100000 frames: flat memory, none asked for
  arm      the kernels of ARM processors under emulation; a part of it is part of `test`
  miri     the engine's unsafe code under Miri (rustup toolchain install nightly --component miri
           --component rust-src)
  fuzz [--seconds N] [FORMAT]...  everything that reads files under libFuzzer, each for two minutes
  hil [OPTION]...             the emulated board: power cuts, camera, pins; its smoke is part of `test`
                              (--full for everything, --help for the rest)

`test` installs what it needs: Rust targets, and with apt-get the emulators.
Tests that need pictures outside the repository look under LAPWING_SHARED, else ../shared, and say
SKIPPED where they are missing.";

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let start = Instant::now();
    let options: Vec<String> = std::env::args().skip(2).collect();
    let steps = Steps::default();
    let lane = steps.live();
    let done = match task.as_str() {
        "test" => test::test(&options),
        "lint" => test::lint(&lane),
        "arm" => arm::test(&lane, Extent::Full),
        "miri" => miri::test(),
        "fuzz" => fuzz::fuzz(&options),
        "sizes" => test::sizes(&lane),
        "v4l2-bindings" => bindings::make(),
        "soak" => soak::soak(&options),
        "hil" => test::build_hil(&lane).and_then(|()| test::hil(&lane, &options)),
        "bench" => bench::bench(&options),
        "" | "help" | "--help" | "-h" => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprintln!("xtask: no task {other:?}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => {
            println!("xtask {task}: good, {:.0} s", start.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(what) => {
            eprintln!("xtask {task}: {what}");
            ExitCode::FAILURE
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

fn step(program: &str, arguments: &[&str]) -> Result<(), String> {
    step_with(program, arguments, &[])
}

fn step_with(program: &str, arguments: &[&str], environment: &[(String, &str)]) -> Result<(), String> {
    let shown = format!("{program} {}", arguments.join(" "));
    println!("xtask: {shown}");
    let start = Instant::now();
    match Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(root())
        .status()
    {
        Ok(status) if status.success() => {
            println!("xtask: took {:.0} s", start.elapsed().as_secs_f64());
            Ok(())
        }
        Ok(status) => Err(format!("`{shown}` ended with {status}")),
        Err(error) => Err(format!("`{shown}` could not start: {error}")),
    }
}
