//! The camera through V4L2. Wiring of the pictures: [`super::looped`].
//!
//! Wiring of the faults: `vivid` as one webcam (`/dev/video0`) that draws a test picture of its own;
//! faults are its controls, plugging is the driver's `unbind` and `bind`.

use std::time::{Duration, Instant};

use serde_json::json;

use super::looped::{LOOK_TIMEOUT, Looped, configuration, configure};
use super::{Bench, SHORT};
use crate::pictures::FORMATS;
use crate::qemu::{Board, Job, Wiring};
use crate::report::Figures;
use crate::trouble::{Result, Trouble, must};

/// The photograph that is shown; a person is on it.
const PHOTO: &str = "astronaut";
/// The lowest score that counts as seen.
const RULE: &str =
    "[[rule]]\nname = \"visitor\"\nclasses = [\"person\"]\nscore_min = 0.4\nhold_ms = 60000\nstall_ms = 60000\n";
/// A camera that is there again is used within so many seconds.
const BACK_S_MAX: f64 = 2.0;
const UNBIND: &str = "echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind";
const BIND: &str = "echo vivid.0 >/sys/bus/platform/drivers/vivid/bind";

fn wiring(name: &str) -> Wiring {
    Wiring { name: name.into(), ..Wiring::default() }
}

/// The score with which a rule fired for a person.
fn fired(said: &[String]) -> Option<f64> {
    let line = said.iter().find(|line| line.contains("fired visitor"))?;
    line.split("person (").nth(1)?.split(')').next()?.parse().ok()
}

/// A photograph goes through the kernel's camera unchanged, and the person on it is seen.
pub fn pictures(bench: &Bench<'_>) -> Result<Figures> {
    let mut looped = Looped::boot(bench.image, wiring("camera-pictures"))?;
    let figures = one_format(&mut looped, "YUYV")?;
    Ok(figures.into_iter().collect())
}

/// The same in every format.
pub fn formats(bench: &Bench<'_>) -> Result<Figures> {
    let mut looped = Looped::boot(bench.image, wiring("camera-formats"))?;
    let mut scores = serde_json::Map::new();
    for format in FORMATS {
        let figures = one_format(&mut looped, format)?;
        let score = figures.into_iter().find(|(name, _)| *name == "person").map(|(_, value)| value);
        scores.insert(format.into(), score.unwrap_or_default());
    }
    // vivid has no MJPEG: it grants another format, and that one is read
    let said = looped.look(&configuration("MJPG", RULE), 1)?;
    let granted = said.iter().find(|line| line.starts_with("source ")).cloned().unwrap_or_default();
    must(FORMATS.iter().any(|format| granted.contains(format)), || format!("asked for MJPG: {granted}"))?;
    Ok(vec![("person_by_format", json!(scores)), ("asked_for_mjpg", json!(granted))])
}

fn one_format(looped: &mut Looped, format: &str) -> Result<Figures> {
    looped.show(PHOTO, format)?;
    let differ = looped.differ(PHOTO, format, 3)?;
    must(differ == 0, || format!("{format}: {differ} bytes of 3 pictures are not those that were shown"))?;
    let start = Instant::now();
    let said = looped.look(&configuration(format, RULE), 3)?;
    let seconds = start.elapsed().as_secs_f64();
    let granted = said.iter().any(|line| line.starts_with("source ") && line.contains(&format!("({format} 1280x720")));
    must(granted, || format!("{format} was not what lapwing took: {said:?}"))?;
    let score = fired(&said);
    must(score.is_some_and(|score| score >= 0.4), || format!("{format}: no person was seen: {said:?}"))?;
    Ok(vec![("bytes_that_differ", json!(differ)), ("person", json!(score)), ("seconds_for_3_frames", json!(seconds))])
}

