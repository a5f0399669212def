//! `.mjpeg`, `.mjpg`: JPEG pictures one after another, as cameras and `ffmpeg -f mjpeg` write them.
//!
//! A picture ends where its segments say ([`crate::frame::segments`]); whatever lies between two pictures, such as the
//! part headers of an HTTP stream, is passed over. A damaged picture is one [`Next::Broken`], and the reading goes on at
//! the next start-of-image marker. Memory is bounded by [`FRAME_BYTES_MAX`], and the buffer is used
//! again; what decoding asks for is said at `frame::picture`. The stream has no clock: frames are taken
//! to be [`PERIOD_US`] apart.

use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::time::Duration;

use super::{Next, Pacing, Source, SourceError};
use crate::frame::segments::{SOI, Step, Walker, find_soi};
use crate::frame::{Frame, picture};

/// The most bytes that one picture of the stream may have.
pub const FRAME_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Time between two frames, in microseconds of `captured_us` (25 a second).
pub const PERIOD_US: u64 = 40_000;

const READ_BYTES: usize = 64 * 1024;

/// Splits a stream into pictures.
#[derive(Debug)]
struct Splitter<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where in `buffer` the unread part begins.
    start: usize,
    /// The place of `buffer[0]` in the stream.
    base: u64,
    at_end: bool,
}

/// What the splitter found.
#[derive(Debug)]
enum Cut {
    /// A picture: `buffer[from..to]`.
    Picture {
        from: usize,
        to: usize,
    },
    /// A picture that is not whole.
    Broken {
        at: u64,
        why: &'static str,
    },
    End,
}

