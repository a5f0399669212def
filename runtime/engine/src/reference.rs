//! What a [`Graph`] must compute: one loop an operation, no memory shared, no order of bytes.
//!
//! This is the safe and slow twin of [`super::plan`]: tests hold every plan on every instruction
//! set equal to it, bit for bit.

use super::int16;
use super::ir::{Attention, Between, Conv, Graph, Node, Op, Shape, Tensor, Window};
use super::quant::{requantize, rounded};

/// Runs a graph that passes [`Graph::check`]; `inputs[i]` are the values of input i in the order
/// (row, column, channel). Returns the values of every tensor.
///
/// # Errors
/// If an input has not the size of its tensor.
pub fn run(graph: &Graph, inputs: &[&[u8]]) -> Result<Vec<Vec<u8>>, String> {
    let mut values: Vec<Vec<u8>> = vec![Vec::new(); graph.tensors.len()];
    for (id, given) in graph.inputs.iter().zip(inputs) {
        let expected = graph.tensor(*id).shape.elements();
        if given.len() != expected {
            return Err(format!("an input has {} values, it needs {expected}", given.len()));
        }
        values[id.at()] = given.to_vec();
    }
    for node in &graph.nodes {
        let read: Vec<View> =
            node.inputs.iter().map(|id| View { tensor: graph.tensor(*id), values: &values[id.at()] }).collect();
        let written = compute(node, &read, graph.tensor(node.output));
        values[node.output.at()] = written;
    }
    Ok(values)
}

#[derive(Clone, Copy)]
struct View<'a> {
    tensor: &'a Tensor,
    values: &'a [u8],
}

impl View<'_> {
    fn at(&self, y: usize, x: usize, c: usize) -> u8 {
        let Shape { width, channels, .. } = self.tensor.shape;
        self.values[(y * width + x) * channels + c]
    }

    /// The value less its zero point.
    fn centred(&self, y: usize, x: usize, c: usize) -> i32 {
        i32::from(self.at(y, x, c)) - i32::from(self.tensor.quant.zero)
    }
}

/// Calls `value(y, x, c)` for each place of the output.
fn each(shape: Shape, mut value: impl FnMut(usize, usize, usize) -> u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(shape.elements());
    for y in 0..shape.height {
        for x in 0..shape.width {
            for c in 0..shape.channels {
                out.push(value(y, x, c));
            }
        }
    }
    out
}

