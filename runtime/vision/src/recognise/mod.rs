//! What an ONNX file is that comes without a manifest: its input, its head, its classes.
//!
//! ```text
//! bytes ─▶ OnnxGraph ─▶ metadata, input ─▶ last convolutions ─▶ hypotheses ─▶ proof ─▶ Manifest
//! ```
//!
//! Exports end in decoding, each in its own way. Here the graph is ended at its last convolutions, and the decoding is
//! done by one of lapwing's heads: in eight bits up to there, and only for cells above the threshold. Which head it is,
//! the channels of these convolutions suggest; whether it is the right one, the file itself decides: what it does
//! behind them is run on random numbers, and a head is taken only if it makes the same boxes of them (`proof`). Where
//! a file does nothing behind them, there is nothing to prove, and [`Recognised::why`] says so.
//!
//! | file | noun |
//! |---|---|
//! | `metadata` | what an exporter wrote into the file |
//! | `classifier` | a network that gives one score for each class of the whole picture |
//! | `scales` | the last convolutions by the size of their grids |
//! | `hypothesis` | a head that could read them |
//! | `proof` | whether it decodes as the file does |
//! | `anchors` | anchors, measured on what the file decodes |

mod anchors;
mod classifier;
mod hypothesis;
mod metadata;
mod proof;
mod scales;

use lapwing_engine::Manifest;
use lapwing_engine::manifest::{
    AngleUnit, AxisOrder, Classes, Colour, Extra, Fit, HeadSpec, InputSpec, MANIFEST_FORMAT, PointOrigin, Resize,
};
use lapwing_quantize::float::input_shape;
use lapwing_quantize::onnx::{Declared, OnnxGraph};

use crate::head;
use classifier::Classifier;
use hypothesis::{Convention, Extras, Hypothesis, Suppressed};
use metadata::Metadata;
use proof::Proof;
use scales::Scales;

/// A network and how it was recognised.
#[derive(Debug, Clone)]
pub struct Recognised {
    /// All that lapwing needs to know of it.
    pub manifest: Manifest,
    /// How each part of the manifest was found, a sentence each.
    pub why: Vec<String>,
    /// The file itself agrees with the head; otherwise shapes alone speak for it.
    pub is_proved: bool,
}

/// Fields that a user states; they go before whatever is found.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
struct Stated {
    input: StatedInput,
    head: StatedHead,
    classes: StatedClasses,
}

#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
struct StatedInput {
    width: Option<u32>,
    height: Option<u32>,
}

#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
struct StatedHead {
    family: Option<String>,
    anchors: Option<Vec<Vec<[f32; 2]>>>,
    centre_scale: Option<Vec<f32>>,
    extra: Option<Extra>,
}

#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
struct StatedClasses {
    names: Option<Vec<String>>,
}

/// Scores below which nothing is reported, and the overlap from which two boxes are one object.
const SCORE_MIN: f32 = 0.25;
const NMS_IOU: f32 = 0.55;
/// The same of classifiers, of whose five best classes the surest may be unsure.
const CLASS_SCORE_MIN: f32 = 0.05;

/// Recognises the network in `bytes`. `file` is its file's name; `stated` is a manifest or a part of one, whose fields
/// go before what is found.
///
/// # Errors
/// What was found, what is missing, and the lines of a manifest that state it.
pub fn recognise(bytes: &[u8], file: &str, stated: &str) -> Result<Recognised, String> {
    let graph = OnnxGraph::read(bytes)?;
    let wishes: Stated = toml::from_str(stated).map_err(|e| e.to_string().trim().to_owned())?;
    let metadata = Metadata::of(&graph.metadata());
    let found = Search { graph: &graph, metadata: &metadata, stated: &wishes, why: Vec::new() }.run(file)?;
    Ok(Recognised { manifest: found.manifest.overlaid(stated)?, ..found })
}

struct Search<'a> {
    graph: &'a OnnxGraph,
    metadata: &'a Metadata,
    stated: &'a Stated,
    why: Vec<String>,
}

