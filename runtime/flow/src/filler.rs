//! Holes in a window are filled from their surroundings, in few steps.
//!
//! Euler steps along straight lines (`jump`), from t = 1 to 0; after each step the known pixels are
//! put back on their own line `(1 - t) known + t eps`, and at the end they are the window's, byte for
//! byte. All buffers are made at load.

use super::network::{Asked, VelocityNetwork, check, context_values, expect_finite};
use super::normal::Normal;
use super::pixel::{pixel, value};
use super::{FlowError, FlowModel};

/// The number of steps to use unless time is short.
pub const STEPS: usize = 2;
/// Most steps of a fill: the network was trained for straight lines of a few steps.
pub const STEPS_MAX: usize = 32;

/// A flow that fills holes.
pub struct Filler {
    network: Box<dyn VelocityNetwork>,
    side: usize,
    null_label: usize,
    eps: Vec<f32>,     // (side, side, 3)
    x: Vec<f32>,       // (side, side, 3)
    v: Vec<f32>,       // (side, side, 3)
    context: Vec<f32>, // (side, side, 4)
}

impl Filler {
    /// The flow that travels in the binary.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn builtin() -> Result<Filler, FlowError> {
        Filler::load(&FlowModel::patch()?)
    }

    /// A flow that has a context, on one thread.
    ///
    /// # Errors
    /// That it has none, or what is wrong with it.
    pub fn load(model: &FlowModel) -> Result<Filler, FlowError> {
        Filler::new(model.network(1)?)
    }

    /// A network that has a context.
    ///
    /// # Errors
    /// That it has none.
    pub fn new(network: Box<dyn VelocityNetwork>) -> Result<Filler, FlowError> {
        let manifest = network.manifest();
        if !manifest.velocity.context {
            let what = "it makes whole pictures only and fills no holes; flow-patch does".into();
            return Err(FlowError::Unable { origin: network.origin().into(), what });
        }
        let (side, null_label, values) = (manifest.velocity.side, manifest.condition.null_label, manifest.values());
        let context = vec![0.0; context_values(manifest)];
        let buffer = || vec![0.0; values];
        Ok(Filler { side, null_label, eps: buffer(), x: buffer(), v: buffer(), context, network })
    }

    /// Width and height of its window, in pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// What runs it, for messages.
    pub fn origin(&self) -> &str {
        self.network.origin()
    }

    /// Fills the pixels of `window`, (side, side, 3) RGB, at which `mask`, (side, side), is true, into
    /// `out`, which otherwise becomes the window. The same `seed` gives the same fill. Pixels under
    /// the mask are never read. A mask without a hole costs nothing.
    ///
    /// # Errors
    /// [`FlowError::Size`], [`FlowError::Steps`] (0 or more than [`STEPS_MAX`]), [`FlowError::AllHole`],
    /// or the engine's words; `out` is then black in the hole.
    pub fn fill(
        &mut self,
        window: &[u8],
        mask: &[bool],
        steps: usize,
        seed: u64,
        out: &mut [u8],
    ) -> Result<(), FlowError> {
        let pixels = self.side * self.side;
        for (name, found, expected) in [
            ("the window", window.len(), 3 * pixels),
            ("the mask", mask.len(), pixels),
            ("the result", out.len(), 3 * pixels),
        ] {
            if found != expected {
                return Err(FlowError::Size { name, found, expected });
            }
        }
        for ((to, from), &hole) in out.chunks_exact_mut(3).zip(window.chunks_exact(3)).zip(mask) {
            to.copy_from_slice(if hole { &[0; 3] } else { from });
        }
        if steps == 0 || steps > STEPS_MAX {
            return Err(FlowError::Steps { steps, most: STEPS_MAX });
        }
        match mask.iter().filter(|&&hole| hole).count() {
            0 => return Ok(()),
            all if all == pixels => return Err(FlowError::AllHole),
            _ => {}
        }
        self.begin(window, mask, seed);
        self.walk(mask, steps)?;
        expect_finite(&self.x).map_err(|what| FlowError::Run { origin: self.origin().to_owned(), what })?;
        for ((to, from), &hole) in out.chunks_exact_mut(3).zip(self.x.chunks_exact(3)).zip(mask) {
            if hole {
                to.iter_mut().zip(from).for_each(|(to, &value)| *to = pixel(value));
            }
        }
        Ok(())
    }

    fn begin(&mut self, window: &[u8], mask: &[bool], seed: u64) {
        Normal::new(seed, 0).fill(&mut self.eps);
        self.x.copy_from_slice(&self.eps);
        for ((to, from), &hole) in self.context.chunks_exact_mut(4).zip(window.chunks_exact(3)).zip(mask) {
            for (to, &from) in to.iter_mut().zip(from) {
                *to = if hole { 0.0 } else { value(from) };
            }
            to[3] = f32::from(u8::from(hole));
        }
    }

    fn walk(&mut self, mask: &[bool], steps: usize) -> Result<(), FlowError> {
        check(self.network.manifest(), &self.x, &self.context, &self.v)?;
        for step in 0..steps {
            let (t, then) = (1.0 - step as f64 / steps as f64, 1.0 - (step + 1) as f64 / steps as f64);
            let asked = Asked { t, label: self.null_label, jump: true };
            self.network.velocity(&self.x, &self.context, asked, &mut self.v)?;
            let (length, known, noise) = ((then - t) as f32, (1.0 - then) as f32, then as f32);
            let pixels = self.x.chunks_exact_mut(3).zip(self.v.chunks_exact(3));
            let around = self.context.chunks_exact(4).zip(self.eps.chunks_exact(3));
            for (((x, v), (context, eps)), &hole) in pixels.zip(around).zip(mask) {
                for c in 0..3 {
                    x[c] = if hole { x[c] + length * v[c] } else { known * context[c] + noise * eps[c] };
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::FlowManifest;
    use super::*;

    type Log = std::sync::Arc<std::sync::Mutex<Vec<(f64, bool)>>>;

    /// Knows the end of every line: a plain colour.
    struct Plain {
        manifest: FlowManifest,
        colour: f32,
        asked: Log,
    }

    impl VelocityNetwork for Plain {
        fn manifest(&self) -> &FlowManifest {
            &self.manifest
        }

        fn origin(&self) -> &str {
            "plain"
        }

        fn velocity(&mut self, x: &[f32], context: &[f32], asked: Asked, v: &mut [f32]) -> Result<(), FlowError> {
            check(&self.manifest, x, context, v)?;
            self.asked.lock().unwrap().push((asked.t, asked.jump));
            for (v, x) in v.iter_mut().zip(x) {
                *v = (x - self.colour) / asked.t as f32; // x_t = (1 - t) x_0 + t eps
            }
            Ok(())
        }
    }

    fn filler(colour: f32) -> (Filler, Log) {
        let manifest = FlowManifest::parse(lapwing_models::FLOW_PATCH.manifest).unwrap();
        let asked = Log::default();
        (Filler::new(Box::new(Plain { manifest, colour, asked: std::sync::Arc::clone(&asked) })).unwrap(), asked)
    }

    fn scene() -> (Vec<u8>, Vec<bool>) {
        let window = (0..64 * 64 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let mask = (0..64 * 64).map(|i| (20..40).contains(&(i % 64)) && (20..40).contains(&(i / 64))).collect();
        (window, mask)
    }

    #[test]
    fn the_hole_takes_the_lines_end_and_the_rest_is_kept_byte_for_byte() {
        let (window, mask) = scene();
        for steps in [1, 2, 3, 8] {
            let (mut filler, asked) = filler(value(200));
            let mut out = vec![0; window.len()];
            filler.fill(&window, &mask, steps, 5, &mut out).unwrap();
            for (i, &hole) in mask.iter().enumerate() {
                let expected = if hole { [200; 3] } else { [0, 1, 2].map(|c| window[3 * i + c]) };
                assert_eq!(out[3 * i..3 * i + 3], expected, "pixel {i} with {steps} steps");
            }
            let times: Vec<(f64, bool)> = (0..steps).map(|s| (1.0 - s as f64 / steps as f64, true)).collect();
            assert_eq!(*asked.lock().unwrap(), times);
        }
    }

    #[test]
    fn what_is_hidden_is_never_read() {
        let (window, mask) = scene();
        let mut other = window.clone();
        for (pixel, &hole) in other.chunks_exact_mut(3).zip(&mask) {
            if hole {
                pixel.iter_mut().for_each(|v| *v = 255 - *v);
            }
        }
        let (mut filler, _) = filler(0.3);
        let (mut a, mut b) = (vec![0; window.len()], vec![9; window.len()]);
        filler.fill(&window, &mask, 2, 1, &mut a).unwrap();
        filler.fill(&other, &mask, 2, 1, &mut b).unwrap();
        assert_eq!(a, b);
    }

    #[test]
    fn bad_calls_are_refused_and_show_nothing() {
        let (window, mask) = scene();
        let (mut filler, asked) = filler(0.0);
        let mut out = vec![7; window.len()];
        assert!(matches!(filler.fill(&window, &mask, 0, 0, &mut out), Err(FlowError::Steps { .. })));
        let shown = out.chunks_exact(3).zip(&mask).all(|(p, &hole)| !hole || p == [0; 3]);
        assert!(shown, "the hole is black after an error");
        assert!(matches!(filler.fill(&window, &mask, STEPS_MAX + 1, 0, &mut out), Err(FlowError::Steps { .. })));
        assert!(matches!(filler.fill(&window, &[true; 4096], 2, 0, &mut out), Err(FlowError::AllHole)));
        assert!(matches!(filler.fill(&window[3..], &mask, 2, 0, &mut out), Err(FlowError::Size { .. })));
        assert!(matches!(filler.fill(&window, &mask[1..], 2, 0, &mut out), Err(FlowError::Size { .. })));
        filler.fill(&window, &[false; 4096], 2, 0, &mut out).unwrap();
        assert_eq!(out, window);
        assert!(asked.lock().unwrap().is_empty());
    }

    /// A hole painted with no number at all would be black, and nobody would be told.
    #[test]
    fn a_network_that_gives_no_numbers_fails_and_shows_nothing() {
        let (window, mask) = scene();
        for colour in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (mut filler, _) = filler(colour);
            let mut out = vec![7; window.len()];
            let failed = filler.fill(&window, &mask, 2, 5, &mut out).unwrap_err();
            assert!(matches!(failed, FlowError::Run { .. }), "{failed}");
            assert!(out.chunks_exact(3).zip(&mask).all(|(p, &hole)| !hole || p == [0; 3]));
        }
    }

    #[test]
    fn pixels_and_values_are_inverse() {
        assert!((0..=255).all(|p| pixel(value(p)) == p));
        assert_eq!([pixel(-7.0), pixel(7.0), pixel(f32::NAN)], [0, 255, 0]);
    }
}
