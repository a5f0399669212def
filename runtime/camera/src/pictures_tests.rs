//! Tests for [`super`]: real folders, real archives.

use super::*;
use crate::tarball::tests::pack;

const A: &[u8] = include_bytes!("frame/fixtures/baseline_32x16.jpg");
const B: &[u8] = include_bytes!("frame/fixtures/bits_8x2.png");

/// Names of the frames and messages of the errors, relative to `root`.
fn replay(source: &mut Pictures, root: &Path) -> Vec<String> {
    let (mut frame, mut all) = (Frame::new(), Vec::new());
    loop {
        let seq = all.len() as u64;
        match source.next(&mut frame, Duration::ZERO) {
            Next::Frame => {
                assert_eq!((frame.seq, frame.captured_us), (seq, seq * STILL_PERIOD_US));
                all.push(frame.name().replace(&format!("{}/", root.display()), ""));
            }
            Next::Broken(error) => all.push(format!("! {error}").replace(&format!("{}/", root.display()), "")),
            Next::End => return all,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_folder_is_walked_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("b/deeper")).unwrap();
    for (name, bytes) in [
        ("c.JPG", A),
        ("a.png", B),
        ("b/2.jpeg", A),
        ("b/10.jpg", A),
        ("b/deeper/x.jpg", A),
        ("labels.json", b"{}"),
        (".hidden.jpg", A),
        ("noext", A),
        ("bad.jpg", b"text"),
    ] {
        fs::write(root.join(name), bytes).unwrap();
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(root, root.join("b/loop")).unwrap();
        std::os::unix::fs::symlink(root.join("a.png"), root.join("d.png")).unwrap();
        std::os::unix::fs::symlink(root.join("gone"), root.join("e.png")).unwrap();
    }
    let mut source = Pictures::open(&[root]).unwrap();
    let want = [
        "a.png",
        "b/10.jpg",
        "b/2.jpeg",
        "b/deeper/x.jpg",
        "! bad.jpg is not a picture that lapwing reads: it starts with 74 65 78 74 (text); convert it to JPEG or PNG",
        "c.JPG",
        "d.png",
    ];
    assert_eq!(source.len_hint(), Some(7));
    assert_eq!(replay(&mut source, root), want);
    assert!(source.rewind().unwrap());
    assert_eq!(replay(&mut source, root).len(), 7);
    assert!(source.describe().contains(&root.display().to_string()));
}

#[test]
fn files_folders_and_archives_mix() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir(root.join("empty")).unwrap();
    fs::write(root.join("odd.name"), A).unwrap();
    fs::write(root.join("p.tar"), pack(&[("in/1.jpg", A), ("x.txt", b"x"), ("2.png", B)])).unwrap();
    fs::write(root.join("q.tar"), pack(&[("3.jpg", A)])).unwrap();
    let paths = ["odd.name", "p.tar", "missing.jpg", "empty", "missing.tar", "q.tar"].map(|name| root.join(name));
    let mut source = Pictures::open(&paths).unwrap();
    assert_eq!(source.len_hint(), None);
    let all = replay(&mut source, root);
    assert_eq!(all[..3], ["odd.name", "p.tar/in/1.jpg", "p.tar/2.png"]);
    assert_eq!(all[3], "! missing.jpg does not exist; check the spelling, and that its disk is mounted");
    assert!(all[4].starts_with("! missing.tar does not exist"), "{}", all[4]);
    assert_eq!(all[5..], ["q.tar/3.jpg"]);
    source.rewind().unwrap();
    let mut frame = Frame::new();
    for _ in 0..2 {
        assert!(matches!(source.skip(&mut frame), Next::Frame));
    }
    assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Frame));
    assert!(frame.name().ends_with("p.tar/2.png"));
}

#[test]
fn nothing_to_show_is_an_error_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let error = Pictures::open(&[dir.path()]).unwrap_err().to_string();
    assert!(error.contains("holds no pictures"), "{error}");
    assert!(Pictures::open::<&Path>(&[]).is_err());
}

#[test]
fn folders_are_bounded_in_depth() {
    let dir = tempfile::tempdir().unwrap();
    let deep = "d/".repeat(FOLDER_DEPTH_MAX + 1);
    fs::create_dir_all(dir.path().join(deep)).unwrap();
    assert!(matches!(Pictures::open(&[dir.path()]), Err(SourceError::TooMany { what: "levels", .. })));
}

#[test]
fn a_folder_or_device_in_a_files_place_is_refused() {
    let mut source = Pictures::open(&[Path::new("/dev/null")]).unwrap();
    let Next::Broken(error) = source.next(&mut Frame::new(), Duration::ZERO) else { panic!("not broken") };
    assert!(error.to_string().contains("/dev/null cannot be read: it is not a file"), "{error}");
}

#[test]
fn names_of_pictures() {
    for yes in ["a.jpg", "b/C.JPEG", "x.y.png"] {
        assert!(is_picture_name(yes), "{yes}");
    }
    for no in ["a.gif", "jpg", ".jpg", "b/._a.jpg", "a.jpg/", "a.jpg.txt", ""] {
        assert!(!is_picture_name(no), "{no}");
    }
}

/// As [`list`], but folders called `closed` do not let themselves be looked into.
fn some_closed(folder: &Path, most: usize) -> io::Result<Vec<(PathBuf, bool)>> {
    match folder.ends_with("closed") {
        true => Err(io::ErrorKind::PermissionDenied.into()),
        false => list(folder, most),
    }
}

#[test]
fn a_folder_that_cannot_be_looked_into_is_named_and_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("b/closed")).unwrap();
    fs::create_dir_all(root.join("closed")).unwrap();
    for name in ["a.jpg", "b/1.jpg", "b/closed/2.jpg", "d.jpg"] {
        fs::write(root.join(name), A).unwrap();
    }
    let mut source = Pictures::open_with(&[root], some_closed).unwrap();
    for _ in 0..2 {
        let all = replay(&mut source, root);
        assert_eq!((all[0].as_str(), all[1].as_str(), all[4].as_str()), ("a.jpg", "b/1.jpg", "d.jpg"), "{all:?}");
        for (at, name) in [(2, "b/closed"), (3, "closed")] {
            assert!(all[at].starts_with(&format!("! {name} cannot be read: permission denied")), "{all:?}");
        }
        assert!(source.rewind().unwrap());
    }
    assert!(matches!(Pictures::open_with(&[root.join("closed")], some_closed), Err(SourceError::Unreadable { .. })));
}
