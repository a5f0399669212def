//! Power cuts in a loop: the log is written on the board, the power goes, the board starts again, and
//! everything that was acknowledged has to be there.
//!
//! Wiring: `/dev/vda` is the disk of [`crate::disk`], with one file system over all of it. The power
//! goes with a write or flush whose number is drawn, in a fifth of the boots counted from the mount
//! on (recovery itself is cut), else from the writer's first words on. Acknowledged is a number that
//! was heard on the serial line.
//!
//! Every boot reads the log twice: `exercise check` compares each record with what its number says it
//! must hold, `lapwing log verify` is what a person would call.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use lapwing_tests::Seeded;
use serde_json::json;

use crate::disk::nbd::Shared;
use crate::disk::{Cut, Disk, UNIT_BYTES};
use crate::image::Image;
use crate::qemu::Board;
use crate::tools::{MKFS_EXT4, MKFS_F2FS, call, folder, make_folder, read, write};
use crate::trouble::{Result, Trouble, at};

/// Size of the disk.
pub const DISK_BYTES: u64 = 64 * 1024 * 1024;
/// The power goes after this time where the operation that was drawn does not come.
const CUT_AFTER: Duration = Duration::from_secs(8);
/// The last operation with which the power may go, counted from the writer's first words on.
const OPERATION_MAX: u64 = 400;
/// The same for a cut of recovery, counted from the mount on.
const EARLY_MAX: u64 = 40;
/// Longest wait for mounting and checking on a slow machine.
const CHECK_TIMEOUT: Duration = Duration::from_secs(120);
/// Lines of a boot that are kept to be told.
const COMPLAINTS_MAX: usize = 6;
/// Bytes of a record of the exerciser on the medium: an event and its frame.
const RECORD_BYTES: u64 = 80;

/// What is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// The usual one.
    Ext4,
    /// The one for flash.
    F2fs,
}

impl FileSystem {
    /// As `mount` calls it.
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::F2fs => "f2fs",
        }
    }

    /// A fresh file system's bytes.
    ///
    /// # Errors
    /// The tool is missing or fails.
    pub fn make(self, name: &str) -> Result<Vec<u8>> {
        let (tool, options) = match self {
            FileSystem::Ext4 => (MKFS_EXT4, ["-q", "-F", "-b", "4096"].as_slice()),
            FileSystem::F2fs => (MKFS_F2FS, ["-q", "-f"].as_slice()),
        };
        tool.need()?;
        let disks = folder().join("disks");
        make_folder(&disks)?;
        let path = disks.join(format!("{name}.img"));
        let file = File::create(&path).map_err(at(&path))?;
        file.set_len(DISK_BYTES).map_err(at(&path))?;
        call(tool.command().args(options).arg(&path))?;
        let bytes = read(&path)?;
        let _ = std::fs::remove_file(&path); // read already
        Ok(bytes)
    }
}

/// A loop of cuts.
#[derive(Debug, Clone)]
pub struct Series {
    /// For the files that it leaves.
    pub name: &'static str,
    /// What is on the disk.
    pub file_system: FileSystem,
    /// Options of `exercise write`.
    pub writer: &'static str,
    /// The disk ignores flushes.
    pub disk_lies: bool,
    /// KiB that the log may take at most and that retention may fall short of it, where it is reached.
    pub retention_kib: Option<(u64, u64)>,
    /// Cuts.
    pub cuts: u32,
    /// Decides everything that is drawn.
    pub seed: u64,
}

/// What a loop came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Cuts that were made.
    pub cuts: u32,
    /// The highest number that was acknowledged; numbers begin at 1.
    pub acknowledged: u64,
    /// Acknowledged records that were missing or wrong after a cut.
    pub lost: u64,
    /// What was found, a line each.
    pub losses: Vec<String>,
    /// The log's torn ends that recovery trimmed, in bytes.
    pub trimmed_bytes: u64,
    /// All cuts together.
    pub units: Cut,
}

/// What one boot said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// `first` and `last` record and how many, if the check came to its end.
    checked: Option<Checked>,
    mounted: bool,
    verified: bool,
    trimmed_bytes: u64,
    acknowledged: u64,
    complaints: Vec<String>,
}

/// What `exercise check` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Records.
    pub records: u64,
    /// Number of the first; 0 if there is none.
    pub first: u64,
    /// Number of the last.
    pub last: u64,
    /// Damaged places and records that hold something else.
    pub bad: u64,
}

