//! How the binary is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A static binary that may lie anywhere in memory corrects its own addresses at every start. Listed one
    // by one they are a megabyte that is read then; as runs they are a few kilobytes. The system's C library
    // must know runs too, so that a dynamic binary would not start everywhere: the static library alone.
    if std::env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("musl") {
        println!("cargo::rustc-link-arg-bins=-zpack-relative-relocs");
    }
}
