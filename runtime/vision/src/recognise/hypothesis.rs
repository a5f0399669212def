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
    /// RGB, 0 to 1, stretched: RT-DETR.
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
    /// What was seen, for people.
    pub what: String,
    /// What is taken for granted where the file cannot prove it.
    pub assumed: Option<&'static str>,
    /// How pictures are prepared.
    pub convention: Convention,
    /// What each box has beside class and score.
    pub extra: Option<Extra>,
}

const DEFAULT_STRIDES: [u32; 3] = [8, 16, 32];
/// Values that a side of NanoDet's and PicoDet's boxes has.
const NANODET_BINS: usize = 8;
/// Numbers of anchors that networks have at a cell.
const ANCHOR_COUNTS: [usize; 4] = [3, 5, 2, 1];
/// Most channels of classes that are tried.
const CLASSES_MAX: usize = 4096;
/// Most guesses; each is proved on the file.
const HYPOTHESES_MAX: usize = 16;

impl Hypothesis {
    /// All guesses, the likeliest first: what ends at the last convolutions goes before what decodes itself.
    pub(super) fn all(
        scales: Option<&Scales>,
        outputs: Option<&Vec<Vec<usize>>>,
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
            faces(&scales.0, classes, &mut all);
            objectness(&scales.0, classes, &mut all);
            shared_classes(&scales.0, classes, &mut all);
            anchors(&scales.0, classes, &mut all);
            cells(&scales.0, classes, &mut all);
        }
        if let Some(outputs) = outputs {
            rows(outputs, classes, exported_head.is_some_and(|head| head.contains("RTDETR")), extras, &mut all);
        }
        if extras.is_needed {
            all.retain(|hypothesis| hypothesis.extra.is_some());
        }
        all.truncate(HYPOTHESES_MAX);
        all
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
            what,
            assumed: None,
            convention: Convention::Ultralytics,
            extra: None,
        }
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
                all.push(Hypothesis { convention, extra, ..made });
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
        for family in if is_yolov2 { vec!["yolov2"] } else { vec!["yolov5", "yolov3"] } {
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
                // to be measured
                _ => (vec![vec![[1.0, 1.0]; each]; made.strides.len()], None),
            };
            all.push(Hypothesis { anchors, assumed, ..made });
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
    let Some([1, a, b]) = outputs.first().and_then(|shape| <[usize; 3]>::try_from(shape.as_slice()).ok()) else {
        return;
    };
    // how they are written in the maps does not matter behind the decoding
    let extra = extras.kinds.first().copied();
    let more = extra.map_or(0, |extra| extra.channels());
    let mut add = |family: &'static str, classes: usize, extra: Option<Extra>| {
        let convention = if family == "rtdetr" { Convention::Stretched } else { Convention::Ultralytics };
        all.push(Hypothesis {
            family,
            outputs: Vec::new(),
            shapes: Vec::new(),
            strides: DEFAULT_STRIDES.to_vec(),
            classes,
            anchors: Vec::new(),
            what: String::new(),
            assumed: None,
            convention,
            extra,
        });
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
