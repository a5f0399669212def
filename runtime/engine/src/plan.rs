//! A graph becomes steps: places in the arena, packed weights, nothing left to decide per run.

use super::ir::{Checked, Graph, Shape, Signature, TensorId};
use super::kernels::Kernels;
use super::kernels::arena::Arena;
use super::kernels::memory::Memory;
use super::kernels::program::{NotMade, Program, THREADS_MAX};
use super::kernels::scratch::Scratch;
use super::layout::Layout;
use super::planner::{Planner, region, scratch_bytes};
use super::quant::Quant;

/// Most bytes of a plan: of its tensors, of what its threads keep between two passes, and of its packed weights.
/// So many fit one allocation on processors of 32 bits.
pub const PLAN_BYTES_MAX: usize = (1 << 31) - (1 << 24);

/// A graph that is ready to run on this processor. It keeps the graph's ends, not its weights: whoever lets go
/// of the graph gives its memory back.
pub struct Plan {
    signature: Signature,
    layout: Layout,
    program: Program,
    /// What values are xored with before they are multiplied, see `kernels::set`.
    sign_xor: u8,
}

/// A tensor's bytes after a run: value (y, x, c) is `bytes[y * row + x * pixel + c] ^ sign_xor`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// From the first value on.
    pub bytes: &'a [u8],
    /// What values are xored with before they are multiplied, see `kernels::set`.
    pub sign_xor: u8,
    /// Bytes to the next row.
    pub row: usize,
    /// Bytes to the next pixel.
    pub pixel: usize,
    /// Extents.
    pub shape: Shape,
    /// What the numbers stand for.
    pub quant: Quant,
}

impl View<'_> {
    /// The channels of one pixel.
    pub fn pixel(&self, y: usize, x: usize) -> impl Iterator<Item = u8> {
        let sign_xor = self.sign_xor;
        self.stored(y, x).iter().map(move |byte| byte ^ sign_xor)
    }

    /// The greatest of some channels of a pixel; 0 of none.
    pub fn greatest(&self, y: usize, x: usize, channels: std::ops::Range<usize>) -> u8 {
        // as in `most`
        self.stored(y, x)[channels].iter().fold(0u8, |most, byte| most.max(byte ^ self.sign_xor))
    }

    /// The greatest value of row `y`.
    pub fn most(&self, y: usize) -> u8 {
        let Shape { width, channels, .. } = self.shape;
        // without a branch, so that it is compiled to vectors
        let most = |bytes: &[u8]| bytes.iter().fold(0u8, |most, byte| most.max(byte ^ self.sign_xor));
        if self.pixel == channels {
            most(&self.bytes[y * self.row..][..width * channels])
        } else {
            (0..width).map(|x| most(self.stored(y, x))).max().unwrap_or(0)
        }
    }

    /// Value (y, x, c).
    pub fn value(&self, y: usize, x: usize, c: usize) -> u8 {
        self.bytes[y * self.row + x * self.pixel + c] ^ self.sign_xor
    }

    /// The channels of one pixel as they lie in memory.
    fn stored(&self, y: usize, x: usize) -> &[u8] {
        let at = y * self.row + x * self.pixel;
        &self.bytes[at..at + self.shape.channels]
    }
}

impl Plan {
    /// Lays the graph out and packs its weights.
    ///
    /// # Errors
    /// The node and what is wrong with it, that it needs more than [`PLAN_BYTES_MAX`] or than the system has, or
    /// that a thread could not be started.
    pub fn new(graph: &Checked<Graph>, kernels: &'static Kernels, threads: usize) -> Result<Plan, String> {
        let layout = Layout::new(graph)?;
        let threads = threads.clamp(1, THREADS_MAX);
        let scratch = Scratch { first: layout.bytes, bytes: scratch_bytes(graph, kernels), threads };
        let bytes = scratch.bytes.checked_mul(threads).and_then(|all| all.checked_add(layout.bytes));
        let planner = Planner { graph, layout: &layout, kernels, scratch };
        let units = planner.units();
        let all = bytes.and_then(|bytes| Memory::footprint::<u8>(bytes).checked_add(planner.footprint(&units)));
        let (Some(bytes), Some(all)) = (bytes, all.filter(|&all| all <= PLAN_BYTES_MAX)) else {
            return Err(format!("its tensors and packed weights need more than {PLAN_BYTES_MAX} bytes"));
        };
        let memory = Memory::new(all).ok_or_else(|| format!("the system has not the {all} bytes that it needs"))?;
        let arena = Arena::new(memory.take(bytes));
        let work = planner.work(&units, threads, &memory)?;
        let program = Program::new(work, kernels, arena, threads).map_err(|error| match error {
            NotMade::Step { node, what } => {
                format!("node {:?}: {what}", graph.nodes.get(node).map_or("", |node| &node.name))
            }
            NotMade::Thread(error) => no_thread(error),
        })?;
        Ok(Plan { signature: Signature::of(graph), layout, program, sign_xor: kernels.sign_xor })
    }

