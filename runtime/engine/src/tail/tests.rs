//! A tail computes what its operations say, place by place; a hostile one is refused.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::{End, Function, Op, Pair, Reduction, Run, Tail, TailStep, math};

/// Random tails behind two outputs.
pub(crate) struct Maker {
    rng: TestRng,
    shapes: Vec<Vec<usize>>,
    tail: Tail,
}

impl Maker {
    pub(crate) fn new(seed: u64, shapes: Vec<Vec<usize>>) -> Maker {
        let mut bytes = [3u8; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Maker { rng: TestRng::from_seed(RngAlgorithm::ChaCha, &bytes), shapes, tail: Tail::default() }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.rng.next_u32() as usize % bound.max(1)
    }

    fn number(&mut self) -> f32 {
        self.below(2001) as f32 * 0.004 - 4.0
    }

    fn shape(&self, number: usize) -> Vec<usize> {
        self.tail.shape(&self.shapes, number).unwrap().to_vec()
    }

    fn push(&mut self, op: Op, inputs: &[usize], shape: Vec<usize>) -> usize {
        let name = format!("s{}", self.tail.steps.len());
        self.tail.steps.push(TailStep { name, why: "a test".into(), op, inputs: inputs.to_vec(), shape });
        self.shapes.len() + self.tail.steps.len() - 1
    }

    fn step(&mut self) {
        let from = self.below(self.shapes.len() + self.tail.steps.len());
        let shape = self.shape(from);
        let axis = self.below(shape.len());
        let narrow = |axis: usize, extent: usize| {
            let mut made = shape.clone();
            made[axis] = extent;
            made
        };
        match self.below(7) {
            0 => {
                // a transposition of a slice
                let mut strides: Vec<usize> = (0..shape.len()).map(|a| shape[a + 1..].iter().product()).collect();
                let start = self.below(shape[axis]);
                let mut made = narrow(axis, shape[axis] - start);
                let base = start * strides[axis];
                let other = self.below(shape.len());
                made.swap(axis, other);
                strides.swap(axis, other);
                self.push(Op::View { base, strides }, &[from], made);
            }
            1 => {
                self.push(Op::Concat { axis }, &[from, from, from], narrow(axis, 3 * shape[axis]));
            }
            2 => {
                self.push(Op::Softmax { axis }, &[from], shape);
            }
            3 => {
                let functions = [
                    Function::Sigmoid,
                    Function::Exp,
                    Function::Tanh,
                    Function::Sqrt,
                    Function::Square,
                    Function::Recip,
                    Function::Neg,
                    Function::Abs,
                ];
                let function = functions[self.below(functions.len())];
                self.push(Op::Function(function), &[from], shape);
            }
            4 => {
                let wide: Vec<usize> = shape.iter().map(|&n| if self.below(2) == 0 { 1 } else { n }).collect();
                let values = (0..wide.iter().product()).map(|_| self.number()).collect();
                let constant = self.push(Op::Constant(values), &[], wide);
                let pair = [Pair::Add, Pair::Sub, Pair::Mul, Pair::Div, Pair::Min, Pair::Max][self.below(6)];
                let inputs = if self.below(2) == 0 { [from, constant] } else { [constant, from] };
                self.push(Op::Pair(pair), &inputs, shape);
            }
            5 => {
                let how = [Reduction::Sum, Reduction::Mean, Reduction::Max][self.below(3)];
                self.push(Op::Reduce { how, axis }, &[from], narrow(axis, 1));
            }
            _ => {
                let out = 1 + self.below(4);
                let weights = (0..out * shape[axis]).map(|_| self.number()).collect();
                let bias = (0..out).map(|_| self.number()).collect();
                self.push(Op::Mix { axis, weights, bias }, &[from], narrow(axis, out));
            }
        }
    }

    pub(crate) fn make(mut self) -> Tail {
        for _ in 0..1 + self.below(8) {
            self.step();
        }
        let count = self.shapes.len() + self.tail.steps.len();
        self.tail.outputs =
            vec![End { name: "last".into(), value: count - 1 }, End { name: "any".into(), value: self.below(count) }];
        self.tail
    }
}

/// Index of each axis for a place in row-major order.
fn places(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for &extent in shape {
        all = all.iter().flat_map(|p| (0..extent).map(|i| [p.as_slice(), &[i]].concat())).collect();
    }
    all
}

fn at(shape: &[usize], place: &[usize]) -> usize {
    place.iter().zip(shape).fold(0, |sum, (i, extent)| sum * extent + i)
}

/// What a step must give, one place after the other.
fn expected(step: &TailStep, inputs: &[(&[f32], &[usize])]) -> Vec<f32> {
    let moved = |place: &[usize], axis: usize, to: usize| {
        let mut place = place.to_vec();
        place[axis] = to;
        place
    };
    let value = |input: usize, place: &[usize]| inputs[input].0[at(inputs[input].1, place)];
    let one = |place: &Vec<usize>| match &step.op {
        Op::Constant(values) => values[at(&step.shape, place)],
        Op::View { base, strides } => inputs[0].0[base + place.iter().zip(strides).map(|(i, s)| i * s).sum::<usize>()],
        Op::Concat { axis } => {
            let (mut input, mut along) = (0, place[*axis]);
            while along >= inputs[input].1[*axis] {
                along -= inputs[input].1[*axis];
                input += 1;
            }
            value(input, &moved(place, *axis, along))
        }
        Op::Softmax { axis } => {
            let all: Vec<f32> = (0..step.shape[*axis]).map(|i| value(0, &moved(place, *axis, i))).collect();
            let most = all.iter().fold(f32::NEG_INFINITY, |m, v| if *v > m { *v } else { m });
            let sum = all.iter().fold(0.0, |sum, v| sum + math::exp(v - most));
            math::exp(value(0, place) - most) / sum
        }
        Op::Function(function) => {
            let x = value(0, place);
            match function {
                Function::Sigmoid => math::sigmoid(x),
                Function::Exp => math::exp(x),
                Function::Tanh => math::tanh(x),
                Function::Sqrt => x.sqrt(),
                Function::Square => x * x,
                Function::Recip => 1.0 / x,
                Function::Neg => -x,
                Function::Abs => x.abs(),
            }
        }
        Op::Pair(pair) => {
            let [a, b] = [0, 1].map(|input| {
                let narrow: Vec<usize> =
                    place.iter().zip(inputs[input].1).map(|(i, n)| if *n == 1 { 0 } else { *i }).collect();
                value(input, &narrow)
            });
            match pair {
                Pair::Add => a + b,
                Pair::Sub => a - b,
                Pair::Mul => a * b,
                Pair::Div => a / b,
                Pair::Min => {
                    if b < a {
                        b
                    } else {
                        a
                    }
                }
                Pair::Max => {
                    if b > a {
                        b
                    } else {
                        a
                    }
                }
            }
        }
        Op::Reduce { how, axis } => {
            let all = (0..inputs[0].1[*axis]).map(|i| value(0, &moved(place, *axis, i)));
            match how {
                Reduction::Max => all.reduce(|m, v| if v > m { v } else { m }).unwrap(),
                Reduction::Sum => all.reduce(|sum, v| sum + v).unwrap(),
                Reduction::Mean => all.reduce(|sum, v| sum + v).unwrap() / inputs[0].1[*axis] as f32,
            }
        }
        Op::Mix { axis, weights, bias } => {
            let extent = inputs[0].1[*axis];
            let o = place[*axis];
            (0..extent).fold(bias[o], |sum, i| sum + weights[o * extent + i] * value(0, &moved(place, *axis, i)))
        }
    };
    places(&step.shape).iter().map(one).collect()
}

fn shapes() -> Vec<Vec<usize>> {
    vec![vec![1, 3, 4, 5], vec![2, 70], vec![3]]
}

proptest! {
    #[test]
    fn a_tail_computes_what_its_operations_say(seed: u64) {
        let tail = Maker::new(seed, shapes()).make();
        prop_assume!(tail.steps.iter().all(|s| s.shape.iter().product::<usize>() < 4000));
        let known = shapes();
        let mut run = Run::new(tail.clone(), shapes()).unwrap();
        let mut noise = Maker::new(!seed, shapes());
        for turn in 0..2 {
            run.outputs_mut().iter_mut().flatten().for_each(|v| *v = noise.number());
            run.run();
            for (index, step) in tail.steps.iter().enumerate() {
                let inputs: Vec<(&[f32], &[usize])> =
                    step.inputs.iter().map(|&n| (run.value(n), tail.shape(&known, n).unwrap())).collect();
                // which NaN it is, is left open
                let bits =
                    |values: &[f32]| values.iter().map(|v| if v.is_nan() { 1 } else { v.to_bits() }).collect::<Vec<_>>();
                let found = run.value(shapes().len() + index);
                prop_assert_eq!(bits(found), bits(&expected(step, &inputs)), "turn {}, {:?}", turn, step);
            }
        }
    }

    /// One number of a valid tail is altered: it is refused, or it runs.
    #[test]
    fn altered_tails_are_refused_or_run(seed: u64, what in 0usize..8, to: usize, index: prop::sample::Index) {
        let mut tail = Maker::new(seed, shapes()).make();
        let step = index.get_mut(&mut tail.steps);
        match what {
            0 => step.inputs.push(to),
            1 => step.inputs = vec![to % 12; step.inputs.len()],
            2 => step.shape = vec![to % 7; step.shape.len()],
            3 => step.shape.push(to % 3),
            4 => { step.shape.pop(); }
            5 => tail.outputs[0].value = to % 16,
            _ => match &mut step.op {
                Op::View { base, strides } => {
                    *base = to % 64;
                    if what == 7 { strides[0] = to; }
                }
                Op::Concat { axis } | Op::Softmax { axis } | Op::Reduce { axis, .. } | Op::Mix { axis, .. } => *axis = to % 6,
                Op::Constant(values) => values[0] = f32::from_bits(to as u32),
                _ => step.shape = vec![to; 3],
            },
        }
        if let Ok(mut run) = Run::new(tail, shapes()) {
            run.run();
            prop_assert!(run.output(0).is_some());
        }
    }
}

#[test]
fn what_cannot_be_run_is_named() {
    let step = |op: Op, inputs: &[usize], shape: &[usize]| TailStep {
        name: "odd".into(),
        why: String::new(),
        op,
        inputs: inputs.to_vec(),
        shape: shape.to_vec(),
    };
    let ends = || vec![End { name: "y".into(), value: 0 }];
    for (made, word) in [
        (step(Op::Softmax { axis: 4 }, &[0], &[1, 3, 4, 5]), "axis"),
        (step(Op::Function(Function::Exp), &[3], &[3]), "value 3"),
        (step(Op::Pair(Pair::Add), &[0, 1], &[1, 3, 4, 5]), "combine"),
        (step(Op::View { base: 1, strides: vec![1] }, &[2], &[3]), "has not"),
        (step(Op::View { base: 0, strides: vec![usize::MAX, 2] }, &[2], &[3, 3]), "has not"),
        (step(Op::Constant(vec![f32::NAN]), &[], &[1]), "NaN"),
        (step(Op::Constant(vec![]), &[], &[0]), "none zero"),
        (step(Op::Constant(vec![]), &[], &[usize::MAX, 2]), "together"),
        (step(Op::Concat { axis: 1 }, &[0, 1], &[1]), "join"),
        (step(Op::Mix { axis: 0, weights: vec![1.0; 5], bias: vec![0.0; 2] }, &[2], &[2]), "weights"),
    ] {
        let tail = Tail { steps: vec![made], outputs: ends() };
        let what = tail.check(&shapes()).unwrap_err();
        assert!(what.contains(word) && what.contains("odd"), "{word}: {what}");
    }
    let beyond = Tail { steps: vec![], outputs: vec![End { name: "y".into(), value: 3 }] };
    assert!(beyond.check(&shapes()).unwrap_err().contains("value 3"));
    assert!(Tail::default().check(&shapes()).is_err());
    assert!(Tail { steps: vec![], outputs: ends() }.check(&[vec![0, 4]]).is_err());
}
