//! `.mjpeg`, `.mjpg`: JPEG pictures one after another, as cameras and `ffmpeg -f mjpeg` write them.
//!
//! A picture ends where its segments say ([`crate::frame::segments`]), or, where a camera leaves the end-of-image marker
//! out, where the next one begins; whatever lies between two pictures, such as the part headers of an HTTP stream, is
//! passed over. A damaged picture is one [`Next::Broken`], and the reading goes on at the next start-of-image marker.
//! Starts of image one after another that lead to no data are one [`Next::Broken`] together. Memory is bounded by
//! `splitter::FRAME_BYTES_MAX`, and the buffers are used again; what decoding asks for is said at `frame::picture`.
//! The stream has no clock: frames come at a [`ClipRate`] that the operator gives.

use std::io::{Read, Seek};
use std::time::Duration;

use super::paced::{FPS_MAX, FPS_MIN};
use super::splitter::{Cut, Splitter};
use super::{Next, Pacing, Source, SourceError};
use crate::frame::outline::with_tables;
use crate::frame::{Frame, picture};

/// Frames a second of a clip, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipRate {
    fps_milli: u32,
}

impl ClipRate {
    /// `fps` frames a second; `None` outside of [`FPS_MIN`] to [`FPS_MAX`].
    #[must_use]
    pub fn new(fps: f64) -> Option<ClipRate> {
        let is_usable = (FPS_MIN..=FPS_MAX).contains(&fps);
        is_usable.then(|| ClipRate { fps_milli: (fps * 1e3).round() as u32 }) // at least 1
    }

    /// Frames a second.
    #[must_use]
    pub fn fps(self) -> f64 {
        f64::from(self.fps_milli) / 1e3
    }

    /// When frame `number` was taken, in microseconds after the first.
    fn captured_us(self, number: u64) -> u64 {
        let us = u128::from(number) * 1_000_000_000 / u128::from(self.fps_milli);
        u64::try_from(us).unwrap_or(u64::MAX)
    }
}

impl Default for ClipRate {
    /// 25 frames a second.
    fn default() -> ClipRate {
        ClipRate { fps_milli: 25_000 }
    }
}

/// Replays a stream of JPEG pictures.
#[derive(Debug)]
pub struct Mjpeg<R> {
    splitter: Splitter<R>,
    path: String,
    rate: ClipRate,
    next: u64,
    ended: bool,
    /// A picture with its tables, if it came without.
    completed: Vec<u8>,
}

impl<R: Read + Seek + Send> Mjpeg<R> {
    /// A replay of `reader`; `path` is its name in messages and frames.
    #[must_use]
    pub fn new(reader: R, path: &str) -> Self {
        let (splitter, rate) = (Splitter::new(reader), ClipRate::default());
        Self { splitter, path: path.to_owned(), rate, next: 0, ended: false, completed: Vec::new() }
    }

    /// At another rate.
    #[must_use]
    pub fn at(mut self, rate: ClipRate) -> Self {
        self.rate = rate;
        self
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
                Err(Next::Broken(self.damage(at, why.into_owned())))
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
        let (bytes, at) = self.splitter.picture(from, to);
        frame.seq = self.next - 1;
        frame.captured_us = self.rate.captured_us(frame.seq);
        match picture::decode(with_tables(bytes, &mut self.completed), &self.path, frame) {
            Ok(()) => Next::Frame,
            Err(error) => Next::Broken(self.damage(at, error.to_string())),
        }
    }

    fn pacing(&self) -> Pacing {
        Pacing::OnDemand
    }

    fn describe(&self) -> String {
        format!("{} (motion JPEG, {} frames a second)", self.path, self.rate.fps())
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
        let sought = self.splitter.rewind();
        sought.map_err(|cause| SourceError::io(&self.path, cause))?;
        (self.next, self.ended) = (0, false);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::splitter::{FRAME_BYTES_MAX, READ_BYTES};
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
        assert!(bad[0].contains("clip.mjpeg, frame 1, near byte 694: ") && bad[0].contains("cut short"), "{}", bad[0]);
        assert!(bad[1].contains("frame 3") && bad[1].contains("ends inside a picture"), "{}", bad[1]);
    }

    /// A baseline picture of 32x16 in colour, from another encoder.
    fn of_a_camera() -> Vec<u8> {
        let mut frame = Frame::new();
        frame.reset(32, 16).unwrap();
        frame.rgb_mut().iter_mut().enumerate().for_each(|(i, b)| *b = (i * 89 % 251) as u8);
        let mut jpeg = Vec::new();
        picture::encode_jpeg(&frame, 90, &mut jpeg).unwrap();
        jpeg
    }

    #[test]
    fn a_picture_without_its_end_marker_ends_where_the_next_begins() {
        let c = of_a_camera();
        let (a, bare_a, bare_c) = (A, &A[..A.len() - 2], &c[..c.len() - 2]);
        let part: &[u8] = b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n";
        // the last one is whole, too
        assert_eq!(replay([bare_a, bare_c, a, bare_c, part, bare_a].concat()), (vec![0, 1, 2, 3, 4], vec![]));
        // and a piece is none
        let (good, bad) = replay([bare_a, bare_c, &bare_c[..bare_c.len() - 60]].concat());
        assert_eq!(good, [0, 1]);
        assert!(bad.len() == 1 && bad[0].contains("frame 2") && bad[0].contains("cut short"), "{bad:?}");
        // a longer clip than the buffer, at any place of it
        let clip = bare_c.repeat(300);
        assert!(clip.len() > 3 * READ_BYTES);
        let mut source = Mjpeg::new(Cursor::new(clip), "clip");
        let mut frame = Frame::new();
        for n in 0..300 {
            assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Frame), "{n}");
        }
        assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::End));
    }

    #[test]
    fn starts_that_lead_nowhere_are_told_together() {
        let (good, bad) = replay([&[0xFF, 0xD8].repeat(100_000)[..], A, &[0xFF, 0xD8].repeat(70_000), A].concat());
        assert_eq!(good, [1, 3]);
        assert_eq!(bad.len(), 2, "{bad:?}");
        // the last pair is the start of the picture behind them
        assert!(bad[0].contains("frame 0, near byte 0: 100000 starts of image"), "{}", bad[0]);
        assert!(bad[1].contains("frame 2, near byte 200694: 70000 starts of image"), "{}", bad[1]);
        let (good, bad) = replay([A, &[0xFF, 0xD8, 0xFF, 0xC0, 0, 0], A].concat());
        assert_eq!(good, [0, 2]);
        assert!(bad.len() == 1 && bad[0].contains("frame 1") && bad[0].contains("shorter than its own"), "{bad:?}");
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
        assert_eq!((frame.seq, frame.captured_us), (399, 399 * 40_000));
        assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::End));
        assert!(source.splitter.capacity() <= 4 * READ_BYTES);
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
