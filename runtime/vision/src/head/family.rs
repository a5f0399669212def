//! What a family of heads must offer, and what all of them check.

use std::fmt::Debug;

use super::candidates::Candidates;
use super::options::DetectOptions;
use super::prototypes::Prototypes;
use lapwing_engine::ir::{Shape, Signature};
use lapwing_engine::manifest::Manifest;
use lapwing_engine::plan::Plan;

/// A network's outputs in float32: `output(i)` is output i, flat, in row-major order.
pub type Outputs<'o, 'a> = &'o dyn Fn(usize) -> Option<&'a [f32]>;

/// A decoder of one network's outputs. It was made for their shapes, so decoding cannot meet another one.
pub trait Head: Debug + Send + Sync {
    /// Adds every candidate above `options.score_min`, in input pixels.
    fn decode<'a>(&self, outputs: Outputs<'_, 'a>, options: &DetectOptions, into: &mut Candidates);

    /// Appends what the candidate of `cell` has beside its box (`head.extra` of the manifest): the coefficients of a mask, or
    /// of each key point x and y in input pixels and its visibility in 0..=1. Nothing for a head without.
    fn carried<'a>(&self, outputs: Outputs<'_, 'a>, cell: u32, into: &mut Vec<f32>) {
        let _ = (outputs, cell, into);
    }

    /// The grid of the prototypes that masks are made of, and their number; `None` for a head without.
    fn prototypes(&self) -> Option<Prototypes> {
        None
    }

    /// What reads the outputs of an eight-bit graph as they lie in memory; `None` if they must become float32 first.
    fn byte_decoder(&self, network: &Signature) -> Option<Box<dyn ByteDecoder>> {
        let _ = network;
        None
    }
}

/// A decoder that compares bytes with the threshold and makes numbers only of what passes.
pub trait ByteDecoder: Send {
    /// As [`Head::decode`] on the plan's dequantized outputs, and adds the same candidates.
    fn decode(&mut self, plan: &Plan, options: &DetectOptions, into: &mut Candidates);

    /// As [`Head::carried`].
    fn carried(&self, plan: &Plan, cell: u32, into: &mut Vec<f32>) {
        let _ = (plan, cell, into);
    }
}

/// Makes a head for outputs of the given shapes, or says what the manifest's head needs.
pub type MakeHead = fn(&Manifest, &[Vec<usize>]) -> Result<Box<dyn Head>, String>;

/// A convention of outputs, by the name that manifests use.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// `head.family` in the manifest.
    pub name: &'static str,
    /// Makes the decoder.
    pub head: MakeHead,
    /// Whether output `index` holds logits, which decide only after the logistic function: for the quantizer, whose
    /// errors are to be measured in what decides.
    pub is_logit: fn(usize) -> bool,
    /// What it reads of the manifest that other families do not.
    pub reads: &'static [Optional],
}

/// A field of the manifest's head that some families read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Optional {
    /// `head.anchors`.
    Anchors,
    /// `head.centre_scale`.
    CentreScale,
    /// `head.extra`, what a box has beside class and score.
    Extra,
}

impl Optional {
    const ALL: [Optional; 3] = [Optional::Anchors, Optional::CentreScale, Optional::Extra];

    /// Its key, if the manifest states it.
    fn stated(self, manifest: &Manifest) -> Option<&'static str> {
        let head = &manifest.head;
        let (key, is_stated) = match self {
            Optional::Anchors => ("head.anchors", !head.anchors.is_empty()),
            Optional::CentreScale => ("head.centre_scale", !head.centre_scale.is_empty()),
            Optional::Extra => ("head.extra", head.extra.is_some()),
        };
        is_stated.then_some(key)
    }
}

impl Family {
    /// Refuses what `manifest` states and this family would pass over.
    ///
    /// # Errors
    /// The field.
    pub fn expect_read(&self, manifest: &Manifest) -> Result<(), String> {
        let unread = Optional::ALL.into_iter().filter(|field| !self.reads.contains(field));
        match unread.filter_map(|field| field.stated(manifest)).next() {
            Some(key) => Err(format!("head family `{}` does not read `{key}`; take it out", self.name)),
            None => Ok(()),
        }
    }
}

/// Cells (width, height) of the grid of `stride` for the manifest's input.
pub fn grid(manifest: &Manifest, stride: u32) -> (usize, usize) {
    ((manifest.input.width / stride) as usize, (manifest.input.height / stride) as usize)
}

/// A grid of cells.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    /// Pixels of the input for each cell.
    pub stride: f32,
    /// Cells across.
    pub width: usize,
    /// Cells down.
    pub height: usize,
}

impl Grid {
    /// That of each of the manifest's strides, in their order.
    pub fn all(manifest: &Manifest) -> Vec<Grid> {
        let of = |&stride: &u32| {
            let (width, height) = grid(manifest, stride);
            Grid { stride: stride as f32, width, height }
        };
        manifest.head.strides.iter().map(of).collect()
    }

    /// The grid of a cell that is counted through all of them, row by row: which of them it is, its row and its column.
    pub fn place(grids: &[Grid], cell: u32) -> Option<(usize, &Grid, usize, usize)> {
        let mut rest = cell as usize;
        for (index, grid) in grids.iter().enumerate() {
            let cells = grid.width * grid.height;
            if rest < cells {
                return Some((index, grid, rest / grid.width, rest % grid.width));
            }
            rest -= cells;
        }
        None
    }

    /// The shape of a map of so many channels on it.
    pub fn shape(&self, channels: usize) -> Shape {
        Shape { height: self.height, width: self.width, channels }
    }
}

/// The outputs of `family` must have these shapes.
pub fn expect_shapes(found: &[Vec<usize>], expected: &[Vec<usize>], family: &str) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!(
        "its outputs have shapes {found:?}, but head family `{family}` with the manifest's strides and classes needs {expected:?}; correct `head.family`, `head.strides` or `classes.names`"
    ))
}