    /// Another plan of the same weights, which are packed once for both, with tensors and threads of its own.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn sharing_weights(&self) -> Result<Plan, String> {
        let program = self.program.sharing_weights().map_err(no_thread)?;
        Ok(Plan { signature: self.signature.clone(), layout: self.layout.clone(), program, sign_xor: self.sign_xor })
    }

    /// Takes the numbers of `graph`, whose structure is that of the graph this was made of, in place.
    ///
    /// # Errors
    /// The node and what is wrong with its numbers, or that another plan shares them; nothing has changed then.
    pub(super) fn set_params(&mut self, graph: &Checked<Graph>) -> Result<(), String> {
        self.program.set_params(graph)?;
        self.signature.tensors.clone_from(&graph.tensors);
        Ok(())
    }

    /// What it takes and gives.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The name of the instruction set that it runs on.
    pub fn kernels(&self) -> &'static str {
        self.program.kernels()
    }

    /// Threads that share the work.
    pub fn threads(&self) -> usize {
        self.program.threads()
    }

    /// Bytes of packed weights.
    pub fn weight_bytes(&self) -> usize {
        self.program.weight_bytes()
    }

    /// Indices of the nodes that take fewer multiplications than they have products: convolutions by Winograd's
    /// minimal filtering.
    pub fn winograd_nodes(&self) -> Vec<usize> {
        self.program.winograd_nodes()
    }

    /// Bytes of all tensors.
    pub fn arena_bytes(&self) -> usize {
        self.layout.bytes
    }

    /// Writes the whole of input `index`: (row, column, channel) values.
    pub fn write(&mut self, index: usize, values: &[u8]) {
        let Some(&id) = self.signature.inputs.get(index) else { return };
        let Shape { width, channels, .. } = self.signature.tensor(id).shape;
        for (y, row) in values.chunks_exact(width * channels).enumerate() {
            self.write_row(index, y, row);
        }
    }

    /// Writes row `y` of input `index`: (column, channel) values; a short slice leaves the pixels it does
    /// not hold whole as they are.
    pub fn write_row(&mut self, index: usize, y: usize, values: &[u8]) {
        let Some(&id) = self.signature.inputs.get(index) else { return };
        let region = region(&self.layout, &self.signature.tensors, id);
        let Shape { height, width, channels } = region.shape;
        if y >= height {
            return;
        }
        let row = &mut self.program.bytes_mut()[region.first + y * region.row..][..width * region.pixel];
        let sign_xor = self.sign_xor;
        if (channels, region.pixel) == (3, 4) {
            // a picture, whose slab is its own, so that the fourth byte is nobody's: arrays let the
            // compiler load and store vectors of pixels
            for (to, &[red, green, blue]) in row.as_chunks_mut::<4>().0.iter_mut().zip(values.as_chunks::<3>().0) {
                *to = [red ^ sign_xor, green ^ sign_xor, blue ^ sign_xor, 0];
            }
            return;
        }
        for (to, from) in row.chunks_exact_mut(region.pixel).zip(values.chunks_exact(channels)) {
            for (to, from) in to[..channels].iter_mut().zip(from) {
                *to = from ^ sign_xor;
            }
        }
    }

    /// Runs the network on the input that was written.
    pub fn run(&mut self) {
        self.program.run();
    }

    /// Runs the network and tells the time of each step and the indices of its nodes, which are several where
    /// convolutions are computed as one.
    pub fn run_timed(&mut self, told: impl FnMut(std::ops::Range<usize>, std::time::Duration)) {
        self.program.run_timed(told);
    }

    /// A tensor of the last run that an output refers to; another tensor's bytes may be reused.
    pub fn view(&self, id: TensorId) -> View<'_> {
        let region = region(&self.layout, &self.signature.tensors, id);
        View {
            bytes: &self.program.bytes()[region.first..],
            sign_xor: self.sign_xor,
            row: region.row,
            pixel: region.pixel,
            shape: region.shape,
            quant: self.signature.tensor(id).quant,
        }
    }

    /// Output `index` in float32, in the original network's order; `into` takes its length.
    pub fn real_output(&self, index: usize, into: &mut Vec<f32>) {
        let Some(output) = self.signature.outputs.get(index) else { return };
        into.resize(output.shape.iter().product(), 0.0);
        for part in &output.parts {
            let view = self.view(part.tensor);
            let real: [f32; 256] = std::array::from_fn(|byte| view.quant.real(byte as u8 ^ view.sign_xor));
            let [sy, sx, sc] = part.strides;
            for y in 0..view.shape.height {
                for x in 0..view.shape.width {
                    for (c, &byte) in view.stored(y, x).iter().enumerate() {
                        into[part.base + y * sy + x * sx + c * sc] = real[usize::from(byte)];
                    }
                }
            }
        }
    }
}

fn no_thread(error: std::io::Error) -> String {
    format!("starting a thread: {error}")
}
