//! Heads that read feature maps (1, channels, h, w), in float32 or as the bytes of an eight-bit plan.
//!
//! A head of this kind says which maps it reads and what a cell becomes ([`CellHead`]); [`OnMaps`] gives it both kinds
//! of maps, so that its formula stands once. Cells whose scores stay below the threshold are passed over before
//! anything else of them is read.

use std::fmt::Debug;
use std::ops::Range;

use super::candidates::{CANDIDATES_MAX, Candidates};
use super::family::{ByteDecoder, Head, Outputs};
use super::options::DetectOptions;
use super::prototypes::Prototypes;
use lapwing_engine::ir::{Output, Part, Shape, Signature};
use lapwing_engine::manifest::STRIDES_MAX;
use lapwing_engine::plan::{Plan, View};

/// Most maps that a head reads.
pub const MAPS_MAX: usize = 3 * STRIDES_MAX + 1;

/// A feature map.
pub trait Map {
    /// The value of one channel of the cell in row `y`, column `x`.
    fn value(&self, channel: usize, y: usize, x: usize) -> f32;

    /// Calls `each` with the (y, x) of every cell of which a channel in `channels` is greater than `least`, and the
    /// greatest of them.
    fn above(&self, channels: Range<usize>, least: f32, each: &mut dyn FnMut(usize, usize, f32));
}

/// Steps of a logit by which cells are counted, and how many of them there are from the least logit that is told apart.
const BINS_A_LOGIT: f32 = 64.0;
const BINS: usize = 1024;
const LOGIT_MIN: f32 = -8.0;

/// `least`, or more where more than [`CANDIDATES_MAX`] cells are above it: at least so many are still above what is given,
/// so that none of the best is lost, and the others need not be decoded.
pub fn raised<'m, M: Map + 'm>(maps: impl Iterator<Item = &'m M>, channels: &Range<usize>, least: f32) -> f32 {
    let base = least.max(LOGIT_MIN);
    let (mut counts, mut total) = ([0usize; BINS], 0);
    for map in maps {
        map.above(channels.clone(), least, &mut |_, _, greatest| {
            counts[(((greatest - base) * BINS_A_LOGIT) as usize).min(BINS - 1)] += 1;
            total += 1;
        });
    }
    if total <= CANDIDATES_MAX {
        return least;
    }
    let mut above = 0;
    for bin in (1..BINS).rev() {
        above += counts[bin];
        if above >= CANDIDATES_MAX {
            // what lies at the bin's edge is still above
            return base + (bin as f32 - 0.01) / BINS_A_LOGIT;
        }
    }
    least
}

/// What a family makes of a cell.
pub trait CellHead: Clone + Debug + Send + Sync + 'static {
    /// Shapes of the maps that it reads.
    fn maps(&self) -> Vec<Shape>;

    /// Adds the candidates of all cells; `maps` has those of [`CellHead::maps`], in their order.
    fn cells<M: Map>(&self, maps: &[M], options: &DetectOptions, into: &mut Candidates);

    /// Appends what the candidate of a cell has beside its box, see [`Head::carried`].
    fn carried<M: Map>(&self, maps: &[M], cell: u32, into: &mut Vec<f32>) {
        let _ = (maps, cell, into);
    }

    /// See [`Head::prototypes`].
    fn prototypes(&self) -> Option<Prototypes> {
        None
    }
}

/// A head on maps. Having one means that there are at most [`MAPS_MAX`] of them.
#[derive(Debug, Clone)]
pub struct OnMaps<H> {
    head: H,
    shapes: Vec<Shape>,
}

impl<H: CellHead> OnMaps<H> {
    /// # Errors
    /// If it reads too many maps.
    pub fn new(head: H) -> Result<OnMaps<H>, String> {
        let shapes = head.maps();
        match shapes.len() {
            0..=MAPS_MAX => Ok(OnMaps { head, shapes }),
            count => Err(format!("its head reads {count} outputs, more than the limit of {MAPS_MAX}")),
        }
    }

    /// The shapes as those of ONNX: (1, channels, h, w).
    pub fn expected(&self) -> Vec<Vec<usize>> {
        self.shapes.iter().map(|s| vec![1, s.channels, s.height, s.width]).collect()
    }
}

impl<H> OnMaps<H> {
    /// The maps in float32; `None` if one of them is not there.
    fn planes<'a>(&self, outputs: Outputs<'_, 'a>) -> Option<heapless::Vec<Planes<'a>, MAPS_MAX>> {
        let plane = |(index, &shape): (usize, &Shape)| outputs(index).and_then(|values| Planes::new(values, shape));
        self.shapes.iter().enumerate().map(plane).collect()
    }

    /// The maps as they lie in a plan; `None` if one of them is not there.
    fn views<'p>(&self, plan: &'p Plan) -> Option<heapless::Vec<View<'p>, MAPS_MAX>> {
        let outputs = &plan.signature().outputs;
        let is_ours = outputs.len() == self.shapes.len();
        outputs.iter().filter(|_| is_ours).map(|output| view(plan, output)).collect()
    }
}

