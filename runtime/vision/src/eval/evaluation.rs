//! What annotated pictures say of a detector.

use super::ap::{Claim, Found, Scorer};
use super::coco::Truth;
use super::group::Group;
use crate::detect::nms::iou;

/// IoUs of COCO's mean: 0.5, 0.55 … 0.95.
const IOUS: usize = 10;
/// Bins of scores, a tenth each.
const BINS: usize = 10;

/// Collects detections picture by picture and scores them at the end.
#[derive(Debug)]
pub struct Evaluation {
    /// By IoU; the first at 0.5.
    by_iou: Vec<Scorer>,
    /// At IoU 0.5, by part.
    by_group: Vec<(Group, Scorer)>,
}

/// Detections whose scores lie in one tenth.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bin {
    /// How many.
    pub detections: usize,
    /// Mean of their scores.
    pub score: f64,
    /// Share of them that are right at IoU 0.5.
    pub right: f64,
}

impl Evaluation {
    /// Of so many categories.
    pub fn new(categories: usize) -> Evaluation {
        let iou_min = |step: usize| 0.5 + 0.05 * step as f32;
        Evaluation {
            by_iou: (0..IOUS).map(|step| Scorer::new(categories, iou_min(step), Group::All)).collect(),
            by_group: Group::PARTS.map(|group| (group, Scorer::new(categories, iou_min(0), group))).into(),
        }
    }

    /// Adds a picture of `size` (width, height) pixels: its truths, and its detections, best first.
    pub fn add(&mut self, size: (u32, u32), truths: &[Truth], detections: &[Claim]) {
        self.add_by(size, truths, detections, &|at, truth| iou(&truths[truth].bounds, &detections[at].2));
    }

    /// As [`Evaluation::add`], where what overlaps is not the boxes: `overlap` is that of a detection and a truth of its
    /// category, by their places.
    pub fn add_by(
        &mut self,
        size: (u32, u32),
        truths: &[Truth],
        detections: &[Claim],
        overlap: &dyn Fn(usize, usize) -> f32,
    ) {
        // each scorer asks for all of them
        let of = |(at, claim): (usize, &Claim)| {
            let is_same = |truth: usize| truths[truth].category == claim.0;
            (0..truths.len()).map(|truth| if is_same(truth) { overlap(at, truth) } else { 0.0 }).collect()
        };
        let overlaps: Vec<Vec<f32>> = detections.iter().enumerate().map(of).collect();
        let groups = self.by_group.iter_mut().map(|(_, scorer)| scorer);
        let scorers = self.by_iou.iter_mut().chain(groups);
        scorers.for_each(|scorer| scorer.add(size, truths, detections, &|at, truth| overlaps[at][truth]));
    }

    /// Pictures added so far.
    pub fn pictures(&self) -> usize {
        self.by_iou[0].pictures()
    }

    /// By category, at IoU 0.5.
    pub fn all(&self) -> Vec<Found> {
        self.by_iou[0].found()
    }

    /// By category, the mean of the average precisions at IoU 0.5, 0.55 … 0.95.
    pub fn mean_over_ious(&self) -> Vec<Option<f64>> {
        let all: Vec<Vec<Found>> = self.by_iou.iter().map(Scorer::found).collect();
        (0..all[0].len())
            .map(|category| {
                let each: Option<Vec<f64>> = all.iter().map(|found| found[category].ap).collect();
                each.map(|each| each.iter().sum::<f64>() / IOUS as f64)
            })
            .collect()
    }

