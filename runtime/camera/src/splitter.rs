//! Cuts a stream of JPEGs into pictures.
//!
//! A picture ends where its segments say, or where the next one begins while its data run. The splitter finds pictures and
//! does not decode them; whether all data of one without its end-of-image marker are there is the decoder's to say.

use std::borrow::Cow;
use std::io::{ErrorKind, Read, Seek, SeekFrom};

use crate::frame::segments::{SOI, Step, Walker, find_soi};

/// The most bytes that one picture of the stream may have.
pub const FRAME_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What is read at once.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// Splits a stream into pictures.
#[derive(Debug)]
pub struct Splitter<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where in `buffer` the unread part begins.
    start: usize,
    /// The place of `buffer[0]` in the stream.
    base: u64,
    /// What was found behind starts that led nowhere, which are told first.
    waiting: Option<Cut>,
}

/// What the splitter found.
#[derive(Debug)]
pub enum Cut {
    /// A picture: `buffer[from..to]`, with or without its end-of-image marker.
    Picture {
        /// Its first byte.
        from: usize,
        /// One past its last byte.
        to: usize,
    },
    /// A picture that cannot be used.
    Broken {
        /// Its place in the stream.
        at: u64,
        /// What is wrong with it.
        why: Cow<'static, str>,
    },
    /// The clip ends.
    End,
}

/// Starts of image one after another, none of which led to data.
#[derive(Debug)]
struct Starts {
    at: u64,
    why: &'static str,
    count: u64,
}

impl Starts {
    fn told(self) -> Cut {
        let Starts { at, why, count } = self;
        let why = match count {
            1 => why.into(),
            _ => format!("{count} starts of image one after another that lead to no picture: {why}").into(),
        };
        Cut::Broken { at, why }
    }
}

impl<R: Read> Splitter<R> {
    /// Begins at the reader's place.
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::with_capacity(2 * READ_BYTES), start: 0, base: 0, waiting: None }
    }

    /// The bytes of a picture that was found last, and its place in the stream.
    pub fn picture(&self, from: usize, to: usize) -> (&[u8], u64) {
        (&self.buffer[from..to], self.base + from as u64)
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
        Ok(got? > 0)
    }

    /// Finds the next picture.
    ///
    /// # Errors
    /// The reader's.
    pub fn cut(&mut self) -> std::io::Result<Cut> {
        if let Some(cut) = self.waiting.take() {
            return Ok(cut);
        }
        let mut starts: Option<Starts> = None;
        let found = loop {
            let at = match self.enter()? {
                Some(at) => at,
                None => break Cut::End,
            };
            match self.walk(at)? {
                Walked::Found(cut) => break cut,
                Walked::Nowhere(why) => {
                    starts.get_or_insert(Starts { at, why, count: 0 }).count += 1; // as many as the clip has bytes
                }
            }
        };
        Ok(match starts {
            Some(starts) => {
                self.waiting = Some(found);
                starts.told()
            }
            None => found,
        })
    }

    /// Goes to the next start of image and says where it is; `None` at the end.
    fn enter(&mut self) -> std::io::Result<Option<u64>> {
        while !self.seek_start() {
            if !self.more()? {
                self.start = self.buffer.len();
                return Ok(None);
            }
        }
        Ok(Some(self.base + self.start as u64))
    }

    /// Walks over the picture that begins at `start`, which is byte `at` of the stream.
    fn walk(&mut self, at: u64) -> std::io::Result<Walked> {
        let mut walker = Walker::new();
        let mut walked = 0;
        loop {
            match walker.feed(&self.buffer[self.start + walked..]) {
                Step::End(len) => return Ok(self.found(walked + len)),
                // the byte before belongs to the marker that broke it
                Step::Broken { at: offset, .. } if walker.is_in_scan() => return Ok(self.found(walked + offset - 1)),
                Step::Broken { at: offset, why } => {
                    // One back: the offending byte may be the second of the next start of image. The walker is past
                    // the three bytes of this one, so that this always goes forward.
                    self.start += walked + offset - 1;
                    return Ok(match walker.scans() {
                        0 => Walked::Nowhere(why),
                        _ => Walked::Found(Cut::Broken { at, why: why.into() }),
                    });
                }
                Step::More => walked = self.buffer.len() - self.start,
            }
            if walked > FRAME_BYTES_MAX {
                self.start += walked;
                return Ok(Walked::Found(Cut::Broken { at, why: "larger than any picture may be".into() }));
            }
            if !self.more()? {
                if walker.is_in_scan() {
                    return Ok(self.found(walked));
                }
                self.start = self.buffer.len();
                return Ok(Walked::Found(Cut::Broken { at, why: "the clip ends inside a picture".into() }));
            }
        }
    }

    /// The next `len` bytes are a picture.
    fn found(&mut self, len: usize) -> Walked {
        let from = self.start;
        self.start += len;
        Walked::Found(Cut::Picture { from, to: self.start })
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

impl<R: Read + Seek> Splitter<R> {
    /// Goes back to the first byte.
    ///
    /// # Errors
    /// The reader's.
    pub fn rewind(&mut self) -> std::io::Result<()> {
        self.reader.seek(SeekFrom::Start(0))?;
        self.buffer.clear();
        (self.start, self.base, self.waiting) = (0, 0, None);
        Ok(())
    }

    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

/// Where a start of image led.
enum Walked {
    Found(Cut),
    /// To no data: what is wrong.
    Nowhere(&'static str),
}
