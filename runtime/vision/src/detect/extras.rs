//! What the detections of one picture have beside class and score: key points, turned boxes, masks.

use lapwing_engine::manifest::Extra;

use super::detection::{DETECTIONS_MAX, Detection, KeyPoint};
use super::mask::Mask;
use super::outline::Outline;
use super::rotated::{RotatedBox, Turned};
use crate::head::{Candidate, Candidates, Prototypes};
use crate::input::Fitting;

/// The extras of one picture, with every buffer that they need.
pub(super) struct Extras {
    extra: Option<Extra>,
    prototypes: Option<Prototypes>,
    /// What the head gave: for each detection as many values.
    carried: Vec<f32>,
    /// Values for each detection.
    each: usize,
    /// (h, w, coefficients) of this picture.
    prototype_values: Vec<f32>,
    /// By detection.
    boxes: Vec<Candidate>,
    key_points: Vec<KeyPoint>,
    mask: Mask,
    fitting: Option<Fitting>,
}

/// Values of a key point as heads give it: x, y, visibility.
const POINT_VALUES: usize = 3;

impl Extras {
    /// Of a network whose boxes have `extra`, with room for as many as there may be.
    pub(super) fn new(extra: Option<Extra>, prototypes: Option<Prototypes>) -> Extras {
        let (each, points) = match extra {
            Some(Extra::Mask { coefficients }) => (coefficients, 0),
            Some(Extra::KeyPoints { count, .. }) => (count * POINT_VALUES, count),
            Some(Extra::Angle { .. }) | None => (0, 0),
        };
        let boxes = if extra.is_some() { DETECTIONS_MAX } else { 0 };
        Extras {
            extra,
            prototypes,
            carried: Vec::with_capacity(DETECTIONS_MAX * each),
            each,
            prototype_values: Vec::with_capacity(prototypes.map_or(0, |prototypes| prototypes.shape.elements())),
            boxes: Vec::with_capacity(boxes),
            key_points: Vec::with_capacity(DETECTIONS_MAX * points),
            mask: prototypes.as_ref().map_or_else(Mask::default, Mask::with_room),
            fitting: None,
        }
    }

    /// Forgets the last picture.
    pub(super) fn clear(&mut self) {
        self.carried.clear();
        self.prototype_values.clear();
        self.boxes.clear();
        self.key_points.clear();
    }

    /// Reads what the `kept` of the sorted candidates have: `carried` appends that of a cell, `prototypes` reads those of the
    /// picture.
    pub(super) fn read(
        &mut self,
        candidates: &Candidates,
        kept: &[u16],
        carried: impl Fn(u32, &mut Vec<f32>),
        prototypes: impl FnOnce(&Prototypes, &mut Vec<f32>),
    ) {
        if self.extra.is_none() || kept.is_empty() {
            return;
        }
        let list = candidates.as_slice();
        self.boxes.extend(kept.iter().map(|&place| list[usize::from(place)]));
        if self.each > 0 {
            self.boxes.iter().for_each(|candidate| carried(candidate.cell, &mut self.carried));
        }
        if let Some(found) = &self.prototypes {
            prototypes(found, &mut self.prototype_values);
        }
    }

    /// Whether all of it are numbers, and as many as there should be.
    pub(super) fn are_finite(&self) -> bool {
        let masks = match (&self.prototypes, self.boxes.is_empty()) {
            (Some(prototypes), false) => self.prototype_values.len() == prototypes.shape.elements(),
            _ => true,
        };
        let values = self.carried.iter().chain(&self.prototype_values);
        let corners = self.boxes.iter().map(|candidate| RotatedBox::new(candidate.bounds, candidate.angle).corners());
        let turned = match self.extra {
            Some(Extra::Angle { .. }) => corners.flatten().flatten().all(f32::is_finite),
            _ => true,
        };
        masks && turned && self.carried.len() == self.boxes.len() * self.each && values.copied().all(f32::is_finite)
    }

    /// The detection of the candidate that is detection `index`, with what it has beside its box in picture pixels.
    pub(super) fn detection(&mut self, index: usize, candidate: &Candidate, fitting: &Fitting) -> Detection {
        let mut made = Detection::new(candidate.class, candidate.score, fitting.to_picture(candidate.bounds));
        self.fitting = Some(*fitting);
        match self.extra {
            Some(Extra::Angle { .. }) => {
                if let Some(rotated) = self.rotated(index) {
                    made.bounds = fitting.clip(rotated.bounds());
                    made.outline = rotated.outline(made.bounds);
                }
            }
            Some(Extra::KeyPoints { count, .. }) => {
                let values = self.carried.get(index * self.each..).unwrap_or(&[]);
                let points = values.as_chunks::<POINT_VALUES>().0.iter().take(count);
                self.key_points.extend(
                    points.map(|&[x, y, visibility]| KeyPoint { at: fitting.point_to_picture([x, y]), visibility }),
                );
            }
            Some(Extra::Mask { .. }) => made.outline = self.outline(index),
            None => {}
        }
        made
    }

    /// The outline of the mask of detection `index`.
    fn outline(&mut self, index: usize) -> Outline {
        let mut mask = std::mem::take(&mut self.mask);
        let outline = self.fill(index, &mut mask).map_or(Outline::FULL, |()| mask.outline());
        self.mask = mask;
        outline
    }

    /// Makes the mask of detection `index`; `None` if it has none.
    fn fill(&self, index: usize, mask: &mut Mask) -> Option<()> {
        let (prototypes, candidate) = (self.prototypes.as_ref()?, self.boxes.get(index)?);
        let coefficients = self.carried.get(index * self.each..(index + 1) * self.each)?;
        mask.make(prototypes, &self.prototype_values, coefficients, candidate.bounds, self.fitting.as_ref()?);
        Some(())
    }

    /// See [`Detector::key_points`](super::Detector::key_points).
    pub(super) fn key_points(&self, index: usize) -> &[KeyPoint] {
        let count = self.each / POINT_VALUES;
        self.key_points.get(index * count..(index + 1) * count).unwrap_or(&[])
    }

    /// See [`Detector::rotated`](super::Detector::rotated).
    pub(super) fn rotated(&self, index: usize) -> Option<Turned> {
        let Some(Extra::Angle { .. }) = self.extra else { return None };
        let (candidate, fitting) = (self.boxes.get(index)?, self.fitting.as_ref()?);
        Some(RotatedBox::new(candidate.bounds, candidate.angle).to_picture(fitting))
    }

    /// See [`Detector::mask`](super::Detector::mask).
    pub(super) fn mask(&self, index: usize) -> Option<Mask> {
        let mut mask = Mask::default();
        self.fill(index, &mut mask)?;
        Some(mask)
    }
}
