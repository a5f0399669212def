//! Known answers and hostile bytes for [`super`]. The fixtures were made with Pillow and hold four blocks of colour.

use super::*;
use crate::frame::FrameError;
use crate::frame::pixels::Turn;
use image::metadata::Orientation;
use proptest::prelude::*;

const BASELINE: &[u8] = include_bytes!("fixtures/baseline_32x16.jpg");
const PROGRESSIVE: &[u8] = include_bytes!("fixtures/progressive_32x16.jpg");
const GREY: &[u8] = include_bytes!("fixtures/grey_32x16.jpg");
const CMYK: &[u8] = include_bytes!("fixtures/cmyk_32x16.jpg");
const YCCK: &[u8] = include_bytes!("fixtures/ycck_32x16.jpg");
const GREY16: &[u8] = include_bytes!("fixtures/grey16_8x1.png");
const BITS: &[u8] = include_bytes!("fixtures/bits_8x2.png");
const PALETTE: &[u8] = include_bytes!("fixtures/palette_4x2.png");
const ALL: [&[u8]; 8] = [BASELINE, PROGRESSIVE, GREY, CMYK, YCCK, GREY16, BITS, PALETTE];

const BLOCKS: [[u8; 3]; 4] = [[220, 40, 40], [40, 200, 60], [50, 60, 210], [230, 220, 60]];

fn read_back(bytes: &[u8]) -> Frame {
    let mut frame = Frame::new();
    decode(bytes, "test", &mut frame).unwrap();
    frame
}

fn near(frame: &Frame, x: u32, y: u32, want: [u8; 3], within: u8) {
    let got = frame.pixel(x, y).unwrap();
    assert!(got.iter().zip(want).all(|(g, w)| g.abs_diff(w) <= within), "({x}, {y}): {got:?}, not {want:?}");
}

fn encode(pixels: &[u8], width: u32, height: u32, kind: ExtendedColorType) -> Vec<u8> {
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(pixels, width, height, kind).unwrap();
    png
}

/// Puts an EXIF segment with this orientation behind a JPEG's start of image.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut out = vec![0xFF, 0xD8, 0xFF, 0xE1];
    out.extend((exif.len() as u16 + 2).to_be_bytes());
    out.extend(exif);
    out.extend(&jpeg[2..]);
    out
}

#[test]
fn baseline_and_progressive_show_the_same_blocks() {
    for jpeg in [BASELINE, PROGRESSIVE] {
        let frame = read_back(jpeg);
        assert_eq!((frame.width(), frame.height()), (32, 16));
        for (i, block) in BLOCKS.into_iter().enumerate() {
            near(&frame, 4 + 24 * (i as u32 % 2), 3 + 10 * (i as u32 / 2), block, 6);
        }
    }
}

/// Pictures of 37x21 in ways that few programs use, each with the same coefficients in one scan where there is such a twin.
/// Made with libjpeg's `cjpeg -sample` and `jpegtran -scans`.
const UNCOMMON: [(&[u8], Option<&[u8]>); 7] = [
    (include_bytes!("fixtures/scans_2x2_37x21.jpg"), Some(include_bytes!("fixtures/one_scan_2x2_37x21.jpg"))),
    (include_bytes!("fixtures/scans_1x2_37x21.jpg"), Some(include_bytes!("fixtures/one_scan_1x2_37x21.jpg"))),
    (include_bytes!("fixtures/scans_pair_2x1_37x21.jpg"), Some(include_bytes!("fixtures/one_scan_2x1_37x21.jpg"))),
    (include_bytes!("fixtures/scans_reversed_2x2_37x21.jpg"), Some(include_bytes!("fixtures/one_scan_2x2_37x21.jpg"))),
    (include_bytes!("fixtures/scans_cmyk_37x21.jpg"), Some(include_bytes!("fixtures/one_scan_cmyk_37x21.jpg"))),
    (include_bytes!("fixtures/chroma_finer_37x21.jpg"), None),
    (include_bytes!("fixtures/thirds_37x21.jpg"), None),
];

#[test]
fn scans_and_sampling_of_any_kind_show_the_same_picture() {
    for (at, (jpeg, twin)) in UNCOMMON.into_iter().enumerate() {
        let frame = read_back(jpeg);
        assert_eq!((frame.width(), frame.height()), (37, 21), "{at}");
        for (i, block) in BLOCKS.into_iter().enumerate() {
            near(&frame, 4 + 26 * (i as u32 % 2), 3 + 12 * (i as u32 / 2), block, 6);
        }
        if let Some(twin) = twin {
            let most = frame.rgb().iter().zip(read_back(twin).rgb()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(most <= Some(4), "{at}: {most:?}");
        }
        assert_eq!(read_back(&with_orientation(jpeg, 6)).width(), 21, "{at}");
    }
    // as many scans as components, and no more
    let (jpeg, _) = UNCOMMON[0];
    let first = jpeg.windows(2).position(|w| w == [0xFF, 0xDA]).unwrap();
    let next = first + 2 + jpeg[first + 2..].windows(2).position(|w| w == [0xFF, 0xC4]).unwrap();
    let many = [&jpeg[..first], &jpeg[first..next].repeat(9), &jpeg[first..]].concat();
    let error = decode(&many, "many.jpg", &mut Frame::new()).unwrap_err().to_string();
    assert!(error.contains("more scans than its components need"), "{error}");
}

#[test]
fn a_grey_jpeg_has_equal_channels() {
    let frame = read_back(GREY);
    near(&frame, 4, 3, [94; 3], 4); // 0.299 * 220 + 0.587 * 40 + 0.114 * 40
    assert!(frame.rgb().chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]));
}

