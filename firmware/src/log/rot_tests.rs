//! Rot, blocks that a cut harms as a whole, restarts without end, and a log that is taken away.

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use proptest::prelude::*;

use super::fuzz_targets::read;
use super::mem::{FaultyMedia, Plan};
use super::*;
use crate::limits::{BLOCK_BYTES, SECTOR_BYTES};

const LIMITS: Limits = Limits { segment_bytes: 32_768, total_bytes: 64 << 20 };

/// Commits groups of these numbers of records; returns what was acknowledged.
fn commits<M: Media>(log: &mut Log<M>, groups: &[usize], bytes: usize, told: &mut BTreeMap<u64, Vec<u8>>) {
    for records in groups {
        let mut group = Vec::new();
        for record in 0..*records {
            let payload = std::vec![(told.len() + record) as u8; bytes];
            match log.append(&payload) {
                Ok(seq) => group.push((seq.0, payload)),
                Err(LogError::GroupFull) => break,
                Err(_) => panic!("it cannot be appended"),
            }
        }
        if log.commit().is_ok() {
            told.extend(group);
        }
    }
}

fn written(seed: u64, groups: &[usize], bytes: usize) -> (FaultyMedia, BTreeMap<u64, Vec<u8>>) {
    let (mut media, mut told) = (FaultyMedia::new(seed), BTreeMap::new());
    for run in groups.chunks(5) {
        let (mut log, _) = Log::open(&mut media, LIMITS).unwrap();
        commits(&mut log, run, bytes, &mut told);
    }
    (media, told)
}

#[derive(Debug, Clone, Copy)]
enum Rot {
    Flip(u8),
    Zeros(usize),
    Ones(usize),
}

fn rot() -> impl Strategy<Value = Rot> {
    prop_oneof![(0u8..8).prop_map(Rot::Flip), (1usize..4).prop_map(Rot::Zeros), (1usize..4).prop_map(Rot::Ones),]
}

/// Damages what lies at `at`; the bytes that it hit.
fn harm(segment: &mut [u8], at: usize, rot: Rot) -> std::ops::Range<usize> {
    let sector = at - at % SECTOR_BYTES;
    let hit = match rot {
        Rot::Flip(_) => at..at + 1,
        Rot::Zeros(count) | Rot::Ones(count) => sector..(sector + count * SECTOR_BYTES).min(segment.len()),
    };
    for byte in &mut segment[hit.clone()] {
        match rot {
            Rot::Flip(bit) => *byte ^= 1 << bit,
            Rot::Zeros(_) => *byte = 0,
            Rot::Ones(_) => *byte = 0xff,
        }
    }
    hit
}

