//! Lives of a log on NOR flash: in each the power goes with another operation.
//!
//! A record holds what its number says, so that nothing but the last acknowledged number need be
//! remembered. The control is a flash that keeps its last writes in a buffer.

use core::fmt::Arguments;

use lapwing_firmware::event::{EVENT_BYTES, Event};
use lapwing_firmware::log::nor::{CutPlan, NorMedia, SimulatedNor};
use lapwing_firmware::log::{DamageKind, Item, Limits, Log, LogError, Reader};

/// Flash of the size of a small chip's spare half; six segments.
const SLOT_BYTES: u32 = 24 * 1024;
type Nor = SimulatedNor<{ 6 * SLOT_BYTES as usize }, 8, 4096>;
const LIMITS: Limits = Limits { segment_bytes: 16 * 1024, total_bytes: 4 * 16 * 1024 };
/// Commits of a life.
const COMMITS: u64 = 24;
/// Lives that differ in the operation with which the power goes.
const LIVES: u32 = 260;
/// Lives of the control.
const CONTROLS: u32 = 20;

/// Retention drops the oldest segments, but a full one is always there.
const LEAST_RECORDS: u64 = 100;

/// What some lives came to.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    cuts: u32,
    acknowledged: u64,
    lost: u64,
    damaged: u32,
}

/// The event that has number `seq`.
fn event(seq: u64) -> [u8; EVENT_BYTES] {
    Event { frame_seq: seq, mono_us: seq.wrapping_mul(1_000_003), value: seq as u32, ..Event::default() }.encode()
}

/// Proves it; says `lives cuts N acknowledged N lost N` and what the control lost.
pub fn prove(say: &mut dyn FnMut(Arguments<'_>)) -> bool {
    let mut nor = Nor::new(1);
    let mut told = Told::default();
    for life in 0..LIVES {
        nor.reset(u64::from(life));
        // two whole lives fill the flash; one is cut; the next one's recovery is cut; one is whole
        let plans = [
            CutPlan::None,
            CutPlan::None,
            CutPlan::At(life),
            CutPlan::At(life % 13),
            CutPlan::At(life * 7 % 90),
            CutPlan::None,
        ];
        all(&mut nor, &plans, &mut told);
    }
    say(format_args!(
        "lives cuts {} acknowledged {} lost {} damaged {}",
        told.cuts, told.acknowledged, told.lost, told.damaged
    ));
    let mut control = Told::default();
    for life in 0..CONTROLS {
        nor.reset(u64::from(life));
        nor.lie();
        all(&mut nor, &[CutPlan::At(20 + 3 * life)], &mut control);
    }
    say(format_args!("control-buffered-flash cuts {} lost {}", control.cuts, control.lost));
    let good = told.lost == 0 && told.damaged == 0 && told.cuts > LIVES && told.acknowledged > u64::from(LIVES);
    good && control.lost > 0
}

/// Lives one after the other on the same flash, each followed by a look at what is left.
fn all(nor: &mut Nor, plans: &[CutPlan], told: &mut Told) {
    let mut acknowledged = 0;
    for plan in plans {
        nor.power_back(*plan);
        live(nor, &mut acknowledged);
        told.cuts += u32::from(nor.is_off());
        nor.power_back(CutPlan::None);
        let (lost, damaged) = missing(nor, acknowledged);
        told.lost += lost;
        told.damaged += damaged;
    }
    told.acknowledged += acknowledged;
}

/// Opens the log and commits until it is done or the power goes.
fn live(nor: &mut Nor, acknowledged: &mut u64) {
    let Ok(media) = NorMedia::new(nor, SLOT_BYTES) else { return };
    let Ok((mut log, found)) = Log::open(media, LIMITS) else { return };
    let mut next = found.last_seq.map_or(1, |seq| seq.0 + 1).max(*acknowledged + 1);
    for commit in 0..COMMITS {
        for _ in 0..1 + commit % 5 * 6 {
            let mut appended = log.append(&event(next));
            if matches!(appended, Err(LogError::GroupFull)) {
                match log.commit() {
                    Ok(Some(durable)) => *acknowledged = durable.get().0,
                    _ => return,
                }
                appended = log.append(&event(next));
            }
            match appended {
                Ok(seq) if seq.0 == next => next += 1,
                _ => return,
            }
        }
        match log.commit() {
            Ok(Some(durable)) => *acknowledged = durable.get().0,
            _ => return,
        }
    }
}

/// Acknowledged records that are not there, and places that should not be damaged.
fn missing(nor: &mut Nor, acknowledged: u64) -> (u64, u32) {
    let Ok(mut media) = NorMedia::new(nor, SLOT_BYTES) else { return (acknowledged, 1) };
    let mut reader = Reader::new(&mut media);
    let (mut last, mut records, mut lost, mut damaged) = (None, 0u64, 0u64, 0);
    loop {
        match reader.next() {
            Ok(Some(Item::Record { seq, .. })) => {
                lost += last.map_or(0, |last: u64| seq.0 - last - 1);
                lost += u64::from(reader.payload() != event(seq.0));
                last = Some(seq.0);
                records += 1;
            }
            Ok(Some(Item::Damage(damage))) => damaged += u32::from(damage.kind != DamageKind::Torn),
            Ok(None) => break,
            Err(_) => return (acknowledged, 1),
        }
    }
    lost += acknowledged.saturating_sub(last.unwrap_or(0));
    let least = acknowledged.min(LEAST_RECORDS);
    (lost + least.saturating_sub(records), damaged)
}
