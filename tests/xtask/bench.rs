//! `cargo xtask bench`: builds what a benchmark needs, then runs it. See `tests/bench/README.md`.

use std::path::{Path, PathBuf};

use lapwing_tests::arm::{CORES, Caches, Rig, install};
use lapwing_tests::target;

use super::{root, step};

/// Where environments, networks and results are kept; git ignores it.
fn folder() -> PathBuf {
    target().join("bench")
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{}: not UTF-8", path.display()))
}

/// `cargo xtask bench WHAT [OPTION]...`.
pub fn bench(arguments: &[String]) -> Result<(), String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["peers", options @ ..] => peers(options),
        ["families", options @ ..] => families(options),
        ["detectors", options @ ..] => detectors(options),
        ["arm", artifacts @ ..] => arm(artifacts),
        ["log", options @ ..] => log(options),
        ["instructions"] => instructions(),
        _ => Err("bench what? `peers`, `families`, `detectors`, `arm`, `log` or `instructions`".into()),
    }
}

fn peers(options: &[&str]) -> Result<(), String> {
    let (python, lapwing) = (environment("peers", "venv")?, lapwing()?);
    let rust = folder().join("rust");
    let manifest = "tests/bench/peers/rust/Cargo.toml";
    step("cargo", &["build", "--release", "--locked", "--manifest-path", manifest, "--target-dir", text(&rust)?])?;
    let (models, rust) = (folder().join("models"), rust.join("release/lapwing-bench-peers"));
    let json = folder().join("peers.json");
    let mut call = vec!["tests/bench/peers/bench.py", "--folder", text(&models)?, "--lapwing", text(&lapwing)?];
    call.extend(["--rust", text(&rust)?, "--json", text(&json)?]);
    call.extend(options);
    step(text(&python)?, &call)
}

/// Exports of every family: made on the spot, and those beside the checkout.
fn families(options: &[&str]) -> Result<(), String> {
    let (python, lapwing) = (environment("families", "venv-families")?, lapwing()?);
    let (exports, json) = (folder().join("exports"), folder().join("families.json"));
    let photos = root().join("tests/photos");
    step(text(&python)?, &["tests/bench/families/export.py", text(&exports)?, text(&photos)?])?;
    let mut call = vec!["tests/bench/families/bench.py", "--lapwing", text(&lapwing)?, "--pictures", text(&photos)?];
    call.extend(["--json", text(&json)?]);
    call.extend(options);
    let beside = ["models", "models/yolo"].map(lapwing_tests::shared);
    let beside: Vec<&Path> = beside.iter().flatten().map(PathBuf::as_path).collect();
    for folder in beside.into_iter().chain([exports.as_path()]) {
        call.push(text(folder)?);
    }
    step(text(&python)?, &call)
}

/// Our detectors and those of others: accuracy against time, on the split and the networks beside the checkout.
fn detectors(options: &[&str]) -> Result<(), String> {
    let (python, lapwing) = (environment("detectors", "venv-detectors")?, lapwing()?);
    let (models, data) = match (lapwing_tests::shared("models"), lapwing_tests::shared("data/voc")) {
        (Some(models), Some(data)) => (models, data),
        _ => return Err("the pictures and networks beside the checkout are not there (../shared)".into()),
    };
    let folder = folder().join("detectors");
    let mut call = vec!["tests/bench/detectors/bench.py", "--lapwing", text(&lapwing)?, "--folder", text(&folder)?];
    call.extend(["--models", text(&models)?, "--data", text(&data)?]);
    call.extend(options);
    step(text(&python)?, &call)
}

/// The log beside SQLite; a crate of its own, so that nothing else compiles SQLite.
fn log(options: &[&str]) -> Result<(), String> {
    let target = folder().join("log");
    let manifest = "tests/bench/log/Cargo.toml";
    step("cargo", &["build", "--release", "--locked", "--manifest-path", manifest, "--target-dir", text(&target)?])?;
    let (binary, json, data) =
        (target.join("release/lapwing-bench-log"), folder().join("log.json"), target.join("data"));
    let call = ["--folder", text(&data)?, "--json", text(&json)?];
    step(text(&binary)?, &[&call[..], options].concat())
}