/// The end of what was written to a segment.
fn end_of(segment: &[u8]) -> usize {
    let mut blank = std::vec![0; segment.len()];
    fill_blank(&mut blank, 0);
    segment.iter().zip(blank).rposition(|(byte, blank)| *byte != blank).map_or(0, |last| last + 1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(600), ..ProptestConfig::default() })]

    /// Wherever a segment rots, the newest included: what is not hit is there before and after it is opened and written
    /// on, nothing is given twice, and what is missing is told.
    #[test]
    fn rot_costs_what_it_hits_and_no_number_is_given_twice(
        seed in any::<u64>(), groups in prop::collection::vec(1usize..14, 1..40), bytes in 4usize..600,
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), rot in rot(),
    ) {
        let (mut media, told) = written(seed, &groups, bytes);
        let ids: Vec<u32> = (1..=media.segments() as u32).collect();
        let id = ids[which.index(ids.len())];
        let segment = media.segment_mut(id).unwrap();
        let end = end_of(segment);
        let hit = harm(segment, at.index(end), rot);

        // what stands in one copy only is hit, and a record that straddles each of its ends
        let most = hit.len().div_ceil(bytes + 16) + 2;
        let (found, damage) = read(&mut media);
        let missing: BTreeSet<u64> = told.keys().filter(|seq| !found.contains_key(seq)).copied().collect();
        prop_assert!(missing.len() <= most, "{} of {} are gone, {:?} of segment {id} were hit", missing.len(), told.len(), hit);
        for (seq, payload) in &found {
            prop_assert_eq!(told.get(seq), Some(payload));
        }
        let is_told = damage.iter().any(|d| d.kind == DamageKind::Corrupt);
        prop_assert!(missing.is_empty() || is_told, "{missing:?} are gone and nobody says so: {damage:?}");

        let (mut log, recovery) = Log::open(&mut media, LIMITS).unwrap();
        let newest = *ids.last().unwrap();
        prop_assert!(missing.is_empty() || id != newest || recovery.corrupt_regions > 0);
        let mut new = BTreeMap::new();
        commits(&mut log, &[3, 1, 2], bytes, &mut new);
        drop(log);
        prop_assert!(new.keys().all(|seq| !told.contains_key(seq)), "given twice");
        let (after, damage) = read(&mut media);
        for (seq, payload) in found.iter().chain(&new) {
            prop_assert_eq!(after.get(seq), Some(payload), "what was readable is gone");
        }
        let is_told = damage.iter().any(|d| d.kind == DamageKind::Corrupt);
        prop_assert!(missing.is_empty() || is_told, "{missing:?} are gone and nobody says so later: {damage:?}");
    }

    /// A disk that works in blocks: a cut may leave anything in each block that was being written, and harms nothing
    /// that was acknowledged before.
    #[test]
    fn what_is_acknowledged_outlives_cuts_that_harm_whole_blocks(
        seed in any::<u64>(), lives in prop::collection::vec((prop::collection::vec(1usize..9, 0..20), 4usize..900, 0u64..60), 1..6),
    ) {
        if let Err(what) = live(seed, lives) {
            prop_assert!(false, "{what}");
        }
    }
}

/// Lives of a log, each of commits of so many records of a size, and a cut after so many operations.
type Life = (Vec<usize>, usize, u64);

/// Lives through `lives` on a disk that works in blocks; the first thing that is wrong.
fn live(seed: u64, lives: Vec<Life>) -> Result<(), std::string::String> {
    let (mut media, mut told) = (FaultyMedia::new(seed), BTreeMap::new());
    media.harm_blocks();
    for (groups, bytes, cut) in lives {
        media.set_plan(Some(Plan::Cut(cut)));
        let mut new = BTreeMap::new();
        if let Ok((mut log, _)) = Log::open(&mut media, LIMITS) {
            commits(&mut log, &groups, bytes, &mut new);
        }
        if let Some(seq) = new.keys().find(|seq| told.contains_key(*seq)) {
            return Err(std::format!("{seq} is given twice"));
        }
        told.extend(new);
        media.power_cut();
        media.harm_blocks();
        let (found, _) = read(&mut media);
        if let Some(seq) = told.iter().find(|&(seq, payload)| found.get(seq) != Some(payload)).map(|(seq, _)| seq) {
            return Err(std::format!("record {seq} of {} is gone", told.len()));
        }
    }
    Ok(())
}

/// What the property found: numbers were passed over, and the first of two twins is broken at its beginning and whole
/// further on; a chain ends in a twin that was passed over, and a commit that was cut left a record behind that.
#[test]
fn twins_that_a_cut_left_half_written_are_read_both() {
    let first = [(std::vec![1, 1, 1, 2, 1, 1, 4, 1, 1, 1, 1, 1, 1], 665, 22), (std::vec![2, 2, 1, 1, 1, 1, 1], 145, 5)];
    let groups = std::vec![4, 1, 3, 6, 6, 5, 7, 4, 8, 6, 3, 6, 1, 1, 1];
    let second = [(std::vec![1, 5, 4, 1, 5, 1, 4], 393, 15), (std::vec![3, 8, 1], 89, 6), (groups, 13, 24)];
    assert_eq!(live(13_675_008_757_578_399_373, first.to_vec()), Ok(()));
    assert_eq!(live(15_419_548_281_993_395_040, second.to_vec()), Ok(()));
}

/// The control: the same cuts on a disk that ignores flushes lose records.
#[test]
fn harmed_blocks_are_harmful() {
    let lost = (0..40).filter(|seed| {
        let (mut media, mut told) = (FaultyMedia::new(*seed), BTreeMap::new());
        media.ignore_sync();
        media.harm_blocks();
        let (mut log, _) = Log::open(&mut media, LIMITS).unwrap();
        commits(&mut log, &[3; 12], 200, &mut told);
        drop(log);
        media.power_cut();
        let (found, _) = read(&mut media);
        told.keys().any(|seq| !found.contains_key(seq))
    });
    assert!(lost.count() > 20);
}

