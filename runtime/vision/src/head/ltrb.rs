//! Heads that give four distances from the cell's centre: left, top, right, bottom.
//!
//! For each stride two maps: class logits (1, classes, h, w) and raw distances (1, 4 n, h, w); or one that holds both,
//! the classes first. `score = sigmoid(logit)`; the box reaches from the point `((x + p), (y + p)) * stride` by
//! `distance * stride` to each side, p being 0.5, the middle of the cell, where nothing else is said; with `head.extra` a
//! third map for each stride holds what a box has beside them (1, values, h, w), and an angle turns the sides around the
//! point. The distance is
//!
//! | family | distance |
//! |---|---|
//! | `ltrb` | `exp(clamp(raw, -6, 5))`, n = 1: lapwing's own detector |
//! | `dfl` | for n = 1 `raw` itself, else the mean of 0 .. n-1 under the softmax of a side's n values (Li et al., "Generalized Focal Loss", arXiv:2006.04388): YOLOv8 and those after it, NanoDet, PicoDet |
//! | `rtmdet` | `raw`, p = 0: RTMDet-tiny and -s (Lyu et al., arXiv:2212.07784) |
//! | `rtmdet-exp` | `exp(clamp(raw, -6, 5))`, p = 0: the larger ones |

use super::candidates::{Candidate, Candidates};
use super::extra;
use super::family::{Family, Grid, Head, Optional, expect_shapes};
use super::maps::{CellHead, Map, OnMaps, raised};
use super::math::{logit, sigmoid};
use super::options::DetectOptions;
use super::prototypes::Prototypes;
use lapwing_engine::ir::Shape;
use lapwing_engine::manifest::{Extra, Manifest};

/// Exponentials of raw distances.
pub const FAMILY: Family = Family {
    name: "ltrb",
    head: |manifest, shapes| Ltrb::head(manifest, shapes, Distance::Exponential, MIDDLE),
    is_logit: |output| output.is_multiple_of(2),
    reads: &[Optional::Extra],
};

/// Distances that are linear, or the mean of a distribution.
pub const DFL: Family = Family {
    name: "dfl",
    head: |manifest, shapes| Ltrb::head(manifest, shapes, Distance::Mean { bins: bins(manifest, shapes)? }, MIDDLE),
    is_logit: |output| output.is_multiple_of(2),
    reads: &[Optional::Extra],
};

/// Distances that are linear, from the cell's corner.
pub const RTMDET: Family = Family {
    name: "rtmdet",
    head: |manifest, shapes| Ltrb::head(manifest, shapes, Distance::Mean { bins: 1 }, CORNER),
    is_logit: |output| output.is_multiple_of(2),
    reads: &[],
};

/// Exponentials of raw distances, from the cell's corner.
pub const RTMDET_EXP: Family = Family {
    name: "rtmdet-exp",
    head: |manifest, shapes| Ltrb::head(manifest, shapes, Distance::Exponential, CORNER),
    is_logit: |output| output.is_multiple_of(2),
    reads: &[],
};

/// Where in its cell a box's point lies, in cells.
const MIDDLE: f32 = 0.5;
const CORNER: f32 = 0.0;

/// Most values that a distance is the mean of.
const BINS_MAX: usize = 64;

/// How raw values become a distance in strides.
#[derive(Debug, Clone, Copy)]
enum Distance {
    Exponential,
    Mean { bins: usize },
}

/// Whether there is but one map for each stride.
fn are_joined(manifest: &Manifest, shapes: &[Vec<usize>]) -> bool {
    shapes.len() == manifest.head.strides.len() && manifest.head.extra.is_none()
}

/// Values for each side, by the channels of the first map of distances.
fn bins(manifest: &Manifest, shapes: &[Vec<usize>]) -> Result<usize, String> {
    let classes = manifest.classes.names.len();
    let channels = match shapes {
        [both, ..] if are_joined(manifest, shapes) => both.get(1).and_then(|c| c.checked_sub(classes)),
        [_, distances, ..] => distances.get(1).copied(),
        _ => None,
    };
    let bins = channels.filter(|c| c.is_multiple_of(4)).map(|channels| channels / 4);
    bins.filter(|bins| (1..=BINS_MAX).contains(bins)).ok_or_else(|| {
        format!(
            "its outputs have shapes {shapes:?}; head family `dfl` needs for each stride (1, {classes}, h, w) and \
             (1, 4 n, h, w) with n up to {BINS_MAX}, or both as one; correct `head.family`, `head.outputs` or `classes.names`"
        )
    })
}

/// Decoder of these families.
#[derive(Debug, Clone)]
struct Ltrb {
    classes: usize,
    grids: Vec<Grid>,
    distance: Distance,
    /// Where in its cell the point lies that boxes reach from.
    point: f32,
    /// Classes and distances of a stride are one map.
    joined: bool,
    extra: Option<Extra>,
    prototypes: Option<Prototypes>,
}