/// The control: with a wrong stride the bytes are others and nobody is seen.
pub fn control_wrong_stride(bench: &Bench<'_>) -> Result<Figures> {
    let mut looped = Looped::boot(bench.image, wiring("control-wrong-stride"))?;
    looped.show(PHOTO, "YUYV")?;
    let board = &mut looped.board;
    let said = board.must("camera format /dev/video0 in 1280 720 YUYV 2688", SHORT)?; // 64 pixels more a row
    must(said.iter().any(|line| line.contains("stride 2688")), || format!("the driver did not take it: {said:?}"))?;
    let differ = looped.differ(PHOTO, "YUYV", 1)?;
    must(differ > 0, || "the comparison does not notice a wrong stride".into())?;
    looped.show(&format!("{PHOTO}-sheared"), "YUYV")?;
    let said = looped.look(&configuration("YUYV", RULE), 3)?;
    must(fired(&said).is_none(), || format!("a person was seen in a sheared picture: {said:?}"))?;
    Ok(vec![("bytes_that_differ", json!(differ)), ("seen_when_sheared", json!(0))])
}

/// What `[camera]` sets is what the driver has afterwards; what the camera has not or does not take is
/// refused by line.
pub fn controls(bench: &Bench<'_>) -> Result<Figures> {
    let (_, power) = Board::power_switch();
    let mut board = Board::boot(bench.image, &wiring("camera-controls"), power)?;
    let modules: Vec<&str> = bench.image.camera.iter().map(String::as_str).collect();
    board.load(&modules, "n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0")?;
    let mut run = |keys: &str| -> Result<(Vec<String>, i64, i64)> {
        configure(
            &mut board,
            &format!(
                "data = \"/tmp/data\"\nsource = \"v4l:/dev/video0\"\n[camera]\nwidth = 320\nheight = 180\nfps = 10\n\
                 timeout_ms = 20000\n{keys}\n[pictures]\nkeep = \"none\"\n{RULE}"
            ),
        )?;
        let said = board
            .must("cd /tmp && lapwing run --config c.toml --frames 2 2>&1 || echo refused with $?", LOOK_TIMEOUT)?;
        let mut has = |name: &str| -> Result<i64> {
            let lines = board.must(&format!("camera get /dev/video0 {name}"), SHORT)?;
            let value = lines.iter().find_map(|line| line.strip_prefix("control ")?.trim().parse().ok());
            value.ok_or_else(|| Trouble::Rig(format!("{name}: {lines:?}")))
        };
        let (auto, gain) = (has("Gain, Automatic")?, has("Gain")?);
        Ok((said, auto, gain))
    };
    let expect = |keys: &str, (said, auto, gain): &(Vec<String>, i64, i64), good: bool| {
        must(good, || format!("{keys}: automatic {auto}, gain {gain}: {said:?}"))
    };
    let heard = |said: &[String], words: &str| said.iter().any(|line| line.contains(words));
    let refused = |said: &[String], words: &str| heard(said, words) && heard(said, "refused with 2");
    let by_hand = run("gain = 77")?;
    expect("gain = 77", &by_hand, (by_hand.1, by_hand.2) == (0, 77))?;
    let auto = run("gain = \"auto\"")?;
    expect("gain = auto", &auto, auto.1 == 1)?;
    let too_much = run("gain = 300")?;
    expect("gain = 300", &too_much, refused(&too_much.0, "gain is 300") && heard(&too_much.0, "give 0 to 255"))?;
    let none = run("white_balance_k = 4000")?;
    expect("white_balance_k", &none, refused(&none.0, "the camera has no white_balance_k to set"))?;
    Ok(vec![("gain_by_hand", json!(by_hand.2)), ("gain_automatic", json!(auto.1)), ("refusals_told", json!(2))])
}

/// A running lapwing and what is heard of its camera.
struct Watched<'a> {
    board: &'a mut Board,
    job: Job,
}

impl Watched<'_> {
    /// Waits for an event of the log.
    fn event(&mut self, kind: &str) -> Result<Instant> {
        let kind_ = format!("  {kind}");
        let found = |line: &str| (line.contains("log #") && line.contains(&kind_)).then_some(());
        Ok(self.board.find(&mut self.job, LOOK_TIMEOUT, kind, found)?.0)
    }

    fn control(&mut self, name: &str, value: u32) -> Result<()> {
        self.board.must(&format!("camera set /dev/video0 {name} {value}"), SHORT).map(|_| ())
    }

    fn call(&mut self, command: &str) -> Result<()> {
        self.board.must(command, SHORT).map(|_| ())
    }

    /// Breaks the camera, waits until that is told, mends it, waits until that is told; seconds from mending on.
    fn fault(
        &mut self,
        break_: impl FnOnce(&mut Self) -> Result<()>,
        mend: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<f64> {
        break_(self)?;
        self.event("source_lost")?;
        let start = Instant::now();
        mend(self)?;
        Ok(self.event("source_back")?.saturating_duration_since(start).as_secs_f64())
    }
}

