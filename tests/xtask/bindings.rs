//! `cargo xtask v4l2-bindings`: makes `runtime/v4l2-sys/src/videodev2.in` anew from the kernel's header.
//!
//! It is made once for a 64-bit and once for a 32-bit target, and both must come out the same: that is why one file
//! serves every target.

use std::fs;
use std::process::Command;

use super::root;

/// The file's 64-bit and 32-bit readers.
const TARGETS: [&str; 2] = ["aarch64-unknown-linux-gnu", "armv7-unknown-linux-gnueabihf"];

pub(super) fn make() -> Result<(), String> {
    let made = TARGETS.map(generate);
    let [wide, narrow] = made;
    let (wide, narrow) = (wide?, narrow?);
    if wide != narrow {
        return Err(format!("the bindings of {} and {} differ: one file cannot serve both", TARGETS[0], TARGETS[1]));
    }
    let path = root().join("runtime/v4l2-sys/src/videodev2.in");
    fs::write(&path, wide).map_err(|e| format!("{}: {e}", path.display()))
}

fn generate(target: &str) -> Result<Vec<u8>, String> {
    let headers = root().join("runtime/v4l2-sys/headers");
    let host = format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    let built_in = resource_folder()?;
    let output = Command::new("bindgen")
        .arg(headers.join("videodev.h"))
        .args(["--no-layout-tests", "--with-derive-default", "--no-doc-comments"])
        .args(["--allowlist-type", "(v4l2_.*|timeval|time_t)", "--allowlist-var", "V4L2_.*"])
        .args(["--", &format!("--target={target}"), "-nostdinc"])
        .arg(format!("-I{}", headers.display()))
        .args(["-isystem", &built_in, "-isystem", &host, "-isystem", "/usr/include"])
        .output()
        .map_err(|e| format!("bindgen could not start: {e}; apt-get install bindgen linux-libc-dev"))?;
    if !output.status.success() {
        return Err(format!("bindgen for {target}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(output.stdout)
}

/// Clang's own headers (`stddef.h`), which Debian keeps with its library.
fn resource_folder() -> Result<String, String> {
    let mut found: Vec<_> = fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm-"))
        .flat_map(|entry| fs::read_dir(entry.path().join("lib/clang")).into_iter().flatten().flatten())
        .map(|entry| entry.path().join("include"))
        .filter(|path| path.join("stddef.h").exists())
        .collect();
    found.sort();
    let newest = found.pop().ok_or("clang's headers are not here; apt-get install libclang-common-14-dev")?;
    Ok(newest.display().to_string())
}
