//! Which category a detector takes for which.

use super::coco::Truth;
use crate::detect::nms::iou;

/// IoU from which a box and a truth are of one object.
const IOU_MIN: f32 = 0.5;

/// Counts of (what is there, what was said), by category; the last of each is nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    counts: Vec<u32>,
    side: usize,
}

/// What was wrong in one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mistakes {
    /// Truths that nothing found.
    pub missed: u32,
    /// Boxes on nothing, or of another category than what is there.
    pub wrong: u32,
}

impl Confusion {
    /// Of so many categories.
    pub fn new(categories: usize) -> Confusion {
        let side = categories + 1;
        Confusion { counts: vec![0; side * side], side }
    }

    /// Adds a picture: its truths, and its detections at the operating point as (category, score, box), best first. Each
    /// takes the free truth that it overlaps most, of whatever category.
    pub fn add(&mut self, truths: &[Truth], detections: &[(usize, f32, [f32; 4])]) -> Mistakes {
        let nothing = self.side - 1;
        let mut taken = vec![false; truths.len()];
        let mut mistakes = Mistakes::default();
        for &(said, _, bounds) in detections {
            let overlaps = truths.iter().enumerate().map(|(at, truth)| (at, iou(&truth.bounds, &bounds)));
            let free = overlaps.filter(|&(at, overlap)| overlap >= IOU_MIN && (truths[at].ignore || !taken[at]));
            // of equal overlaps the category that was said
            let best = free.max_by(|a, b| {
                let same = |at: usize| truths[at].category == said;
                a.1.total_cmp(&b.1).then(same(a.0).cmp(&same(b.0)))
            });
            let there = match best {
                Some((at, _)) if truths[at].ignore => continue,
                Some((at, _)) => {
                    taken[at] = true;
                    truths[at].category
                }
                None => nothing,
            };
            mistakes.wrong += u32::from(there != said);
            self.count(there, said);
        }
        for (truth, _) in truths.iter().zip(taken).filter(|(truth, taken)| !truth.ignore && !taken) {
            mistakes.missed += 1;
            self.count(truth.category, nothing);
        }
        mistakes
    }

    fn count(&mut self, there: usize, said: usize) {
        if let Some(count) = self.counts.get_mut(there * self.side + said).filter(|_| said < self.side) {
            *count += 1;
        }
    }

    /// How often `there` was called `said`; either may be the number of categories, which is nothing.
    pub fn of(&self, there: usize, said: usize) -> u32 {
        self.counts.get(there * self.side + said).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_taken_for_another_missed_and_on_nothing() {
        let truth =
            |category: usize, x: f32, ignore: bool| Truth { category, bounds: [x, 0.0, x + 10.0, 10.0], ignore };
        let at = |x: f32| [x, 0.0, x + 10.0, 10.0];
        let truths = [truth(0, 0.0, false), truth(0, 50.0, false), truth(1, 100.0, false), truth(1, 150.0, true)];
        let said = [(0, 0.9, at(0.0)), (1, 0.8, at(50.0)), (1, 0.7, at(300.0)), (0, 0.6, at(150.0))];
        let mut confusion = Confusion::new(2);
        assert_eq!(confusion.add(&truths, &said), Mistakes { missed: 1, wrong: 2 });
        let all: Vec<u32> =
            (0..3).flat_map(|there| (0..3).map(move |said| (there, said))).map(|(t, s)| confusion.of(t, s)).collect();
        assert_eq!(all, [1, 1, 0, 0, 0, 1, 0, 1, 0]);
    }
}
