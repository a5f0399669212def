//! A folder as a medium: what comes and goes beside it, and under it.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::limits::{BLOCK_BYTES, SEGMENT_HEADER_BYTES};
use crate::log::{DamageKind, Item, Limits, Log, Reader};

const LIMITS: Limits = Limits { segment_bytes: 16_384, total_bytes: 64 << 20 };

fn open(folder: &Path) -> Log<DirMedia> {
    Log::open(DirMedia::open(folder).unwrap(), LIMITS).unwrap().0
}

/// Adds so many segments to a log.
fn filled(folder: &Path, segments: u32) {
    let mut log = open(folder);
    let last = walk(&mut DirMedia::read(folder).unwrap()).last().copied().unwrap_or(0) + segments;
    loop {
        let id = log.make_room(&mut |_| false).unwrap();
        for _ in 0..3 {
            log.append(&[7; 1000]).unwrap();
        }
        log.commit().unwrap();
        if id == last {
            return;
        }
    }
}

/// All numbers, and the damage that is not a cut's.
fn read(folder: &Path) -> (Vec<u64>, usize) {
    let mut media = DirMedia::read(folder).unwrap();
    let (mut numbers, mut damaged, mut reader) = (Vec::new(), 0, Reader::new(&mut media));
    while let Some(item) = reader.next().unwrap() {
        match item {
            Item::Record { seq, .. } => numbers.push(seq.0),
            Item::Damage(damage) => damaged += usize::from(damage.kind != DamageKind::Torn),
        }
    }
    (numbers, damaged)
}

fn walk(media: &mut DirMedia) -> Vec<u32> {
    let (mut seen, mut from) = (Vec::new(), 0);
    while let Some(id) = media.find(from).unwrap() {
        seen.push(id);
        from = id + 1;
    }
    seen
}

#[test]
fn opening_lists_the_folder_as_often_for_many_segments_as_for_few() {
    let folder = tempfile::tempdir().unwrap();
    let mut times = Vec::new();
    for runs in [2, 30] {
        filled(folder.path(), runs);
        let (log, found) = Log::open(DirMedia::open(folder.path()).unwrap(), LIMITS).unwrap();
        times.push((found.segments, log.into_media().listed.times));
    }
    assert_eq!(times.iter().map(|(segments, _)| *segments).collect::<Vec<_>>(), [2, 32]);
    assert!(times[0].1 == times[1].1 && times[0].1 < 8, "{times:?}");
}

/// A process that is being started keeps copies of open files for a moment; here a copy does.
#[test]
fn a_lock_that_goes_in_a_moment_is_waited_for_and_another_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let writer = DirMedia::open(folder.path()).unwrap();
    let copy = writer.lock.as_ref().unwrap().try_clone().unwrap();
    drop(writer);
    let started = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(30));
        drop(copy);
    });
    let writer = DirMedia::open(folder.path()).unwrap();
    started.join().unwrap();
    let error = DirMedia::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("another lapwing"), "{error}");
    drop(writer);
}

#[test]
fn what_comes_and_goes_beside_a_reader_is_found() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 4);
    let mut media = DirMedia::read(folder.path()).unwrap();
    assert_eq!(walk(&mut media), [1, 2, 3, 4]);
    filled(folder.path(), 2);
    fs::remove_file(folder.path().join(name(1).as_str())).unwrap();
    fs::remove_file(folder.path().join(name(3).as_str())).unwrap();
    assert_eq!(media.find(3).unwrap(), Some(4));
    assert_eq!(walk(&mut media), [2, 4, 5, 6]);
    for stranger in ["lock~", "0000001.seg", "7.seg"] {
        fs::write(folder.path().join(stranger), b"").unwrap();
    }
    assert_eq!(walk(&mut media), [2, 4, 5, 6]);
    let mut reader = Reader::new(&mut media);
    assert!(reader.next().unwrap().is_some());
}

#[test]
fn a_list_is_bounded_and_keeps_the_smallest() {
    let mut listed = Listed::default();
    let many = (1..=5 * LISTED_MAX as u32).rev().map(|id| Ok(Some(id)));
    listed.fill(7, many).unwrap();
    assert!(listed.ids.len() == LISTED_MAX && listed.ids.capacity() <= 4 * LISTED_MAX);
    assert_eq!((listed.first(7), listed.first(6), listed.first(8)), (Some(7), None, Some(8)));
    let last = 6 + LISTED_MAX as u32;
    assert_eq!((listed.first(last), listed.first(last + 1)), (Some(last), None));
    // a list that breaks off answers nothing
    let broken = [Ok(Some(9)), Err(io::Error::from(ErrorKind::Other)), Ok(Some(8))];
    assert!(listed.fill(7, broken.into_iter()).is_err());
    assert_eq!(listed.first(7), None);
}

