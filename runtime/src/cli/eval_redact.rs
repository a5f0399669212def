//! `lapwing eval --redact`: are the people covered, and do the fills pass the second look?

use std::path::{Path, PathBuf};
use std::time::Instant;

use lapwing_camera::frame::Frame;
use lapwing_runtime::privacy::hidden::Hidden;
use lapwing_runtime::privacy::{Account, Rect, Regions};
use lapwing_vision::Model;
use lapwing_vision::eval::coco::{Annotations, Truth};
use lapwing_vision::eval::listing::Roll;
use lapwing_vision::eval::{Group, Shape, canonical_class};
use serde_json::{Map, Value, json};

use super::frames::{all_used, each_frame};
use super::out::{Failure, Out, line};
use super::progress;
use super::redact::Hider;

/// Someone of whom this share is hidden is covered.
const COVERED_MIN: f64 = 0.9;

/// Hides `classes` in every annotated picture as `lapwing redact` does, and counts.
pub fn run(
    model: &Model,
    images: &[PathBuf],
    annotations: &Path,
    classes: &[String],
    json: bool,
    out: &mut Out,
) -> Result<(), Failure> {
    let annotations = Annotations::read(annotations).map_err(Failure::call)?;
    let hidden: Vec<String> = classes.iter().map(|c| canonical_class(c)).collect();
    let mut tally = Tally {
        hider: Hider::of(model, classes, None, None)?,
        categories: annotations.categories.iter().map(|name| hidden.contains(&canonical_class(name))).collect(),
        annotations: &annotations,
        roll: Roll::new(&annotations.listing),
        map: Hidden::default(),
        pictures: 0,
        people: 0,
        covered: 0,
        parts: Group::PARTS.map(|group| (group, 0, 0)),
        total: Account::default(),
        times_ms: Vec::new(),
    };
    let bar = progress::bar(Some(annotations.listing.len() as u64), "redacting", false);
    let failures = each_frame(images, &mut |frame| {
        let done = tally.picture(frame);
        bar.set_position(tally.pictures);
        done.map(|()| true)
    })?;
    bar.finish_and_clear();
    tally.tell(json, failures, out)
}

struct Tally<'a> {
    hider: Hider,
    /// Which categories are hidden.
    categories: Vec<bool>,
    annotations: &'a Annotations,
    roll: Roll<'a>,
    map: Hidden,
    pictures: u64,
    /// Annotated boxes of hidden classes.
    people: u64,
    covered: u64,
    /// By size and for those at the edge: annotated, covered.
    parts: [(Group, u64, u64); 4],
    total: Account,
    /// Of pictures with something to hide: hiding it, in milliseconds a region.
    times_ms: Vec<f64>,
}

