//! Inputs arm, detections drive outputs, and outputs fail safe.
//!
//! Wiring: the looped camera of [`super::looped`] shows a person all the time. Line 5 of the PL061 is a key,
//! driven from outside (high: armed); line 6 is the output, seen from outside (high: on). The rule fires when it is
//! armed and a person is there, and holds for an hour; what ends it is the key, or the fault of the case.

use std::time::{Duration, Instant};

use serde_json::json;

use super::looped::{LOOK_TIMEOUT, Looped, configuration, configure};
use super::{Bench, SHORT};
use crate::pins::Pins;
use crate::qemu::{Job, Wiring};
use crate::report::Figures;
use crate::trouble::{Result, Trouble, must};

const KEY: u32 = 5;
const SIREN: u32 = 6;
/// Without a frame for this long the output takes its safe level; an emulated core needs seconds for a frame.
const STALL_MS: u32 = 12_000;
/// The same where frames do not stop and none may be missed: longer than a frame takes on a busy host.
const PATIENT_MS: u32 = 60_000;
/// Times that the rule is armed, with every change and with `--full`.
const ROUNDS: (usize, usize) = (3, 20);
/// Bounds of the histogram's bins in milliseconds.
const BINS_MS: [u64; 8] = [250, 500, 1000, 2000, 4000, 8000, 16_000, 120_000];

/// A board whose lapwing watches, with the key off.
struct Guard {
    looped: Looped,
    pins: Pins,
    job: Job,
    pid: u32,
    /// When lapwing began to look.
    begun: Instant,
}

impl Guard {
    fn boot(bench: &Bench<'_>, name: &str, reboots: bool, stall_ms: u32) -> Result<Guard> {
        let wiring = Wiring { name: name.into(), pins: true, reboots, ..Wiring::default() };
        let mut looped = Looped::boot(bench.image, wiring)?;
        let mut pins = Pins::of(&looped.board)?;
        looped.show("astronaut", "YUYV")?;
        let more = format!(
            "[[output]]\nname = \"siren\"\nchip = \"gpiochip0\"\nline = {SIREN}\n\
             [[input]]\nname = \"key\"\nchip = \"gpiochip0\"\nline = {KEY}\n\
             [[rule]]\nname = \"visitor\"\nclasses = [\"person\"]\nscore_min = 0.4\nhold_ms = 3600000\n\
             stall_ms = {stall_ms}\npin = \"siren\"\narmed_by = \"key\"\n"
        );
        configure(&mut looped.board, &configuration("YUYV", &more))?;
        pins.drive(KEY, false)?;
        let (job, pid) = launch(&mut looped)?;
        Ok(Guard { looped, pins, job, pid, begun: Instant::now() })
    }

    /// Arms the rule; seconds until the output is on.
    fn arm(&mut self) -> Result<Duration> {
        let start = self.pins.drive(KEY, true)?;
        let change = self.pins.wait(SIREN, true, LOOK_TIMEOUT);
        let change = change.ok_or_else(|| Trouble::Failed("the key did not bring the output on".into()))?;
        Ok(change.at.saturating_duration_since(start))
    }

    /// Waits until the output is safe; seconds since `start`.
    fn safe(&mut self, start: Instant, what: &str) -> Result<Duration> {
        let change = self.pins.wait(SIREN, false, LOOK_TIMEOUT);
        let change = change.ok_or_else(|| Trouble::Failed(format!("{what}: the output stayed on")))?;
        Ok(change.at.saturating_duration_since(start))
    }
}

/// Starts lapwing and waits until it has looked at the camera.
fn launch(looped: &mut Looped) -> Result<(Job, u32)> {
    looped.launch("the camera", |line| line.starts_with("source "))
}

/// The frames of lapwing's panic record: `saw     20 person in 41 frames (...)`.
fn frames(line: &str) -> Option<u64> {
    let (before, _) = line.strip_prefix("saw ")?.split_once(" frames")?;
    before.rsplit(' ').next()?.parse().ok()
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}