#[test]
fn a_segment_is_as_long_as_it_will_be_and_its_owner_s_alone() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("data/log");
    filled(&log, 2);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(&folder.path().join("data")), mode(&log)], [0o700; 2]);
    for entry in fs::read_dir(&log).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        if path.extension().is_some_and(|ending| ending == "seg") {
            let found = fs::metadata(&path).unwrap();
            assert_eq!((found.len(), found.blocks() * 512 >= 16_384), (16_384, true), "all of its room is taken");
        }
    }
}

/// The folder goes away under a log in one of several ways: what is committed next is told, and is where a reader looks.
#[test]
fn a_log_whose_folder_goes_away_is_begun_anew() {
    type Way = (&'static str, fn(&Path));
    let away: [Way; 4] = [
        ("removed", |log| fs::remove_dir_all(log).unwrap()),
        ("removed with all above it", |log| fs::remove_dir_all(log.parent().unwrap()).unwrap()),
        ("moved", |log| fs::rename(log, log.with_file_name("elsewhere")).unwrap()),
        ("replaced", |log| {
            fs::rename(log, log.with_file_name("elsewhere")).unwrap();
            fs::create_dir(log).unwrap();
        }),
    ];
    for (how, act) in away {
        for rotates in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("data/log");
            let mut log = open(&path);
            log.append(b"before").unwrap();
            log.commit().unwrap();
            if rotates {
                while log.make_room(&mut |_| false).unwrap() == 1 {
                    log.append(&[1; 1000]).unwrap();
                    log.commit().unwrap();
                }
            }
            act(&path);
            let seq = log.append(b"after").unwrap();
            let done = log.commit().unwrap_or_else(|error| panic!("{how}: {error}")).unwrap();
            assert_eq!(done.get(), seq);
            let told = log.take_trouble().map(|error| std::format!("{error}")).unwrap_or_default();
            assert!(told.contains("removed, moved or unmounted"), "{how}: {told}");
            log.append(b"and on").unwrap();
            log.commit().unwrap();
            assert!(log.take_trouble().is_none(), "told once");
            assert_eq!(read(&path), (std::vec![seq.0, seq.0 + 1], 0), "{how}");
            assert!(DirMedia::open(&path).is_err(), "{how}: the new folder is not locked");
            drop(log);
            let (_, found) = Log::open(DirMedia::open(&path).unwrap(), LIMITS).unwrap();
            assert_eq!((found.last_seq.map(|seq| seq.0), found.corrupt_regions), (Some(seq.0 + 1), 0), "{how}");
        }
    }
}

/// Where the folder that is there now holds a log with the same numbers, none is given twice: the caller appends again.
#[test]
fn a_log_that_finds_another_goes_on_behind_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let (here, other) = (folder.path().join("log"), folder.path().join("other"));
    filled(&other, 2);
    let (before, _) = read(&other);
    let mut log = open(&here);
    log.append(b"mine").unwrap();
    log.commit().unwrap();
    fs::rename(&here, folder.path().join("away")).unwrap();
    fs::rename(&other, &here).unwrap();
    log.append(b"lost").unwrap();
    assert!(log.commit().is_err());
    let seq = log.append(b"again").unwrap();
    assert_eq!(seq.0, before.last().unwrap() + 1);
    log.commit().unwrap();
    let (after, damaged) = read(&here);
    assert_eq!((after.len(), damaged), (before.len() + 1, 0));
}

#[test]
fn what_is_no_file_is_no_segment_and_no_lock() {
    for name in ["lock", "00000001.seg", "00000002.seg"] {
        for is_link in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            filled(&path, 2);
            let (from, to) = (path.join(name), path.join("elsewhere"));
            fs::rename(&from, &to).unwrap();
            if is_link {
                std::os::unix::fs::symlink(&to, &from).unwrap();
            } else {
                rustix::fs::mknodat(rustix::fs::CWD, &from, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
            }
            let opened = DirMedia::open(&path).and_then(|media| {
                Log::open(media, LIMITS).map(drop).map_err(|error| match error {
                    crate::log::LogError::Media(error) => error,
                    other => panic!("{other}"),
                })
            });
            let said = std::format!("{}", opened.unwrap_err());
            assert!(said.contains(name) && said.contains("move it away"), "{said}");
        }
    }
}

/// A sparse file of 4 GiB in a segment's place is read to a segment's size.
#[test]
fn reading_ends_at_a_segment_s_size() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 2);
    let (before, _) = read(folder.path());
    for id in [1, 2] {
        let path = folder.path().join(name(id).as_str());
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(4 << 30).unwrap();
    }
    let start = std::time::Instant::now();
    assert_eq!(read(folder.path()), (before, 0));
    assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
    // without a header its size is not known: the largest is read
    let headless = fs::OpenOptions::new().write(true).open(folder.path().join(name(2).as_str())).unwrap();
    headless.write_all_at(&[0; SEGMENT_HEADER_BYTES], 0).unwrap();
    assert_eq!(read(folder.path()).1, 1);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn what_a_kill_left_half_made_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 1);
    let part = folder.path().join(own_file::part_name().as_str());
    fs::write(&part, [0; BLOCK_BYTES]).unwrap();
    filled(folder.path(), 1);
    assert!(!part.exists());
}
