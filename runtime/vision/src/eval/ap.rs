//! Average precision at one IoU of the boxes of one group, all-point area.
//!
//! The protocol of PASCAL VOC since 2010 (Everingham et al., "The PASCAL Visual Object Classes
//! Challenge", IJCV 2010, section 4.2): detections of a class are taken best first; each claims the
//! truth it overlaps most; a truth is claimed once, a second claim is a false positive; claims of
//! ignored truths count for nothing. Precision is made monotone before the area is taken.

use super::coco::Truth;
use super::group::Group;

/// Average precision, and how much is found before the false boxes are more than the pictures, each in 0..=1; `None` where
/// no truth counts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Found {
    /// Truths that count.
    pub truths: usize,
    /// Average precision.
    pub ap: Option<f64>,
    /// Share of the truths that are found at one false box a picture.
    pub recall: Option<f64>,
}

/// A detection: its category, its score, its box.
pub type Claim = (usize, f32, [f32; 4]);

/// Collects detections picture by picture and scores them at the end.
#[derive(Debug)]
pub struct Scorer {
    /// IoU from which a detection finds a truth.
    iou_min: f32,
    group: Group,
    by_category: Vec<CategoryScore>,
    pictures: usize,
}

#[derive(Debug, Default, Clone)]
struct CategoryScore {
    /// Truths that count.
    truths: usize,
    /// (score, found a truth), claims of ignored truths left out.
    claims: Vec<(f32, bool)>,
}

impl CategoryScore {
    /// Its claims, the best first; equal ones in the order of the pictures.
    fn sorted(&self) -> Vec<(f32, bool)> {
        let mut claims = self.claims.clone();
        claims.sort_by(|a, b| b.0.total_cmp(&a.0));
        claims
    }
}

impl Scorer {
    /// A scorer for `categories` categories, of the boxes of `group`.
    pub fn new(categories: usize, iou_min: f32, group: Group) -> Scorer {
        Scorer { iou_min, group, by_category: vec![CategoryScore::default(); categories], pictures: 0 }
    }

    /// Adds a picture of `size` (width, height) pixels: its truths, and its detections as (category, score, box), best
    /// first. `overlap` is that of a detection and a truth, by their places. Truths outside the group are ignored, and so
    /// are detections outside it that find nothing.
    pub fn add(
        &mut self,
        size: (u32, u32),
        truths: &[Truth],
        detections: &[Claim],
        overlap: &dyn Fn(usize, usize) -> f32,
    ) {
        self.pictures += 1;
        let counts = |truth: &Truth| !truth.ignore && self.group.holds(&truth.bounds, size);
        for truth in truths.iter().filter(|t| counts(t)) {
            if let Some(category) = self.by_category.get_mut(truth.category) {
                category.truths += 1;
            }
        }
        let mut claimed = vec![false; truths.len()];
        for (place, &(category, score, bounds)) in detections.iter().enumerate() {
            let Some(into) = self.by_category.get_mut(category) else { continue };
            match best_overlap(truths, category, &|truth| overlap(place, truth), self.iou_min) {
                Some(at) if !counts(&truths[at]) => {}
                Some(at) => into.claims.push((score, !std::mem::replace(&mut claimed[at], true))),
                None if self.group.holds(&bounds, size) => into.claims.push((score, false)),
                None => {}
            }
        }
    }

    /// Pictures added so far.
    pub fn pictures(&self) -> usize {
        self.pictures
    }

    /// What is found of each category.
    pub fn found(&self) -> Vec<Found> {
        let of = |category: &CategoryScore| {
            let claims = category.sorted();
            let counts = category.truths > 0;
            Found {
                truths: category.truths,
                ap: counts.then(|| average_precision(&claims, category.truths)),
                recall: counts.then(|| recall_at(&claims, category.truths, self.pictures)),
            }
        };
        self.by_category.iter().map(of).collect()
    }

    /// (recall, precision) of a category by falling score.
    pub fn curve(&self, category: usize) -> Vec<(f64, f64)> {
        self.by_category.get(category).map_or_else(Vec::new, |score| curve(&score.sorted(), score.truths))
    }

    /// The claims (score, right) of the categories that `counts`.
    pub fn claims(&self, counts: impl Fn(usize) -> bool) -> impl Iterator<Item = (f32, bool)> {
        let used = self.by_category.iter().enumerate().filter(move |(category, _)| counts(*category));
        used.flat_map(|(_, score)| score.claims.iter().copied())
    }
}

