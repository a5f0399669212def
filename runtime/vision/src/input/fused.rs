//! One pass from a camera's picture to the network's input.
//!
//! Converting to RGB, resizing and quantizing one after another touches every pixel of the picture three times, most of
//! them for nothing: the network's picture is the smaller one. Here the rows are blended first, as the bytes that they
//! are, whatever the format; then the columns of the blended row; and only what is left, one pixel of the input, is
//! turned into RGB and looked up in the quantization table. As the way from YUV to RGB is linear, the order makes no
//! difference but for the rounding, and for colours outside RGB's cube, which are cut off here after the averaging and
//! there before it.
//!
//! It promises to be within [`LEVELS_OFF_MAX`] of the exact result, and to ask for memory only when the picture's format
//! or size changes. It holds no `unsafe`; its inner loops are plain enough for the compiler to make vectors of.

use super::Fitting;
use super::taps::{ONE, Taps};
use lapwing_camera::frame::raw::{Component, Components, PixelFormat, Raw};
use lapwing_camera::frame::yuv::{Matrix, Range};
use lapwing_engine::manifest::Resize;

/// The most by which a level (0 to 255) is off, against exact arithmetic.
pub const LEVELS_OFF_MAX: f64 = 1.0;

/// The shifts that [`Component::shift_x`] and the planes' vertical ones can have: 0 and 1.
const SHIFTS: usize = 2;
/// Fraction bits of a blended sample.
const BLENDED_BITS: u32 = 8;
const ONE_BITS: u32 = ONE.trailing_zeros();

/// Format and size of the picture, and the size that it is brought to.
type Kind = (PixelFormat, (u32, u32), (u32, u32));

/// What one kind of picture needs; made anew when the kind changes.
#[derive(Debug)]
struct Plan {
    kind: Kind,
    /// By halvings of the resolution.
    across: [Taps; SHIFTS],
    down: [Taps; SHIFTS],
}

/// The fused pass with its buffers.
#[derive(Debug)]
pub(super) struct Fused {
    filter: Resize,
    plan: Option<Plan>,
    /// Sums of one blended row of a plane, times [`ONE`].
    sums: Vec<u32>,
    /// Blended rows of the three components, with [`BLENDED_BITS`] fraction bits.
    lines: [Vec<u16>; 3],
    /// One row of the result, (w, 3).
    row: Vec<u8>,
}

impl Fused {
    /// A pass that resizes by `filter`; its buffers come with the first picture.
    pub(super) fn new(filter: Resize) -> Fused {
        Fused { filter, plan: None, sums: Vec::new(), lines: Default::default(), row: Vec::new() }
    }

    /// Brings `raw` to the size that `fitting` states; gives each row of the result, (w, 3) in RGB, to `put`.
    pub(super) fn run(&mut self, raw: &Raw<'_>, fitting: &Fitting, mut put: impl FnMut(usize, &[u8])) {
        let layout = raw.layout();
        let kind = (layout.format(), (layout.width(), layout.height()), (fitting.width, fitting.height));
        let plan = match &mut self.plan {
            Some(plan) if plan.kind == kind => plan,
            plan => plan.insert(Plan::new(kind, self.filter)),
        };
        let matrix = Matrix::of(layout.colour());
        let components = layout.format().components();
        self.row.resize(fitting.width as usize * 3, 0);
        for y in 0..fitting.height as usize {
            match components {
                Components::Grey(luma) => {
                    blend(raw, plan, y, &[luma], &mut self.sums, &mut self.lines);
                    let luma = Line::new(&self.lines[0], &plan.across[0]);
                    for (x, pixel) in self.row.chunks_exact_mut(3).enumerate() {
                        pixel.copy_from_slice(&matrix.pixel_from_sixteenths([luma.at(x), NEUTRAL, NEUTRAL]));
                    }
                }
                Components::Yuv(parts) => {
                    blend(raw, plan, y, &parts, &mut self.sums, &mut self.lines);
                    let [luma, u, v] = lines(&self.lines, plan, &parts);
                    for (x, pixel) in self.row.chunks_exact_mut(3).enumerate() {
                        pixel.copy_from_slice(&matrix.pixel_from_sixteenths([luma.at(x), u.at(x), v.at(x)]));
                    }
                }
                Components::Rgb(parts) => {
                    blend(raw, plan, y, &parts, &mut self.sums, &mut self.lines);
                    let rgb = lines(&self.lines, plan, &parts);
                    let full = layout.colour().range == Range::Full;
                    for (x, pixel) in self.row.chunks_exact_mut(3).enumerate() {
                        for (value, line) in pixel.iter_mut().zip(&rgb) {
                            let sixteenths = line.at(x);
                            *value = if full {
                                ((sixteenths + 8) >> 4) as u8
                            } else {
                                matrix.pixel_from_sixteenths([sixteenths, NEUTRAL, NEUTRAL])[0]
                            };
                        }
                    }
                }
            }
            put(y, &self.row);
        }
    }
}

