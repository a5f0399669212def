//! What is hidden: classes, from which score up, and by how much more than the detector's box.

use super::region::Regions;
use lapwing_vision::detect::Detection;
use lapwing_vision::track::{Patience, Tracker};

/// Each hidden box grows by this share of its longer side on every side, because detectors cut hair, hands and feet.
/// The flow was trained on holes with this margin.
const MARGIN: f32 = 0.12;
/// No margin is smaller, in pixels.
const MARGIN_PX_MIN: f32 = 1.0;
/// Each missed frame adds this share of the longer side, up to [`MISSED_GROWTHS_MAX`] times.
const MISSED_GROWTH: f32 = 0.04;
/// Most missed frames that widen a region.
const MISSED_GROWTHS_MAX: u32 = 10;

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
            regions.add_box(grown(detection.bounds, 0), width, height, seed as u64);
        }
        regions
    }
}

/// A box with its margin, after so many frames in which the object was missed.
pub(super) fn grown(b: [f32; 4], missed: u32) -> [f32; 4] {
    let share = MARGIN + MISSED_GROWTH * missed.min(MISSED_GROWTHS_MAX) as f32;
    let by = (share * (b[2] - b[0]).max(b[3] - b[1])).max(MARGIN_PX_MIN);
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
            regions.add_box(grown(track.reach(now_us), track.missed), width, height, track.id);
        }
        // the tracker is bounded: a detection that it had no room for hides all the same
        for detection in detections.iter().filter(|d| self.hiding.hides(d)) {
            regions.add_box(grown(detection.bounds, 0), width, height, 0);
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
        Detection { class: PERSON, score: 0.3, bounds: [x, y, x + 30.0, y + 60.0] }
    }

    fn cover() -> Cover {
        Cover::new(Hiding::new(&[PERSON], 0.2), Patience { time_us: 500_000, frames: 1 })
    }

    #[test]
    fn hidden_classes_only_from_their_score_and_with_a_margin() {
        let hiding = Hiding::new(&[PERSON], 0.2);
        let seen = [
            Detection { class: 0, score: 0.9, bounds: [0.0, 0.0, 20.0, 20.0] },
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
            assert!(now.rect.holds(&last) && now.rect != last, "frame {frame}");
            last = now.rect;
        }
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

    proptest! {
        /// A walker whom the detector misses for up to four frames of 100 ms at any time is covered whole in each.
        #[test]
        fn a_walker_is_covered_whenever_the_detector_misses(
            vx in -14.0f32..14.0, vy in -14.0f32..14.0, misses in prop::collection::vec(any::<bool>(), 8..60),
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
