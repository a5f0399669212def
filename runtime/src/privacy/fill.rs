//! What paints a hole: the generator as redaction sees it.

/// Width and height of a window, in pixels.
pub const SIDE: usize = 64;
/// Pixels of a window.
pub const PIXELS: usize = SIDE * SIDE;

/// A hole could not be filled; it stays covered by its mosaic.
#[derive(Debug, thiserror::Error)]
#[error("a region could not be filled and stays a mosaic: {0}")]
pub struct FillError(pub String);

/// Fills holes in windows of [`SIDE`] x [`SIDE`] pixels.
pub trait Fill: Send {
    /// Writes into `out`, (64, 64, 3) RGB, the window with its hole filled. `window`, (64, 64, 3), is black where
    /// `hole`, (64, 64), is true; some of the window is known, and some is hole. The same `seed` gives the same fill.
    ///
    /// # Errors
    /// The generator's words; `out` is then unspecified.
    fn fill(&mut self, window: &[u8], hole: &[bool], seed: u64, out: &mut [u8]) -> Result<(), FillError>;
}
