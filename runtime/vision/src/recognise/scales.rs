//! The last convolutions of a network, by the size of their grids.

use std::collections::BTreeMap;

use lapwing_quantize::onnx::{LastConvolution, OnnxGraph};

/// A map that a last convolution gives: (1, channels, h, w).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LastMap {
    /// The tensor's name, behind constants that are added to it and multiply it.
    pub name: String,
    /// That of the tensor which the convolution writes.
    pub own: String,
    /// Its channels.
    pub channels: usize,
    /// Its rows and columns.
    pub grid: [usize; 2],
}

impl LastMap {
    /// (1, channels, h, w).
    pub(super) fn shape(&self) -> Vec<usize> {
        vec![1, self.channels, self.grid[0], self.grid[1]]
    }
}

/// The maps of one grid, in the order of the file.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    /// Pixels of the input for each cell.
    pub stride: u32,
    /// The maps.
    pub maps: Vec<LastMap>,
}

/// All grids, the finest first.
#[derive(Debug, Clone)]
pub(super) struct Scales(pub Vec<Scale>);

/// Most last convolutions that a detector has.
const CONVOLUTIONS_MAX: usize = 64;

impl Scales {
    /// Of a graph whose input has this shape.
    ///
    /// # Errors
    /// That it has none, or that the graph up to them is not understood.
    pub(super) fn find(graph: &OnnxGraph, input: [usize; 4]) -> Result<Scales, String> {
        let found = graph.last_convolutions();
        if found.is_empty() || found.len() > CONVOLUTIONS_MAX {
            return Err(format!("there are {} of them", found.len()));
        }
        let names: Vec<String> = found.iter().map(|convolution| convolution.name.clone()).collect();
        let shapes = graph.clone().ended_at(&names)?.output_shapes(input)?;
        let (height, width) = if input[1] == 3 { (input[2], input[3]) } else { (input[1], input[2]) };
        let mut grids: BTreeMap<u32, Scale> = BTreeMap::new();
        for (LastConvolution { own, name }, shape) in found.into_iter().zip(shapes) {
            let [1, channels, h, w] = shape[..] else { continue };
            let stride = height / h.max(1);
            let whole = h * stride == height && w * stride == width && stride > 1;
            let Some(stride) = u32::try_from(stride).ok().filter(|_| whole) else { continue };
            let scale = grids.entry(stride).or_insert_with(|| Scale { stride, maps: Vec::new() });
            scale.maps.push(LastMap { name, own, channels, grid: [h, w] });
        }
        Ok(Scales(grids.into_values().collect()))
    }

    /// The tensor that the convolution of the map `name` writes.
    pub(super) fn own_of(&self, name: &str) -> Option<&str> {
        self.0.iter().flat_map(|scale| &scale.maps).find(|map| map.name == name).map(|map| map.own.as_str())
    }

    /// For people: strides and channels.
    pub(super) fn in_words(&self) -> String {
        let scale = |scale: &Scale| {
            let channels: Vec<String> = scale.maps.iter().map(|map| map.channels.to_string()).collect();
            format!("stride {} with {} channels", scale.stride, channels.join(" + "))
        };
        if self.0.is_empty() { "none".to_owned() } else { self.0.iter().map(scale).collect::<Vec<_>>().join(", ") }
    }
}
