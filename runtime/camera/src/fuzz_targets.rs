//! Any bytes as a source's words, a clip, an archive or a picture: a source ends, says what is wrong, and never
//! panics. For tests and `cargo xtask fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a promise that is broken is a panic")]

use std::io::Cursor;
use std::time::Duration;

use crate::frame::{Frame, picture};
use crate::tarball::{Entry, Tarball};
use crate::{Mjpeg, Next, Source, SourceSpec, Y4m};

/// A format's name and what its bytes are given to.
pub type Target = (&'static str, fn(&[u8]));

/// Every format.
pub const TARGETS: [Target; 5] = [
    ("words", words),
    ("y4m", |bytes| y4m(bytes, CALLS_MAX)),
    ("mjpeg", |bytes| mjpeg(bytes, CALLS_MAX)),
    ("tarball", tarball),
    ("picture", picture),
];

/// Calls after which a source must have ended.
const CALLS_MAX: usize = 5000;

/// The words for a source.
fn words(bytes: &[u8]) {
    if let Err(error) = SourceSpec::parse(&String::from_utf8_lossy(bytes)) {
        assert!(error.to_string().contains(';'), "no cure: {error}");
    }
}

/// A clip of bare pictures, which ends within so many calls.
pub fn y4m(bytes: &[u8], calls_max: usize) {
    if let Ok(mut source) = Y4m::new(Cursor::new(bytes), "hostile") {
        drain(&mut source, calls_max);
    }
}

/// A clip of JPEGs, which ends within so many calls.
pub fn mjpeg(bytes: &[u8], calls_max: usize) {
    drain(&mut Mjpeg::new(Cursor::new(bytes), "hostile"), calls_max);
}

/// An archive of pictures: each is read, and the walk over them finds as many.
pub fn tarball(bytes: &[u8]) {
    let (mut picture, mut name) = (Vec::new(), String::new());
    let mut archive = Tarball::new(Cursor::new(bytes), "hostile");
    for call in 0..CALLS_MAX {
        let entry = if call % 3 == 2 { archive.skip_picture() } else { archive.next_picture(&mut picture, &mut name) };
        match entry {
            Entry::Picture => assert!(call % 3 == 2 || name.starts_with("hostile/") && picture.len() <= bytes.len()),
            Entry::Broken(error) => assert!(error.to_string().contains("hostile"), "{error}"),
            Entry::End => return,
        }
    }
    panic!("no end after {CALLS_MAX} calls");
}

/// A JPEG or a PNG.
pub fn picture(bytes: &[u8]) {
    let mut frame = Frame::new();
    match picture::decode(bytes, "hostile", &mut frame) {
        Ok(()) => assert_eq!(frame.rgb().len(), frame.width() as usize * frame.height() as usize * 3),
        Err(error) => assert!(error.to_string().contains("hostile"), "{error}"),
    }
}

/// Reads to the end, every third frame by passing it over; each error must say something and name the file.
pub fn drain(source: &mut dyn Source, calls_max: usize) {
    let mut frame = Frame::new();
    for call in 0..calls_max {
        let step = if call % 3 == 2 { source.skip(&mut frame) } else { source.next(&mut frame, Duration::ZERO) };
        match step {
            Next::Frame => {
                frame.develop().unwrap();
                let bytes = frame.width() as usize * frame.height() as usize * 3;
                assert_eq!(frame.rgb().len(), bytes);
            }
            Next::Broken(error) => assert!(error.to_string().contains("hostile"), "{error}"),
            Next::End => {
                assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::End));
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("no end after {calls_max} calls");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::malformed_tests::{JPEG, PNG, y4m_clip};
    use crate::tarball::tests::{pack, sparse};

    const SCANS: &[u8] = include_bytes!("frame/fixtures/scans_2x2_37x21.jpg");
    const FINER: &[u8] = include_bytes!("frame/fixtures/chroma_finer_37x21.jpg");

    #[test]
    fn good_bytes_are_taken() {
        let words = ["v4l:/dev/video0", "pictures/", "clip.y4m", "clip.mjpeg", "cat.jpg", "all.tar"];
        let long = format!("{}.jpg", "n".repeat(120));
        let seeds = [
            ("words", words.map(|word| word.as_bytes().to_vec()).to_vec()),
            ("y4m", vec![y4m_clip()]),
            ("mjpeg", vec![[JPEG, b"junk", &JPEG[..JPEG.len() - 2], JPEG].concat()]),
            ("tarball", vec![pack(&[("a.jpg", JPEG), (&long, PNG), ("b.png", PNG)]), sparse()]),
            ("picture", vec![JPEG.to_vec(), PNG.to_vec(), SCANS.to_vec(), FINER.to_vec()]),
        ];
        lapwing_seeds::take(&TARGETS, &seeds);
    }
}
