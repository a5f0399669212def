//! Recovery: what opening reads, and what it concludes.
//!
//! Read are the header of every segment, and every byte from the newest whole header on. Older segments are sealed:
//! the number with which a header begins says where the segment before it ended (invariants 4 and 5), so their
//! records are counted without being read. Opening therefore costs what one segment costs, however long the log is;
//! rot in an older segment is told by whoever reads it, first of all `lapwing log verify`.

use super::media::Media;
use super::reader::{Damage, DamageKind, Item, Position, Reader};
use super::record::Seq;
use super::retain::Held;
use super::segment::{HeaderState, read_header};
use super::writer::LogError;

/// What opening a log found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Records that it holds; those in older segments by what the headers say.
    pub records: u64,
    /// Number of the oldest.
    pub first_seq: Option<Seq>,
    /// Number of the newest.
    pub last_seq: Option<Seq>,
    /// Bytes of a torn end that were cut off.
    pub bytes_trimmed: u64,
    /// Segments.
    pub segments: u32,
    /// Places in the newest segment where acknowledged records may have been damaged.
    pub corrupt_regions: u32,
    /// Which opening this is, from 1.
    pub run: u32,
}

/// What lies on the medium.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// For the caller; nothing is trimmed yet.
    pub found: Recovery,
    /// Segments and bytes.
    pub held: Held,
    /// The newest segment, whole or not.
    pub newest: Option<u32>,
    /// The end of the newest segment, if a cut left it torn.
    pub torn: Option<Damage>,
    /// The number that the next record takes.
    pub next_seq: u64,
}

