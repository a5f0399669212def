//! The board's first file system: the agent as `/init`, busybox, `lapwing`, modules, pictures.

use std::path::{Path, PathBuf};

use lapwing_tests::root;

use crate::cpio::Archive;
use crate::debian::{Parts, parts};
use crate::modules::Modules;
use crate::pictures::{FORMATS, Picture};
use crate::tools::{folder, read, write};
use crate::{cross, trouble::Result};

/// What busybox is called as.
const APPLETS: [&str; 27] = [
    "sh", "mount", "umount", "insmod", "rmmod", "stty", "kill", "cat", "ls", "sleep", "dd", "df", "rm", "mkdir",
    "sync", "echo", "head", "tail", "grep", "cp", "free", "dmesg", "cmp", "wc", "chmod", "ps", "renice",
];
/// Loaded by every board: the disk and its file systems.
const BASE: [&str; 7] = ["virtio_mmio", "virtio_blk", "crc32_generic", "crc32c_generic", "libcrc32c", "ext4", "f2fs"];
/// Loaded where a case asks for it.
const CAMERA: &str = "vivid";
/// QEMU's watchdog on PCI.
const WATCHDOG: &str = "i6300esb";

/// By how much a row is taken too long in the sheared picture.
const SHEAR_PIXELS: usize = 64;

/// What is needed to boot.
#[derive(Debug, Clone)]
pub struct Image {
    /// The kernel.
    pub kernel: PathBuf,
    /// The archive.
    pub initrd: PathBuf,
    /// The archive, and behind it a second one with pictures for the camera.
    pub initrd_with_pictures: PathBuf,
    /// Names of the modules that every board loads, in order.
    pub base: Vec<String>,
    /// Names of the modules of the camera, in order, `vivid` last.
    pub camera: Vec<String>,
    /// Names of the modules of the watchdog, in order, `i6300esb` last.
    pub watchdog: Vec<String>,
    /// The kernel and busybox.
    pub versions: String,
}

/// The image in `target/hil`: built, or as the last run left it.
///
/// # Errors
/// What is missing, or does not build.
pub fn image(keep: bool) -> Result<Image> {
    let Parts { kernel, modules, busybox, versions } = parts()?;
    let modules = Modules::list(&modules)?;
    let (base, camera, watchdog) =
        (modules.in_order(&BASE)?, modules.in_order(&[CAMERA])?, modules.in_order(&[WATCHDOG])?);
    let initrd = folder().join("board.cpio");
    let initrd_with_pictures = folder().join("board-with-pictures.cpio");
    if !(keep && initrd.exists() && initrd_with_pictures.exists()) {
        let mut bytes = board(&busybox, base.iter().chain(&camera).chain(&watchdog))?;
        write(&initrd, &bytes)?;
        bytes.extend(pictures()?);
        write(&initrd_with_pictures, &bytes)?;
    }
    let names = |list: Vec<(String, PathBuf)>| list.into_iter().map(|(name, _)| name).collect();
    let (base, camera, watchdog) = (names(base), names(camera), names(watchdog));
    Ok(Image { kernel, initrd, initrd_with_pictures, base, camera, watchdog, versions })
}

/// An archive of all that every board has.
fn board<'a>(busybox: &Path, modules: impl Iterator<Item = &'a (String, PathBuf)>) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for name in ["bin", "dev", "proc", "sys", "tmp", "data", "modules"] {
        archive.folder(name);
    }
    archive.device("dev/console", 5, 1);
    let programs = cross::board()?;
    archive.file("init", &read(&programs.join("lapwing-hil-guest"))?);
    archive.link("bin/exercise", "/init");
    archive.link("bin/camera", "/init");
    archive.file("bin/lapwing", &read(&programs.join("lapwing"))?);
    archive.file("bin/busybox", &read(busybox)?);
    for applet in APPLETS {
        archive.link(&format!("bin/{applet}"), "busybox");
    }
    for (name, path) in modules {
        archive.file(&format!("modules/{name}.ko"), &read(path)?);
    }
    Ok(archive.finish())
}

/// An archive of what the camera is shown, `pictures/NAME.FORMAT`.
fn pictures() -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.folder("pictures");
    let photo = Picture::letterboxed(&root().join("tests/photos/astronaut.jpg"))?;
    for format in FORMATS {
        archive.file(&format!("pictures/astronaut.{format}"), &photo.encode(format)?);
    }
    archive.file("pictures/astronaut-sheared.YUYV", &photo.sheared(SHEAR_PIXELS).encode("YUYV")?);
    Ok(archive.finish())
}
