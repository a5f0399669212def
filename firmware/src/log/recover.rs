//! Recovery: what opening reads, and what it concludes.
//!
//! Read are the header of every segment, and every byte from the newest whole header on. Older segments are sealed:
//! the number with which a header begins says where the segment before it ended (invariants 4 and 5), so their
//! records are counted without being read. Opening therefore costs what one segment costs, however long the log is;
//! rot in an older segment is told by whoever reads it, first of all `lapwing log verify`.

use super::block::CHAIN_BYTES_MAX;
use super::chain::Tail;
use super::error::LogError;
use super::look::{is_blank_block, is_blank_from, is_older_twin, written_end};
use super::media::Media;
use super::reader::{Damage, DamageKind, Item, Position, Reader};
use super::record::Seq;
use super::retain::Held;
use super::segment::{HeaderState, SegmentHeader, read_header};
use crate::limits::{BLOCK_BYTES, RECORD_HEADER_BYTES};

const BLOCK: u32 = BLOCK_BYTES as u32;

/// What opening a log found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Records that it holds; those in older segments by what the headers say.
    pub records: u64,
    /// Number of the oldest.
    pub first_seq: Option<Seq>,
    /// Number of the newest.
    pub last_seq: Option<Seq>,
    /// Bytes of a torn end, which were never acknowledged; they are passed over.
    pub bytes_torn: u64,
    /// Segments.
    pub segments: u32,
    /// Places in what was read where acknowledged records may have been damaged.
    pub corrupt_regions: u32,
    /// Which opening this is, from 1.
    pub run: u32,
}

/// Where the log may be written on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The segment.
    pub id: u32,
    /// Its size.
    pub bytes: u32,
    /// Where the next commit goes, unless it goes with the chain: nothing was ever written there.
    pub next_at: u32,
    /// In blocks: where the newest chain begins, where it ends, and where its twin goes.
    pub chain: Option<(u32, u32, u32)>,
}

impl Place {
    /// Where the chain goes with the next commit, if that is in the segment.
    pub fn twin(&self) -> Option<u32> {
        let twin = self.chain.map(|(_, _, twin)| twin);
        twin.filter(|twin| twin.checked_add(BLOCK).is_some_and(|end| end <= self.bytes))
    }
}

/// What lies on the medium.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// For the caller.
    pub found: Recovery,
    /// Segments and bytes.
    pub held: Held,
    /// The newest segment, whole or not.
    pub newest: Option<u32>,
    /// The newest segment has no header and never held anything.
    pub is_stillborn: bool,
    /// The number that the next record takes.
    pub next_seq: u64,
    /// Where the next commit may go; `None` where only a new segment will do.
    pub place: Option<Place>,
}

/// What the headers say.
#[derive(Default)]
struct Headers {
    held: Held,
    newest: Option<u32>,
    /// The newest whole one.
    last: Option<SegmentHeader>,
    oldest_seq: Option<u64>,
    next_seq: u64,
    run: u32,
}

/// Reads what recovery needs. Changes nothing.
///
/// # Errors
/// The medium fails, or a segment has another format.
pub(super) fn survey<M: Media>(media: &mut M) -> Result<Survey, LogError<M::Error>> {
    let headers = headers(media)?;
    let mut found = Recovery { segments: headers.held.segments, ..Recovery::default() };
    let start = headers.last.map_or_else(Position::default, |header| {
        found.records = header.first_seq.0.saturating_sub(headers.oldest_seq.unwrap_or(header.first_seq.0));
        if found.records > 0 {
            found.first_seq = headers.oldest_seq.map(Seq);
            found.last_seq = header.first_seq.0.checked_sub(1).map(Seq);
        }
        Position::before(header.id, header.first_seq)
    });
    let (mut run, mut last_damage, mut last_corrupt) = (headers.run, None, None);
    let mut reader = Reader::resume(media, start);
    while let Some(item) = reader.next().map_err(LogError::Media)? {
        match item {
            Item::Record { seq, run: of, .. } => {
                found.records += 1;
                found.first_seq.get_or_insert(seq);
                found.last_seq = Some(seq);
                (run, last_damage) = (run.max(of), None);
            }
            Item::Damage(damage) => {
                last_damage = Some(damage);
                match damage.kind {
                    DamageKind::Format(format) => return Err(LogError::Format { segment: damage.segment, format }),
                    DamageKind::Torn => {}
                    DamageKind::Corrupt => {
                        found.corrupt_regions += 1;
                        last_corrupt = Some(damage);
                    }
                }
            }
        }
    }
    let tail = reader.tail();
    found.run = run.saturating_add(1);
    let last_damage = last_damage.filter(|damage| Some(damage.segment) == headers.newest);
    let mut next_seq = headers.next_seq.max(found.last_seq.map_or(0, |last| last.0.saturating_add(1)));
    let mut is_stillborn = false;
    match last_damage {
        Some(Damage { kind: DamageKind::Torn, bytes, offset, .. }) => {
            found.bytes_torn = u64::from(bytes);
            is_stillborn = offset == 0;
        }
        // records may have stood there: their numbers are not given again
        Some(Damage { bytes, .. }) => {
            next_seq = next_seq.saturating_add(records_max(bytes));
        }
        None => {}
    }
    // the same of the block before the newest chain, which may be its twin and may have held more than it
    if last_corrupt.zip(tail).is_some_and(|(damage, tail)| may_be_twin(&damage, &tail)) {
        next_seq = next_seq.saturating_add(records_max(BLOCK));
    }
    let place = match headers.last.filter(|header| header.goes_on && Some(header.id) == headers.newest) {
        Some(header) => place(media, &header, tail).map_err(LogError::Media)?,
        None => None,
    };
    Ok(Survey { found, held: headers.held, newest: headers.newest, is_stillborn, next_seq, place })
}

