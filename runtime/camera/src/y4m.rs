//! `.y4m`: raw YUV video as YUV4MPEG2 writes it.
//!
//! Reads 8-bit 4:2:0 (`C420`, `C420jpeg`, `C420mpeg2`, `C420paldv`), `C422`, `C444` and `Cmono`, limited range unless the
//! header says `XCOLORRANGE=FULL`. 4:2:0 and mono come as they lie, raw, as a camera gives them; the others in RGB, by the
//! formula of [`crate::frame::yuv`]. `captured_us` is the frame's number over the
//! header's rate ([`RATE_DEFAULT`] if it has none). Interlaced frames are taken as they lie.
//! A frame that is cut short is one [`Next::Broken`] and the end: nothing after it can be found again.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::time::Duration;

use super::{Next, Pacing, Source, SourceError};
use crate::frame::raw::{PixelFormat, RawLayout};
use crate::frame::yuv::{self, Chroma, Colour, Encoding, Range};
use crate::frame::{self, Frame};

/// The longest stream header or frame header, in bytes.
pub const HEADER_BYTES_MAX: usize = 1024;
/// Frames a second (numerator, denominator) of a clip that does not say.
pub const RATE_DEFAULT: (u32, u32) = (25, 1);

const STREAM_MAGIC: &str = "YUV4MPEG2";
const FRAME_MAGIC: &str = "FRAME";

/// What a stream header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames a second: numerator and denominator, neither zero.
    pub rate: (u32, u32),
    /// How chroma is sampled.
    pub chroma: Chroma,
    /// What the numbers mean.
    pub range: Range,
}

impl Header {
    /// Reads the header line, without its newline.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(line: &str) -> Result<Self, String> {
        let mut words = line.split(' ');
        if words.next() != Some(STREAM_MAGIC) {
            return Err(format!("it does not begin with {STREAM_MAGIC}"));
        }
        let (mut width, mut height, mut rate) = (0, 0, RATE_DEFAULT);
        let (mut chroma, mut range) = (Chroma::C420, Range::Limited);
        for word in words.filter(|word| !word.is_empty()) {
            let number = || word[1..].parse::<u32>().map_err(|_| format!("'{word}' is not a size"));
            match word.as_bytes()[0] {
                b'W' => width = number()?,
                b'H' => height = number()?,
                b'F' => rate = parse_rate(&word[1..]).ok_or_else(|| format!("'{word}' is not a rate"))?,
                b'C' => chroma = parse_chroma(&word[1..])?,
                b'X' if word.eq_ignore_ascii_case("XCOLORRANGE=FULL") => range = Range::Full,
                _ => {} // interlacing, pixel aspect, comments: nothing that changes a pixel
            }
        }
        frame::rgb_bytes(width, height).map_err(|error| error.to_string())?;
        Ok(Self { width, height, rate, chroma, range })
    }

    /// Bytes of one frame's planes.
    #[must_use]
    pub fn frame_bytes(&self) -> u64 {
        self.chroma.picture_bytes(self.width, self.height)
    }
}

fn parse_rate(words: &str) -> Option<(u32, u32)> {
    let (numerator, denominator) = words.split_once(':')?;
    match (numerator.parse().ok()?, denominator.parse().ok()?) {
        (0, _) | (_, 0) => Some(RATE_DEFAULT), // 0:0 stands for unknown
        rate => Some(rate),
    }
}

fn parse_chroma(words: &str) -> Result<Chroma, String> {
    match words {
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Ok(Chroma::C420),
        "422" => Ok(Chroma::C422),
        "444" => Ok(Chroma::C444),
        "mono" => Ok(Chroma::Mono),
        _ => {
            Err(format!("colour format C{words} is not read (420, 420jpeg, 420mpeg2, 420paldv, 422, 444 and mono are)"))
        }
    }
}

/// Replays a `.y4m` clip.
#[derive(Debug)]
pub struct Y4m<R> {
    reader: BufReader<R>,
    path: String,
    header: Header,
    first_frame_at: u64,
    clip_bytes: u64,
    planes: Vec<u8>,
    line: Vec<u8>,
    next: u64,
    ended: bool,
}

impl<R: Read + Seek + Send> Y4m<R> {
    /// Reads the clip's header; `path` is its name in messages.
    ///
    /// # Errors
    /// [`SourceError::Y4m`] for a header that cannot be used, [`SourceError::Unreadable`] from the disk.
    pub fn new(mut reader: R, path: &str) -> Result<Self, SourceError> {
        let io_error = |cause| SourceError::io(path, cause);
        let clip_bytes = reader.seek(SeekFrom::End(0)).map_err(io_error)?;
        reader.seek(SeekFrom::Start(0)).map_err(io_error)?;
        let mut reader = BufReader::new(reader);
        let mut line = Vec::with_capacity(HEADER_BYTES_MAX);
        let found = read_line(&mut reader, &mut line).map_err(io_error)?;
        let bad = |why: String| SourceError::Y4m { path: path.to_owned(), frame: 0, why };
        let text = match found {
            Line::Whole => String::from_utf8_lossy(&line),
            Line::Nothing => return Err(bad("it is empty".to_owned())),
            Line::Cut => return Err(bad(format!("no header line within {HEADER_BYTES_MAX} bytes"))),
        };
        let header = Header::parse(&text).map_err(|why| bad(format!("its header: {why}")))?;
        let first_frame_at = line.len() as u64 + 1;
        Ok(Self {
            reader,
            path: path.to_owned(),
            header,
            first_frame_at,
            clip_bytes,
            planes: Vec::new(),
            line,
            next: 0,
            ended: false,
        })
    }

