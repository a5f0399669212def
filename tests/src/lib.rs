//! Support for the end-to-end tests: the real binary, test inputs, and words for a skipped test.

pub mod arm;
pub mod board;
pub mod circles;
pub mod imports;
pub mod onnx;
pub mod rust_tokens;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs a program in the root of the workspace; gives what it wrote to standard error.
fn call(command: &mut Command) -> Result<String, String> {
    let output = command.current_dir(root()).output().map_err(|e| format!("{command:?} could not start: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(said) } else { Err(format!("{command:?} ended with {}: {said}", output.status)) }
}

/// The binary `lapwing` that the tests call: the one that `LAPWING_BINARY` names, else the one that cargo built for
/// this test program, in its profile.
///
/// # Panics
/// If it is not there: then no end-to-end test can say anything.
#[allow(clippy::panic)]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let stated = ["LAPWING_BINARY", "CARGO_BIN_EXE_lapwing"].into_iter().find_map(std::env::var_os);
        // a test program lies in `deps`, which lies beside the binaries
        let beside = || Some(std::env::current_exe().ok()?.parent()?.with_file_name("lapwing"));
        match stated.map(PathBuf::from).or_else(beside) {
            Some(binary) if binary.is_file() => binary,
            other => panic!("{other:?} is not there; call `cargo test --package lapwing-runtime --test end_to_end`"),
        }
    })
}

/// Runs `lapwing` with `arguments` in `folder`.
///
/// # Panics
/// If the process cannot be started.
#[allow(clippy::panic)]
pub fn lapwing(folder: &Path, arguments: &[&str]) -> Output {
    match Command::new(binary()).args(arguments).current_dir(folder).env("LAPWING_CAMERAS", "none").output() {
        Ok(output) => output,
        Err(error) => panic!("{}: {error}", binary().display()),
    }
}

/// What `lapwing` with `arguments` prints in `folder`.
///
/// # Panics
/// If it does not end well; with what it complained of.
#[allow(clippy::panic)]
pub fn say(folder: &Path, arguments: &[&str]) -> String {
    let output = lapwing(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// What the process wrote to standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the process wrote to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A test input that is not part of the repository (pictures under terms that forbid copying them).
///
/// It is looked for under `LAPWING_SHARED`, else beside the checkout. Where it is missing the test
/// says so and returns.
pub fn shared(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("LAPWING_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let found = folder.join(path);
    if found.exists() {
        return Some(found);
    }
    eprintln!("SKIPPED: {} is not here; set LAPWING_SHARED to the folder that holds it", found.display());
    None
}

/// Small repeatable random numbers (SplitMix64; Steele, Lea and Flood, OOPSLA 2014).
#[derive(Debug, Clone)]
pub struct Seeded(pub u64);

impl Seeded {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }
}
