//! Where the program lies in the memory of QEMU's `mps2-an386` (Cortex-M4); nothing on other targets.
#![allow(clippy::print_stdout, reason = "cargo reads it")]

const MEMORY: &str = "MEMORY {
  FLASH : ORIGIN = 0x00000000, LENGTH = 4M
  RAM : ORIGIN = 0x20000000, LENGTH = 4M
}
";

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let is_bare = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none");
    if let Some(out) = std::env::var_os("OUT_DIR").filter(|_| is_bare) {
        let folder = std::path::PathBuf::from(out);
        std::fs::write(folder.join("memory.x"), MEMORY)?;
        println!("cargo:rustc-link-search={}", folder.display());
        println!("cargo:rustc-link-arg-bins=-Tlink.x");
    }
    Ok(())
}
