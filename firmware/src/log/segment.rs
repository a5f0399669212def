//! The segment's header and name.
//!
//! A segment is a header and then records; several runs may write it one after the other. All numbers are
//! little-endian. Format 2:
//!
//! | at | type | field | written by | read by |
//! |---:|---|---|---|---|
//! | 0 | 4 bytes | `LAPW` | log | reader |
//! | 4 | u16 | format, [`FORMAT`] | log | reader |
//! | 6 | u16 | block: records lie in blocks of so many bytes as [`block`](super::block) says; 1: one behind the other | log | reader |
//! | 8 | u32 | id, the number in the name | log | reader |
//! | 12 | u32 | run: which opening of the log began it, from 1 | log | reader, recovery |
//! | 16 | u64 | first sequence number that may stand in it | log | reader, recovery |
//! | 24 | u32 | bytes: nothing is written from there on, and nothing is read | log | reader |
//! | 28 | u32 | CRC-32 (ISO-HDLC) of bytes 0..28 | log | reader |
//!
//! Format 1, which is read and not written: one run wrote it, with records one behind the other. At 6 a zero, at 24
//! the CRC-32 of bytes 0..24, at 28 a zero.

use core::fmt::Write;

use heapless::String;

use super::media::Media;
use super::record::Seq;
use crate::checksum::CRC;
use crate::limits::{BLOCK_BYTES, SEGMENT_BYTES_MAX, SEGMENT_HEADER_BYTES};

/// The format that this build writes; it reads this one and format 1.
pub const FORMAT: u16 = 2;
const FORMAT_1: u16 = 1;
const MAGIC: [u8; 4] = *b"LAPW";
const ENDING: &str = ".seg";

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The number in its name.
    pub id: u32,
    /// Which opening of the log began it, from 1.
    pub run: u32,
    /// The first sequence number that may stand in it.
    pub first_seq: Seq,
    /// Records lie in blocks of [`BLOCK_BYTES`], not one behind the other.
    pub blocks: bool,
    /// What is read and written of it, in bytes.
    pub bytes: u32,
    /// Another run may write on in it: it has this build's format.
    pub goes_on: bool,
}

/// What the first bytes of a segment are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderState {
    /// A header of this format.
    Valid(SegmentHeader),
    /// A header of another format, whole by its checksum.
    OtherFormat(u16),
    /// No header: torn or rotten.
    Bad,
}

impl SegmentHeader {
    /// A header of [`FORMAT`].
    pub fn new(id: u32, run: u32, first_seq: Seq, blocks: bool, bytes: u32) -> SegmentHeader {
        SegmentHeader { id, run, first_seq, blocks, bytes, goes_on: true }
    }

    /// The header as bytes, in [`FORMAT`].
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let block = if self.blocks { BLOCK_BYTES as u16 } else { 1 };
        let fields: [&[u8]; 7] = [
            &MAGIC,
            &FORMAT.to_le_bytes(),
            &block.to_le_bytes(),
            &self.id.to_le_bytes(),
            &self.run.to_le_bytes(),
            &self.first_seq.0.to_le_bytes(),
            &self.bytes.to_le_bytes(),
        ];
        let mut head = [0; 28];
        for (place, byte) in head.iter_mut().zip(fields.into_iter().flatten()) {
            *place = *byte;
        }
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        for (place, byte) in bytes.iter_mut().zip(head.into_iter().chain(CRC.checksum(&head).to_le_bytes())) {
            *place = byte;
        }
        bytes
    }

    /// Reads the header that `bytes` begins with.
    pub fn parse(bytes: &[u8]) -> HeaderState {
        let Some(all) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else { return HeaderState::Bad };
        let whole = |at: usize| all.split_at(at).1.starts_with(&CRC.checksum(all.split_at(at).0).to_le_bytes());
        let u16_at = |at: usize| all.split_at(at).1.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
        let u32_at = |at: usize| all.split_at(at).1.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if !all.starts_with(&MAGIC) {
            return HeaderState::Bad;
        }
        let (blocks, bytes) = match (u16_at(4), u16_at(6)) {
            (FORMAT_1, 0) if whole(24) && u32_at(28) == 0 => (false, SEGMENT_BYTES_MAX),
            (FORMAT, 1) if whole(28) => (false, u32_at(24)),
            (FORMAT, block) if whole(28) && usize::from(block) == BLOCK_BYTES => (true, u32_at(24)),
            (FORMAT_1 | FORMAT, _) => return HeaderState::Bad,
            (format, _) if whole(24) || whole(28) => return HeaderState::OtherFormat(format),
            _ => return HeaderState::Bad,
        };
        HeaderState::Valid(SegmentHeader {
            id: u32_at(8),
            run: u32_at(12),
            first_seq: Seq(u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32),
            blocks,
            bytes: bytes.min(SEGMENT_BYTES_MAX),
            goes_on: u16_at(4) == FORMAT,
        })
    }
}