    /// What the clip's header says.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Ends the clip with the reason.
    fn broken(&mut self, frame: u64, why: String) -> Next {
        self.ended = true;
        Next::Broken(SourceError::Y4m { path: self.path.clone(), frame, why })
    }

    /// Reads the next frame's header line. `Ok(None)`: there is a frame.
    fn enter_frame(&mut self, number: u64) -> Option<Next> {
        if self.ended {
            return Some(Next::End);
        }
        match read_line(&mut self.reader, &mut self.line) {
            Ok(Line::Nothing) => {
                self.ended = true;
                Some(Next::End)
            }
            Ok(Line::Whole) if is_frame_line(&self.line) => None,
            Ok(_) => Some(self.broken(number, format!("no {FRAME_MAGIC} line where one is due"))),
            Err(cause) => {
                self.ended = true;
                Some(Next::Broken(SourceError::io(&self.path, cause)))
            }
        }
    }

    fn captured_us(&self, number: u64) -> u64 {
        let (numerator, denominator) = self.header.rate;
        let us = u128::from(number) * u128::from(denominator) * 1_000_000 / u128::from(numerator);
        u64::try_from(us).unwrap_or(u64::MAX)
    }

    fn fill(&mut self, number: u64, frame: &mut Frame) -> Next {
        let bytes = self.header.frame_bytes();
        let colour = Colour { encoding: Encoding::Bt601, range: self.header.range };
        let format = match self.header.chroma {
            Chroma::C420 => Some(PixelFormat::Yu12),
            Chroma::Mono => Some(PixelFormat::Grey),
            Chroma::C422 | Chroma::C444 => None,
        };
        let size = (self.header.width, self.header.height);
        let planes = match format {
            // as a camera gives it
            Some(format) => RawLayout::packed(format, size, colour).and_then(|layout| frame.reset_raw(&layout)),
            None => frame.reset(size.0, size.1).map(|()| {
                self.planes.resize(bytes as usize, 0);
                &mut self.planes[..]
            }),
        };
        let got = match planes {
            Ok(planes) => read_up_to(&mut self.reader, planes),
            Err(error) => return self.broken(number, error.to_string()),
        };
        match got {
            Ok(got) if got as u64 == bytes => {}
            Ok(got) => return self.broken(number, format!("cut short, {got} of {bytes} bytes")),
            Err(cause) => {
                self.ended = true;
                return Next::Broken(SourceError::io(&self.path, cause));
            }
        }
        if format.is_none() && !yuv::planar_to_rgb(&self.planes, self.header.chroma, colour, frame) {
            return self.broken(number, "its planes do not fit its size".to_owned());
        }
        frame.seq = number;
        frame.captured_us = self.captured_us(number);
        frame.set_name(&self.path);
        Next::Frame
    }
}

