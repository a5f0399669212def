//! Properties of the log under faults. An *acknowledged* record is one whose commit returned `Ok`.

use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::fuzz_targets::{Headers, goes_on, read};
use super::mem::{FaultyMedia, Plan};
use super::*;
use crate::checksum::CRC;
use crate::event::Event;

const LIMITS: Limits = Limits { segment_bytes: 16_384, total_bytes: 64 << 20 };

/// What a client knows: every number it was ever given, with what it stored, and up to where it is acknowledged.
#[derive(Default, Debug)]
struct Client {
    acknowledged: BTreeMap<u64, Vec<u8>>,
    counter: u32,
}

impl Client {
    fn payload(&mut self, bytes: usize) -> Vec<u8> {
        self.counter += 1;
        let mut payload = self.counter.to_le_bytes().to_vec();
        payload.resize(bytes.max(4), self.counter as u8);
        payload
    }

    fn commit<M: Media>(&mut self, log: &mut Log<M>, records: usize, bytes: usize) -> Result<(), LogError<M::Error>> {
        let mut group = Vec::new();
        for _ in 0..records {
            let payload = self.payload(bytes);
            match log.append(&payload) {
                Ok(seq) => group.push((seq.0, payload)),
                Err(LogError::GroupFull) => break,
                Err(error) => return Err(error),
            }
        }
        log.commit()?;
        self.acknowledged.extend(group);
        Ok(())
    }
}

/// Everything acknowledged is there as it was stored, and nothing rots.
fn check<const BLOCKS: bool>(client: &Client, media: &mut FaultyMedia<BLOCKS>) -> Result<(), TestCaseError> {
    let (records, damage) = read(media);
    for (seq, payload) in &client.acknowledged {
        prop_assert_eq!(records.get(seq), Some(payload), "record {} of {}", seq, client.acknowledged.len());
    }
    prop_assert!(damage.iter().all(|d| d.kind == DamageKind::Torn), "{damage:?}");
    Ok(())
}

/// Runs, commits, and a fault each run; after each the log is opened again.
fn lives(seed: u64, runs: &[Life], lie: bool) -> Result<(), TestCaseError> {
    lives_on(FaultyMedia::new(seed), runs, lie)?;
    lives_on(FaultyMedia::in_a_row(seed), runs, lie)
}

fn lives_on<const BLOCKS: bool>(mut media: FaultyMedia<BLOCKS>, runs: &[Life], lie: bool) -> Result<(), TestCaseError> {
    if lie {
        media.ignore_sync();
    }
    let mut client = Client::default();
    for (plan, commits, cut_after) in runs {
        media.set_plan(*plan);
        if let Ok((mut log, _)) = Log::open(&mut media, LIMITS) {
            for (records, bytes) in commits {
                let _ = client.commit(&mut log, *records, *bytes);
            }
        }
        if *cut_after || matches!(plan, Some(Plan::Cut(_))) {
            media.power_cut();
        }
        media.set_plan(None);
        check(&client, &mut media)?;
        let (all, _) = read(&mut media);
        let (log, recovery) = Log::open(&mut media, LIMITS).map_err(|e| TestCaseError::fail(std::format!("{e}")))?;
        drop(log);
        prop_assert_eq!(recovery.corrupt_regions, 0);
        // what it concludes from the newest segment is what reading everything says
        prop_assert_eq!(recovery.records, all.len() as u64);
        prop_assert_eq!(recovery.first_seq.map(|seq| seq.0), all.first_key_value().map(|(seq, _)| *seq));
        prop_assert_eq!(recovery.last_seq.map(|seq| seq.0), all.last_key_value().map(|(seq, _)| *seq));
        if let Some((last, _)) = client.acknowledged.last_key_value() {
            prop_assert!(recovery.last_seq.is_some_and(|seq| seq.0 >= *last));
        }
        check(&client, &mut media)?;
    }
    Ok(())
}

fn plan() -> impl Strategy<Value = Option<Plan>> {
    prop_oneof![
        Just(None),
        (0u64..40).prop_map(|n| Some(Plan::Fail(n))),
        (0u64..40).prop_map(|n| Some(Plan::Cut(n))),
        (0u64..40).prop_map(|n| Some(Plan::Sick(n))),
    ]
}

type Life = (Option<Plan>, Vec<(usize, usize)>, bool);

fn life() -> impl Strategy<Value = Life> {
    (plan(), prop::collection::vec((1usize..9, 4usize..1009), 0..16), any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_is_acknowledged_outlives_any_fault(seed in any::<u64>(), runs in prop::collection::vec(life(), 1..6)) {
        lives(seed, &runs, false)?;
    }

    #[test]
    fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..3000), with_header in any::<bool>(), magic in any::<prop::sample::Index>()) {
        let mut media = FaultyMedia::new(1);
        let mut bytes = bytes;
        if bytes.len() > 2 {
            let at = magic.index(bytes.len() - 1);
            bytes[at..at + 2].copy_from_slice(b"Rf");
        }
        let header = SegmentHeader::new(1, 1, Seq(1), bytes.len() % 2 == 0, LIMITS.segment_bytes).encode();
        let header = if with_header { header.as_slice() } else { &[] };
        media.put(1, [header, &bytes].concat());
        let (records, _) = read(&mut media);
        prop_assert!(records.is_empty());
        goes_on(&mut media, Headers::Agree);
    }
}

