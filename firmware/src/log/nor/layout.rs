//! Where things stand in a slot, and how each is written so that a cut write is seen.

use crate::checksum::CRC;
use crate::limits::NOR_UNIT_BYTES_MAX;

/// Places for marks of cuts, which older versions wrote.
pub const CUTS_MAX: u32 = 8;
/// Bytes in front of a chunk.
pub(super) const CHUNK_HEAD_BYTES: u32 = 4;
const HEAD_BYTES: u32 = 12;
const MAGIC: [u8; 4] = *b"LNOR";

/// The places of a slot, in bytes from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes of a slot.
    pub slot_bytes: u32,
    /// Slots.
    pub slots: u32,
    unit: u32,
}

impl Layout {
    /// `None` if the flash does not divide so.
    pub fn new(capacity: u32, slot_bytes: u32, read: usize, write: usize, erase: usize) -> Option<Layout> {
        let sizes_fit = [read, write].iter().all(|size| (1..=NOR_UNIT_BYTES_MAX).contains(size));
        let (unit, sector) = (u32::try_from(write).ok()?, u32::try_from(erase).ok()?);
        let slots = capacity.checked_div(slot_bytes)?;
        let divides = slot_bytes.is_multiple_of(sector) && sector.is_multiple_of(unit) && slot_bytes / sector >= 2;
        let layout = Layout { slot_bytes, slots, unit };
        let holds = layout.data_at() + layout.padded(HEAD_BYTES) + CHUNK_HEAD_BYTES < slot_bytes;
        (sizes_fit && divides && holds && slots >= 2).then_some(layout)
    }

    /// `bytes`, and what is written with them.
    pub fn padded(&self, bytes: u32) -> u32 {
        bytes.next_multiple_of(self.unit)
    }

    /// The cell that is blank until the segment is removed.
    pub fn removed_at(&self) -> u32 {
        self.padded(HEAD_BYTES)
    }

    /// The length to which the segment was cut, `number` times before.
    pub fn cut_at(&self, number: u32) -> u32 {
        self.removed_at() + self.padded(1) + number * self.padded(8)
    }

    /// The first chunk.
    pub fn data_at(&self) -> u32 {
        self.cut_at(CUTS_MAX)
    }

    /// Behind the last byte that a chunk may take.
    pub fn data_end(&self) -> u32 {
        self.tail_at()
    }

    /// The head once more.
    pub fn tail_at(&self) -> u32 {
        self.slot_bytes - self.padded(HEAD_BYTES)
    }
}

/// What a slot begins and ends with.
pub(super) fn head(id: u32) -> [u8; 12] {
    let ([m0, m1, m2, m3], [i0, i1, i2, i3]) = (MAGIC, id.to_le_bytes());
    let [c0, c1, c2, c3] = CRC.checksum(&[m0, m1, m2, m3, i0, i1, i2, i3]).to_le_bytes();
    [m0, m1, m2, m3, i0, i1, i2, i3, c0, c1, c2, c3]
}

/// The id in a head that is whole.
pub(super) fn read_head(bytes: &[u8; 12]) -> Option<u32> {
    let [_, _, _, _, i0, i1, i2, i3, ..] = *bytes;
    let id = u32::from_le_bytes([i0, i1, i2, i3]);
    (head(id) == *bytes).then_some(id)
}

/// The bytes in front of a chunk of `count`.
pub(super) fn chunk_head(count: u16) -> [u8; 4] {
    let ([n0, n1], [c0, c1]) = (count.to_le_bytes(), (!count).to_le_bytes());
    [n0, n1, c0, c1]
}

/// How long the chunk is; `None` for what is blank or was cut while it was written.
pub(super) fn read_chunk_head([n0, n1, c0, c1]: [u8; 4]) -> Option<u32> {
    let count = u16::from_le_bytes([n0, n1]);
    (count == !u16::from_le_bytes([c0, c1]) && count > 0).then_some(u32::from(count))
}

/// The mark of a cut to `bytes`, as older versions wrote it.
#[cfg(test)]
pub(super) fn cut_mark(bytes: u32) -> [u8; 8] {
    let ([n0, n1, n2, n3], [c0, c1, c2, c3]) = (bytes.to_le_bytes(), (!bytes).to_le_bytes());
    [n0, n1, n2, n3, c0, c1, c2, c3]
}

/// Where the segment was cut; `None` for what is blank or was cut while it was written.
pub(super) fn read_cut_mark([n0, n1, n2, n3, c0, c1, c2, c3]: [u8; 8]) -> Option<u32> {
    let bytes = u32::from_le_bytes([n0, n1, n2, n3]);
    (bytes == !u32::from_le_bytes([c0, c1, c2, c3])).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_flash_that_does_not_divide_is_refused() {
        assert!(Layout::new(65536, 8192, 1, 4, 4096).is_some());
        for (capacity, slot, read, write, erase) in [
            (65536, 4096, 1, 4, 4096),   // one sector: an erasure cut short could bring it back
            (65536, 6144, 1, 4, 4096),   // no multiple
            (8192, 8192, 1, 4, 4096),    // one slot
            (65536, 8192, 1, 128, 4096), // cells too large
            (65536, 0, 1, 4, 4096),
            (65536, 128, 1, 32, 64), // no room for data
        ] {
            assert_eq!(Layout::new(capacity, slot, read, write, erase), None, "{slot} {write} {erase}");
        }
    }

    proptest! {
        /// Each bit of a write that was cut is either as wanted or still blank.
        #[test]
        fn a_cut_write_is_seen(number in any::<u32>(), programmed in any::<[u8; 12]>()) {
            let torn = |whole: &[u8]| -> std::vec::Vec<u8> {
                whole.iter().zip(programmed).map(|(byte, mask)| byte | mask).collect()
            };
            let whole = cut_mark(number);
            let left: [u8; 8] = torn(&whole).try_into().unwrap();
            prop_assert_eq!(read_cut_mark(left), (left == whole).then_some(number));
            let count = (number as u16).max(1);
            let left: [u8; 4] = torn(&chunk_head(count)).try_into().unwrap();
            prop_assert_eq!(read_chunk_head(left), (left == chunk_head(count)).then_some(u32::from(count)));
            let left: [u8; 12] = torn(&head(number)).try_into().unwrap();
            prop_assert_eq!(read_head(&left), (left == head(number)).then_some(number));
        }
    }
}
