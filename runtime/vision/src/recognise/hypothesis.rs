//! A head that could read a network's last maps or its outputs, by their channels and shapes alone.

use std::collections::BTreeSet;

use lapwing_engine::manifest::{Colour, Extra, Fit, InputSpec, Resize};

use super::scales::{LastMap, Scale, Scales};
use crate::head::{ANCHORS_FASTESTV2, ANCHORS_YOLOV2, ANCHORS_YOLOV5, FACE_POINTS};

/// How pictures are prepared where a family is at home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Convention {
    /// RGB, 0 to 1, centred letterbox of grey 114, bilinear (OpenCV): Ultralytics and what came from it.
    Ultralytics,
    /// BGR, 0 to 255, letterbox at the top left: Megvii.
    Megvii,
    /// BGR, less ImageNet's means and by its deviations, stretched: NanoDet, PicoDet.
    Nanodet,
    /// BGR, 0 to 255, letterbox of black at the top left: OpenCV's YuNet.
    Yunet,
    /// BGR, less ImageNet's means and by its deviations, letterbox at the top left: MMDetection's RTMDet.
    Rtmdet,
    /// RGB, 0 to 1, stretched: RT-DETR, YOLOv4.
    Stretched,
    /// BGR, 0 to 1, stretched: Yolo-FastestV2.
    StretchedBgr,
    /// RGB, 0 to 1, the square in the middle, area average: Ultralytics' classifiers.
    UltralyticsCrop,
    /// RGB, less ImageNet's means and by its deviations, the square in the middle: most other classifiers.
    ImageNet,
}

impl Convention {
    /// Sets what it says of the input; its size and order stay.
    pub(super) fn apply(self, input: &mut InputSpec) {
        match self {
            Convention::Ultralytics => {}
            Convention::Megvii => {
                input.colour = Colour::Bgr;
                input.scale = [1.0; 3];
                input.fit = Fit::Letterbox;
            }
            Convention::Yunet => {
                Convention::Megvii.apply(input);
                input.pad = 0;
            }
            Convention::Nanodet => {
                input.colour = Colour::Bgr;
                input.mean = [103.53, 116.28, 123.675];
                input.scale = [1.0 / 57.375, 1.0 / 57.12, 1.0 / 58.395];
                input.fit = Fit::Stretch;
            }
            Convention::Rtmdet => {
                Convention::Nanodet.apply(input);
                input.fit = Fit::Letterbox;
            }
            Convention::Stretched => input.fit = Fit::Stretch,
            Convention::StretchedBgr => (input.fit, input.colour) = (Fit::Stretch, Colour::Bgr),
            Convention::UltralyticsCrop | Convention::ImageNet => {
                (input.fit, input.resize) = (Fit::Crop, Resize::Area);
                if self == Convention::ImageNet {
                    input.mean = [123.675, 116.28, 103.53];
                    input.scale = [1.0 / 58.395, 1.0 / 57.12, 1.0 / 57.375];
                }
            }
        }
    }

    /// Of networks that tell what the whole picture is.
    pub(super) fn is_classifier(self) -> bool {
        matches!(self, Convention::UltralyticsCrop | Convention::ImageNet)
    }
}

/// Names and shapes of the boxes and scores that a non-maximum suppression in a file reads.
pub(super) type Suppressed = ([String; 2], [Vec<usize>; 2]);

/// A guess.
#[derive(Debug, Clone)]
pub(super) struct Hypothesis {
    /// Name of the family that would read the outputs.
    pub family: &'static str,
    /// Where the graph would end; empty: at its own outputs.
    pub outputs: Vec<String>,
    /// Shapes of these tensors.
    pub shapes: Vec<Vec<usize>>,
    /// Strides of the maps.
    pub strides: Vec<u32>,
    /// Number of classes.
    pub classes: usize,
    /// Anchors for each stride, if the family has any.
    pub anchors: Vec<Vec<[f32; 2]>>,
    /// How far around their cells centres may lie, for each stride, if the family has that.
    pub centre_scale: Vec<f32>,
    /// What was seen, for people.
    pub what: String,
    /// What is taken for granted where the file cannot prove it.
    pub assumed: Option<&'static str>,
    /// How pictures are prepared.
    pub convention: Convention,
    /// What each box has beside class and score.
    pub extra: Option<Extra>,
}