/// Each operation in turn fails, and in turn is the last before the power goes.
#[test]
fn every_operation_may_fail() {
    let commits: Vec<(usize, usize)> = (0..14).map(|i| (1 + i % 4, 40 + 70 * i)).collect();
    for seed in 0..8 {
        for n in 0..45 {
            for plan in [Plan::Fail(n), Plan::Cut(n), Plan::Sick(n)] {
                let runs = [
                    (None, commits.clone(), false),
                    (Some(plan), commits.clone(), false),
                    (None, commits.clone(), true),
                ];
                lives(seed, &runs, false).unwrap_or_else(|e| panic!("seed {seed}, {plan:?}: {e}"));
            }
        }
    }
}

/// The control: on a disk that ignores flushes the same test must lose records.
#[test]
fn a_disk_that_ignores_flushes_loses_records() {
    let commits: Vec<(usize, usize)> = (0..14).map(|i| (1 + i % 4, 40 + 70 * i)).collect();
    let lost = (0..50).filter(|seed| lives(*seed, &[(None, commits.clone(), true)], true).is_err()).count();
    assert!(lost > 25, "only {lost} of 50 cuts lost something: the test would not notice a missing sync");
}

#[test]
fn a_full_disk_drops_the_oldest_and_goes_on() {
    let mut media = FaultyMedia::new(3);
    media.set_room(100_000);
    let mut client = Client::default();
    let (mut log, _) = Log::open(&mut media, LIMITS).unwrap();
    for _ in 0..400 {
        client.commit(&mut log, 4, 500).unwrap();
    }
    assert!(log.segments_dropped() > 10);
    drop(log);
    let (records, damage) = read(&mut media);
    assert!(damage.iter().all(|d| d.kind == DamageKind::Torn), "{damage:?}");
    let oldest = *records.keys().next().unwrap();
    client.acknowledged.retain(|seq, _| *seq >= oldest);
    assert_eq!(records, client.acknowledged);
    assert!(records.len() > 40, "{}", records.len());
}

/// What others do to the disk costs old segments, but not the whole record, and leaves no litter.
#[test]
fn a_disk_that_stays_full_or_sick_keeps_what_was_acknowledged() {
    for (room_bytes, plan) in [(Some(48), None), (Some(0), None), (None, Some(Plan::Sick(0)))] {
        let mut media = FaultyMedia::new(8);
        let mut client = Client::default();
        let (mut log, _) = Log::open(&mut media, LIMITS).unwrap();
        for _ in 0..60 {
            client.commit(&mut log, 4, 500).unwrap();
        }
        drop(log);
        let before = media.segments();
        let (mut log, _) = Log::open(&mut media, LIMITS).unwrap();
        log.change(|media| {
            let taken = media.bytes();
            media.set_room(room_bytes.map_or(usize::MAX, |left| taken + left));
            media.set_plan(plan);
        });
        let mut refused = 0;
        for _ in 0..500 {
            log.change(|media| {
                let taken = media.bytes(); // what a dropped segment freed is taken at once
                media.set_room(room_bytes.map_or(usize::MAX, |left| taken + left));
            });
            refused += usize::from(client.commit(&mut log, 1, 500).is_err());
        }
        // where there is no room the log is a small ring; where nothing can be written it refuses
        assert_eq!(refused, if plan.is_some() { 500 } else { 0 }, "{room_bytes:?}, {plan:?}");
        log.change(|media| {
            media.set_room(usize::MAX);
            media.set_plan(None);
        });
        client.commit(&mut log, 1, 500).unwrap();
        let dropped = log.segments_dropped() as usize;
        drop(log);
        assert!(plan.is_none() || dropped == 0, "{dropped} dropped though there is room");
        assert!(media.segments() <= before + 2, "litter: {} segments, {before} before", media.segments());
        media.power_cut();
        let (records, _) = read(&mut media);
        let oldest = *records.keys().next().unwrap();
        client.acknowledged.retain(|seq, _| *seq >= oldest);
        assert!(client.acknowledged.len() > 6, "{} left", client.acknowledged.len());
        assert_eq!(records, client.acknowledged);
    }
}

#[test]
fn space_stays_within_its_limits() {
    let limits = Limits { segment_bytes: 16_384, total_bytes: 5 * 16_384 };
    let mut media = FaultyMedia::new(4);
    let mut client = Client::default();
    for _ in 0..6 {
        let (mut log, _) = Log::open(&mut media, limits).unwrap();
        for _ in 0..50 {
            client.commit(&mut log, 3, 800).unwrap();
        }
        drop(log);
        assert!(media.bytes() as u64 <= limits.total_bytes, "{}", media.bytes());
    }
    let (records, _) = read(&mut media);
    assert_eq!(records.last_key_value(), client.acknowledged.last_key_value());
    let span = records.keys().next_back().unwrap() - records.keys().next().unwrap() + 1;
    assert_eq!(span, records.len() as u64, "no gap");
}

