//! `/dev/watchdog`, fed by frames.
//!
//! Wiring: the looped camera of [`super::looped`] shows a person all the time; QEMU's PCI watchdog `i6300esb` resets
//! the board when it was not fed for [`TIMEOUT`]. A reset is seen by the agent, which speaks when it comes up.

use std::time::{Duration, Instant};

use serde_json::json;

use super::looped::{LOOK_TIMEOUT, Looped, configuration, configure};
use super::{Bench, SHORT};
use crate::qemu::{Job, Wiring};
use crate::report::Figures;
use crate::trouble::{Result, must};

/// What the device waits for food. An emulated core needs seconds for a frame.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long the board has to stay up to be believed.
const PATIENCE: Duration = Duration::from_secs(50);
/// Without a frame for this long the output takes its safe level; longer than a frame takes.
const STALL_MS: u32 = 12_000;

/// Fed, dismissed, and hung.
pub fn run(bench: &Bench<'_>) -> Result<Figures> {
    let wiring = Wiring { name: "watchdog".into(), watchdog: true, reboots: true, ..Wiring::default() };
    let mut looped = Looped::boot(bench.image, wiring)?;
    let modules: Vec<&str> = bench.image.watchdog.iter().map(String::as_str).collect();
    looped.board.load(&modules, &format!("heartbeat={}", TIMEOUT.as_secs()))?;
    looped.show("astronaut", "YUYV")?;
    let more = format!(
        "[watchdog]\ndevice = \"/dev/watchdog\"\n\
         [[rule]]\nname = \"visitor\"\nclasses = [\"person\"]\nstall_ms = {STALL_MS}\npin = \"simulated\"\n"
    );
    configure(&mut looped.board, &configuration("YUYV", &more))?;

    // frames feed it
    let (mut job, pid) = launch(&mut looped)?;
    let heard = looped.board.heard();
    must(looped.board.stays_up(heard, PATIENCE)?, || "frames came and the board was reset".into())?;

    // a stop in order dismisses it
    looped.board.must(&format!("kill -TERM {pid}"), SHORT)?;
    let (_, summary) = looped.board.find(&mut job, LOOK_TIMEOUT, "the summary", |line| {
        line.strip_prefix("saw ").map(|rest| rest.trim().to_owned())
    })?;
    let heard = looped.board.heard();
    must(looped.board.stays_up(heard, PATIENCE)?, || "lapwing stopped in order and the board was reset".into())?;

    // one that hangs does not feed it
    let (_, pid) = launch(&mut looped)?;
    let heard = looped.board.heard();
    looped.board.must(&format!("kill -STOP {pid}"), SHORT)?;
    let start = Instant::now();
    looped.board.hear_agent(heard)?;
    let back = start.elapsed();
    must(back + Duration::from_secs(1) > TIMEOUT / 2, || format!("reset after {back:?}: before its time"))?;
    Ok(vec![
        ("timeout_s", json!(TIMEOUT.as_secs())),
        ("fed_for_s", json!(PATIENCE.as_secs())),
        ("summary", json!(summary)),
        ("dismissed_for_s", json!(PATIENCE.as_secs())),
        ("hung_to_board_back_s", json!((back.as_secs_f64() * 10.0).round() / 10.0)),
    ])
}

/// Starts lapwing and waits until it has looked at a frame.
fn launch(looped: &mut Looped) -> Result<(Job, u32)> {
    looped.launch("a firing", |line| line.contains("fired visitor"))
}