/// What stands for anchors, and for how far centres may lie, until they are measured.
const UNKNOWN_ANCHOR: [f32; 2] = [1.0, 1.0];
const UNKNOWN_SCALE: f32 = 1.0;
const DEFAULT_STRIDES: [u32; 3] = [8, 16, 32];
/// Values that a side of NanoDet's and PicoDet's boxes has.
const NANODET_BINS: usize = 8;
/// Numbers of anchors that networks have at a cell.
const ANCHOR_COUNTS: [usize; 4] = [3, 5, 2, 1];
/// Most channels of classes that are tried.
const CLASSES_MAX: usize = 4096;
/// Most guesses; each is proved on the file.
const HYPOTHESES_MAX: usize = 24;

impl Hypothesis {
    /// All guesses, the likeliest first: what ends at the last convolutions goes before what decodes itself. `suppressed` are
    /// the names and shapes of what a non-maximum suppression in the file reads.
    pub(super) fn all(
        scales: Option<&Scales>,
        outputs: Option<&Vec<Vec<usize>>>,
        suppressed: Option<Suppressed>,
        classes: Option<usize>,
        exported_head: Option<&str>,
        extras: &Extras,
    ) -> Vec<Hypothesis> {
        let mut all = Vec::new();
        if let Some(scales) = scales {
            for &extra in &extras.kinds {
                distances(&scales.0, classes, Some(extra), &mut all);
            }
            for made in &mut all {
                made.outputs.extend(extras.prototypes.iter().map(|(name, _)| name.clone()));
                made.shapes.extend(extras.prototypes.iter().map(|(_, shape)| shape.clone()));
            }
            distances(&scales.0, classes, None, &mut all);
            from_corners(scales, &mut all);
            faces(&scales.0, classes, &mut all);
            objectness(&scales.0, classes, &mut all);
            shared_classes(&scales.0, classes, &mut all);
            anchors(&scales.0, classes, &mut all);
            cells(&scales.0, classes, &mut all);
        }
        if let Some(outputs) = outputs {
            rows(outputs, classes, exported_head.is_some_and(|head| head.contains("RTDETR")), extras, &mut all);
        }
        if let Some((outputs, shapes)) = suppressed
            && let [&[1, rows, 4], &[1, count, scored]] = shapes.each_ref().map(Vec::as_slice)
            && rows == scored
        {
            let made = Hypothesis::on_outputs("boxes-scores", count);
            let (outputs, shapes, convention) = (outputs.to_vec(), shapes.to_vec(), Convention::Rtmdet);
            let what = "what its non-maximum suppression reads".to_owned();
            let assumed = Some("sides: left, top, right, bottom in pixels of the input; look at a picture");
            all.push(Hypothesis { outputs, shapes, convention, what, assumed, ..made });
        }
        if extras.is_needed {
            all.retain(|hypothesis| hypothesis.extra.is_some());
        }
        all.truncate(HYPOTHESES_MAX);
        all
    }

    /// Whether it goes for itself where nothing proves one: on maps, and no other meaning of the maps of another one.
    pub(super) fn is_first(&self) -> bool {
        !self.outputs.is_empty() && self.convention != Convention::Rtmdet
    }

    /// Whether its head lacks numbers that only the file's own decoding or a manifest can tell; `anchors` and `centre_scale`
    /// say which of them a manifest tells.
    pub(super) fn lacks_numbers(&self, anchors: bool, centre_scale: bool) -> bool {
        let unknown = self.anchors.iter().flatten().any(|anchor| *anchor == UNKNOWN_ANCHOR);
        unknown && !anchors || !self.centre_scale.is_empty() && !centre_scale
    }

    /// The outputs that are decoded: prototypes, the last one, are not.
    pub(super) fn decoded_maps(&self) -> usize {
        self.outputs.len() - usize::from(self.extra.is_some_and(|extra| extra.has_prototypes()))
    }

    fn on_maps(
        family: &'static str,
        scales: &[&Scale],
        maps: Vec<&LastMap>,
        classes: usize,
        what: String,
    ) -> Hypothesis {
        Hypothesis {
            family,
            shapes: maps.iter().map(|map| map.shape()).collect(),
            outputs: maps.into_iter().map(|map| map.name.clone()).collect(),
            strides: scales.iter().map(|scale| scale.stride).collect(),
            classes,
            anchors: Vec::new(),
            centre_scale: Vec::new(),
            what,
            assumed: None,
            convention: Convention::Ultralytics,
            extra: None,
        }
    }
}

impl Hypothesis {
    /// Of a file that decodes its boxes itself.
    pub(super) fn on_outputs(family: &'static str, classes: usize) -> Hypothesis {
        let strides = DEFAULT_STRIDES.to_vec();
        Hypothesis { strides, ..Hypothesis::on_maps(family, &[], Vec::new(), classes, String::new()) }
    }
}