    /// For each of [`Group::PARTS`], by category: among truths of that part. Boxes outside it count neither for nor
    /// against.
    pub fn by_group(&self) -> impl Iterator<Item = (Group, Vec<Found>)> + '_ {
        self.by_group.iter().map(|(group, scorer)| (*group, scorer.found()))
    }

    /// For one category, (recall, precision) by falling score at IoU 0.5.
    pub fn curve(&self, category: usize) -> Vec<(f64, f64)> {
        self.by_iou[0].curve(category)
    }

    /// Whether scores are shares of what is right, by tenths of the score, over all categories that `counts`.
    pub fn calibration(&self, counts: impl Fn(usize) -> bool) -> [Bin; BINS] {
        let mut bins = [Bin::default(); BINS];
        for (score, right) in self.by_iou[0].claims(counts) {
            let bin = &mut bins[((f64::from(score) * BINS as f64) as usize).min(BINS - 1)];
            bin.detections += 1;
            bin.score += f64::from(score);
            bin.right += f64::from(u8::from(right));
        }
        for bin in bins.iter_mut().filter(|bin| bin.detections > 0) {
            bin.score /= bin.detections as f64;
            bin.right /= bin.detections as f64;
        }
        bins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(bounds: [f32; 4]) -> Truth {
        Truth { category: 0, bounds, ignore: false }
    }

    #[test]
    fn a_looser_box_counts_at_fewer_ious() {
        let mut evaluation = Evaluation::new(1);
        // an IoU of 0.7: right at 0.5, 0.55, 0.6, 0.65 and, with rounding, 0.7
        evaluation.add((400, 300), &[truth([100.0, 100.0, 200.0, 200.0])], &[(0, 0.9, [100.0, 100.0, 200.0, 171.0])]);
        assert_eq!(evaluation.all()[0], Found { truths: 1, ap: Some(1.0), recall: Some(1.0) });
        assert_eq!(evaluation.mean_over_ious(), [Some(0.5)]);
    }

    #[test]
    fn boxes_outside_a_part_count_neither_for_nor_against() {
        let mut evaluation = Evaluation::new(1);
        let (small, large) = ([100.0, 100.0, 110.0, 110.0], [50.0, 50.0, 250.0, 250.0]);
        // the large one is found, the small one is not, and one box is wrong and large
        let wrong = [140.0, 10.0, 390.0, 290.0];
        evaluation.add((400, 300), &[truth(small), truth(large)], &[(0, 0.9, wrong), (0, 0.8, large)]);
        let parts: Vec<(Group, Found)> = evaluation.by_group().map(|(group, found)| (group, found[0])).collect();
        assert_eq!(parts[0], (Group::Small, Found { truths: 1, ap: Some(0.0), recall: Some(0.0) }));
        assert_eq!(parts[1], (Group::Medium, Found::default()));
        assert_eq!(parts[2], (Group::Large, Found { truths: 1, ap: Some(0.5), recall: Some(1.0) }));
        assert_eq!(parts[3], (Group::Cut, Found::default()));
    }

    #[test]
    fn the_recall_ends_at_one_false_box_a_picture() {
        let mut evaluation = Evaluation::new(1);
        let (a, b) = ([0.0, 0.0, 50.0, 50.0], [100.0, 100.0, 150.0, 150.0]);
        let wrong = |x: f32| [x, 200.0, x + 50.0, 250.0];
        let detections = [(0, 0.9, wrong(0.0)), (0, 0.8, a), (0, 0.7, wrong(100.0)), (0, 0.6, b)];
        evaluation.add((400, 300), &[truth(a), truth(b)], &detections);
        assert_eq!(evaluation.all()[0].recall, Some(0.5), "the second false box comes before the second truth");
        evaluation.add((400, 300), &[], &[]);
        assert_eq!(evaluation.all()[0].recall, Some(1.0), "two pictures may have two");
    }

    #[test]
    fn bins_say_how_many_are_right() {
        let mut evaluation = Evaluation::new(2);
        let a = [0.0, 0.0, 50.0, 50.0];
        evaluation.add((400, 300), &[truth(a)], &[(0, 0.84, a), (0, 0.86, [200.0; 4]), (1, 0.1, a)]);
        let bins = evaluation.calibration(|category| category == 0);
        assert_eq!((bins[8].detections, bins[8].right), (2, 0.5));
        assert!((bins[8].score - 0.85).abs() < 1e-6);
        assert_eq!(bins.iter().map(|bin| bin.detections).sum::<usize>(), 2);
    }
}