#[test]
fn cmyk_and_ycck_are_inverted_as_adobe_writes_them() {
    // Ink (35, 215, 215, 64): (255 - c) * (255 - k) / 255.
    for jpeg in [CMYK, YCCK] {
        let frame = read_back(jpeg);
        near(&frame, 2, 2, [165, 30, 30], 4);
        near(&frame, 28, 12, [230, 220, 60], 4);
    }
}

#[test]
fn all_eight_orientations() {
    // Stored: red, green / blue, yellow. Where the four go, row by row, for orientation 1 to 8.
    let want = [
        [0, 1, 2, 3],
        [1, 0, 3, 2],
        [3, 2, 1, 0],
        [2, 3, 0, 1],
        [0, 2, 1, 3],
        [2, 0, 3, 1],
        [3, 1, 2, 0],
        [1, 3, 0, 2],
    ];
    for (orientation, want) in (1u8..).zip(want) {
        let frame = read_back(&with_orientation(BASELINE, orientation));
        let size = if orientation < 5 { (32, 16) } else { (16, 32) };
        assert_eq!((frame.width(), frame.height()), size, "orientation {orientation}");
        for (i, block) in want.into_iter().enumerate() {
            let x = if i % 2 == 0 { 3 } else { size.0 - 4 };
            let y = if i / 2 == 0 { 3 } else { size.1 - 4 };
            near(&frame, x, y, BLOCKS[block], 8);
        }
        // A turned grey picture takes the other path; no pixel may be lost.
        assert_eq!(read_back(&with_orientation(GREY, orientation)).width(), size.0);
    }
    for nonsense in [0, 9, 255] {
        assert_eq!(read_back(&with_orientation(BASELINE, nonsense)).width(), 32);
    }
}

#[test]
fn turning_is_exact_to_the_pixel() {
    let raw: Vec<u8> = (0..6).collect(); // 3x2
    let want: [(u32, [u8; 6]); 8] = [
        (3, [0, 1, 2, 3, 4, 5]),
        (3, [2, 1, 0, 5, 4, 3]),
        (3, [5, 4, 3, 2, 1, 0]),
        (3, [3, 4, 5, 0, 1, 2]),
        (2, [0, 3, 1, 4, 2, 5]),
        (2, [3, 0, 4, 1, 5, 2]),
        (2, [5, 2, 4, 1, 3, 0]),
        (2, [2, 5, 1, 4, 0, 3]),
    ];
    for (exif, (width, want)) in (1..).zip(want) {
        let turn = Turn::new(Orientation::from_exif(exif).unwrap(), 3, 2);
        let mut rgb = [99; 18];
        turn.store(&raw, 1, &mut rgb, |p| [p[0]; 3]);
        assert_eq!(turn.width, width);
        assert!(rgb.chunks_exact(3).map(|p| p[0]).eq(want), "orientation {exif}");
    }
}

#[test]
fn sixteen_bits_are_rounded_to_eight() {
    let frame = read_back(GREY16); // 0, 9362, ... 65534
    let want: Vec<u8> = (0..8u32).map(|i| (f64::from(i * 9362) / 257.0).round() as u8).collect();
    assert!(frame.rgb().chunks_exact(3).map(|p| p[1]).eq(want));
    let pixels: Vec<u8> = [65535u16, 256, 0, 32768].iter().flat_map(|v| v.to_ne_bytes()).collect();
    let frame = read_back(&encode(&pixels, 1, 1, ExtendedColorType::Rgba16));
    assert_eq!(frame.rgb(), [185, 57, 57]); // half over 114
}

#[test]
fn palettes_bits_and_transparency() {
    let frame = read_back(BITS);
    assert_eq!(frame.pixel(0, 0), Some([255; 3]));
    assert_eq!(frame.pixel(1, 0), Some([0; 3]));
    let frame = read_back(PALETTE); // entry 0 is transparent
    assert_eq!(frame.rgb()[..12], [114, 114, 114, 0, 255, 0, 0, 0, 255, 9, 8, 7]);
    let frame = read_back(&encode(&[200, 0, 200, 255, 10, 128], 3, 1, ExtendedColorType::La8));
    assert!(frame.rgb().chunks_exact(3).map(|p| p[0]).eq([114, 200, 62]));
}

