//! Sinks that hang, fail, or are too slow, and those beside them.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lapwing_firmware::log::Durable;

use super::fan_out::{FRAMES_MAX, ITEMS_MAX, PICTURES_MAX};
use super::{Looked, Names, Recorded, Sink, SinkError, Sinks, Stream, Wants};
use crate::privacy::{Hiding, Level, Redacted, Redactor, Regions};
use lapwing_camera::frame::Frame;

const LONG: Duration = Duration::from_secs(60);

/// Tells what it was told; waits before each thing if it is given somebody to wait for.
struct Witness {
    wants: Wants,
    told: Sender<String>,
    gate: Option<Arc<Mutex<Receiver<()>>>>,
    fails: bool,
}

impl Witness {
    fn note(&self, what: String) -> Result<(), SinkError> {
        if let Some(gate) = &self.gate {
            let _ = gate.lock().unwrap().recv(); // until it is let go
        }
        self.told.send(what).unwrap();
        if self.fails { Err(SinkError("no room".into())) } else { Ok(()) }
    }
}

impl Sink for Witness {
    fn name(&self) -> &'static str {
        "witness"
    }

    fn wants(&self) -> Wants {
        self.wants
    }

    fn begin(&mut self, names: &Arc<Names>) {
        self.told.send(format!("begin {}", names.classes.join(" "))).unwrap();
    }

    fn event(&mut self, recorded: &Durable<Recorded>) -> Result<(), SinkError> {
        self.note(format!("event {}", recorded.get().seq))
    }

    fn frame(&mut self, looked: &Looked) -> Result<(), SinkError> {
        self.note(format!("frame {} {}", looked.seq, looked.name))
    }

    fn picture(&mut self, picture: &Redacted<Frame>) -> Result<(), SinkError> {
        self.note(format!("picture {}", picture.get().seq))
    }

    fn trouble(&mut self, what: &str) -> Result<(), SinkError> {
        self.note(format!("trouble {what}"))
    }

    fn words(&mut self, line: &str) -> Result<(), SinkError> {
        self.note(format!("words {line}"))
    }
}

const ALL: Wants = Wants { events: true, frames: true, pictures: true, troubles: true, words: Some(Stream::Out) };

fn witness(wants: Wants) -> (Box<Witness>, Receiver<String>) {
    let (told, heard) = channel();
    (Box::new(Witness { wants, told, gate: None, fails: false }), heard)
}

/// One that hangs until the sender is dropped.
fn hanging(wants: Wants) -> (Box<Witness>, Receiver<String>, Sender<()>) {
    let (witness, heard) = witness(wants);
    let (let_go, gate) = channel();
    (Box::new(Witness { gate: Some(Arc::new(Mutex::new(gate))), ..*witness }), heard, let_go)
}

fn redacted(seq: u64, side: u32) -> Redacted<Frame> {
    let mut frame = Frame::new();
    frame.reset(side, side).unwrap();
    frame.seq = seq;
    Redactor::new(Hiding::default()).redact(frame, &Regions::default(), Level::Mosaic).0
}

fn frame(sinks: &Sinks, seq: u64) {
    sinks.frame(|looked| {
        looked.seq = seq;
        looked.name.clear();
        looked.name.push('a');
    });
}

#[test]
fn each_sink_is_told_what_it_wants_in_order() {
    let (all, heard_all, let_go) = hanging(ALL); // it still has the picture when the other frame is asked for
    let (some, heard_some) = witness(Wants { troubles: true, words: Some(Stream::Err), ..Wants::default() });
    let sinks = Sinks::start(vec![all, some]).unwrap();
    sinks.begin(Names { classes: vec!["cat".into()], ..Names::default() });
    frame(&sinks, 7);
    assert_eq!(sinks.picture(redacted(8, 4)).capacity_bytes(), 0, "another frame is given for it");
    drop(let_go);
    sinks.trouble("t");
    sinks.words(Stream::Out, "out");
    sinks.words(Stream::Err, "err");
    let reports = sinks.finish(LONG, |_| {});
    assert!(reports.iter().all(super::SinkReport::is_clean), "{reports:?}");
    assert_eq!(
        heard_all.try_iter().collect::<Vec<_>>(),
        ["begin cat", "frame 7 a", "picture 8", "trouble t", "words out"]
    );
    assert_eq!(heard_some.try_iter().collect::<Vec<_>>(), ["begin cat", "trouble t", "words err"]);
}

