//! Reads a log from its medium, oldest record first, and says what is damaged. Changes nothing.

use heapless::Vec;

use super::media::Media;
use super::record::{Parsed, Seq, find_magic, parse};
use super::segment::{HeaderState, read_header};
use crate::limits::{FRAME_BYTES_MAX, READ_WINDOW_BYTES, RECORD_BYTES_MAX, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES};

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
    /// How many bytes.
    pub bytes: u32,
    /// What it means.
    pub kind: DamageKind,
}

/// What damage means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// The end of a segment, never acknowledged: what a power cut leaves.
    Torn,
    /// Acknowledged records may have stood here: the medium rots.
    Corrupt,
    /// The segment has another format than this build reads.
    Format(u16),
}

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
    bytes: u32,
    /// Records from this number on stand in the next segment too: there they count.
    below: Option<u64>,
    is_newest: bool,
}

/// Reads a log. See [`Reader::next`].
#[derive(Debug)]
pub struct Reader<'m, M> {
    media: &'m mut M,
    at: Position,
    open: Option<Open>,
    payload: Vec<u8, RECORD_BYTES_MAX>,
    window: Window,
    /// The newest segment's torn end was met: a writer may be about to complete it.
    done: bool,
}

/// Bytes of the medium that were read ahead: records lie close together.
#[derive(Debug, Default)]
struct Window {
    bytes: Vec<u8, READ_WINDOW_BYTES>,
    /// The segment and offset of the first of them.
    segment: u32,
    offset: u32,
}

impl Window {
    /// Those of a segment from `offset` on; none where they were not read.
    fn from(&self, segment: u32, offset: u32) -> &[u8] {
        let skip = offset.checked_sub(self.offset).filter(|_| segment == self.segment);
        skip.and_then(|skip| self.bytes.get(skip as usize..)).unwrap_or(&[])
    }

    fn fill<M: Media>(&mut self, media: &mut M, segment: u32, offset: u32) -> Result<(), M::Error> {
        (self.segment, self.offset) = (segment, offset);
        let _ = self.bytes.resize_default(READ_WINDOW_BYTES); // its capacity
        let count = media.read_at(segment, offset, &mut self.bytes);
        self.bytes.truncate(count.as_ref().map_or(0, |count| *count));
        count.map(drop)
    }
}

/// What stands at the position.
enum Next {
    Record { seq: Seq, bytes: u32, is_new: bool },
    Empty,
    Broken,
}

enum Ahead {
    /// A valid first record of a commit begins here.
    First(u32),
    /// Nothing more in this segment was acknowledged.
    Nothing,
}

impl<'m, M: Media> Reader<'m, M> {
    /// Reads from the oldest record on.
    pub fn new(media: &'m mut M) -> Self {
        Reader::resume(media, Position::default())
    }

    /// Reads on from a position.
    pub fn resume(media: &'m mut M, at: Position) -> Self {
        Reader { media, at, open: None, payload: Vec::new(), window: Window::default(), done: false }
    }

    /// Where reading stands, behind the last record.
    pub fn position(&self) -> Position {
        self.at
    }

