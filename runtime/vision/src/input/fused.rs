//! One pass from a picture, as a camera gives it, to the network's input.
//!
//! Converting to RGB, resizing and quantizing one after another touches every pixel of the picture three times, most of
//! them for nothing: the network's picture is the smaller one. Here the rows are blended first, as the bytes that they
//! are, whatever the format; then the columns of the blended row; and only what is left, one pixel of the input, is
//! turned into RGB and looked up in the quantization table. As the way from YUV to RGB is linear, the order makes no
//! difference but for the rounding, and for colours outside RGB's cube, which are cut off here after the averaging and
//! there before it.
//!
//! Components are never taken apart: the weights of a column have zeros where samples of the others lie ([`Columns`]).
//!
//! It promises to be within [`LEVELS_OFF_MAX`] of the exact result, and to ask for memory only when the picture's format
//! or size changes. It holds no `unsafe`.

use super::Fitting;
use super::taps::Taps;
use lapwing_camera::frame::raw::{Component, Components, PLANES_MAX, PixelFormat, Raw};
use lapwing_camera::frame::yuv::Matrix;
use lapwing_engine::kernels::lanes::{self, Block, COLUMN_BITS, Columns, LANES, Lanes, Mix, Pass};
use lapwing_engine::manifest::Resize;

/// The most by which a level (0 to 255) is off, against exact arithmetic, of pictures whose sides are at most a hundred
/// times those of the input. (Of larger ones weights of less than half of 2^-14 are lost.)
pub const LEVELS_OFF_MAX: f64 = 1.0;

/// The shifts that the planes' vertical resolution can have: 0 and 1.
const SHIFTS: usize = 2;
/// Rows that are blended at once.
const ROWS: usize = 4;
/// No colour, in sixteenths.
const NEUTRAL: i16 = 128 << COLUMN_BITS;

/// Format and size of the picture, and the size that it is brought to.
type Kind = (PixelFormat, (u32, u32), (u32, u32));

/// What one kind of picture needs; made anew when the kind changes.
#[derive(Debug)]
struct Plan {
    kind: Kind,
    /// By halvings of the resolution; those that no plane has are empty.
    down: [Taps; SHIFTS],
    /// Of the first component, and of the others.
    across: [Columns; 2],
}

/// The fused pass with its buffers.
#[derive(Debug)]
pub(super) struct Fused {
    filter: Resize,
    plan: Option<Plan>,
    /// Sums of more than [`ROWS`] rows.
    sums: Vec<[i32; LANES]>,
    /// Blended rows of the planes, and zeros behind them.
    blended: [Vec<i16>; PLANES_MAX],
    /// One row of the result, (w, 3) in RGB, and what fills the last block.
    row: Vec<u8>,
}

/// Takes row y of the result, (w, 3) in RGB.
type Put<'a> = dyn FnMut(usize, &[u8]) + 'a;

/// One picture that is brought to size. It is of one type, whoever takes the rows: so its code is there once.
struct Run<'a> {
    fused: &'a mut Fused,
    raw: &'a Raw<'a>,
    fitting: &'a Fitting,
    put: &'a mut Put<'a>,
}

impl Fused {
    /// A pass that resizes by `filter`; its buffers come with the first picture.
    pub(super) fn new(filter: Resize) -> Fused {
        Fused { filter, plan: None, sums: Vec::new(), blended: Default::default(), row: Vec::new() }
    }

    /// Brings `raw` to the size that `fitting` states; gives each row of the result to `put`.
    pub(super) fn run<'a>(&'a mut self, raw: &'a Raw<'a>, fitting: &'a Fitting, put: &'a mut Put<'a>) {
        lanes::best(self.pass(raw, fitting, put));
    }

    fn pass<'a>(&'a mut self, raw: &'a Raw<'a>, fitting: &'a Fitting, put: &'a mut Put<'a>) -> Run<'a> {
        let layout = raw.layout();
        let kind = (layout.format(), (layout.width(), layout.height()), (fitting.width, fitting.height));
        if self.plan.as_ref().is_none_or(|plan| plan.kind != kind) {
            self.prepare(kind);
        }
        Run { fused: self, raw, fitting, put }
    }

    /// Plans for a kind of picture, and sizes the buffers.
    fn prepare(&mut self, kind: Kind) {
        let (format, (width, _), (to_width, _)) = kind;
        let plan = self.plan.insert(Plan::new(kind, self.filter));
        // a component may begin some bytes behind the row's beginning
        let reach = plan.across.iter().map(Columns::reach).max().unwrap_or(0) + LANES;
        for (plane, line) in self.blended.iter_mut().enumerate().take(format.planes()) {
            line.clear();
            line.resize(format.row_bytes(plane, width).next_multiple_of(LANES).max(reach), 0);
        }
        self.row.resize((to_width as usize).next_multiple_of(LANES) * 3, 0);
    }
}

