//! What is hidden: classes, from which score up, and by how much more than the detector's box.

use super::region::{Region, Regions, ordered};
use lapwing_vision::detect::{Detection, Outline};
use lapwing_vision::track::{Patience, Track, Tracker};

/// Each hidden box grows by this share of its longer side on every side, because detectors cut hair, hands and feet.
/// The flow was trained on holes with this margin.
const MARGIN: f32 = 0.12;
/// No margin is smaller, in pixels.
const MARGIN_PX_MIN: f32 = 1.0;
/// An object that is missed adds this share of its longer side, on every side, for its box is a guess from then on. On
/// the eleven sequences of MOT15, at ten frames a second and with the detections that come with them, 93 % of those who
/// are missed for up to 0.8 s are covered, at 1.37 times the area of what is seen alone, which covers 70 % of them.
const GUESS: f32 = 0.03;
/// And each second in which it is missed this share more.
const GUESS_A_SECOND: f32 = 0.08;
/// No more than this share is added.
const GUESS_MAX: f32 = 0.15;

/// What is hidden stays so for at least this many frames in which it is missed, whatever time they take: slow boards and
/// replays see few frames in any time.
pub const MISSED_FRAMES_MIN: u32 = 2;

/// Which classes are hidden.
#[derive(Debug, Clone, Default)]
pub struct Hiding {
    /// `true` at the index of each hidden class.
    classes: Vec<bool>,
    /// Lowest score that hides; lower than a rule's, because a miss here cannot be undone.
    score_min: f32,
}

impl Hiding {
    /// Hides the class indices `classes` from `score_min` up.
    pub fn new(classes: &[u16], score_min: f32) -> Hiding {
        let mut hidden = vec![false; classes.iter().max().map_or(0, |&c| usize::from(c) + 1)];
        for &class in classes {
            hidden[usize::from(class)] = true;
        }
        Hiding { classes: hidden, score_min }
    }

    /// Lowest score that hides.
    pub fn score_min(&self) -> f32 {
        self.score_min
    }

    /// Whether a detection is to be hidden.
    pub fn hides(&self, detection: &Detection) -> bool {
        detection.score >= self.score_min && self.classes.get(usize::from(detection.class)).copied().unwrap_or(false)
    }

    /// The regions to hide in a frame of `width` x `height` pixels of which nothing is known but its detections.
    pub fn regions(&self, detections: &[Detection], width: u32, height: u32) -> Regions {
        let mut regions = Regions::default();
        for (seed, detection) in detections.iter().enumerate().filter(|(_, d)| self.hides(d)) {
            regions.add_object(detection.bounds, &detection.outline, width, height, seed as u64);
        }
        regions
    }
}

/// A box with its margin.
pub(super) fn grown(b: [f32; 4]) -> [f32; 4] {
    widened(b, margin_px(b, MARGIN))
}

/// A margin that is this share of the longer side of a box.
fn margin_px(b: [f32; 4], share: f32) -> f32 {
    (share * (b[2] - b[0]).abs().max((b[3] - b[1]).abs())).max(MARGIN_PX_MIN)
}

impl Regions {
    /// Adds the parts of a box that its object touches, with their margin.
    fn add_object(&mut self, bounds: [f32; 4], outline: &Outline, width: u32, height: u32, seed: u64) {
        if let Some(region) = Region::around(bounds, outline, margin_px(bounds, MARGIN), (width, height), seed) {
            self.add(region);
        }
    }
}

/// Where the object of a track that is missed can be, with a margin of its own size and not of the way that it may have gone.
fn reached(track: &Track, now_us: u64) -> [f32; 4] {
    let guess = (GUESS + GUESS_A_SECOND * track.missed_us(now_us) as f32 / 1e6).min(GUESS_MAX);
    widened(track.reach(now_us), margin_px(track.bounds, MARGIN + guess))
}

fn widened(b: [f32; 4], by: f32) -> [f32; 4] {
    let b = ordered(b);
    [b[0] - by, b[1] - by, b[2] + by, b[3] + by]
}

/// What is hidden in a sequence of frames: detections, and objects that the detector misses for a while.
///
/// It must be shown every frame that was looked at, also those that are not kept.
#[derive(Debug)]
pub struct Cover {
    hiding: Hiding,
    tracker: Tracker,
    frame_px: (u32, u32),
}

impl Cover {
    /// Covers what `hiding` names for `patience` longer than it is seen.
    pub fn new(hiding: Hiding, patience: Patience) -> Cover {
        Cover { hiding, tracker: Tracker::new(patience), frame_px: (0, 0) }
    }

