//! What running takes for granted about a [`Tail`]: every step reads what is there, every place lies
//! inside its value, every constant is a number.

use super::{AXES_MAX, Op, STEPS_MAX, Tail, TailStep, VALUES_MAX};

impl Tail {
    /// Checks a tail behind outputs of `shapes`.
    ///
    /// # Errors
    /// The step and what is wrong with it.
    pub fn check(&self, shapes: &[Vec<usize>]) -> Result<(), String> {
        if self.steps.len() > STEPS_MAX {
            return Err(format!("{} steps in float32 are more than {STEPS_MAX}", self.steps.len()));
        }
        for (index, shape) in shapes.iter().enumerate() {
            elements(shape).map_err(|what| format!("output {index} of its graph: {what}"))?;
        }
        let mut total = 0usize;
        for (index, step) in self.steps.iter().enumerate() {
            let named = |what: String| format!("step {:?} ({}): {what}", step.name, step.op.name());
            let mut inputs = Vec::with_capacity(step.inputs.len());
            for &number in &step.inputs {
                let known = number < shapes.len() + index;
                let shape = self.shape(shapes, number).filter(|_| known);
                inputs.push(
                    shape.ok_or_else(|| named(format!("it reads value {number}, which nothing before it gives")))?,
                );
            }
            let elements = elements(&step.shape).map_err(named)?;
            total += elements;
            if total > VALUES_MAX {
                return Err(format!("its steps in float32 give more than {VALUES_MAX} values"));
            }
            fits(step, &inputs, elements).map_err(named)?;
        }
        if self.outputs.is_empty() {
            return Err("it has no output".into());
        }
        let missing = self.outputs.iter().find(|end| self.shape(shapes, end.value).is_none());
        missing.map_or(Ok(()), |end| Err(format!("output {:?}: there is no value {}", end.name, end.value)))
    }
}

fn elements(shape: &[usize]) -> Result<usize, String> {
    let bad = || format!("its extents {shape:?}: at most {AXES_MAX}, none zero, {VALUES_MAX} values together");
    if shape.len() > AXES_MAX {
        return Err(bad());
    }
    let product = shape.iter().try_fold(1usize, |all, &extent| all.checked_mul(extent));
    product.filter(|n| (1..=VALUES_MAX).contains(n)).ok_or_else(bad)
}

fn fits(step: &TailStep, inputs: &[&[usize]], elements: usize) -> Result<(), String> {
    let count = match step.op {
        Op::Constant(_) => 0..=0,
        Op::Pair(_) => 2..=2,
        Op::Concat { .. } => 1..=STEPS_MAX,
        _ => 1..=1,
    };
    if !count.contains(&inputs.len()) {
        return Err(format!("it has {} inputs", inputs.len()));
    }
    let shape = step.shape.as_slice();
    let expected = |expected: &[usize]| {
        if shape == expected { Ok(()) } else { Err(format!("its extents are {shape:?}, they should be {expected:?}")) }
    };
    // the first input's extents with another one along the axis
    let along = |axis: usize, extent: usize| {
        let mut made = inputs[0].to_vec();
        *made.get_mut(axis).ok_or_else(|| format!("there is no axis {axis}"))? = extent;
        Ok::<_, String>(made)
    };
    match &step.op {
        Op::Constant(values) if values.len() != elements => Err(format!("{} values for {shape:?}", values.len())),
        Op::Constant(values) => finite(values),
        Op::View { base, strides } => {
            if strides.len() != shape.len() {
                return Err(format!("{} strides for {shape:?}", strides.len()));
            }
            let last = shape
                .iter()
                .zip(strides)
                .try_fold(*base, |at, (extent, stride)| at.checked_add((extent - 1).checked_mul(*stride)?));
            let available: usize = inputs[0].iter().product();
            if last.is_some_and(|last| last < available) {
                Ok(())
            } else {
                Err("it takes what its input has not".into())
            }
        }
        Op::Concat { axis } => {
            let mut extent = 0usize;
            for input in inputs {
                let mut same = input.to_vec();
                let own = same.get(*axis).copied().ok_or_else(|| format!("there is no axis {axis}"))?;
                same[*axis] = inputs[0].get(*axis).copied().unwrap_or(0);
                if same != inputs[0] {
                    return Err(format!("{input:?} and {:?} do not join", inputs[0]));
                }
                extent = extent.saturating_add(own);
            }
            expected(&along(*axis, extent)?)
        }
        Op::Softmax { axis } => {
            along(*axis, 1)?;
            expected(inputs[0])
        }
        Op::Function(_) => expected(inputs[0]),
        Op::Pair(_) => {
            let [a, b] = [inputs[0], inputs[1]];
            if a.len() != b.len() {
                return Err(format!("{a:?} and {b:?} do not combine"));
            }
            let wide = |(&a, &b): (&usize, &usize)| (a == b || a == 1 || b == 1).then_some(a.max(b));
            let made = a.iter().zip(b).map(wide).collect::<Option<Vec<_>>>();
            expected(&made.ok_or_else(|| format!("{a:?} and {b:?} do not combine"))?)
        }
        Op::Reduce { axis, .. } => expected(&along(*axis, 1)?),
        Op::Mix { axis, weights, bias } => {
            let from = inputs[0].get(*axis).copied().unwrap_or(0);
            if Some(weights.len()) != bias.len().checked_mul(from) {
                return Err("its weights do not fit".into());
            }
            finite(weights)?;
            finite(bias)?;
            expected(&along(*axis, bias.len())?)
        }
    }
}

fn finite(values: &[f32]) -> Result<(), String> {
    match values.iter().find(|v| !v.is_finite()) {
        Some(bad) => Err(format!("a constant is {bad}")),
        None => Ok(()),
    }
}
