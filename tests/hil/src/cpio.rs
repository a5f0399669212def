//! A cpio archive (newc, "070701") in memory: what a kernel unpacks as its first file system.
//!
//! Reference: `Documentation/driver-api/early-userspace/buffer-format.rst` of Linux. Everything
//! belongs to root and is from 1970, so the same files give the same bytes; making it needs no rights.

/// An archive that grows.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const DEVICE: u32 = 0o020_000;

impl Archive {
    /// Adds a folder; those above it come first.
    pub fn folder(&mut self, name: &str) {
        self.add(name, FOLDER | 0o755, (0, 0), &[]);
    }

    /// Adds a file that can be executed.
    pub fn file(&mut self, name: &str, content: &[u8]) {
        self.add(name, FILE | 0o755, (0, 0), content);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, name: &str, target: &str) {
        self.add(name, LINK | 0o777, (0, 0), target.as_bytes());
    }

    /// Adds a character device.
    pub fn device(&mut self, name: &str, major: u32, minor: u32) {
        self.add(name, DEVICE | 0o600, (major, minor), &[]);
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn add(&mut self, name: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        self.entries += 1;
        let fields = [
            self.entries,
            mode,
            0, // uid
            0, // gid
            1, // links
            0, // time
            content.len() as u32,
            0, // device of the archive
            0,
            major,
            minor,
            name.len() as u32 + 1,
            0, // checksum: none in this format
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn the_layout_is_newc() {
        let mut archive = Archive::default();
        archive.file("a", b"hello");
        let bytes = archive.finish();
        assert_eq!(&bytes[..22], b"07070100000001000081ed");
        assert_eq!(&bytes[110..112], b"a\0");
        assert_eq!(&bytes[112..117], b"hello");
        assert_eq!(&bytes[120..126], b"070701");
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn cpio_reads_it() {
        let mut archive = Archive::default();
        archive.folder("bin");
        archive.file("bin/x", &[7; 1001]);
        archive.link("bin/y", "x");
        let folder = tempfile::tempdir().unwrap();
        let started = Command::new("cpio")
            .args(["--extract", "--quiet"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .spawn();
        let Ok(mut cpio) = started else {
            eprintln!("SKIPPED: cpio is not here; install it: apt-get install cpio");
            return;
        };
        cpio.stdin.take().unwrap().write_all(&archive.finish()).unwrap();
        assert!(cpio.wait().unwrap().success());
        assert_eq!(std::fs::read(folder.path().join("bin/y")).unwrap(), [7; 1001]);
    }
}
