//! JPEGs as cameras give them: often without Huffman tables.
//!
//! Motion JPEG leaves the tables of JPEG's Annex K out and takes them for known. Decoders use them where the picture
//! calls itself `AVI1`; not every camera's does. [`complete`] puts that word into a picture that has neither.

/// An APP0 segment that says `AVI1`: marker, length, name, polarity, and zeros.
const AVI1: [u8; 18] = [0xFF, 0xE0, 0, 16, b'A', b'V', b'I', b'1', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

const DHT: u8 = 0xC4;
const SOS: u8 = 0xDA;

/// `jpeg` as it is if it has Huffman tables, else a copy in `scratch` that says where they are to be had.
pub fn complete<'a>(jpeg: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if has_tables(jpeg) || !jpeg.starts_with(&[0xFF, 0xD8]) {
        return jpeg;
    }
    scratch.clear();
    scratch.extend_from_slice(&jpeg[..2]);
    scratch.extend_from_slice(&AVI1);
    scratch.extend_from_slice(&jpeg[2..]);
    scratch
}

/// Whether a table stands before the picture's data. What is not laid out like a JPEG counts as having one: what is
/// wrong with it is the decoder's to say.
fn has_tables(jpeg: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xFF, marker, high, low]) = jpeg.get(at..at + 4) {
        match marker {
            DHT => return true,
            SOS => return false,
            0xFF => at += 1, // padding before a marker
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Frame, picture};
    use proptest::prelude::*;

    /// A JPEG with the tables of Annex K, without its DHT segments, and without its APP0.
    fn bare() -> (Frame, Vec<u8>) {
        let mut frame = Frame::new();
        frame.reset(48, 32).unwrap();
        frame.rgb_mut().iter_mut().enumerate().for_each(|(i, b)| *b = (i / 3 % 48 * 5) as u8);
        let mut jpeg = Vec::new();
        picture::encode_jpeg(&frame, 90, &mut jpeg).unwrap();
        let mut bare = jpeg[..2].to_vec();
        let mut at = 2;
        while jpeg[at + 1] != SOS {
            let length = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            if jpeg[at + 1] != DHT && jpeg[at + 1] != 0xE0 {
                bare.extend_from_slice(&jpeg[at..at + length]);
            }
            at += length;
        }
        bare.extend_from_slice(&jpeg[at..]);
        let mut whole = Frame::new();
        picture::decode(&jpeg, "camera", &mut whole).unwrap();
        (whole, bare)
    }

    #[test]
    fn a_camera_s_picture_without_tables_is_read() {
        let (whole, bare) = bare();
        let mut scratch = Vec::new();
        let mut frame = Frame::new();
        picture::decode(complete(&bare, &mut scratch), "camera", &mut frame).unwrap();
        assert_eq!(frame.rgb(), whole.rgb());
        // and with what lies behind the picture in a buffer
        let padded = [&bare[..], &[0; 500]].concat();
        picture::decode(complete(&padded, &mut scratch), "camera", &mut frame).unwrap();
        assert_eq!(frame.rgb(), whole.rgb());
    }

    #[test]
    fn a_picture_with_tables_stays_where_it_is() {
        let jpeg: &[u8] = include_bytes!("../frame/fixtures/baseline_32x16.jpg");
        let mut scratch = Vec::new();
        assert_eq!(complete(jpeg, &mut scratch).as_ptr(), jpeg.as_ptr());
    }

    proptest! {
        #[test]
        fn any_bytes_pass(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut scratch = Vec::new();
            let length = complete(&bytes, &mut scratch).len();
            prop_assert!(length == bytes.len() || length == bytes.len() + AVI1.len());
        }
    }
}
