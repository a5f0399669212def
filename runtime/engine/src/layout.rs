//! Where each tensor lies: slabs in one arena.
//!
//! A slab is a picture of pixels (rows x columns x channels, channels innermost) with a border of
//! padding pixels around it. Tensors are ranges of channels of a slab: the inputs of a
//! concatenation lie side by side in the slab of its output and are never copied, and a slice is a
//! range of its input. Slabs whose lifetimes do not overlap share bytes.

use super::ir::{Graph, Op, Shape, TensorId};
use super::kernels::SLACK;
use super::kernels::memory::ALIGNMENT;

/// A picture in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slab {
    /// First byte of the border's first pixel.
    pub offset: usize,
    /// Rows and columns without the border; channels of all tensors in it.
    pub shape: Shape,
    /// Border pixels at the top, left, bottom and right.
    pub border: [usize; 4],
    /// Bytes a pixel: the channels rounded up to a multiple of four.
    pub pixel: usize,
    /// Index of the first and of the last node that uses it.
    pub life: (usize, usize),
    /// The tensor that takes all its channels; its zero point is what the border holds.
    pub tensor: TensorId,
    /// The second half of the channels are rests, see [`super::ir::Wide`].
    pub wide: bool,
}

impl Slab {
    /// Bytes from one row to the next.
    pub fn row(&self) -> usize {
        (self.shape.width + self.border[1] + self.border[3]) * self.pixel
    }

    /// Bytes of all rows, border included.
    pub fn bytes(&self) -> usize {
        self.row() * (self.shape.height + self.border[0] + self.border[2])
    }

    /// Offset of the first pixel inside the border.
    pub fn inner(&self) -> usize {
        self.offset + self.border[0] * self.row() + self.border[1] * self.pixel
    }
}

/// Where a tensor lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index of its slab.
    pub slab: usize,
    /// Its first channel in the slab.
    pub channel: usize,
}

/// Places of all tensors of a graph.
#[derive(Debug, Clone)]
pub struct Layout {
    /// All slabs.
    pub slabs: Vec<Slab>,
    /// By tensor.
    pub places: Vec<Place>,
    /// Bytes of the arena, slack included.
    pub bytes: usize,
}

impl Layout {
    /// Lays out a graph that passes [`Graph::check`].
    pub fn new(graph: &Graph) -> Layout {
        let wide = graph.wide();
        // the border of values and rests has a zero point for each half
        let mut fixed = wide.clone();
        graph.inputs.iter().for_each(|input| fixed[input.at()] = true);
        let parents = Parents::of(graph, &fixed);
        let mut slab_of_root = vec![usize::MAX; graph.tensors.len()];
        let mut slabs: Vec<Slab> = Vec::new();
        let mut places = Vec::with_capacity(graph.tensors.len());
        for index in 0..graph.tensors.len() {
            let (root, channel) = parents.root(index);
            if slab_of_root[root] == usize::MAX {
                slab_of_root[root] = slabs.len();
                let tensor = &graph.tensors[root];
                slabs.push(Slab {
                    offset: 0,
                    shape: tensor.shape,
                    border: [0; 4],
                    pixel: tensor.shape.channels.next_multiple_of(4),
                    life: (usize::MAX, 0),
                    tensor: TensorId(root as u32),
                    wide: wide[root],
                });
            }
            places.push(Place { slab: slab_of_root[root], channel });
        }
        let mut layout = Layout { slabs, places, bytes: 0 };
        layout.live(graph);
        layout.borders(graph);
        layout.share();
        layout
    }

    /// The slab of a tensor.
    pub fn slab(&self, id: TensorId) -> &Slab {
        &self.slabs[self.places[id.at()].slab]
    }

    /// Offset of a tensor's first value.
    pub fn first(&self, id: TensorId) -> usize {
        self.slab(id).inner() + self.places[id.at()].channel
    }

    /// True if the tensor is a range of the other's channels.
    pub fn within(&self, part: TensorId, whole: TensorId, channel: usize) -> bool {
        let (part, whole) = (self.places[part.at()], self.places[whole.at()]);
        part.slab == whole.slab && part.channel == whole.channel + channel
    }

