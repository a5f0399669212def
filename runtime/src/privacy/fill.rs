//! What paints a hole: the generator as redaction sees it.

use lapwing_flow::{Filler, FlowError, filler};

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
    /// Makes ready what the first fill would otherwise wait for.
    ///
    /// # Errors
    /// The generator's words.
    fn prepare(&mut self) -> Result<(), FillError> {
        Ok(())
    }

    /// Writes into `out`, (64, 64, 3) RGB, the window with its hole filled. `window`, (64, 64, 3), is black where
    /// `hole`, (64, 64), is true; some of the window is known, and some is hole. The same `seed` gives the same fill.
    ///
    /// # Errors
    /// The generator's words; `out` is then unspecified.
    fn fill(&mut self, window: &[u8], hole: &[bool], seed: u64, out: &mut [u8]) -> Result<(), FillError>;
}

/// A flow that is loaded when it is needed first, so that a start does not wait for it.
pub struct Lazy {
    load: fn() -> Result<Filler, FlowError>,
    filler: Option<Filler>,
}

impl Lazy {
    /// The flow that travels in the binary.
    pub fn builtin() -> Lazy {
        Lazy { load: Filler::builtin, filler: None }
    }

    fn ready(&mut self) -> Result<&mut Filler, FillError> {
        let filler = match self.filler.take() {
            Some(filler) => filler,
            None => (self.load)().map_err(|e| FillError(e.to_string()))?,
        };
        Ok(self.filler.insert(filler))
    }
}

impl Fill for Lazy {
    fn prepare(&mut self) -> Result<(), FillError> {
        self.ready().map(|_| ())
    }

    fn fill(&mut self, window: &[u8], hole: &[bool], seed: u64, out: &mut [u8]) -> Result<(), FillError> {
        let filled = self.ready()?.fill(window, hole, filler::STEPS, seed, out);
        filled.map_err(|e| FillError(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_loaded_is_told_each_time() {
        let load = || Err(FlowError::Missing { word: "flow".into(), what: "it is away".into() });
        let mut lazy = Lazy { load, filler: None };
        for _ in 0..2 {
            assert!(lazy.prepare().unwrap_err().to_string().contains("it is away"));
            let mut out = vec![0; PIXELS * 3];
            assert!(lazy.fill(&vec![0; PIXELS * 3], &vec![true; PIXELS], 0, &mut out).is_err());
        }
    }

    #[test]
    fn the_builtin_flow_fills_and_the_same_seed_fills_the_same() {
        let mut lazy = Lazy::builtin();
        let hole: Vec<bool> =
            (0..PIXELS).map(|i| (20..44).contains(&(i % SIDE)) && (16..48).contains(&(i / SIDE))).collect();
        let window: Vec<u8> = hole.iter().flat_map(|hole| if *hole { [0; 3] } else { [90, 120, 150] }).collect();
        let [mut a, mut b, mut c] = [0, 1, 2].map(|_| vec![0; PIXELS * 3]);
        lazy.fill(&window, &hole, 5, &mut a).unwrap();
        lazy.fill(&window, &hole, 5, &mut b).unwrap();
        lazy.fill(&window, &hole, 6, &mut c).unwrap();
        assert!(a == b && a != c);
        let off: u32 =
            a.chunks_exact(3).map(|p| (0..3).map(|i| u32::from(p[i].abs_diff([90, 120, 150][i]))).sum::<u32>()).sum();
        assert!(off / ((PIXELS as u32) * 3) < 12, "a plain wall goes on: {off}");
    }
}
