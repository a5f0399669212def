//! Pictures and holes to calibrate on.

use crate::crop::cut;
use crate::network::{Asked, VelocityNetwork, context_values, unknown};
use crate::normal::Normal;
use crate::pixel::value;
use crate::{FlowError, FlowManifest};
use lapwing_camera::frame::Frame;

/// Most windows that are kept.
pub const WINDOWS_MAX: usize = 512;
/// Inputs drawn for a band.
pub const DRAWS: usize = 32;

/// One input of the velocity network.
pub struct Drawn {
    /// (side, side, 3).
    pub x: Vec<f32>,
    /// (side, side, 4), or empty.
    pub context: Vec<f32>,
    /// Time, label and mode.
    pub asked: Asked,
}

/// Square windows of pictures at a flow's size.
pub struct Windows {
    side: usize,
    most: usize,
    seen: u64,
    kept: Vec<Vec<u8>>, // (side, side, 3)
}

impl Windows {
    /// Keeps at most `most` windows of `side` pixels.
    pub fn new(side: usize, most: usize) -> Windows {
        Windows { side, most: most.clamp(1, WINDOWS_MAX), seen: 0, kept: Vec::new() }
    }

    /// Windows kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// True before the first.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The windows, (side, side, 3).
    pub fn kept(&self) -> &[Vec<u8>] {
        &self.kept
    }

    /// Takes one window of a frame, of random place and size; beyond the most that are kept, each
    /// frame has the same chance (reservoir sampling, Vitter 1985).
    ///
    /// # Errors
    /// The resizer's words.
    pub fn add(&mut self, frame: &Frame) -> Result<(), String> {
        let mut draw = Uniform::new(self.seen, 1);
        self.seen += 1;
        let place = match self.kept.len() < self.most {
            true => self.kept.len(),
            false => (draw.uniform() * self.seen as f64) as usize,
        };
        if place >= self.most {
            return Ok(());
        }
        let (made, _) = window(frame, self.side, self.seen)?;
        if place < self.kept.len() {
            self.kept[place] = made
        } else {
            self.kept.push(made)
        }
        Ok(())
    }

    /// Inputs of a band of t: half in jump mode (of those, half as an Euler step from noise leaves
    /// them), half in the flow's own; a quarter whole pictures by class, the others with a hole.
    ///
    /// # Errors
    /// The network's.
    pub fn draw(
        &self,
        band: u64,
        [t_min, t_max]: [f64; 2],
        manifest: &FlowManifest,
        network: &mut dyn VelocityNetwork,
    ) -> Result<Vec<Drawn>, FlowError> {
        let mut all = Vec::with_capacity(DRAWS);
        for index in 0..DRAWS {
            let mut draw = Uniform::new(band, 1 + index as u64);
            let window = (draw.uniform() * self.kept.len() as f64) as usize;
            let Some(window) = self.kept.get(window) else { break };
            let jump = index % 2 == 0;
            let t = if jump { t_max } else { t_min + (t_max - t_min) * draw.uniform() };
            let class = (draw.uniform() * manifest.condition.labels as f64) as usize;
            let mut eps = vec![0f32; window.len()];
            Normal::new(band, 1000 + index as u64).fill(&mut eps);
            let mut context = vec![0f32; context_values(manifest)];
            let whole = context.is_empty() || index % 4 == 3;
            if whole {
                unknown(&mut context);
            } else {
                hole(&mut draw, self.side, window, &mut context);
            }
            let label = if whole { class } else { manifest.condition.null_label };
            let asked = Asked { t, label, jump };
            let mut x: Vec<f32> =
                window.iter().zip(&eps).map(|(&p, eps)| (1.0 - t) as f32 * value(p) + t as f32 * eps).collect();
            if jump && index % 4 == 0 && t < 1.0 {
                let mut v = vec![0f32; x.len()];
                network.velocity(&eps, &context, Asked { t: 1.0, ..asked }, &mut v)?;
                for (i, x) in x.iter_mut().enumerate() {
                    if context.get(i / 3 * 4 + 3).is_none_or(|mask| *mask > 0.0) {
                        *x = eps[i] + (t - 1.0) as f32 * v[i];
                    }
                }
            }
            all.push(Drawn { x, context, asked });
        }
        Ok(all)
    }
}

/// A window of random place and size, at `side` pixels, and its left, top and size in the frame.
///
/// # Errors
/// The resizer's words.
pub fn window(frame: &Frame, side: usize, seed: u64) -> Result<(Vec<u8>, [f64; 3]), String> {
    let mut draw = Uniform::new(seed, 0);
    let (w, h) = (f64::from(frame.width()), f64::from(frame.height()));
    let least = w.min(h).min(side as f64);
    let size = least + draw.uniform() * (w.min(h) - least);
    let (left, top) = (draw.uniform() * (w - size), draw.uniform() * (h - size));
    Ok((cut(frame, [left, top, size, size], side)?, [left, top, size]))
}

/// A rectangle of 20 to 80 % of the side.
pub(super) fn hole(draw: &mut Uniform, side: usize, window: &[u8], context: &mut [f32]) {
    let mut span = || {
        let length = (0.2 + 0.6 * draw.uniform()) * side as f64;
        let first = draw.uniform() * (side as f64 - length);
        first as usize..(first + length).ceil() as usize
    };
    let (rows, columns) = (span(), span());
    for (i, (to, pixel)) in context.chunks_exact_mut(4).zip(window.chunks_exact(3)).enumerate() {
        let inside = rows.contains(&(i / side)) && columns.contains(&(i % side));
        for (to, &p) in to.iter_mut().zip(pixel) {
            *to = if inside { 0.0 } else { value(p) };
        }
        to[3] = f32::from(u8::from(inside));
    }
}

/// Even numbers in 0..1, the same on every machine.
pub struct Uniform {
    at: usize,
    buffer: [f64; 64],
}

impl Uniform {
    /// Numbers of a stream.
    pub fn new(seed: u64, stream: u64) -> Uniform {
        let mut buffer = [0.0; 64];
        Normal::new(seed, stream).fill_f64(&mut buffer);
        Uniform { at: 0, buffer }
    }

    /// The next; a stream has 64 and then begins again.
    pub fn uniform(&mut self) -> f64 {
        let z = self.buffer[self.at % self.buffer.len()];
        self.at += 1;
        (0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)).min(1.0 - f64::EPSILON)
    }
}