#[test]
fn numbers_and_runs_go_on() {
    let mut media = FaultyMedia::new(5);
    for run in 1..5u32 {
        let (mut log, recovery) = Log::open(&mut media, LIMITS).unwrap();
        assert_eq!((recovery.run, recovery.records), (run, u64::from(run - 1)));
        assert_eq!(log.append(b"x").unwrap(), Seq(u64::from(run)));
        assert_eq!(log.commit().unwrap().map(|d| d.get()), Some(Seq(u64::from(run))));
        assert_eq!(log.commit().unwrap(), None);
    }
}

#[test]
fn another_format_is_refused_untouched() {
    let mut media = FaultyMedia::new(6);
    let (mut log, _) = Log::open(&mut media, LIMITS).unwrap();
    log.append(b"x").unwrap();
    log.commit().unwrap();
    drop(log);
    let segment = media.segment_mut(1).unwrap();
    segment[4] = 9;
    let crc = CRC.checksum(&segment[..28]).to_le_bytes();
    segment[28..32].copy_from_slice(&crc);
    let before = segment.clone();
    assert!(matches!(Log::open(&mut media, LIMITS), Err(LogError::Format { segment: 1, format: 9 })));
    assert_eq!(*media.segment_mut(1).unwrap(), before);
}

#[test]
fn a_reader_goes_on_where_it_stopped() {
    let mut media = FaultyMedia::new(7);
    let mut client = Client::default();
    let (mut position, mut seen) = (Position::default(), Vec::new());
    for _ in 0..60 {
        let (mut log, _) = Log::open(&mut media, LIMITS).unwrap();
        for _ in 0..3 {
            client.commit(&mut log, 3, 900).unwrap();
        }
        drop(log);
        let mut reader = Reader::resume(&mut media, position);
        while let Some(item) = reader.next().unwrap() {
            match item {
                Item::Record { seq, .. } => seen.push(seq.0),
                Item::Damage(damage) => panic!("{damage:?}"),
            }
        }
        position = reader.position();
    }
    assert!(seen.iter().eq(client.acknowledged.keys()));
}

/// A log as the first version with this format wrote it: two runs over the bundled photographs.
#[test]
fn a_log_of_an_older_version_is_read_and_goes_on() {
    use crate::event::EventKind::{Disarmed, Fired, Released, Started, Stopped};
    let mut media = FaultyMedia::new(9);
    let files = [include_bytes!("fixtures/format1_run1.seg").as_slice(), include_bytes!("fixtures/format1_run2.seg")];
    for (id, bytes) in (1..).zip(files) {
        media.put(id, bytes.to_vec());
    }
    let (records, damage) = read(&mut media);
    assert!(damage.is_empty(), "{damage:?}");
    assert!(records.keys().copied().eq(1..=17));
    let events: Vec<Event> = records.values().filter_map(|payload| Event::decode(payload).ok()).collect();
    let first = [Started, Fired, Released, Fired, Released, Fired, Released, Disarmed, Stopped];
    let second = [Started, Fired, Released, Fired, Released, Stopped];
    assert!(events.iter().map(|event| event.kind).eq(first.into_iter().chain(second)));
    let fired = events[1];
    assert_eq!((fired.run, fired.frame_seq, fired.class, fired.count, fired.latency_us), (1, 1, 14, 1, 19_088));
    assert_eq!((fired.flags, fired.frame_width_px, fired.mono_us), (5, 512, 103_254));
    let (mut log, recovery) = Log::open(&mut media, LIMITS).unwrap();
    assert_eq!((recovery.run, recovery.records, recovery.bytes_torn), (3, 17, 0));
    assert_eq!(log.append(b"x").unwrap(), Seq(18));
    log.commit().unwrap();
}

/// Forged: a segment whose header begins with a number above those of its records. Opening starts at that header, and
/// reading from the oldest record on must find the same.
#[test]
fn numbers_below_their_header_s_do_not_count() {
    let mut media = FaultyMedia::new(1);
    for (id, first_seq) in [(1, 1), (2, 100)] {
        let header = SegmentHeader::new(id, 1, Seq(first_seq), false, LIMITS.segment_bytes).encode();
        let mut records = heapless::Vec::<u8, 4096>::new();
        for seq in [2 * u64::from(id), 2 * u64::from(id) + 1, 100 * u64::from(id)] {
            assert!(encode(Seq(seq), true, &[7; 20], &mut records));
        }
        media.put(id, [header.as_slice(), &records].concat());
    }
    let (records, damage) = read(&mut media);
    assert_eq!(records.into_keys().collect::<std::vec::Vec<_>>(), [2, 3, 200]);
    let gap = Damage { segment: 2, offset: 0, bytes: 0, kind: DamageKind::Corrupt };
    assert_eq!(damage, [gap], "numbers 4 to 99 are nowhere");
    goes_on(&mut media, Headers::Agree);
}