/// Reads what recovery needs. Changes nothing.
///
/// # Errors
/// The medium fails, or a segment has another format.
pub(super) fn survey<M: Media>(media: &mut M) -> Result<Survey, LogError<M::Error>> {
    let mut seen = Survey { next_seq: 1, ..Survey::default() };
    let (mut oldest, mut sealed_by, mut run) = (None, None, 0);
    let mut from = Some(0);
    while let Some(start) = from {
        let Some(id) = media.find(start).map_err(LogError::Media)? else { break };
        match read_header(media, id).map_err(LogError::Media)? {
            HeaderState::Valid(header) => {
                run = run.max(header.run);
                seen.next_seq = seen.next_seq.max(header.first_seq.0);
                if header.id == id {
                    oldest.get_or_insert(header.first_seq.0);
                    sealed_by = Some(header);
                }
            }
            HeaderState::OtherFormat(format) => return Err(LogError::Format { segment: id, format }),
            HeaderState::Bad => {}
        }
        seen.held.segments += 1;
        seen.held.bytes += u64::from(media.len(id).map_err(LogError::Media)?.unwrap_or(0));
        seen.newest = Some(id);
        from = id.checked_add(1);
    }
    let found = &mut seen.found;
    found.run = run.saturating_add(1);
    found.segments = seen.held.segments;
    let start = sealed_by.map_or_else(Position::default, |header| {
        found.records = header.first_seq.0.saturating_sub(oldest.unwrap_or(header.first_seq.0));
        if found.records > 0 {
            found.first_seq = oldest.map(Seq);
            found.last_seq = header.first_seq.0.checked_sub(1).map(Seq);
        }
        Position::before(header.id, header.first_seq)
    });
    let mut reader = Reader::resume(media, start);
    while let Some(item) = reader.next().map_err(LogError::Media)? {
        match item {
            Item::Record { seq, .. } => {
                found.records += 1;
                found.first_seq.get_or_insert(seq);
                found.last_seq = Some(seq);
            }
            Item::Damage(damage) => match damage.kind {
                DamageKind::Format(format) => return Err(LogError::Format { segment: damage.segment, format }),
                DamageKind::Torn => seen.torn = Some(damage),
                DamageKind::Corrupt => found.corrupt_regions += 1,
            },
        }
    }
    seen.torn = seen.torn.filter(|damage| Some(damage.segment) == seen.newest);
    if let Some(last) = found.last_seq {
        seen.next_seq = seen.next_seq.max(last.0.saturating_add(1));
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::super::mem::{FaultyMedia, Plan};
    use super::super::{Limits, Log};
    use super::*;
    use crate::limits::SEGMENT_HEADER_BYTES;

    const LIMITS: Limits = Limits { segment_bytes: 16_384, total_bytes: 64 << 20 };

    /// Counts what is read.
    struct Counted(FaultyMedia, u64);

    impl Media for Counted {
        type Error = <FaultyMedia as Media>::Error;

        fn find(&mut self, from: u32) -> Result<Option<u32>, Self::Error> {
            self.0.find(from)
        }

        fn len(&mut self, id: u32) -> Result<Option<u32>, Self::Error> {
            self.0.len(id)
        }

        fn read_at(&mut self, id: u32, offset: u32, into: &mut [u8]) -> Result<usize, Self::Error> {
            let count = self.0.read_at(id, offset, into)?;
            self.1 += count as u64;
            Ok(count)
        }

        fn create(&mut self, id: u32) -> Result<(), Self::Error> {
            self.0.create(id)
        }

        fn append(&mut self, id: u32, bytes: &[u8]) -> Result<(), Self::Error> {
            self.0.append(id, bytes)
        }

        fn sync(&mut self, id: u32) -> Result<(), Self::Error> {
            self.0.sync(id)
        }

        fn truncate(&mut self, id: u32, bytes: u32) -> Result<(), Self::Error> {
            self.0.truncate(id, bytes)
        }

        fn remove(&mut self, id: u32) -> Result<(), Self::Error> {
            self.0.remove(id)
        }
    }

    fn filled(records: u32) -> FaultyMedia {
        let mut media = FaultyMedia::new(1);
        let (mut log, _) = Log::open(&mut media, LIMITS).unwrap();
        for number in 0..records {
            log.append(&number.to_le_bytes().repeat(16)).unwrap();
            log.commit().unwrap();
        }
        drop(log);
        media
    }

    #[test]
    fn what_is_read_does_not_grow_with_the_log() {
        let read = |records| {
            let mut media = Counted(filled(records), 0);
            let seen = survey(&mut media).unwrap();
            assert_eq!((seen.found.records, seen.next_seq), (u64::from(records), u64::from(records) + 1));
            let headers = SEGMENT_HEADER_BYTES as u64 * u64::from(seen.found.segments + 2);
            media.1 - headers.min(media.1)
        };
        // a segment, and what is read again where records straddle the window
        let most = 2 * u64::from(LIMITS.segment_bytes);
        assert!(read(40_000) <= most && read(400) <= most, "{} of {most}", read(40_000));
        // the control: whoever reads it all reads more than that
        let mut all = Counted(filled(4000), 0);
        let mut reader = Reader::new(&mut all);
        while reader.next().unwrap().is_some() {}
        assert!(all.1 > 4 * most, "{} of {most}", all.1);
    }

    /// The oldest segments go while new ones begin, and the power goes at each operation of that.
    #[test]
    fn a_cut_while_old_segments_go_is_counted_right() {
        let limits = Limits { segment_bytes: 16_384, total_bytes: 3 * 16_384 };
        let mut dropped = 0;
        for operations in 0..150 {
            let mut media = FaultyMedia::new(operations);
            media.set_plan(Some(Plan::Cut(operations)));
            let mut acknowledged = 0;
            if let Ok((mut log, _)) = Log::open(&mut media, limits) {
                for number in 0..70u64 {
                    for _ in 0..2 {
                        log.append(&number.to_le_bytes().repeat(64)).unwrap();
                    }
                    let Ok(Some(done)) = log.commit() else { break };
                    acknowledged = done.get().0;
                }
                dropped = dropped.max(log.segments_dropped());
            }
            media.power_cut();
            let seen = survey(&mut media).unwrap();
            let (mut numbers, mut reader) = (std::vec::Vec::new(), Reader::new(&mut media));
            while let Some(item) = reader.next().unwrap() {
                if let Item::Record { seq, .. } = item {
                    numbers.push(seq.0);
                }
            }
            let (first, last) = (numbers.first().copied(), numbers.last().copied());
            assert_eq!(seen.found.records, numbers.len() as u64, "cut at {operations}");
            assert_eq!((seen.found.first_seq, seen.found.last_seq), (first.map(Seq), last.map(Seq)));
            assert!(last.unwrap_or(0) >= acknowledged && seen.next_seq > acknowledged, "cut at {operations}: {seen:?}");
        }
        assert!(dropped > 1, "nothing was dropped: the test would not notice");
    }

    #[test]
    fn rot_in_a_sealed_segment_changes_nothing_and_is_told_by_a_reader() {
        let mut media = filled(1000);
        let before = survey(&mut media).unwrap().found;
        media.segment_mut(1).unwrap()[100] ^= 1;
        assert_eq!(survey(&mut media).unwrap().found, before);
        let mut reader = Reader::new(&mut media);
        let mut told = 0;
        while let Some(item) = reader.next().unwrap() {
            told += u32::from(matches!(item, Item::Damage(Damage { kind: DamageKind::Corrupt, segment: 1, .. })));
        }
        assert_eq!(told, 1);
    }

    #[test]
    fn a_cut_at_the_birth_of_a_segment_leaves_the_numbers_as_they_were() {
        for operations in 0..12 {
            let mut media = filled(192); // the first commit of a run begins a segment
            media.set_plan(Some(Plan::Cut(operations)));
            let mut acknowledged = 192;
            if let Ok((mut log, _)) = Log::open(&mut media, LIMITS) {
                let _ = log.append(&[7; 64]);
                acknowledged += u64::from(log.commit().is_ok());
            }
            media.power_cut();
            media.set_plan(None);
            let seen = survey(&mut media).unwrap();
            assert!(seen.next_seq > acknowledged, "{operations}: {} after {acknowledged}", seen.next_seq);
            assert!(seen.found.records >= acknowledged && seen.found.records < seen.next_seq, "{seen:?}");
        }
    }
}
