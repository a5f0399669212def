//! Bytes of any kind for everything that reads files from outside.
//!
//! [`TARGETS`] holds a function a format: it reads the bytes, uses what was read, and panics where a promise
//! is broken. A refusal is an answer; a panic, an endless loop or memory without a bound is none. Property tests and
//! `cargo xtask fuzz` call the same functions; nothing else contains them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a promise that is broken is a panic")]

use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::camera::tarball::{Entry, Tarball};
use crate::camera::{Mjpeg, Next, Source, SourceSpec, Y4m};
use crate::config::Config;
use crate::engine::plan::Plan;
use crate::engine::tail::Run;
use crate::engine::{Artifact, Manifest, kernels};
use crate::eval::coco::Annotations;
use crate::flow::int8::{FlowArtifact, Int8Flow};
use crate::flow::{Asked, FlowManifest, Network};
use crate::frame::{Frame, picture};

/// A format's name and what its bytes are given to.
pub type Target = (&'static str, fn(&[u8]));

/// Every format.
pub const TARGETS: [Target; 10] = [
    ("artifact", artifact),
    ("flow", flow),
    ("manifest", manifest),
    ("config", config),
    ("annotations", annotations),
    ("words", words),
    ("y4m", |bytes| y4m(bytes, CALLS_MAX)),
    ("mjpeg", |bytes| mjpeg(bytes, CALLS_MAX)),
    ("tarball", tarball),
    ("picture", picture),
];

/// Multiplications of a network that is run here; a larger one is only read.
const MACS_MAX: u64 = 1 << 26;
/// Calls after which a source must have ended.
const CALLS_MAX: usize = 5000;

/// An artifact in parts, see [`whole`].
fn artifact(bytes: &[u8]) {
    if let Ok(read) = Artifact::from_bytes(whole(bytes, Kind::Detector)) {
        let again = Artifact::from_bytes(read.to_bytes().unwrap()).unwrap();
        assert!(again.graph == read.graph && again.tail == read.tail, "it is read as another than was written");
        let large = read.graph.tensors.iter().any(|t| t.shape.elements() as u64 > MACS_MAX);
        if read.graph.macs() <= MACS_MAX && !large {
            run_artifact(read);
        }
    }
}

/// What was read must be fit to run.
pub fn run_artifact(read: Artifact) {
    let shapes = read.graph.output_shapes();
    Plan::new(&read.graph, kernels::best(), 1).unwrap().run();
    if let Some(tail) = read.tail {
        Run::new(tail, shapes).unwrap().run();
    }
}

/// A flow in eight bits in parts, see [`whole`]; its first four numbers are the count of its real numbers.
fn flow(bytes: &[u8]) {
    if let Ok(read) = FlowArtifact::from_bytes(whole(bytes, Kind::Flow)) {
        assert!(FlowArtifact::from_bytes(read.to_bytes().unwrap()).unwrap() == read);
        if read.macs() <= MACS_MAX {
            run_flow(&read);
        }
    }
}

/// What was read must be fit to run.
pub fn run_flow(read: &FlowArtifact) {
    let mut flow = Int8Flow::load(read, "hostile", 1).unwrap();
    let x = vec![0.5; read.manifest.values()];
    let context = vec![0.0; crate::flow::network::context_values(&read.manifest)];
    let _ = flow.velocity(&x, &context, Asked { t: 0.2, label: 0, jump: false }, &mut vec![0.0; x.len()]);
}

/// The bytes at which a file of ours states the length of its header and how many of what come behind it.
const LENGTHS: [usize; 2] = [16, 24];
const PREFIX: usize = 64;

/// The files that begin alike.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Detector,
    Flow,
}

/// Makes a file of its parts: a header's JSON, a zero, and what lies behind the header. Lengths and checksum are put
/// right, so that what is refused is refused for what it says.
fn whole(parts: &[u8], kind: Kind) -> Vec<u8> {
    let at = parts.iter().position(|&byte| byte == 0).unwrap_or(parts.len());
    let (header, behind) = (&parts[..at], parts.get(at + 1..).unwrap_or(&[]));
    // an artifact counts bytes, a flow its real numbers
    let (count, behind) = match behind.split_first_chunk::<4>() {
        Some((count, rest)) if kind == Kind::Flow => (u64::from(u32::from_le_bytes(*count)), rest),
        _ => (behind.len() as u64, behind),
    };
    let shipped = match kind {
        Kind::Detector => lapwing_models::DETECT_NANO.artifact,
        Kind::Flow => lapwing_models::FLOW_PATCH.artifact.unwrap(),
    };
    let mut file = shipped[..PREFIX].to_vec();
    file.extend(header);
    file.resize(file.len().next_multiple_of(PREFIX), 0);
    file.extend(behind);
    file[LENGTHS[0]..][..8].copy_from_slice(&(header.len() as u64).to_le_bytes());
    file[LENGTHS[1]..][..8].copy_from_slice(&count.to_le_bytes());
    sign(&mut file);
    file
}

/// Puts the checksum right.
pub fn sign(file: &mut [u8]) {
    let sum = Sha256::digest(&file[PREFIX..]);
    file[32..PREFIX].copy_from_slice(&sum);
}

/// A manifest of either kind.
fn manifest(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(what) = Manifest::parse(&text) {
        assert!(!what.is_empty());
    }
    if let Err(what) = FlowManifest::parse(&text) {
        assert!(!what.is_empty());
    }
}

