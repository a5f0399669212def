//! What a JPEG says of itself before its first scan: its kind, how its components are sampled, which tables it needs.
//!
//! [`Outline::of`] walks over the headers (ITU-T T.81, annex B). Two things are decided by it: which decoder reads the
//! picture right ([`Outline::is_common`]), and whether the Huffman tables of annex K are missing and to be supplied
//! ([`with_tables`]). Motion JPEG leaves these tables out and takes them for known. Decoders supply them where the picture
//! calls itself `AVI1`; not every camera's and not every clip's does.
//! It may not decode, and reads nothing behind the first scan's header.

/// An APP0 segment that says `AVI1`: marker, length, name, polarity, and zeros.
const AVI1: [u8; 18] = [0xFF, 0xE0, 0, 16, b'A', b'V', b'I', b'1', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

const APP0: u8 = 0xE0;
const DHT: u8 = 0xC4;
const SOS: u8 = 0xDA;
/// The kinds of frame that are read: baseline, extended sequential and progressive, all with Huffman coding.
const BASELINE: u8 = 0xC0;
const EXTENDED: u8 = 0xC1;
const PROGRESSIVE: u8 = 0xC2;

/// Most components of a picture: CMYK.
const COMPONENTS_MAX: usize = 4;

/// What the headers say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// The code of the start-of-frame marker; 0: there is none.
    frame: u8,
    /// Horizontal and vertical sampling factor of each component.
    sampling: heapless::Vec<(u8, u8), COMPONENTS_MAX>,
    /// Components of the frame; more than [`COMPONENTS_MAX`] are counted and not kept.
    components: usize,
    /// Components of the first scan.
    scanned: usize,
    /// The first scan needs a table of annex K that no segment defines.
    lacks_tables: bool,
}

impl Outline {
    /// Reads the headers of `jpeg`. `None`: they do not lead to a scan, so that there is nothing to decode.
    #[must_use]
    pub fn of(jpeg: &[u8]) -> Option<Outline> {
        let mut outline = Outline::default();
        let mut tables = Tables::default();
        let mut segments = Segments::new(jpeg);
        while let Some((code, body)) = segments.next() {
            match code {
                DHT => tables.define(body),
                APP0 if body.starts_with(b"AVI1") => tables.known = true,
                SOS => {
                    outline.scanned = usize::from(*body.first()?);
                    let is_sequential = outline.frame != PROGRESSIVE;
                    outline.lacks_tables = is_sequential && tables.lack(body.get(1..)?);
                    return Some(outline);
                }
                0xC0..=0xCF if code != 0xC8 && code != 0xCC => outline.frame(code, body),
                _ => {}
            }
        }
        None
    }

    fn frame(&mut self, code: u8, body: &[u8]) {
        self.frame = code;
        self.sampling.clear();
        self.components = usize::from(body.get(5).copied().unwrap_or(0));
        for component in body.get(6..).unwrap_or(&[]).chunks_exact(3).take(self.components.min(COMPONENTS_MAX)) {
            let _ = self.sampling.push((component[1] >> 4, component[1] & 15)); // has room
        }
    }

    /// Whether it is coded in one of the ways that cameras and programs use nearly always: all components in one scan, or
    /// progressive, and the first component sampled as finely as any, by powers of two. The fast decoder is right for
    /// these, and for others not.
    #[must_use]
    pub fn is_common(&self) -> bool {
        let Some(&(across, down)) = self.sampling.first() else { return true };
        let is_fine = |&(h, v): &(u8, u8)| h.is_power_of_two() && v.is_power_of_two() && h <= across && v <= down;
        let in_one_scan = self.scanned == self.components;
        match self.frame {
            BASELINE | EXTENDED => in_one_scan && (self.components == 1 || self.sampling.iter().all(is_fine)),
            PROGRESSIVE => self.components == 1 || self.sampling.iter().all(is_fine),
            _ => true, // lossless, arithmetic: which the fast decoder refuses
        }
    }

    /// Whether one scan after another adds to the whole picture.
    #[must_use]
    pub fn is_progressive(&self) -> bool {
        self.frame == PROGRESSIVE
    }

    /// Most scans that such a picture needs.
    #[must_use]
    pub fn scans_max(&self) -> u32 {
        if self.is_progressive() { 100 } else { self.components as u32 }
    }

    /// Whether the first scan needs Huffman tables that the picture does not have.
    #[must_use]
    pub fn lacks_tables(&self) -> bool {
        self.lacks_tables
    }
}

/// Which Huffman tables there are.
#[derive(Default)]
struct Tables {
    /// A bit for each identifier: DC, AC.
    defined: [u8; 2],
    /// Decoders take those of annex K for the others.
    known: bool,
}

impl Tables {
    /// Takes the tables of a DHT segment: class and identifier, 16 counts, and as many values as they add up to.
    fn define(&mut self, mut body: &[u8]) {
        while let Some((head, rest)) = body.split_first_chunk::<17>() {
            let values: usize = head[1..].iter().map(|&count| usize::from(count)).sum();
            if let Some(defined) = self.defined.get_mut(usize::from(head[0] >> 4)) {
                *defined |= 1u8.checked_shl(u32::from(head[0] & 15)).unwrap_or(0);
            }
            body = rest.get(values..).unwrap_or(&[]);
        }
    }

