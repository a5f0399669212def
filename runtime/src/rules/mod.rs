//! Which detections a rule watches for: classes, a score, a zone.
//!
//! A rule here only selects; when the output goes on and off is decided by the state machine in
//! `lapwing_firmware::trigger`.

mod zone;

pub use zone::{ZONE_POINTS_MAX, Zone, ZoneError};

use lapwing_vision::detect::Detection;

/// Most rules in one configuration.
pub const RULES_MAX: usize = 16;

/// What a rule looks at.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Name of the rule, shown to people.
    pub name: String,
    /// `true` at the index of each watched class.
    classes: Vec<bool>,
    score_min: f32,
    zone: Option<Zone>,
}

/// What a rule saw in one frame.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sighting {
    /// Detections that match.
    pub count: u16,
    /// The match with the best score.
    pub best: Option<Detection>,
}

impl Watch {
    /// Watches the class indices `classes` with at least `score_min`, in `zone` or everywhere.
    pub fn new(name: &str, classes: &[u16], score_min: f32, zone: Option<Zone>) -> Watch {
        let mut watched = vec![false; classes.iter().max().map_or(0, |&c| usize::from(c) + 1)];
        for &class in classes {
            watched[usize::from(class)] = true;
        }
        Watch { name: name.to_owned(), classes: watched, score_min, zone }
    }

    /// The matches among `detections` in a frame of `width` x `height` pixels.
    pub fn look(&self, detections: &[Detection], width: u32, height: u32) -> Sighting {
        let mut seen = Sighting::default();
        for detection in detections.iter().filter(|d| self.matches(d, width, height)) {
            seen.count = seen.count.saturating_add(1);
            if seen.best.is_none_or(|b| detection.score > b.score) {
                seen.best = Some(*detection);
            }
        }
        seen
    }

    fn matches(&self, detection: &Detection, width: u32, height: u32) -> bool {
        let class = self.classes.get(usize::from(detection.class)).copied().unwrap_or(false);
        class
            && detection.score >= self.score_min
            && self.zone.as_ref().is_none_or(|z| z.holds(&detection.bounds, width, height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(class: u16, score: f32, x: f32) -> Detection {
        Detection::new(class, score, [x, 0.0, x + 10.0, 50.0])
    }

    #[test]
    fn class_score_and_zone_select() {
        let left = Zone::new(&[[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]).unwrap();
        let watch = Watch::new("gate", &[1, 3], 0.5, Some(left));
        let seen = watch.look(
            &[at(1, 0.6, 10.0), at(3, 0.9, 20.0), at(3, 0.95, 80.0), at(1, 0.4, 0.0), at(2, 0.9, 0.0)],
            100,
            100,
        );
        assert_eq!(seen.count, 2);
        assert_eq!(seen.best, Some(at(3, 0.9, 20.0)));
    }
}
