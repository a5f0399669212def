//! What stands in a segment from a place on: the next commit, nothing, or what a cut has left.

use heapless::Vec;

use super::block::{TORN_BYTES, block_from, ends_here, is_blank, is_torn};
use super::media::Media;
use super::record::{Parsed, Seq, find_magic, parse};
use crate::limits::{BLOCK_BYTES, FRAME_BYTES_MAX, READ_WINDOW_BYTES, SECTOR_BYTES};

const BLOCK: u32 = BLOCK_BYTES as u32;

/// Bytes of the medium that were read ahead: records lie close together.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8, READ_WINDOW_BYTES>,
    /// The segment and offset of the first of them.
    segment: u32,
    offset: u32,
}

impl Window {
    /// Those of a segment from `offset` on; none where they were not read.
    pub fn from(&self, segment: u32, offset: u32) -> &[u8] {
        let skip = offset.checked_sub(self.offset).filter(|_| segment == self.segment);
        skip.and_then(|skip| self.bytes.get(skip as usize..)).unwrap_or(&[])
    }

    /// Reads from `offset` on.
    pub fn fill<M: Media>(&mut self, media: &mut M, segment: u32, offset: u32) -> Result<(), M::Error> {
        (self.segment, self.offset) = (segment, offset);
        let _ = self.bytes.resize_default(READ_WINDOW_BYTES); // its capacity
        let count = media.read_at(segment, offset, &mut self.bytes);
        self.bytes.truncate(count.as_ref().map_or(0, |count| *count));
        count.map(drop)
    }
}

/// The first commit or run that begins between `from` and `end`, with a number that `counts`: where, and its number.
pub(super) fn find_first<M: Media>(
    media: &mut M,
    id: u32,
    from: u32,
    end: u32,
    counts: impl Fn(Seq) -> bool,
) -> Result<Option<(u32, Seq)>, M::Error> {
    find_next(media, id, from, end, 1, |seq, begins| begins && counts(seq))
}

/// The same of any record that begins at a multiple of `align`; `counts` is also told whether a commit or a run begins with
/// it. Records in blocks are aligned: what looks like one elsewhere stands in the payload of another one, or is what rot left.
pub(super) fn find_next<M: Media>(
    media: &mut M,
    id: u32,
    from: u32,
    end: u32,
    align: u32,
    counts: impl Fn(Seq, bool) -> bool,
) -> Result<Option<(u32, Seq)>, M::Error> {
    let mut window = [0; READ_WINDOW_BYTES];
    let mut base = from;
    while base < end {
        let wanted = READ_WINDOW_BYTES.min((end - base) as usize);
        let count = media.read_at(id, base, window.get_mut(..wanted).unwrap_or(&mut []))?;
        let bytes = window.get(..count).unwrap_or(&[]);
        let is_last = count < READ_WINDOW_BYTES;
        // a frame that begins in the first half lies in the window as a whole
        let starts = if is_last { count } else { READ_WINDOW_BYTES - FRAME_BYTES_MAX };
        let mut at = 0;
        while let Some(place) = find_magic(bytes, at).filter(|place| *place < starts) {
            let found = match parse(bytes.get(place..).unwrap_or(&[])) {
                _ if !(base + place as u32).is_multiple_of(align) => None,
                Parsed::Record { seq, first, .. } => Some((seq, first)),
                Parsed::Run { seq, .. } => Some((seq, true)),
                _ => None,
            };
            if let Some((seq, begins)) = found
                && counts(seq, begins)
            {
                return Ok(Some((base + place as u32, seq)));
            }
            at = place + 1;
        }
        if is_last {
            break;
        }
        base += starts as u32;
    }
    Ok(None)
}