impl Tally<'_> {
    /// Redacts in place of the frame, which is as good as new afterwards.
    fn picture(&mut self, frame: &mut Frame) -> Result<(), String> {
        let Some(listed) = self.roll.meet(frame.name())? else { return Ok(()) };
        let truths = self.annotations.truths(listed);
        let (width, height) = (frame.width(), frame.height());
        let (detector, options) = self.hider.detector();
        let detections = detector.detect(frame, options).map_err(|error| error.to_string())?.to_vec();
        self.pictures += 1;
        let level = self.hider.level();
        let redactor = self.hider.redactor();
        let regions = redactor.hiding().regions(&detections, width, height);
        let start = Instant::now();
        let (redacted, account) = redactor.redact(std::mem::take(frame), &regions, level);
        let took_ms = start.elapsed().as_secs_f64() * 1e3;
        let trouble = redactor.take_trouble();
        if account.regions > 0 {
            self.times_ms.push(took_ms / account.regions as f64);
        }
        self.total.add(&account);
        *frame = redacted.recycle();
        let shapes = self.annotations.shapes(listed);
        let hidden = |t: &Truth| !t.ignore && self.categories.get(t.category) == Some(&true);
        for (truth, shape) in truths.iter().zip(shapes).filter(|(t, _)| hidden(t)) {
            let Some(rect) = Rect::touched(truth.bounds, width, height) else { continue };
            let shape = shape.as_ref().filter(|shape| shape.fits((width, height)));
            let is_covered = covered_share(&mut self.map, &regions, &rect, shape, (width, height)) >= COVERED_MIN;
            self.people += 1;
            self.covered += u64::from(is_covered);
            for (_, all, covered) in self.parts.iter_mut().filter(|part| part.0.holds(&truth.bounds, (width, height))) {
                *all += 1;
                *covered += u64::from(is_covered);
            }
        }
        trouble.map_or(Ok(()), Err)
    }

    fn tell(mut self, as_json: bool, failures: u64, out: &mut Out) -> Result<(), Failure> {
        if self.pictures == 0 {
            return Err(Failure::job(
                "none of the pictures is listed in the annotations; check that both belong together",
            ));
        }
        if self.people == 0 {
            return Err(Failure::job(
                "nobody to hide is annotated in these pictures, difficult and crowd boxes aside, so there is nothing to \
                measure by",
            ));
        }
        let total = &self.total;
        let fills = total.filled + total.fell_back;
        let percent = |part: u64, of: u64| (part as f64 / of.max(1) as f64 * 1e4).round() / 1e2;
        self.times_ms.sort_by(f64::total_cmp);
        let ms = (self.times_ms.get(self.times_ms.len() / 2).copied().unwrap_or(0.0) * 1e2).round() / 1e2;
        if as_json {
            let part = |&(group, all, covered): &(Group, u64, u64)| {
                let counts = json!({ "annotated": all, "covered": covered, "covered_percent": percent(covered, all) });
                (group.name().to_owned(), counts)
            };
            let parts: Map<String, Value> = self.parts.iter().map(part).collect();
            out.json(&json!({
                "parts": parts,
                "images": self.pictures, "annotated": self.people, "annotated_covered": self.covered,
                "covered_percent": percent(self.covered, self.people),
                "regions": total.regions, "fills": fills, "fills_passed": total.filled,
                "passed_percent": percent(total.filled, fills), "second_tries": total.second_tries,
                "mosaic": total.mosaic, "black": total.black, "no_surroundings": total.no_surroundings,
                "found": total.found, "found_late": total.found_late, "ms_median_a_region": ms,
            }))?;
        } else {
            line!(out, "{:>16} {} with {} annotated", "pictures", self.pictures, self.people)?;
            let covered = percent(self.covered, self.people);
            line!(out, "{:>16} {covered:6.2} %  of the annotated, for nine tenths of them at least", "covered")?;
            for (group, all, covered) in &self.parts {
                line!(out, "{:>16} {:6.2} %  of {all}", group.name(), percent(*covered, *all))?;
            }
            let passed = percent(total.filled, fills);
            line!(
                out,
                "{:>16} {passed:6.2} %  of {fills} fills pass the second look, {} at a second try, {ms:.1} ms a region",
                "filled",
                total.second_tries.saturating_sub(total.fell_back)
            )?;
            line!(
                out,
                "{:>16} {} mosaic, {} black, {} of them with too little around to fill from, {} found late",
                "not filled",
                total.mosaic,
                total.black,
                total.no_surroundings,
                total.found_late
            )?;
        }
        all_used(failures)
    }
}

/// The share of a rectangle that lies in regions, or of the shape in it.
fn covered_share(
    map: &mut Hidden,
    regions: &Regions,
    rect: &Rect,
    shape: Option<&Shape>,
    (width, height): (u32, u32),
) -> f64 {
    map.reset(width, height);
    for region in regions.as_slice() {
        map.set(region, true);
    }
    let mut inside = vec![true; rect.width() as usize];
    let (mut covered, mut all) = (0usize, 0usize);
    for y in rect.y0..rect.y1 {
        if let Some(shape) = shape {
            shape.row(y as f32 + 0.5, rect.x0 as f32, 1.0, &mut inside);
        }
        let pixels = map.row(y, rect.x0, rect.x1).iter().zip(&inside).filter(|(_, inside)| **inside);
        pixels.for_each(|(hidden, _)| (covered, all) = (covered + usize::from(*hidden), all + 1));
    }
    match (all, shape) {
        (0, Some(_)) => covered_share(map, regions, rect, None, (width, height)), // it lies between the pixels' centres
        _ => covered as f64 / all.max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_covered_share_counts_each_pixel_once() {
        let mut regions = Regions::default();
        regions.add_box([0.0, 0.0, 6.0, 10.0], 20, 10, 0);
        regions.add_box([3.0, 0.0, 8.0, 10.0], 20, 10, 1);
        let rect = Rect { x0: 4, y0: 0, x1: 12, y1: 10 };
        let share = |shape: Option<&Shape>| covered_share(&mut Hidden::default(), &regions, &rect, shape, (20, 10));
        assert_eq!(share(None), 0.5);
        // of an object its own pixels count
        let left = Shape::any(vec![vec![[4.0, 0.0], [8.0, 0.0], [8.0, 10.0], [4.0, 10.0]]]).unwrap();
        let thin = Shape::any(vec![vec![[7.1, 0.0], [7.2, 0.0], [7.2, 10.0], [7.1, 10.0]]]).unwrap();
        assert_eq!((share(Some(&left)), share(Some(&thin))), (1.0, 0.5));
    }
}
