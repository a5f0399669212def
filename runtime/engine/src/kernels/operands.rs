//! What a kernel is called with: rows of pixels, and the numbers of sums, products and means.

/// Bytes that a kernel may read, and never writes, behind the last one of its job.
pub const SLACK: usize = 128;

/// Rows of pixels to be read and written.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    /// The first tap of the first output pixel.
    pub input: *const u8,
    /// Bytes from the input of one output pixel to that of its right neighbour.
    pub input_pixel: usize,
    /// Bytes from the input of one output row to that of the next.
    pub input_row: usize,
    /// The first channel of the first output pixel.
    pub output: *mut u8,
    /// Bytes from one output pixel to its right neighbour.
    pub output_pixel: usize,
    /// Bytes from one output row to the next.
    pub output_row: usize,
    /// Output pixels a row.
    pub width: usize,
    /// Output rows.
    pub height: usize,
}

/// What `Kernels::add` computes: `round((a - zeros[0]) * multipliers[0] + (b - zeros[1]) * multipliers[1]) + zeros[2]`.
#[derive(Debug, Clone, Copy)]
pub struct Sum {
    /// Of the two inputs.
    pub multipliers: [f32; 2],
    /// Of the two inputs and the output.
    pub zeros: [u8; 3],
}

/// What `Kernels::mul` computes: `round((a - zeros[0]) * (b - zeros[1]) * multiplier) + zeros[2]`.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// Of the product.
    pub multiplier: f32,
    /// Of the two inputs and the output.
    pub zeros: [u8; 3],
}

/// The pixels under a window.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// Rows and columns.
    pub pixels: [usize; 2],
    /// Bytes from one row and from one column to the next.
    pub steps: [usize; 2],
}
