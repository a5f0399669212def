//! Nobody leaves: every byte of a run and of `lapwing redact` is searched for a mark on a person's clothes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use lapwing_tests::{Seeded, lapwing, root, stderr, stdout};
use serde_json::Value;

/// Cells along each side of the mark, and pixels along each side of a cell.
const CELLS: u32 = 10;
const CELL_PX: u32 = 8;
const COLOURS: [[u8; 3]; 4] = [[255, 0, 255], [0, 255, 0], [0, 255, 255], [255, 255, 0]];

/// A photograph of a person with a mark on the clothes that nothing else looks like.
struct Marked {
    picture: RgbImage,
    /// The colour of each cell, row by row.
    cells: Vec<[u8; 3]>,
    at: (u32, u32),
}

impl Marked {
    fn new() -> Marked {
        let mut picture = image::open(root().join("tests/photos/astronaut.jpg")).unwrap().to_rgb8();
        let mut random = Seeded(0x6d61_726b);
        let cells: Vec<[u8; 3]> = (0..CELLS * CELLS).map(|_| COLOURS[random.below(4) as usize]).collect();
        let at = (190, 330); // the chest
        for (cell, colour) in cells.iter().enumerate() {
            let (left, top) = (at.0 + cell as u32 % CELLS * CELL_PX, at.1 + cell as u32 / CELLS * CELL_PX);
            for y in top..top + CELL_PX {
                for x in left..left + CELL_PX {
                    picture.put_pixel(x, y, Rgb(*colour));
                }
            }
        }
        Marked { picture, cells, at }
    }

    /// The share of cells whose middle still has its colour, more or less.
    fn seen_in(&self, picture: &RgbImage) -> f64 {
        let close = |cell: usize| {
            let middle = |from: u32, at: usize| from + at as u32 * CELL_PX + CELL_PX / 2;
            let (column, row) = (cell % CELLS as usize, cell / CELLS as usize);
            let pixel = picture.get_pixel(middle(self.at.0, column), middle(self.at.1, row));
            pixel.0.iter().zip(self.cells[cell]).all(|(a, b)| a.abs_diff(b) < 90)
        };
        (0..self.cells.len()).filter(|cell| close(*cell)).count() as f64 / self.cells.len() as f64
    }

    /// A row of the mark as its bytes lie in memory: what a careless dump would hold.
    fn bytes(&self) -> Vec<u8> {
        self.cells[..CELLS as usize].iter().flat_map(|colour| colour.repeat(CELL_PX as usize)).collect()
    }