/// No colour, in sixteenths.
const NEUTRAL: i32 = 128 * 16;

impl Plan {
    fn new(kind: Kind, filter: Resize) -> Plan {
        let (_, (width, height), (to_width, to_height)) = kind;
        let taps = |from: u32, to: u32| [0, 1].map(|shift| Taps::new(filter, from as usize, to as usize, shift));
        Plan { kind, across: taps(width, to_width), down: taps(height, to_height) }
    }
}

/// Blends the rows of the picture that row `y` of the result is made of, and takes the components apart.
fn blend(raw: &Raw<'_>, plan: &Plan, y: usize, parts: &[Component], sums: &mut Vec<u32>, lines: &mut [Vec<u16>; 3]) {
    let format = raw.layout().format();
    let mut blended = usize::MAX; // the plane that `sums` holds
    for (part, line) in parts.iter().zip(lines) {
        if part.plane != blended {
            let (first, weights) = plan.down[format.shift_y(part.plane) as usize % SHIFTS].of(y);
            sums.clear();
            sums.resize(format.row_bytes(part.plane, raw.layout().width()), 0);
            for (index, weights) in weights.chunks(4).enumerate() {
                add_rows(sums, |row| raw.row(part.plane, first + index * 4 + row), weights);
            }
            blended = part.plane;
        }
        let samples = (raw.layout().width() as usize).div_ceil(1 << part.shift_x);
        line.resize(samples, 0);
        let round = 1 << (ONE_BITS - BLENDED_BITS - 1);
        let taken = sums[part.at..].iter().step_by(part.step);
        for (value, sum) in line.iter_mut().zip(taken) {
            *value = ((sum + round) >> (ONE_BITS - BLENDED_BITS)) as u16;
        }
    }
}

/// Adds up to four weighted rows.
fn add_rows<'a>(sums: &mut [u32], row: impl Fn(usize) -> &'a [u8], weights: &[u16]) {
    if let [a, b, c, d] = *weights {
        let rows = row(0).iter().zip(row(1)).zip(row(2).iter().zip(row(3)));
        for (sum, ((&p, &q), (&r, &s))) in sums.iter_mut().zip(rows) {
            *sum += weigh(a, p) + weigh(b, q) + weigh(c, r) + weigh(d, s);
        }
        return;
    }
    for (index, &weight) in weights.iter().enumerate() {
        for (sum, &sample) in sums.iter_mut().zip(row(index)) {
            *sum += weigh(weight, sample);
        }
    }
}

fn weigh(weight: u16, sample: u8) -> u32 {
    u32::from(weight) * u32::from(sample)
}

/// A blended row of one component with the weights that blend its columns.
struct Line<'a> {
    samples: &'a [u16],
    first: &'a [usize],
    weights: &'a [u16],
    count: usize,
}

fn lines<'a>(all: &'a [Vec<u16>; 3], plan: &'a Plan, parts: &[Component; 3]) -> [Line<'a>; 3] {
    [0, 1, 2].map(|i| Line::new(&all[i], &plan.across[parts[i].shift_x as usize % SHIFTS]))
}

impl<'a> Line<'a> {
    fn new(samples: &'a [u16], taps: &'a Taps) -> Line<'a> {
        let (first, weights) = taps.parts();
        Line { samples, first, weights, count: taps.count() }
    }

    /// Column `x` of the result, in sixteenths of a level.
    #[inline(always)]
    fn at(&self, x: usize) -> i32 {
        let from = self.first[x];
        let sum = match self.count {
            2 => self.sum::<2>(from, x),
            3 => self.sum::<3>(from, x),
            4 => self.sum::<4>(from, x),
            5 => self.sum::<5>(from, x),
            count => {
                let pairs = self.samples[from..from + count].iter().zip(&self.weights[x * count..]);
                pairs.map(|(&sample, &weight)| u32::from(sample) * u32::from(weight)).sum()
            }
        };
        const SHIFT: u32 = ONE_BITS + BLENDED_BITS - 4;
        ((sum + (1 << (SHIFT - 1))) >> SHIFT) as i32
    }

    #[inline(always)]
    fn sum<const COUNT: usize>(&self, from: usize, x: usize) -> u32 {
        let samples = &self.samples[from..][..COUNT];
        let weights = &self.weights[x * COUNT..][..COUNT];
        (0..COUNT).map(|i| u32::from(samples[i]) * u32::from(weights[i])).sum()
    }
}

#[cfg(test)]
#[path = "fused_tests.rs"]
mod tests;
