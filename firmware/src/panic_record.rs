//! The panic_record: the panic record of a process that panicked, kept for the next start.
//!
//! Made while a program dies, so it needs no memory, no lock and no luck: a buffer of fixed size that takes what is
//! written to it and cuts what does not fit.
//!
//! ```
//! use core::fmt::Write;
//! use lapwing_firmware::panic_record::PanicRecord;
//! let mut words = PanicRecord::new(0);
//! write!(words, "panicked at {}:{}", "pins.rs", 7).unwrap(); // never fails
//! let found = PanicRecord::decode(&words.encode()).unwrap();
//! assert_eq!(found.text(), "panicked at pins.rs:7");
//! ```
//!
//! All numbers are little-endian:
//!
//! | at | type | field | written by | read by |
//! |---:|---|---|---|---|
//! | 0 | u32 | [`MAGIC`] | the dying program | the next start |
//! | 4 | u32 | CRC-32 (ISO-HDLC) of all that follows | " | " |
//! | 8 | i64 | wall clock in µs since 1970 UTC, 0 unknown | " | people |
//! | 16 | u16 | bytes of text | " | the next start |
//! | 18 | [`TEXT_BYTES_MAX`] bytes | text in UTF-8, then zeros | " | people |

use core::fmt;

use heapless::String;

use crate::checksum::CRC;

/// Longest text in bytes.
pub const TEXT_BYTES_MAX: usize = 960;
/// Bytes of an encoded panic_record.
pub const PANIC_RECORD_BYTES: usize = HEAD_BYTES + TEXT_BYTES_MAX;
/// First bytes of an panic_record.
pub const MAGIC: [u8; 4] = *b"LWep";
const HEAD_BYTES: usize = 18;

/// panic record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PanicRecord {
    wall_us: i64,
    text: String<TEXT_BYTES_MAX>,
}

impl PanicRecord {
    /// Words yet to be said, at a time in microseconds since 1970 UTC; 0 if it is unknown.
    pub fn new(wall_us: i64) -> PanicRecord {
        PanicRecord { wall_us, text: String::new() }
    }

    /// When it was said, in microseconds since 1970 UTC; 0 if unknown.
    pub fn wall_us(&self) -> i64 {
        self.wall_us
    }

    /// What was said.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The panic_record as bytes.
    pub fn encode(&self) -> [u8; PANIC_RECORD_BYTES] {
        let mut bytes = [0; PANIC_RECORD_BYTES];
        let length = (self.text.len() as u16).to_le_bytes(); // TEXT_BYTES_MAX fits
        let body = self.wall_us.to_le_bytes().into_iter().chain(length).chain(self.text.bytes());
        bytes.iter_mut().skip(8).zip(body).for_each(|(place, byte)| *place = byte);
        let crc = CRC.checksum(bytes.get(8..).unwrap_or(&[])).to_le_bytes();
        bytes.iter_mut().zip(MAGIC.into_iter().chain(crc)).for_each(|(place, byte)| *place = byte);
        bytes
    }

    /// Reads an panic_record; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<PanicRecord> {
        let (magic, rest) = bytes.get(..PANIC_RECORD_BYTES)?.split_first_chunk::<4>()?;
        let (crc, body) = rest.split_first_chunk::<4>()?;
        if *magic != MAGIC || u32::from_le_bytes(*crc) != CRC.checksum(body) {
            return None;
        }
        let (wall_us, body) = body.split_first_chunk::<8>()?;
        let (length, text) = body.split_first_chunk::<2>()?;
        let text = core::str::from_utf8(text.get(..usize::from(u16::from_le_bytes(*length)))?).ok()?;
        Some(PanicRecord { wall_us: i64::from_le_bytes(*wall_us), text: String::try_from(text).ok()? })
    }
}

/// Never fails: what does not fit is cut between two characters.
impl fmt::Write for PanicRecord {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut room = (TEXT_BYTES_MAX - self.text.len()).min(text.len());
        while !text.is_char_boundary(room) {
            room -= 1;
        }
        let _ = self.text.push_str(text.get(..room).unwrap_or("")); // it fits
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_said_is_read(wall_us in any::<i64>(), parts in prop::collection::vec(".{0,400}", 0..6)) {
            let mut words = PanicRecord::new(wall_us);
            let whole: std::string::String = parts.concat();
            for part in &parts {
                write!(words, "{part}").unwrap();
            }
            prop_assert_eq!(PanicRecord::decode(&words.encode()), Some(words.clone()));
            prop_assert!(words.text().len() <= TEXT_BYTES_MAX);
            if whole.len() <= TEXT_BYTES_MAX {
                prop_assert_eq!(words.text(), whole);
            } else {
                prop_assert!(words.text().len() > TEXT_BYTES_MAX - 4 - 400);
            }
        }

        #[test]
        fn a_flipped_bit_is_no_epitaph(bit in 0..PANIC_RECORD_BYTES * 8) {
            let mut words = PanicRecord::new(7);
            write!(words, "attempt to divide by zero").unwrap();
            let mut bytes = words.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(PanicRecord::decode(&bytes), None);
        }

        #[test]
        fn any_bytes_are_an_epitaph_or_none(bytes in prop::collection::vec(any::<u8>(), 0..1100)) {
            prop_assert_eq!(PanicRecord::decode(&bytes), None);
        }
    }

    #[test]
    fn nothing_was_said() {
        assert_eq!(PanicRecord::decode(&[0; PANIC_RECORD_BYTES]), None);
        assert_eq!(PanicRecord::decode(&[]), None);
    }
}