    fn live(&mut self, graph: &Graph) {
        let mut touch = |id: TensorId, at: usize| {
            let slab = &mut self.slabs[self.places[id.at()].slab];
            slab.life = (slab.life.0.min(at), slab.life.1.max(at));
        };
        for &id in &graph.inputs {
            touch(id, 0);
        }
        for (at, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&id| touch(id, at));
            touch(node.output, at);
        }
        for part in graph.outputs.iter().flat_map(|o| &o.parts) {
            touch(part.tensor, graph.nodes.len());
        }
    }

    fn borders(&mut self, graph: &Graph) {
        for node in &graph.nodes {
            if let Op::Conv(conv) = &node.op {
                let slab = &mut self.slabs[self.places[node.inputs[0].at()].slab];
                for (border, pad) in slab.border.iter_mut().zip(conv.window.pad) {
                    *border = (*border).max(pad);
                }
            }
        }
    }

    /// Largest first, each at the lowest offset that no slab of its time uses.
    fn share(&mut self) {
        let size = |s: &Slab| s.bytes().next_multiple_of(ALIGNMENT);
        let mut order: Vec<usize> = (0..self.slabs.len()).collect();
        order.sort_by_key(|&i| (std::cmp::Reverse(size(&self.slabs[i])), i));
        let mut placed: Vec<usize> = Vec::with_capacity(order.len());
        let mut end = 0;
        for index in order {
            let life = self.slabs[index].life;
            let mut taken: Vec<(usize, usize)> = placed
                .iter()
                .map(|&p| &self.slabs[p])
                .filter(|s| s.life.0 <= life.1 && life.0 <= s.life.1)
                .map(|s| (s.offset, s.offset + size(s)))
                .collect();
            taken.sort_unstable();
            let needed = size(&self.slabs[index]);
            let mut offset = 0;
            for (from, to) in taken {
                if offset + needed <= from {
                    break;
                }
                offset = offset.max(to);
            }
            self.slabs[index].offset = offset;
            end = end.max(offset + needed);
            placed.push(index);
        }
        self.bytes = end + SLACK;
    }
}

/// Which tensor is a range of which other one.
struct Parents(Vec<Option<(usize, usize)>>);

impl Parents {
    /// A tensor that is `fixed` is not put into another one.
    fn of(graph: &Graph, fixed: &[bool]) -> Parents {
        let mut parents = Parents(vec![None; graph.tensors.len()]);
        for node in &graph.nodes {
            if let Op::Slice { start } = node.op {
                parents.0[node.output.at()] = Some((node.inputs[0].at(), start));
            }
        }
        // the last concatenation first: the largest slab takes its parts in
        for node in graph.nodes.iter().rev().filter(|n| matches!(n.op, Op::Concat)) {
            let mut channel = 0;
            let spans: Vec<(usize, usize)> = node
                .inputs
                .iter()
                .map(|id| {
                    let start = channel;
                    channel += graph.tensor(*id).shape.channels;
                    (id.at(), start)
                })
                .collect();
            for &(input, start) in &spans {
                if !fixed[parents.root(input).0] {
                    parents.embed(graph, input, start, node.output.at(), &spans);
                }
            }
        }
        parents
    }

    /// The tensor that holds this one in the end, and the first channel there.
    fn root(&self, mut tensor: usize) -> (usize, usize) {
        let mut channel = 0;
        while let Some((parent, start)) = self.0[tensor] {
            channel += start;
            tensor = parent;
        }
        (tensor, channel)
    }

    /// Puts `input`, or the whole that it is a slice of, into `output` at `start`, if all that then
    /// lies there belongs there.
    fn embed(&mut self, graph: &Graph, input: usize, start: usize, output: usize, spans: &[(usize, usize)]) {
        let (root, inside) = self.root(input);
        let Some(at) = start.checked_sub(inside) else { return };
        let channels = graph.tensors[root].shape.channels;
        let whole = at + channels <= graph.tensors[output].shape.channels;
        let same = graph.tensors[root].quant == graph.tensors[output].quant;
        // every other input of the concatenation that would share these channels must be the same data
        let agreed = spans.iter().all(|&(other, other_start)| {
            let end = other_start + graph.tensors[other].shape.channels;
            let apart = end <= at || at + channels <= other_start;
            apart || self.root(other) == (root, other_start.wrapping_sub(at))
        });
        if whole && root != output && same && agreed {
            self.0[root] = Some((output, at));
        }
    }
}