#[test]
fn a_sink_that_hangs_holds_up_neither_the_run_nor_another_sink() {
    let (stuck, _heard, let_go) = hanging(ALL);
    let (other, heard) = witness(ALL);
    let sinks = Sinks::start(vec![stuck, other]).unwrap();
    let start = Instant::now();
    let total = 3 * ITEMS_MAX as u64;
    for seq in 0..total {
        sinks.words(Stream::Out, &seq.to_string());
        assert_eq!(heard.recv_timeout(LONG).unwrap(), format!("words {seq}"), "the other one is told everything");
    }
    for seq in 0..50 {
        let _ = sinks.picture(redacted(seq, 4));
        assert_eq!(heard.recv_timeout(LONG).unwrap(), format!("picture {seq}"));
        frame(&sinks, seq);
        assert_eq!(heard.recv_timeout(LONG).unwrap(), format!("frame {seq} a"));
    }
    assert!(start.elapsed() < LONG / 2);
    let mut told = Vec::new();
    let reports = sinks.finish(Duration::from_millis(50), |report| told.push(report.name));
    assert_eq!(told.len(), 2, "each is told as soon as it has ended");
    assert!(reports[0].stuck && !reports[1].stuck, "{reports:?}");
    // the first line is in its hands; everything else was dropped, or waits for ever
    assert_eq!(reports[0].dropped, total - 1 + 100, "{reports:?}");
    assert!(reports[1].is_clean(), "{reports:?}");
    drop(let_go);
}

#[test]
fn pictures_come_back_however_slow_a_sink_is() {
    let (slow, heard, let_go) = hanging(ALL);
    let sinks = Sinks::start(vec![slow]).unwrap();
    let mut given = 0;
    for seq in 0..20 {
        given += usize::from(sinks.picture(redacted(seq, 4)).capacity_bytes() == 0);
    }
    assert_eq!(given, PICTURES_MAX, "the others were given back at once");
    for seq in 0..PICTURES_MAX {
        let_go.send(()).unwrap();
        assert_eq!(heard.recv_timeout(LONG).unwrap(), format!("picture {seq}"));
    }
    // their buffers are used again
    let mut again = 0;
    while again < PICTURES_MAX {
        let frame = sinks.picture(redacted(99, 4));
        again += usize::from(frame.capacity_bytes() == 48 && frame.seq != 99);
        let_go.send(()).unwrap();
    }
    drop(let_go);
    let reports = sinks.finish(LONG, |_| {});
    assert!(reports[0].dropped >= 20 - PICTURES_MAX as u64 && !reports[0].stuck, "{reports:?}");
}

#[test]
fn failures_are_counted_and_the_first_is_kept() {
    let (witness, heard) = witness(ALL);
    let sinks = Sinks::start(vec![Box::new(Witness { fails: true, ..*witness })]).unwrap();
    sinks.trouble("a");
    sinks.trouble("b");
    let reports = sinks.finish(LONG, |_| {});
    assert_eq!((reports[0].failed, reports[0].why.as_deref(), reports[0].dropped), (2, Some("no room"), 0));
    assert_eq!(heard.try_iter().count(), 2, "it is told the next thing all the same");
    sinks.trouble("late");
    assert_eq!(heard.try_iter().count(), 0, "and nothing after the end");
}

#[test]
fn boxes_for_frames_circulate() {
    let (witness, heard) = witness(ALL);
    let sinks = Sinks::start(vec![witness]).unwrap();
    for seq in 0..4 * FRAMES_MAX as u64 {
        frame(&sinks, seq);
        assert_eq!(heard.recv_timeout(LONG).unwrap(), format!("frame {seq} a"));
    }
    assert!(sinks.finish(LONG, |_| {})[0].dropped <= 1, "a box may still be on its way back");
}
