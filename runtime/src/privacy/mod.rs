//! What must not be kept is hidden before anything leaves the device.
//!
//! [`Redacted`] is proof: having one means that every region of a hidden class was covered, and a
//! sink takes nothing else. The covering is a coarse mosaic, which is safer than a blur because the
//! original cannot be estimated from five by five averages.

mod mosaic;

use crate::detect::Detection;
use crate::frame::Frame;

/// Each hidden box grows by this share of its size on every side, because detectors cut hair and feet.
const MARGIN: f32 = 0.12;

/// A value from which everything that must be hidden has been removed.
///
/// Only this module makes one, so a function that takes `Redacted<T>` cannot be handed a raw `T`:
///
/// ```compile_fail
/// use lapwing_runtime::frame::Frame;
/// use lapwing_runtime::privacy::Redacted;
/// fn sink(_: &Redacted<Frame>) {}
/// sink(&Frame::new());
/// ```
#[derive(Debug)]
pub struct Redacted<T> {
    inner: T,
}

impl<T> Redacted<T> {
    /// The value, to read.
    pub fn get(&self) -> &T {
        &self.inner
    }

    /// Draws on the value; what is drawn over a hidden region cannot bring it back.
    pub(crate) fn annotate(&mut self, draw: impl FnOnce(&mut T)) {
        draw(&mut self.inner);
    }

    /// Gives the buffer back for reuse.
    pub(crate) fn recycle(self) -> T {
        self.inner
    }
}

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

    fn hides(&self, detection: &Detection) -> bool {
        detection.score >= self.score_min && self.classes.get(usize::from(detection.class)).copied().unwrap_or(false)
    }

    /// Covers every hidden detection of `frame` with a mosaic. Returns the proof and the number of
    /// regions covered.
    pub fn redact(&self, mut frame: Frame, detections: &[Detection]) -> (Redacted<Frame>, usize) {
        let mut covered = 0;
        for detection in detections.iter().filter(|d| self.hides(d)) {
            mosaic::cover(&mut frame, grow(detection.bounds));
            covered += 1;
        }
        (Redacted { inner: frame }, covered)
    }
}

fn grow(b: [f32; 4]) -> [f32; 4] {
    let (dx, dy) = ((b[2] - b[0]) * MARGIN, (b[3] - b[1]) * MARGIN);
    [b[0] - dx, b[1] - dy, b[2] + dx, b[3] + dy]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_classes_only_and_with_a_margin() {
        let mut frame = Frame::new();
        frame.reset(100, 100).unwrap();
        for (i, byte) in frame.rgb_mut().iter_mut().enumerate() {
            *byte = (i * 31 % 251) as u8;
        }
        let before = frame.rgb().to_vec();
        let person = Detection { class: 1, score: 0.3, bounds: [40.0, 40.0, 60.0, 60.0] };
        let dog = Detection { class: 0, score: 0.9, bounds: [0.0, 0.0, 20.0, 20.0] };
        let (redacted, covered) = Hiding::new(&[1], 0.2).redact(frame, &[person, dog]);
        assert_eq!(covered, 1);
        let after = redacted.get().rgb();
        let same = |x: usize, y: usize| (0..3).all(|c| before[(y * 100 + x) * 3 + c] == after[(y * 100 + x) * 3 + c]);
        assert!(same(10, 10), "the dog is not hidden");
        let changed = (38..62).flat_map(|y| (38..62).map(move |x| (x, y))).filter(|&(x, y)| !same(x, y)).count();
        assert!(changed > 500, "{changed} of 576 pixels changed");
        assert!(same(36, 36));
    }
}
