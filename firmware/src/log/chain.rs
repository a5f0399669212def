//! The row of records that a reader is in: where it began, and which number comes next.

use super::record::Seq;
use crate::limits::BLOCK_BYTES;

/// A row of records without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    /// The segment.
    pub segment: u32,
    /// Where the row begins.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// Number of its first record.
    pub first: u64,
    /// Every record of it was whole where it stands, and nothing in its segment is damaged from its twin on.
    pub is_whole: bool,
}

/// Follows a reader.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Chain {
    /// The row that is being read, and the number that comes next in it.
    row: Option<(Tail, u64)>,
    /// The last row that began, and in which segment.
    began: Option<(u32, u32)>,
    /// The row in which the newest record stands.
    tail: Option<Tail>,
    /// What comes next was read from its twin.
    healed: bool,
}

impl Chain {
    /// A record of `bytes` at `at`.
    pub fn record(&mut self, segment: u32, at: u32, bytes: u32, seq: Seq, is_new: bool) {
        let row = self.add(segment, at, bytes, seq.0, seq.0.saturating_add(1));
        let is_tail = self.tail.is_some_and(|tail| (tail.segment, tail.start) == (segment, row.start));
        if is_new || is_tail {
            self.tail = Some(row);
        }
    }

    /// The start of a run, of `bytes` at `at`; the record behind it has number `seq`.
    pub fn run(&mut self, segment: u32, at: u32, bytes: u32, seq: Seq) {
        self.add(segment, at, bytes, seq.0, seq.0);
    }

    fn add(&mut self, segment: u32, at: u32, bytes: u32, first: u64, next: u64) -> Tail {
        let healed = core::mem::take(&mut self.healed);
        let new = Tail { segment, start: at, end: at, first, is_whole: true };
        let mut row = self.row.map(|(row, _)| row).filter(|row| (row.segment, row.end) == (segment, at)).unwrap_or(new);
        row.is_whole &= !healed;
        row.end = at.saturating_add(bytes);
        self.row = Some((row, next));
        self.began = Some((segment, row.start));
        row
    }

    /// What comes next was read from its twin.
    pub fn heal(&mut self) {
        self.healed = true;
    }

    /// The row ends.
    pub fn end(&mut self) {
        self.row = None;
    }

    /// Something at `at` is damaged: nothing may be written there.
    pub fn damaged(&mut self, segment: u32, at: u32) {
        self.row = None;
        if let Some(tail) = &mut self.tail
            && tail.segment == segment
            && at.saturating_add(BLOCK_BYTES as u32) >= tail.start
        {
            tail.is_whole = false;
        }
    }

    /// The number that a record at `at` has, if it belongs to the row that is being read.
    pub fn expects(&self, segment: u32, at: u32) -> Option<u64> {
        self.row.filter(|(row, _)| (row.segment, row.end) == (segment, at)).map(|(_, next)| next)
    }

    /// Where the last row of a segment began.
    pub fn last_start(&self, segment: u32) -> Option<u32> {
        self.began.filter(|(of, _)| *of == segment).map(|(_, start)| start)
    }

    /// The row in which the newest record stands.
    pub fn tail(&self) -> Option<Tail> {
        self.tail
    }
}