impl Search<'_> {
    fn run(mut self, file: &str) -> Result<Recognised, String> {
        let input = self.input()?;
        let shape = input_shape(&input);
        let outputs = self.graph.clone().output_shapes(shape);
        let names = self.stated.classes.names.clone().or_else(|| self.metadata.names.clone());
        if let Some(Classifier { hypothesis, why }) =
            Classifier::find(self.graph, self.metadata, shape, outputs.as_ref().ok())
        {
            let manifest = self.manifest(file, &input, &hypothesis, names.as_deref());
            head::head(&manifest, &hypothesis.shapes)?;
            self.why.push(why);
            self.input_why(&manifest);
            self.class_why(&manifest);
            return Ok(Recognised { manifest, why: self.why, is_proved: true });
        }
        let scales = Scales::find(self.graph, shape);
        let extras = self.extras(shape);
        let mut refused = Vec::new();
        let hypotheses = Hypothesis::all(
            scales.as_ref().ok(),
            outputs.as_ref().ok(),
            self.suppressed(shape),
            names.as_ref().map(Vec::len),
            self.metadata.head.as_deref(),
            &extras,
        );
        let wished = self.stated.head.family.as_deref();
        let hypotheses: Vec<Hypothesis> =
            hypotheses.into_iter().filter(|h| wished.is_none_or(|wished| h.family == wished)).collect();
        // how many there are without and with more than boxes, where nothing tells which of them is right
        let on_maps =
            [false, true].map(|more| hypotheses.iter().filter(|h| h.is_first() && h.extra.is_some() == more).count());
        for hypothesis in hypotheses {
            let mut manifest = self.manifest(file, &input, &hypothesis, names.as_deref());
            match proof::prove(self.graph, &mut manifest, &hypothesis, shape, outputs.as_ref().ok()) {
                Ok(Proof::Nothing)
                    if !hypothesis.outputs.is_empty() && on_maps[usize::from(hypothesis.extra.is_some())] > 1 =>
                {
                    refused
                        .push(format!("{}: it is one of several that fit, and nothing proves it", hypothesis.family));
                }
                Ok(Proof::Nothing | Proof::Maps { .. }) if self.lacks_numbers(&hypothesis) => refused.push(format!(
                    "{0}: the file does not tell its anchors; a manifest does: [head] family = \"{0}\", anchors = […]{1}",
                    hypothesis.family,
                    if hypothesis.centre_scale.is_empty() { "" } else { ", centre_scale = […] (Darknet's scale_x_y)" }
                )),
                Ok(proof) => {
                    self.explain(&manifest, &hypothesis, &proof);
                    if let (Some(extra), None) = (extras.kinds.first(), manifest.head.extra) {
                        self.why.push(format!(
                            "{extra} for each box is not read: no head makes of the file's maps what it makes itself"
                        ));
                    }
                    self.why.extend(refused.into_iter().map(|what| format!("not {what}")));
                    self.input_why(&manifest);
                    self.class_why(&manifest);
                    let is_proved = matches!(proof, Proof::Equal { .. });
                    return Ok(Recognised { manifest, why: self.why, is_proved });
                }
                Err(what) => refused.push(format!("{}: {what}", hypothesis.family)),
            }
        }
        Err(self.unrecognised(file, &scales, &outputs, &refused))
    }

    /// What a user states, for a head that has it; whatever it has, where the head is stated too.
    fn stated_or<T: Clone>(&self, stated: &Option<Vec<T>>, found: &[T]) -> Vec<T> {
        let takes = !found.is_empty() || self.stated.head.family.is_some();
        stated.as_ref().filter(|_| takes).map_or_else(|| found.to_vec(), Clone::clone)
    }

    fn lacks_numbers(&self, hypothesis: &Hypothesis) -> bool {
        let StatedHead { anchors, centre_scale, .. } = &self.stated.head;
        hypothesis.lacks_numbers(anchors.is_some(), centre_scale.is_some())
    }

    /// What a non-maximum suppression in the file reads, its names and shapes.
    fn suppressed(&self, input: [usize; 4]) -> Option<Suppressed> {
        let names = self.graph.before_suppression()?;
        let shapes = self.graph.clone().ended_at(&names).ok()?.output_shapes(input).ok()?;
        Some((names, shapes.try_into().ok()?))
    }

    /// What boxes may have beside class and score: what the user states, what the file says of its task, or what the
    /// shapes of its outputs suggest.
    fn extras(&self, input: [usize; 4]) -> Extras {
        // alone: the boxes beside them may not run where the file was made for several pictures
        let alone = |output: Declared| {
            let shapes =
                self.graph.clone().ended_at(std::slice::from_ref(&output.name)).ok()?.output_shapes(input).ok()?;
            let shape = shapes.into_iter().next().filter(|shape| shape.len() == 4 && shape[0] == 1)?;
            Some((output.name, shape))
        };
        let mut outputs = self.graph.outputs().into_iter();
        let prototypes = match (outputs.next(), outputs.next(), outputs.next()) {
            (Some(_), Some(second), None) => alone(second),
            _ => None,
        };
        let mask = prototypes.as_ref().map(|(_, shape)| Extra::Mask { coefficients: shape[1] });
        let (kinds, is_needed) = match (self.stated.head.extra, self.metadata.task.as_deref()) {
            (Some(extra), _) => (vec![extra], true),
            (None, Some("pose")) => {
                let (count, values) = self.metadata.key_points.unwrap_or((17, 3));
                let by = |origin| Extra::KeyPoints { count, values, origin };
                (vec![by(PointOrigin::Corner), by(PointOrigin::Centre)], false)
            }
            (None, Some("obb")) => {
                ([AngleUnit::Logit, AngleUnit::Radians].map(|unit| Extra::Angle { unit }).into(), true)
            }
            (None, Some("segment") | None) => (mask.into_iter().collect(), false),
            (None, Some(_)) => (Vec::new(), false),
        };
        let has_masks = kinds.iter().any(|kind| kind.has_prototypes());
        Extras { kinds, prototypes: prototypes.filter(|_| has_masks), is_needed }
    }

    /// Size and order of the input.
    fn input(&mut self) -> Result<InputSpec, String> {
        let inputs = self.graph.inputs();
        let [Declared { name, extents }] = inputs.as_slice() else {
            let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(format!("it has {} inputs ({}); a detector has one", inputs.len(), names.join(", ")));
        };
        let (layout, height, width) = match extents[..] {
            [_, Some(3) | None, height, width] => (AxisOrder::Nchw, height, width),
            [_, height, width, Some(3)] => (AxisOrder::Nhwc, height, width),
            _ => {
                let extents: Vec<String> =
                    extents.iter().map(|e| e.map_or("?".into(), |extent: usize| extent.to_string())).collect();
                return Err(format!(
                    "its input {name:?} has the shape ({}); lapwing gives it one picture of three colours: (1, 3, height, \
                     width) or (1, height, width, 3)",
                    extents.join(", ")
                ));
            }
        };
        let stated = self.stated.input.height.zip(self.stated.input.width).map(|(h, w)| (h as usize, w as usize));
        let (height, width) = match (height.zip(width), stated, self.metadata.size) {
            (Some(size), ..) => size,
            (None, Some(size), _) => size,
            (None, None, Some(size)) => {
                self.why.push(format!("input {}x{}: the file leaves it open, its metadata says so", size.1, size.0));
                size
            }
            (None, None, None) => {
                return Err(format!(
                    "its input {name:?} may have any size, and nothing in it says which; write beside it, under its name \
                     with the ending .toml: [input] width = 640, height = 640 (one a line)"
                ));
            }
        };
        let side = |side: usize| u32::try_from(side).map_err(|_| "its input is too large".to_owned());
        Ok(InputSpec {
            width: side(width)?,
            height: side(height)?,
            colour: Colour::Rgb,
            layout,
            mean: [0.0; 3],
            scale: [1.0 / 255.0; 3],
            fit: Fit::LetterboxCentred,
            pad: 114,
            resize: Resize::Bilinear,
        })
    }

    fn manifest(&self, file: &str, input: &InputSpec, hypothesis: &Hypothesis, names: Option<&[String]>) -> Manifest {
        let mut input = input.clone();
        // NanoDet's was guessed by the number of values of a side, which others may have too
        if self.metadata.exporter.is_none() || hypothesis.convention != Convention::Nanodet {
            hypothesis.convention.apply(&mut input);
        }
        let names = match names {
            Some(names) => names.to_vec(),
            None if hypothesis.family == "yunet" => vec!["face".to_owned()],
            None => generic_names(hypothesis.classes),
        };
        Manifest {
            format: MANIFEST_FORMAT,
            name: file.strip_suffix(".onnx").unwrap_or(file).to_owned(),
            file: file.to_owned(),
            sha256: None,
            licence: self.metadata.licence.clone(),
            source: self.metadata.source.clone(),
            input,
            head: HeadSpec {
                family: hypothesis.family.to_owned(),
                strides: hypothesis.strides.clone(),
                score_min: if hypothesis.convention.is_classifier() { CLASS_SCORE_MIN } else { SCORE_MIN },
                nms_iou: self.graph.suppression_overlap().unwrap_or(NMS_IOU),
                outputs: hypothesis.outputs.clone(),
                anchors: self.stated_or(&self.stated.head.anchors, &hypothesis.anchors),
                centre_scale: self.stated_or(&self.stated.head.centre_scale, &hypothesis.centre_scale),
                one_to_one: self.metadata.end_to_end == Some(true) || hypothesis.family == "rtdetr",
                extra: hypothesis.extra,
            },
            classes: Classes { names },
            card: None,
        }
    }

    fn explain(&mut self, manifest: &Manifest, hypothesis: &Hypothesis, proof: &Proof) {
        let HeadSpec { family, strides, .. } = &manifest.head;
        let count = hypothesis.outputs.len();
        self.why.push(match count {
            0 => format!("head `{family}`: by the shape of its output; it decodes its boxes itself, in float32"),
            _ => format!(
                "head `{family}`: {} at strides {strides:?}; the graph ends at {count} convolutions",
                hypothesis.what
            ),
        });
        self.why.push(match proof {
            Proof::Equal { boxes, off_px } => format!(
                "proved: {boxes} boxes of random numbers come out as the file itself decodes them (within {off_px:.4} px)"
            ),
            Proof::Maps { cells } => format!(
                "its outputs are what the convolutions give, or probabilities of it ({cells} values a channel): decoding is left \
                 to whoever reads them"
            ),
            Proof::Nothing if count > 0 && self.graph.is_batched() => {
                "not proved: what the file does behind them is made for several pictures at once".to_owned()
            }
            Proof::Nothing => "not proved: the file does no decoding that could be compared".to_owned(),
        });
        let is_stated = match hypothesis.anchors.is_empty() {
            true => self.stated.head.family.is_some() || self.metadata.exporter.is_some(),
            false => self.stated.head.anchors.is_some(),
        };
        if let Some(assumed) = hypothesis.assumed.filter(|_| !matches!(proof, Proof::Equal { .. }) && !is_stated) {
            self.why.push(assumed.to_owned());
        }
        if let Some(overlap) = self.graph.suppression_overlap() {
            self.why.push(format!("boxes that overlap by more than {overlap} are suppressed: as in the file"));
        }
        if manifest.head.one_to_one {
            self.why.push("one box for each object: boxes that overlap are kept".to_owned());
        }
    }

    fn input_why(&mut self, manifest: &Manifest) {
        let how = match self.metadata.exporter.as_deref() {
            Some(exporter) => format!("as {exporter} trains"),
            None => "as this family is usually trained: nothing in the file says so; try a picture".to_owned(),
        };
        let InputSpec { width, height, colour, scale, fit, .. } = &manifest.input;
        self.why.push(format!(
            "input {width}x{height}, {colour:?}, times {}, {fit:?}: {how}",
            if scale[0] == 1.0 { "1".to_owned() } else { format!("1/{:.0}", 1.0 / scale[0]) }
        ));
    }

    fn class_why(&mut self, manifest: &Manifest) {
        let count = manifest.classes.names.len();
        let from = match (&self.stated.classes.names, &self.metadata.names) {
            (Some(_), _) => "by the manifest",
            (None, Some(_)) => "by its metadata",
            (None, None) if count == 80 => "by their number: it says no names, and COCO has as many",
            (None, None) => "no names are known: write them into a manifest, [classes] names = [\"…\"]",
        };
        self.why.push(format!("{count} classes, {from}"));
    }

    /// What was found, and what a manifest would have to say.
    fn unrecognised(
        &self,
        file: &str,
        scales: &Result<Scales, String>,
        outputs: &Result<Vec<Vec<usize>>, String>,
        refused: &[String],
    ) -> String {
        let outputs = match outputs {
            Ok(shapes) => {
                let named =
                    self.graph.outputs().into_iter().zip(shapes).map(|(o, shape)| format!("{:?} {shape:?}", o.name));
                named.collect::<Vec<_>>().join(", ")
            }
            Err(what) => format!("unknown ({what})"),
        };
        let scales = match scales {
            Ok(scales) => scales.in_words(),
            Err(what) => what.clone(),
        };
        let families: Vec<&str> = head::FAMILIES.iter().map(|family| family.name).collect();
        let tried = if refused.is_empty() { "none fits".to_owned() } else { refused.join("; ") };
        format!(
            "its head is not recognised. Outputs: {outputs}. Last convolutions: {scales}. Heads that were tried: {tried}. \
             Write {}.toml beside it with what you know, such as [head] family = (one of {}), strides = [8, 16, 32]; \
             [classes] names = [\"…\"]; [input] width = 640, height = 640",
            file.strip_suffix(".onnx").unwrap_or(file),
            families.join(", ")
        )
    }
}

/// COCO's names for as many classes, numbers for others.
fn generic_names(count: usize) -> Vec<String> {
    let known = lapwing_models::KNOWN.iter().filter_map(|text| Manifest::parse(text).ok()).map(|m| m.classes.names);
    known
        .into_iter()
        .find(|names| names.len() == count)
        .unwrap_or_else(|| (0..count).map(|i| format!("class {i}")).collect())
}

#[cfg(test)]
mod tests;
