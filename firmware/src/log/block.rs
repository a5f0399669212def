//! Blocks: how records lie on a medium on which a write may harm what stands beside it.
//!
//! A segment there is made at its full size and filled with a pattern that no writer and no failing disk makes, so that
//! *never written* is told from *lost*: an acknowledged sector that comes back as zeros, or as anything, is damage.
//!
//! ```text
//! | header | chain | its twin | chain | its twin | blank ...      each of BLOCK_BYTES
//! ```
//!
//! The first commit of a chain goes to a block to which nothing was ever written: where that was cut, what is missing
//! shows. What was cut in a twin is known from the other one.
//!
//! A *chain* is a row of records from the beginning of a block on, the first of which begins a commit. A commit that
//! fits behind the chain is written together with the chain into the *other* of two neighbouring blocks, so that the
//! block that holds what was acknowledged is never touched while the power may go. A reader takes the first copy of a
//! record and, where it is broken, the second. A commit lies in one block. Records begin at multiples of [`ALIGN`];
//! behind a chain at least eight bytes of its block are free.

use heapless::Vec;

use super::record::frame_bytes;
use crate::limits::{BLOCK_BYTES, FRAME_BYTES_MAX, SECTOR_BYTES};

/// Bytes to which records are aligned within a chain.
pub(super) const ALIGN: u32 = 4;
/// Bytes of a chain that lies in one block.
pub(super) const CHAIN_BYTES_MAX: usize = BLOCK_BYTES - 8;
/// Never written. No part of it begins like a record, none is zero.
const BLANK: [u8; 16] = *b"\x9alapwing-blank\r\n";
/// Ends a chain at a sector's beginning, so that the pattern begins there only where a write was cut.
const MARK: u8 = 0;
const BLOCK: u32 = BLOCK_BYTES as u32;
const SECTOR: u32 = SECTOR_BYTES as u32;

/// The next beginning of a block from `offset` on.
pub(super) fn block_from(offset: u32) -> u32 {
    offset.checked_next_multiple_of(BLOCK).unwrap_or(u32::MAX)
}

/// Fills `bytes`, which stand at `offset` of a segment, with the pattern.
pub fn fill_blank(bytes: &mut [u8], offset: u32) {
    let phase = offset as usize % BLANK.len();
    for (byte, blank) in bytes.iter_mut().zip(BLANK.into_iter().cycle().skip(phase)) {
        *byte = blank;
    }
}

/// True if `bytes` at `offset` were never written.
pub(super) fn is_blank(bytes: &[u8], offset: u32) -> bool {
    let phase = offset as usize % BLANK.len();
    bytes.iter().zip(BLANK.into_iter().cycle().skip(phase)).all(|(byte, blank)| *byte == blank)
}

/// True if nothing that was acknowledged begins with `bytes` at `offset`, nor behind it in its block: a chain ended there,
/// or was never written.
pub(super) fn nothing_begins(bytes: &[u8], offset: u32) -> bool {
    let to_sector = (SECTOR - offset % SECTOR) as usize;
    bytes.get(..to_sector.min(BLANK.len())).is_some_and(|bytes| ends_here(bytes, offset))
}

/// True if `bytes` at `offset` are what stands behind a chain: the pattern, behind a mark where a sector begins.
pub(super) fn ends_here(bytes: &[u8], offset: u32) -> bool {
    match bytes {
        [MARK, rest @ ..] if offset.is_multiple_of(SECTOR) => is_blank(rest, offset + 1),
        _ => is_blank(bytes, offset),
    }
}

/// Aligns the end of a chain; false if it has no room.
pub(super) fn align<const N: usize>(chain: &mut Vec<u8, N>) -> bool {
    chain.resize(chain.len().next_multiple_of(ALIGN as usize), 0).is_ok()
}

/// Fills the last block of a chain, which begins a block.
pub(super) fn pad<const N: usize>(chain: &mut Vec<u8, N>) {
    let end = chain.len();
    let _ = chain.resize(end.next_multiple_of(BLOCK_BYTES), MARK); // the writer keeps room
    let marked = usize::from(end.is_multiple_of(SECTOR_BYTES));
    fill_blank(chain.get_mut(end + marked..).unwrap_or(&mut []), (end + marked) as u32);
}