/// The grids on which each of `channels` stands on a map of its own, with these maps in that order; `last` takes the
/// later one where two have as many channels.
fn chosen<'a>(scales: &'a [Scale], channels: &[usize], last: bool) -> Option<(Vec<&'a Scale>, Vec<&'a LastMap>)> {
    let (mut grids, mut maps) = (Vec::new(), Vec::new());
    for scale in scales {
        let mut taken: Vec<usize> = Vec::new();
        for &wanted in channels {
            let fits = |index: &usize| scale.maps[*index].channels == wanted && !taken.contains(index);
            let mut indices = 0..scale.maps.len();
            let found = if last { indices.rfind(fits) } else { indices.find(fits) };
            let Some(found) = found else { break };
            taken.push(found);
        }
        if taken.len() == channels.len() {
            grids.push(scale);
            maps.extend(taken.into_iter().map(|index| &scale.maps[index]));
        }
    }
    (!grids.is_empty()).then_some((grids, maps))
}

/// What boxes may have beside class and score, as far as the file and its user say.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Extras {
    /// The ways in which it may be written, the likeliest first; none where boxes have nothing more.
    pub kinds: Vec<Extra>,
    /// Name and shape of the prototypes of masks.
    pub prototypes: Option<(String, Vec<usize>)>,
    /// Without it the boxes are wrong.
    pub is_needed: bool,
}

/// The numbers of channels that maps have, each once, the smallest first.
fn channel_counts(scales: &[Scale]) -> BTreeSet<usize> {
    scales.iter().flat_map(|scale| &scale.maps).map(|map| map.channels).collect()
}

/// Class counts that are worth a try: the stated one, or every number of channels, the largest first.
fn class_counts(scales: &[Scale], classes: Option<usize>) -> Vec<usize> {
    let counts = match classes {
        Some(count) => BTreeSet::from([count]),
        None => channel_counts(scales),
    };
    counts.into_iter().rev().filter(|count| (1..=CLASSES_MAX).contains(count)).collect()
}

/// Classes and distances of each cell on maps of their own, or on one; and a map of what boxes have beside them.
fn distances(scales: &[Scale], classes: Option<usize>, extra: Option<Extra>, all: &mut Vec<Hypothesis>) {
    let widths = channel_counts(scales);
    for count in class_counts(scales, classes) {
        for &width in widths.iter().filter(|width| width.is_multiple_of(4)) {
            let more = extra.map(|extra| extra.channels());
            for last in [false, true] {
                if last && width != count && more.is_none_or(|more| more != count && more != width) {
                    continue;
                }
                let channels: Vec<usize> = [count, width].into_iter().chain(more).collect();
                let Some((grids, maps)) = chosen(scales, &channels, last) else { continue };
                let mut what = match width {
                    4 => format!("{count} classes and 4 distances for each cell"),
                    _ => format!("{count} classes and 4 distributions of {} for each cell", width / 4),
                };
                what.extend(extra.map(|extra| format!(", {extra}")));
                let made = Hypothesis::on_maps("dfl", &grids, maps, count, what);
                let is_nanodet = width == 4 * NANODET_BINS && extra.is_none();
                let convention = if is_nanodet { Convention::Nanodet } else { made.convention };
                let assumed = (width == 4).then_some(
                    "boxes reach from the middle of their cell, as those of most networks do; RTMDet's reach from its corner, \
                     which a manifest says: [head] family = \"rtmdet\"",
                );
                all.push(Hypothesis { convention, extra, assumed, ..made });
            }
        }
    }
    if extra.is_some() {
        return;
    }
    // both on one map
    let sides = 4 * NANODET_BINS;
    let joined = match classes {
        Some(count) => vec![count],
        None => widths.iter().filter_map(|width| width.checked_sub(sides)).filter(|count| *count > 0).collect(),
    };
    for count in joined {
        if let Some((grids, maps)) = chosen(scales, &[count + sides], false) {
            let what = format!("{count} classes and 4 distributions of {NANODET_BINS} for each cell, on one map");
            let made = Hypothesis::on_maps("dfl", &grids, maps, count, what);
            all.push(Hypothesis { convention: Convention::Nanodet, ..made });
        }
    }
}

