//! Places of values in a row-major tensor, by some of its axes.

/// Steps of a row-major tensor.
fn steps(shape: &[usize]) -> Vec<usize> {
    let mut steps = vec![1; shape.len()];
    for axis in (0..shape.len().saturating_sub(1)).rev() {
        steps[axis] = steps[axis + 1] * shape[axis + 1];
    }
    steps
}

/// All offsets of `axes`, the last one fastest.
pub(super) fn offsets(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    let steps = steps(shape);
    axes.iter().fold(vec![0], |all, &axis| {
        all.iter().flat_map(|&at| (0..shape[axis]).map(move |i| (at, i))).map(|(at, i)| at + i * steps[axis]).collect()
    })
}
