//! A disk that is full, and a disk that fails.
//!
//! Wiring: `/dev/vda` is the disk of [`crate::disk`], with ext4 over all of it. Full is made on the board, by a
//! file that takes all room; errors are the disk's, on every write and flush, while the harness says so.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::looped::{LOOK_TIMEOUT, configure};
use super::{Bench, SHORT};
use crate::cuts::{Checked, FileSystem};
use crate::disk::nbd::{Server, Shared};
use crate::disk::{Disk, UNIT_BYTES};
use crate::image::Image;
use crate::qemu::{Board, Job};
use crate::report::Figures;
use crate::trouble::{Result, Trouble, must};

const WAIT: Duration = Duration::from_secs(60);

struct Rig {
    disk: Shared,
    board: Board,
    _server: Server,
}

fn boot(image: &Image, name: &'static str, disk: Shared) -> Result<Rig> {
    let (server, mut board) = Board::on_disk(image, name, &disk)?;
    board.must("mount -t ext4 /dev/vda /data", SHORT)?;
    Ok(Rig { disk, board, _server: server })
}

/// Waits for the next line that begins with `word`; gives the number behind it, or 0.
fn next(board: &mut Board, job: &mut Job, word: &str) -> Result<u64> {
    let number = |line: &str| line.strip_prefix(word).map(|rest| rest.trim().parse().unwrap_or(0));
    Ok(board.find(job, WAIT, word, number)?.1)
}

fn check(board: &mut Board) -> Result<Checked> {
    let said = board.must("exercise check /data/log", SHORT)?;
    let found = said.iter().find_map(|line| Checked::parse(line));
    found.ok_or_else(|| Trouble::Rig(format!("the check said {said:?}")))
}

fn highest(board: &Board, job: &Job) -> u64 {
    board.lines(job).filter_map(|line| line.strip_prefix("ack ")?.parse().ok()).max().unwrap_or(0)
}

/// Without room the oldest records go and the newest are still acknowledged; with room again all is as before.
pub fn full(bench: &Bench<'_>) -> Result<Figures> {
    let disk = Shared::new(Disk::new(FileSystem::Ext4.make("disk-full")?, UNIT_BYTES, bench.seed));
    let Rig { mut board, .. } = boot(bench.image, "disk-full", disk)?;
    let mut job = board.start("exec exercise write /data/log segment 16 quiet")?;
    let pid = board.pid(&mut job)?;
    while next(&mut board, &mut job, "ack ")? < 2000 {}
    board.run("dd if=/dev/zero of=/data/fill bs=65536", WAIT)?; // ends when there is no room
    let at_full = highest(&board, &job);
    while next(&mut board, &mut job, "ack ")? < at_full + 3000 {} // more than the log held
    board.must("df /data >/tmp/df; rm /data/fill", SHORT)?;
    let freed = highest(&board, &job);
    while next(&mut board, &mut job, "ack ")? < freed + 1000 {}
    board.must(&format!("kill -9 {pid}"), SHORT)?;
    std::thread::sleep(Duration::from_millis(500));
    let told = highest(&board, &job);
    let refused = board.lines(&job).filter(|line| line.starts_with("refused")).count();
    let found = check(&mut board)?;
    // the oldest went, and nothing else: without a gap up to the last that was acknowledged
    must(found.bad == 0 && found.last >= told, || format!("{told} were acknowledged, found {found:?}"))?;
    must(found.records == found.last - found.first + 1, || format!("there is a gap: {found:?}"))?;
    must(found.first > 1, || format!("nothing was dropped: the disk was not full ({found:?})"))?;
    let run = full_run(&mut board)?;
    Ok(vec![
        ("events_of_a_run_on_a_full_disk", json!(run.0)),
        ("pictures_that_gave_way", json!(run.1)),
        ("acknowledged", json!(told)),
        ("while_full", json!(freed - at_full)),
        ("oldest_kept", json!(found.first)),
        ("commits_refused", json!(refused)),
        ("lost", json!(0)),
    ])
}