impl<R: Read> Splitter<R> {
    fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::with_capacity(2 * READ_BYTES), start: 0, base: 0, at_end: false }
    }

    /// Drops what was read and appends more; false at the end.
    fn more(&mut self) -> std::io::Result<bool> {
        self.base += self.start as u64;
        self.buffer.drain(..self.start);
        self.start = 0;
        let filled = self.buffer.len();
        self.buffer.resize(filled + READ_BYTES, 0);
        let got = loop {
            match self.reader.read(&mut self.buffer[filled..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(filled + *got.as_ref().unwrap_or(&0));
        self.at_end = got? == 0;
        Ok(!self.at_end)
    }

    /// Finds the next picture.
    fn cut(&mut self) -> std::io::Result<Cut> {
        while !self.seek_start() {
            if !self.more()? {
                self.start = self.buffer.len();
                return Ok(Cut::End);
            }
        }
        let at = self.base + self.start as u64;
        let mut walker = Walker::new();
        let mut walked = 0;
        loop {
            match walker.feed(&self.buffer[self.start + walked..]) {
                Step::End(len) => {
                    let from = self.start;
                    self.start += walked + len;
                    return Ok(Cut::Picture { from, to: self.start });
                }
                Step::Broken { at: offset, why } => {
                    // One back: the offending byte may be the second of the next start of image. The walker is past
                    // the three bytes of this one, so that this always goes forward.
                    self.start += walked + offset - 1;
                    return Ok(Cut::Broken { at, why });
                }
                Step::More => walked = self.buffer.len() - self.start,
            }
            if walked > FRAME_BYTES_MAX {
                self.start += walked;
                return Ok(Cut::Broken { at, why: "larger than any picture may be" });
            }
            if !self.more()? {
                self.start = self.buffer.len();
                return Ok(Cut::Broken { at, why: "the clip ends inside a picture" });
            }
        }
    }

    /// Moves to the next start of image; false if the buffer holds none (what may be half of one stays).
    fn seek_start(&mut self) -> bool {
        match find_soi(&self.buffer[self.start..]) {
            Some(offset) => {
                self.start += offset;
                true
            }
            None => {
                self.start = self.start.max(self.buffer.len().saturating_sub(SOI.len() - 1));
                false
            }
        }
    }
}

/// Replays a stream of JPEG pictures.
#[derive(Debug)]
pub struct Mjpeg<R> {
    splitter: Splitter<R>,
    path: String,
    next: u64,
    ended: bool,
}

impl<R: Read + Seek + Send> Mjpeg<R> {
    /// A replay of `reader`; `path` is its name in messages and frames.
    #[must_use]
    pub fn new(reader: R, path: &str) -> Self {
        Self { splitter: Splitter::new(reader), path: path.to_owned(), next: 0, ended: false }
    }

    /// The next picture's place in the buffer, or what else there is to say.
    fn advance(&mut self) -> Result<(usize, usize), Next> {
        if self.ended {
            return Err(Next::End);
        }
        match self.splitter.cut() {
            Ok(Cut::Picture { from, to }) => {
                self.next += 1;
                Ok((from, to))
            }
            Ok(Cut::Broken { at, why }) => {
                self.next += 1;
                Err(Next::Broken(self.damage(at, why.to_owned())))
            }
            Ok(Cut::End) => {
                self.ended = true;
                if self.next > 0 {
                    return Err(Next::End);
                }
                Err(Next::Broken(SourceError::NoPictures { path: self.path.clone() }))
            }
            Err(cause) => {
                self.ended = true;
                Err(Next::Broken(SourceError::io(&self.path, cause)))
            }
        }
    }

    /// The error for the picture that was counted last.
    fn damage(&self, at: u64, why: String) -> SourceError {
        SourceError::Mjpeg { path: self.path.clone(), frame: self.next - 1, at, why }
    }
}

impl<R: Read + Seek + Send> Source for Mjpeg<R> {
    fn next(&mut self, frame: &mut Frame, _deadline: Duration) -> Next {
        let (from, to) = match self.advance() {
            Ok(place) => place,
            Err(other) => return other,
        };
        let bytes = &self.splitter.buffer[from..to];
        frame.seq = self.next - 1;
        frame.captured_us = frame.seq.saturating_mul(PERIOD_US);
        match picture::decode(bytes, &self.path, frame) {
            Ok(()) => Next::Frame,
            Err(error) => Next::Broken(self.damage(self.splitter.base + from as u64, error.to_string())),
        }
    }

    fn pacing(&self) -> Pacing {
        Pacing::OnDemand
    }

    fn describe(&self) -> String {
        format!("{} (motion JPEG)", self.path)
    }

    fn len_hint(&self) -> Option<u64> {
        None
    }

    fn skip(&mut self, _scratch: &mut Frame) -> Next {
        match self.advance() {
            Ok(_) => Next::Frame,
            Err(other) => other,
        }
    }

    fn rewind(&mut self) -> Result<bool, SourceError> {
        let splitter = &mut self.splitter;
        splitter.reader.seek(SeekFrom::Start(0)).map_err(|cause| SourceError::io(&self.path, cause))?;
        splitter.buffer.clear();
        (splitter.start, splitter.base, splitter.at_end) = (0, 0, false);
        (self.next, self.ended) = (0, false);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    const A: &[u8] = include_bytes!("frame/fixtures/baseline_32x16.jpg");
    const B: &[u8] = include_bytes!("frame/fixtures/progressive_32x16.jpg");

    /// `A` with a whole JPEG inside an APP1 segment.
    fn with_thumbnail() -> Vec<u8> {
        let mut jpeg = vec![0xFF, 0xD8, 0xFF, 0xE1];
        jpeg.extend((B.len() as u16 + 2).to_be_bytes());
        jpeg.extend(B);
        jpeg.extend(&A[2..]);
        jpeg
    }

    fn replay(bytes: Vec<u8>) -> (Vec<u64>, Vec<String>) {
        let mut source = Mjpeg::new(Cursor::new(bytes), "clip.mjpeg");
        let (mut frame, mut good, mut bad) = (Frame::new(), Vec::new(), Vec::new());
        loop {
            match source.next(&mut frame, Duration::ZERO) {
                Next::Frame => {
                    assert_eq!((frame.width(), frame.height()), (32, 16));
                    good.push(frame.seq);
                }
                Next::Broken(error) => bad.push(error.to_string()),
                Next::End => return (good, bad),
                other => panic!("{other:?}"),
            }
            assert!(good.len() + bad.len() < 100);
        }
    }

    #[test]
    fn pictures_thumbnails_and_part_headers() {
        let part: &[u8] = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n";
        let clip = [part, A, part, &with_thumbnail(), B, b"\r\n--frame--"].concat();
        assert_eq!(replay(clip), (vec![0, 1, 2], vec![]));
    }

    #[test]
    fn a_cut_picture_does_not_take_the_next_one_with_it() {
        let (good, bad) = replay([A, &A[..A.len() - 30], B, &B[..100]].concat());
        assert_eq!(good, [0, 2]);
        assert_eq!(bad.len(), 2);
        assert!(bad[0].contains("clip.mjpeg, frame 1, near byte 694: a second start"), "{}", bad[0]);
        assert!(bad[1].contains("frame 3") && bad[1].contains("ends inside a picture"), "{}", bad[1]);
    }

    #[test]
    fn a_clip_longer_than_the_buffer() {
        let clip = A.repeat(400);
        assert!(clip.len() > 3 * READ_BYTES);
        let mut source = Mjpeg::new(Cursor::new(clip), "clip");
        let mut frame = Frame::new();
        for _ in 0..399 {
            assert!(matches!(source.skip(&mut frame), Next::Frame));
        }
        assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Frame));
        assert_eq!((frame.seq, frame.captured_us), (399, 399 * PERIOD_US));
        assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::End));
        assert!(source.splitter.buffer.capacity() <= 4 * READ_BYTES);
        assert!(source.rewind().unwrap());
        assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Frame));
        assert_eq!(frame.seq, 0);
    }

    #[test]
    fn a_giant_is_given_up() {
        let mut clip = vec![0xFF, 0xD8, 0xFF, 0xDA, 0, 2];
        clip.resize(FRAME_BYTES_MAX + 3 * READ_BYTES, 1);
        clip.extend(A);
        let (good, bad) = replay(clip);
        assert_eq!(good, [1]);
        assert!(bad[0].contains("larger than any picture"), "{}", bad[0]);
    }

    #[test]
    fn no_pictures_at_all_is_said_once() {
        assert_eq!(replay(b"what?".to_vec()).1.len(), 1);
        assert_eq!(replay(Vec::new()).1.len(), 1);
    }
}