/// What segment `id` begins with.
///
/// # Errors
/// The medium cannot be read.
pub(super) fn read_header<M: Media>(media: &mut M, id: u32) -> Result<HeaderState, M::Error> {
    let mut head = [0; SEGMENT_HEADER_BYTES];
    let count = media.read_at(id, 0, &mut head)?;
    Ok(SegmentHeader::parse(head.get(..count).unwrap_or(&[])))
}

/// The name of segment `id`: `00000001.seg`.
pub fn name(id: u32) -> String<16> {
    let mut name = String::new();
    let _ = write!(name, "{id:08}{ENDING}"); // at most 14 bytes
    name
}

/// The id in a name; `None` for a name that no segment has.
pub fn id_of(text: &str) -> Option<u32> {
    let id = text.strip_suffix(ENDING)?.parse().ok()?;
    (name(id) == text).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_canonical() {
        assert_eq!(name(1), "00000001.seg");
        assert_eq!(name(u32::MAX), "4294967295.seg");
        assert_eq!(id_of("4294967295.seg"), Some(u32::MAX));
        for stranger in ["1.seg", "+0000001.seg", "000000001.seg", "00000001", "lock", "00000001.seg~", ""] {
            assert_eq!(id_of(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn another_format_is_told_from_rot() {
        for crc_at in [24, 28] {
            let mut bytes = SegmentHeader::new(1, 2, Seq(3), true, 16_384).encode();
            bytes[4] = 9;
            assert_eq!(SegmentHeader::parse(&bytes), HeaderState::Bad);
            let crc = CRC.checksum(&bytes[..crc_at]).to_le_bytes();
            bytes[crc_at..crc_at + 4].copy_from_slice(&crc);
            assert_eq!(SegmentHeader::parse(&bytes), HeaderState::OtherFormat(9));
        }
    }

    #[test]
    fn format_1_is_read_and_not_written_on() {
        let bytes = include_bytes!("fixtures/format1_run2.seg");
        let HeaderState::Valid(header) = SegmentHeader::parse(bytes) else { panic!("{:?}", &bytes[..32]) };
        assert_eq!((header.id, header.run, header.blocks, header.goes_on), (2, 2, false, false));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            id in any::<u32>(), run in any::<u32>(), first in any::<u64>(), blocks in any::<bool>(),
            size in 0..=SEGMENT_BYTES_MAX, bit in 0..8 * SEGMENT_HEADER_BYTES,
        ) {
            let header = SegmentHeader::new(id, run, Seq(first), blocks, size);
            let mut bytes = header.encode();
            prop_assert_eq!(SegmentHeader::parse(&bytes), HeaderState::Valid(header));
            prop_assert_eq!(SegmentHeader::parse(&bytes[..31]), HeaderState::Bad);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(SegmentHeader::parse(&bytes), HeaderState::Bad);
        }

        #[test]
        fn every_name_is_found_again(id in any::<u32>()) {
            prop_assert_eq!(id_of(&name(id)), Some(id));
        }
    }
}
