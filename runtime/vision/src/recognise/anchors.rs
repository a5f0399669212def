//! The anchors of a file that decodes its boxes itself, measured on its decoding.
//!
//! Where all maps are zero, a box is as large as its anchor, in whichever way sizes are made of them; and from the least to
//! the greatest x its centre moves as many cells as `head.centre_scale` says.

use lapwing_engine::Manifest;
use lapwing_engine::manifest::CENTRE_SCALES;
use lapwing_quantize::onnx::{OnnxGraph, Values};

/// Raw values from which on the logistic function is 0 or 1 in float32.
const FAR: f32 = 30.0;

/// Puts the anchors, and how far centres may lie, into the manifest; leaves them where the file does not tell. The maps
/// `shapes` hold all anchors of a cell each.
pub(super) fn measure(behind: &OnnxGraph, manifest: &mut Manifest, shapes: &[Vec<usize>]) {
    let each = manifest.head.anchors.first().map_or(0, Vec::len);
    let cells: Vec<usize> = shapes.iter().map(|shape| shape[2] * shape[3]).collect();
    if each == 0 {
        return;
    }
    let (classes, input) = (manifest.classes.names.len(), [manifest.input.width as f32, manifest.input.height as f32]);
    let boxes = |x: f32| {
        let boxes = Boxes::of(behind.clone().evaluate(&maps(shapes, each, x)).ok()?, classes, input)?;
        (boxes.rows() == each * cells.iter().sum::<usize>()).then_some(boxes)
    };
    let Some(at_zero) = boxes(0.0) else { return };
    // rows of a stride follow each other: all cells of the first anchor, or all anchors of the first cell
    let mut first = 0;
    let mut anchors = Vec::new();
    for &cells in &cells {
        let size = |row: usize| at_zero.size(first + row);
        let by_anchor = each == 1 || cells == 1 || is_close(size(0), size(1));
        anchors.push((0..each).map(|anchor| size(if by_anchor { anchor * cells } else { anchor })).collect::<Vec<_>>());
        first += each * cells;
    }
    if anchors.iter().flatten().flatten().all(|side| side.is_finite() && *side > 0.0) {
        manifest.head.anchors = anchors;
    }
    if manifest.head.centre_scale.is_empty() {
        return;
    }
    let (Some(least), Some(greatest)) = (boxes(-FAR), boxes(FAR)) else { return };
    let mut first = 0;
    let mut scales = Vec::new();
    for (&cells, &stride) in cells.iter().zip(&manifest.head.strides) {
        let scale = (greatest.centre_x(first) - least.centre_x(first)) / stride as f32;
        scales.push((scale * 1e4).round() / 1e4);
        first += each * cells;
    }
    if scales.iter().all(|scale| CENTRE_SCALES.contains(scale)) {
        manifest.head.centre_scale = scales;
    }
}

/// Sides that differ by no more than rounding.
fn is_close(a: [f32; 2], b: [f32; 2]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-4 * a.abs())
}

/// Maps of zeros, the x of each of `each` anchors being `x`.
fn maps(shapes: &[Vec<usize>], each: usize, x: f32) -> Vec<Vec<f32>> {
    let of = |shape: &Vec<usize>| {
        let (cells, row) = (shape[2] * shape[3], shape[1] / each);
        let value = |at: usize| if (at / cells).is_multiple_of(row) { x } else { 0.0 };
        (0..shape.iter().product()).map(value).collect()
    };
    shapes.iter().map(of).collect()
}

/// What a file makes of maps: a row a box.
enum Boxes {
    /// Centre, size and more, in pixels.
    Centres { values: Vec<f32>, columns: usize },
    /// Left, top, right, bottom, in shares of the input.
    Corners { values: Vec<f32>, input: [f32; 2] },
}

impl Boxes {
    fn of(found: Vec<Values>, classes: usize, input: [f32; 2]) -> Option<Boxes> {
        let mut found = found.into_iter();
        let ((shape, values), second) = (found.next()?, found.next());
        match (&shape[..], second) {
            (&[1, _, columns], None) if columns == 5 + classes => Some(Boxes::Centres { values, columns }),
            (&[1, _, 1, 4] | &[1, _, 4], Some(_)) => Some(Boxes::Corners { values, input }),
            _ => None,
        }
    }

    fn rows(&self) -> usize {
        match self {
            Boxes::Centres { values, columns } => values.len() / columns,
            Boxes::Corners { values, .. } => values.len() / 4,
        }
    }

    /// Width and height in pixels.
    fn size(&self, row: usize) -> [f32; 2] {
        match self {
            Boxes::Centres { values, columns } => [2, 3].map(|column| values[row * columns + column]),
            Boxes::Corners { values, input } => {
                [0, 1].map(|axis| (values[4 * row + 2 + axis] - values[4 * row + axis]) * input[axis])
            }
        }
    }

    /// In pixels.
    fn centre_x(&self, row: usize) -> f32 {
        match self {
            Boxes::Centres { values, columns } => values[row * columns],
            Boxes::Corners { values, input } => (values[4 * row] + values[4 * row + 2]) / 2.0 * input[0],
        }
    }
}
