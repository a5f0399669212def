//! Where a JPEG ends: a walk over the segments of one JPEG file or of a stream of them.
//!
//! [`Walker`] is fed bytes in pieces of any size and says when it has passed the end-of-image marker of the picture
//! that it entered (ITU-T T.81, annex B). It goes by the segments' own lengths, so that the thumbnail inside an EXIF
//! segment, which is a whole JPEG with markers of its own, ends nothing. Each byte is looked at once at most.
//! It also counts the scans, and knows whether it stands in one: data that end there may lack the marker alone.
//! It may not decode, allocate or read past what it is given; it does not check that the picture makes sense.

/// The first three bytes of every JPEG: start of image, and the first byte of the next marker.
pub const SOI: [u8; 3] = [0xFF, 0xD8, 0xFF];

/// What a [`Walker`] found in the bytes that it was fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// All were inside the picture; feed it more.
    More,
    /// The picture's last byte is the one before this index of the piece.
    End(usize),
    /// The byte at this index of the piece cannot be part of the picture.
    Broken {
        /// Index into the piece.
        at: usize,
        /// What is wrong with it.
        why: &'static str,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the picture; the number of bytes of [`SOI`]'s first two seen.
    Start(u8),
    /// A marker's 0xFF is due.
    Prefix,
    /// 0xFF was seen; the marker's code (or another 0xFF) is due.
    Code,
    /// The high byte of a segment's length is due.
    LengthHigh { scan: bool },
    /// The low byte of a segment's length is due.
    LengthLow { scan: bool, high: u8 },
    /// This many bytes of a segment's body are left.
    Body { scan: bool, left: usize },
    /// Inside entropy-coded data.
    Scan,
    /// Inside entropy-coded data, after 0xFF.
    ScanPrefix,
    /// After the end.
    Done,
}

/// Walks over one JPEG from its start-of-image marker to its end.
#[derive(Debug, Clone)]
pub struct Walker {
    state: State,
    scans: u32,
}

impl Default for Walker {
    fn default() -> Self {
        Self { state: State::Start(0), scans: 0 }
    }
}

impl Walker {
    /// A walker that expects the first byte of a JPEG.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on over `piece`, which follows the piece before it.
    pub fn feed(&mut self, piece: &[u8]) -> Step {
        let mut at = 0;
        while let Some(&byte) = piece.get(at) {
            match self.step(byte, piece.len() - at) {
                Ok((next, used)) => {
                    let enters = matches!(self.state, State::Code | State::ScanPrefix);
                    if enters && matches!(next, State::LengthHigh { scan: true }) {
                        self.scans = self.scans.saturating_add(1);
                    }
                    self.state = next;
                    at += used;
                    if next == State::Done {
                        return Step::End(at);
                    }
                }
                Err(why) => return Step::Broken { at, why },
            }
        }
        Step::More
    }

    /// The next state and the number of bytes it took, at least 1 and at most `left_in_piece`.
    fn step(&self, byte: u8, left_in_piece: usize) -> Result<(State, usize), &'static str> {
        let next = match self.state {
            State::Start(0) if byte == 0xFF => State::Start(1),
            State::Start(1) if byte == 0xD8 => State::Prefix,
            State::Start(_) => return Err("no start-of-image marker"),
            State::Prefix if byte == 0xFF => State::Code,
            State::Prefix => return Err("no marker where one is due"),
            State::Code => match byte {
                0xFF => State::Code, // fill bytes
                0xD9 => State::Done,
                0xD8 => return Err("a second start of image before the end of the first"),
                0x00 => return Err("a zero where a marker's code is due"),
                0x01 | 0xD0..=0xD7 => State::Prefix, // no length
                code => State::LengthHigh { scan: code == 0xDA },
            },
            State::LengthHigh { scan } => State::LengthLow { scan, high: byte },
            State::LengthLow { scan, high } => {
                let length = usize::from(u16::from_be_bytes([high, byte]));
                match length {
                    0 | 1 => return Err("a segment shorter than its own length field"),
                    2 => after_body(scan),
                    _ => State::Body { scan, left: length - 2 },
                }
            }
            State::Body { scan, left } => {
                let used = left.min(left_in_piece);
                let next = if used == left { after_body(scan) } else { State::Body { scan, left: left - used } };
                return Ok((next, used));
            }
            State::Scan if byte == 0xFF => State::ScanPrefix,
            State::Scan => State::Scan,
            State::ScanPrefix => match byte {
                0x00 | 0xD0..=0xD7 => State::Scan, // a stuffed 0xFF, a restart
                0xFF => State::ScanPrefix,         // fill bytes
                0xD9 => State::Done,
                0xD8 => return Err("a second start of image before the end of the first"),
                code => State::LengthHigh { scan: code == 0xDA }, // tables, the next scan
            },
            State::Done => State::Done,
        };
        Ok((next, 1))
    }

    /// Scans that it has entered.
    #[must_use]
    pub fn scans(&self) -> u32 {
        self.scans
    }

    /// Whether the walker stands in a scan's data, where the picture may be whole but for its end-of-image marker.
    #[must_use]
    pub fn is_in_scan(&self) -> bool {
        matches!(self.state, State::Scan | State::ScanPrefix)
    }

    /// Whether the walker is past the end of its picture.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }
}