    /// Whether a component of a scan's header, of which `body` begins with the first, uses a table that there is not,
    /// but in annex K.
    fn lack(&self, body: &[u8]) -> bool {
        let missing = |class: usize, id: u8| id < 2 && self.defined[class] & (1 << id) == 0;
        let mut components = body.chunks_exact(2).take(COMPONENTS_MAX).take(body.len().saturating_sub(3) / 2);
        !self.known && components.any(|c| missing(0, c[1] >> 4) || missing(1, c[1] & 15))
    }
}

/// The header segments of a JPEG: code and body.
struct Segments<'a> {
    left: &'a [u8],
}

impl<'a> Segments<'a> {
    fn new(jpeg: &'a [u8]) -> Self {
        Self { left: jpeg.get(2..).unwrap_or(&[]) }
    }

    /// The next segment that has a body; `None` at the end, whatever it looks like. What is no marker is passed over, as
    /// decoders do.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        loop {
            let prefix = self.left.iter().position(|&byte| byte == 0xFF)?;
            self.left = &self.left[prefix + 1..];
            let at = self.left.iter().position(|&byte| byte != 0xFF)?;
            let code = self.left[at];
            self.left = &self.left[at + 1..];
            match code {
                0x00 | 0x01 | 0xD0..=0xD8 => {}
                0xD9 => return None,
                _ => {
                    let (length, rest) = self.left.split_first_chunk::<2>()?;
                    let body = usize::from(u16::from_be_bytes(*length)).checked_sub(2)?;
                    let body = rest.get(..body)?;
                    self.left = &rest[body.len()..];
                    return Some((code, body));
                }
            }
        }
    }
}

/// `jpeg` as it is if it has its Huffman tables, else a copy in `scratch` that says where they are to be had.
pub fn with_tables<'a>(jpeg: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if !jpeg.starts_with(&[0xFF, 0xD8]) || !Outline::of(jpeg).is_some_and(|outline| outline.lacks_tables) {
        return jpeg;
    }
    scratch.clear();
    scratch.extend_from_slice(&jpeg[..2]);
    scratch.extend_from_slice(&AVI1);
    scratch.extend_from_slice(&jpeg[2..]);
    scratch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Frame, picture};
    use proptest::prelude::*;

    /// Without the segments that have one of `codes`.
    fn without(jpeg: &[u8], codes: &[u8]) -> Vec<u8> {
        let mut bare = jpeg[..2].to_vec();
        let mut at = 2;
        while jpeg[at + 1] != SOS {
            let length = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            if !codes.contains(&jpeg[at + 1]) {
                bare.extend_from_slice(&jpeg[at..at + length]);
            }
            at += length;
        }
        bare.extend_from_slice(&jpeg[at..]);
        bare
    }

    /// A picture, and as a JPEG with the tables of annex K.
    fn with_annex_k() -> (Frame, Vec<u8>) {
        let mut frame = Frame::new();
        frame.reset(48, 32).unwrap();
        frame.rgb_mut().iter_mut().enumerate().for_each(|(i, b)| *b = (i / 3 % 48 * 5) as u8);
        let mut jpeg = Vec::new();
        picture::encode_jpeg(&frame, 90, &mut jpeg).unwrap();
        let mut whole = Frame::new();
        picture::decode(&jpeg, "whole", &mut whole).unwrap();
        (whole, jpeg)
    }

    #[test]
    fn a_picture_without_tables_is_read_on_every_path() {
        let (whole, jpeg) = with_annex_k();
        let bare = without(&jpeg, &[DHT, APP0]);
        let mut scratch = Vec::new();
        let mut frame = Frame::new();
        // as a file, as a camera hands it over, and with what lies behind the picture in a buffer
        let padded = [&bare[..], &[0; 500]].concat();
        for bytes in [&bare[..], with_tables(&bare, &mut scratch), &padded] {
            picture::decode(bytes, "bare", &mut frame).unwrap();
            assert_eq!(frame.rgb(), whole.rgb());
        }
    }

    #[test]
    fn a_picture_with_some_of_the_tables_keeps_them() {
        let (whole, jpeg) = with_annex_k();
        // the tables one by one: each DHT segment alone is left out
        let segments: Vec<usize> =
            jpeg.windows(2).enumerate().filter(|(_, w)| *w == [0xFF, DHT]).map(|(at, _)| at).collect();
        assert!(!segments.is_empty());
        for at in segments {
            let length = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            let part = [&jpeg[..at], &jpeg[at + length..]].concat();
            assert!(Outline::of(&part).unwrap().lacks_tables());
            let mut frame = Frame::new();
            picture::decode(&part, "part", &mut frame).unwrap();
            assert_eq!(frame.rgb(), whole.rgb());
        }
    }

    #[test]
    fn a_picture_with_tables_stays_where_it_is() {
        let jpeg: &[u8] = include_bytes!("fixtures/baseline_32x16.jpg");
        let mut scratch = Vec::new();
        assert_eq!(with_tables(jpeg, &mut scratch).as_ptr(), jpeg.as_ptr());
        let progressive: &[u8] = include_bytes!("fixtures/progressive_32x16.jpg");
        assert_eq!(with_tables(progressive, &mut scratch).as_ptr(), progressive.as_ptr());
    }

    proptest! {
        #[test]
        fn any_bytes_pass(bytes in prop::collection::vec(any::<u8>(), 0..200), begins in any::<bool>()) {
            let mut jpeg = if begins { vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 3, 1] } else { Vec::new() };
            jpeg.extend(bytes);
            let mut scratch = Vec::new();
            let length = with_tables(&jpeg, &mut scratch).len();
            prop_assert!(length == jpeg.len() || length == jpeg.len() + AVI1.len());
        }
    }
}
