//! Convolutions, and transposed ones as convolutions whose output channels are pixels.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, KernelFormat};
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::Importer;
use super::meaning::{Meaning, Refusal, concrete, reals, shape_of, window};
use crate::network::{MapId, RealConv, RealOp};
use lapwing_engine::ir::{Shape, Source, Window};

impl Importer<'_> {
    pub(super) fn conv(&mut self, node: &TypedNode, conv: &Conv, inputs: &[Meaning]) -> Result<Meaning, Refusal> {
        let (Meaning::Constant(kernel), Some(Meaning::Constant(bias))) = (&inputs[1], inputs.get(2)) else {
            return Err("its weights are not constant".into());
        };
        if conv.kernel_fmt != KernelFormat::OIHW || conv.q_params.is_some() || kernel.rank() != 4 {
            return Err("only two-dimensional convolutions of float32 in the order OIHW have a rule".into());
        }
        let input = shape_of(&concrete(self.model, node.inputs[0])?)?;
        let output = shape_of(&concrete(self.model, OutletId::new(node.id, 0))?)?;
        let mut window = window(&conv.pool_spec, input, output)?;
        let kernel = reals(kernel)?;
        let outputs = conv.pool_spec.output_channels;
        let per_group = input.channels / conv.group.max(1);
        let area = window.kernel[0] * window.kernel[1];
        if kernel.len() != outputs * per_group * area {
            return Err("its weights do not fit its channels".into());
        }
        let order: Vec<usize> = (0..outputs)
            .flat_map(|o| (0..area).flat_map(move |tap| (0..per_group).map(move |i| (o * per_group + i) * area + tap)))
            .collect();
        let weights: Vec<f32> = order.iter().map(|&at| kernel[at]).collect();
        let bias = spread(&reals(bias)?, outputs)?;
        finite(&weights, &bias)?;
        let mut from = self.mapped(node.inputs[0], &inputs[0])?;
        if let Some((inner, pad)) = self.padded_with_zeros(from) {
            from = inner;
            for (side, more) in window.pad.iter_mut().zip(pad) {
                *side += more;
            }
        }
        let op = RealOp::Conv(RealConv { window, groups: conv.group, weights, bias });
        Ok(Meaning::Map(self.push(node, op, vec![from], output)))
    }

    /// The map and its padding, if `map` is one with zeros around it.
    fn padded_with_zeros(&self, map: MapId) -> Option<(MapId, [usize; 4])> {
        let node = self.nodes.iter().find(|n| n.output == map)?;
        let RealOp::Pick { rows, columns, fill } = &node.op else { return None };
        let around = |picks: &[Option<u16>], size: usize| {
            let before = picks.iter().take_while(|p| p.is_none()).count();
            let inside = picks.get(before..before + size)?;
            let plain = inside.iter().enumerate().all(|(i, p)| p.map(usize::from) == Some(i));
            let after = &picks[before + size..];
            (plain && after.iter().all(Option::is_none)).then_some((before, after.len()))
        };
        let from = self.maps[node.inputs[0]].shape;
        let ((top, bottom), (left, right)) = (around(rows, from.height)?, around(columns, from.width)?);
        (*fill == 0.0).then_some((node.inputs[0], [top, left, bottom, right]))
    }

    /// Output pixel `stride * m + phase` takes input pixels `m + (phase + pad - tap * dilation) /
    /// stride`: a convolution with one output channel for each phase and channel, whose channels
    /// then become pixels.
    pub(super) fn deconv(&mut self, node: &TypedNode, deconv: &Deconv, inputs: &[Meaning]) -> Result<Meaning, Refusal> {
        let (Meaning::Constant(kernel), Some(Meaning::Constant(bias))) = (&inputs[1], inputs.get(2)) else {
            return Err("its weights are not constant".into());
        };
        let spec = &deconv.pool_spec;
        if deconv.kernel_format != KernelFormat::OIHW || spec.data_format != DataFormat::NCHW || kernel.rank() != 4 {
            return Err("only two-dimensional transposed convolutions in the order OIHW have a rule".into());
        }
        let input = shape_of(&concrete(self.model, node.inputs[0])?)?;
        let output = shape_of(&concrete(self.model, OutletId::new(node.id, 0))?)?;
        let details = spec
            .padding
            .compute_for_deconv(
                &[input.height, input.width],
                &spec.kernel_shape,
                &spec.dilations(),
                &spec.strides(),
                &deconv.adjustments,
            )
            .map_err(|e| super::meaning::words(&e))?;
        let axes: Vec<Phases> = (0..2)
            .map(|axis| {
                Phases::of(spec.kernel_shape[axis], spec.stride(axis), spec.dilation(axis), details[axis].pad_before)
            })
            .collect();
        let stride = [spec.stride(0), spec.stride(1)];
        let kernel = reals(kernel)?;
        let (groups, outputs) = (deconv.group.max(1), output.channels);
        let per_group = input.channels / groups;
        let [kh, kw] = *spec.kernel_shape.as_slice() else { return Err("it is not two-dimensional".into()) };
        if kernel.len() != outputs * per_group * kh * kw {
            return Err("its weights do not fit its channels".into());
        }
        let bias = spread(&reals(bias)?, outputs)?;
        finite(&kernel, &bias)?;
        let out_per_group = outputs / groups;
        let phases = stride[0] * stride[1];
        let (rows, columns) = (axes[0].width(), axes[1].width());
        // channels by (group, phase, channel of the group)
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for o in 0..groups * phases * out_per_group {
            let (group, phase, within) = (o / (phases * out_per_group), o / out_per_group % phases, o % out_per_group);
            let channel = group * out_per_group + within;
            biases.push(bias[channel]);
            for tap in 0..rows * columns {
                let y = axes[0].tap(phase / stride[1], tap / columns);
                let x = axes[1].tap(phase % stride[1], tap % columns);
                for i in 0..per_group {
                    weights.push(match (y, x) {
                        (Some(y), Some(x)) => kernel[((channel * per_group + i) * kh + y) * kw + x],
                        _ => 0.0,
                    });
                }
            }
        }
        let whole = [output.height.div_ceil(stride[0]), output.width.div_ceil(stride[1])];
        let size = [input.height, input.width];
        let mut pad = [0; 4];
        let mut skip = [0; 2];
        for axis in 0..2 {
            // a first offset above zero skips input pixels
            pad[axis] = usize::try_from(-axes[axis].first).unwrap_or(0);
            skip[axis] = usize::try_from(axes[axis].first).unwrap_or(0);
            let reach = whole[axis] + axes[axis].width() - 1 + skip[axis];
            pad[axis + 2] = reach.saturating_sub(size[axis] + pad[axis]);
        }
        if skip != [0, 0] {
            return Err("no rule for a padding of more than its kernel".into());
        }
        let window = Window { kernel: [rows, columns], stride: [1, 1], dilation: [1, 1], pad };
        let from = self.mapped(node.inputs[0], &inputs[0])?;
        let Some((height, width)) = window.output(input.height, input.width) else {
            return Err("its window is larger than its input".into());
        };
        let conv = RealConv { window, groups, weights, bias: biases };
        let shape = Shape { height, width, channels: groups * phases * out_per_group };
        let sums = self.push(node, RealOp::Conv(conv), vec![from], shape);
        self.maps[sums].ordered = false;
        let places = (0..phases * outputs)
            .map(|at| {
                let (phase, channel) = (at / outputs, at % outputs);
                (channel / out_per_group * phases + phase) * out_per_group + channel % out_per_group
            })
            .collect();
        let wide = Shape { height: height * stride[0], width: width * stride[1], channels: outputs };
        let spread = self.push(node, RealOp::DepthToSpace { block: stride, from: places }, vec![sums], wide);
        if wide == output {
            return Ok(Meaning::Map(spread));
        }
        self.maps[spread].ordered = false;
        let from = (0..outputs).map(|channel| Source { row: 0, column: 0, channel }).collect();
        Ok(Meaning::Map(self.push(node, RealOp::Gather { stride: [1, 1], from }, vec![spread], output)))
    }
}

