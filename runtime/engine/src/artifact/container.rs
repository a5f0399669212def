//! The frame that every file of lapwing's has: a prefix of 64 bytes, a JSON header, a body.
//!
//! ```text
//!  0  8   magic
//!  8  4   format, u32
//! 12  4   0x01020304: all numbers are little-endian
//! 16  8   length of the header, u64
//! 24  8   count, u64: what it counts is the format's business
//! 32 32   SHA-256 of everything behind byte 64
//! 64  ..  header: JSON; then zeros up to a multiple of 64
//!     ..  body
//! ```

use std::ops::RangeInclusive;

use sha2::{Digest, Sha256};

use crate::bytes::Bytes;

/// Bytes in front of the header; header and body begin at multiples of it.
pub const PREFIX: usize = 64;
const ENDIAN: u32 = 0x0102_0304;

/// A file whose prefix is well formed. Its checksum is proved by [`Container::is_whole`] only.
#[derive(Debug)]
pub struct Container {
    file: Bytes,
    format: u32,
    header: usize,
    count: u64,
}

impl Container {
    /// The bytes of a file.
    pub fn write(magic: &[u8; 8], format: u32, count: u64, header: &[u8], body: &[u8]) -> Vec<u8> {
        let behind = header.len().next_multiple_of(PREFIX);
        let mut file = Vec::with_capacity(PREFIX + behind + body.len());
        file.extend(magic);
        file.extend(format.to_le_bytes());
        file.extend(ENDIAN.to_le_bytes());
        file.extend((header.len() as u64).to_le_bytes());
        file.extend(count.to_le_bytes());
        file.resize(PREFIX, 0);
        file.extend(header);
        file.resize(PREFIX + behind, 0);
        file.extend(body);
        seal(&mut file);
        file
    }

    /// Reads the prefix. The caller has looked at the magic.
    ///
    /// # Errors
    /// One line: what is wrong with the file.
    pub fn open(file: Bytes, formats: RangeInclusive<u32>, header_max: usize) -> Result<Container, String> {
        let prefix: &[u8; PREFIX] = file.first_chunk().ok_or("it is shorter than its first 64 bytes")?;
        let word = |at: usize| u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if !formats.contains(&word(8)) {
            return Err(format!(
                "its format is {}, this lapwing reads up to {}; update lapwing or make the file again",
                word(8),
                formats.end()
            ));
        }
        if word(12) != ENDIAN {
            return Err("its bytes are in another order".into());
        }
        let header = usize::try_from(long(16)).ok().filter(|&header| header <= header_max);
        let inside = |header: &usize| header.next_multiple_of(PREFIX) <= file.len() - PREFIX;
        let Some(header) = header.filter(inside) else {
            return Err(format!("it has {} bytes, its first lines promise others: it was cut or grew", file.len()));
        };
        let (format, count) = (word(8), long(24));
        Ok(Container { file, format, header, count })
    }

    /// Its format.
    pub fn format(&self) -> u32 {
        self.format
    }

    /// The number in the prefix.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The header's JSON.
    pub fn header(&self) -> &[u8] {
        &self.file[PREFIX..][..self.header]
    }

    /// What lies behind the header: a view of the file.
    pub fn body(&self) -> Bytes {
        let at = PREFIX + self.header.next_multiple_of(PREFIX);
        self.file.part(at..self.file.len()).unwrap_or_else(|| self.file.clone())
    }

    /// Bytes of the whole file.
    pub fn len(&self) -> usize {
        self.file.len()
    }

    /// Never: there is a prefix.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Whether the checksum is that of the header and the body.
    pub fn is_whole(&self) -> bool {
        Sha256::digest(&self.file[PREFIX..])[..] == self.file[32..PREFIX]
    }
}

/// Puts the checksum of a file of at least [`PREFIX`] bytes right.
pub fn seal(file: &mut [u8]) {
    if let Some((prefix, behind)) = file.split_at_mut_checked(PREFIX) {
        prefix[32..].copy_from_slice(&Sha256::digest(behind));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let file = Container::write(b"lapwing\0", 3, 7, b"{}", &[9; 70]);
        let open = |file: &[u8]| Container::open(file.to_vec().into(), 1..=3, 1 << 10);
        let read = open(&file).unwrap();
        assert!(read.is_whole());
        assert_eq!((read.format(), read.count(), read.header(), &*read.body()), (3, 7, &b"{}"[..], &[9; 70][..]));
        for (at, to) in [(8, 4), (12, 9), (16, 255), (18, 1), (20, 1)] {
            let mut other = file.clone();
            other[at] = to;
            assert!(open(&other).is_err(), "byte {at}");
        }
        assert!(open(&file[..63]).is_err() && open(&file[..127]).is_err());
        let mut other = file.clone();
        other[130] ^= 1;
        assert!(!open(&other).unwrap().is_whole());
        seal(&mut other);
        assert!(open(&other).unwrap().is_whole());
    }
}