impl Checked {
    /// Reads the line of `exercise check`.
    pub fn parse(line: &str) -> Option<Checked> {
        let words: Vec<&str> = line.split(' ').collect();
        let value =
            |key: &str| words.iter().position(|w| *w == key).and_then(|i| words.get(i + 1)?.parse::<u64>().ok());
        Some(Checked {
            records: value("records")?,
            first: value("first")?,
            last: value("last")?,
            bad: value("corrupt")? + value("wrong")?,
        })
    }

    /// Acknowledged records that are not there.
    pub fn lost(&self, acknowledged: u64, retention_kib: Option<(u64, u64)>) -> u64 {
        let behind = acknowledged.saturating_sub(self.last);
        let gone = self.first.saturating_sub(1);
        let before = match retention_kib {
            // the oldest may be gone, but not more than the space asks for
            Some((total, slack)) if gone > 0 => ((total - slack) * 1024 / RECORD_BYTES).saturating_sub(self.records),
            _ => gone,
        };
        behind + before.min(gone) + self.bad
    }
}

fn hear<'a>(lines: impl Iterator<Item = &'a str>) -> Told {
    let mut told = Told::default();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["mounted"] => told.mounted = true,
            ["records", ..] => told.checked = Checked::parse(line),
            ["good:", ..] => told.verified = true,
            ["open", .., "trimmed", bytes] => told.trimmed_bytes = bytes.parse().unwrap_or(0),
            ["ack", seq] => told.acknowledged = seq.parse().unwrap_or(0).max(told.acknowledged),
            _ if told.complaints.len() < COMPLAINTS_MAX => told.complaints.push(line.into()),
            _ => {}
        }
    }
    told
}

/// Runs a loop of cuts and one last boot; `tell` hears a line after each.
///
/// # Errors
/// The rig fails. What the log lost is in the outcome.
pub fn run(image: &Image, series: &Series, mut tell: impl FnMut(&str)) -> Result<Outcome> {
    let mut disk = Disk::new(series.file_system.make(series.name)?, UNIT_BYTES, series.seed);
    if series.disk_lies {
        disk.ignore_flush();
    }
    let disk = Shared::new(disk);
    let mut random = Seeded(series.seed ^ 0xc075);
    let mut outcome = Outcome::default();
    make_folder(&folder().join("cuts"))?;
    let journal = folder().join("cuts").join(format!("{}.jsonl", series.name));
    let mut journal = File::create(&journal).map_err(at(&journal))?;
    for number in 0..=series.cuts {
        let is_last = number == series.cuts;
        let early = !is_last && random.below(5) == 0;
        let operation = (!is_last).then(|| 1 + random.below(if early { EARLY_MAX } else { OPERATION_MAX }));
        let before = disk.lock().certain().to_vec();
        let told = boot(image, series, &disk, operation, early, random.draw())?;
        let cut = disk.lock().power_cut();
        let mut trouble = Vec::new();
        match told.checked {
            Some(found) if found.lost(outcome.acknowledged, series.retention_kib) > 0 => {
                let lost = found.lost(outcome.acknowledged, series.retention_kib);
                outcome.lost += lost;
                trouble.push(format!("{lost} lost: {} were acknowledged, found {found:?}", outcome.acknowledged));
            }
            Some(_) if !told.verified && !early => {
                trouble.push(format!("`log verify`: {}", told.complaints.join(" / ")))
            }
            Some(_) => {}
            None if !told.mounted && !early => {
                outcome.lost += outcome.acknowledged;
                trouble.push(format!("the file system does not mount: {}", told.complaints.join(" / ")));
            }
            None if outcome.acknowledged > 0 && !early => {
                outcome.lost += outcome.acknowledged;
                trouble.push(format!("there is no log that can be read: {}", told.complaints.join(" / ")));
            }
            None => {}
        }
        let line = json!({
            "boot": number, "seed": series.seed, "operation": operation, "early": early,
            "acknowledged_before": outcome.acknowledged, "acknowledged": told.acknowledged,
            "open_units": cut.open, "lost": cut.lost, "stale": cut.stale, "torn_writes": cut.torn,
            "found": told.checked.map(|c| json!({"records": c.records, "first": c.first, "last": c.last, "bad": c.bad})),
            "trouble": trouble,
        });
        writeln!(journal, "{line}").map_err(|e| Trouble::Rig(format!("journal: {e}")))?;
        outcome.acknowledged = outcome.acknowledged.max(told.acknowledged);
        outcome.trimmed_bytes += told.trimmed_bytes;
        if !is_last {
            outcome.cuts += 1;
            outcome.units.operations += cut.operations;
            outcome.units.open += cut.open;
            outcome.units.lost += cut.lost;
            outcome.units.stale += cut.stale;
            outcome.units.torn += cut.torn;
        }
        tell(&format!(
            "{} {number}/{}: {} acknowledged, {} blocks open, {} lost, {} torn writes",
            series.name, series.cuts, outcome.acknowledged, cut.open, cut.lost, cut.torn
        ));
        if !trouble.is_empty() {
            let kept = keep(series.name, number, &before)?;
            outcome
                .losses
                .extend(trouble.iter().map(|what| format!("boot {number}: {what} (disk: {})", kept.display())));
            break; // what follows would only say it again
        }
    }
    Ok(outcome)
}

