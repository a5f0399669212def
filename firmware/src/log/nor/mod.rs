//! NOR flash as a log's medium, through `embedded-storage`: for boards without a file system.
//!
//! The flash is cut into slots of equal size, at least two erase sectors each; a slot holds one
//! segment or none. Nothing is kept in memory that a power cut could take. Within a slot, each field
//! padded to the flash's write size:
//!
//! | at | field | bytes |
//! |---|---|---|
//! | 0 | head: `LNOR`, the segment's id, CRC-32 of both | 12 |
//! | then | removed: anything but blank, and the slot is free | 1 |
//! | then | [`CUTS_MAX`] lengths to which an older version cut the segment: `n, !n`; read, not written | 8 each |
//! | then | chunks, one a write: `n, !n` in two bytes each, then `n` bytes | 4 + n |
//! | end | tail: the head once more | 12 |
//!
//! # What makes it safe
//! 1. A cell is written once between two erasures. No bit is relied on that a cut write may have left:
//!    a number counts only beside its complement, a head only with its checksum.
//! 2. [`Media::create`] erases from the slot's end to its beginning, writes the tail, then the head. A
//!    slot is a segment only if both agree and *removed* is blank; hence no erasure that was cut short
//!    brings an old segment back.
//! 3. [`Media::write`] is durable when it returns; [`Media::sync`] has nothing to do.
//! 4. [`Media::remove`] writes one cell; the erasure comes when the slot is used again. Slots are used in
//!    turn, so that all wear alike.
//! 5. A segment is written on, by a later run too, only while all behind its last chunk is blank: a chunk whose head a
//!    cut has torn ends it. A chunk whose bytes are torn is passed over: the log's numbers go on behind it.
//!
//! # Assumptions
//! 1. A write harms no cell but those that it writes: nothing is aligned beyond the write size.
//! 2. A cell that reads blank can be written.
//! 3. Cells that were written whole keep what they hold. Where the last commit of the newest segment rots all the same,
//!    that cannot be told from a write that was cut: its numbers are given again.

mod layout;
mod simulated;
#[cfg(test)]
mod tests;

use core::fmt;

use embedded_storage::nor_flash::NorFlash;

use self::layout::{CHUNK_HEAD_BYTES, Layout, chunk_head, head, read_chunk_head, read_cut_mark, read_head};
use super::media::{Media, MediaError};
use crate::limits::{NOR_STAGE_BYTES, NOR_UNIT_BYTES_MAX};

pub use layout::CUTS_MAX;
pub use simulated::{CutPlan, SimulatedNor, SimulatedNorError};

/// Why the flash refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NorError<E> {
    /// The flash itself failed.
    Flash(E),
    /// The flash cannot be cut into slots of this size: give a multiple of its erase size, two sectors or more,
    /// so that two slots fit.
    Slots,
    /// Every slot holds a segment.
    Full,
    /// The slot of this segment has no room left; the next segment has.
    SlotFull(u32),
    /// This segment cannot be written on: it was cut, or a write to it failed.
    Closed(u32),
    /// There is such a segment already.
    Exists(u32),
}

impl<E: fmt::Debug> fmt::Display for NorError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NorError::Flash(error) => write!(f, "the flash failed ({error:?}): if it does so again, replace it"),
            NorError::Slots => f.write_str(
                "the flash does not divide into slots: give a multiple of its erase size, two sectors or more, twice",
            ),
            NorError::Full => f.write_str("every slot holds a segment: lower the log's total size below the flash's"),
            NorError::SlotFull(id) => write!(f, "segment {id} has filled its slot: the log goes on in the next"),
            NorError::Closed(id) => write!(f, "segment {id} cannot be written on any more"),
            NorError::Exists(id) => write!(f, "there is a segment {id} already"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for NorError<E> {}

impl<E: fmt::Debug> MediaError for NorError<E> {
    fn is_full(&self) -> bool {
        matches!(self, NorError::Full)
    }
}

/// The segment that is being written.
#[derive(Debug, Clone, Copy)]
struct Open {
    id: u32,
    slot: u32,
    /// Where the next chunk goes, from the slot's beginning.
    end: u32,
}

/// A chunk that was found, so that reading on need not begin at the slot's beginning.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    slot: u32,
    /// The chunk's head, from the slot's beginning.
    at: u32,
    /// The segment's byte that the chunk begins with.
    offset: u32,
}

