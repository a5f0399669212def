//! What eight bits cost: velocity and fills against the same network in float32.

use serde::Serialize;

use super::windows::{Uniform, hole};
use crate::filler::Filler;
use crate::network::{Asked, VelocityNetwork, context_values, unknown};
use crate::normal::Normal;
use crate::pixel::value;
use crate::{FlowError, FlowManifest};

/// Times at which velocities are compared.
pub const TIMES: [f64; 8] = [1.0, 0.75, 0.5, 0.25, 0.125, 0.1, 0.05, 0.02];
/// Numbers of steps at which fills are compared.
pub const STEPS: [usize; 3] = [1, 2, 4];
/// Places tried for a hole that meets no object.
const TRIES: u64 = 12;

/// A window with a hole.
pub struct Holed {
    /// (side, side, 3).
    pub window: Vec<u8>,
    /// (side, side); true in the hole.
    pub mask: Vec<bool>,
}

impl Holed {
    /// A hole, 20 to 80 % of the side, that meets none of `objects` (x0, y0, x1, y1 in pixels of the
    /// window); none if no place was found.
    pub fn new(window: &[u8], side: usize, objects: &[[f32; 4]], seed: u64) -> Option<Holed> {
        let mut context = vec![0f32; side * side * 4];
        (0..TRIES).find_map(|attempt| {
            hole(&mut Uniform::new(seed, attempt), side, window, &mut context);
            let mask: Vec<bool> = context.chunks_exact(4).map(|pixel| pixel[3] > 0.0).collect();
            let inside = |b: &[f32; 4], i: usize| {
                let (x, y) = ((i % side) as f32, (i / side) as f32);
                x + 1.0 > b[0] && x < b[2] && y + 1.0 > b[1] && y < b[3]
            };
            let met = mask.iter().enumerate().any(|(i, &hole)| hole && objects.iter().any(|b| inside(b, i)));
            (!met).then(|| Holed { window: window.to_vec(), mask })
        })
    }
}

/// The comparison.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cost {
    /// By time: mean square of the difference over that of the velocity, in jump mode and of the flow.
    pub velocity_error: Vec<(f64, f64, f64)>,
    /// By number of steps; empty for a flow that fills no holes.
    pub fills: Vec<FillCost>,
    /// Windows compared.
    pub windows: usize,
}

/// Mean PSNR inside the holes, dB.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FillCost {
    /// Euler steps.
    pub steps: usize,
    /// Float32 values against the picture.
    pub float_db: f64,
    /// Eight bits against the picture.
    pub int8_db: f64,
    /// Eight bits against float32 values, of the mean square over all holes.
    pub between_db: f64,
}

/// Compares velocities at [`TIMES`].
///
/// # Errors
/// The networks'.
pub fn velocities(
    float: &mut dyn VelocityNetwork,
    int8: &mut dyn VelocityNetwork,
    windows: &[Holed],
) -> Result<Vec<(f64, f64, f64)>, FlowError> {
    let manifest: FlowManifest = float.manifest().clone();
    let mut buffers = [vec![0f32; manifest.values()], vec![0f32; manifest.values()]];
    let mut context = vec![0f32; context_values(&manifest)];
    let mut found = Vec::new();
    for t in TIMES {
        let mut errors = [0.0; 2];
        for (mode, error) in errors.iter_mut().enumerate() {
            let (mut off, mut power) = (0.0, 0.0);
            for (index, holed) in windows.iter().enumerate() {
                let mut eps = vec![0f32; manifest.values()];
                Normal::new(index as u64, 7).fill(&mut eps);
                let x: Vec<f32> = holed
                    .window
                    .iter()
                    .zip(&eps)
                    .map(|(&p, eps)| (1.0 - t) as f32 * value(p) + t as f32 * eps)
                    .collect();
                if !context.is_empty() {
                    surroundings(holed, &mut context);
                }
                let label =
                    if context.is_empty() { index % manifest.condition.labels } else { manifest.condition.null_label };
                let asked = Asked { t, label, jump: mode == 0 };
                let [a, b] = &mut buffers;
                float.velocity(&x, &context, asked, a)?;
                int8.velocity(&x, &context, asked, b)?;
                off += a.iter().zip(&*b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
                power += a.iter().map(|a| f64::from(*a).powi(2)).sum::<f64>();
            }
            *error = off / power.max(f64::MIN_POSITIVE);
        }
        found.push((t, errors[0], errors[1]));
    }
    Ok(found)
}

/// Compares fills at [`STEPS`].
///
/// # Errors
/// The networks'.
pub fn fills(float: &mut Filler, int8: &mut Filler, windows: &[Holed]) -> Result<Vec<FillCost>, FlowError> {
    let mut all = Vec::new();
    for steps in STEPS {
        let mut cost = FillCost { steps, ..FillCost::default() };
        let (mut between, mut count) = (0.0, 0.0);
        for (index, Holed { window, mask }) in windows.iter().enumerate() {
            let mut out = [vec![0u8; window.len()], vec![0u8; window.len()]];
            float.fill(window, mask, steps, index as u64, &mut out[0])?;
            int8.fill(window, mask, steps, index as u64, &mut out[1])?;
            let hole = 3.0 * mask.iter().filter(|&&m| m).count() as f64;
            let squares = |a: &[u8], b: &[u8]| -> f64 {
                a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
            };
            let db = |squares: f64| 10.0 * (255f64 * 255.0 * hole / squares.max(1e-4 * hole)).log10();
            cost.float_db += db(squares(window, &out[0])) / windows.len() as f64;
            cost.int8_db += db(squares(window, &out[1])) / windows.len() as f64;
            between += squares(&out[0], &out[1]);
            count += hole;
        }
        cost.between_db = 10.0 * (255f64 * 255.0 * count / between.max(1e-4)).log10();
        all.push(cost);
    }
    Ok(all)
}

fn surroundings(holed: &Holed, context: &mut [f32]) {
    unknown(context);
    for ((to, pixel), &hole) in context.chunks_exact_mut(4).zip(holed.window.chunks_exact(3)).zip(&holed.mask) {
        if !hole {
            to[..3].iter_mut().zip(pixel).for_each(|(to, &p)| *to = value(p));
            to[3] = 0.0;
        }
    }
}
