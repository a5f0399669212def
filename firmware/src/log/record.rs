//! The record's frame: a checksummed, numbered payload.
//!
//! All numbers are little-endian.
//!
//! | at | type | field | written by | read by |
//! |---:|---|---|---|---|
//! | 0 | u16 | magic: [`MAGIC_FIRST`] begins a commit, [`MAGIC_MORE`] goes on, [`MAGIC_RUN`] begins a run | [`encode`] | [`parse`] |
//! | 2 | u16 | payload bytes, at most [`RECORD_BYTES_MAX`] | [`encode`] | [`parse`] |
//! | 4 | u64 | sequence number, from 1 | [`encode`] | [`parse`] |
//! | 12 | u32 | CRC-32 (ISO-HDLC) of bytes 0..12 and the payload | [`encode`] | [`parse`] |
//! | 16 | bytes | payload | caller | caller |
//!
//! The start of a run is a record without a number of its own: it begins the run's first commit, bears the number of
//! the record behind it, and its payload is the run, a u32.
//!
//! The two magics tell a torn tail from rot: a commit begins only after the one before it is
//! durable, so whatever is broken in front of a [`MAGIC_FIRST`] had been acknowledged.
//!
//! [`parse`] is total: any bytes are a record, a torn one, a corrupt one, or none. No byte that it
//! reads can make it panic or read past the end.

use heapless::Vec;

use crate::checksum::CRC;
use crate::limits::{RECORD_BYTES_MAX, RECORD_HEADER_BYTES};

/// Magic of the first record of a commit (`Rf` on the medium).
pub const MAGIC_FIRST: u16 = u16::from_le_bytes(*b"Rf");
/// Magic of the further records of a commit (`Rm` on the medium).
pub const MAGIC_MORE: u16 = u16::from_le_bytes(*b"Rm");

/// Magic of the record that begins a run, and with it a commit (`Rr` on the medium).
pub const MAGIC_RUN: u16 = u16::from_le_bytes(*b"Rr");

/// Number of a record: 1, 2, 3 … over the whole life of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl core::fmt::Display for Seq {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// Proof that what it holds is durable: only a log's commit makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durable<T>(pub(super) T);

impl<T: Copy> Durable<T> {
    /// What is durable.
    pub fn get(&self) -> T {
        self.0
    }
}

impl Durable<Seq> {
    /// `value`, which record `seq` of the same log carries, if that record is durable too: records become durable in
    /// the order of their numbers, so the last one vouches for those before it.
    pub fn covers<T>(self, seq: Seq, value: T) -> Option<Durable<T>> {
        (seq <= self.0).then_some(Durable(value))
    }
}

/// What some bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A whole record that its checksum confirms.
    Record {
        /// Its number.
        seq: Seq,
        /// It is the first of a commit.
        first: bool,
        /// What it carries.
        payload: &'a [u8],
    },
    /// A run begins, and with it a commit.
    Run {
        /// The number of the record behind it.
        seq: Seq,
        /// The run, from 1.
        run: u32,
    },
    /// The beginning of a record; the bytes end before it does.
    Torn,
    /// No record, whatever follows.
    Corrupt,
    /// No bytes at all.
    Empty,
}

/// Appends the frame of `payload` to `out`. False, and `out` as it was, if the payload exceeds
/// [`RECORD_BYTES_MAX`] or `out` has no room.
pub fn encode<const N: usize>(seq: Seq, first: bool, payload: &[u8], out: &mut Vec<u8, N>) -> bool {
    put(seq, if first { MAGIC_FIRST } else { MAGIC_MORE }, payload, out)
}

/// Appends the record that begins a run; `seq` is the number of the record behind it. False as [`encode`].
pub fn encode_run<const N: usize>(seq: Seq, run: u32, out: &mut Vec<u8, N>) -> bool {
    put(seq, MAGIC_RUN, &run.to_le_bytes(), out)
}

fn put<const N: usize>(seq: Seq, magic: u16, payload: &[u8], out: &mut Vec<u8, N>) -> bool {
    let room = N - out.len();
    if payload.len() > RECORD_BYTES_MAX || RECORD_HEADER_BYTES + payload.len() > room {
        return false;
    }
    let head = head(seq, magic, payload.len() as u16); // at most RECORD_BYTES_MAX, which fits
    let parts: [&[u8]; 3] = [&head, &checksum(&head, payload).to_le_bytes(), payload];
    parts.into_iter().all(|part| out.extend_from_slice(part).is_ok())
}

/// Reads the record that `bytes` begins with. Bytes after it are not looked at.
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<12>() else {
        return short(bytes);
    };
    let [m0, m1, l0, l1, s0, s1, s2, s3, s4, s5, s6, s7] = *head;
    let payload_len = usize::from(u16::from_le_bytes([l0, l1]));
    if !is_magic([m0, m1]) || payload_len > RECORD_BYTES_MAX {
        return Parsed::Corrupt;
    }
    let Some((crc, rest)) = rest.split_first_chunk::<4>() else {
        return Parsed::Torn;
    };
    let Some(payload) = rest.get(..payload_len) else {
        return Parsed::Torn;
    };
    if u32::from_le_bytes(*crc) != checksum(head, payload) {
        return Parsed::Corrupt;
    }
    let seq = Seq(u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]));
    match (u16::from_le_bytes([m0, m1]), payload) {
        (MAGIC_RUN, [r0, r1, r2, r3]) => Parsed::Run { seq, run: u32::from_le_bytes([*r0, *r1, *r2, *r3]) },
        (MAGIC_RUN, _) => Parsed::Corrupt,
        (magic, _) => Parsed::Record { seq, first: magic == MAGIC_FIRST, payload },
    }
}

