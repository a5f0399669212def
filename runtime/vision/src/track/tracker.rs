//! The tracker: which detection is which object.

use super::{Patience, TRACKS_MAX, Track};
use crate::detect::{Detection, nms::iou};

/// Least overlap (intersection over union) of a detection with the expected box of its track. SORT's own value; a
/// detection of somebody else that is taken for a missed person leaves that person uncovered.
const IOU_MIN: f32 = 0.3;
/// The velocity is an average over about so long, in seconds: boxes tremble from frame to frame, and what they seem to
/// move by in a short frame is mostly that.
const AVERAGE_S: f32 = 0.5;
/// Before an object was seen at all it is taken to have stood still for so long, in seconds: two boxes say little yet.
const STILL_S: f32 = 0.1;
/// No object is taken to move further in a second than this many times its longer side.
const SPEED_MAX: f32 = 2.0;

/// Follows objects; see the [module](super).
#[derive(Debug)]
pub struct Tracker {
    tracks: heapless::Vec<Track, TRACKS_MAX>,
    patience: Patience,
    last_id: u64,
    now_us: u64,
}

impl Tracker {
    /// A tracker that follows nothing yet.
    pub fn new(patience: Patience) -> Tracker {
        Tracker { tracks: heapless::Vec::new(), patience, last_id: 0, now_us: 0 }
    }

    /// The objects: those of the last frame, and those that are missed but not given up.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Forgets all objects: the scene has changed. Precision are not used again.
    pub fn forget(&mut self) {
        self.tracks.clear();
    }

    /// A frame was looked at, at `now_us`; `detections` are best first. Time that runs backwards is a new scene.
    pub fn update<'d>(&mut self, now_us: u64, detections: impl IntoIterator<Item = &'d Detection>) {
        if now_us < self.now_us {
            self.forget();
        }
        self.now_us = now_us;
        for track in &mut self.tracks {
            track.missed = track.missed.saturating_add(1); // until a detection says otherwise
        }
        for detection in detections {
            match self.closest(detection) {
                Some(at) => self.tracks[at].meet(detection, now_us),
                None => self.begin(detection),
            }
        }
        let Patience { time_us, frames } = self.patience;
        self.tracks.retain(|t| t.missed == 0 || t.missed <= frames || t.missed_us(now_us) <= time_us);
    }

    /// The track that has met no detection of this frame and whose expected box this one overlaps most.
    fn closest(&self, detection: &Detection) -> Option<usize> {
        let candidates = self.tracks.iter().enumerate().filter(|(_, t)| t.missed > 0 && t.class == detection.class);
        candidates
            .map(|(at, t)| (at, iou(&t.expected(self.now_us), &detection.bounds)))
            .filter(|(_, overlap)| *overlap >= IOU_MIN)
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(at, _)| at)
    }

    fn begin(&mut self, detection: &Detection) {
        if self.tracks.is_full() {
            let longest = self.tracks.iter().enumerate().filter(|(_, t)| t.missed > 0).max_by_key(|(_, t)| t.missed);
            let Some((at, _)) = longest else {
                return; // all of this frame, and surer than this one
            };
            self.tracks.swap_remove(at);
        }
        self.last_id += 1;
        let track = Track {
            id: self.last_id,
            class: detection.class,
            score: detection.score,
            bounds: detection.bounds,
            outline: detection.outline,
            velocity: [0.0; 2],
            first_us: self.now_us,
            seen_us: self.now_us,
            missed: 0,
            hits: 1,
        };
        let _ = self.tracks.push(track); // there is room
    }
}