/// Every photograph leaves a picture.
const RUN: &str = "lapwing run --config /tmp/c.toml --source photos --data /data";
const CONFIG: &str =
    "[pictures]\nkeep = \"all\"\n[log]\nsegment_kib = 64\n[[rule]]\nname = \"visitor\"\nclasses = [\"person\"]\n";

/// `lapwing run` on a disk without room, and without a log: the pictures of an earlier run give way to a segment, every
/// event that is told is there, and runs are numbered on after the pictures. Events told, and pictures that went.
fn full_run(board: &mut Board) -> Result<(usize, usize)> {
    configure(board, CONFIG)?;
    board.must("rm -r /data/log", SHORT)?;
    board.must(RUN, LOOK_TIMEOUT)?;
    let pictures = |board: &mut Board| -> Result<Vec<String>> {
        let listed = board.must("ls /data/pictures", SHORT)?;
        Ok(listed.into_iter().filter(|name| name.ends_with(".jpg")).collect())
    };
    let before = pictures(board)?;
    board.must("rm -r /data/log", SHORT)?;
    board.run("dd if=/dev/zero of=/data/fill bs=4096", WAIT)?; // ends when there is no room
    let said = board.must(RUN, LOOK_TIMEOUT)?;
    let told: Vec<u64> = said.iter().filter_map(|line| number_told(line)).collect();
    let after = pictures(board)?;
    let gone = before.iter().filter(|name| !after.contains(name)).count();
    must(gone > 0, || format!("no picture gave way: the disk was not full ({before:?}, {after:?})"))?;
    must(!told.is_empty(), || format!("nothing was told: {said:?}"))?;
    board.must("lapwing log verify --data /data", SHORT)?;
    let exported = board.must("lapwing log export --data /data", SHORT)?;
    let events: Vec<Value> = exported.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let missing = told.iter().find(|seq| !events.iter().any(|event| event["seq"] == **seq));
    must(missing.is_none(), || format!("event {missing:?} was told and is not in the log"))?;
    must(events.iter().all(|event| event["run"] == 2), || {
        format!("the run does not follow the pictures': {exported:?}")
    })?;
    board.must("rm /data/fill", SHORT)?;
    Ok((told.len(), gone))
}

/// The number in `log #3  2026-...`.
fn number_told(line: &str) -> Option<u64> {
    line.trim_start().strip_prefix("log #")?.split_whitespace().next()?.parse().ok()
}

/// While writes fail nothing is acknowledged; after a restart everything that was is there.
pub fn eio(bench: &Bench<'_>) -> Result<Figures> {
    let disk = Shared::new(Disk::new(FileSystem::Ext4.make("disk-eio")?, UNIT_BYTES, bench.seed));
    let Rig { disk, mut board, .. } = boot(bench.image, "disk-eio", disk)?;
    let mut job = board.start("exec exercise write /data/log")?;
    while next(&mut board, &mut job, "ack ")? < 1000 {}
    disk.lock().fail_writes(true);
    let start = Instant::now();
    let why = board.find(&mut job, WAIT, "a refusal", |line| line.strip_prefix("refused ").map(str::to_owned))?.1;
    let noticed = start.elapsed();
    let told = highest(&board, &job);
    std::thread::sleep(Duration::from_secs(2));
    disk.lock().fail_writes(false);
    std::thread::sleep(Duration::from_secs(2));
    board.kill();
    let told_after = highest(&board, &job);
    drop(board);
    disk.lock().power_cut();
    let Rig { mut board, .. } = boot(bench.image, "disk-eio-after", disk)?;
    let found = check(&mut board)?;
    must(found.lost(told_after, None) == 0, || format!("{told_after} were acknowledged, found {found:?}"))?;
    let said = board.must("lapwing log verify --data /data", SHORT)?;
    Ok(vec![
        ("acknowledged", json!(told)),
        ("acknowledged_after_the_errors", json!(told_after - told)),
        ("lost", json!(0)),
        ("seconds_until_refused", json!(noticed.as_secs_f64())),
        ("refusal", json!(why)),
        ("verify", json!(said)),
    ])
}