    fn album(&self, folder: &Path) -> PathBuf {
        let album = folder.join("album");
        std::fs::create_dir(&album).unwrap();
        self.picture.save(album.join("marked.png")).unwrap();
        album
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// The most of the mark in any picture under `folder`, and whether its bytes are in any file or in what was said.
fn search(mark: &Marked, folder: &Path, said: &[&[u8]]) -> (f64, bool) {
    let mut paths = Vec::new();
    files(folder, &mut paths);
    let (bytes, mut most, mut pictures) = (mark.bytes(), 0.0f64, 0);
    let holds = |text: &[u8]| text.windows(bytes.len()).any(|window| window == bytes);
    let mut dumped = said.iter().any(|text| holds(text));
    for path in &paths {
        dumped |= holds(&std::fs::read(path).unwrap());
        if let Ok(picture) = image::open(path) {
            pictures += 1;
            most = most.max(mark.seen_in(&picture.to_rgb8()));
        }
    }
    assert!(pictures > 0, "nothing was kept: {paths:?}");
    (most, dumped)
}

#[test]
fn a_run_shows_the_mark_to_nobody() {
    let mark = Marked::new();
    let run = |privacy: &str| {
        let folder = tempfile::tempdir().unwrap();
        let album = mark.album(folder.path());
        let config = format!("[pictures]\nkeep = \"all\"\njpeg_quality = 95\n[privacy]\n{privacy}\n");
        std::fs::write(folder.path().join("c.toml"), config).unwrap();
        let call = ["run", "--config", "c.toml", "--source", album.to_str().unwrap(), "--data", "kept"];
        let output = lapwing(folder.path(), &call);
        assert!(output.status.success(), "{privacy}: {}", stderr(&output));
        search(&mark, &folder.path().join("kept"), &[&output.stdout, &output.stderr])
    };
    let (open, _) = run("hide = []");
    assert!(open > 0.9, "the search finds a mark that is there: {open}");
    for how in ["auto", "mosaic", "black"] {
        let (most, dumped) = run(&format!("fill = \"{how}\""));
        assert!(most < 0.1 && !dumped, "{how}: {most} of the mark, dumped: {dumped}");
    }
}

#[test]
fn redact_shows_the_mark_to_nobody_in_pictures_and_clips() {
    let mark = Marked::new();
    let folder = tempfile::tempdir().unwrap();
    mark.album(folder.path());
    let jpeg = |picture: &RgbImage| {
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(picture).unwrap();
        bytes
    };
    let clip: Vec<u8> = (0..3).flat_map(|_| jpeg(&mark.picture)).collect();
    std::fs::write(folder.path().join("clip.mjpeg"), &clip).unwrap();
    assert!(mark.seen_in(&image::load_from_memory(&jpeg(&mark.picture)).unwrap().to_rgb8()) > 0.9);
    for how in [&[][..], &["--how", "mosaic"], &["--how", "black"]] {
        let out = tempfile::tempdir().unwrap();
        let (pictures, safe) = (out.path().join("safe"), out.path().join("safe.mjpeg"));
        for (from, to) in [("album", &pictures), ("clip.mjpeg", &safe)] {
            let call = [&["redact", "--json"], how, &[from, to.to_str().unwrap()]].concat();
            let output = lapwing(folder.path(), &call);
            assert!(output.status.success(), "{call:?}: {}", stderr(&output));
            let lines: Vec<Value> = stdout(&output).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
            assert_eq!(lines.len(), if from == "album" { 1 } else { 3 });
            for line in &lines {
                let count = |key: &str| line[key].as_u64().unwrap();
                assert!(count("regions") > 0, "{line}");
                assert_eq!(count("regions"), count("filled") + count("mosaic") + count("black"), "{line}");
            }
            let (most, dumped) = search(&mark, out.path(), &[&output.stdout, &output.stderr]);
            assert!(most < 0.1 && !dumped, "{call:?}: {most} of the mark, dumped: {dumped}");
        }
    }
}

/// Each call, its exit code, and a word of what standard error must say.
#[test]
fn redact_never_writes_over_what_it_reads_and_names_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    std::fs::create_dir(inside("in")).unwrap();
    std::fs::copy(root().join("tests/photos/cat.jpg"), inside("in/cat.jpg")).unwrap();
    std::fs::write(inside("broken.jpg"), b"\xff\xd8\xff\xe0 no").unwrap();
    let before = std::fs::read(inside("in/cat.jpg")).unwrap();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["redact", "in/cat.jpg"], 2, "OUT"),
        (&["redact", "in/cat.jpg", "in/cat.jpg"], 2, "another OUT"),
        (&["redact", "in/cat.jpg", "in"], 2, "another OUT"),
        (&["redact", "in", "in"], 2, "never changed"),
        (&["redact", "in", "in/safe"], 2, "never changed"),
        (&["redact", "in", "."], 2, "never changed"),
        (&["redact", "in/cat.jpg", "cat.gif"], 2, ".png"),
        (&["redact", "none.jpg", "out.jpg"], 2, "none.jpg"),
        (&["redact", "v4l:/dev/video0", "out.y4m"], 2, "lapwing run"),
        (&["redact", "--hide", "persn", "in", "out"], 2, "did you mean \"person\"?"),
        (&["redact", "--how", "blur", "in", "out"], 2, "mosaic"),
        (&["redact", "broken.jpg", "out.jpg"], 1, "broken.jpg"),
    ];
    for (call, code, word) in cases {
        let output = lapwing(folder.path(), call);
        assert_eq!(output.status.code(), Some(*code), "{call:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(word), "{call:?}: {}", stderr(&output));
    }
    assert_eq!(std::fs::read(inside("in/cat.jpg")).unwrap(), before);
    let mut left = Vec::new();
    files(folder.path(), &mut left);
    assert_eq!(left.len(), 2, "nothing was left behind: {left:?}");
    let output = lapwing(folder.path(), &["redact", "--how", "mosaic", "in", "out"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(inside("out/cat.jpg").exists());
}