/// Segments in the slots of a NOR flash.
#[derive(Debug)]
pub struct NorMedia<F> {
    flash: F,
    layout: Layout,
    open: Option<Open>,
    cursor: Option<Cursor>,
    /// A slot and the length of its segment, for as long as neither changes.
    measured: Option<(u32, u32)>,
}

type Answer<T, F> = Result<T, NorError<<F as embedded_storage::nor_flash::ErrorType>::Error>>;

impl<F: NorFlash> NorMedia<F> {
    /// Takes the whole flash, in slots of `slot_bytes`. Reads and writes nothing.
    ///
    /// # Errors
    /// [`NorError::Slots`].
    pub fn new(flash: F, slot_bytes: u32) -> Answer<NorMedia<F>, F> {
        let capacity = u32::try_from(flash.capacity()).unwrap_or(u32::MAX);
        let layout = Layout::new(capacity, slot_bytes, F::READ_SIZE, F::WRITE_SIZE, F::ERASE_SIZE);
        Ok(NorMedia { flash, layout: layout.ok_or(NorError::Slots)?, open: None, cursor: None, measured: None })
    }

    /// Bytes that a segment can hold in one append; each further append costs some.
    pub fn room_bytes(&self) -> u32 {
        self.layout.data_end() - self.layout.data_at() - CHUNK_HEAD_BYTES
    }

    /// Slots.
    pub fn slots(&self) -> u32 {
        self.layout.slots
    }

    /// Gives the flash back.
    pub fn into_flash(self) -> F {
        self.flash
    }

    /// Reads any bytes of a slot.
    fn read(&mut self, slot: u32, at: u32, into: &mut [u8]) -> Answer<(), F> {
        let base = slot * self.layout.slot_bytes + at;
        let unit = F::READ_SIZE as u32;
        if unit == 1 {
            return self.flash.read(base, into).map_err(NorError::Flash);
        }
        let mut stage = [0; NOR_STAGE_BYTES + NOR_UNIT_BYTES_MAX];
        let mut done = 0;
        while done < into.len() {
            let from = base + done as u32;
            let skip = (from % unit) as usize;
            let count = (into.len() - done).min(NOR_STAGE_BYTES - skip);
            let read = (skip + count).next_multiple_of(F::READ_SIZE);
            let part = stage.get_mut(..read).unwrap_or(&mut []);
            self.flash.read(from - skip as u32, part).map_err(NorError::Flash)?;
            for (place, byte) in into.iter_mut().skip(done).zip(part.iter().skip(skip)) {
                *place = *byte;
            }
            done += count;
        }
        Ok(())
    }

    /// Writes `parts` one behind the other to a place that is blank, padded to the write size.
    fn program(&mut self, slot: u32, at: u32, parts: &[&[u8]]) -> Answer<(), F> {
        let mut to = slot * self.layout.slot_bytes + at;
        let stage_bytes = NOR_STAGE_BYTES - NOR_STAGE_BYTES % F::WRITE_SIZE;
        let mut stage = [0xff; NOR_STAGE_BYTES];
        let mut filled = 0;
        for byte in parts.iter().flat_map(|part| part.iter()) {
            if let Some(place) = stage.get_mut(filled) {
                *place = *byte;
            }
            filled += 1;
            if filled == stage_bytes {
                self.flash.write(to, stage.get(..filled).unwrap_or(&[])).map_err(NorError::Flash)?;
                to += filled as u32;
                filled = 0;
            }
        }
        if filled > 0 {
            let padded = filled.next_multiple_of(F::WRITE_SIZE);
            for place in stage.iter_mut().take(padded).skip(filled) {
                *place = 0xff;
            }
            self.flash.write(to, stage.get(..padded).unwrap_or(&[])).map_err(NorError::Flash)?;
        }
        Ok(())
    }

