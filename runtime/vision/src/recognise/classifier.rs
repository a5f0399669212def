//! A network that gives one score for each class of the whole picture.

use lapwing_quantize::onnx::OnnxGraph;

use super::hypothesis::{Convention, Hypothesis};
use super::metadata::Metadata;

/// How far probabilities may be from a sum of one.
const SUM_OFF_MAX: f32 = 1e-2;

/// A classifier and how it was recognised.
pub(super) struct Classifier {
    /// Its head.
    pub hypothesis: Hypothesis,
    /// A sentence.
    pub why: String,
}

impl Classifier {
    /// `None` if the network's one output is not (1, classes), or (1, classes, 1, 1).
    pub(super) fn find(
        graph: &OnnxGraph,
        metadata: &Metadata,
        input: [usize; 4],
        outputs: Option<&Vec<Vec<usize>>>,
    ) -> Option<Classifier> {
        let [shape] = outputs?.as_slice() else { return None };
        let classes = match shape[..] {
            [1, classes] | [1, classes, 1, 1] if classes > 1 => classes,
            _ => return None,
        };
        // a ramp: any picture tells whether the values are probabilities
        let pixels: usize = input.iter().product();
        let picture: Vec<f32> = (0..pixels).map(|at| (at % 251) as f32 / 251.0).collect();
        let found = graph.clone().with_input(&input).evaluate(&[picture]).ok()?;
        let (_, values) = found.first()?;
        let sum: f32 = values.iter().sum();
        let are_probabilities =
            (sum - 1.0).abs() <= SUM_OFF_MAX && values.iter().all(|v| (0.0..=1.0 + SUM_OFF_MAX).contains(v));
        let before = graph.before_softmax().filter(|_| are_probabilities);
        let (family, outputs, what) = match (are_probabilities, before) {
            (true, Some(logits)) => ("class-logits", vec![logits], "its softmax is done here, in float32"),
            (true, None) => ("classes", Vec::new(), "they are probabilities"),
            (false, _) => ("class-logits", Vec::new(), "they are logits: their sum is not one"),
        };
        let ultralytics = metadata.exporter.is_some();
        Some(Classifier {
            why: format!("head `{family}`: one value for each of {classes} classes of the whole picture; {what}"),
            hypothesis: Hypothesis {
                outputs,
                shapes: vec![shape.clone()],
                strides: Vec::new(),
                convention: if ultralytics { Convention::UltralyticsCrop } else { Convention::ImageNet },
                ..Hypothesis::on_outputs(family, classes)
            },
        })
    }
}