/// RTMDet, whose maps look like those of any other network with four distances. Where its distances are linear, nothing but
/// the stride stands between them and their convolution: what ends there goes first, for behind it they are pixels.
fn from_corners(scales: &Scales, all: &mut Vec<Hypothesis>) {
    let linear = |made: &&Hypothesis| made.family == "dfl" && made.assumed.is_some() && made.extra.is_none();
    let found: Vec<Hypothesis> = all.iter().filter(linear).cloned().collect();
    for family in ["rtmdet", "rtmdet-exp"] {
        let of = |made: &Hypothesis| {
            let what = format!("{} from the corner of each cell", made.what.trim_end_matches(" for each cell"));
            let assumed = Some(
                "boxes reach from the corner of their cell, as RTMDet's do; those of others reach from its middle, which a \
                 manifest says: [head] family = \"dfl\"",
            );
            Hypothesis { family, what, assumed, convention: Convention::Rtmdet, ..made.clone() }
        };
        all.extend(found.iter().map(of));
    }
    let at_convolutions = |made: &Hypothesis| {
        let own = |name: &String| scales.own_of(name).unwrap_or(name).to_owned();
        let outputs: Vec<String> = made.outputs.iter().map(own).collect();
        (made.family == "rtmdet" && outputs != made.outputs).then(|| Hypothesis { outputs, ..made.clone() })
    };
    let first: Vec<Hypothesis> = all.iter().filter_map(at_convolutions).collect();
    all.splice(0..0, first);
}

/// YuNet: a class, objectness, boxes and five key points on maps of their own. The first two are multiplied, so that it
/// does not matter which is which.
fn faces(scales: &[Scale], classes: Option<usize>, all: &mut Vec<Hypothesis>) {
    if let Some((grids, maps)) =
        chosen(scales, &[1, 1, 4, 10], false).filter(|_| classes.is_none_or(|count| count == 1))
    {
        let what = "faces, objectness, boxes and 5 key points for each cell".to_owned();
        let made = Hypothesis::on_maps("yunet", &grids, maps, 1, what);
        all.push(Hypothesis { convention: Convention::Yunet, extra: Some(FACE_POINTS), ..made });
    }
}

/// Distances, objectness and classes on maps of their own.
fn objectness(scales: &[Scale], classes: Option<usize>, all: &mut Vec<Hypothesis>) {
    for count in class_counts(scales, classes) {
        for last in [false, true] {
            let Some((grids, maps)) = chosen(scales, &[4, 1, count], last) else { continue };
            let what = format!("{count} classes, objectness and 4 distances for each cell");
            let made = Hypothesis::on_maps("yolox-maps", &grids, maps, count, what);
            all.push(Hypothesis { convention: Convention::Megvii, ..made });
            if !(last || count == 1) {
                break;
            }
        }
    }
}

/// Yolo-FastestV2: boxes and objectness of three anchors, and classes that they share, on maps of their own.
fn shared_classes(scales: &[Scale], classes: Option<usize>, all: &mut Vec<Hypothesis>) {
    let each = ANCHORS_FASTESTV2[0].len();
    for count in class_counts(scales, classes) {
        let Some((grids, maps)) = chosen(scales, &[4 * each, each, count], false) else { continue };
        if grids.len() == ANCHORS_FASTESTV2.len() {
            let what = format!("{each} anchors that share {count} classes for each cell");
            let made = Hypothesis::on_maps("fastestv2", &grids, maps, count, what);
            let anchors = ANCHORS_FASTESTV2.map(|list| list.to_vec()).to_vec();
            let assumed = Some(
                "anchors: those of Yolo-FastestV2 at 352 px are taken; others stand in a manifest, [head] anchors = […]",
            );
            all.push(Hypothesis { anchors, assumed, convention: Convention::StretchedBgr, ..made });
        }
    }
}