/// The key arms, a detection raises the output; the key disarms, the output falls.
pub fn edge_to_pin(bench: &Bench<'_>) -> Result<Figures> {
    let mut guard = Guard::boot(bench, "pins-edge-to-pin", false, PATIENT_MS)?;
    let rounds = if bench.full { ROUNDS.1 } else { ROUNDS.0 };
    must(guard.pins.wait(SIREN, true, Duration::from_secs(10)).is_none(), || "it fired without the key".into())?;
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        on.push(guard.arm()?.as_millis() as u64);
        must(guard.pins.level(SIREN)?, || "the output was told on and is not".into())?;
        let start = guard.pins.drive(KEY, false)?;
        off.push(guard.safe(start, "the key was turned off")?.as_millis() as u64);
    }
    let board = &mut guard.looped.board;
    board.must(&format!("kill -TERM {}", guard.pid), SHORT)?;
    let (ended, frames) = board.find(&mut guard.job, LOOK_TIMEOUT, "the summary", frames)?;
    let frames_per_s = frames as f64 / ended.saturating_duration_since(guard.begun).as_secs_f64();
    // what lapwing itself recorded: from the frame to the pin
    let said = board.must("lapwing log export --data /tmp/data", SHORT)?;
    let events = said.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let fired = events.filter(|event| event["kind"] == "fired");
    let recorded: Vec<u64> = fired.filter_map(|event| Some(event["latency_us"].as_u64()? / 1000)).collect();
    must(recorded.len() == rounds, || format!("{} firings are recorded, {rounds} were seen", recorded.len()))?;
    // and what it tells a person of that
    let told = board.must("lapwing log latency --data /tmp/data", SHORT)?;
    must(told.first().is_some_and(|line| line.contains(&format!(": {rounds} times"))), || {
        format!("`log latency` does not tell of {rounds} firings: {}", told.join(" / "))
    })?;
    Ok(vec![
        ("frames", json!(frames)),
        ("frames_per_s", json!((frames_per_s * 100.0).round() / 100.0)),
        ("log_latency", json!(told)),
        ("edge_to_pin_ms", in_short(on)),
        ("frame_to_pin_ms", in_short(recorded)),
        ("edge_off_to_pin_ms", in_short(off)),
    ])
}

/// Least, median, most and a histogram.
fn in_short(mut times_ms: Vec<u64>) -> serde_json::Value {
    times_ms.sort_unstable();
    let mut bins = serde_json::Map::new();
    let mut below = 0;
    for bound in BINS_MS {
        let count = times_ms.iter().filter(|t| (below..bound).contains(*t)).count();
        if count > 0 {
            bins.insert(format!("below {bound}"), json!(count));
        }
        below = bound;
    }
    json!({"count": times_ms.len(), "min": times_ms.first(), "median": times_ms.get(times_ms.len() / 2),
        "max": times_ms.last(), "histogram": bins})
}

/// How the detector's thread, which is the process's first, is kept from the only core: it is as nice as a thread can be,
/// and beside it are three that are not. A frame then takes many times [`STALL_MS`].
const HOGS: &str = "sh -c 'while :; do :; done'";
/// Within so much more than `stall_ms` a line is safe on an emulated core that is fully busy.
const SLACK: Duration = Duration::from_secs(4);

/// The output is safe when the detector hangs: its thread gets no time, all others do.
fn starved_detector(guard: &mut Guard) -> Result<Duration> {
    guard.arm()?;
    let board = &mut guard.looped.board;
    board.must(&format!("renice -n 19 -p {}", guard.pid), SHORT)?;
    let mut hogs = Vec::new();
    for _ in 0..3 {
        let mut job = board.start(&format!("exec {HOGS}"))?;
        hogs.push(board.pid(&mut job)?);
    }
    let start = Instant::now();
    let took = guard.safe(start, "the detector's thread gets no time")?;
    let board = &mut guard.looped.board;
    for hog in hogs {
        board.must(&format!("kill -9 {hog}"), SHORT)?;
    }
    board.must(&format!("renice -n 0 -p {}", guard.pid), SHORT)?;
    guard.pins.drive(KEY, false)?;
    guard.pins.forget();
    must(took <= Duration::from_millis(u64::from(STALL_MS)) + SLACK, || format!("safe only after {took:?}"))?;
    Ok(took)
}