/// A service that is started again and again erases nothing that there is room for.
#[test]
fn starts_without_end_lose_nothing() {
    let limits = Limits { segment_bytes: 262_144, total_bytes: 16 << 20 };
    let (mut media, mut told) = (FaultyMedia::new(1), BTreeMap::new());
    let (mut log, _) = Log::open(&mut media, limits).unwrap();
    commits(&mut log, &[40; 600], 64, &mut told); // 24000 events of before
    drop(log);
    for start in 2..5002 {
        let (mut log, found) = Log::open(&mut media, limits).unwrap();
        assert_eq!((found.run, log.run()), (start, start));
        commits(&mut log, &[2, 1], 64, &mut told); // a name table and the start, the end
    }
    let (found, damage) = read(&mut media);
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!(found.len(), told.len());
    assert_eq!(found, told);
    assert!(media.segments() < 40, "{} segments", media.segments());
}

#[test]
fn the_start_of_a_run_is_a_record_and_every_record_knows_its_run() {
    let mut media = FaultyMedia::new(2);
    for run in 1..60u32 {
        let (mut log, _) = Log::open(&mut media, LIMITS).unwrap();
        assert_eq!(log.run(), run);
        for _ in 0..run % 5 + 1 {
            log.append(&[1; 300]).unwrap();
            log.append(&run.to_le_bytes()).unwrap();
            log.commit().unwrap();
        }
    }
    let (mut reader, mut seen) = (Reader::new(&mut media), 0);
    while let Some(item) = reader.next().unwrap() {
        let Item::Record { run, .. } = item else { panic!("{item:?}") };
        if let Ok(of) = reader.payload().try_into() {
            assert_eq!(run, u32::from_le_bytes(of));
            seen += 1;
        }
    }
    assert!(seen > 100 && media.segments() > 1, "{seen} in {} segments", media.segments());
}

#[test]
fn a_run_takes_the_number_that_others_know() {
    let mut media = FaultyMedia::new(3);
    let (mut log, _) = Log::open(&mut media, LIMITS).unwrap();
    log.set_run_min(7);
    log.append(b"x").unwrap();
    log.set_run_min(9);
    log.commit().unwrap();
    assert_eq!(log.run(), 7);
    drop(log);
    assert_eq!(Log::open(&mut media, LIMITS).unwrap().1.run, 8);
}

/// Others yield before the log does: it is asked for room first.
#[test]
fn a_full_disk_is_rescued_where_a_segment_begins() {
    let mut media = FaultyMedia::new(4);
    let (mut log, _) = Log::open(&mut media, LIMITS).unwrap();
    let mut told = BTreeMap::new();
    log.change(|media| media.set_room(3 * 32_768));
    commits(&mut log, &[8; 15], 400, &mut told);
    assert_eq!(log.segments_dropped(), 0, "there was room");
    let mut pictures = 40; // of 8 KiB each
    let (mut asked, mut events) = (0, 0);
    while log.segments_dropped() == 0 {
        let mut freed = Vec::new();
        let mut rescue = |bytes: u32| {
            asked += 1;
            let wanted = (bytes as usize).div_ceil(8192).min(pictures);
            pictures -= wanted;
            freed.push(wanted * 8192);
            wanted > 0
        };
        let begun = log.make_room(&mut rescue);
        let seq = log.append(&[3; 400]).unwrap();
        log.commit().unwrap();
        told.insert(seq.0, std::vec![3; 400]);
        events += 1;
        assert!(begun.is_ok() && events < 10_000);
        let freed: usize = freed.into_iter().sum();
        log.change(|media| media.set_room(media.room() + freed));
    }
    assert!(asked > 0 && pictures == 0, "the log gave up history while {pictures} pictures were there");
    drop(log);
    let (found, _) = read(&mut media);
    let oldest = *found.keys().next().unwrap();
    told.retain(|seq, _| *seq >= oldest);
    assert_eq!(found, told);
}

