//! A board that looks at a photograph: the kernel's own test camera, fed from its own output.
//!
//! Wiring: `vivid` with one HDMI input (`/dev/video0`) and one HDMI output (`/dev/video1`), looped inside the
//! driver; `camera show` gives the output the same picture over and over. Nothing is drawn into the picture.

use std::time::Duration;

use crate::image::Image;
use crate::pictures::SIZE;
use crate::qemu::{Board, Job, Wiring};
use crate::trouble::{Result, must};

use super::SHORT;

/// Longest wait for a picture to be looked at: an emulated core needs seconds for each.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(120);

/// A board with a looped camera.
pub struct Looped {
    /// The board.
    pub board: Board,
    writer: Option<(Job, u32)>,
}

impl Looped {
    /// Boots a board and loads the camera.
    ///
    /// # Errors
    /// The rig fails.
    pub fn boot(image: &Image, wiring: Wiring) -> Result<Looped> {
        let (_, power) = Board::power_switch();
        let mut board = Board::boot(image, &Wiring { pictures: true, ..wiring }, power)?;
        let modules: Vec<&str> = image.camera.iter().map(String::as_str).collect();
        let parameters = "n_devs=1 node_types=0x101 num_inputs=1 input_types=0x3 num_outputs=1 output_types=0x1";
        board.load(&modules, parameters)?;
        for device in ["/dev/video0", "/dev/video1"] {
            board.run(&format!("camera set {device} Loop Video 1"), SHORT)?; // one of the two has it
        }
        board.must("camera set /dev/video0 OSD Text Mode 2", SHORT)?;
        Ok(Looped { board, writer: None })
    }

    /// Shows a picture in a format on both sides; what was shown before ends.
    ///
    /// # Errors
    /// The driver grants something else.
    pub fn show(&mut self, picture: &str, format: &str) -> Result<()> {
        if let Some((mut job, pid)) = self.writer.take() {
            self.board.must(&format!("kill -9 {pid}"), SHORT)?;
            let wait = self.board.wait(SHORT);
            while !matches!(self.board.next(&mut job, &wait)?, None | Some(crate::qemu::Said::End(_))) {}
        }
        let (width, height) = SIZE;
        for (device, way) in [("/dev/video1", "out"), ("/dev/video0", "in")] {
            let said = self.board.must(&format!("camera format {device} {way} {width} {height} {format}"), SHORT)?;
            let wanted = format!("format {format} {width}x{height} ");
            must(said.iter().any(|line| line.starts_with(&wanted)), || {
                format!("asked {device} for {wanted}, got {said:?}")
            })?;
        }
        let mut job = self.board.start(&format!("exec camera show /dev/video1 /pictures/{picture}.{format}"))?;
        let pid = self.board.pid(&mut job)?;
        self.board.find(&mut job, SHORT, "showing", |line| (line == "showing").then_some(()))?;
        self.writer = Some((job, pid));
        Ok(())
    }

    /// Bytes of `count` pictures that differ from the one that is shown; the first is not counted, it may be older.
    ///
    /// # Errors
    /// No picture comes.
    pub fn differ(&mut self, picture: &str, format: &str, count: u32) -> Result<u64> {
        let command = format!("camera compare /dev/video0 /pictures/{picture}.{format} {}", count + 1);
        let said = self.board.must(&command, LOOK_TIMEOUT)?;
        let numbers = said.iter().skip(1).filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["picture", "bytes", bytes, "of", all, "differ", differ] => {
                    let short = all.parse::<u64>().ok()?.abs_diff(bytes.parse().ok()?);
                    Some(differ.parse::<u64>().ok()? + short)
                }
                _ => None,
            }
        });
        let numbers: Vec<u64> = numbers.collect();
        must(numbers.len() == count as usize, || format!("{count} pictures were wanted: {said:?}"))?;
        Ok(numbers.iter().sum())
    }

    /// Starts lapwing on the camera, as it was configured, and waits for `what`: a line for which `pick` is true.
    ///
    /// # Errors
    /// No such line comes.
    pub fn launch(&mut self, what: &str, mut pick: impl FnMut(&str) -> bool) -> Result<(Job, u32)> {
        let board = &mut self.board;
        let mut job = board.start("cd /tmp && exec lapwing run --config c.toml --source v4l:/dev/video0 2>&1")?;
        let pid = board.pid(&mut job)?;
        board.find(&mut job, LOOK_TIMEOUT, what, |line| pick(line).then_some(()))?;
        Ok((job, pid))
    }

    /// Runs lapwing on so many frames of the camera; returns what it said.
    ///
    /// # Errors
    /// It does not end well.
    pub fn look(&mut self, configuration: &str, frames: u32) -> Result<Vec<String>> {
        configure(&mut self.board, configuration)?;
        let command = format!("cd /tmp && lapwing run --config c.toml --source v4l:/dev/video0 --frames {frames}");
        self.board.must(&command, LOOK_TIMEOUT)
    }
}

/// Puts a configuration on the board, as `/tmp/c.toml`.
///
/// # Errors
/// It cannot be written.
pub fn configure(board: &mut Board, text: &str) -> Result<()> {
    let escaped = text.replace('\\', "\\\\").replace('%', "%%").replace('\n', "\\n").replace('\'', "\\047");
    board.must(&format!("printf '{escaped}' >/tmp/c.toml && lapwing check --config /tmp/c.toml"), SHORT).map(|_| ())
}

/// A configuration in which age does not matter, as emulation is slow; `more` comes at its end.
pub fn configuration(format: &str, more: &str) -> String {
    let (width, height) = SIZE;
    format!(
        "data = \"/tmp/data\"\n[camera]\nformat = \"{format}\"\nwidth = {width}\nheight = {height}\nfps = 30\n\
         timeout_ms = 20000\nstale_ms = 60000\n[pictures]\nkeep = \"none\"\n{more}"
    )
}
