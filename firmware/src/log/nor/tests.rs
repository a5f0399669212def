//! The medium beside a simple twin, and the log on it through power cuts at every operation.

use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::log::{DamageKind, Item, Limits, Log, Reader};

const SLOT: u32 = 24 * 1024;
type Nor = SimulatedNor<{ 6 * SLOT as usize }, 8, 4096>;

fn media(nor: &mut Nor) -> NorMedia<&mut Nor> {
    NorMedia::new(nor, SLOT).unwrap()
}

#[derive(Debug, Clone)]
enum Call {
    Create(u32),
    Append(u32, usize),
    Remove(u32),
    Reopen,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        2 => (0u32..4).prop_map(Call::Create),
        8 => (0u32..4, prop_oneof![4 => 1usize..300, 1 => 1usize..20_000]).prop_map(|(id, n)| Call::Append(id, n)),
        1 => (0u32..4).prop_map(Call::Remove),
        1 => Just(Call::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The twin: bytes of a segment, which may be written on at its end, by whoever opened the flash last.
    #[test]
    fn it_is_a_medium(calls in prop::collection::vec(call(), 1..60)) {
        let mut nor = std::boxed::Box::new(Nor::new(1));
        let mut media = NorMedia::new(&mut *nor, SLOT).unwrap();
        let mut twin: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        for (number, call) in calls.into_iter().enumerate() {
            match call {
                Call::Create(id) if twin.contains_key(&id) => prop_assert_eq!(media.create(id, b"h", 0), Err(NorError::Exists(id))),
                Call::Create(id) => {
                    media.create(id, b"h", 0).unwrap();
                    twin.insert(id, b"h".to_vec());
                }
                Call::Append(id, count) => {
                    let bytes: Vec<u8> = (0..count).map(|i| (i * 7 + number) as u8).collect();
                    let end = twin.get(&id).map_or(0, |segment| segment.len() as u32);
                    if end > 0 {
                        prop_assert_eq!(media.write(id, end - 1, &bytes), Err(NorError::Closed(id)), "not at its end");
                    }
                    let done = media.write(id, end, &bytes);
                    if end == 0 {
                        prop_assert_eq!(done, Err(NorError::Closed(id)));
                    } else if done.is_ok() {
                        twin.get_mut(&id).unwrap().extend(bytes);
                    } else {
                        prop_assert_eq!(done, Err(NorError::SlotFull(id)));
                        prop_assert!(twin[&id].len() + count + 700 > media.room_bytes() as usize);
                    }
                }
                Call::Remove(id) => {
                    media.remove(id).unwrap();
                    twin.remove(&id);
                }
                Call::Reopen => {
                    media = NorMedia::new(media.into_flash(), SLOT).unwrap();
                }
            }
            for id in 0..5 {
                prop_assert_eq!(media.find(id).unwrap(), twin.range(id..).next().map(|(id, _)| *id));
                prop_assert_eq!(media.len(id).unwrap(), twin.get(&id).map(|s| s.len() as u32));
                let mut read = std::vec![0; 700];
                for offset in [0usize, 3, 500] {
                    let wanted = twin.get(&id).and_then(|s| s.get(offset..)).unwrap_or(&[]);
                    let wanted = &wanted[..wanted.len().min(read.len())];
                    let count = media.read_at(id, offset as u32, &mut read).unwrap();
                    prop_assert_eq!(&read[..count], wanted);
                }
            }
        }
    }
}

/// Commits of one life, and after it a cut at `operation`; what was acknowledged is in `told`.
fn live(nor: &mut Nor, operation: CutPlan, told: &mut BTreeMap<u64, Vec<u8>>, counter: &mut u8) {
    nor.power_back(operation);
    let limits = Limits { segment_bytes: 16 * 1024, total_bytes: 4 * 16 * 1024 };
    let Ok((mut log, _)) = Log::open(media(nor), limits) else { return };
    for commit in 0..10usize {
        let mut group = Vec::new();
        for record in 0..1 + commit % 3 {
            *counter = counter.wrapping_add(1);
            let payload = std::vec![*counter; 30 + 300 * (record + commit % 2)];
            let Ok(seq) = log.append(&payload) else { return };
            group.push((seq.0, payload));
        }
        match log.commit() {
            Ok(_) => told.extend(group),
            Err(_) => return,
        }
    }
}

/// Acknowledged records that are missing or wrong; retention may take the oldest.
fn lost(nor: &mut Nor, told: &BTreeMap<u64, Vec<u8>>) -> usize {
    nor.power_back(CutPlan::None);
    let mut media = media(nor);
    let mut reader = Reader::new(&mut media);
    let mut found = BTreeMap::new();
    while let Some(item) = reader.next().unwrap() {
        match item {
            Item::Record { seq, .. } => {
                found.insert(seq.0, reader.payload().to_vec());
            }
            Item::Damage(damage) => assert_eq!(damage.kind, DamageKind::Torn, "{damage:?}"),
        }
    }
    let first = found.keys().next().copied().unwrap_or(1);
    assert!(told.len() < 60 || first < 40, "more was dropped than had to be: the oldest is {first}");
    told.range(first..).filter(|(seq, payload)| found.get(seq) != Some(payload)).count()
}

#[test]
fn what_is_acknowledged_outlives_a_cut_at_every_operation() {
    let mut nor = std::boxed::Box::new(Nor::new(0));
    let (mut cuts, mut acknowledged) = (0, 0);
    for first in 0..120 {
        nor.reset(first);
        let (mut told, mut counter) = (BTreeMap::new(), 0);
        // a whole life, one that is cut, one whose recovery is cut, one that is whole again
        let lives = [CutPlan::None, CutPlan::At(first as u32), CutPlan::At(first as u32 % 11), CutPlan::None];
        for plan in lives {
            live(&mut nor, plan, &mut told, &mut counter);
            cuts += usize::from(nor.is_off());
            assert_eq!(lost(&mut nor, &told), 0, "cut at operation {first}");
        }
        acknowledged += told.len();
    }
    assert!(cuts > 150 && acknowledged > 3000, "{cuts} cuts, {acknowledged} acknowledged");
}

/// The control: on a flash that keeps writes in a buffer the same lives must lose records.
#[test]
fn a_flash_that_lies_loses_records() {
    let mut nor = std::boxed::Box::new(Nor::new(0));
    let harmed = (5..60).filter(|first| {
        nor.reset(*first);
        nor.lie();
        let (mut told, mut counter) = (BTreeMap::new(), 0);
        live(&mut nor, CutPlan::At(*first as u32), &mut told, &mut counter);
        nor.power_back(CutPlan::None);
        let mut media = media(&mut nor);
        let mut reader = Reader::new(&mut media);
        let mut found = 0;
        while let Ok(Some(item)) = reader.next() {
            found += usize::from(matches!(item, Item::Record { .. }));
        }
        found < told.len()
    });
    assert!(harmed.count() > 20);
}
