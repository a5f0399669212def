//! How a row of pixels is split into tiles.

/// Most pixels of a tile: sums, weights, input and temporaries fit in sixteen registers.
pub(super) const PIXELS: usize = 4;

/// The first pixel of each tile of a row, and how many it has: they are split as evenly as possible.
#[inline(always)]
pub(super) fn tiles(width: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut next = 0;
    (1..=width.div_ceil(PIXELS)).rev().map(move |left| {
        let (x, pixels) = (next, (width - next).div_ceil(left));
        next += pixels;
        (x, pixels)
    })
}
