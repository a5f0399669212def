//! The queue against a driver that fails at random: whose each buffer is, what is lent, and what is counted.

use proptest::prelude::*;
use std::time::Duration;

use super::driver::{Granted, Wish};
use super::fourcc::FourCc;
use super::queue::{CaptureQueue, QueueError};
use super::simulated::{Filled, Move, Owner, Simulated, granted, pattern};
use crate::frame::Frame;

const WISH: Wish = Wish { fourcc: FourCc(*b"YUYV"), width: 4, height: 3, fps: 15 };
const WAIT: Duration = Duration::from_millis(100);

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let how = prop_oneof![6 => Just(Filled::Whole), 1 => Just(Filled::Flagged), 1 => Just(Filled::Short)];
    let one = prop_oneof![
        12 => prop::collection::vec(how, 1..5).prop_map(Move::Fill),
        3 => (1u32..9).prop_map(Move::Miss),
        3 => Just(Move::Quiet),
        2 => Just(Move::Spurious),
        1 => Just(Move::Broken),
        1 => (0u32..3).prop_map(Move::Wrong),
        1 => Just(Move::RefuseQueue),
        1 => Just(Move::Fault),
        1 => Just(Move::Unplug),
    ];
    prop::collection::vec(one, 0..40)
}

/// Formats with their strides, one of each kind, and the bytes of a memory plane.
fn kinds() -> Vec<(Granted, usize)> {
    vec![
        (granted(b"YUYV", 4, 3, &[12]), 36),
        (granted(b"NV12", 4, 4, &[6]), 36),
        (granted(b"YM12", 4, 4, &[6, 3, 3]), 24),
        (granted(b"NM12", 4, 4, &[8, 8]), 32),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn whatever_the_driver_does_every_buffer_has_one_owner(
        script in moves(), kind in 0usize..4, buffers in 2u32..6,
    ) {
        let (granted, plane_bytes) = kinds()[kind];
        let whole: u64 = script.iter().map(|step| match step {
            Move::Fill(list) => list.len() as u64,
            _ => 0,
        }).sum();
        let driver = Simulated::new(granted, plane_bytes, script);
        let books = driver.books();
        let mut queue = CaptureQueue::open(driver, &WISH, buffers, 0).unwrap();
        let mut last = None;
        let mut frame = Frame::new();
        for _ in 0..60 {
            match queue.newest(WAIT) {
                Ok(Some(lent)) => {
                    // the newest of those that were whole
                    let newest = *books.lock().unwrap().waiting.last().unwrap();
                    prop_assert!(last.is_none_or(|last| lent.number() > last), "{last:?} {}", lent.number());
                    last = Some(lent.number());
                    // one is out; the driver does what it likes with all others, and the lent one stays as it is
                    let out = books.lock().unwrap().owners.iter().filter(|o| **o == Owner::Caller).count();
                    prop_assert!(out >= 1);
                    lent.copy(&mut frame, |_, _| Ok::<(), ()>(())).unwrap().unwrap();
                    let raw = frame.raw().unwrap();
                    for y in 0..raw.layout().planes()[0].rows {
                        let stride = raw.layout().planes()[0].stride;
                        for (x, byte) in raw.row(0, y).iter().enumerate() {
                            prop_assert_eq!(*byte, pattern(newest, y * stride + x));
                        }
                    }
                }
                Ok(None) => {}
                Err(_) => break,
            }
            let books = books.lock().unwrap();
            prop_assert!(books.violations.is_empty(), "{:?}", books.violations);
            let ours = books.owners.iter().filter(|o| **o == Owner::Caller).count();
            prop_assert!(ours == 0 || books.script.is_empty() || ours <= buffers as usize, "{ours}");
        }
        let counts = queue.counts();
        prop_assert!(counts.lent + counts.superseded + counts.damaged <= whole);
        drop(queue);
        let books = books.lock().unwrap();
        prop_assert!(books.violations.is_empty(), "{:?}", books.violations);
        prop_assert!(!books.streaming || books.stopped == 0);
        prop_assert_eq!(books.stopped, books.freed, "stopped and freed, or unplugged");
    }
}

fn open(script: Vec<Move>) -> (CaptureQueue<Simulated>, std::sync::Arc<std::sync::Mutex<super::simulated::Books>>) {
    let driver = Simulated::new(granted(b"YUYV", 4, 3, &[12]), 36, script);
    let books = driver.books();
    (CaptureQueue::open(driver, &WISH, 4, 0).unwrap(), books)
}

#[test]
fn the_newest_wins_and_every_loss_is_counted_by_its_cause() {
    use Filled::{Flagged, Short, Whole};
    let (mut queue, books) = open(vec![
        Move::Fill(vec![Whole, Whole, Whole]), // 0 1 2
        Move::Miss(5),                         // 3..7
        Move::Fill(vec![Flagged, Whole]),      // 8 9
        Move::Fill(vec![Short]),               // 10
        Move::Quiet,
    ]);
    assert_eq!(queue.newest(WAIT).unwrap().unwrap().number(), 2);
    assert_eq!(queue.newest(WAIT).unwrap().unwrap().number(), 9);
    assert!(queue.newest(WAIT).unwrap().is_none());
    let counts = queue.counts();
    assert_eq!((counts.lent, counts.superseded, counts.damaged, counts.missed), (2, 2, 2, 5));
    assert!(books.lock().unwrap().owners.iter().all(|owner| *owner == Owner::Driver), "all went back");
}

#[test]
fn a_lent_buffer_is_not_the_driver_s_until_it_comes_back() {
    let (mut queue, books) = open(vec![Move::Fill(vec![Filled::Whole])]);
    let lent = queue.newest(WAIT).unwrap().unwrap();
    assert_eq!(books.lock().unwrap().owners.iter().filter(|owner| **owner == Owner::Caller).count(), 1);
    drop(lent);
    assert_eq!(books.lock().unwrap().owners.iter().filter(|owner| **owner == Owner::Caller).count(), 0);
}

#[test]
fn a_wait_ends_at_its_deadline_even_if_only_damaged_pictures_come() {
    let (mut queue, books) = open(vec![Move::Fill(vec![Filled::Flagged]); 1000]);
    let before = books.lock().unwrap().now_us;
    assert!(queue.newest(WAIT).unwrap().is_none());
    assert!(books.lock().unwrap().now_us - before <= 200_000);
    let (mut queue, _) = open(vec![Move::Spurious; 1000]);
    assert!(queue.newest(WAIT).unwrap().is_none());
}

#[test]
fn what_breaks_the_stream_is_named() {
    let broken = |script| open(script).0.newest(WAIT).err().unwrap();
    assert!(matches!(broken(vec![Move::Broken]), QueueError::Call { call: "VIDIOC_DQBUF", .. }));
    assert!(matches!(broken(vec![Move::Wrong(0)]), QueueError::WrongIndex(4)));
    assert!(matches!(broken(vec![Move::Fault]), QueueError::Call { call: "poll", .. }));
    assert!(matches!(broken(vec![Move::Unplug]), QueueError::Call { .. }));
    // a picture that is at hand goes before the bad news
    let (mut queue, _) = open(vec![Move::RefuseQueue, Move::Fill(vec![Filled::Whole; 2])]);
    assert!(queue.newest(WAIT).unwrap().is_some());
    assert!(matches!(queue.newest(WAIT), Err(QueueError::Call { call: "VIDIOC_QBUF", .. })));
}

#[test]
fn what_was_granted_is_believed_as_far_as_it_fits_together() {
    let refused = |granted| {
        let driver = Simulated::new(granted, 4096, vec![]);
        let books = driver.books();
        let error = CaptureQueue::open(driver, &WISH, 4, 0).err().unwrap().to_string();
        assert_eq!(books.lock().unwrap().owners.len(), 0, "nothing stays allocated");
        error
    };
    assert!(refused(granted(b"H264", 4, 3, &[0])).contains("H264, which lapwing does not read"));
    assert!(refused(granted(b"YUYV", 0, 3, &[8])).contains("no pixels"));
    assert!(refused(granted(b"YUYV", 4, 3, &[7])).contains("cannot lie 7 bytes"));
    assert!(refused(granted(b"YUYV", 4, 3, &[u32::MAX])).contains("cannot lie"));
    assert!(refused(granted(b"NM12", 4, 4, &[4])).contains("1 planes"));
    assert!(refused(granted(b"YUYV", u32::MAX, u32::MAX, &[8])).contains("scale"));
    // no stride at all means packed rows
    let driver = Simulated::new(granted(b"YUYV", 4, 3, &[0]), 24, vec![Move::Fill(vec![Filled::Whole])]);
    assert!(CaptureQueue::open(driver, &WISH, 4, 0).unwrap().newest(WAIT).unwrap().is_some());
    // a stride that is longer than the buffers: every picture is short
    let driver = Simulated::new(granted(b"YUYV", 4, 3, &[800]), 24, vec![Move::Fill(vec![Filled::Whole])]);
    let mut queue = CaptureQueue::open(driver, &WISH, 4, 0).unwrap();
    assert!(queue.newest(WAIT).unwrap().is_none());
    assert_eq!(queue.counts().damaged, 1);
}

#[test]
fn a_stream_that_cannot_begin_is_cleaned_up() {
    let driver = Simulated::new(granted(b"YUYV", 4, 3, &[8]), 24, vec![]);
    let books = driver.books();
    books.lock().unwrap().start_fails = Some(rustix::io::Errno::INVAL);
    let error = CaptureQueue::open(driver, &WISH, 4, 0).err().unwrap();
    assert!(matches!(error, QueueError::Call { call: "VIDIOC_STREAMON", .. }));
    let books = books.lock().unwrap();
    assert_eq!((books.stopped, books.freed, books.violations.len()), (1, 1, 0));
}

#[test]
fn sequence_numbers_wrap_and_may_stand_still() {
    let (mut queue, books) =
        open(vec![Move::Miss(u32::MAX), Move::Fill(vec![Filled::Whole]), Move::Fill(vec![Filled::Whole])]);
    assert_eq!(queue.newest(WAIT).unwrap().unwrap().number(), 0);
    assert_eq!(queue.newest(WAIT).unwrap().unwrap().number(), 1);
    assert_eq!((queue.counts().missed, books.lock().unwrap().violations.len()), (0, 0));
}