impl Pass for Run<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let layout = self.raw.layout();
        let format = layout.format();
        let components = format.components();
        let mixing = lanes.mixing(&mix_of(Matrix::of(layout.colour()), components));
        let Fused { plan: Some(plan), sums, blended, row, .. } = self.fused else { return };
        let row_bytes = self.fitting.width as usize * 3;
        for y in 0..self.fitting.height as usize {
            for (plane, line) in blended.iter_mut().enumerate().take(format.planes()) {
                let (first, weights) = plan.down[format.shift_y(plane) as usize % SHIFTS].of(y);
                blend(lanes, |row| self.raw.row(plane, first + row), weights, sums, line);
            }
            let [of_first, of_others] = &plan.across;
            let groups = |part: Component, columns| Columns::groups(columns, &blended[part.plane][part.at..]);
            let pixels = row.as_chunks_mut().0.iter_mut();
            match components {
                Components::Grey(luma) => {
                    let neutral = lanes.same(NEUTRAL);
                    for (luma, pixels) in groups(luma, of_first).zip(pixels) {
                        lanes.mix(&mixing, [lanes.columns(luma), neutral, neutral], pixels);
                    }
                }
                Components::Yuv([first, second, third]) | Components::Rgb([first, second, third]) => {
                    let all = groups(first, of_first).zip(groups(second, of_others)).zip(groups(third, of_others));
                    for (((first, second), third), pixels) in all.zip(pixels) {
                        let values = [lanes.columns(first), lanes.columns(second), lanes.columns(third)];
                        lanes.mix(&mixing, values, pixels);
                    }
                }
            }
            (self.put)(y, &row[..row_bytes]);
        }
    }
}

impl Plan {
    fn new(kind: Kind, filter: Resize) -> Plan {
        let (format, (width, height), (to_width, to_height)) = kind;
        let taps = |from: u32, to: u32, shift: u32| Taps::new(filter, from as usize, to as usize, shift);
        let has = |shift: u32| (0..format.planes()).any(|plane| format.shift_y(plane) == shift);
        let down = [0, 1].map(|shift| if has(shift) { taps(height, to_height, shift) } else { Taps::default() });
        let (first, others) = match format.components() {
            Components::Grey(part) => (part, part),
            Components::Yuv([first, others, _]) | Components::Rgb([first, others, _]) => (first, others),
        };
        let across = [first, others].map(|part| taps(width, to_width, part.shift_x).columns(part.step));
        Plan { kind, down, across }
    }
}

/// The way from a picture's components to red, green and blue. Red, green and blue of limited range are as luma is.
fn mix_of(matrix: &Matrix, components: Components) -> Mix {
    let (black, weights) = matrix.short();
    let (black, y) = (black << COLUMN_BITS, weights[0][0]);
    match components {
        Components::Rgb(_) => Mix { offsets: [black; 3], weights: [[y, 0, 0], [0, y, 0], [0, 0, y]] },
        Components::Yuv(_) | Components::Grey(_) => Mix { offsets: [black, NEUTRAL, NEUTRAL], weights },
    }
}

/// Blends the rows of a plane; what lies behind a row in `line` stays zero.
#[inline(always)]
fn blend<'a, L: Lanes>(
    lanes: L,
    row: impl Fn(usize) -> &'a [u8],
    weights: &[i16],
    sums: &mut Vec<[i32; LANES]>,
    line: &mut [i16],
) {
    let line = line.as_chunks_mut().0;
    if weights.len() <= ROWS {
        let (rows, weights) = four(&row, 0, weights);
        over_blocks(rows, line, |rows, block: &mut Block| {
            *block = lanes.blended(add(lanes, [0; LANES], rows, weights));
        });
        return;
    }
    sums.clear();
    sums.resize(row(0).len().div_ceil(LANES), [0; LANES]);
    for (group, weights) in weights.chunks(ROWS).enumerate() {
        let (rows, weights) = four(&row, group * ROWS, weights);
        over_blocks(rows, sums, |rows, sums| *sums = lanes.numbers(add(lanes, *sums, rows, weights)));
    }
    for (block, sums) in line.iter_mut().zip(sums) {
        *block = lanes.blended(lanes.sums(*sums));
    }
}

/// Up to four rows from `first` on with their weights; what is missing has no weight.
#[inline(always)]
fn four<'a>(row: impl Fn(usize) -> &'a [u8], first: usize, weights: &[i16]) -> ([&'a [u8]; ROWS], [i16; ROWS]) {
    let mut all = [0; ROWS];
    all[..weights.len()].copy_from_slice(weights);
    let at = |index: usize| row(first + index.min(weights.len() - 1));
    ([at(0), at(1), at(2), at(3)], all)
}

#[inline(always)]
fn add<L: Lanes>(lanes: L, sums: [i32; LANES], rows: [&[u8; LANES]; ROWS], weights: [i16; ROWS]) -> L::Sums {
    let [a, b, c, d] = rows;
    let [p, q, r, s] = weights;
    lanes.add_rows(lanes.add_rows(lanes.sums(sums), [a, b], [p, q]), [c, d], [r, s])
}

/// Calls `each` with blocks of the rows and what stands for them in `out`; the last block is filled up with zeros.
#[inline(always)]
fn over_blocks<T>(rows: [&[u8]; ROWS], out: &mut [T], each: impl Fn([&[u8; LANES]; ROWS], &mut T)) {
    let [a, b, c, d] = rows;
    let ((a, a_rest), (b, b_rest), (c, c_rest), (d, d_rest)) =
        (a.as_chunks(), b.as_chunks(), c.as_chunks(), d.as_chunks());
    let whole = a.len();
    for ((((a, b), c), d), out) in a.iter().zip(b).zip(c).zip(d).zip(&mut *out) {
        each([a, b, c, d], out);
    }
    if let Some(out) = out.get_mut(whole).filter(|_| !a_rest.is_empty()) {
        let mut filled = [[0; LANES]; ROWS];
        for (block, rest) in filled.iter_mut().zip([a_rest, b_rest, c_rest, d_rest]) {
            block[..rest.len()].copy_from_slice(rest);
        }
        let [a, b, c, d] = &filled;
        each([a, b, c, d], out);
    }
}

#[cfg(test)]
#[path = "fused_tests.rs"]
mod tests;