/// Every fault that the driver can be told to make: each is told, and the camera comes back by itself.
pub fn faults(bench: &Bench<'_>) -> Result<Figures> {
    let (_, power) = Board::power_switch();
    let mut board = Board::boot(bench.image, &wiring("camera-faults"), power)?;
    configure(
        &mut board,
        &format!(
            "data = \"/tmp/data\"\nsource = \"v4l:/dev/video0\"\n[camera]\nwidth = 320\nheight = 180\nfps = 10\n\
             timeout_ms = 3000\n[pictures]\nkeep = \"none\"\n{RULE}"
        ),
    )?;
    let mut job = board.start("cd /tmp && exec lapwing run --config c.toml 2>&1")?;
    let pid = board.pid(&mut job)?;
    let mut watched = Watched { board: &mut board, job };
    let modules: Vec<&str> = bench.image.camera.iter().map(String::as_str).collect();
    let mut times = serde_json::Map::new();
    let mut late = Vec::new();
    let mut note = |name: &str, seconds: f64| {
        eprintln!("hil: camera-faults {name}: back after {seconds:.1} s");
        times.insert(name.into(), json!((seconds * 10.0).round() / 10.0));
        if seconds > BACK_S_MAX {
            late.push(format!("{name} after {seconds:.1} s"));
        }
    };

    // no camera at the start: lapwing waits for one
    let plug = |w: &mut Watched<'_>| w.board.load(&modules, "n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0");
    note("no_camera_at_start", watched.fault(|_| Ok(()), plug)?);
    let nothing = |_: &mut Watched<'_>| Ok(());
    note("fatal_error_while_streaming", watched.fault(|w| w.control("Inject Fatal Streaming Error", 0), nothing)?);
    let twice = |w: &mut Watched<'_>| {
        w.control("Inject VIDIOC_STREAMON Error", 0)?; // the next STREAMON fails
        w.control("Inject Fatal Streaming Error", 0)
    };
    note("streamon_error", watched.fault(twice, nothing)?);
    let silent = |w: &mut Watched<'_>| w.control("Percentage of Dropped Buffers", 100);
    let heard = |w: &mut Watched<'_>| w.control("Percentage of Dropped Buffers", 0);
    note("no_picture_until_timeout", watched.fault(silent, heard)?);
    note("unbind_and_bind", watched.fault(|w| w.call(UNBIND), |w| w.call(BIND))?);
    let replug = |w: &mut Watched<'_>| w.call(&format!("{UNBIND}; {BIND}"));
    note("disconnect", watched.fault(|w| w.control("Disconnect", 0), replug)?);
    must(late.is_empty(), || format!("back later than {BACK_S_MAX} s: {}", late.join(", ")))?;
    // these two cost pictures, and no more
    watched.control("Percentage of Dropped Buffers", 50)?;
    for _ in 0..5 {
        watched.control("Inject V4L2_BUF_FLAG_ERROR", 0)?;
        std::thread::sleep(Duration::from_millis(500));
    }
    watched.call(&format!("kill -TERM {pid}"))?;
    let Watched { mut job, .. } = watched;
    let summary =
        board.find(&mut job, LOOK_TIMEOUT, "saw", |line| line.starts_with("saw ").then(|| line.to_owned()))?.1;
    let damaged = summary.contains(" damaged");
    must(damaged && summary.contains("dropped"), || format!("drops and damaged pictures are not counted: {summary}"))?;
    let lost = board.lines(&job).filter(|line| line.ends_with("source_lost")).count();
    // what takes a camera away and puts it back may meet one that was opened again already
    must((6..=7).contains(&lost), || format!("{lost} losses were told, 6 or 7 were made"))?;
    Ok(vec![("seconds_until_back", json!(times)), ("losses_told", json!(lost)), ("summary", json!(summary))])
}
