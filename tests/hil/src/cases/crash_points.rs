//! Crash points: one run of the log's writer is recorded request by request, then the power is cut again at
//! requests that are drawn, and each of the disks that this leaves is mounted and read.
//!
//! Wiring: `/dev/vda` is the disk of [`crate::disk`]. The first board writes; on the second the disk's content is
//! put in place while nothing is mounted. A number counts as acknowledged at a request if it was heard before
//! that request came.

use std::time::Duration;

use lapwing_tests::Seeded;
use serde_json::json;

use super::{Bench, SHORT};
use crate::cuts::{Checked, FileSystem};
use crate::disk::nbd::Shared;
use crate::disk::replay::Recording;
use crate::disk::{Disk, UNIT_BYTES};
use crate::qemu::{Board, Said};
use crate::report::Figures;
use crate::trouble::{Result, Trouble, must};

/// Requests that are recorded.
const REQUESTS: u64 = 1500;
/// Longest time for them.
const WRITE_TIMEOUT: Duration = Duration::from_secs(120);
/// Crash points of the control, at most: it ends with the first loss.
const CONTROL_POINTS: u64 = 20;

/// What was written, and what was acknowledged by when.
struct Written {
    recording: Recording,
    /// Requests that had come, and the number that was heard then; both grow.
    heard: Vec<(u64, u64)>,
}

impl Written {
    /// The highest number that was acknowledged before request `number` came.
    fn acknowledged(&self, number: u64) -> u64 {
        self.heard.iter().take_while(|(requests, _)| *requests < number).last().map_or(0, |(_, seq)| *seq)
    }
}

/// Twice as many points as there are cuts in the longest loop.
pub fn run(bench: &Bench<'_>) -> Result<Figures> {
    let written = write(bench)?;
    let requests = written.recording.len() as u64;
    let disk = Shared::new(Disk::new(FileSystem::Ext4.make("crash-points")?, UNIT_BYTES, bench.seed));
    let (_server, mut board) = Board::on_disk(bench.image, "crash-points", &disk)?;
    let mut random = Seeded(bench.seed ^ 0xc4a5);
    let (mut lost, mut acknowledged, mut torn) = (0, 0, 0);
    let points = u64::from(bench.cuts) * 2;
    for point in 0..points {
        let (number, seed) = (1 + random.below(requests), random.draw());
        let (content, cut) = written.recording.crash(number as usize, seed, false);
        let told = written.acknowledged(number);
        let found = look(&mut board, &disk, &content)?;
        let missing = found.map_or(told, |found| found.lost(told, None));
        must(missing == 0, || format!("request {number}, seed {seed}: {missing} of {told} lost, found {found:?}"))?;
        lost += missing;
        acknowledged += told;
        torn += cut.torn;
        if point % 50 == 49 {
            eprintln!("hil: crash-points {}/{points}", point + 1);
        }
    }
    let mut control = None;
    for _ in 0..CONTROL_POINTS {
        let (number, seed) = (requests / 2 + random.below(requests / 2), random.draw());
        let (content, _) = written.recording.crash(number as usize, seed, true);
        let told = written.acknowledged(number);
        let missing = look(&mut board, &disk, &content)?.map_or(told, |found| found.lost(told, None));
        if missing > 0 {
            control = Some(missing);
            break;
        }
    }
    must(control.is_some(), || "on a disk that ignores flushes nothing was lost: the points say nothing".into())?;
    Ok(vec![
        ("points", json!(points)),
        ("requests", json!(requests)),
        ("acknowledged_at_the_points", json!(acknowledged)),
        ("lost", json!(lost)),
        ("writes_torn", json!(torn)),
        ("seed", json!(bench.seed)),
        ("control_lost", json!(control)),
    ])
}

/// Lets the writer write, and records.
fn write(bench: &Bench<'_>) -> Result<Written> {
    let mut disk = Disk::new(FileSystem::Ext4.make("crash-points")?, UNIT_BYTES, bench.seed);
    disk.record();
    let disk = Shared::new(disk);
    let (_server, mut board) = Board::on_disk(bench.image, "crash-points-record", &disk)?;
    let mut job = board.start(&format!(
        "mount -t ext4 /dev/vda /data && exec exercise write /data/log segment 16 seed {}",
        bench.seed
    ))?;
    let (mut heard, wait) = (Vec::new(), board.wait(WRITE_TIMEOUT));
    loop {
        match board.next(&mut job, &wait)? {
            Some(Said::Line(line)) => {
                if let Some(seq) = line.strip_prefix("ack ").and_then(|seq| seq.parse().ok()) {
                    heard.push((disk.lock().operations(), seq));
                }
            }
            Some(Said::Pid(_)) => {}
            Some(Said::End(code)) => return Err(board.broken(&format!("the writer ended with {code}"))),
            None => break,
        }
        if disk.lock().operations() >= REQUESTS {
            break;
        }
    }
    board.kill();
    let recording = disk.lock().recorded().ok_or_else(|| Trouble::Rig("nothing was recorded".into()))?;
    must(heard.len() > 100, || format!("only {} commits were heard: it says nothing", heard.len()))?;
    Ok(Written { recording, heard })
}

/// Puts a content on the disk, mounts and reads it; `None` if there is no log or no file system.
fn look(board: &mut Board, disk: &Shared, content: &[u8]) -> Result<Option<Checked>> {
    disk.lock().replace(content);
    let command = "mount -t ext4 /dev/vda /data || exit 9; [ -d /data/log ] && exercise check /data/log; umount /data";
    let answer = board.run(command, SHORT)?;
    Ok(answer.lines.iter().find_map(|line| Checked::parse(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_before_a_request_counts() {
        let written = Written { recording: Recording::new(Vec::new(), 512), heard: vec![(3, 10), (3, 20), (7, 30)] };
        let told: Vec<u64> = [1, 3, 4, 7, 8].map(|number| written.acknowledged(number)).to_vec();
        assert_eq!(told, [0, 0, 20, 20, 30]);
    }
}
