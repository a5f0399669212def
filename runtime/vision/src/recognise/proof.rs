//! Whether a head decodes the last maps of a network as its file does.
//!
//! What the file does behind its last convolutions is run on random maps, and what comes out is read by the heads for
//! files that decode themselves. A head on the maps is right if it makes the same boxes of the same numbers.

use lapwing_engine::Manifest;
use lapwing_engine::manifest::HeadSpec;
use lapwing_quantize::onnx::{OnnxGraph, Values};

use super::anchors;
use super::hypothesis::Hypothesis;
use crate::head::{self, Candidate, Candidates, DetectOptions, Head, Labels, Outputs, sigmoid, softmax};
use crate::input::clip;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Proof {
    /// So many boxes are equal, the sides of all of them within so many pixels.
    Equal { boxes: usize, off_px: f32 },
    /// The file gives the maps themselves, of so many cells, or their probabilities.
    Maps { cells: usize },
    /// The file does nothing that could be compared.
    Nothing,
}

/// Boxes that are compared, and how many must be there.
const BOXES: usize = 200;
const BOXES_MIN: usize = 20;
/// Largest difference of two scores that are the same.
const SCORE_OFF_MAX: f32 = 1e-4;
/// Largest difference of two sides that are the same: in pixels, and as a share of the box.
const SIDE_OFF_MAX_PX: f32 = 0.02;
const SIDE_OFF_SHARE_MAX: f32 = 1e-3;
/// The same where the file rounds the constants of its decoding to eight bits.
const SIDE_OFF_ROUNDED_MAX_PX: f32 = 2.0;

/// How far apart the centres of boxes may lie on a picture of noise, in sides of the input.
const SPREAD_MAX: f32 = 8.0;

/// Families that read the output of a file that decodes itself.
const DECODED: [&str; 7] = ["yolov8", "yolov5-rows", "yolox", "end2end", "rtdetr", "yolov4-rows", "boxes-scores"];

/// Proves `hypothesis`, and measures its anchors where the file can tell them. `outputs` are the shapes of the file's own
/// outputs, where they are known.
///
/// # Errors
/// Why it is wrong.
pub(super) fn prove(
    graph: &OnnxGraph,
    manifest: &mut Manifest,
    hypothesis: &Hypothesis,
    input: [usize; 4],
    outputs: Option<&Vec<Vec<usize>>>,
) -> Result<Proof, String> {
    let at_own_outputs = hypothesis.outputs.is_empty();
    if at_own_outputs || hypothesis.family == "boxes-scores" {
        let shapes = if at_own_outputs { outputs.ok_or("its outputs are unknown")? } else { &hypothesis.shapes };
        let head = head::head(manifest, shapes)?;
        plausible(&graph.clone().ended_at(&hypothesis.outputs)?, manifest, &*head, input)?;
        return Ok(Proof::Nothing);
    }
    let shapes = &hypothesis.shapes;
    // one of the outputs may come from other convolutions, such as masks
    let behind = behind(graph, hypothesis, input)?;
    if manifest.head.family.starts_with("yolov") {
        anchors::measure(&behind, manifest, shapes);
    }
    let head = head::head(manifest, shapes)?;
    let maps = random_maps(shapes, manifest);
    let own_outputs = graph.outputs();
    if hypothesis.outputs.len() == own_outputs.len() && own_outputs.iter().all(|o| hypothesis.outputs.contains(&o.name))
    {
        return Ok(Proof::Maps { cells: cells_of(shapes) });
    }
    let maps_read = &maps[..hypothesis.decoded_maps()];
    let compare = |found: &[Values], manifest: &mut Manifest| {
        let is_rounded = graph.states_rounding();
        compared(found, &Decoded { head: &*head, maps: &maps, hypothesis, is_rounded }, manifest)
    };
    let unknown = match behind.clone().evaluate(maps_read) {
        Ok(found) => return compare(&found, manifest),
        Err(what) => what,
    };
    let mut refusal = None;
    // what chooses boxes in a way that is not known here is compared before it chooses
    for names in behind.before_choice() {
        if let Ok(found) = behind.clone().ended_at(&names).and_then(|before| before.evaluate(maps_read)) {
            match compare(&found, manifest) {
                Ok(proof) => return Ok(proof),
                Err(what) => refusal = Some(what),
            }
        }
    }
    match refusal {
        None if graph.is_batched() => Ok(Proof::Nothing),
        refusal => Err(refusal.unwrap_or(unknown)),
    }
}

