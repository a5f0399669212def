//! `lapwing run` itself on a disk that loses power: what it told is there after every cut.
//!
//! Wiring: `/dev/vda` is the disk of [`crate::disk`] with ext4 over all of it; the source is the bundled
//! photographs. The power goes with a write or flush whose number is drawn, counted from the first words of
//! `lapwing run`. Told is what was heard on the serial line: an event by its number (`log #3 ...`), a picture by
//! its name (`-> r000001-f00000002-cat.jpg`).
//!
//! Every boot demands that `lapwing log verify` is good, that every event that was told is exported, that every
//! picture that was told is there, that each picture can be decoded, and that nobody is seen in one.

use std::collections::BTreeSet;
use std::time::Duration;

use lapwing_tests::Seeded;
use serde_json::{Value, json};

use super::looped::LOOK_TIMEOUT;
use super::{Bench, SHORT};
use crate::cuts::FileSystem;
use crate::disk::nbd::Shared;
use crate::disk::{Disk, UNIT_BYTES};
use crate::image::Image;
use crate::qemu::{Board, Said};
use crate::report::Figures;
use crate::trouble::{Result, must};

/// Cuts are the fifth part of the longest loop's: a run takes ten times as long as the exerciser's.
const SHARE: u32 = 5;
/// Cuts that the control may take until something is lost.
const CONTROL_CUTS: u32 = 6;
/// The last operation with which the power may go, counted from the first words of `lapwing run`.
const OPERATION_MAX: u64 = 100;
/// The class that the built-in configuration hides.
const HIDDEN: &str = "person";

/// What was told, over all boots.
#[derive(Debug, Default)]
struct Told {
    events: BTreeSet<u64>,
    pictures: BTreeSet<String>,
}

impl Told {
    /// Takes in a line of `lapwing run`.
    fn hear(&mut self, line: &str) {
        let line = line.trim_start();
        if let Some(rest) = line.strip_prefix("log #") {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            self.events.extend(digits.parse::<u64>().ok());
        } else if let Some((_, rest)) = line.split_once(" -> ") {
            self.pictures.extend(rest.split(',').next().filter(|name| name.ends_with(".jpg")).map(str::to_owned));
        }
    }
}

/// What the loop came to.
#[derive(Debug, Default)]
struct Outcome {
    told: Told,
    /// Pictures that were decoded and in which nobody is seen.
    looked_at: BTreeSet<String>,
    cuts: u32,
    losses: Vec<String>,
    blocks_lost: u64,
    writes_torn: u64,
}

/// Everything that was told outlives every cut.
pub fn power_cuts(bench: &Bench<'_>) -> Result<Figures> {
    let cuts = (bench.cuts / SHARE).max(1);
    let outcome = series(bench, "power-cuts-run", cuts, false)?;
    must(outcome.losses.is_empty(), || outcome.losses.join("; "))?;
    must(outcome.told.events.len() >= cuts as usize && !outcome.told.pictures.is_empty(), || {
        format!("too little was told to say anything: {:?}", outcome.told)
    })?;
    Ok(figures(&outcome, bench.seed))
}

/// The control: on a disk that ignores flushes the same loop misses something.
pub fn control(bench: &Bench<'_>) -> Result<Figures> {
    let outcome = series(bench, "control-run-flush-ignored", CONTROL_CUTS, true)?;
    must(!outcome.losses.is_empty(), || "nothing was lost: the loop would not notice a missing sync".into())?;
    let mut figures = figures(&outcome, bench.seed);
    figures.push(("found", json!(outcome.losses)));
    Ok(figures)
}

fn figures(outcome: &Outcome, seed: u64) -> Figures {
    vec![
        ("cuts", json!(outcome.cuts)),
        ("events_told", json!(outcome.told.events.len())),
        ("pictures_told", json!(outcome.told.pictures.len())),
        ("pictures_looked_at", json!(outcome.looked_at.len())),
        ("lost", json!(outcome.losses.len())),
        ("seed", json!(seed)),
        ("blocks_lost", json!(outcome.blocks_lost)),
        ("writes_torn", json!(outcome.writes_torn)),
    ]
}

fn series(bench: &Bench<'_>, name: &'static str, cuts: u32, lies: bool) -> Result<Outcome> {
    let mut disk = Disk::new(FileSystem::Ext4.make(name)?, UNIT_BYTES, bench.seed);
    if lies {
        disk.ignore_flush();
    }
    let disk = Shared::new(disk);
    let mut random = Seeded(bench.seed ^ 0x5e47);
    let mut outcome = Outcome::default();
    for number in 0..=cuts {
        let operation = (number < cuts).then(|| 1 + random.below(OPERATION_MAX));
        let trouble = boot(bench.image, name, &disk, operation, &mut outcome)?;
        let cut = disk.lock().power_cut();
        if operation.is_some() {
            outcome.cuts += 1;
            outcome.blocks_lost += cut.lost;
            outcome.writes_torn += cut.torn;
        }
        let told = &outcome.told;
        eprintln!("hil: {name} {number}/{cuts}: {} events, {} pictures told", told.events.len(), told.pictures.len());
        if let Some(what) = trouble {
            outcome.losses.push(format!("boot {number}: {what}"));
            break; // what follows would only say it again
        }
    }
    Ok(outcome)
}