/// The line is safe long before the process has ended, and another one may not have it before.
fn again(guard: &mut Guard) -> Result<()> {
    guard.looped.board.must(&format!("while kill -0 {} 2>/dev/null; do sleep 1; done", guard.pid), SHORT)?;
    (guard.job, guard.pid) = launch(&mut guard.looped)?;
    Ok(())
}

/// The output is safe when the terminal goes, when somebody quits, and when somebody suspends the process.
fn signals(guard: &mut Guard) -> Result<Vec<(&'static str, Duration)>> {
    let mut took = Vec::new();
    for signal in ["HUP", "QUIT", "TSTP"] {
        guard.arm()?;
        let start = Instant::now();
        guard.looped.board.must(&format!("kill -{signal} {}", guard.pid), SHORT)?;
        took.push((signal, guard.safe(start, signal)?));
        guard.pins.drive(KEY, false)?;
        if signal == "TSTP" {
            guard.looped.board.must(&format!("kill -CONT {}", guard.pid), SHORT)?;
        } else {
            again(guard)?;
        }
        guard.pins.forget();
    }
    Ok(took)
}

/// The output is safe when frames stop, when the detector hangs, after SIGHUP, SIGQUIT, SIGTSTP and SIGTERM, after SIGKILL
/// and a restart, after a kernel panic.
pub fn fail_safe(bench: &Bench<'_>) -> Result<Figures> {
    let mut guard = Guard::boot(bench, "pins-fail-safe", true, STALL_MS)?;

    // the camera falls silent
    guard.arm()?;
    let start = Instant::now();
    guard.looped.board.must("camera set /dev/video0 Percentage of Dropped Buffers 100", SHORT)?;
    let stall = guard.safe(start, "frames stopped")?;
    guard.looped.board.must("camera set /dev/video0 Percentage of Dropped Buffers 0", SHORT)?;
    guard.pins.drive(KEY, false)?;
    guard.pins.forget();

    let starved = starved_detector(&mut guard)?;
    let signalled = signals(&mut guard)?;

    // it is asked to stop
    guard.arm()?;
    let start = Instant::now();
    guard.looped.board.must(&format!("kill -TERM {}", guard.pid), SHORT)?;
    let stopped = guard.safe(start, "SIGTERM")?;
    again(&mut guard)?;

    // it is killed: this controller keeps its level, and the next start drives it safe before anything else
    guard.arm()?;
    guard.looped.board.must(&format!("kill -9 {}", guard.pid), SHORT)?;
    std::thread::sleep(Duration::from_secs(2));
    let kept = guard.pins.level(SIREN)?;
    guard.pins.drive(KEY, false)?;
    let begun = Instant::now();
    (guard.job, guard.pid) = launch(&mut guard.looped)?;
    let restarted = if kept { Some(guard.safe(begun, "SIGKILL and a restart")?) } else { None };
    must(!guard.pins.level(SIREN)?, || "after the restart the output is on".into())?;

    // the kernel panics: the reset makes the pins inputs
    guard.arm()?;
    let start = Instant::now();
    let heard = guard.looped.board.heard();
    guard.looped.board.start("echo c >/proc/sysrq-trigger")?;
    guard.looped.board.hear_agent(heard)?; // it has come up again
    let back = start.elapsed();
    must(!guard.pins.level(SIREN)?, || "after a kernel panic the output is on".into())?;
    Ok(vec![
        ("stall_ms", json!(STALL_MS)),
        ("stall_to_safe_s", json!(seconds(stall))),
        ("starved_detector_to_safe_s", json!(seconds(starved))),
        (
            "signal_to_safe_s",
            signalled.iter().map(|(name, took)| ((*name).to_owned(), json!(seconds(*took)))).collect(),
        ),
        ("sigterm_to_safe_s", json!(seconds(stopped))),
        ("sigkill_keeps_level", json!(kept)),
        ("restart_to_safe_s", json!(restarted.map(seconds))),
        ("panic_to_board_back_and_safe_s", json!(seconds(back))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_from_the_last_words() {
        assert_eq!(frames("saw     50 person in 25 frames (3139 dropped for newer ones)"), Some(25));
        assert_eq!(frames("saw     nothing in 15 frames"), Some(15));
        assert_eq!(frames("fired   visitor: 3 times in 7 frames"), None);
    }
}
