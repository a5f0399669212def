//! What a velocity network computes: convolutions, SiLU, sums and enlargements, and where film enters.
//!
//! The importer folds constants into convolutions. The network is imported twice with film as a
//! constant: once all twos, which gives the weights, and once each value its own number plus two,
//! which tells where in film a convolution's scales and shifts lie.

use std::collections::HashMap;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::konst::Const;

use crate::FlowModel;
use crate::int8::dense::silu;
use crate::int8::recipe::{Kind, RecipeStep};
use lapwing_engine::ir::Shape;
use lapwing_quantize::import;
use lapwing_quantize::network::{FloatNetwork, Function, MapId, RealConv, RealOp};

/// A network without a step's film.
pub struct Structure {
    /// With film as an input: x, film and, where there is one, the context.
    pub model: TypedModel,
    /// By tensor; the first is the input, x and context pixel by pixel.
    pub shapes: Vec<Shape>,
    /// Where tract computes each tensor; none for the input and for enlarged ones.
    pub outlets: Vec<Option<OutletId>>,
    /// In the order of execution.
    pub steps: Vec<RecipeStep>,
    /// By number of filters.
    pub convs: Vec<RealConv>,
    /// Where tract computes what is before the SiLU of a convolution, for those that store through one.
    pub before: Vec<Option<OutletId>>,
}

impl Structure {
    /// Takes a flow's velocity network apart.
    ///
    /// # Errors
    /// The node that has no place in a flow.
    pub fn of(model: &FlowModel) -> Result<Structure, String> {
        let spec = &model.manifest().velocity;
        let mut inputs = vec![("x", vec![1, 3, spec.side, spec.side]), ("film", vec![1, spec.film, 1, 1])];
        if spec.context {
            inputs.push(("context", vec![1, 4, spec.side, spec.side]));
        }
        let typed = super::super::real::typed(&model.real().map_err(|e| e.to_string())?.velocity, &inputs)?;
        let plain = import::import(constant(&typed, &vec![2.0; spec.film])?)?;
        let numbers: Vec<f32> = (0..spec.film).map(|k| k as f32 + 2.0).collect();
        let numbered = import::import(constant(&typed, &numbers)?)?;
        Reader::new(&plain, &numbered, spec.side).read(typed)
    }

    /// The steps that read each tensor.
    pub fn readers(&self, tensor: usize) -> impl Iterator<Item = &RecipeStep> {
        self.steps.iter().filter(move |s| s.inputs.contains(&tensor))
    }
}

/// The model with its second input, film, held constant.
fn constant(typed: &TypedModel, film: &[f32]) -> Result<TypedModel, String> {
    let mut model = typed.clone();
    let fix = |model: &mut TypedModel| -> TractResult<()> {
        let id = model.inputs[1].node;
        let tensor = Tensor::from_shape(&[1, film.len(), 1, 1], film)?.into_arc_tensor();
        model.nodes[id].op = Box::new(Const::new(Arc::clone(&tensor))?);
        model.nodes[id].outputs[0].fact = TypedFact::try_from(tensor)?;
        model.inputs.remove(1);
        Ok(())
    };
    fix(&mut model).map_err(|e| format!("{e:#}"))?;
    Ok(model)
}

struct Reader<'a> {
    plain: &'a FloatNetwork,
    numbered: &'a FloatNetwork,
    side: usize,
    tensors: HashMap<MapId, usize>,
    made: Structure,
}