/// One boot: check, then run until the power goes; without an `operation` check only. Says what is missing.
fn boot(
    image: &Image,
    name: &str,
    disk: &Shared,
    operation: Option<u64>,
    outcome: &mut Outcome,
) -> Result<Option<String>> {
    let (_server, mut board) = Board::on_disk(image, name, disk)?;
    let mounted = board.run("mount -t ext4 /dev/vda /data", SHORT)?;
    if mounted.code != 0 {
        return Ok(Some(format!("the file system does not mount: {}", mounted.lines.join(" / "))));
    }
    if let Some(missing) = check(&mut board, outcome)? {
        return Ok(Some(missing));
    }
    let Some(operation) = operation else { return Ok(None) };
    // write back soon: more is on its way when the power goes
    let command = "echo 10 >/proc/sys/vm/dirty_writeback_centisecs; echo 30 >/proc/sys/vm/dirty_expire_centisecs; \
                   exec lapwing run --source photos --data /data";
    let mut job = board.start(command)?;
    board.find(&mut job, LOOK_TIMEOUT, "the source", |line| line.starts_with("source ").then_some(()))?;
    disk.lock().cut_at(operation);
    let wait = board.wait(LOOK_TIMEOUT);
    while let Ok(Some(said)) = board.next(&mut job, &wait) {
        if matches!(said, Said::End(_)) {
            break; // it came to its end before that operation: the power goes now
        }
    }
    board.wait_for_power_off(Duration::ZERO)?;
    board.kill();
    board.lines(&job).for_each(|line| outcome.told.hear(line));
    Ok(None)
}

/// What was told and is not there, or is there and must not be.
fn check(board: &mut Board, outcome: &mut Outcome) -> Result<Option<String>> {
    let there = board.run("[ -d /data/log ]", SHORT)?.code == 0;
    if !there {
        let told = outcome.told.events.len();
        return Ok((told > 0).then(|| format!("{told} events were told and there is no log")));
    }
    let verified = board.run("lapwing log verify --data /data 2>&1", SHORT)?;
    if verified.code != 0 {
        return Ok(Some(format!("`log verify`: {}", verified.lines.join(" / "))));
    }
    let exported = board.must("lapwing log export --data /data", SHORT)?;
    let numbers: BTreeSet<u64> = exported.iter().filter_map(|line| parse(line)?["seq"].as_u64()).collect();
    if let Some(gone) = outcome.told.events.difference(&numbers).next() {
        return Ok(Some(format!("event {gone} was told and is not there; the last is {:?}", numbers.last())));
    }
    let names: BTreeSet<String> = board.run("ls /data/pictures 2>/dev/null", SHORT)?.lines.into_iter().collect();
    let names: BTreeSet<String> = names.into_iter().filter(|name| name.ends_with(".jpg")).collect();
    if let Some(gone) = outcome.told.pictures.difference(&names).next() {
        return Ok(Some(format!("the picture {gone} was told and is not there")));
    }
    for name in names.difference(&outcome.looked_at).cloned().collect::<Vec<_>>() {
        let seen = board.run(&format!("lapwing detect --json /data/pictures/{name} 2>&1"), LOOK_TIMEOUT)?;
        let Some(found) = seen.lines.iter().find_map(|line| parse(line)).filter(|_| seen.code == 0) else {
            return Ok(Some(format!("the picture {name} cannot be read: {}", seen.lines.join(" / "))));
        };
        let hidden = |detection: &Value| detection["class"] == HIDDEN;
        if found["detections"].as_array().is_none_or(|all| all.iter().any(hidden)) {
            return Ok(Some(format!("somebody is seen in {name}: {found}")));
        }
        outcome.looked_at.insert(name);
    }
    Ok(None)
}

fn parse(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok().filter(Value::is_object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_tells_is_heard() {
        let mut told = Told::default();
        for line in [
            "     log #3  2026-11-25T09:40:03.419Z  fired visitor: 1 x person (0.86), 14.1 ms after the frame",
            "#1   a.jpg (512x512, 14 ms): person 86% -> r000001-f00000001-a.jpg, 2 hidden (2 mosaic)",
            "#2   cat.jpg (451x300, 15 ms): cat 74% -> r000001-f00000002-cat.jpg",
            "#7   coffee.jpg (600x400, 4 ms): diningtable 39%",
        ] {
            told.hear(line);
        }
        assert_eq!(told.events, [3].into());
        let names: Vec<&str> = told.pictures.iter().map(String::as_str).collect();
        assert_eq!(names, ["r000001-f00000001-a.jpg", "r000001-f00000002-cat.jpg"]);
    }
}
