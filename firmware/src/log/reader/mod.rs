//! Reads a log from its medium, oldest record first, and says what is damaged. Changes nothing.

mod damage;

use heapless::Vec;

use super::block::{ALIGN, block_from, nothing_begins};
use super::chain::{Chain, Tail};
use super::look::{Window, find_first, find_next, holds_something, is_blank_block, was_torn};
use super::media::Media;
use super::record::{Parsed, Seq, parse};
use super::segment::{HeaderState, read_header};
use crate::limits::{
    BLOCK_BYTES, LOOKS_MAX, RECORD_BYTES_MAX, RECORD_HEADER_BYTES, SECTOR_BYTES, SEGMENT_BYTES_MAX,
    SEGMENT_HEADER_BYTES,
};

/// What reading comes upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A record; its payload is in [`Reader::payload`].
    Record {
        /// Its number.
        seq: Seq,
        /// The segment it stands in.
        segment: u32,
        /// The run that wrote it; 0 where the segment's header is damaged.
        run: u32,
    },
    /// Bytes that are no record.
    Damage(Damage),
}

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: u32,
    /// Where in the segment, in bytes.
    pub offset: u32,
    /// How many bytes; 0 where nothing but a number is missing.
    pub bytes: u32,
    /// What it means.
    pub kind: DamageKind,
}

/// What damage means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// Nothing that was acknowledged is missing: what a power cut leaves, or what stands elsewhere too.
    Torn,
    /// Acknowledged records may have stood here: the medium rots.
    Corrupt,
    /// The segment has another format than this build reads.
    Format(u16),
}

const BLOCK: u32 = BLOCK_BYTES as u32;

/// Where reading stands; can be kept and taken up again by [`Reader::resume`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    segment: u32,
    offset: u32,
    last: Option<u64>,
}

impl Position {
    /// At the beginning of a segment, behind every record with a lower number than `first`.
    pub(super) fn before(segment: u32, first: Seq) -> Position {
        Position { segment, offset: 0, last: first.0.checked_sub(1) }
    }
}

/// The segment that is being read.
#[derive(Debug, Clone, Copy)]
struct Open {
    id: u32,
    run: u32,
    /// What is read of it.
    bytes: u32,
    blocks: bool,
    /// Records from this number on stand in the next segment too: there they count.
    below: Option<u64>,
    is_newest: bool,
}

impl Open {
    /// A record that counts behind one of number `last`.
    fn counts(&self, last: Option<u64>, seq: Seq) -> bool {
        last.is_none_or(|last| seq.0 > last) && self.below.is_none_or(|below| seq.0 < below)
    }
}

/// Reads a log. See [`Reader::next`].
#[derive(Debug)]
pub struct Reader<'m, M> {
    media: &'m mut M,
    at: Position,
    open: Option<Open>,
    payload: Vec<u8, RECORD_BYTES_MAX>,
    window: Window,
    /// The row of records that is being read.
    chain: Chain,
    /// The end of the newest segment is damaged: a writer may be about to complete it.
    done: bool,
    /// Damage was told: a gap in the numbers behind it is no news.
    is_explained: bool,
    /// Times that it went back because a number was missing.
    looks: u32,
    /// A block whose beginning is broken, and whose twin is being read in its place.
    skipped: Option<u32>,
    /// Damaged blocks, from and to: the next number tells what they mean.
    pending: Option<(u32, u32)>,
    /// Behind damage, where the rest of a commit is read whose beginning is broken.
    salvaged_at: Option<u32>,
}

/// What stands at the position.
enum Next {
    Record { seq: Seq, bytes: u32, is_new: bool },
    Run { run: u32, seq: Seq, bytes: u32 },
    Padding,
    Empty,
    Broken,
}

impl<'m, M: Media> Reader<'m, M> {
    /// Reads from the oldest record on.
    pub fn new(media: &'m mut M) -> Self {
        Reader::resume(media, Position::default())
    }

    /// Reads on from a position.
    pub fn resume(media: &'m mut M, at: Position) -> Self {
        let (window, chain) = (Window::default(), Chain::default());
        Reader {
            media,
            at,
            open: None,
            payload: Vec::new(),
            window,
            chain,
            done: false,
            is_explained: false,
            looks: 0,
            skipped: None,
            pending: None,
            salvaged_at: None,
        }
    }