    /// The payload of the record that [`Reader::next`] gave last.
    pub fn payload(&self) -> &[u8] {
        &self.payload
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
            match self.take(&open)? {
                Next::Record { seq, bytes, is_new } => {
                    self.at.offset += bytes;
                    if is_new {
                        self.at.last = Some(seq.0);
                        return Ok(Some(Item::Record { seq, segment: open.id, run: open.run }));
                    }
                }
                Next::Empty if self.leave(&open)? => {}
                Next::Empty => return Ok(None),
                Next::Broken => {
                    if let Some(damage) = self.damage(&open)? {
                        return Ok(Some(Item::Damage(damage)));
                    }
                    if !self.leave(&open)? {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    /// What stands at the position; the payload of a record that counts is kept.
    fn take(&mut self, open: &Open) -> Result<Next, M::Error> {
        // what was read ahead may end in the middle of a record, or before one that was written since
        for is_fresh in [false, true] {
            if is_fresh {
                self.window.fill(self.media, open.id, self.at.offset)?;
            }
            match parse(self.window.from(open.id, self.at.offset)) {
                Parsed::Record { seq, payload, .. } => {
                    let is_new = self.is_new(seq, open);
                    if is_new {
                        self.payload.clear();
                        let _ = self.payload.extend_from_slice(payload); // parse bounds it
                    }
                    return Ok(Next::Record { seq, bytes: (RECORD_HEADER_BYTES + payload.len()) as u32, is_new });
                }
                Parsed::Empty if is_fresh => return Ok(Next::Empty),
                Parsed::Empty | Parsed::Torn | Parsed::Corrupt => {}
            }
        }
        Ok(Next::Broken)
    }

    fn is_new(&self, seq: Seq, open: &Open) -> bool {
        self.at.last.is_none_or(|last| seq.0 > last) && open.below.is_none_or(|below| seq.0 < below)
    }

    /// Opens the segment at the position, or the first one behind it.
    fn enter(&mut self) -> Result<Entered, M::Error> {
        let Some(id) = self.media.find(self.at.segment)? else { return Ok(Entered::End) };
        if id != self.at.segment {
            self.at = Position { segment: id, offset: 0, last: self.at.last };
        }
        let bytes = self.media.len(id)?.unwrap_or(0);
        let state = read_header(self.media, id)?;
        let (below, is_newest) = self.next_first(id)?;
        let mut open = Open { id, run: 0, bytes, below, is_newest };
        match state {
            HeaderState::Valid(header) if header.id == id => {
                open.run = header.run;
                self.at.offset = self.at.offset.max(SEGMENT_HEADER_BYTES as u32);
                // no record of it has a lower number: what opening takes for granted, reading does too
                self.at.last = self.at.last.max(header.first_seq.0.checked_sub(1));
                Ok(Entered::Segment(open, None))
            }
            HeaderState::OtherFormat(format) => {
                self.at = Position { segment: id.saturating_add(1), offset: 0, last: self.at.last };
                Ok(Entered::Skip(Damage { segment: id, offset: 0, bytes, kind: DamageKind::Format(format) }))
            }
            _ if self.at.offset > 0 => Ok(Entered::Segment(open, None)),
            _ => {
                let damage = match self.ahead(&open, 0)? {
                    Ahead::First(offset) => {
                        self.at.offset = offset;
                        Damage { segment: id, offset: 0, bytes: offset, kind: DamageKind::Corrupt }
                    }
                    Ahead::Nothing => {
                        self.at.offset = bytes;
                        Damage { segment: id, offset: 0, bytes, kind: DamageKind::Torn }
                    }
                };
                Ok(Entered::Segment(open, Some(damage)))
            }
        }
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

    /// The bytes at the position are no record: steps over them.
    fn damage(&mut self, open: &Open) -> Result<Option<Damage>, M::Error> {
        let offset = self.at.offset;
        let end = match self.ahead(open, offset.saturating_add(1))? {
            Ahead::First(at) => (at, DamageKind::Corrupt),
            // an open log's newest segment: the writer may be in the middle of it, or died there
            Ahead::Nothing => (open.bytes.max(offset), DamageKind::Torn),
        };
        // in an older segment the numbers tell: if the next one goes on without a gap, none is missing
        let kind = match (end.1, open.below, self.at.last) {
            (DamageKind::Torn, Some(below), Some(last)) if below > last + 1 => DamageKind::Corrupt,
            (kind, ..) => kind,
        };
        if end.1 == DamageKind::Torn && open.is_newest {
            self.done = true; // and the position stays
        } else {
            self.at.offset = end.0;
        }
        let bytes = end.0 - offset;
        Ok((bytes > 0).then_some(Damage { segment: open.id, offset, bytes, kind }))
    }

    /// Looks for the first record of a commit from `from` on: it was begun only after all before it was durable.
    fn ahead(&mut self, open: &Open, from: u32) -> Result<Ahead, M::Error> {
        let mut window = [0; READ_WINDOW_BYTES];
        let mut base = from;
        loop {
            let count = self.media.read_at(open.id, base, &mut window)?;
            let bytes = window.get(..count).unwrap_or(&[]);
            let is_last = count < READ_WINDOW_BYTES;
            // a frame that begins in the first half lies in the window as a whole
            let starts = if is_last { count } else { READ_WINDOW_BYTES - FRAME_BYTES_MAX };
            let mut at = 0;
            while let Some(place) = find_magic(bytes, at).filter(|place| *place < starts) {
                if let Parsed::Record { seq, first: true, .. } = parse(bytes.get(place..).unwrap_or(&[]))
                    && self.is_new(seq, open)
                {
                    return Ok(Ahead::First(base + place as u32));
                }
                at = place + 1;
            }
            if is_last {
                return Ok(Ahead::Nothing);
            }
            base += starts as u32;
        }
    }

    /// At the end of a segment: goes on to the next one. False if there is none.
    fn leave(&mut self, open: &Open) -> Result<bool, M::Error> {
        let next = match open.id.checked_add(1) {
            Some(next) => self.media.find(next)?,
            None => None,
        };
        let Some(next) = next else {
            self.open = None; // look again at its length and at its followers
            return Ok(false);
        };
        if open.is_newest {
            // a follower has come since it was opened: take its first number into account
            self.open = None;
            if self.media.len(open.id)?.unwrap_or(0) > self.at.offset {
                return Ok(true);
            }
        }
        self.open = None;
        self.at = Position { segment: next, offset: 0, last: self.at.last };
        Ok(true)
    }
}

enum Entered {
    Segment(Open, Option<Damage>),
    Skip(Damage),
    End,
}