/// What a head makes of maps, to be compared with what the file makes of them.
struct Decoded<'a> {
    head: &'a dyn Head,
    maps: &'a [Vec<f32>],
    hypothesis: &'a Hypothesis,
    /// Whether the file states rounding.
    is_rounded: bool,
}

/// Compares `found`, what the file makes of the maps.
///
/// # Errors
/// What is different.
fn compared(found: &[Values], decoded: &Decoded, manifest: &mut Manifest) -> Result<Proof, String> {
    let Decoded { head, maps, hypothesis, is_rounded } = *decoded;
    let shapes = &hypothesis.shapes;
    if manifest.head.family == "fastestv2" {
        return joined(found, maps, shapes)
            .ok_or_else(|| "what the file makes of these maps is not what Yolo-FastestV2 makes".to_owned());
    }
    // one map a stride: of anchors it comes whole, of classes and distances in two parts
    let in_parts = found.len() == 2 * maps.len();
    let fits = hypothesis.outputs.len() != hypothesis.strides.len() || in_parts == (manifest.head.family == "dfl");
    let as_maps = |maps: &[Vec<f32>]| unchanged(found, maps, shapes, manifest.classes.names.len());
    if fits && let Some(proof) = as_maps(maps).or_else(|| as_maps(&in_pixels(manifest, maps)?)) {
        return Ok(proof);
    }
    let found_shapes: Vec<Vec<usize>> = found.iter().map(|(shape, _)| shape.clone()).collect();
    let readers: Vec<(&str, Box<dyn Head>)> =
        DECODED.into_iter().filter_map(|family| Some((family, reader(manifest, family, &found_shapes)?))).collect();
    if readers.is_empty() {
        return Err("what the file makes of these maps has no form that is known".to_owned());
    }
    let own = best(head, &|index| maps.get(index).map(Vec::as_slice), BOXES * 4);
    let off_max = if is_rounded { SIDE_OFF_ROUNDED_MAX_PX } else { SIDE_OFF_MAX_PX };
    let mut off = "no head for its outputs".to_owned();
    for (family, reader) in readers {
        let read =
            |found: &[Values]| best(&*reader, &|index| found.get(index).map(|(_, values)| values.as_slice()), BOXES);
        let mut theirs = read(found);
        if family == "yolox" && same(&theirs, &own, off_max).is_err() {
            theirs = read(&with_probabilities(found)); // some files leave out the logistic function
        }
        if family == "yolov8" && same(&theirs, &own, off_max).is_err() {
            theirs = read(&with_centres(found)); // with a suppression behind them, Ultralytics' are corners
        }
        let mut proof = same(&theirs, &own, off_max);
        if family == "boxes-scores" && proof.is_err() {
            // MMDetection's are cut off at the picture's edges
            let clipped: Vec<Found> = own.iter().map(|found| found.clipped(manifest)).collect();
            proof = same(&theirs, &clipped, off_max);
        }
        match proof {
            Ok(proof) => {
                manifest.head.one_to_one |= family == "end2end" && chosen_by_score(&theirs, &own);
                return Ok(proof);
            }
            Err(what) => off = format!("read as `{family}`, {what}"),
        }
    }
    Err(off)
}

/// The graph behind the maps.
fn behind(graph: &OnnxGraph, hypothesis: &Hypothesis, input: [usize; 4]) -> Result<OnnxGraph, String> {
    let tensors = hypothesis.outputs.iter().cloned().zip(hypothesis.shapes.iter().cloned());
    let tensors: Vec<(String, Vec<usize>)> = tensors.take(hypothesis.decoded_maps()).collect();
    Ok(graph.clone().behind(&tensors, &input)?.without_stated_rounding())
}

