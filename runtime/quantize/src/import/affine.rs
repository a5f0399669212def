//! Whether the values of an output lie at steps, so that a tensor can be read in their place.

use lapwing_engine::ir::Shape;

use crate::network::{MapId, RealPart};

/// The steps at which a map's values lie, if they lie at steps.
pub(super) fn affine(map: MapId, shape: Shape, places: &[Option<usize>]) -> Option<RealPart> {
    let at = |y: usize, x: usize, c: usize| places[(c * shape.height + y) * shape.width + x];
    let base = at(0, 0, 0)?;
    let step = |size: usize, next: Option<usize>| if size > 1 { next?.checked_sub(base) } else { Some(0) };
    let strides = [
        step(shape.height, if shape.height > 1 { at(1, 0, 0) } else { None })?,
        step(shape.width, if shape.width > 1 { at(0, 1, 0) } else { None })?,
        step(shape.channels, if shape.channels > 1 { at(0, 0, 1) } else { None })?,
    ];
    let fits = (0..shape.channels).all(|c| {
        (0..shape.height).all(|y| {
            (0..shape.width).all(|x| at(y, x, c) == Some(base + y * strides[0] + x * strides[1] + c * strides[2]))
        })
    });
    fits.then_some(RealPart { map, base, strides })
}
