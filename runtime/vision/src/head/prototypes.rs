//! Where the prototypes of masks stand among the outputs.

use lapwing_engine::ir::Shape;
use lapwing_engine::manifest::{Extra, Manifest};

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
    /// The last of the outputs, which have the shapes `found`, where the manifest speaks of masks; `None` where it does not.
    ///
    /// # Errors
    /// What was found, if it cannot be them.
    pub fn of(manifest: &Manifest, found: &[Vec<usize>]) -> Result<Option<Prototypes>, String> {
        let Some(Extra::Mask { coefficients }) = manifest.head.extra else { return Ok(None) };
        let prototypes = Prototypes::find(manifest, found, coefficients).ok_or_else(|| {
            format!(
                "its outputs have shapes {found:?}, and the last of them are not the prototypes of `head.extra`: (1, \
                 {coefficients}, h, w); correct `head.extra` or `head.outputs`"
            )
        })?;
        Ok(Some(prototypes))
    }

    fn find(manifest: &Manifest, found: &[Vec<usize>], coefficients: usize) -> Option<Prototypes> {
        let (output, last) = found.iter().enumerate().next_back()?;
        let &[1, channels, height, width] = last.as_slice() else { return None };
        let stride = [manifest.input.width as f32 / width as f32, manifest.input.height as f32 / height as f32];
        let shape = Shape { height, width, channels };
        (channels == coefficients && height * width > 0).then_some(Prototypes { output, shape, stride })
    }
}