    /// The id of the segment in a slot.
    fn id_in(&mut self, slot: u32) -> Answer<Option<u32>, F> {
        let (mut first, mut last, mut removed) = ([0; 12], [0; 12], [0]);
        self.read(slot, 0, &mut first)?;
        let Some(id) = read_head(&first) else { return Ok(None) };
        self.read(slot, self.layout.tail_at(), &mut last)?;
        self.read(slot, self.layout.removed_at(), &mut removed)?;
        Ok((first == last && removed == [0xff]).then_some(id))
    }

    fn slot_of(&mut self, id: u32) -> Answer<Option<u32>, F> {
        if let Some(open) = self.open.filter(|open| open.id == id) {
            return Ok(Some(open.slot));
        }
        for slot in 0..self.layout.slots {
            if self.id_in(slot)? == Some(id) {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    /// The chunk that holds byte `offset`, or the last one before it, and how long it is.
    fn chunk_at(&mut self, slot: u32, offset: u32) -> Answer<Option<(Cursor, u32)>, F> {
        let start = Cursor { slot, at: self.layout.data_at(), offset: 0 };
        let mut here = self.cursor.filter(|c| c.slot == slot && c.offset <= offset).unwrap_or(start);
        let mut found = None;
        while here.at + CHUNK_HEAD_BYTES <= self.layout.data_end() {
            let mut bytes = [0; CHUNK_HEAD_BYTES as usize];
            self.read(slot, here.at, &mut bytes)?;
            let room = self.layout.data_end() - here.at - CHUNK_HEAD_BYTES;
            let Some(count) = read_chunk_head(bytes).filter(|count| *count <= room) else { break };
            found = Some((here, count));
            self.cursor = Some(here);
            if offset < here.offset + count {
                break;
            }
            here = Cursor {
                slot,
                at: here.at + self.layout.padded(CHUNK_HEAD_BYTES + count),
                offset: here.offset + count,
            };
        }
        Ok(found)
    }

    /// Bytes in a slot's segment: what was appended, less what was cut.
    fn length(&mut self, slot: u32) -> Answer<u32, F> {
        if let Some((_, bytes)) = self.measured.filter(|(measured, _)| *measured == slot) {
            return Ok(bytes);
        }
        let whole = self.chunk_at(slot, u32::MAX)?.map_or(0, |(chunk, count)| chunk.offset + count);
        let mut bytes = whole;
        for number in 0..CUTS_MAX {
            let mut mark = [0; 8];
            self.read(slot, self.layout.cut_at(number), &mut mark)?;
            bytes = read_cut_mark(mark).unwrap_or(bytes).min(bytes);
        }
        self.measured = Some((slot, bytes));
        Ok(bytes)
    }

    /// The segment's end, if it may be written on: it was never cut, and all behind its last chunk is blank.
    fn reopened(&mut self, id: u32) -> Answer<Option<Open>, F> {
        let Some(slot) = self.slot_of(id)? else { return Ok(None) };
        let end = match self.chunk_at(slot, u32::MAX)? {
            Some((chunk, count)) => chunk.at + self.layout.padded(CHUNK_HEAD_BYTES + count),
            None => self.layout.data_at(),
        };
        let cuts = self.layout.cut_at(0);
        for (from, to) in [(cuts, self.layout.data_at()), (end, self.layout.data_end())] {
            let mut at = from;
            while at < to {
                let mut bytes = [0; NOR_STAGE_BYTES];
                let count = (to - at).min(NOR_STAGE_BYTES as u32);
                let part = bytes.get_mut(..count as usize).unwrap_or(&mut []);
                self.read(slot, at, part)?;
                if part.iter().any(|byte| *byte != 0xff) {
                    return Ok(None);
                }
                at += count;
            }
        }
        Ok(Some(Open { id, slot, end }))
    }

    /// A free slot, the next in turn behind the newest segment's.
    fn free_slot(&mut self) -> Answer<Option<u32>, F> {
        let mut newest: Option<(u32, u32)> = None;
        for slot in 0..self.layout.slots {
            if let Some(id) = self.id_in(slot)? {
                newest = newest.max(Some((id, slot)));
            }
        }
        let first = newest.map_or(0, |(_, slot)| slot + 1);
        for turn in 0..self.layout.slots {
            let slot = (first + turn) % self.layout.slots;
            if self.id_in(slot)?.is_none() {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }
}

impl<F: NorFlash> Media for NorMedia<F> {
    type Error = NorError<F::Error>;
    const IN_BLOCKS: bool = false;

    fn find(&mut self, from: u32) -> Answer<Option<u32>, F> {
        let mut least = None;
        for slot in 0..self.layout.slots {
            let id = self.id_in(slot)?.filter(|id| *id >= from);
            least = id.filter(|id| least.is_none_or(|least| *id < least)).or(least);
        }
        Ok(least)
    }

    fn len(&mut self, id: u32) -> Answer<Option<u32>, F> {
        match self.slot_of(id)? {
            Some(slot) => self.length(slot).map(Some),
            None => Ok(None),
        }
    }

    fn read_at(&mut self, id: u32, offset: u32, into: &mut [u8]) -> Answer<usize, F> {
        let Some(slot) = self.slot_of(id)? else { return Ok(0) };
        let left = self.length(slot)?.saturating_sub(offset) as usize;
        let wanted = into.len().min(left);
        let mut done = 0;
        while done < wanted {
            let at = offset + done as u32;
            let Some((chunk, count)) = self.chunk_at(slot, at)? else { break };
            let within = at - chunk.offset;
            let part = (count.saturating_sub(within) as usize).min(wanted - done);
            let Some(place) = into.get_mut(done..done + part).filter(|place| !place.is_empty()) else { break };
            self.read(slot, chunk.at + CHUNK_HEAD_BYTES + within, place)?;
            done += part;
        }
        Ok(done)
    }

    fn create(&mut self, id: u32, header: &[u8], _bytes: u32) -> Answer<(), F> {
        if self.slot_of(id)?.is_some() {
            return Err(NorError::Exists(id));
        }
        let slot = self.free_slot()?.ok_or(NorError::Full)?;
        (self.open, self.cursor, self.measured) = (None, None, None);
        let base = slot * self.layout.slot_bytes;
        let sector = F::ERASE_SIZE as u32;
        let mut end = base + self.layout.slot_bytes;
        while end > base {
            self.flash.erase(end - sector, end).map_err(NorError::Flash)?;
            end -= sector;
        }
        let head = head(id);
        self.program(slot, self.layout.tail_at(), &[&head])?;
        self.program(slot, 0, &[&head])?;
        self.open = Some(Open { id, slot, end: self.layout.data_at() });
        self.write(id, 0, header)
    }

    fn write(&mut self, id: u32, offset: u32, bytes: &[u8]) -> Answer<(), F> {
        if self.open.is_none_or(|open| open.id != id) {
            self.open = self.reopened(id)?;
        }
        let Some(Open { slot, .. }) = self.open.filter(|open| open.id == id) else { return Err(NorError::Closed(id)) };
        if self.length(slot)? != offset {
            return Err(NorError::Closed(id));
        }
        for part in bytes.chunks(usize::from(u16::MAX - 1)) {
            let Some(open) = self.open.filter(|open| open.id == id) else { return Err(NorError::Closed(id)) };
            let taken = self.layout.padded(CHUNK_HEAD_BYTES + part.len() as u32);
            (self.open, self.measured) = (None, None); // until it went well
            if open.end + taken > self.layout.data_end() {
                return Err(NorError::SlotFull(id));
            }
            self.program(open.slot, open.end, &[&chunk_head(part.len() as u16), part])?;
            self.open = Some(Open { end: open.end + taken, ..open });
        }
        Ok(())
    }

    fn sync(&mut self, _id: u32) -> Answer<(), F> {
        Ok(())
    }

    fn remove(&mut self, id: u32) -> Answer<(), F> {
        let Some(slot) = self.slot_of(id)? else { return Ok(()) };
        (self.open, self.cursor, self.measured) = (self.open.filter(|open| open.id != id), None, None);
        self.program(slot, self.layout.removed_at(), &[&[0]])
    }
}