/// A commit that fills its segment's last blocks, and the longest that is possible.
#[test]
fn every_size_of_commit_is_read_back() {
    for bytes in [1, 4, 60, 64, 480, 496, 500, 1000, 1008] {
        for records in 1..9 {
            let (mut media, mut told) = (FaultyMedia::new(5), BTreeMap::new());
            let (mut log, _) = Log::open(&mut media, LIMITS).unwrap();
            commits(&mut log, &[records; 25], bytes, &mut told);
            drop(log);
            assert_eq!(read(&mut media), (told, Vec::new()), "{records} records of {bytes} bytes");
        }
    }
}

/// What a reader that follows is given, while the log is written and begun again, is every record once.
#[test]
fn a_follower_sees_every_record_once() {
    let (mut media, mut told) = (FaultyMedia::new(6), BTreeMap::new());
    let (mut position, mut seen) = (Position::default(), Vec::new());
    for turn in 0..400usize {
        let (mut log, _) = Log::open(&mut media, LIMITS).unwrap();
        commits(&mut log, &[turn % 3 + 1; 2], 20 + turn * 7 % 900, &mut told);
        drop(log);
        let mut reader = Reader::resume(&mut media, position);
        let most = 1 + turn % 4; // it stops in the middle, too
        for _ in 0..if turn % 9 == 0 { usize::MAX } else { most } {
            match reader.next().unwrap() {
                Some(Item::Record { seq, .. }) => seen.push(seq.0),
                Some(Item::Damage(damage)) => panic!("{damage:?}"),
                None => break,
            }
        }
        position = reader.position();
    }
    let mut reader = Reader::resume(&mut media, position);
    while let Some(item) = reader.next().unwrap() {
        let Item::Record { seq, .. } = item else { panic!("{item:?}") };
        seen.push(seq.0);
    }
    assert!(seen.iter().eq(told.keys()), "{} of {}", seen.len(), told.len());
}

/// The first sector of the newest of two twins rots: what stood there and nowhere else is gone, and nothing else.
#[test]
fn what_is_whole_behind_rot_in_a_twin_that_was_passed_over_is_read() {
    let (mut media, told) = written(0, &[2, 1, 10], 131);
    media.segment_mut(1).unwrap()[BLOCK_BYTES..BLOCK_BYTES + SECTOR_BYTES].fill(0xff);
    let (found, damage) = read(&mut media);
    let missing: Vec<u64> = told.keys().filter(|seq| !found.contains_key(seq)).copied().collect();
    assert_eq!(missing, [4]);
    assert!(damage.iter().any(|d| d.kind == DamageKind::Corrupt), "{damage:?}");
}

/// The newer of two twins rots as a whole, and the end of the block before it: what the newer one had more is gone, and
/// its number with it.
#[test]
fn the_numbers_of_a_lost_twin_are_passed_over() {
    let groups = [1, 2, 2, 7, 6, 8, 7, 5, 5, 2, 7, 6, 12, 7, 2, 4, 13, 2, 4, 1, 3, 6, 4, 1, 8, 1, 1];
    let (mut media, told) = written(0, &groups, 13);
    media.segment_mut(1).unwrap()[11_264..12_800].fill(0);
    let mut torn = media.clone();
    let (mut log, recovery) = Log::open(&mut media, LIMITS).unwrap();
    assert!(recovery.corrupt_regions > 0 && recovery.last_seq < told.keys().next_back().map(|seq| Seq(*seq)));
    assert!(log.append(&[1]).is_ok_and(|seq| !told.contains_key(&seq.0)));
    // and with the first sector of a commit behind it all
    let mut commit = heapless::Vec::<u8, 1024>::new();
    assert!(encode(Seq(128), true, &[7; 600], &mut commit));
    torn.segment_mut(1).unwrap()[20_480..20_480 + SECTOR_BYTES].copy_from_slice(&commit[..SECTOR_BYTES]);
    let (mut log, recovery) = Log::open(&mut torn, LIMITS).unwrap();
    assert!(recovery.bytes_torn > 0, "{recovery:?}");
    assert!(log.append(&[1]).is_ok_and(|seq| !told.contains_key(&seq.0)));
}