/// Cells of maps (1, channels, h, w).
fn cells_of(shapes: &[Vec<usize>]) -> usize {
    shapes.iter().filter_map(|shape| Some(shape.get(2)? * shape.get(3)?)).sum()
}

fn sorted(values: &[f32]) -> Vec<f32> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f32::total_cmp);
    values
}

/// A file that gives the maps themselves, or probabilities of them, a row a cell or a plane a channel: each output holds
/// the values of one map. `None` if its outputs are others.
fn unchanged(found: &[Values], maps: &[Vec<f32>], shapes: &[Vec<usize>], classes: usize) -> Option<Proof> {
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= SCORE_OFF_MAX * (1.0 + a.abs()));
    // classes and distances of one map may be two outputs
    let halves = |(map, shape): (&'_ Vec<f32>, &Vec<usize>)| {
        let (first, rest) = map.split_at((classes * shape[2] * shape[3]).min(map.len()));
        [first.to_vec(), rest.to_vec()]
    };
    let parts: Vec<Vec<f32>> = match found.len() == 2 * maps.len() {
        true => maps.iter().zip(shapes).flat_map(halves).collect(),
        false => maps.to_vec(),
    };
    if found.len() != parts.len() {
        return None;
    }
    let mut left: Vec<Vec<f32>> = found.iter().map(|(_, values)| sorted(values)).collect();
    for part in &parts {
        let own = sorted(part);
        let probabilities: Vec<f32> = own.iter().copied().map(sigmoid).collect();
        let place = left
            .iter()
            .position(|other| other.len() == own.len() && (close(other, &own) || close(other, &probabilities)))?;
        left.swap_remove(place);
    }
    Some(Proof::Maps { cells: cells_of(shapes) })
}

/// A file that gives, for each stride, the three maps of Yolo-FastestV2 in one output: the logistic function of the first
/// two, and the softmax of the third over its channels. `None` if it gives something else.
fn joined(found: &[Values], maps: &[Vec<f32>], shapes: &[Vec<usize>]) -> Option<Proof> {
    let mut cells = 0;
    for ((_, values), (maps, shapes)) in found.iter().zip(maps.chunks_exact(3).zip(shapes.chunks_exact(3))) {
        let count = shapes[2][2] * shapes[2][3];
        let mut own: Vec<f32> = maps[..2].iter().flatten().copied().map(sigmoid).collect();
        for cell in 0..count {
            let logits = maps[2].iter().skip(cell).step_by(count).copied();
            let share = softmax(logits.clone());
            own.extend(logits.map(share));
        }
        let (values, own) = (sorted(values), sorted(&own));
        let is_same = values.len() == own.len() && values.iter().zip(&own).all(|(a, b)| (a - b).abs() <= SCORE_OFF_MAX);
        cells += is_same.then_some(count)?;
    }
    (found.len() * 3 == maps.len()).then_some(Proof::Maps { cells })
}

/// The logistic function of all but the first four values of each row.
fn with_probabilities(found: &[Values]) -> Vec<Values> {
    let gated = |(shape, values): &Values| {
        let columns = shape.last().copied().unwrap_or(1).max(1);
        let gate = |(at, v): (usize, &f32)| if at % columns < 4 { *v } else { sigmoid(*v) };
        (shape.clone(), values.iter().enumerate().map(gate).collect())
    };
    found.iter().map(gated).collect()
}

/// Centres and sizes in place of corners, the first four rows of (1, rows, boxes).
fn with_centres(found: &[Values]) -> Vec<Values> {
    let mut found = found.to_vec();
    for (shape, values) in &mut found {
        let boxes = shape.last().copied().unwrap_or(0);
        if values.len() < 4 * boxes {
            continue;
        }
        for at in 0..boxes {
            let corners = [0, 1, 2, 3].map(|row| values[row * boxes + at]);
            let [left, top, right, bottom] = corners;
            let centred = [(left + right) / 2.0, (top + bottom) / 2.0, right - left, bottom - top];
            centred.into_iter().enumerate().for_each(|(row, value)| values[row * boxes + at] = value);
        }
    }
    found
}