impl<'a> Reader<'a> {
    fn new(plain: &'a FloatNetwork, numbered: &'a FloatNetwork, side: usize) -> Reader<'a> {
        let made = Structure {
            model: TypedModel::default(),
            shapes: Vec::new(),
            outlets: Vec::new(),
            steps: Vec::new(),
            convs: Vec::new(),
            before: Vec::new(),
        };
        Reader { plain, numbered, side, tensors: HashMap::new(), made }
    }

    fn read(mut self, typed: TypedModel) -> Result<Structure, String> {
        let channels = self.plain.inputs.iter().map(|&m| self.plain.maps[m].shape.channels).sum();
        self.made.shapes.push(Shape { height: self.side, width: self.side, channels });
        self.made.outlets.push(None);
        if let [x] = self.plain.inputs[..] {
            self.tensors.insert(x, 0);
        }
        let mut done = vec![false; self.plain.nodes.len()];
        for index in 0..self.plain.nodes.len() {
            if !done[index] {
                let node = &self.plain.nodes[index];
                self.node(index, &mut done).map_err(|what| format!("node {:?}: {what}", node.name))?;
            }
        }
        let v = self.plain.outputs.first().and_then(|o| o.parts.first()).and_then(|p| self.tensors.get(&p.map));
        if v != self.made.steps.last().map(|s| &s.output) {
            return Err("its output is not what its last node writes".into());
        }
        self.made.model = typed;
        Ok(self.made)
    }

    fn tensor(&mut self, map: MapId, outlet: Option<OutletId>) -> usize {
        self.made.shapes.push(self.plain.maps[map].shape);
        self.made.outlets.push(outlet);
        self.tensors.insert(map, self.made.shapes.len() - 1);
        self.made.shapes.len() - 1
    }

    fn push(&mut self, name: &str, kind: Kind, inputs: &[MapId], output: usize) -> Result<(), String> {
        let inputs: Option<Vec<usize>> = inputs.iter().map(|m| self.tensors.get(m).copied()).collect();
        let inputs = inputs.ok_or("it reads what a flow has not")?;
        self.made.steps.push(RecipeStep { name: name.into(), kind, inputs, output });
        Ok(())
    }

    fn node(&mut self, index: usize, done: &mut [bool]) -> Result<(), String> {
        let node = &self.plain.nodes[index];
        let outlet = Some(self.plain.maps[node.output].outlet);
        match &node.op {
            RealOp::Conv(conv) if self.plain.inputs.len() == 2 && self.plain.inputs.contains(&node.inputs[0]) => {
                self.first(index, conv, done)
            }
            RealOp::Conv(_) => self.conv(index, done),
            RealOp::Pointwise(function) if is_silu(function) => {
                let output = self.tensor(node.output, outlet);
                self.push(&node.name, Kind::Silu, &node.inputs, output)
            }
            RealOp::Add => {
                let output = self.tensor(node.output, outlet);
                self.push(&node.name, Kind::Add, &node.inputs, output)
            }
            RealOp::Upsample([2, 2]) => {
                let output = self.tensor(node.output, None);
                self.push(&node.name, Kind::Double, &node.inputs, output)
            }
            _ => Err("no part of a flow: those have convolutions, SiLU, sums and enlargements by two".into()),
        }
    }

    /// The convolutions of x and of the context and their sum become one convolution of both.
    fn first(&mut self, index: usize, conv: &RealConv, done: &mut [bool]) -> Result<(), String> {
        let node = &self.plain.nodes[index];
        let sum = self.plain.nodes.iter().position(|n| matches!(n.op, RealOp::Add) && n.inputs.contains(&node.output));
        let sum = sum.ok_or("it is not added to that of the context")?;
        let other = self.plain.nodes[sum].inputs.iter().find(|m| **m != node.output);
        let other =
            other.and_then(|m| self.plain.nodes.iter().position(|n| n.output == *m)).ok_or("it is added to itself")?;
        let RealOp::Conv(second) = &self.plain.nodes[other].op else {
            return Err("it is not added to a convolution".into());
        };
        let (x, context) = match self.plain.nodes[other].inputs[0] == self.plain.inputs[1] {
            true => (conv, second),
            false => (second, conv),
        };
        let area = x.window.kernel[0] * x.window.kernel[1];
        if x.window != context.window || x.weights.len() != x.bias.len() * area * 3 {
            return Err("x and context are not read alike".into());
        }
        let mut weights = Vec::with_capacity(x.weights.len() + context.weights.len());
        for (a, b) in x.weights.chunks_exact(3).zip(context.weights.chunks_exact(4)) {
            weights.extend(a.iter().chain(b));
        }
        let bias = x.bias.iter().zip(&context.bias).map(|(a, b)| a + b).collect();
        let merged = RealConv { window: x.window, groups: 1, weights, bias };
        let node = &self.plain.nodes[sum];
        let output = self.tensor(node.output, Some(self.plain.maps[node.output].outlet));
        self.made.convs.push(merged);
        self.made.before.push(None);
        let kind = Kind::Conv { filters: self.made.convs.len() - 1, film: None, silu: false };
        self.made.steps.push(RecipeStep { name: node.name.clone(), kind, inputs: vec![0], output });
        [index, other, sum].into_iter().for_each(|i| done[i] = true);
        Ok(())
    }

    fn conv(&mut self, index: usize, done: &mut [bool]) -> Result<(), String> {
        let node = &self.plain.nodes[index];
        let (RealOp::Conv(twos), Some(RealOp::Conv(numbers))) =
            (&node.op, self.numbered.nodes.get(index).map(|n| &n.op))
        else {
            return Err("film changes what it is".into());
        };
        let [kernel, same] = twos.window.kernel;
        let square = kernel == same && [1, 3].contains(&kernel) && twos.window.stride[0] == twos.window.stride[1];
        if !square || twos.groups != 1 || twos.window.pad != [kernel / 2; 4] || twos.window.dilation != [1, 1] {
            return Err("its window is none that a flow has".into());
        }
        let (conv, film) = without_film(twos, numbers)?;
        // SiLU in the store, but for what a table a channel serves better: the full size without film
        let shape = self.plain.maps[node.output].shape;
        let mut readers = self.plain.nodes.iter().enumerate().filter(|(_, n)| n.inputs.contains(&node.output));
        let silu = match (readers.next(), readers.next()) {
            (Some((i, n)), None) if film.is_some() || shape.height < self.side => {
                matches!(&n.op, RealOp::Pointwise(f) if is_silu(f)).then_some(i)
            }
            _ => None,
        };
        let stored = silu.map_or(node.output, |i| self.plain.nodes[i].output);
        let output = self.tensor(stored, Some(self.plain.maps[stored].outlet));
        self.made.convs.push(conv);
        self.made.before.push(silu.map(|_| self.plain.maps[node.output].outlet));
        if let Some(i) = silu {
            done[i] = true;
        }
        let kind = Kind::Conv { filters: self.made.convs.len() - 1, film, silu: silu.is_some() };
        self.push(&node.name, kind, &node.inputs, output)
    }
}