/// The disk as the boot found it, for a person.
fn keep(name: &str, number: u32, content: &[u8]) -> Result<PathBuf> {
    let failed = folder().join("failed");
    make_folder(&failed)?;
    let path = failed.join(format!("{name}-{number}.img"));
    write(&path, content)?;
    Ok(path)
}

/// One boot: mount, check, write until the power goes; without an `operation` check only.
fn boot(image: &Image, series: &Series, disk: &Shared, operation: Option<u64>, early: bool, seed: u64) -> Result<Told> {
    let (_server, mut board) = Board::on_disk(image, series.name, disk)?;
    if let Some(operation) = operation.filter(|_| early) {
        disk.lock().cut_at(operation);
    }
    let mut command = format!(
        "mount -t {} /dev/vda /data || exit 9; echo mounted; \
         if [ -d /data/log ]; then exercise check /data/log && lapwing log verify --data /data || exit 8; fi; ",
        series.file_system.name()
    );
    if operation.is_some() {
        // write back soon: more is on its way when the power goes
        command += "echo 10 >/proc/sys/vm/dirty_writeback_centisecs; echo 30 >/proc/sys/vm/dirty_expire_centisecs; ";
        command += &format!("exec exercise write /data/log seed {seed} {}", series.writer);
    }
    let mut job = board.start(&command)?;
    if let Some(operation) = operation {
        // an early cut, or the end of a check that found a broken disk, ends the wait as well
        let opened = board.find(&mut job, CHECK_TIMEOUT, "open", |line| line.starts_with("open ").then_some(()));
        if opened.is_ok() && !early {
            disk.lock().cut_at(operation);
        }
        board.wait_for_power_off(if opened.is_ok() || early { CUT_AFTER } else { Duration::ZERO })?;
    } else {
        let wait = board.wait(CHECK_TIMEOUT);
        while !matches!(board.next(&mut job, &wait)?, None | Some(crate::qemu::Said::End(_))) {}
    }
    board.kill();
    Ok(hear(board.lines(&job)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_counted() {
        let found = Checked::parse("records 90 first 1 last 90 torn 3 corrupt 0 wrong 0").unwrap();
        assert_eq!(found, Checked { records: 90, first: 1, last: 90, bad: 0 });
        assert_eq!(found.lost(90, None), 0);
        assert_eq!(found.lost(95, None), 5);
        let dropped = Checked { records: 800, first: 101, last: 900, bad: 0 };
        assert_eq!(dropped.lost(900, None), 100);
        assert_eq!(dropped.lost(900, Some((120, 60))), 0); // 60 KiB are 768 records
        assert_eq!(dropped.lost(900, Some((128, 64))), 19); // 64 KiB are 819
        assert_eq!(dropped.lost(900, Some((256, 64))), 100);
        assert_eq!(Checked { bad: 2, ..found }.lost(90, None), 2);
        assert_eq!(Checked::parse("records x"), None);
    }

    #[test]
    fn a_boot_is_heard() {
        let lines = "mounted|records 3 first 1 last 3 torn 0 corrupt 0 wrong 0|good: 3 events in x|\
                     open run 2 records 3 last 3 trimmed 7|ack 5|ack 9|what";
        let told = hear(lines.split('|'));
        assert_eq!((told.acknowledged, told.trimmed_bytes, told.verified, told.mounted), (9, 7, true, true));
        assert_eq!(told.complaints, ["what"]);
    }
}