#[test]
fn one_pixel() {
    let frame = read_back(&encode(&[1, 2, 3], 1, 1, ExtendedColorType::Rgb8));
    assert_eq!(frame.rgb(), [1, 2, 3]);
    let mut jpeg = Vec::new();
    encode_jpeg(&frame, 90, &mut jpeg).unwrap();
    assert_eq!(read_back(&jpeg).rgb().len(), 3);
}

#[test]
fn a_giant_is_refused_by_its_header() {
    let mut png = encode(&[0; 3], 1, 1, ExtendedColorType::Rgb8);
    png[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]); // 16384x16384
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let mut frame = Frame::new();
    let error = decode(&png, "giant.png", &mut frame).unwrap_err();
    assert!(matches!(error, PictureError::Size { cause: FrameError::TooLarge { .. }, .. }), "{error}");
    assert_eq!(frame.capacity_px(), 0);
    let mut jpeg = BASELINE.to_vec();
    let sof = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    jpeg[sof + 5..sof + 9].fill(0xFF);
    let error = decode(&jpeg, "giant.jpg", &mut frame).unwrap_err();
    assert!(error.to_string().starts_with("giant.jpg: a frame of 65535x65535"), "{error}");
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 })
    })
}

#[test]
fn every_cut_is_an_error() {
    let mut frame = Frame::new();
    for whole in [BASELINE, PROGRESSIVE, GREY, CMYK, UNCOMMON[0].0, UNCOMMON[5].0] {
        // the marker alone may be missing where the only scan is whole
        let is_one_scan = whole != PROGRESSIVE && UNCOMMON.iter().all(|(jpeg, _)| *jpeg != whole);
        if is_one_scan {
            let bare = &whole[..whole.len() - 2];
            decode(bare, "bare", &mut frame).unwrap();
            assert_eq!(frame.rgb(), read_back(whole).rgb());
        }
        for len in 0..whole.len() - if is_one_scan { 2 } else { 0 } {
            let error = decode(&whole[..len], "cut", &mut frame).unwrap_err();
            if len > 3 {
                assert!(matches!(error, PictureError::Truncated { .. }), "{len}: {error}");
            }
        }
    }
    for len in 0..GREY16.len() - 12 {
        assert!(decode(&GREY16[..len], "cut", &mut frame).is_err(), "{len}");
    }
}

#[test]
fn what_is_not_a_picture_is_named() {
    let mut frame = Frame::new();
    for (bytes, words) in [
        (&b"GIF89a...."[..], "47 49 46 38 39 61 2E 2E (a GIF)"),
        (b"hello", "68 65 6C 6C 6F (text)"),
        (b"\0\0\0\x18ftypheic", "an HEIC"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP"),
        (&[0xFF, 0xD8], "half a JPEG marker"),
    ] {
        let error = decode(bytes, "a/b.jpg", &mut frame).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("a/b.jpg"), "{error}");
    }
    assert!(matches!(decode(&[], "e", &mut frame), Err(PictureError::Empty { .. })));
}

#[test]
fn a_frame_survives_a_round_trip() {
    let mut frame = Frame::new();
    frame.reset(33, 17).unwrap();
    frame.rgb_mut().iter_mut().enumerate().for_each(|(i, b)| *b = (i * 7 % 256) as u8);
    let mut out = vec![1, 2, 3];
    encode_png(&frame, &mut out).unwrap();
    assert_eq!(read_back(&out).rgb(), frame.rgb());
    frame.rgb_mut().fill(90);
    encode_jpeg(&frame, 95, &mut out).unwrap();
    near(&read_back(&out), 20, 10, [90; 3], 2);
    assert!(looks_like_a_picture(&out));
    assert!(encode_png(&Frame::new(), &mut out).is_err());
    assert!(encode_jpeg(&Frame::new(), 1, &mut out).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(400), ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0usize..3) {
        let mut input = [&[][..], &[0xFF, 0xD8, 0xFF][..], &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..]][kind].to_vec();
        input.extend(bytes);
        let _ = decode(&input, "random", &mut Frame::new());
    }

    #[test]
    fn mutated_pictures_never_panic(
        which in 0usize..ALL.len() + UNCOMMON.len(), turned in 0u8..9,
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let chosen = if which < ALL.len() { ALL[which] } else { UNCOMMON[which - ALL.len()].0 };
        let is_jpeg = chosen.starts_with(&[0xFF, 0xD8]);
        let mut bytes = if is_jpeg && turned > 0 { with_orientation(chosen, turned) } else { chosen.to_vec() };
        for (at, value) in hits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            let at = cut.index(bytes.len());
            bytes.drain(at..(at + 5).min(bytes.len()));
        }
        let mut frame = Frame::new();
        // A mutated size may be large: bound the time of the test, not the property.
        if decode(&bytes, "mutated", &mut frame).is_ok() {
            prop_assert_eq!(frame.rgb().len(), frame.width() as usize * frame.height() as usize * 3);
        }
    }
}