/// Along one axis, which input pixels the phases of a stride take.
struct Phases {
    kernel: usize,
    stride: isize,
    dilation: isize,
    pad: isize,
    first: isize,
    last: isize,
}

impl Phases {
    fn of(kernel: usize, stride: usize, dilation: usize, pad: usize) -> Phases {
        let mut made = Phases {
            kernel,
            stride: stride as isize,
            dilation: dilation as isize,
            pad: pad as isize,
            first: isize::MAX,
            last: isize::MIN,
        };
        for phase in 0..stride {
            for tap in 0..kernel {
                if let Some(offset) = made.offset(phase, tap) {
                    made.first = made.first.min(offset);
                    made.last = made.last.max(offset);
                }
            }
        }
        made
    }

    /// The input pixel of a tap, less the pixel's own number.
    fn offset(&self, phase: usize, tap: usize) -> Option<isize> {
        let from = phase as isize + self.pad - tap as isize * self.dilation;
        (from.rem_euclid(self.stride) == 0).then(|| from.div_euclid(self.stride))
    }

    /// Input pixels from the first to the last.
    fn width(&self) -> usize {
        (self.last - self.first + 1).unsigned_abs()
    }

    /// The tap at which `phase` takes the pixel `at` behind the first.
    fn tap(&self, phase: usize, at: usize) -> Option<usize> {
        (0..self.kernel).find(|&tap| self.offset(phase, tap) == Some(self.first + at as isize))
    }
}

fn spread(bias: &[f32], outputs: usize) -> Result<Vec<f32>, Refusal> {
    match bias {
        [one] => Ok(vec![*one; outputs]),
        all if all.len() == outputs => Ok(all.to_vec()),
        other => Err(format!("{} biases for {outputs} channels", other.len()).into()),
    }
}

pub(super) fn finite(weights: &[f32], bias: &[f32]) -> Result<(), Refusal> {
    match weights.iter().chain(bias).position(|w| !w.is_finite()) {
        Some(at) => {
            Err(Refusal::Broken(format!("weight {at} is not a finite number; train or export the model again")))
        }
        None => Ok(()),
    }
}