    /// The regions of the next frame, taken at `now_us`, `width` x `height` pixels. A frame of another size is another
    /// scene.
    pub fn regions(&mut self, now_us: u64, detections: &[Detection], width: u32, height: u32) -> Regions {
        if self.frame_px != (width, height) {
            self.tracker.forget();
            self.frame_px = (width, height);
        }
        self.tracker.update(now_us, detections.iter().filter(|d| self.hiding.hides(d)));
        let mut regions = Regions::default();
        for track in self.tracker.tracks() {
            match track.missed {
                0 => regions.add_object(track.bounds, &track.outline, width, height, track.id),
                // where it is now is a guess, and how it stands is not known at all
                _ => regions.add_box(reached(track, now_us), width, height, track.id),
            }
        }
        // the tracker is bounded: a detection that it had no room for hides all the same
        for detection in detections.iter().filter(|d| self.hiding.hides(d)) {
            regions.add_object(detection.bounds, &detection.outline, width, height, 0);
        }
        regions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::region::Rect;
    use lapwing_vision::track::TRACKS_MAX;
    use proptest::prelude::*;

    const PERSON: u16 = 1;

    fn person(x: f32, y: f32) -> Detection {
        Detection::new(PERSON, 0.3, [x, y, x + 30.0, y + 60.0])
    }

    fn cover() -> Cover {
        Cover::new(Hiding::new(&[PERSON], 0.2), Patience { time_us: 500_000, frames: 1 })
    }

    #[test]
    fn hidden_classes_only_from_their_score_and_with_a_margin() {
        let hiding = Hiding::new(&[PERSON], 0.2);
        let seen = [
            Detection::new(0, 0.9, [0.0, 0.0, 20.0, 20.0]),
            Detection { score: 0.19, ..person(0.0, 0.0) },
            Detection { class: 9, ..person(0.0, 0.0) },
            Detection { bounds: [40.0, 40.0, 60.0, 90.0], ..person(0.0, 0.0) },
        ];
        let regions = hiding.regions(&seen, 100, 95);
        let rects: Vec<Rect> = regions.as_slice().iter().map(|r| r.rect).collect();
        assert_eq!(rects, [Rect { x0: 34, y0: 34, x1: 66, y1: 95 }]);
        assert!(Hiding::default().regions(&seen, 100, 95).as_slice().is_empty());
    }

    #[test]
    fn a_missed_person_stays_covered_and_a_gone_one_does_not() {
        let mut cover = cover();
        let first = cover.regions(0, &[person(50.0, 20.0)], 200, 100);
        let mut last = first.as_slice()[0].rect;
        for frame in 1..=5 {
            let regions = cover.regions(frame * 100_000, &[], 200, 100);
            let now = regions.as_slice()[0];
            assert_eq!((regions.as_slice().len(), now.seed), (1, 1));
            assert!(now.rect.holds(&last), "frame {frame}");
            last = now.rect;
        }
        assert_ne!(last, first.as_slice()[0].rect, "what is guessed for longer is guessed wider");
        assert!(cover.regions(600_000, &[], 200, 100).as_slice().is_empty());
    }

    #[test]
    fn another_size_is_another_scene() {
        let mut cover = cover();
        cover.regions(0, &[person(50.0, 20.0)], 200, 100);
        assert!(cover.regions(1, &[], 201, 100).as_slice().is_empty());
        assert!(cover.regions(2, &[], 200, 100).as_slice().is_empty());
    }

    #[test]
    fn a_crowd_larger_than_the_tracker_is_hidden_whole() {
        let crowd: Vec<Detection> = (0..300).map(|i| person(40.0 * (i % 20) as f32, 70.0 * (i / 20) as f32)).collect();
        assert!(crowd.len() > TRACKS_MAX);
        let regions = cover().regions(0, &crowd, 800, 1100);
        for detection in &crowd {
            let rect = Rect::touched(detection.bounds, 800, 1100).unwrap();
            assert!(regions.as_slice().iter().any(|r| r.rect.holds(&rect)));
        }
    }

    /// Repeatable random numbers in -1..1.
    fn trembling(seed: u64) -> impl FnMut() -> f32 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
        }
    }

    /// How much of a frame of 640 x 480 is covered, in the mean and at most, in `seconds` of six people who stand or walk
    /// before a detector that trembles, misses one frame of eight, and now and then sees somebody who is not there: by each
    /// frame alone, and by all of them. Whoever is missed must be covered.
    fn covered(fps: u64, walking: f32, patience: Patience) -> [f64; 4] {
        let (width, height) = (640, 480);
        let mut random = trembling(7 + fps);
        let mut cover = Cover::new(Hiding::new(&[PERSON], 0.2), patience);
        let hiding = Hiding::new(&[PERSON], 0.2);
        let (mut sums, mut most) = ([0.0, 0.0], [0.0f64, 0.0]);
        let frames = 30 * fps;
        for frame in 0..frames {
            let seconds = frame as f32 / fps as f32;
            let people: Vec<Detection> = (0..6)
                .map(|n| {
                    let way = (walking * seconds + 90.0 * n as f32) % 540.0;
                    let x = if n % 2 == 0 { 20.0 + way } else { 560.0 - way };
                    person(x, 20.0 + 75.0 * n as f32)
                })
                .collect();
            let mut seen = Vec::new();
            for person in &people {
                let tremble = [30.0, 60.0, 30.0, 60.0].map(|side| random() * 0.06 * side);
                let bounds = std::array::from_fn(|i| person.bounds[i] + tremble[i]);
                if random() > -0.75 {
                    seen.push(Detection { bounds, ..*person });
                }
            }
            if random() > 0.9 {
                seen.push(person(300.0 + 280.0 * random(), 200.0 + 180.0 * random()));
            }
            let regions =
                [hiding.regions(&seen, width, height), cover.regions(frame * 1_000_000 / fps, &seen, width, height)];
            for (at, regions) in regions.iter().enumerate() {
                let rects = regions.as_slice().iter().map(|region| region.rect);
                let share = crate::privacy::region::union_px(rects) as f64 / f64::from(width * height);
                (sums[at], most[at]) = (sums[at] + share, most[at].max(share));
            }
            // who comes in has not been seen yet
            let is_new = |n: usize| (walking * seconds + 90.0 * n as f32) % 540.0 < walking;
            for (_, person) in people.iter().enumerate().filter(|(n, _)| seconds > 1.0 && !is_new(*n)) {
                let whole = Rect::touched(person.bounds, width, height).unwrap();
                let share = regions[1].as_slice().iter().map(|r| r.rect.shared(&whole)).max().unwrap_or(0);
                assert!(share as f64 >= 0.9 * whole.area() as f64, "{fps} fps, {walking}: {seconds} s: {person:?}");
            }
        }
        [sums[0] / frames as f64, sums[1] / frames as f64, most[0], most[1]]
    }

    #[test]
    fn what_is_covered_stays_near_what_is_seen_at_any_rate() {
        let patience = Patience { time_us: 800_000, frames: 2 };
        for fps in [5, 10, 25, 60] {
            for walking in [0.0, 40.0] {
                let [alone, all, alone_most, all_most] = covered(fps, walking, patience);
                let told = format!("{fps} fps, {walking} px/s: {alone:.4} {all:.4}, {alone_most:.4} {all_most:.4}");
                // at 60 a second six of those who are not there are seen in each
                let share = if fps > 25 { 1.8 } else { 1.6 };
                assert!(all <= share * alone && all_most <= 2.0 * alone_most, "{told}");
            }
        }
    }

    #[test]
    fn one_glimpse_is_covered_where_it_was_for_as_long_as_asked() {
        let mut cover = Cover::new(Hiding::new(&[PERSON], 0.2), Patience { time_us: 2_000_000, frames: 2 });
        let glimpse = [person(50.0, 20.0)];
        let first = cover.regions(0, &glimpse, 200, 100).as_slice()[0].rect;
        let mut frames = 0;
        while let [region] = cover.regions((frames + 1) * 40_000, &[], 200, 100).as_slice() {
            frames += 1;
            assert!(region.rect.holds(&first) && region.rect.width() <= first.width() + 26, "{frames}: {region:?}");
        }
        assert_eq!(frames, 50, "two seconds");
    }

    /// Whoever was seen for long may be missed for as long as asked, and is not drawn out over the way that they may have
    /// gone since.
    #[test]
    fn a_walker_who_is_gone_is_not_drawn_out_without_end() {
        let mut cover = Cover::new(Hiding::new(&[PERSON], 0.2), Patience { time_us: 10_000_000, frames: 2 });
        for frame in 0..200u64 {
            cover.regions(frame * 100_000, &[person(10.0 + 4.0 * frame as f32, 20.0)], 4000, 100);
        }
        for frame in 200..299u64 {
            let regions = cover.regions(frame * 100_000, &[], 4000, 100);
            let rect = regions.as_slice()[0].rect;
            // 40 px in the second that it is moved on, and the margins
            assert!(rect.width() <= 30 + 40 + 4 + 2 * 26, "frame {frame}: {rect:?}");
        }
        assert!(cover.regions(30_100_000, &[], 4000, 100).as_slice().is_empty());
    }

    proptest! {
        /// Somebody who runs, 1.5 times his height a second each way, whom the detector misses for up to four frames of
        /// 100 ms at any time is covered whole in each.
        #[test]
        fn a_walker_is_covered_whenever_the_detector_misses(
            vx in -9.0f32..9.0, vy in -9.0f32..9.0, misses in prop::collection::vec(any::<bool>(), 8..60),
        ) {
            let mut cover = cover();
            let mut dark = 0;
            for (step, missed) in misses.into_iter().enumerate() {
                let missed = missed && dark < 4 && step > 3;
                dark = if missed { dark + 1 } else { 0 };
                let walker = person(900.0 + vx * step as f32, 900.0 + vy * step as f32);
                let seen: &[Detection] = if missed { &[] } else { &[walker] };
                let regions = cover.regions(step as u64 * 100_000, seen, 1900, 1900);
                let whole = Rect::touched(walker.bounds, 1900, 1900).unwrap();
                prop_assert!(regions.as_slice().iter().any(|r| r.rect.holds(&whole)), "step {}", step);
            }
        }
    }
}