/// Whether boxes that a file decodes itself can be read as `head` would: on a picture of noise no score is above 1, and
/// centres lie all over the input.
fn plausible(graph: &OnnxGraph, manifest: &Manifest, head: &dyn Head, input: [usize; 4]) -> Result<(), String> {
    if manifest.head.family == "end2end" || manifest.head.family == "rtdetr" {
        return Ok(()); // what it chose is most often nothing
    }
    let noise = random_maps(&[input.to_vec()], manifest).remove(0);
    let picture: Vec<f32> = noise.iter().map(|v| (v + 6.0) / 9.0).collect();
    let found = graph.clone().with_input(&input).evaluate(&[picture])?;
    let options = DetectOptions { score_min: -1.0, labels: Labels::Best, ..DetectOptions::default() };
    let mut candidates = Candidates::default();
    head.decode(&|index| found.get(index).map(|(_, values)| values.as_slice()), &options, &mut candidates);
    if let Some(score) = candidates.excess() {
        return Err(format!("a score would be {score:.2}, and none is above 1: these are logits, or something else"));
    }
    let side = manifest.input.width.max(manifest.input.height) as f32;
    let is_corners = ["yolov4-rows", "boxes-scores"].contains(&manifest.head.family.as_str());
    let (all, turned) = (candidates.sorted(), |c: &&Candidate| c.bounds[2] < c.bounds[0] || c.bounds[3] < c.bounds[1]);
    if is_corners && all.iter().filter(turned).count() * 10 > all.len() {
        return Err("right edges would lie to the left of left ones: they are no corners".to_owned());
    }
    let lies_there = |low: f32, high: f32, side: u32| {
        let side = side as f32;
        (-side..2.0 * side).contains(&((low + high) / 2.0))
    };
    let (width, height) = (manifest.input.width, manifest.input.height);
    let is_there = |c: &&Candidate| {
        let [x0, y0, x1, y1] = c.bounds;
        lies_there(x0, x1, width) && lies_there(y0, y1, height)
    };
    if is_corners && all.iter().filter(is_there).count() * 20 < all.len() * 19 {
        return Err("most of its boxes would lie outside of the picture".to_owned());
    }
    let centres = all.iter().map(|c| (c.bounds[0] + c.bounds[2]) / 2.0);
    let (low, high) = centres.fold((f32::MAX, f32::MIN), |(low, high), x| (low.min(x), high.max(x)));
    if high - low < side / 2.0 {
        return Err(format!("its boxes would lie from {low:.1} to {high:.1} px of {side}: they are not in pixels"));
    }
    if high - low > side * SPREAD_MAX {
        return Err(format!(
            "its boxes would lie from {low:.1} to {high:.1} px of {side}: they are not shares of the input"
        ));
    }
    Ok(())
}

/// The head of `family` for outputs of these shapes, else as the manifest says; `None` if it cannot read them.
fn reader(manifest: &Manifest, family: &str, shapes: &[Vec<usize>]) -> Option<Box<dyn Head>> {
    let mut reading = manifest.clone();
    reading.head.family = family.to_owned();
    // what maps are decoded with is no business of a file that decodes itself
    reading.head.anchors.clear();
    reading.head.centre_scale.clear();
    head::head(&reading, shapes).ok()
}

/// The maps as RTMDet's exports give them, the distances in pixels; `None` for any other family.
fn in_pixels(manifest: &Manifest, maps: &[Vec<f32>]) -> Option<Vec<Vec<f32>>> {
    let HeadSpec { family, strides, .. } = &manifest.head;
    let distance: fn(f32) -> f32 = match family.as_str() {
        "rtmdet" => |raw| raw,
        "rtmdet-exp" => f32::exp,
        _ => return None,
    };
    let of = |(index, map): (usize, &Vec<f32>)| match strides.get(index / 2) {
        Some(&stride) if index % 2 == 1 => map.iter().map(|&raw| distance(raw) * stride as f32).collect(),
        _ => map.clone(),
    };
    Some(maps.iter().enumerate().map(of).collect())
}