/// Bytes of the record that `bytes` seem to begin with, whole or not.
pub(super) fn frame_bytes(bytes: &[u8]) -> Option<usize> {
    let [m0, m1, l0, l1] = *bytes.first_chunk()?;
    let payload = usize::from(u16::from_le_bytes([l0, l1]));
    (is_magic([m0, m1]) && payload <= RECORD_BYTES_MAX).then_some(RECORD_HEADER_BYTES + payload)
}

/// Offset of the first place in `bytes`, from `from` on, that could begin a record.
pub(super) fn find_magic(bytes: &[u8], from: usize) -> Option<usize> {
    let tail = bytes.get(from..)?;
    let whole = tail.windows(2).position(|pair| pair.first_chunk::<2>().is_some_and(|pair| is_magic(*pair)));
    whole.map(|at| from + at)
}

fn short(bytes: &[u8]) -> Parsed<'_> {
    match bytes {
        [] => Parsed::Empty,
        [m0, m1, ..] if !is_magic([*m0, *m1]) => Parsed::Corrupt,
        [m0] if *m0 != b'R' => Parsed::Corrupt,
        _ => Parsed::Torn,
    }
}

fn is_magic(bytes: [u8; 2]) -> bool {
    [MAGIC_FIRST, MAGIC_MORE, MAGIC_RUN].contains(&u16::from_le_bytes(bytes))
}

fn head(seq: Seq, magic: u16, payload_len: u16) -> [u8; 12] {
    let [m0, m1] = magic.to_le_bytes();
    let [l0, l1] = payload_len.to_le_bytes();
    let [s0, s1, s2, s3, s4, s5, s6, s7] = seq.0.to_le_bytes();
    [m0, m1, l0, l1, s0, s1, s2, s3, s4, s5, s6, s7]
}

fn checksum(head: &[u8; 12], payload: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(head);
    digest.update(payload);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FRAME_BYTES_MAX;
    use proptest::prelude::*;

    fn frame(seq: u64, payload: &[u8]) -> Vec<u8, FRAME_BYTES_MAX> {
        let mut out = Vec::new();
        assert!(encode(Seq(seq), true, payload, &mut out));
        out
    }

    #[test]
    fn too_long_is_refused_and_leaves_nothing() {
        let mut out: Vec<u8, 4096> = Vec::new();
        assert!(!encode(Seq(1), true, &[0; RECORD_BYTES_MAX + 1], &mut out));
        assert!(out.is_empty());
        let mut small: Vec<u8, 20> = Vec::new();
        assert!(!encode(Seq(1), true, &[0; 5], &mut small));
        assert!(small.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            seq in any::<u64>(), first in any::<bool>(), payload in prop::collection::vec(any::<u8>(), 0..=RECORD_BYTES_MAX),
        ) {
            let mut out: Vec<u8, FRAME_BYTES_MAX> = Vec::new();
            prop_assert!(encode(Seq(seq), first, &payload, &mut out));
            prop_assert_eq!(parse(&out), Parsed::Record { seq: Seq(seq), first, payload: &payload });
        }

        #[test]
        fn the_start_of_a_run_is_read(seq in any::<u64>(), run in any::<u32>(), bit in 0usize..20 * 8) {
            let mut out: Vec<u8, 64> = Vec::new();
            prop_assert!(encode_run(Seq(seq), run, &mut out));
            prop_assert_eq!(parse(&out), Parsed::Run { seq: Seq(seq), run });
            out[bit / 8] ^= 1 << (bit % 8);
            let is_none = !matches!(parse(&out), Parsed::Run { .. } | Parsed::Record { .. });
            prop_assert!(is_none);
        }

        #[test]
        fn a_prefix_is_torn(payload in prop::collection::vec(any::<u8>(), 0..80), cut in any::<prop::sample::Index>()) {
            let out = frame(7, &payload);
            let cut = cut.index(out.len());
            prop_assert_eq!(parse(&out[..cut]), if cut == 0 { Parsed::Empty } else { Parsed::Torn });
        }

        #[test]
        fn a_flipped_bit_is_no_record(payload in prop::collection::vec(any::<u8>(), 0..80), bit in any::<prop::sample::Index>()) {
            let mut out = frame(7, &payload);
            let bit = bit.index(out.len() * 8);
            out[bit / 8] ^= 1 << (bit % 8);
            let parsed = parse(&out);
            prop_assert!(!matches!(parsed, Parsed::Record { .. }), "{:?}", parsed);
        }

        #[test]
        fn any_bytes_are_something(mut bytes in prop::collection::vec(any::<u8>(), 0..64), magic in any::<bool>()) {
            if magic && bytes.len() > 4 {
                bytes[..2].copy_from_slice(b"Rf");
                bytes[3] = 0;
            }
            let parsed = parse(&bytes);
            prop_assert!(!matches!(parsed, Parsed::Record { .. }), "{:?}", parsed);
            let _ = find_magic(&bytes, bytes.len() / 2);
        }
    }
}