/// Fills `bytes`; fewer only at the end.
fn read_up_to(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < bytes.len() {
        match reader.read(&mut bytes[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

fn is_frame_line(line: &[u8]) -> bool {
    line.strip_prefix(FRAME_MAGIC.as_bytes()).is_some_and(|rest| matches!(rest.first(), None | Some(b' ')))
}

enum Line {
    Nothing,
    Whole,
    Cut,
}

/// Reads up to a newline, which is taken and left out, at most [`HEADER_BYTES_MAX`].
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    reader.take(HEADER_BYTES_MAX as u64).read_until(b'\n', line)?;
    Ok(match line.pop() {
        None => Line::Nothing,
        Some(b'\n') => Line::Whole,
        Some(_) => Line::Cut,
    })
}

impl<R: Read + Seek + Send> Source for Y4m<R> {
    fn next(&mut self, frame: &mut Frame, _deadline: Duration) -> Next {
        let number = self.next;
        if let Some(other) = self.enter_frame(number) {
            return other;
        }
        self.next += 1;
        self.fill(number, frame)
    }

    fn pacing(&self) -> Pacing {
        Pacing::OnDemand
    }

    fn describe(&self) -> String {
        let Header { width, height, rate: (numerator, denominator), .. } = self.header;
        let fps = f64::from(numerator) / f64::from(denominator);
        format!("{} ({width}x{height}, {fps:.4} frames a second)", self.path)
    }

    fn len_hint(&self) -> Option<u64> {
        // Exact for frame lines without parameters, which is all that is written in practice.
        let each = FRAME_MAGIC.len() as u64 + 1 + self.header.frame_bytes();
        Some(self.clip_bytes.saturating_sub(self.first_frame_at).div_ceil(each))
    }

    fn skip(&mut self, _scratch: &mut Frame) -> Next {
        let number = self.next;
        if let Some(other) = self.enter_frame(number) {
            return other;
        }
        self.next += 1;
        // A seek past a cut frame succeeds; the end is then found by the next call.
        match self.reader.seek_relative(i64::try_from(self.header.frame_bytes()).unwrap_or(i64::MAX)) {
            Ok(()) => Next::Frame,
            Err(cause) => {
                self.ended = true;
                Next::Broken(SourceError::io(&self.path, cause))
            }
        }
    }

    fn rewind(&mut self) -> Result<bool, SourceError> {
        self.reader.seek(SeekFrom::Start(self.first_frame_at)).map_err(|cause| SourceError::io(&self.path, cause))?;
        (self.next, self.ended) = (0, false);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn clip(header: &str, frames: &[&[u8]]) -> Vec<u8> {
        let mut bytes = format!("{STREAM_MAGIC} {header}\n").into_bytes();
        for frame in frames {
            bytes.extend(b"FRAME\n");
            bytes.extend(*frame);
        }
        bytes
    }

    fn open(bytes: Vec<u8>) -> Result<Y4m<Cursor<Vec<u8>>>, SourceError> {
        Y4m::new(Cursor::new(bytes), "clip.y4m")
    }

    #[test]
    fn headers_are_read() {
        let header = Header::parse("YUV4MPEG2 W640 H480 F30000:1001 Ip A1:1 C422 XCOLORRANGE=FULL").unwrap();
        assert_eq!((header.width, header.height, header.rate), (640, 480, (30000, 1001)));
        assert_eq!((header.chroma, header.range), (Chroma::C422, Range::Full));
        let header = Header::parse("YUV4MPEG2 W3 H3 F0:0").unwrap();
        assert_eq!((header.rate, header.chroma, header.range), (RATE_DEFAULT, Chroma::C420, Range::Limited));
        assert_eq!(header.frame_bytes(), 9 + 2 * 4);
        for bad in [
            "YUV4MPEG2 W3",
            "YUV4MPEG2 W3 H3 C420p10",
            "YUV4MPEG2 Wé H3",
            "YUV4MPEG2 W3 H3 F30",
            "X W3 H3",
            "",
            "YUV4MPEG2 W4294967295 H4294967295",
        ] {
            assert!(Header::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn frames_come_with_their_times_and_again_after_a_rewind() {
        let mut source = open(clip("W2 H2 F10:1 C420jpeg", &[&[235; 6], &[16, 16, 16, 16, 128, 128]])).unwrap();
        assert_eq!(source.len_hint(), Some(2));
        let mut frame = Frame::new();
        for _ in 0..2 {
            assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Frame));
            assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Frame));
            assert_eq!((frame.seq, frame.captured_us, frame.name()), (1, 100_000, "clip.y4m"));
            frame.develop().unwrap();
            assert_eq!(frame.rgb(), [0; 12]);
            assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::End));
            assert!(source.rewind().unwrap());
        }
        assert!(matches!(source.skip(&mut frame), Next::Frame));
        assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Frame));
        assert_eq!(frame.seq, 1);
    }

    #[test]
    fn range_and_mono_are_heeded() {
        let mut frame = Frame::new();
        let mut source = open(clip("W1 H1 Cmono XCOLORRANGE=FULL", &[&[16]])).unwrap();
        assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Frame));
        frame.develop().unwrap();
        assert_eq!(frame.rgb(), [16; 3]);
        let mut source = open(clip("W1 H1 C444", &[&[81, 90, 240]])).unwrap();
        assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Frame));
        assert!(frame.rgb().iter().zip([254, 0, 0]).all(|(a, b)| a.abs_diff(b) <= 1), "{:?}", frame.rgb());
    }

    #[test]
    fn a_cut_frame_is_reported_once() {
        let mut bytes = clip("W2 H2", &[&[1; 6], &[2; 6]]);
        bytes.truncate(bytes.len() - 3);
        let mut source = open(bytes).unwrap();
        let mut frame = Frame::new();
        assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Frame));
        let Next::Broken(error) = source.next(&mut frame, Duration::ZERO) else { panic!("not broken") };
        assert!(error.to_string().contains("clip.y4m, frame 1: cut short, 3 of 6 bytes"), "{error}");
        assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::End));
    }

    #[test]
    fn a_frame_line_may_have_parameters_and_nothing_else() {
        let mut source = open(b"YUV4MPEG2 W1 H1 Cmono\nFRAME Ip\n\x01FRAMES\n\x01".to_vec()).unwrap();
        let mut frame = Frame::new();
        assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Frame));
        assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Broken(_)));
        assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::End));
    }

    #[test]
    fn a_header_without_an_end_is_refused() {
        let error = open(vec![b'Y'; 100_000]).unwrap_err().to_string();
        assert!(error.contains("no header line within 1024 bytes"), "{error}");
        assert!(open(Vec::new()).unwrap_err().to_string().contains("it is empty"));
    }
}
