//! Greedy non-maximum suppression, one class at a time.

use super::Candidate;
use super::rotated::RotatedBox;

/// Intersection over union of two boxes `[x0, y0, x1, y1]`; 0 where both are empty.
pub fn iou(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let both = width * height;
    let either = area(a) + area(b) - both;
    if either > 0.0 { both / either } else { 0.0 }
}

/// Area of a box; 0 for a box turned inside out.
pub fn area(b: &[f32; 4]) -> f32 {
    (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0)
}

/// How much two candidates overlap: [`iou`], or for turned boxes [`RotatedBox::prob_iou`].
fn overlap(a: &Candidate, b: &Candidate) -> f32 {
    match a.angle == 0.0 && b.angle == 0.0 {
        true => iou(&a.bounds, &b.bounds),
        false => RotatedBox::new(a.bounds, a.angle).prob_iou(&RotatedBox::new(b.bounds, b.angle)),
    }
}

/// Keeps, in order, each candidate that overlaps no kept one of its class by more than `iou_max`.
///
/// `sorted` must be best first. At most `limit` survive; `kept` is emptied first and holds indices
/// into `sorted`.
pub fn suppress(sorted: &[Candidate], iou_max: f32, limit: usize, kept: &mut Vec<u16>) {
    kept.clear();
    for (index, candidate) in sorted.iter().enumerate().take(usize::from(u16::MAX)) {
        if kept.len() == limit {
            return;
        }
        let free = kept.iter().all(|&k| {
            let better = &sorted[usize::from(k)];
            // an overlap that is no number suppresses nobody
            let is_apart = |overlap: f32| overlap <= iou_max || overlap.is_nan();
            better.class != candidate.class || is_apart(overlap(better, candidate))
        });
        if free {
            kept.push(index as u16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate() -> impl Strategy<Value = Candidate> {
        (0u16..3, 0.0f32..1.0, 0.0f32..50.0, 0.0f32..50.0, 0.0f32..40.0, 0.0f32..40.0).prop_map(
            |(class, score, x, y, w, h)| Candidate {
                class,
                score,
                bounds: [x, y, x + w, y + h],
                ..Candidate::default()
            },
        )
    }

    proptest! {
        #[test]
        fn survivors_do_not_overlap_and_the_fallen_have_a_reason(mut list in prop::collection::vec(candidate(), 0..60)) {
            list.sort_by(|a, b| b.score.total_cmp(&a.score));
            let mut kept = Vec::new();
            suppress(&list, 0.5, 1000, &mut kept);
            for index in 0..list.len() {
                let rival = kept.iter().map(|&k| usize::from(k)).find(|&k| {
                    k < index && list[k].class == list[index].class && iou(&list[k].bounds, &list[index].bounds) > 0.5
                });
                prop_assert_eq!(rival.is_none(), kept.contains(&(index as u16)));
            }
        }
    }

    #[test]
    fn iou_of_known_boxes() {
        assert_eq!(iou(&[0.0, 0.0, 2.0, 2.0], &[1.0, 1.0, 3.0, 3.0]), 1.0 / 7.0);
        assert_eq!(iou(&[0.0; 4], &[0.0; 4]), 0.0);
    }

    #[test]
    fn turned_boxes_overlap_as_they_lie() {
        let thin = Candidate { score: 1.0, bounds: [0.0, 0.0, 100.0, 10.0], angle: 0.8, ..Candidate::default() };
        let kept = |angle: f32| {
            let mut kept = Vec::new();
            suppress(&[thin, Candidate { angle, score: 0.9, ..thin }], 0.5, 4, &mut kept);
            kept.len()
        };
        assert_eq!((kept(0.8), kept(0.85), kept(-0.8)), (1, 1, 2));
    }

    #[test]
    fn the_limit_holds() {
        let list: Vec<_> = (0..10)
            .map(|i| Candidate { class: i, score: 1.0, bounds: [0.0, 0.0, 1.0, 1.0], ..Candidate::default() })
            .collect();
        let mut kept = Vec::new();
        suppress(&list, 0.5, 4, &mut kept);
        assert_eq!(kept, [0, 1, 2, 3]);
    }
}
