//! The segment's header and name.
//!
//! A segment is a header and then records. It is written by one run only and never appended to
//! after that run. All numbers are little-endian.
//!
//! | at | type | field | written by | read by |
//! |---:|---|---|---|---|
//! | 0 | 4 bytes | `LAPW` | log | reader |
//! | 4 | u16 | format, [`FORMAT`] | log | reader |
//! | 6 | u16 | 0 | log | nobody |
//! | 8 | u32 | id, the number in the name | log | reader |
//! | 12 | u32 | run: which opening of the log wrote it, from 1 | log | reader, recovery |
//! | 16 | u64 | first sequence number that may stand in it | log | reader, recovery |
//! | 24 | u32 | CRC-32 (ISO-HDLC) of bytes 0..24 | log | reader |
//! | 28 | u32 | 0, and nothing else | log | reader |

use core::fmt::Write;

use heapless::String;

use super::media::Media;
use super::record::{CRC, Seq};
use crate::limits::SEGMENT_HEADER_BYTES;

/// The format that this build writes and reads.
pub const FORMAT: u16 = 1;
const MAGIC: [u8; 4] = *b"LAPW";
const ENDING: &str = ".seg";

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The number in its name.
    pub id: u32,
    /// Which opening of the log wrote it, from 1.
    pub run: u32,
    /// The first sequence number that may stand in it.
    pub first_seq: Seq,
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
    /// The header as bytes.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let [m0, m1, m2, m3] = MAGIC;
        let [f0, f1] = FORMAT.to_le_bytes();
        let [i0, i1, i2, i3] = self.id.to_le_bytes();
        let [r0, r1, r2, r3] = self.run.to_le_bytes();
        let [s0, s1, s2, s3, s4, s5, s6, s7] = self.first_seq.0.to_le_bytes();
        let head = [m0, m1, m2, m3, f0, f1, 0, 0, i0, i1, i2, i3, r0, r1, r2, r3, s0, s1, s2, s3, s4, s5, s6, s7];
        let crc = CRC.checksum(&head).to_le_bytes();
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        for (place, byte) in bytes.iter_mut().zip(head.into_iter().chain(crc)) {
            *place = byte;
        }
        bytes
    }

    /// Reads the header that `bytes` begins with.
    pub fn parse(bytes: &[u8]) -> HeaderState {
        let Some((head, rest)) = bytes.split_first_chunk::<24>() else { return HeaderState::Bad };
        let Some((crc, rest)) = rest.split_first_chunk::<4>() else { return HeaderState::Bad };
        let zero = rest.iter().take(SEGMENT_HEADER_BYTES - 28).all(|byte| *byte == 0);
        if !head.starts_with(&MAGIC) || u32::from_le_bytes(*crc) != CRC.checksum(head) || !zero {
            return HeaderState::Bad;
        }
        let [_, _, _, _, f0, f1, _, _, i0, i1, i2, i3, r0, r1, r2, r3, s0, s1, s2, s3, s4, s5, s6, s7] = *head;
        let format = u16::from_le_bytes([f0, f1]);
        if format != FORMAT {
            return HeaderState::OtherFormat(format);
        }
        HeaderState::Valid(SegmentHeader {
            id: u32::from_le_bytes([i0, i1, i2, i3]),
            run: u32::from_le_bytes([r0, r1, r2, r3]),
            first_seq: Seq(u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7])),
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
        let mut bytes = SegmentHeader { id: 1, run: 2, first_seq: Seq(3) }.encode();
        bytes[4] = 9;
        assert_eq!(SegmentHeader::parse(&bytes), HeaderState::Bad);
        let crc = CRC.checksum(&bytes[..24]).to_le_bytes();
        bytes[24..28].copy_from_slice(&crc);
        assert_eq!(SegmentHeader::parse(&bytes), HeaderState::OtherFormat(9));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(id in any::<u32>(), run in any::<u32>(), first in any::<u64>(), bit in 0..8 * SEGMENT_HEADER_BYTES) {
            let header = SegmentHeader { id, run, first_seq: Seq(first) };
            let mut bytes = header.encode();
            prop_assert_eq!(SegmentHeader::parse(&bytes), HeaderState::Valid(header));
            prop_assert_eq!(SegmentHeader::parse(&bytes[..27]), HeaderState::Bad);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(SegmentHeader::parse(&bytes), HeaderState::Bad);
        }

        #[test]
        fn every_name_is_found_again(id in any::<u32>()) {
            prop_assert_eq!(id_of(&name(id)), Some(id));
        }
    }
}
