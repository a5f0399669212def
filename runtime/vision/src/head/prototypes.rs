//! Where the prototypes of masks stand among the outputs.

use lapwing_engine::ir::Shape;
use lapwing_engine::manifest::Manifest;

/// The prototypes that masks are made of: an output (1, channels, h, w).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prototypes {
    /// Which output it is.
    pub output: usize,
    /// Their cells and their number.
    pub shape: Shape,
    /// Input pixels for each of their cells, across and down.
    pub stride: [f32; 2],
}

impl Prototypes {
    /// Those of the last of the outputs, which have the shapes `found`, for masks of so many coefficients; `None` if it
    /// cannot be them.
    pub fn find(manifest: &Manifest, found: &[Vec<usize>], coefficients: usize) -> Option<Prototypes> {
        let (output, last) = found.iter().enumerate().next_back()?;
        let &[1, channels, height, width] = last.as_slice() else { return None };
        let stride = [manifest.input.width as f32 / width as f32, manifest.input.height as f32 / height as f32];
        let shape = Shape { height, width, channels };
        (channels == coefficients && height * width > 0).then_some(Prototypes { output, shape, stride })
    }
}