impl<H: CellHead> Head for OnMaps<H> {
    fn decode<'a>(&self, outputs: Outputs<'_, 'a>, options: &DetectOptions, into: &mut Candidates) {
        if let Some(maps) = self.planes(outputs) {
            self.head.cells(&maps, options, into);
        }
    }

    fn carried<'a>(&self, outputs: Outputs<'_, 'a>, cell: u32, into: &mut Vec<f32>) {
        if let Some(maps) = self.planes(outputs) {
            self.head.carried(&maps, cell, into);
        }
    }

    fn prototypes(&self) -> Option<Prototypes> {
        self.head.prototypes()
    }

    fn byte_decoder(&self, network: &Signature) -> Option<Box<dyn ByteDecoder>> {
        let whole = |output: &Output, shape: &Shape| {
            let strides = [shape.width, 1, shape.width * shape.height];
            matches!(output.parts[..], [Part { tensor, base: 0, strides: found }]
                if found == strides && network.tensor(tensor).shape == *shape)
        };
        let reads = network.outputs.len() == self.shapes.len()
            && network.outputs.iter().zip(&self.shapes).all(|(output, shape)| whole(output, shape));
        reads.then(|| Box::new(self.clone()) as Box<dyn ByteDecoder>)
    }
}

impl<H: CellHead> ByteDecoder for OnMaps<H> {
    fn decode(&mut self, plan: &Plan, options: &DetectOptions, into: &mut Candidates) {
        if let Some(maps) = self.views(plan) {
            self.head.cells(&maps, options, into);
        }
    }

    fn carried(&self, plan: &Plan, cell: u32, into: &mut Vec<f32>) {
        if let Some(maps) = self.views(plan) {
            self.head.carried(&maps, cell, into);
        }
    }
}

impl Prototypes {
    /// Reads them into `values`, (h, w, channels); empty if they are not there.
    pub fn read<'a>(&self, outputs: Outputs<'_, 'a>, values: &mut Vec<f32>) {
        values.clear();
        if let Some(map) = outputs(self.output).and_then(|planes| Planes::new(planes, self.shape)) {
            self.read_map(&map, values);
        }
    }

    /// As [`Prototypes::read`], of a plan.
    pub fn read_bytes(&self, plan: &Plan, values: &mut Vec<f32>) {
        values.clear();
        if let Some(map) = plan.signature().outputs.get(self.output).and_then(|output| view(plan, output)) {
            self.read_map(&map, values);
        }
    }

    fn read_map<M: Map>(&self, map: &M, values: &mut Vec<f32>) {
        for y in 0..self.shape.height {
            for x in 0..self.shape.width {
                values.extend((0..self.shape.channels).map(|channel| map.value(channel, y, x)));
            }
        }
    }
}

/// An output that is one whole tensor, as it lies in a plan.
fn view<'p>(plan: &'p Plan, output: &Output) -> Option<View<'p>> {
    output.parts.first().map(|part| plan.view(part.tensor))
}

/// A map in float32: (channels, h, w).
struct Planes<'a> {
    values: &'a [f32],
    shape: Shape,
}

impl<'a> Planes<'a> {
    /// `None` if there are more or fewer values.
    fn new(values: &'a [f32], shape: Shape) -> Option<Planes<'a>> {
        (values.len() == shape.elements()).then_some(Planes { values, shape })
    }
}

impl Map for Planes<'_> {
    fn value(&self, channel: usize, y: usize, x: usize) -> f32 {
        self.values[(channel * self.shape.height + y) * self.shape.width + x]
    }

    fn above(&self, channels: Range<usize>, least: f32, each: &mut dyn FnMut(usize, usize, f32)) {
        for y in 0..self.shape.height {
            for x in 0..self.shape.width {
                let values = channels.clone().map(|channel| self.value(channel, y, x));
                let greatest = values.fold(f32::NEG_INFINITY, f32::max);
                if greatest > least {
                    each(y, x, greatest);
                }
            }
        }
    }
}

impl Map for View<'_> {
    fn value(&self, channel: usize, y: usize, x: usize) -> f32 {
        self.quant.real(View::value(self, y, x, channel))
    }

    fn above(&self, channels: Range<usize>, least: f32, each: &mut dyn FnMut(usize, usize, f32)) {
        // a greater byte is a greater number
        let Some(least) = (0..=255).find(|&q| self.quant.real(q) > least) else { return };
        for y in (0..self.shape.height).filter(|&y| self.most(y) >= least) {
            for x in 0..self.shape.width {
                let greatest = self.greatest(y, x, channels.clone());
                if greatest >= least {
                    each(y, x, self.quant.real(greatest));
                }
            }
        }
    }
}