fn compute(node: &Node, inputs: &[View<'_>], output: &Tensor) -> Vec<u8> {
    let a = inputs[0];
    let zero = output.quant.zero;
    match &node.op {
        Op::Conv(conv) => each(output.shape, |y, x, c| conv_at(conv, a, y, x, c)),
        Op::Tables(tables) => each(output.shape, |y, x, c| tables[c][usize::from(a.at(y, x, c))]),
        Op::Table(table) => a.values.iter().map(|&q| table[usize::from(q)]).collect(),
        Op::Add { multipliers: [ma, mb] } => each(output.shape, |y, x, c| {
            let sum = a.centred(y, x, c) as f32 * ma + inputs[1].centred(y, x, c) as f32 * mb;
            rounded(sum, zero)
        }),
        Op::Mul { multiplier } => each(output.shape, |y, x, c| {
            let one = inputs[1].tensor.shape.height == 1 && inputs[1].tensor.shape.width == 1;
            let (by, bx) = if one { (0, 0) } else { (y, x) };
            requantize(a.centred(y, x, c) * inputs[1].centred(by, bx, c), *multiplier, zero)
        }),
        Op::MaxPool(window) => each(output.shape, |y, x, c| {
            taps(window, a.tensor.shape, y, x).map(|(y, x)| a.at(y, x, c)).max().unwrap_or(0)
        }),
        Op::MeanPool(window) => each(output.shape, |y, x, c| {
            let (sum, count) = taps(window, a.tensor.shape, y, x)
                .fold((0i32, 0i32), |(sum, count), (y, x)| (sum + i32::from(a.at(y, x, c)), count + 1));
            mean(sum, count)
        }),
        Op::Upsample { factor } => each(output.shape, |y, x, c| a.at(y / factor[0], x / factor[1], c)),
        Op::Concat => each(output.shape, |y, x, mut c| {
            for input in inputs {
                if c < input.tensor.shape.channels {
                    return input.at(y, x, c);
                }
                c -= input.tensor.shape.channels;
            }
            0
        }),
        Op::Slice { start } => each(output.shape, |y, x, c| a.at(y, x, start + c)),
        Op::Gather { stride: [sy, sx], from } => each(output.shape, |y, x, c| {
            let source = from[c];
            a.at(y * sy + source.row, x * sx + source.column, source.channel)
        }),
        Op::Pick { rows, columns, fill } => each(output.shape, |y, x, c| match (rows[y], columns[x]) {
            (Some(row), Some(column)) => a.at(usize::from(row), usize::from(column), c),
            _ => *fill,
        }),
        Op::DepthToSpace { block: [by, bx], from } => each(output.shape, |y, x, c| {
            a.at(y / by, x / bx, from[((y % by) * bx + x % bx) * output.shape.channels + c])
        }),
        Op::Bilinear { rows, columns } => each(output.shape, |y, x, c| {
            let (row, column) = (rows[y], columns[x]);
            let pair = |y: u16| [column.first, column.second].map(|x| a.at(usize::from(y), usize::from(x), c));
            Between::bilinear(row, column, pair(row.first), pair(row.second))
        }),
        Op::Attention(attention) => attended(attention, [a, inputs[1], inputs[2]], output),
    }
}

/// See [`Attention`].
fn attended(attention: &Attention, [queries, keys, values]: [View<'_>; 3], output: &Tensor) -> Vec<u8> {
    let Attention { tokens, key, value, store, .. } = *attention;
    let Shape { width, channels, .. } = output.shape;
    let exponential = attention.exponential();
    let mut out = vec![0; output.shape.elements()];
    for head in &attention.heads {
        let at = |token: usize| ((head.pixel + token) / width, (head.pixel + token) % width);
        for i in 0..tokens {
            let (y, x) = at(i);
            let products: Vec<i32> = (0..tokens)
                .map(|j| {
                    let (other_y, other_x) = at(j);
                    let product =
                        |c| queries.centred(y, x, head.query + c) * keys.centred(other_y, other_x, head.key + c);
                    (0..key).map(product).sum()
                })
                .collect();
            let greatest = products.iter().copied().max().unwrap_or(0);
            let weights: Vec<i32> =
                products.iter().map(|s| i32::from(exponential[attention.entry(greatest - s)])).collect();
            let sum: i32 = weights.iter().sum();
            for c in 0..value {
                let weigh = |(j, weight): (usize, &i32)| {
                    let (y, x) = at(j);
                    weight * i32::from(values.at(y, x, head.value + c))
                };
                let weighed: i32 = weights.iter().enumerate().map(weigh).sum();
                let mean = weighed as f32 / sum as f32 - f32::from(values.tensor.quant.zero);
                out[(y * width + x) * channels + head.output + c] = rounded(mean * store, output.quant.zero);
            }
        }
    }
    out
}

/// The mean of `count` values, rounded to nearest even.
#[inline]
pub(super) fn mean(sum: i32, count: i32) -> u8 {
    (sum as f32 / count.max(1) as f32).round_ties_even().clamp(0.0, 255.0) as u8
}

/// The places inside the input that the window of output (y, x) covers.
fn taps(window: &Window, input: Shape, y: usize, x: usize) -> impl Iterator<Item = (usize, usize)> {
    let window = *window;
    let [kh, kw] = window.kernel;
    (0..kh * kw).filter_map(move |tap| {
        let row = (y * window.stride[0] + tap / kw * window.dilation[0]).checked_sub(window.pad[0])?;
        let column = (x * window.stride[1] + tap % kw * window.dilation[1]).checked_sub(window.pad[1])?;
        (row < input.height && column < input.width).then_some((row, column))
    })
}

/// One result of a convolution, channel `o` of its output tensor.
fn conv_at(conv: &Conv, input: View<'_>, y: usize, x: usize, o: usize) -> u8 {
    let outputs = conv.bias.len();
    let channel = o % outputs;
    let sum = conv.bias[channel] + sum_at(conv, input, 0, i32::from(input.tensor.quant.zero), y, x, channel);
    let multiplier = conv.multiplier[channel];
    if conv.wide.is_none() {
        let q = requantize(sum, multiplier, conv.pre_zero);
        return conv.table.as_ref().map_or(q, |table| table[usize::from(q)]);
    }
    let mut sum = sum as f32;
    if conv.wide.input {
        let first = conv.channels(input.tensor.shape);
        let rests = sum_at(conv, input, first, i32::from(int16::NO_LOW_BYTE), y, x, channel);
        sum += rests as f32 * (1.0 / int16::PARTS);
    }
    if conv.wide.output {
        let number = int16::requantize(sum * multiplier, conv.pre_zero);
        let number = conv.wide.curve.as_ref().map_or(number, |curve| int16::along(curve, number));
        return int16::halves(number)[o / outputs];
    }
    let q = rounded(sum * multiplier, conv.pre_zero);
    conv.table.as_ref().map_or(q, |table| table[usize::from(q)])
}

/// The products of the window of output (y, x) with the filter of channel `o`; the input's numbers begin
/// at channel `begin` and stand for zero at `zero`.
fn sum_at(conv: &Conv, input: View<'_>, begin: usize, zero: i32, y: usize, x: usize, o: usize) -> i32 {
    let [kh, kw] = conv.window.kernel;
    let per_group = conv.channels(input.tensor.shape) / conv.groups;
    let first = begin + o / (conv.bias.len() / conv.groups) * per_group;
    let mut sum = 0;
    for ky in 0..kh {
        for kx in 0..kw {
            let row = (y * conv.window.stride[0] + ky * conv.window.dilation[0]).checked_sub(conv.window.pad[0]);
            let column = (x * conv.window.stride[1] + kx * conv.window.dilation[1]).checked_sub(conv.window.pad[1]);
            let (Some(row), Some(column)) = (row, column) else { continue };
            if row >= input.tensor.shape.height || column >= input.tensor.shape.width {
                continue;
            }
            for i in 0..per_group {
                let weight = conv.weights[((o * kh + ky) * kw + kx) * per_group + i];
                sum += i32::from(weight) * (i32::from(input.at(row, column, first + i)) - zero);
            }
        }
    }
    sum
}
