//! What a value of tract's graph is, seen from the maps.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::{PaddingSpec, PoolSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::products::Products;
use crate::network::{Function, MapId};
use lapwing_engine::ir::{Shape, Window};

/// A value's meaning.
#[derive(Debug, Clone)]
pub(super) enum Meaning {
    /// The same for every picture.
    Constant(Arc<Tensor>),
    /// A map.
    Map(MapId),
    /// A function of each value of a map.
    Pointwise(MapId, Function),
    /// Values of maps in another order.
    Moved(Arc<Moved>),
    /// Products of two maps, on their way to attention.
    Products(Arc<Products>),
    /// What a node computes in float32.
    Real,
}

/// Values of maps in another order.
#[derive(Debug)]
pub(super) struct Moved {
    /// The maps.
    pub sources: Vec<MapId>,
    /// Extents of the result.
    pub shape: Vec<usize>,
    /// Into the sources' values, in the order (channel, row, column), one source after the other.
    pub index: Vec<u32>,
}

/// Why a node gets no place in a region.
#[derive(Debug, Clone)]
pub(super) enum Refusal {
    /// It can still run in float32.
    NoRule(String),
    /// Nothing can run it: the file is at fault.
    Broken(String),
}

impl From<String> for Refusal {
    fn from(what: String) -> Refusal {
        Refusal::NoRule(what)
    }
}

impl From<&str> for Refusal {
    fn from(what: &str) -> Refusal {
        Refusal::NoRule(what.to_owned())
    }
}

pub(super) fn words(error: &TractError) -> String {
    format!("{error:#}").lines().next().unwrap_or_default().to_owned()
}

/// The extents of a value.
pub(super) fn concrete(model: &TypedModel, outlet: OutletId) -> Result<Vec<usize>, Refusal> {
    let fact = model.outlet_fact(outlet).map_err(|e| words(&e))?;
    fact.shape.as_concrete().map(<[usize]>::to_vec).ok_or_else(|| {
        Refusal::Broken(format!(
            "its shape {:?} is not fixed; export the model with a fixed input shape, a batch of 1",
            fact.shape
        ))
    })
}

pub(super) fn shape_of(extents: &[usize]) -> Result<Shape, String> {
    match *extents {
        [1, channels, height, width] if channels > 0 && height > 0 && width > 0 => {
            Ok(Shape { height, width, channels })
        }
        _ => Err(format!("its shape {extents:?} is not (1, channels, height, width)")),
    }
}

pub(super) fn reals(tensor: &Tensor) -> Result<Vec<f32>, String> {
    let cast = tensor.cast_to::<f32>().map_err(|e| words(&e))?;
    let view = cast.try_as_plain_ram().map_err(|e| words(&e))?;
    Ok(view.as_slice::<f32>().map_err(|e| words(&e))?.to_vec())
}

/// The window of a convolution or pool that makes `output` of `input`.
pub(super) fn window(spec: &PoolSpec, input: Shape, output: Shape) -> Result<Window, String> {
    let [kh, kw] = *spec.kernel_shape.as_slice() else { return Err("it is not two-dimensional".into()) };
    if spec.data_format != DataFormat::NCHW {
        return Err(format!("data format {:?} has no rule", spec.data_format));
    }
    let computed = spec.computed_padding(&[input.height, input.width]);
    let (h, w) = (&computed[0], &computed[1]);
    let mut window = Window {
        kernel: [kh, kw],
        stride: [spec.stride(0), spec.stride(1)],
        dilation: [spec.dilation(0), spec.dilation(1)],
        pad: [h.pad_before, w.pad_before, h.pad_after, w.pad_after],
    };
    if matches!(spec.padding, PaddingSpec::ExplicitOnnxPool(_, _, true)) {
        // the last window may reach further than the stated padding
        for (axis, (size, count)) in
            [(input.height, output.height), (input.width, output.width)].into_iter().enumerate()
        {
            let reach = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
            let end = (count - 1) * window.stride[axis] + reach;
            window.pad[axis + 2] = end.saturating_sub(size + window.pad[axis]);
        }
    }
    if window.output(input.height, input.width) != Some((output.height, output.width)) {
        return Err(format!("no rule for its padding {:?}", spec.padding));
    }
    Ok(window)
}