/// The truth of `category` that is overlapped most, if by at least `iou_min`.
fn best_overlap(truths: &[Truth], category: usize, overlap: &dyn Fn(usize) -> f32, iou_min: f32) -> Option<usize> {
    let mut best = None;
    let mut best_iou = iou_min;
    for (at, _) in truths.iter().enumerate().filter(|(_, t)| t.category == category) {
        let overlap = overlap(at);
        if overlap > best_iou || (best.is_none() && overlap == best_iou) {
            (best, best_iou) = (Some(at), overlap);
        }
    }
    best
}

/// Share of the truths that `claims`, best first, find before more than `false_max` of them are wrong.
fn recall_at(claims: &[(f32, bool)], truths: usize, false_max: usize) -> f64 {
    let (mut found, mut wrong) = (0usize, 0usize);
    for &(_, hit) in claims {
        wrong += usize::from(!hit);
        if wrong > false_max {
            break;
        }
        found += usize::from(hit);
    }
    found as f64 / truths.max(1) as f64
}

/// (recall, precision) after each of `claims`, best first.
fn curve(claims: &[(f32, bool)], truths: usize) -> Vec<(f64, f64)> {
    let mut found = 0usize;
    let point = |(rank, &(_, hit)): (usize, &(f32, bool))| {
        found += usize::from(hit);
        (found as f64 / truths.max(1) as f64, found as f64 / (rank + 1) as f64)
    };
    claims.iter().enumerate().map(point).collect()
}

/// Area under the monotone precision-recall curve of `claims`, best first, over `truths` truths.
pub fn average_precision(claims: &[(f32, bool)], truths: usize) -> f64 {
    let curve = curve(claims, truths);
    let mut area = 0.0;
    let mut precision = 0.0f64;
    for (at, point) in curve.iter().enumerate().rev() {
        precision = precision.max(point.1);
        let before = if at == 0 { 0.0 } else { curve[at - 1].0 };
        area += (point.0 - before) * precision;
    }
    area
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::nms::iou;
    use proptest::prelude::*;

    fn truth(x: f32, ignore: bool) -> Truth {
        Truth { category: 0, bounds: [x, 0.0, x + 10.0, 10.0], ignore }
    }

    fn score(truths: &[Truth], detections: &[(usize, f32, [f32; 4])]) -> f64 {
        let mut scorer = Scorer::new(1, 0.5, Group::All);
        let overlap = |at: usize, truth: usize| iou(&truths[truth].bounds, &detections[at].2);
        scorer.add((1000, 1000), truths, detections, &overlap);
        scorer.found()[0].ap.unwrap_or(f64::NAN)
    }

    const AT_0: [f32; 4] = [0.0, 0.0, 10.0, 10.0];
    const FAR: [f32; 4] = [500.0, 0.0, 510.0, 10.0];

    #[test]
    fn worked_by_hand() {
        let two = [truth(0.0, false), truth(100.0, false)];
        assert_eq!(score(&two, &[(0, 0.9, AT_0)]), 0.5);
        // hit, miss, hit: precision 1, 1/2, 2/3
        let second = [100.0, 0.0, 110.0, 10.0];
        let ap = score(&two, &[(0, 0.9, AT_0), (0, 0.8, FAR), (0, 0.7, second)]);
        assert!((ap - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-12);
    }

    #[test]
    fn a_second_claim_is_wrong_and_an_ignored_truth_is_nothing() {
        assert_eq!(score(&[truth(0.0, false)], &[(0, 0.9, AT_0), (0, 0.8, AT_0)]), 1.0);
        let ap = score(
            &[truth(0.0, true), truth(100.0, false)],
            &[(0, 0.9, AT_0), (0, 0.8, AT_0), (0, 0.7, [100.0, 0.0, 110.0, 10.0])],
        );
        assert_eq!(ap, 1.0);
        assert_eq!(Scorer::new(1, 0.5, Group::All).found(), [Found::default()]);
    }

    /// The definition, slowly: for each truth found, the best precision at that recall or beyond.
    fn by_definition(claims: &[(f32, bool)], truths: usize) -> f64 {
        let precision = |n: usize| claims[..n].iter().filter(|c| c.1).count() as f64 / n as f64;
        (1..=claims.len())
            .filter(|&n| claims[n - 1].1)
            .map(|n| (n..=claims.len()).map(precision).fold(0.0, f64::max) / truths as f64)
            .sum()
    }

    proptest! {
        #[test]
        fn equals_the_definition(hits in prop::collection::vec(any::<bool>(), 1..40), extra in 0usize..5) {
            let claims: Vec<_> = hits.iter().map(|&h| (0.0, h)).collect();
            let truths = hits.iter().filter(|h| **h).count() + extra;
            prop_assume!(truths > 0);
            prop_assert!((average_precision(&claims, truths) - by_definition(&claims, truths)).abs() < 1e-12);
        }
    }
}