impl Track {
    /// Takes a detection of this object. The gain of the velocity is beta of the alpha-beta filter, by time: that of a
    /// plain average while the track is young. Its alpha is 1, because a box that hides must hold what was detected, and
    /// not an average.
    fn meet(&mut self, detection: &Detection, now_us: u64) {
        let seconds = self.missed_us(now_us) as f32 / 1e6;
        if seconds > 0.0 {
            let b = detection.bounds;
            let expected = self.expected(now_us);
            let span = self.span_us() as f32 / 1e6;
            let gain = (1.0 - (-seconds / AVERAGE_S).exp()).max(seconds / (seconds + span + STILL_S));
            let speed_max = SPEED_MAX * (b[2] - b[0]).max(b[3] - b[1]).max(1.0);
            for axis in 0..2 {
                let off = ((b[axis] + b[axis + 2]) - (expected[axis] + expected[axis + 2])) / 2.0;
                self.velocity[axis] = (self.velocity[axis] + gain * off / seconds).clamp(-speed_max, speed_max);
            }
        }
        (self.score, self.bounds, self.outline) = (detection.score, detection.bounds, detection.outline);
        self.seen_us = now_us;
        self.missed = 0;
        self.hits = self.hits.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATIENCE: Patience = Patience { time_us: 500_000, frames: 2 };
    const FRAME_US: u64 = 100_000;

    fn at(class: u16, x: f32, y: f32) -> Detection {
        Detection::new(class, 0.5, [x, y, x + 40.0, y + 80.0])
    }

    #[test]
    fn a_walker_keeps_the_number_through_missed_frames() {
        let mut tracker = Tracker::new(PATIENCE);
        for step in 0..60u64 {
            let missed = step % 10 >= 6; // four of ten frames
            let seen = at(0, 10.0 + 12.0 * step as f32, 50.0);
            tracker.update(step * FRAME_US, (!missed).then_some(&seen));
            assert_eq!(tracker.tracks().len(), 1, "step {step}");
            let track = tracker.tracks()[0];
            assert_eq!(track.id, 1, "step {step}");
            if step > 20 {
                assert!((track.velocity[0] - 120.0).abs() < 15.0, "{track:?}");
                let reach = track.reach(step * FRAME_US);
                assert!(reach[0] <= seen.bounds[0] + 8.0 && reach[2] >= seen.bounds[2] - 8.0, "step {step}: {reach:?}");
            }
        }
    }

    #[test]
    fn a_track_ends_after_its_patience_and_its_number_with_it() {
        for (period_us, alive) in [(100_000, 5), (1_000_000, 2)] {
            let mut tracker = Tracker::new(PATIENCE);
            tracker.update(0, &[at(0, 0.0, 0.0)]);
            for frame in 1..10 {
                tracker.update(frame * period_us, &[]);
                assert_eq!(tracker.tracks().len(), usize::from(frame <= alive), "{period_us} us, frame {frame}");
            }
            tracker.update(10 * period_us, &[at(0, 0.0, 0.0)]);
            assert_eq!(tracker.tracks()[0].id, 2);
        }
    }

    #[test]
    fn two_who_pass_each_other_far_apart_are_not_exchanged() {
        let mut tracker = Tracker::new(PATIENCE);
        for step in 0..40u64 {
            let x = 10.0 * step as f32;
            tracker.update(step * FRAME_US, &[at(0, x, 0.0), at(0, 400.0 - x, 200.0)]);
            let ids: Vec<(u64, bool)> = tracker.tracks().iter().map(|t| (t.id, t.bounds[1] > 100.0)).collect();
            assert_eq!(ids, [(1, false), (2, true)]);
        }
    }

    #[test]
    fn classes_are_not_mixed_and_a_clock_that_runs_backwards_is_a_new_scene() {
        let mut tracker = Tracker::new(PATIENCE);
        tracker.update(5, &[at(0, 0.0, 0.0)]);
        tracker.update(6, &[at(1, 0.0, 0.0)]);
        assert_eq!(
            tracker.tracks().iter().map(|t| (t.id, t.class, t.missed)).collect::<Vec<_>>(),
            [(1, 0, 1), (2, 1, 0)]
        );
        tracker.update(4, &[at(0, 0.0, 0.0)]);
        assert_eq!(tracker.tracks().iter().map(|t| t.id).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_crowd_is_bounded_and_the_one_missed_longest_gives_way() {
        let mut tracker = Tracker::new(Patience { time_us: u64::MAX, frames: 0 });
        tracker.update(0, &[at(0, -500.0, 0.0)]);
        let crowd: Vec<Detection> = (0..300).map(|i| at(0, 100.0 * i as f32, 0.0)).collect();
        tracker.update(1, &crowd);
        assert_eq!(tracker.tracks().len(), TRACKS_MAX);
        assert!(tracker.tracks().iter().all(|t| t.id > 1 && t.missed == 0));
    }

    fn frames() -> impl Strategy<Value = Vec<(u64, Vec<Detection>)>> {
        let edge = prop_oneof![4 => 0.0f32..300.0, 1 => Just(f32::NAN), 1 => Just(-1e30f32), 1 => Just(f32::INFINITY)];
        let detection = (0u16..3, 0.0f32..1.0, prop::array::uniform4(edge))
            .prop_map(|(class, score, bounds)| Detection::new(class, score, bounds));
        prop::collection::vec((0u64..400_000, prop::collection::vec(detection, 0..12)), 1..30)
    }

    proptest! {
        /// Whatever comes: numbers are unique and never come back, every detection has a track of this frame while
        /// there is room, and nobody stays longer than the patience.
        #[test]
        fn the_books_balance(frames in frames()) {
            let mut tracker = Tracker::new(PATIENCE);
            let (mut now_us, mut highest) = (0, 0);
            let mut gone = std::collections::HashSet::new();
            for (later_us, detections) in frames {
                now_us += later_us;
                let before: Vec<u64> = tracker.tracks().iter().map(|t| t.id).collect();
                tracker.update(now_us, &detections);
                let ids: std::collections::HashSet<u64> = tracker.tracks().iter().map(|t| t.id).collect();
                prop_assert_eq!(ids.len(), tracker.tracks().len());
                prop_assert!(ids.iter().all(|id| before.contains(id) || *id > highest));
                prop_assert!(ids.is_disjoint(&gone));
                gone.extend(before.into_iter().filter(|id| !ids.contains(id)));
                highest = ids.iter().copied().max().unwrap_or(0).max(highest);
                prop_assert_eq!(tracker.tracks().iter().filter(|t| t.missed == 0).count(), detections.len());
                for track in tracker.tracks() {
                    prop_assert!(track.missed <= 2 || now_us - track.seen_us <= 500_000);
                    prop_assert!(track.velocity.iter().all(|v| !v.is_infinite()));
                }
            }
        }

        /// An object that moves less than a third of its size a frame and is missed for at most two frames is one.
        #[test]
        fn a_steady_object_has_one_number(
            vx in -12.0f32..12.0, vy in -20.0f32..20.0, seen in prop::collection::vec(any::<bool>(), 5..60),
        ) {
            let mut tracker = Tracker::new(PATIENCE);
            let mut dark = 0;
            for (step, seen) in seen.into_iter().enumerate() {
                let seen = seen || dark == 2 || step < 4;
                dark = if seen { 0 } else { dark + 1 };
                let object = at(0, 500.0 + vx * step as f32, 500.0 + vy * step as f32);
                tracker.update(step as u64 * FRAME_US, seen.then_some(&object));
                prop_assert_eq!(tracker.tracks().iter().map(|t| t.id).collect::<Vec<_>>(), vec![1]);
            }
        }
    }
}