    /// Where reading stands, behind the last record.
    pub fn position(&self) -> Position {
        let open = self.open.filter(|open| open.blocks);
        Position { offset: open.map_or(self.at.offset, |open| self.writable_from(open.id)), ..self.at }
    }

    /// The payload of the record that [`Reader::next`] gave last.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The row of records in which the newest stands.
    pub(super) fn tail(&self) -> Option<Tail> {
        self.chain.tail()
    }

    /// The next record or damage; `None` at the end, where more may be appended later.
    ///
    /// # Errors
    /// The medium cannot be read.
    #[expect(clippy::should_implement_trait, reason = "it lends the payload and it fails")]
    pub fn next(&mut self) -> Result<Option<Item>, M::Error> {
        while !self.done {
            let open = match self.open {
                Some(open) => open,
                None => match self.enter()? {
                    Entered::Segment(open, damage) => {
                        self.open = Some(open);
                        match damage {
                            Some(damage) => return Ok(Some(Item::Damage(damage))),
                            None => open,
                        }
                    }
                    Entered::Skip(damage) => return Ok(Some(Item::Damage(damage))),
                    Entered::End => return Ok(None),
                },
            };
            let next = self.take(&open)?;
            if let Some(damage) = self.resolved(&open, &next) {
                return Ok(Some(Item::Damage(damage)));
            }
            match next {
                Next::Record { seq, is_new: true, .. }
                    if open.blocks && !self.is_explained && self.is_missing(Some(seq.0)) =>
                {
                    if let Some(damage) = self.gap(&open) {
                        return Ok(Some(Item::Damage(damage)));
                    }
                }
                Next::Record { seq, bytes, is_new } => {
                    self.chain.record(open.id, self.at.offset, bytes, seq, is_new);
                    self.at.offset += bytes;
                    if is_new {
                        (self.at.last, self.is_explained, self.looks) = (Some(seq.0), false, 0);
                        return Ok(Some(Item::Record { seq, segment: open.id, run: open.run }));
                    }
                }
                Next::Run { run, seq, bytes } => {
                    self.chain.run(open.id, self.at.offset, bytes, seq);
                    self.at.offset += bytes;
                    self.open = Some(Open { run: open.run.max(run), ..open }); // an older twin may follow
                }
                Next::Padding => {
                    self.chain.end();
                    self.at.offset = block_from(self.at.offset.saturating_add(1));
                }
                Next::Empty if self.leave(&open)? => {}
                Next::Empty => return Ok(None),
                Next::Broken => {
                    if let Some(damage) = self.damage(&open)? {
                        return Ok(Some(Item::Damage(damage)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// What stands at the position; the payload of a record that counts is kept.
    fn take(&mut self, open: &Open) -> Result<Next, M::Error> {
        let at = self.at.offset;
        if at >= open.bytes && (open.blocks || !open.is_newest) {
            return Ok(Next::Empty);
        }
        // what was read ahead may end in the middle of a record, or before one that was written since; a writer may be
        // in the middle of a block
        for look in 0..=LOOKS_MAX {
            if look > 0 {
                self.window.fill(self.media, open.id, at)?;
            }
            match self.parsed(open, at, at) {
                Some(next) => return Ok(next),
                None if look == 0 => {}
                None if open.blocks => {
                    if let Some(next) = self.beside(open)? {
                        return Ok(next);
                    }
                }
                None if self.window.from(open.id, at).is_empty() => return Ok(Next::Empty),
                None => {}
            }
            if look > 0 && !open.is_newest {
                break; // nobody writes there
            }
        }
        Ok(Next::Broken)
    }

    /// The record that was read ahead from `from`, if it may stand at `at`.
    fn parsed(&mut self, open: &Open, from: u32, at: u32) -> Option<Next> {
        let aligned = |bytes: u32| if open.blocks { bytes.next_multiple_of(ALIGN) } else { bytes };
        // in blocks a row begins with the beginning of a commit
        let begins = open.blocks && self.salvaged_at != Some(at) && self.chain.expects(open.id, at).is_none();
        match parse(self.window.from(open.id, from)) {
            Parsed::Record { first: false, .. } if begins => None,
            Parsed::Record { seq, payload, .. } => {
                let is_new = open.counts(self.at.last, seq);
                let bytes = aligned((RECORD_HEADER_BYTES + payload.len()) as u32);
                if is_new {
                    self.payload.clear();
                    let _ = self.payload.extend_from_slice(payload); // parse bounds it
                }
                Some(Next::Record { seq, bytes, is_new })
            }
            Parsed::Run { run, seq } => Some(Next::Run { run, seq, bytes: aligned(RECORD_HEADER_BYTES as u32 + 4) }),
            Parsed::Empty | Parsed::Torn | Parsed::Corrupt => None,
        }
    }

    /// In blocks, where no record stands at the position: its row ends there, or it stands in the block's twin.
    fn beside(&mut self, open: &Open) -> Result<Option<Next>, M::Error> {
        let at = self.at.offset;
        if at.is_multiple_of(BLOCK) && is_blank_block(self.media, open.id, at, open.bytes)? {
            return Ok(Some(Next::Empty));
        }
        let ends = nothing_begins(self.window.from(open.id, at), at);
        if let Some(next) = self.twin(open, ends)? {
            return Ok(Some(next));
        }
        // nothing that was acknowledged stands behind it in this block, whatever a cut has left there
        if ends && self.skipped.is_none() {
            return Ok(Some(Next::Padding));
        }
        let behind = at.saturating_add(BLOCK);
        if !ends && at.is_multiple_of(BLOCK) && behind < open.bytes && !was_torn(self.media, open.id, at)? {
            self.window.fill(self.media, open.id, behind)?;
            if let Parsed::Record { seq, first: true, .. } | Parsed::Run { seq, .. } =
                parse(self.window.from(open.id, behind))
                && self.are_twins(open, seq)?
            {
                self.skipped = Some(at); // they begin alike: that one is read first
                self.chain.heal(); // nothing is written beside a broken copy
                return Ok(Some(Next::Padding));
            }
        }
        Ok(None)
    }

    /// The broken block at the position, and the one behind it, which begins with number `seq`, hold the same chain: that
    /// one begins with the number that is due, or (where numbers were passed over) before a record that is whole in this
    /// one.
    fn are_twins(&mut self, open: &Open, seq: Seq) -> Result<bool, M::Error> {
        let Position { offset: at, last, .. } = self.at;
        if last.is_none_or(|last| seq.0 <= last.saturating_add(1)) {
            return Ok(true);
        }
        let whole =
            find_next(self.media, open.id, at, at.saturating_add(BLOCK), ALIGN, |seq, _| open.counts(last, seq))?;
        Ok(whole.is_some_and(|(_, whole)| seq <= whole))
    }

    /// The record at the position, as it stands in the twin of its block: where the row ends, only in a twin that was
    /// passed over.
    fn twin(&mut self, open: &Open, ends: bool) -> Result<Option<Next>, M::Error> {
        let at = self.at.offset;
        let Some(expected) = self.chain.expects(open.id, at) else { return Ok(None) };
        let before = at.checked_sub(BLOCK).filter(|before| *before >= BLOCK);
        let behind = at.checked_add(BLOCK).filter(|behind| *behind < open.bytes && !ends);
        for twin in [behind, before.filter(|_| !ends || self.skipped.is_some())].into_iter().flatten() {
            self.window.fill(self.media, open.id, twin)?;
            let window = self.window.from(open.id, twin);
            let found = match parse(window) {
                Parsed::Record { seq, .. } | Parsed::Run { seq, .. } if seq.0 == expected => {
                    self.parsed(open, twin, at)
                }
                _ => None,
            };
            if found.is_some() {
                self.chain.heal();
                return Ok(found);
            }
            if ends && nothing_begins(self.window.from(open.id, twin), twin) {
                self.skipped = None; // it had nothing more
            }
        }
        Ok(None)
    }

    /// Opens the segment at the position, or the first one behind it.
    fn enter(&mut self) -> Result<Entered, M::Error> {
        let Some(id) = self.media.find(self.at.segment)? else { return Ok(Entered::End) };
        if id != self.at.segment {
            self.at = Position { segment: id, offset: 0, last: self.at.last };
        }
        let bytes = self.media.len(id)?.unwrap_or(0).min(SEGMENT_BYTES_MAX);
        let state = read_header(self.media, id)?;
        let (below, is_newest) = self.next_first(id)?;
        let mut open = Open { id, run: 0, bytes, blocks: false, below, is_newest };
        match state {
            HeaderState::Valid(header) if header.id == id => {
                (open.run, open.blocks, open.bytes) = (header.run, header.blocks, bytes.min(header.bytes));
                let start = if header.blocks { BLOCK } else { SEGMENT_HEADER_BYTES as u32 };
                let gap = self.at.offset == 0 && !self.is_explained && self.is_missing(Some(header.first_seq.0));
                self.is_explained |= gap;
                self.at.offset = self.at.offset.max(start);
                // no record of it has a lower number: what opening takes for granted, reading does too
                self.at.last = self.at.last.max(header.first_seq.0.checked_sub(1));
                let damage = Damage { segment: id, offset: 0, bytes: 0, kind: DamageKind::Corrupt };
                Ok(Entered::Segment(open, gap.then_some(damage)))
            }
            HeaderState::OtherFormat(format) => {
                self.at = Position { segment: id.saturating_add(1), offset: 0, last: self.at.last };
                Ok(Entered::Skip(Damage { segment: id, offset: 0, bytes, kind: DamageKind::Format(format) }))
            }
            _ if self.at.offset > 0 => Ok(Entered::Segment(open, None)),
            _ => {
                self.is_explained = true;
                // the rest of the header's block tells how it was made
                open.blocks = M::IN_BLOCKS && is_blank_block(self.media, id, BLOCK - SECTOR_BYTES as u32, BLOCK)?;
                let last = self.at.last;
                let found = find_first(self.media, id, 0, bytes, |seq| open.counts(last, seq))?;
                let (end, kind) = match found {
                    Some(_) if open.blocks => (BLOCK, DamageKind::Corrupt),
                    Some((offset, _)) => (offset, DamageKind::Corrupt),
                    None if self.is_missing(below) => (bytes, DamageKind::Corrupt),
                    None if M::IN_BLOCKS && is_newest && holds_something(self.media, id, bytes)? => {
                        (bytes, DamageKind::Corrupt)
                    }
                    None => (bytes, DamageKind::Torn),
                };
                self.at.offset = end;
                Ok(Entered::Segment(open, Some(Damage { segment: id, offset: 0, bytes: end, kind })))
            }
        }
    }

    /// The number that goes on, `next`, leaves a gap.
    fn is_missing(&self, next: Option<u64>) -> bool {
        next.zip(self.at.last).is_some_and(|(next, last)| next > last.saturating_add(1))
    }

    /// First number of the next segment that has a header, and whether `id` is the newest segment.
    fn next_first(&mut self, id: u32) -> Result<(Option<u64>, bool), M::Error> {
        let (mut from, mut is_newest) = (id, true);
        while let Some(next) = from.checked_add(1) {
            let Some(next) = self.media.find(next)? else { break };
            is_newest = false;
            if let HeaderState::Valid(header) = read_header(self.media, next)? {
                return Ok((Some(header.first_seq.0), false));
            }
            from = next;
        }
        Ok((None, is_newest))
    }

    /// In blocks: where a writer may yet write, which is the twin of the block in which the last row began.
    fn writable_from(&self, id: u32) -> u32 {
        let block = self.chain.last_start(id).map_or(0, |start| start - start % BLOCK);
        block.saturating_sub(BLOCK).max(BLOCK)
    }

    /// Goes back to where a writer may yet write.
    fn back(&mut self, open: &Open) {
        if open.blocks {
            // a row and its twin lie in two blocks, whatever a file that nobody of us wrote says
            let before = (self.at.offset - self.at.offset % BLOCK).saturating_sub(3 * BLOCK);
            self.at.offset = self.writable_from(open.id).max(before);
            self.chain.end();
            self.skipped = None;
        }
    }

    /// At the end of a segment: goes on to the next one. False if there is none.
    fn leave(&mut self, open: &Open) -> Result<bool, M::Error> {
        let next = match open.id.checked_add(1) {
            Some(next) => self.media.find(next)?,
            None => None,
        };
        self.open = None;
        let Some(next) = next else {
            self.back(open);
            return Ok(false); // look again at its length and at its followers
        };
        if open.is_newest {
            self.back(open); // a follower has come since it was opened: take its first number into account
        } else {
            self.at = Position { segment: next, offset: 0, last: self.at.last };
        }
        Ok(true)
    }
}

enum Entered {
    Segment(Open, Option<Damage>),
    Skip(Damage),
    End,
}
