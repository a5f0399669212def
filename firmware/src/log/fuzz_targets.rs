//! Segments of any bytes: a log reads them to their end, opens, and goes on. For tests and `cargo xtask fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a promise that is broken is a panic")]

use std::collections::BTreeMap;
use std::vec::Vec;

use super::mem::FaultyMedia;
use super::record::{self, Parsed, encode};
use super::{Damage, Item, Limits, Log, LogError, Media, Reader, SegmentHeader, Seq, fill_blank};
use crate::event::Event;
use crate::limits::{BLOCK_BYTES, RECORD_BYTES_MAX, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::panic_record::PanicRecord;

/// A format's name and what its bytes are given to.
pub type Target = (&'static str, fn(&[u8]));

/// Every format.
pub const TARGETS: [Target; 2] = [("log", log), ("event", event)];

/// Small, so that little makes the oldest go.
pub const LIMITS: Limits = Limits { segment_bytes: 16_384, total_bytes: 4 * 16_384 };
/// Most segments of one log here.
const SEGMENTS_MAX: usize = 3;

/// A log of up to three segments: the first byte says how many and which of them have a whole header, three bytes
/// lead each. Where something looks like a record, its checksum is put right.
fn log(bytes: &[u8]) {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    let count = 1 + usize::from(kind) % SEGMENTS_MAX;
    let mut media = FaultyMedia::new(1);
    let (mut headers, mut begins_max) = (Headers::Agree, 0);
    for (index, part) in bytes.chunks(bytes.len().div_ceil(count).max(1)).enumerate() {
        let id = index as u32 + 1;
        let (mut part, mut segment) = (part, Vec::new());
        if let (Some(([run, low, high], rest)), true) = (part.split_first_chunk(), kind >> (2 + index) & 1 == 0) {
            let (blocks, first_seq) = (run & 1 == 1, Seq(u64::from(u16::from_le_bytes([*low, *high]))));
            let header = SegmentHeader::new(id, u32::from(*run), first_seq, blocks, LIMITS.segment_bytes);
            let begins = header.first_seq.0;
            if begins < begins_max || read(&mut media).0.last_key_value().is_some_and(|(last, _)| *last >= begins) {
                headers = Headers::Contradict;
            }
            begins_max = begins;
            segment.extend(header.encode());
            if blocks {
                segment.resize(BLOCK_BYTES, 0);
                fill_blank(&mut segment[SEGMENT_HEADER_BYTES..], SEGMENT_HEADER_BYTES as u32);
            }
            part = rest;
        }
        let mut records = part.to_vec();
        repair(&mut records);
        segment.extend(records);
        if kind >> 6 & 1 == 1 {
            let written = segment.len();
            segment.resize(written.max(LIMITS.segment_bytes as usize), 0);
            fill_blank(&mut segment[written..], written as u32);
        }
        media.put(id, segment);
    }
    goes_on(&mut media, headers);
}

/// What the headers of a log say of the records before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headers {
    /// A segment begins with a number above all before it, whatever was cut or has rotted.
    Agree,
    /// One begins with a number that an older segment holds, or below the beginning of an older one. No fault makes that: it is forged. Opening takes the
    /// header's word, as it does not read older segments.
    Contradict,
}

/// Reads a log, opens it, adds to it, and holds it to its promises.
pub fn goes_on(media: &mut FaultyMedia, headers: Headers) {
    let (before, _) = read(media);
    let seq = match Log::open(&mut *media, LIMITS) {
        Ok((mut log, _)) => {
            match log.append(b"after") {
                Err(LogError::Exhausted) => return,
                appended => appended.unwrap(),
            };
            log.commit().unwrap().unwrap().get()
        }
        Err(LogError::Media(error)) => panic!("a medium without a fault: {error:?}"),
        // another format
        Err(_) => return,
    };
    let new = before.last_key_value().is_none_or(|(last, _)| *last < seq.0);
    assert!(new || headers == Headers::Contradict, "{seq} is given twice");
    let (after, _) = read(media);
    assert_eq!(after.get(&seq.0).map(Vec::as_slice), Some(b"after".as_slice()));
    // nothing comes up that was not there; which records count among contradicting headers is not promised
    let mut kept = after.iter().filter(|(number, _)| **number < seq.0);
    let known = kept.all(|(number, payload)| before.get(number) == Some(payload));
    assert!(known || headers == Headers::Contradict, "other records than before");
}

/// All records by their number, and what is damaged.
pub fn read<M: Media<Error: core::fmt::Debug>>(media: &mut M) -> (BTreeMap<u64, Vec<u8>>, Vec<Damage>) {
    let (mut records, mut damage) = (BTreeMap::new(), Vec::new());
    let mut reader = Reader::new(media);
    while let Some(item) = reader.next().unwrap() {
        match item {
            Item::Record { seq, .. } => {
                assert!(records.last_key_value().is_none_or(|(last, _)| *last < seq.0), "numbers must grow");
                records.insert(seq.0, reader.payload().to_vec());
            }
            Item::Damage(found) => damage.push(found),
        }
    }
    (records, damage)
}

/// Puts the checksums right of what begins like a record and is long enough.
fn repair(bytes: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = record::find_magic(bytes, from) {
        from = at + 2;
        let Some(head) = bytes[at..].first_chunk::<RECORD_HEADER_BYTES>() else { return };
        let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let seq = Seq(u64::from_le_bytes(head[4..12].try_into().unwrap()));
        let Some(payload) = bytes[at + RECORD_HEADER_BYTES..].get(..length) else { continue };
        let mut whole = heapless::Vec::<u8, { RECORD_HEADER_BYTES + RECORD_BYTES_MAX }>::new();
        if encode(seq, bytes[at + 1] == b'f', payload, &mut whole) {
            bytes[at..][..whole.len()].copy_from_slice(&whole);
            assert!(matches!(record::parse(&bytes[at..]), Parsed::Record { .. }));
            from = at + whole.len();
        }
    }
}

/// What a record carries, and the panic record of a panic.
fn event(bytes: &[u8]) {
    if let Ok(event) = Event::decode(bytes) {
        assert_eq!(Event::decode(&event.encode()), Ok(event));
    }
    if let Some(panic_record) = PanicRecord::decode(bytes) {
        assert!(PanicRecord::decode(&panic_record.encode()).is_some_and(|again| again.text() == panic_record.text()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three segments of three commits each.
    fn seed() -> Vec<u8> {
        let mut bytes = std::vec![2u8];
        let mut records = heapless::Vec::<u8, 4096>::new();
        let mut seq = 1;
        for run in 1..=3 {
            records.clear();
            for _ in 0..3 {
                assert!(
                    encode(Seq(seq), true, &[7; 20], &mut records)
                        && encode(Seq(seq + 1), false, &[8; 9], &mut records)
                );
                seq += 2;
            }
            bytes.extend([run, (seq - 6) as u8, 0]);
            bytes.extend(&records);
        }
        bytes
    }

    /// Found by the fuzzer: an empty segment that begins with 65535, and behind it one that begins with 1799.
    const BEGINS_BELOW: &[u8] =
        b"\x02\x01\x01\x00\x52\x66\x14\x00\x01\x00\x00\x00\x00\x00\x00\x00\x56\xea\x89\x01\x07\x07\x07\x07\
        \x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x52\x6d\x09\x00\x02\x00\x00\x00\
        \x00\x00\x00\x00\x4a\x00\x00\x00\x00\x4a\x25\xbb\x07\x07\x07\x07\x07\x52\x6d\x09\x00\x04\x07\x07\
        \x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
        \xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x42\x92\x8f\xa4\x08\x08\x08\x08\x08\x08\x08\x08\
        \x08\x52\x66\x14\x00\x05\x00\x00\x00\x00\x00\x00\x00\x20\x1e\x5e\x07\x07\x07\x07\x07\x07\x07\x07\
        \x00\x00\x00\x00\x00\x00\xbc\x02\x26\x0c\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\
        \x07\x07\x07\x07\x07\x07\x52\x6d\x09\x00\x0a\xff\x00\x00\x00\x00\x00\x00\xd4\x6a\xab\xe5\x08\x08\
        \x08\x08\x08\x08\x08\x08\x08\x52\x66\x14\x00\x0b\x00\x00\x00\x00\x00\x00\x0d\x00\x00\x00\x00\x00\
        \x00\x00\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x52\x37\xbc\xea\x14\
        \x08\x08\x08\x08\x08\x08\x08\x08\x08";

    /// Found by the fuzzer: in damaged blocks, what looks like records where none can begin, with numbers above all others. They
    /// were read once a record with a lower number stood behind them, which then did not count.
    const UNALIGNED: [&[u8]; 2] =
        [include_bytes!("fixtures/unaligned_1.bin"), include_bytes!("fixtures/unaligned_2.bin")];

    #[test]
    fn records_in_blocks_begin_where_they_can() {
        UNALIGNED.into_iter().for_each(log);
    }

    /// A record may have the last of all numbers; none is given after it.
    #[test]
    fn no_number_is_given_twice() {
        let mut media = FaultyMedia::new(1);
        let mut record = heapless::Vec::<u8, 64>::new();
        assert!(encode(Seq(u64::MAX), true, &[1], &mut record));
        let header = SegmentHeader::new(1, 1, Seq(u64::MAX), false, LIMITS.segment_bytes).encode();
        media.put(1, [header.as_slice(), &record].concat());
        assert_eq!(read(&mut media).0.len(), 1);
        let (mut log, _) = Log::open(&mut media, LIMITS).unwrap();
        assert_eq!(log.append(&[2]), Err(LogError::Exhausted));
    }

    #[test]
    fn good_bytes_are_taken() {
        let mut event = std::vec![0; crate::event::EVENT_BYTES];
        event[..2].copy_from_slice(&[crate::event::EVENT_VERSION, 1]);
        assert!(Event::decode(&event).is_ok());
        let events = std::vec![PanicRecord::new(5).encode().to_vec(), event];
        let logs = [&seed(), BEGINS_BELOW].into_iter().chain(UNALIGNED).map(<[u8]>::to_vec).collect();
        lapwing_seeds::take(&TARGETS, &[("log", logs), ("event", events)]);
    }
}