/// True if the record that is broken at `offset` was certainly never acknowledged: a part of it was never written. `bytes`
/// are those from there on, at least [`TORN_BYTES`] of them unless the segment ends.
///
/// An acknowledged record was written as a whole, and nothing but a cut leaves the pattern where it should stand. Where
/// the pattern begins with a sector, within the record and right behind bytes that are not the pattern, a sector of a
/// commit is missing; the padding of a chain never begins so.
pub(super) fn is_torn(bytes: &[u8], offset: u32) -> bool {
    if nothing_begins(bytes, offset) {
        return true;
    }
    // records are aligned: so much of the first one's header stands in its first sector
    let record = frame_bytes(bytes).unwrap_or(0);
    let mut at = (SECTOR - offset % SECTOR) as usize;
    while at < record {
        let Some(sector) = bytes.get(at..at + SECTOR_BYTES) else { return false };
        if is_blank(sector, offset + at as u32) {
            let before = at.saturating_sub(ALIGN as usize);
            return bytes.get(before..at).is_some_and(|bytes| !is_blank(bytes, offset + before as u32));
        }
        at += SECTOR_BYTES;
    }
    false
}

/// Bytes that [`is_torn`] looks at.
pub(super) const TORN_BYTES: usize = FRAME_BYTES_MAX + SECTOR_BYTES;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RECORD_HEADER_BYTES;
    use crate::log::record::encode;
    use crate::log::{Parsed, Seq, parse};
    use proptest::prelude::*;

    /// As many records of these sizes as a block takes, padded, and where each begins.
    fn chain(sizes: &[usize]) -> (Vec<u8, { 2 * BLOCK_BYTES }>, std::vec::Vec<usize>) {
        let (mut chain, mut starts) = (Vec::new(), std::vec::Vec::new());
        for (number, size) in sizes.iter().enumerate() {
            if (chain.len() + RECORD_HEADER_BYTES + size).next_multiple_of(ALIGN as usize) > CHAIN_BYTES_MAX {
                break;
            }
            starts.push(chain.len());
            assert!(encode(Seq(number as u64 + 1), true, &std::vec![number as u8; *size], &mut chain));
            assert!(align(&mut chain));
        }
        starts.push(chain.len());
        pad(&mut chain);
        (chain, starts)
    }

    fn broken_at(bytes: &[u8], starts: &[usize]) -> Option<usize> {
        starts[..starts.len() - 1].iter().copied().find(|at| !matches!(parse(&bytes[*at..]), Parsed::Record { .. }))
    }

    proptest! {
        /// A sector that was never written is seen as such; one that rots in any way is not.
        #[test]
        fn torn_is_told_from_rotten(
            sizes in prop::collection::vec(0usize..600, 1..12), sector in 0usize..16, rot in any::<u8>(), bit in any::<prop::sample::Index>(),
        ) {
            let (whole, starts) = chain(&sizes);
            let end = *starts.last().unwrap();
            prop_assert!(nothing_begins(&whole[end..], end as u32));
            let from = sector * SECTOR_BYTES % end.next_multiple_of(SECTOR_BYTES);
            let torn_at = |bytes: &[u8], at: usize| is_torn(&bytes[at..], at as u32);

            let mut cut = whole.clone();
            fill_blank(&mut cut[from..from + SECTOR_BYTES], from as u32);
            if let Some(at) = broken_at(&cut, &starts) {
                prop_assert!(torn_at(&cut, at), "sector at {from} was never written, broken at {at} of {end}");
            }
            let mut rotten = whole.clone();
            rotten[from..from + SECTOR_BYTES].fill(rot);
            if let Some(at) = broken_at(&rotten, &starts) {
                prop_assert!(!torn_at(&rotten, at), "sector at {from} is all {rot}, broken at {at} of {end}");
            }
            let mut flipped = whole.clone();
            let bit = bit.index(end * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Some(at) = broken_at(&flipped, &starts) {
                prop_assert!(!torn_at(&flipped, at), "bit {bit}, broken at {at} of {end}");
            }
        }

        #[test]
        fn blank_is_blank(from in 0u32..10_000, count in 1usize..300, at in any::<prop::sample::Index>()) {
            let mut bytes = std::vec![0; count];
            fill_blank(&mut bytes, from);
            prop_assert!(is_blank(&bytes, from));
            bytes[at.index(count)] ^= 1;
            prop_assert!(!is_blank(&bytes, from));
        }
    }
}