/// The Python of an environment with what a benchmark's list names, made when the list has changed.
fn environment(bench: &str, name: &str) -> Result<PathBuf, String> {
    let venv = folder().join(name);
    let (python, stamp) = (venv.join("bin/python"), venv.join("installed.txt"));
    let list = root().join("tests/bench").join(bench).join("requirements.txt");
    let wanted = std::fs::read_to_string(&list).map_err(|e| format!("{}: {e}", list.display()))?;
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    std::fs::create_dir_all(folder()).map_err(|e| format!("{}: {e}", folder().display()))?;
    step("python3", &["-m", "venv", text(&venv)?])?;
    step(text(&python)?, &["-m", "pip", "install", "--quiet", "--requirement", text(&list)?])?;
    std::fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))?;
    Ok(python)
}

fn lapwing() -> Result<PathBuf, String> {
    step("cargo", &["build", "--release", "--package", "lapwing-runtime", "--bin", "lapwing"])?;
    Ok(folder().with_file_name("release/lapwing"))
}

/// Predicted cycles on emulated cores: of the peers' networks and our detectors, or of the artifacts that are named.
fn arm(artifacts: &[&str]) -> Result<(), String> {
    install("/usr/lib/llvm-19/bin/llvm-mca", "llvm-19")?;
    let artifacts = match artifacts {
        [] => compared_on_arm()?,
        named => named.iter().map(PathBuf::from).collect(),
    };
    let rig = Rig::build()?;
    let mut runs = Vec::new();
    for artifact in artifacts {
        if !artifact.exists() {
            println!("xtask: SKIPPED {}: not here", artifact.display());
            continue;
        }
        let network = named(&artifact)?;
        for core in CORES {
            println!("xtask: {network} on {core}");
            let blocks = folder().join(format!("arm/{network}.{core}"));
            let count = rig.count(&artifact, core, Caches::Modelled, &blocks)?;
            let (kernels, mmac) = (count.value("kernels"), count.value("mmac"));
            runs.push(format!("{network}:{core}:{kernels}:{mmac}:{}", blocks.display()));
        }
    }
    let mut call = vec!["tests/bench/arm/cycles.py"];
    call.extend(runs.iter().map(String::as_str));
    step("python3", &call)
}

/// The peers' networks, which are made first, and our detectors.
fn compared_on_arm() -> Result<Vec<PathBuf>, String> {
    let (python, lapwing, models) = (environment("peers", "venv")?, lapwing()?, folder().join("models"));
    let prepare = ["tests/bench/peers/bench.py", "--prepare", "--rust", "none"];
    step(text(&python)?, &[&prepare[..], &["--folder", text(&models)?, "--lapwing", text(&lapwing)?]].concat())?;
    let made =
        ["ynano_silu", "ynano_relu6", "ynano_dw_silu", "yolox-nano"].map(|n| models.join(n).with_extension("lap"));
    let ours = ["detect-nano", "detect-tiny", "detect-small"].map(|n| root().join("models").join(n).join("model.lap"));
    Ok(made.into_iter().chain(ours).collect())
}

/// A network's name: its file's, or its folder's where the file is called `model`.
fn named(artifact: &Path) -> Result<&str, String> {
    let stem = artifact.file_stem().unwrap_or_default();
    let name = match stem == "model" {
        true => artifact.parent().and_then(Path::file_name).unwrap_or(stem),
        false => stem,
    };
    text(Path::new(name)).map(|name| name.trim_end_matches(".lap"))
}

/// The networks whose counts are held, and the file that holds them.
fn instructions() -> Result<(), String> {
    let rig = Rig::build()?;
    let artifact = root().join("models/detect-nano/model.lap");
    let mut lines = Vec::new();
    for core in CORES {
        let count = rig.count(&artifact, core, Caches::Ignored, &folder().join(format!("arm/detect-nano.{core}")))?;
        lines.push(format!("    \"{core}\": {}", count.instructions));
    }
    let held = root().join("tests/bench/arm/instructions.json");
    let text = format!("{{\n  \"detect-nano\": {{\n{}\n  }}\n}}\n", lines.join(",\n"));
    std::fs::write(&held, text).map_err(|e| format!("{}: {e}", held.display()))
}
