//! A rule drives a line, and what it did stands in a log on NOR flash.
//!
//! Time is counted in frames of 40 ms, so that the proof is the same on every machine.

use core::fmt::Arguments;

use lapwing_firmware::event::{Event, EventKind};
use lapwing_firmware::log::nor::{NorMedia, SimulatedNor};
use lapwing_firmware::log::{Item, Limits, Log, Reader};
use lapwing_firmware::trigger::{Output, Polarity, Rule, RuleConfig, SimulatedPin, Step, Transition};

const SLOT_BYTES: u32 = 24 * 1024;
type Nor = SimulatedNor<{ 3 * SLOT_BYTES as usize }, 4, 4096>;
const LIMITS: Limits = Limits { segment_bytes: 16 * 1024, total_bytes: 2 * 16 * 1024 };
const FRAME_US: u64 = 40_000;

/// What happens: from frame `.0` on, `.1` objects are seen; `None` means that no frame comes.
const SCENE: [(u64, Option<u16>); 6] =
    [(0, Some(0)), (10, Some(1)), (30, Some(0)), (60, Some(2)), (70, None), (100, Some(0))];
const FRAMES: u64 = 110;
/// What has to stand in the log, in this order.
const EXPECTED: [EventKind; 4] = [EventKind::Fired, EventKind::Released, EventKind::Fired, EventKind::Failsafe];

/// Proves it; says `sentinel events N edges N`.
pub fn prove(say: &mut dyn FnMut(Arguments<'_>)) -> bool {
    let mut nor = Nor::new(2);
    let told = watch(&mut nor);
    let found = logged(&mut nor);
    say(format_args!("sentinel events {} edges {} safe {}", found.unwrap_or(0), told.edges, told.safe));
    told.safe && told.edges == 5 && found == Some(EXPECTED.len())
}

#[derive(Default)]
struct Told {
    edges: usize,
    safe: bool,
}

fn watch(nor: &mut Nor) -> Told {
    let config = RuleConfig { confirm_frames: 3, hold_ms: 700, stall_ms: 500, ..RuleConfig::default() };
    let (Ok(mut rule), Ok(media)) = (Rule::new(config), NorMedia::new(nor, SLOT_BYTES)) else { return Told::default() };
    let Ok((mut log, _)) = Log::open(media, LIMITS) else { return Told::default() };
    let mut output = Output::new(SimulatedPin::default(), Polarity::ActiveHigh);
    for frame in 0..FRAMES {
        let now_us = frame * FRAME_US;
        let seen = SCENE.iter().rev().find(|(from, _)| *from <= frame).and_then(|(_, seen)| *seen);
        let Step { transition, output: wish } = match seen {
            Some(count) => {
                let passed = rule.tick(now_us);
                if passed.transition.is_some() { passed } else { rule.observe(now_us, count) }
            }
            None => rule.tick(now_us),
        };
        if output.set(wish).is_err() {
            return Told::default(); // the line first, then the log
        }
        let kind = transition.map(|transition| match transition {
            Transition::Fired => EventKind::Fired,
            Transition::Released => EventKind::Released,
            Transition::Failsafe => EventKind::Failsafe,
            Transition::Armed => EventKind::Armed,
            Transition::Disarmed => EventKind::Disarmed,
        });
        if let Some(kind) = kind {
            let event = Event { kind, mono_us: now_us, frame_seq: frame, ..Event::default() };
            if log.append(&event.encode()).is_err() || log.commit().is_err() {
                return Told::default();
            }
        }
    }
    Told { edges: output.pin().edges().count(), safe: output.pin().level() == Some(false) }
}

/// How many events stand in the log as expected; `None` if it holds anything else.
fn logged(nor: &mut Nor) -> Option<usize> {
    let mut media = NorMedia::new(nor, SLOT_BYTES).ok()?;
    let mut reader = Reader::new(&mut media);
    let mut events = 0;
    while let Some(item) = reader.next().ok()? {
        let Item::Record { .. } = item else { return None };
        let event = Event::decode(reader.payload()).ok()?;
        if EXPECTED.get(events) != Some(&event.kind) {
            return None;
        }
        events += 1;
    }
    Some(events)
}