/// All anchors of a cell on one map.
fn anchors(scales: &[Scale], classes: Option<usize>, all: &mut Vec<Hypothesis>) {
    for each in ANCHOR_COUNTS {
        let fits = |map: &&LastMap| match classes {
            Some(classes) => map.channels == each * (5 + classes),
            None => map.channels.is_multiple_of(each) && map.channels / each > 5,
        };
        let found: Vec<(&Scale, &LastMap)> =
            scales.iter().filter_map(|scale| scale.maps.iter().find(fits).map(|map| (scale, map))).collect();
        let Some(&(_, first)) = found.first() else { continue };
        if found.iter().any(|(_, map)| map.channels != first.channels) {
            continue;
        }
        let (grids, maps): (Vec<&Scale>, Vec<&LastMap>) = found.into_iter().unzip();
        let count = first.channels / each - 5;
        // five anchors on one grid are YOLOv2's
        let is_yolov2 = each == ANCHORS_YOLOV2.len() && grids.len() == 1;
        for family in if is_yolov2 { vec!["yolov2"] } else { vec!["yolov5", "yolov3", "yolov4"] } {
            let what = format!("{each} anchors of {count} classes for each cell");
            let made = Hypothesis::on_maps(family, &grids, maps.clone(), count, what);
            let is_yolov5 = family == "yolov5" && each == 3 && made.strides == DEFAULT_STRIDES;
            let (anchors, assumed) = match (is_yolov5, is_yolov2) {
                (true, _) => (
                    ANCHORS_YOLOV5.map(|list| list.to_vec()).to_vec(),
                    Some("anchors: those of YOLOv5 are taken; others stand in a manifest, [head] anchors = […]"),
                ),
                (_, true) => (
                    vec![ANCHORS_YOLOV2.to_vec()],
                    Some(
                        "anchors: those of YOLOv2 on PASCAL VOC are taken; others stand in a manifest, [head] anchors = […]",
                    ),
                ),
                _ => (vec![vec![UNKNOWN_ANCHOR; each]; made.strides.len()], None),
            };
            let centre_scale = if family == "yolov4" { vec![UNKNOWN_SCALE; made.strides.len()] } else { Vec::new() };
            let convention = if family == "yolov4" { Convention::Stretched } else { made.convention };
            all.push(Hypothesis { anchors, centre_scale, assumed, convention, ..made });
        }
    }
}

/// Boxes that cells of YOLO's first paper may have; more look like anchors.
const CELL_BOXES_MAX: usize = 3;

/// YOLO's first grid: classes and some boxes of each cell on the one map.
fn cells(scales: &[Scale], classes: Option<usize>, all: &mut Vec<Hypothesis>) {
    let ([scale], Some(classes)) = (scales, classes) else { return };
    let [map] = &scale.maps[..] else { return };
    let boxes = map.channels.checked_sub(classes).filter(|rest| rest.is_multiple_of(5)).map_or(0, |rest| rest / 5);
    if (1..=CELL_BOXES_MAX).contains(&boxes) {
        let what = format!("{classes} classes and {boxes} boxes for each cell");
        all.push(Hypothesis::on_maps("grid", &[scale], vec![map], classes, what));
    }
}

/// Files that decode themselves; `is_rtdetr` where the exporter says so.
fn rows(outputs: &[Vec<usize>], classes: Option<usize>, is_rtdetr: bool, extras: &Extras, all: &mut Vec<Hypothesis>) {
    if let [first, second] = outputs
        && let (&[1, rows, 1, 4] | &[1, rows, 4], &[1, more, count]) = (&first[..], &second[..])
        && rows == more
    {
        // in pixels or in shares of the input: where the boxes lie tells
        if first.len() == 3 {
            all.push(Hypothesis::on_outputs("boxes-scores", count));
        }
        all.push(Hypothesis { convention: Convention::Stretched, ..Hypothesis::on_outputs("yolov4-rows", count) });
    }
    let Some([1, a, b]) = outputs.first().and_then(|shape| <[usize; 3]>::try_from(shape.as_slice()).ok()) else {
        return;
    };
    // how they are written in the maps does not matter behind the decoding
    let extra = extras.kinds.first().copied();
    let more = extra.map_or(0, |extra| extra.channels());
    let mut add = |family: &'static str, classes: usize, extra: Option<Extra>| {
        let convention = if family == "rtdetr" { Convention::Stretched } else { Convention::Ultralytics };
        all.push(Hypothesis { convention, extra, ..Hypothesis::on_outputs(family, classes) });
    };
    if extra.is_some() && b == 6 + more {
        add("end2end", classes.unwrap_or(80), extra);
    } else if b == 6 && outputs.len() == 1 {
        // the same shape means two things, and only metadata tells them apart
        add(if is_rtdetr { "rtdetr" } else { "end2end" }, classes.unwrap_or(80), None);
    }
    match classes {
        Some(count) => {
            if a >= 4 + count && b > a {
                add("yolov8", count, extra.filter(|_| a == 4 + count + more));
            }
            if b == 5 + count {
                add("yolov5-rows", count, None);
            }
        }
        None if a > 4 && b > 4 * a => {
            let extra = extra.filter(|_| a > 4 + more);
            add("yolov8", a - 4 - extra.map_or(0, |extra| extra.channels()), extra);
        }
        None if b > 5 && a > b => add("yolov5-rows", b - 5, None),
        None => {}
    }
}