/// A configuration; every refusal names a cure.
fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let detector = Manifest::parse(lapwing_models::DETECT_NANO.manifest).unwrap();
    if let Err(error) = Config::parse(&text, "hostile").and_then(|config| config.bind(&detector)) {
        assert!(!error.what.is_empty() && !error.cure.is_empty(), "no cure: {error}");
    }
}

/// Annotated boxes.
fn annotations(bytes: &[u8]) {
    match Annotations::parse(bytes, Path::new("hostile")) {
        Ok(read) => (0..read.listing.len().min(100)).for_each(|picture| {
            assert_eq!(read.listing.find(read.listing.path(picture)), Ok(Some(picture)));
            assert!(read.truths(picture).iter().all(|truth| truth.category < read.categories.len()));
        }),
        Err(error) => assert!(error.to_string().contains("hostile"), "{error}"),
    }
}

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
    use crate::camera::hostile_tests::{JPEG, PNG, y4m_clip};
    use crate::camera::tarball::tests::{pack, sparse};
    use crate::{config, engine, flow};

    /// The inverse of [`whole`].
    fn parts(file: &[u8], kind: Kind) -> Vec<u8> {
        let number = |at: usize| u64::from_le_bytes(file[at..][..8].try_into().unwrap());
        let header = number(LENGTHS[0]) as usize;
        let mut parts = file[PREFIX..][..header].to_vec();
        parts.push(0);
        if kind == Kind::Flow {
            parts.extend((number(LENGTHS[1]) as u32).to_le_bytes());
        }
        parts.extend(&file[(PREFIX + header).next_multiple_of(PREFIX)..]);
        assert_eq!(whole(&parts, kind)[16..], file[16..]);
        parts
    }

    const SCANS: &[u8] = include_bytes!("frame/fixtures/scans_2x2_37x21.jpg");
    const FINER: &[u8] = include_bytes!("frame/fixtures/chroma_finer_37x21.jpg");

    /// Good bytes of each format, from which the search for others begins.
    fn seeds() -> Vec<(&'static str, Vec<Vec<u8>>)> {
        let artifacts = (0..200).filter_map(engine::artifact::tests::artifact).map(|made| made.to_bytes().unwrap());
        let artifacts = artifacts.filter(|file| file.len() < 16_000).map(|file| parts(&file, Kind::Detector));
        let flow = parts(&flow::int8::tests::artifact().to_bytes().unwrap(), Kind::Flow);
        let annotations = br#"{"images":[{"id":1,"file_name":"a.jpg","width":9,"height":9}],"categories":[{"id":7,
            "name":"cat"}],"annotations":[{"id":3,"image_id":1,"category_id":7,"bbox":[1,2,3,4],"iscrowd":0}]}"#;
        let words = ["v4l:/dev/video0", "pictures/", "clip.y4m", "clip.mjpeg", "cat.jpg", "all.tar"];
        let long = format!("{}.jpg", "n".repeat(120));
        vec![
            ("artifact", artifacts.collect()),
            ("flow", vec![flow]),
            (
                "manifest",
                [
                    lapwing_models::DETECT_NANO.manifest,
                    lapwing_models::FLOW_PATCH.manifest,
                    lapwing_models::FLOW_CIFAR.manifest,
                ]
                .map(|text| text.as_bytes().to_vec())
                .to_vec(),
            ),
            ("config", vec![config::BUILTIN.as_bytes().to_vec()]),
            ("annotations", vec![annotations.to_vec()]),
            ("words", words.map(|word| word.as_bytes().to_vec()).to_vec()),
            ("y4m", vec![y4m_clip()]),
            ("mjpeg", vec![[JPEG, b"junk", &JPEG[..JPEG.len() - 2], JPEG].concat()]),
            ("tarball", vec![pack(&[("a.jpg", JPEG), (&long, PNG), ("b.png", PNG)]), sparse()]),
            ("picture", vec![JPEG.to_vec(), PNG.to_vec(), SCANS.to_vec(), FINER.to_vec()]),
        ]
    }

    /// Every format takes what is good, and with one byte changed says so or does without. Where the environment
    /// names a folder, the seeds are written there.
    #[test]
    fn good_bytes_are_taken() {
        let seeds = seeds();
        let names: Vec<&str> = seeds.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, TARGETS.map(|(name, _)| name));
        for ((name, seeds), (_, target)) in seeds.iter().zip(TARGETS) {
            assert!(!seeds.is_empty(), "{name}");
            for (number, seed) in seeds.iter().enumerate() {
                target(seed);
                let mut other = seed.clone();
                let at = number * 7 % other.len();
                other[at] ^= 0x11;
                target(&other);
                if let Some(folder) = std::env::var_os("LAPWING_SEEDS") {
                    let folder = Path::new(&folder).join(name);
                    std::fs::create_dir_all(&folder).unwrap();
                    std::fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
                }
            }
        }
    }

    #[test]
    fn good_files_get_through() {
        let (_, seeds) = seeds().swap_remove(0);
        assert!(seeds.iter().all(|seed| Artifact::from_bytes(whole(seed, Kind::Detector)).is_ok()));
        let seed = parts(&flow::int8::tests::artifact().to_bytes().unwrap(), Kind::Flow);
        FlowArtifact::from_bytes(whole(&seed, Kind::Flow)).unwrap();
    }
}