/// The convolution before film, and where its scales begin in it; see the module.
fn without_film(twos: &RealConv, numbers: &RealConv) -> Result<(RealConv, Option<usize>), String> {
    if twos.weights == numbers.weights && twos.bias == numbers.bias {
        return Ok((twos.clone(), None));
    }
    let outputs = twos.bias.len();
    let per = twos.weights.len() / outputs.max(1);
    let largest = |o: usize| {
        let row = twos.weights[o * per..(o + 1) * per].iter().enumerate();
        row.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).map(|(i, _)| o * per + i)
    };
    let mut conv = twos.clone();
    conv.weights.iter_mut().for_each(|w| *w /= 2.0);
    conv.bias.iter_mut().for_each(|b| *b = (*b - 2.0) / 2.0);
    let mut first = None;
    for o in 0..outputs {
        let at = largest(o).ok_or("it has no weights")?;
        let scale = numbers.weights[at] / conv.weights[at] - 2.0;
        let shift = numbers.bias[o] - conv.bias[o] * (scale.round() + 2.0) - 2.0;
        let (scale, shift) = (scale.round() as usize, shift.round() as usize);
        let begin = scale.checked_sub(o).ok_or("its film is not in order")?;
        if *first.get_or_insert(begin) != begin || shift != begin + outputs + o {
            return Err(format!("channel {o}: its film is not a run of scales and one of shifts"));
        }
    }
    Ok((conv, first))
}

fn is_silu(function: &Function) -> bool {
    let points = [-9.0f32, -3.1, -0.7, 0.0, 0.2, 1.9, 8.0];
    function.eval(&points).is_ok_and(|found| found.iter().zip(&points).all(|(f, &x)| (f - silu(x)).abs() < 1e-4))
}