impl Ltrb {
    /// Checks the output shapes.
    fn head(
        manifest: &Manifest,
        shapes: &[Vec<usize>],
        distance: Distance,
        point: f32,
    ) -> Result<Box<dyn Head>, String> {
        let extra = manifest.head.extra;
        let prototypes = Prototypes::of(manifest, shapes)?;
        let head = OnMaps::new(Ltrb {
            classes: manifest.classes.names.len(),
            grids: Grid::all(manifest),
            distance,
            point,
            joined: matches!(distance, Distance::Mean { .. }) && are_joined(manifest, shapes),
            extra,
            prototypes,
        })?;
        expect_shapes(shapes, &head.expected(), &manifest.head.family)?;
        Ok(Box::new(head))
    }

    fn bins(&self) -> usize {
        match self.distance {
            Distance::Exponential => 1,
            Distance::Mean { bins } => bins,
        }
    }

    /// Maps for each stride.
    fn step(&self) -> usize {
        if self.joined { 1 } else { 2 + usize::from(self.extra.is_some()) }
    }

    /// The distance of one side, in strides, from its raw values.
    fn distance(&self, raw: impl Fn(usize) -> f32) -> f32 {
        match self.distance {
            Distance::Exponential => raw(0).clamp(-6.0, 5.0).exp(),
            Distance::Mean { bins: 1 } => raw(0),
            Distance::Mean { bins } => {
                let mut values = [0.0; BINS_MAX];
                let values = &mut values[..bins];
                values.iter_mut().enumerate().for_each(|(bin, value)| *value = raw(bin));
                let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let (mut sum, mut mean) = (0.0, 0.0);
                for (bin, value) in values.iter().enumerate() {
                    let weight = (value - greatest).exp();
                    sum += weight;
                    mean += weight * bin as f32;
                }
                mean / sum
            }
        }
    }
}

impl CellHead for Ltrb {
    fn maps(&self) -> Vec<Shape> {
        let sides = 4 * self.bins();
        let extra = self.extra.map(|extra| extra.channels());
        let of = |grid: &Grid| match self.joined {
            true => vec![grid.shape(self.classes + sides)],
            false => [self.classes, sides].into_iter().chain(extra).map(|channels| grid.shape(channels)).collect(),
        };
        self.grids.iter().flat_map(of).chain(self.prototypes.map(|prototypes| prototypes.shape)).collect()
    }

    fn cells<M: Map>(&self, maps: &[M], options: &DetectOptions, into: &mut Candidates) {
        let bins = self.bins();
        let step = self.step();
        let logits = maps.iter().step_by(step).take(self.grids.len());
        let logit_min = raised(logits, &(0..self.classes), logit(options.score_min));
        let mut first_cell = 0;
        for (index, &Grid { stride, width, height }) in self.grids.iter().enumerate() {
            let (logits, raw, first) = match self.joined {
                true => (&maps[index], &maps[index], self.classes),
                false => (&maps[step * index], &maps[step * index + 1], 0),
            };
            let unit = match self.extra {
                Some(Extra::Angle { unit }) => Some(unit),
                _ => None,
            };
            logits.above(0..self.classes, logit_min, &mut |y, x, _| {
                let distance = |side: usize| self.distance(|bin| raw.value(first + side * bins + bin, y, x)) * stride;
                let d: [f32; 4] = [distance(0), distance(1), distance(2), distance(3)];
                let [centre_x, centre_y] = [x, y].map(|cell| (cell as f32 + self.point) * stride);
                let angle = unit.map_or(0.0, |unit| extra::angle(unit, maps[step * index + 2].value(0, y, x)));
                let bounds = match unit {
                    None => [centre_x - d[0], centre_y - d[1], centre_x + d[2], centre_y + d[3]],
                    Some(_) => extra::turned([centre_x, centre_y], [d[0], d[1]], [d[2], d[3]], angle),
                };
                let cell = (first_cell + y * width + x) as u32;
                let logit = |class: usize| logits.value(class, y, x);
                options.labels.choose(self.classes, logit, |class, logit| {
                    if logit > logit_min {
                        into.push(Candidate { class: class as u16, score: sigmoid(logit), bounds, angle, cell });
                    }
                });
            });
            first_cell += width * height;
        }
    }

    fn carried<M: Map>(&self, maps: &[M], cell: u32, into: &mut Vec<f32>) {
        let (Some(extra), Some((index, grid, y, x))) = (self.extra, Grid::place(&self.grids, cell)) else { return };
        let Some(map) = maps.get(self.step() * index + 2) else { return };
        extra::of_cell(extra, |channel| map.value(channel, y, x), [x, y], grid.stride, into);
    }