/// More records than may have stood in so many bytes.
fn records_max(bytes: u32) -> u64 {
    u64::from(bytes / RECORD_HEADER_BYTES as u32 + 1)
}

/// What is damaged reaches into the block before the chain.
fn may_be_twin(damage: &Damage, tail: &Tail) -> bool {
    let end = damage.offset.saturating_add(damage.bytes);
    damage.segment == tail.segment && damage.offset < tail.start && end.saturating_add(BLOCK) > tail.start
}

fn headers<M: Media>(media: &mut M) -> Result<Headers, LogError<M::Error>> {
    let mut seen = Headers { next_seq: 1, ..Headers::default() };
    let mut from = Some(0);
    while let Some(start) = from {
        let Some(id) = media.find(start).map_err(LogError::Media)? else { break };
        match read_header(media, id).map_err(LogError::Media)? {
            HeaderState::Valid(header) => {
                seen.run = seen.run.max(header.run);
                seen.next_seq = seen.next_seq.max(header.first_seq.0);
                if header.id == id {
                    seen.oldest_seq.get_or_insert(header.first_seq.0);
                    seen.last = Some(header);
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
    Ok(seen)
}

/// Where the newest segment may be written on: behind all that was ever written to it, or beside its last chain.
fn place<M: Media>(media: &mut M, header: &SegmentHeader, tail: Option<Tail>) -> Result<Option<Place>, M::Error> {
    let id = header.id;
    if header.blocks != M::IN_BLOCKS {
        return Ok(None);
    }
    let length = media.len(id)?.unwrap_or(0);
    if !header.blocks {
        return Ok(Some(Place { id, bytes: header.bytes, next_at: length, chain: None }));
    }
    let bytes = header.bytes.min(length);
    let tail = tail.filter(|tail| {
        let in_block = tail.start.is_multiple_of(BLOCK) && (tail.end - tail.start) as usize <= CHAIN_BYTES_MAX;
        tail.segment == id && tail.is_whole && in_block
    });
    if let Some(Tail { start, end, .. }) = tail {
        let behind = start.saturating_add(BLOCK);
        let before = start.checked_sub(BLOCK).filter(|before| *before >= BLOCK);
        let has_older = |media: &mut M, twin: u32| is_older_twin(media, id, start, end, twin);
        let chain = match before {
            Some(before) if has_older(media, before)? => Some((before, behind)),
            _ if is_blank_block(media, id, behind, bytes)? => Some((behind, behind)),
            _ if has_older(media, behind)? => Some((behind, behind.saturating_add(BLOCK))),
            _ => None,
        };
        if let Some((twin, next_at)) = chain
            && is_blank_from(media, id, end)?
            && is_blank_block(media, id, next_at, bytes)?
        {
            return Ok(Some(Place { id, bytes, next_at, chain: Some((start, end, twin)) }));
        }
    }
    Ok(Some(Place { id, bytes, next_at: written_end(media, id, BLOCK, bytes)?, chain: None }))
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
        const IN_BLOCKS: bool = true;

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

        fn create(&mut self, id: u32, head: &[u8], bytes: u32) -> Result<(), Self::Error> {
            self.0.create(id, head, bytes)
        }

        fn write(&mut self, id: u32, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
            self.0.write(id, offset, bytes)
        }

        fn sync(&mut self, id: u32) -> Result<(), Self::Error> {
            self.0.sync(id)
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
        for copy in [1, 2] {
            media.segment_mut(1).unwrap()[copy * BLOCK_BYTES + 100] ^= 1;
        }
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
