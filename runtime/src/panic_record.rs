//! A panic's panic record as a record of the log.
//!
//! Payload: one byte [`LAST_WORDS_TAG`], then an [`PanicRecord`] as it is encoded. An event's payload begins with its
//! version, which is never that byte.

use lapwing_firmware::panic_record::{PANIC_RECORD_BYTES, PanicRecord};

/// First byte of the payload.
pub const LAST_WORDS_TAG: u8 = 0xF1;

/// Bytes of the payload.
pub const LAST_WORDS_BYTES: usize = 1 + PANIC_RECORD_BYTES;

const _: () = assert!(LAST_WORDS_BYTES <= lapwing_firmware::limits::RECORD_BYTES_MAX);

/// The payload.
pub fn encode(words: &PanicRecord) -> [u8; LAST_WORDS_BYTES] {
    let mut payload = [0; LAST_WORDS_BYTES];
    payload[0] = LAST_WORDS_TAG;
    payload[1..].copy_from_slice(&words.encode());
    payload
}

/// Reads a payload; `None` if it is none of these.
pub fn decode(payload: &[u8]) -> Option<PanicRecord> {
    match payload.split_first() {
        Some((&LAST_WORDS_TAG, words)) => PanicRecord::decode(words),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    #[test]
    fn it_comes_back_and_is_no_event() {
        let mut words = PanicRecord::new(5);
        write!(words, "index out of bounds").unwrap();
        let payload = encode(&words);
        assert_eq!(decode(&payload), Some(words));
        assert_eq!(decode(&payload[..900]), None);
        assert_eq!(decode(&[]), None);
        assert!(lapwing_firmware::event::Event::decode(&payload).is_err());
        assert!(crate::name_table::NameTable::decode(&payload).is_none());
    }
}