/// Maps of numbers from -6 to 3, which decide scores and sides alike.
fn random_maps(shapes: &[Vec<usize>], manifest: &Manifest) -> Vec<Vec<f32>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ manifest.classes.names.len() as u64;
    let mut next = || {
        // xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016)
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let bits = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
        bits as f32 / (1u32 << 24) as f32 * 9.0 - 6.0
    };
    shapes.iter().map(|shape| (0..shape.iter().product()).map(|_| next()).collect()).collect()
}

/// The best boxes that a head makes of outputs, best first.
fn best<'a>(head: &dyn Head, outputs: Outputs<'_, 'a>, count: usize) -> Vec<Found> {
    let options = DetectOptions { score_min: 0.01, labels: Labels::All, ..DetectOptions::default() };
    let mut candidates = Candidates::default();
    head.decode(outputs, &options, &mut candidates);
    let found = |&candidate: &Candidate| {
        let mut carried = Vec::new();
        head.carried(outputs, candidate.cell, &mut carried);
        Found { candidate, carried }
    };
    candidates.sorted().iter().take(count).map(found).collect()
}

/// A box and what it has beside class and score.
struct Found {
    candidate: Candidate,
    carried: Vec<f32>,
}

impl Found {
    /// Its part within the input.
    fn clipped(&self, manifest: &Manifest) -> Found {
        let bounds = clip(self.candidate.bounds, (manifest.input.width, manifest.input.height));
        Found { candidate: Candidate { bounds, ..self.candidate }, carried: self.carried.clone() }
    }

    /// The greatest difference of two sides, or of what two boxes have beside them; infinite if one has more.
    fn off(&self, other: &Found) -> f32 {
        if self.carried.len() != other.carried.len() {
            return f32::INFINITY;
        }
        let sides = self.candidate.bounds.iter().zip(&other.candidate.bounds);
        let angles = (&self.candidate.angle, &other.candidate.angle);
        let pairs = sides.chain([angles]).chain(self.carried.iter().zip(&other.carried));
        // what is no number is far from everything
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, |off, one| if one.is_nan() { f32::INFINITY } else { off.max(one) })
    }
}

/// Each of `theirs` is among `own`, its sides and what it has beside them within `off_max_px`.
fn same(theirs: &[Found], own: &[Found], off_max_px: f32) -> Result<Proof, String> {
    if theirs.len() < BOXES_MIN {
        return Err(format!("its own decoding gives {} boxes of random numbers, too few to compare", theirs.len()));
    }
    let mut off_px = 0.0f32;
    for found in theirs {
        let candidate = &found.candidate;
        let close = |other: &&Found| {
            other.candidate.class == candidate.class && (other.candidate.score - candidate.score).abs() <= SCORE_OFF_MAX
        };
        let extent = candidate.bounds.iter().fold(1.0f32, |most, side| most.max(side.abs()));
        let nearest = own.iter().filter(close).map(|other| found.off(other)).min_by(f32::total_cmp);
        match nearest.filter(|off| *off <= off_max_px + SIDE_OFF_SHARE_MAX * extent) {
            Some(off) => off_px = off_px.max(off),
            None => {
                return Err(format!(
                    "its own decoding gives class {} with score {:.4} at {:?}, the head does not",
                    candidate.class, candidate.score, candidate.bounds
                ));
            }
        }
    }
    Ok(Proof::Equal { boxes: theirs.len(), off_px })
}

/// The best of both are the same: nothing was left out for overlapping.
fn chosen_by_score(theirs: &[Found], own: &[Found]) -> bool {
    theirs.iter().zip(own).all(|(a, b)| (a.candidate.score - b.candidate.score).abs() <= SCORE_OFF_MAX)
}