    fn prototypes(&self) -> Option<Prototypes> {
        self.prototypes
    }
}

#[cfg(test)]
mod tests {
    use super::super::candidates::CANDIDATES_MAX;
    use super::super::options::Labels;
    use super::*;

    fn head(distance: Distance, joined: bool) -> OnMaps<Ltrb> {
        on(vec![Grid { stride: 8.0, width: 3, height: 2 }], distance, joined)
    }

    fn on(grids: Vec<Grid>, distance: Distance, joined: bool) -> OnMaps<Ltrb> {
        OnMaps::new(Ltrb { classes: 2, grids, distance, point: MIDDLE, joined, extra: None, prototypes: None }).unwrap()
    }

    fn options(labels: Labels) -> DetectOptions {
        DetectOptions { score_min: 0.3, labels, ..DetectOptions::default() }
    }

    #[test]
    fn a_cell_becomes_a_box_around_its_centre() {
        let mut logits = [-10.0; 12];
        logits[6 + 4] = 0.0; // class 1, cell (x 1, y 1)
        let raw = [0.0; 24]; // one stride to each side
        let mut found = Candidates::default();
        let outputs = |i: usize| Some(if i == 0 { &logits[..] } else { &raw[..] });
        Head::decode(&head(Distance::Exponential, false), &outputs, &options(Labels::Best), &mut found);
        let expected = Candidate { class: 1, score: 0.5, bounds: [4.0, 4.0, 20.0, 20.0], angle: 0.0, cell: 4 };
        assert_eq!(found.sorted(), [expected]);
    }

    #[test]
    fn distances_are_linear_or_the_mean_of_a_distribution() {
        for (bins, joined, expected) in [(1, false, 0.5), (4, false, 1.5), (4, true, 1.5)] {
            let mut values = vec![-10.0; 12];
            values[6 + 4] = 0.0;
            // even weights for all bins, or half a stride
            let raw = vec![0.5; 24 * bins];
            let outputs = match joined {
                true => vec![[values, raw].concat()],
                false => vec![values, raw],
            };
            let mut found = Candidates::default();
            let head = head(Distance::Mean { bins }, joined);
            Head::decode(&head, &|i| outputs.get(i).map(Vec::as_slice), &options(Labels::Best), &mut found);
            let reach = expected * 8.0;
            let bounds = [12.0 - reach, 12.0 - reach, 12.0 + reach, 12.0 + reach];
            assert_eq!(found.sorted(), [Candidate { class: 1, score: 0.5, bounds, angle: 0.0, cell: 4 }]);
        }
    }

    #[test]
    fn all_labels_of_a_cell_or_the_best() {
        let logits = [1.0; 12];
        let raw = [f32::INFINITY; 24]; // clamped, never infinite
        for (labels, count) in [(Labels::All, 12), (Labels::Best, 6)] {
            let mut found = Candidates::default();
            let outputs = |i: usize| Some(if i == 0 { &logits[..] } else { &raw[..] });
            Head::decode(&head(Distance::Exponential, false), &outputs, &options(labels), &mut found);
            assert_eq!(found.sorted().len(), count);
        }
    }

    /// Of more cells than are kept the best are: those without a place among them are passed over before their boxes are
    /// made.
    #[test]
    fn of_a_flood_the_best_are_kept() {
        let (width, height) = (100, 60);
        let cells = width * height;
        let mut state = 7u32;
        let mut next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 * 14.0 - 9.0
        };
        for coarse in [false, true] {
            let logits: Vec<f32> = (0..2 * cells).map(&mut next).map(|v| if coarse { v.round() } else { v }).collect();
            let raw = vec![1.0; 4 * cells];
            let grids = vec![Grid { stride: 8.0, width, height }];
            let head = on(grids, Distance::Exponential, false);
            for labels in [Labels::Best, Labels::All] {
                let mut found = Candidates::default();
                let outputs = |i: usize| Some(if i == 0 { &logits[..] } else { &raw[..] });
                Head::decode(&head, &outputs, &DetectOptions { score_min: 0.0, ..options(labels) }, &mut found);
                let mut expected: Vec<f32> = match labels {
                    Labels::Best => (0..cells).map(|cell| logits[cell].max(logits[cells + cell])).collect(),
                    Labels::All => logits.clone(),
                };
                expected.sort_by(|a, b| b.total_cmp(a));
                let expected: Vec<f32> = expected.into_iter().take(CANDIDATES_MAX).map(sigmoid).collect();
                let scores: Vec<f32> = found.sorted().iter().map(|candidate| candidate.score).collect();
                assert_eq!(scores, expected, "{labels:?} {coarse}");
            }
        }
    }
}
