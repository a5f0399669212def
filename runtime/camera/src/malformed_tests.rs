//! Hostile bytes for every source: whatever a file holds, a source ends, says what is wrong, and never panics.

use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::tarball::tests::pack;
use super::y4m::Header;
use super::{Pictures, SourceSpec};
use crate::fuzz_targets::{self, drain};

pub(crate) const JPEG: &[u8] = include_bytes!("frame/fixtures/baseline_32x16.jpg");
pub(crate) const PNG: &[u8] = include_bytes!("frame/fixtures/bits_8x2.png");

fn mutate(mut bytes: Vec<u8>, hits: &[(Index, u8)], cut: Option<Index>) -> Vec<u8> {
    for (at, value) in hits {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
    bytes
}

fn hits() -> impl Strategy<Value = Vec<(Index, u8)>> {
    vec((any::<Index>(), any::<u8>()), 0..6)
}

fn cut() -> impl Strategy<Value = Option<Index>> {
    proptest::option::weighted(0.3, any::<Index>())
}

pub(crate) fn y4m_clip() -> Vec<u8> {
    let mut clip = b"YUV4MPEG2 W4 H3 F25:1 Ip A1:1 C420jpeg\n".to_vec();
    for _ in 0..4 {
        clip.extend(b"FRAME\n");
        clip.extend([77; 12 + 2 * 4]);
    }
    clip
}

fn in_folder(name: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
    let dir = tempfile::Builder::new().prefix("hostile").tempdir()?;
    let path = dir.path().join(name);
    fs::write(&path, bytes)?;
    let mut source = Pictures::open(&[&path]).map_err(|error| TestCaseError::fail(error.to_string()))?;
    drain(&mut source, 100);
    Ok(())
}

proptest! {
    #[test]
    fn y4m_random(bytes in vec(any::<u8>(), 0..600), magic in any::<bool>()) {
        let mut input = if magic { b"YUV4MPEG2 W2 H2\nFRAME\n".to_vec() } else { Vec::new() };
        input.extend(bytes);
        fuzz_targets::y4m(&input, 1000);
    }

    #[test]
    fn y4m_headers(line in "YUV4MPEG2( [WHFCXIA][0-9a-zA-Z:=]{0,12}){0,6}", free in ".{0,60}") {
        let _ = Header::parse(&free);
        if let Ok(header) = Header::parse(&line) {
            prop_assert!(header.width > 0 && header.height > 0 && header.rate.0 > 0 && header.rate.1 > 0);
        }
    }

    #[test]
    fn y4m_mutated(hits in hits(), cut in cut()) {
        fuzz_targets::y4m(&mutate(y4m_clip(), &hits, cut), 1000);
    }

    #[test]
    fn mjpeg_random(bytes in vec(prop_oneof![Just(0xFFu8), Just(0xD8), Just(0xD9), any::<u8>()], 0..600)) {
        fuzz_targets::mjpeg(&bytes, 2000);
    }

    #[test]
    fn mjpeg_mutated(hits in hits(), cut in cut()) {
        let bare = &JPEG[..JPEG.len() - 2];
        let clip = [JPEG, b"junk", bare, bare, JPEG].concat();
        fuzz_targets::mjpeg(&mutate(clip, &hits, cut), 2000);
    }

    #[test]
    fn tar_random(bytes in vec(any::<u8>(), 0..2000)) {
        fuzz_targets::tarball(&bytes);
        in_folder("hostile.tar", &bytes)?;
    }

    #[test]
    fn tar_mutated(hits in hits(), cut in cut(), fix in any::<bool>(), size in vec(any::<u8>(), 12)) {
        let long = format!("{}.jpg", "n".repeat(120));
        let mut archive = mutate(pack(&[("a.jpg", JPEG), (&long, PNG), ("b.png", PNG)]), &hits, cut);
        if fix && archive.len() >= 512 {
            // A size of any bytes under a right checksum: what a mutation alone would hardly ever make.
            archive[124..136].copy_from_slice(&size);
            archive[148..156].fill(b' ');
            let sum: u32 = archive[..512].iter().map(|&b| u32::from(b)).sum();
            archive[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        }
        fuzz_targets::tarball(&archive);
        in_folder("hostile.tar", &archive)?;
    }

    #[test]
    fn pictures_random(bytes in vec(any::<u8>(), 0..300), png in any::<bool>()) {
        fuzz_targets::picture(&bytes);
        in_folder(if png { "hostile.png" } else { "hostile.jpg" }, &bytes)?;
    }

    #[test]
    fn any_words_are_answered(words in ".{0,120}", prefix in prop_oneof![Just(""), Just("v4l:"), Just("/"), Just("./")]) {
        if let Err(error) = SourceSpec::parse(&format!("{prefix}{words}")) {
            prop_assert!(error.to_string().contains(';'), "no cure: {}", error);
        }
    }
}
