//! The board's first file system: the agent as `/init`, busybox, `lapwing`, modules, pictures.

use std::path::PathBuf;

use lapwing_tests::root;

use crate::cpio::Archive;
use crate::debian::{Parts, parts};
use crate::modules::Modules;
use crate::tools::{folder, make_folder, read, write};
use crate::{cross, trouble::Result};

/// What busybox is called as.
const APPLETS: [&str; 26] = [
    "sh", "mount", "umount", "insmod", "rmmod", "stty", "kill", "cat", "ls", "sleep", "dd", "df", "rm", "mkdir",
    "sync", "echo", "head", "tail", "grep", "cp", "free", "dmesg", "cmp", "wc", "chmod", "ps",
];
/// Loaded by every board: the disk and its file systems.
const BASE: [&str; 7] = ["virtio_mmio", "virtio_blk", "crc32_generic", "crc32c_generic", "libcrc32c", "ext4", "f2fs"];
/// Loaded where a case asks for it.
const CAMERA: &str = "vivid";

/// What is needed to boot.
#[derive(Debug, Clone)]
pub struct Image {
    /// The kernel.
    pub kernel: PathBuf,
    /// The archive.
    pub initrd: PathBuf,
    /// Names of the modules that every board loads, in order.
    pub base: Vec<String>,
    /// Names of the modules of the camera, in order, `vivid` last.
    pub camera: Vec<String>,
    /// The kernel and busybox.
    pub versions: String,
}

/// Builds all that goes in, and writes the archive to `target/hil`.
///
/// # Errors
/// What is missing, or does not build.
pub fn image() -> Result<Image> {
    let Parts { kernel, modules, busybox, versions } = parts()?;
    let mut archive = Archive::default();
    for name in ["bin", "dev", "proc", "sys", "tmp", "data", "modules", "photos"] {
        archive.folder(name);
    }
    archive.device("dev/console", 5, 1);
    archive.file("init", &read(&cross::guest()?)?);
    archive.link("bin/exercise", "/init");
    archive.file("bin/lapwing", &read(&cross::lapwing()?)?);
    archive.file("bin/busybox", &read(&busybox)?);
    for applet in APPLETS {
        archive.link(&format!("bin/{applet}"), "busybox");
    }
    let modules = Modules::list(&modules)?;
    let (base, camera) = (modules.in_order(&BASE)?, modules.in_order(&[CAMERA])?);
    for (name, path) in base.iter().chain(&camera) {
        archive.file(&format!("modules/{name}.ko"), &read(path)?);
    }
    let photos = root().join("tests/photos");
    for name in ["astronaut.jpg", "cat.jpg", "rocket.jpg"] {
        archive.file(&format!("photos/{name}"), &read(&photos.join(name))?);
    }
    make_folder(&folder())?;
    let initrd = folder().join("board.cpio");
    write(&initrd, &archive.finish())?;
    let names = |list: Vec<(String, PathBuf)>| list.into_iter().map(|(name, _)| name).collect();
    Ok(Image { kernel, initrd, base: names(base), camera: names(camera), versions })
}