fn after_body(scan: bool) -> State {
    if scan { State::Scan } else { State::Prefix }
}

/// Where `piece` first holds [`SOI`], if it does.
#[must_use]
pub fn find_soi(piece: &[u8]) -> Option<usize> {
    piece.windows(SOI.len()).position(|window| window == SOI)
}

/// The number of bytes of the JPEG that `bytes` begins with.
///
/// # Errors
/// What is wrong, in words: it does not begin with a JPEG, a segment is broken, or it ends too early.
pub fn jpeg_len(bytes: &[u8]) -> Result<usize, &'static str> {
    match Walker::new().feed(bytes) {
        Step::End(len) => Ok(len),
        Step::Broken { why, .. } => Err(why),
        Step::More => Err("it ends before its end-of-image marker"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A JPEG skeleton: an APP1 segment with a whole thumbnail inside, a scan with stuffing and a restart, a table
    /// between scans, and a second scan.
    fn skeleton() -> Vec<u8> {
        let thumb = [0xFF, 0xD8, 0xFF, 0xD9, 0xFF, 0xD8, 0xFF];
        let mut jpeg = vec![0xFF, 0xD8, 0xFF, 0xE1, 0, 2 + thumb.len() as u8];
        jpeg.extend(thumb);
        jpeg.extend([0xFF, 0xFF, 0xDA, 0, 3, 9, 1, 2, 0xFF, 0x00, 3, 0xFF, 0xD3, 4]);
        jpeg.extend([0xFF, 0xC4, 0, 2, 0xFF, 0xDA, 0, 2, 5, 6, 0xFF, 0xD9]);
        jpeg
    }

    #[test]
    fn the_thumbnail_ends_nothing() {
        let mut jpeg = skeleton();
        let len = jpeg.len();
        jpeg.extend([1, 2, 3]);
        assert_eq!(jpeg_len(&jpeg), Ok(len));
    }

    #[test]
    fn it_says_what_is_wrong() {
        let jpeg = skeleton();
        assert_eq!(jpeg_len(&jpeg[..jpeg.len() - 1]), Err("it ends before its end-of-image marker"));
        assert_eq!(jpeg_len(b"GIF89a"), Err("no start-of-image marker"));
        assert!(jpeg_len(&[0xFF, 0xD8, 0xFF, 0xE0, 0, 1]).is_err());
        assert!(jpeg_len(&[0xFF, 0xD8, 0xFF, 0xD8]).is_err());
    }

    #[test]
    fn the_start_is_found() {
        assert_eq!(find_soi(&[0, 0xFF, 0xD8, 0, 0xFF, 0xD8, 0xFF]), Some(4));
        assert_eq!(find_soi(&[0xFF, 0xD8]), None);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(cut in 0usize..40, other in 0usize..40) {
            let jpeg = skeleton();
            let (a, b) = (cut.min(other).min(jpeg.len()), cut.max(other).min(jpeg.len()));
            let mut walker = Walker::new();
            let mut total = 0;
            for piece in [&jpeg[..a], &jpeg[a..b], &jpeg[b..]] {
                match walker.feed(piece) {
                    Step::More => total += piece.len(),
                    Step::End(n) => { total += n; break }
                    Step::Broken { at, why } => panic!("{why} at {at}"),
                }
            }
            prop_assert_eq!(total, jpeg.len());
            prop_assert!(walker.is_done() && !walker.is_in_scan());
            prop_assert_eq!(walker.scans(), 2);
        }

        #[test]
        fn any_bytes_end_well(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut marked = SOI.to_vec();
            marked.extend(&bytes);
            for input in [&bytes, &marked] {
                if let Ok(len) = jpeg_len(input) {
                    prop_assert!(len <= input.len());
                    prop_assert_eq!(&input[len - 2..len], &[0xFF, 0xD9]);
                }
            }
        }
    }
}
