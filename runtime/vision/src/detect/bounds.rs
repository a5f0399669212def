//! Upright boxes `[x0, y0, x1, y1]` of other things.

/// The smallest upright box around points.
pub fn around<'p>(points: impl IntoIterator<Item = &'p [f32; 2]>) -> [f32; 4] {
    let empty = [f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY];
    points.into_iter().fold(empty, |b, [x, y]| [b[0].min(*x), b[1].min(*y), b[2].max(*x), b[3].max(*y)])
}
