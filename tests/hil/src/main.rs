//! Runs the cases of the emulated board. Called by `cargo xtask hil`.
#![allow(clippy::print_stdout, reason = "the report goes there")]

use std::process::ExitCode;

use lapwing_hil::cases::{ALL, Bench, Tier, run};
use lapwing_hil::image::image;
use lapwing_hil::report::in_json;
use lapwing_hil::tools::{folder, write};
use lapwing_hil::trouble::{Result, Trouble};
use serde_json::json;

const HELP: &str = "cargo xtask hil [OPTION]...

  (no option)    the smoke: a few minutes
  --full         every case, at length
  --cuts N       power cuts in the longest loop (default 100 with --full)
  --seed S       decides everything that is drawn (default 1)
  --only NAME    this case alone; may be given again
  --keep         boot what the last run built
  --list         names the cases

The report goes to target/hil/report.json as well. Where a tool is missing the run says what to
install and counts as skipped; with HIL_REQUIRED=1 it fails.";

#[derive(Default)]
struct Options {
    full: bool,
    keep: bool,
    list: bool,
    help: bool,
    cuts: Option<u32>,
    seed: Option<u64>,
    only: Vec<String>,
}

fn parse(mut words: impl Iterator<Item = String>) -> std::result::Result<Options, String> {
    let mut options = Options::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word}: a value is missing"));
        match word.as_str() {
            "--full" => options.full = true,
            "--keep" => options.keep = true,
            "--list" => options.list = true,
            "--help" | "-h" => options.help = true,
            "--cuts" => options.cuts = Some(value()?.parse().map_err(|e| format!("--cuts: {e}"))?),
            "--seed" => options.seed = Some(value()?.parse().map_err(|e| format!("--seed: {e}"))?),
            "--only" => options.only.push(value()?),
            other => return Err(format!("no option {other:?}")),
        }
    }
    match options.only.iter().find(|name| ALL.iter().all(|case| case.name != **name)) {
        Some(name) => Err(format!("no case {name:?}; --list names them")),
        None => Ok(options),
    }
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(what) => {
            eprintln!("hil: {what}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    if options.help {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if options.list {
        for case in ALL {
            println!("{:<24} {:<5}  {}", case.name, format!("{:?}", case.tier).to_lowercase(), case.about);
        }
        return ExitCode::SUCCESS;
    }
    match work(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Trouble::Missing(what)) if std::env::var("HIL_REQUIRED").is_ok_and(|v| v == "1") => {
            eprintln!("hil: FAILED (HIL_REQUIRED=1): {what}");
            ExitCode::FAILURE
        }
        Err(Trouble::Missing(what)) => {
            eprintln!("SKIPPED: the emulated board was not run: {what}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hil: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the chosen cases; true if all are good.
fn work(options: &Options) -> Result<bool> {
    let image = image(options.keep)?;
    let (cuts, seed) = (options.cuts.unwrap_or(100), options.seed.unwrap_or(1));
    let bench = Bench { image: &image, full: options.full, cuts, seed };
    println!("board: QEMU virt, Cortex-A53, {}; emulation proves behaviour, not speed", image.versions);
    let mut ended = Vec::new();
    for case in ALL {
        let chosen = options.only.is_empty() && (options.full || case.tier == Tier::Smoke);
        if chosen || options.only.iter().any(|name| name == case.name) {
            let result = run(case, &bench)?;
            println!("{}", result.line());
            ended.push(result);
        }
    }
    let about = json!({"board": image.versions, "full": options.full, "cuts": cuts, "seed": seed});
    let path = folder().join("report.json");
    write(&path, format!("{:#}\n", in_json(&ended, about)).as_bytes())?;
    let bad = ended.iter().filter(|case| case.result.is_err()).count();
    println!("{} cases, {bad} failed; {}", ended.len(), path.display());
    Ok(bad == 0)
}