/// Calls `tell` with `bytes` from `from` to `end`, sector by sector, until it says that it has seen enough.
fn sectors<M: Media>(
    media: &mut M,
    id: u32,
    from: u32,
    end: u32,
    mut enough: impl FnMut(u32, &[u8]) -> bool,
) -> Result<(), M::Error> {
    let mut window = [0; READ_WINDOW_BYTES - READ_WINDOW_BYTES % SECTOR_BYTES];
    let mut base = from;
    while base < end {
        let to_sector = SECTOR_BYTES - base as usize % SECTOR_BYTES;
        let wanted = (window.len() - SECTOR_BYTES + to_sector).min((end - base) as usize);
        let count = media.read_at(id, base, window.get_mut(..wanted).unwrap_or(&mut []))?;
        let (head, rest) = window.get(..count).unwrap_or(&[]).split_at(to_sector.min(count));
        let mut at = base;
        for sector in core::iter::once(head).chain(rest.chunks(SECTOR_BYTES)).filter(|sector| !sector.is_empty()) {
            if enough(at, sector) {
                return Ok(());
            }
            at += sector.len() as u32;
        }
        if count < wanted || count == 0 {
            break;
        }
        base = at;
    }
    Ok(())
}

/// Nothing was written to the block at `at`.
pub(super) fn is_blank_block<M: Media>(media: &mut M, id: u32, at: u32, end: u32) -> Result<bool, M::Error> {
    let mut blank = true;
    sectors(media, id, at, at.saturating_add(BLOCK).min(end), |at, sector| {
        blank &= is_blank(sector, at);
        !blank
    })?;
    Ok(blank)
}

/// Nothing was written to the block of the chain that ends at `end` behind it.
pub(super) fn is_blank_from<M: Media>(media: &mut M, id: u32, end: u32) -> Result<bool, M::Error> {
    let mut blank = true;
    sectors(media, id, end, block_from(end), |at, sector| {
        blank &= if at == end { ends_here(sector, at) } else { is_blank(sector, at) };
        !blank
    })?;
    Ok(blank)
}

/// The block at `twin` holds the chain from `start` to `end` as it was some commits ago, and nothing else.
pub(super) fn is_older_twin<M: Media>(
    media: &mut M,
    id: u32,
    start: u32,
    end: u32,
    twin: u32,
) -> Result<bool, M::Error> {
    let (mut chain, mut other) = ([0; SECTOR_BYTES], [0; SECTOR_BYTES]);
    let mut ended = false;
    for sector in (0..BLOCK).step_by(SECTOR_BYTES) {
        let counts = (media.read_at(id, start + sector, &mut chain)?, media.read_at(id, twin + sector, &mut other)?);
        if counts != (SECTOR_BYTES, SECTOR_BYTES) {
            return Ok(false);
        }
        let left = (end - start).saturating_sub(sector) as usize;
        let same = chain.iter().zip(&other).take(left).take_while(|(a, b)| !ended && a == b).count();
        let rest = other.get(same..).unwrap_or(&[]);
        if same < SECTOR_BYTES {
            let at = twin + sector + same as u32;
            let fits = if ended { is_blank(rest, at) } else { ends_here(rest, at) };
            if !fits || (!ended && sector == 0 && same == 0) {
                return Ok(false);
            }
            ended = true;
        }
    }
    Ok(true)
}

/// The end of the last block, from the one that holds `from` on, to which something was written; `from` where there is
/// none.
pub(super) fn written_end<M: Media>(media: &mut M, id: u32, from: u32, end: u32) -> Result<u32, M::Error> {
    let mut written = from;
    sectors(media, id, from - from % BLOCK, end, |at, sector| {
        if !is_blank(sector, at) {
            written = written.max(block_from(at + 1).min(end));
        }
        false
    })?;
    Ok(written)
}

/// The record that is broken at `at` was certainly never acknowledged.
pub(super) fn was_torn<M: Media>(media: &mut M, id: u32, at: u32) -> Result<bool, M::Error> {
    let mut bytes = [0; TORN_BYTES];
    let count = media.read_at(id, at, &mut bytes)?;
    Ok(is_torn(bytes.get(..count).unwrap_or(&[]), at))
}

/// A segment without a header holds something behind the sector of the header.
pub(super) fn holds_something<M: Media>(media: &mut M, id: u32, end: u32) -> Result<bool, M::Error> {
    let mut found = false;
    sectors(media, id, SECTOR_BYTES as u32, end, |at, sector| {
        found = !is_blank(sector, at) && sector.iter().any(|byte| *byte != 0 && *byte != 0xff);
        found
    })?;
    Ok(found)
}
