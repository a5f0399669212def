//! From values to a recipe: one quantization a tensor and band, lines for the trunk at full size, and
//! rounded weights.

use super::observe::{Seen, SeenBand};
use super::structure::Structure;
use crate::int8::recipe::{Band, Filters, Kind, Range, Recipe};
use lapwing_engine::ir::Weights;
use lapwing_engine::quant::Quant;
use lapwing_quantize::network::RealConv;

/// Values beyond a range, at each end.
const TAIL: f64 = 1e-5;
/// Least share of the widest channel's range that a channel is given.
const NARROWEST: f32 = 1e-3;
/// Factors of a convolution's input lie between 1 / this and this.
const FACTOR_MAX: f32 = 16.0;

/// Makes the recipe.
///
/// # Errors
/// The step and what is wrong with it.
pub fn recipe(structure: &Structure, seen: &[SeenBand], bands: &[f32]) -> Result<Recipe, String> {
    let factors = factors(structure, seen);
    let groups = trunk(structure);
    let convs: Vec<RealConv> =
        structure.steps.iter().filter_map(|s| conv_of(structure, s.kind, &s.inputs, &factors)).collect();
    if convs.len() != structure.convs.len() {
        return Err("its convolutions are not used once each".into());
    }
    let rounded: Vec<Filters> = convs.iter().map(rounded).collect();
    let mut made = Vec::with_capacity(bands.len());
    for (seen, &t_max) in seen.iter().zip(bands) {
        let mut ranges: Vec<Range> = seen.tensors.iter().map(plain).collect();
        for group in &groups {
            lines(structure, group, seen, &mut ranges);
        }
        for (tensor, factors) in factors.iter().enumerate().filter(|(_, f)| !f.is_empty()) {
            ranges[tensor] = scaled(&seen.tensors[tensor], factors);
        }
        for step in &structure.steps {
            if step.kind == Kind::Double {
                ranges[step.output] = ranges[step.inputs[0]].clone();
            }
        }
        let mut numbers = vec![(Quant::covering(0.0, 0.0), Vec::new()); convs.len()];
        for step in &structure.steps {
            let Kind::Conv { filters, silu, .. } = step.kind else { continue };
            let pre = if silu { plain(&seen.before[filters]).quant } else { ranges[step.output].quant };
            let input = step.inputs[0];
            let mean = |c: usize| {
                let factor = factors[input].get(c).copied().unwrap_or(1.0);
                seen.tensors[input].channels.get(c).map_or(0.0, |seen| seen.mean / f64::from(factor))
            };
            numbers[filters] = (pre, correction(&convs[filters], &rounded[filters], mean));
        }
        made.push(Band { t_max, ranges, convs: numbers });
    }
    Ok(Recipe { shapes: structure.shapes.clone(), steps: structure.steps.clone(), convs: rounded, bands: made })
}

fn plain(seen: &Seen) -> Range {
    let (low, high) = seen.range(TAIL);
    Range { quant: Quant::covering(low, high), lines: Vec::new() }
}

/// Tensors at full size that only sums, enlargements and SiLU read, in groups that are summed: they
/// share their factors. Each group in the order of its steps.
fn trunk(structure: &Structure) -> Vec<Vec<usize>> {
    let side = structure.shapes[0].height;
    let mut group: Vec<usize> = (0..structure.shapes.len()).collect();
    for step in &structure.steps {
        if matches!(step.kind, Kind::Add | Kind::Double) {
            for &input in &step.inputs {
                let (from, to) = (group[input], group[step.output]);
                group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
            }
        }
    }
    let mut all = Vec::new();
    for root in 1..structure.shapes.len() {
        let members: Vec<usize> = structure.steps.iter().map(|s| s.output).filter(|&t| group[t] == root).collect();
        let fits = |&tensor: &usize| {
            let mut readers = structure.readers(tensor).peekable();
            let read = readers.peek().is_some() && readers.all(|s| !matches!(s.kind, Kind::Conv { .. }));
            let writer = structure.steps.iter().find(|s| s.output == tensor);
            read && writer.is_some_and(|w| match w.kind {
                Kind::Conv { film, silu, .. } => film.is_none() && !silu,
                Kind::Add | Kind::Double => true,
                Kind::Silu => false,
            })
        };
        let full = members.iter().any(|&t| structure.shapes[t].height == side);
        if full && members.iter().all(fits) {
            all.push(members);
        }
    }
    all
}

/// Gives a group its lines: each tensor's offsets are the middles of its channels, those of a sum the
/// sums of its terms'; the factors are the widest deviation from them in the group.
fn lines(structure: &Structure, group: &[usize], seen: &SeenBand, ranges: &mut [Range]) {
    let channels = structure.shapes[group[0]].channels;
    let mut offsets: Vec<Vec<f32>> = vec![Vec::new(); structure.shapes.len()];
    for step in structure.steps.iter().filter(|s| group.contains(&s.output)) {
        offsets[step.output] = match step.kind {
            Kind::Conv { .. } | Kind::Silu => {
                seen.tensors[step.output].channels.iter().map(|c| (c.low + c.high) / 2.0).collect()
            }
            Kind::Double => offsets[step.inputs[0]].clone(),
            Kind::Add => {
                let terms = offsets[step.inputs[0]].iter().zip(&offsets[step.inputs[1]]);
                terms.map(|(a, b)| a + b).collect()
            }
        };
    }
    let off = |tensor: usize, c: usize| {
        let seen = seen.tensors[tensor].channels.get(c);
        seen.map_or(0.0, |s| (s.high - offsets[tensor][c]).max(offsets[tensor][c] - s.low))
    };
    let widest = |c: usize| group.iter().map(|&t| off(t, c)).fold(0f32, f32::max);
    let mut factors: Vec<f32> = (0..channels).map(widest).collect();
    let most = factors.iter().copied().fold(f32::MIN_POSITIVE * 1e6, f32::max);
    factors.iter_mut().for_each(|f| *f = f.max(most * NARROWEST));
    for &tensor in group {
        let reach = (0..channels).map(|c| off(tensor, c) / factors[c]).fold(0f32, f32::max);
        let pairs = factors.iter().zip(&offsets[tensor]);
        ranges[tensor] = Range { quant: Quant::covering(-reach, reach), lines: pairs.map(|(&f, &o)| [f, o]).collect() };
    }
}

/// Factors of what single convolutions at full size read, so that a channel's reach and the weights
/// that read it are in balance (arXiv:1906.04721, section 4.1); by tensor, empty where there are none.
fn factors(structure: &Structure, seen: &[SeenBand]) -> Vec<Vec<f32>> {
    let side = structure.shapes[0].height;
    let mut all = vec![Vec::new(); structure.shapes.len()];
    for (tensor, factors) in all.iter_mut().enumerate() {
        let written = structure.steps.iter().find(|s| s.output == tensor).map(|s| s.kind);
        let readers: Vec<_> = structure.readers(tensor).collect();
        let [reader] = readers[..] else { continue };
        let Kind::Conv { filters, .. } = reader.kind else { continue };
        if structure.shapes[tensor].height < side || !matches!(written, None | Some(Kind::Silu)) {
            continue;
        }
        let channels = structure.shapes[tensor].channels;
        let mut reach = vec![0f32; channels];
        for channel in seen.iter().map(|s| &s.tensors[tensor].channels) {
            reach.iter_mut().zip(channel).for_each(|(r, c)| *r = r.max(c.low.abs()).max(c.high.abs()));
        }
        let mut weights = vec![0f32; channels];
        for (i, w) in structure.convs[filters].weights.iter().enumerate() {
            weights[i % channels] = weights[i % channels].max(w.abs());
        }
        let raw: Vec<f32> = reach.iter().zip(&weights).map(|(a, r)| (a / r.max(1e-6)).sqrt()).collect();
        // so that the tensor's reach stays
        let after = raw.iter().zip(&reach).map(|(s, a)| a / s.max(1e-6)).fold(0f32, f32::max);
        let norm = after / reach.iter().copied().fold(1e-6, f32::max);
        *factors = raw.iter().map(|s| (s * norm).clamp(1.0 / FACTOR_MAX, FACTOR_MAX)).collect();
    }
    all
}

/// The range of a tensor whose channels are divided by factors.
fn scaled(seen: &Seen, factors: &[f32]) -> Range {
    let ends = seen.channels.iter().zip(factors).map(|(c, f)| (c.low / f, c.high / f));
    let (low, high) = ends.fold((0f32, 0f32), |(low, high), (a, b)| (low.min(a), high.max(b)));
    Range { quant: Quant::covering(low, high), lines: factors.iter().map(|&f| [f, 0.0]).collect() }
}

/// The convolution of a step with its input's factors in its weights.
fn conv_of(structure: &Structure, kind: Kind, inputs: &[usize], factors: &[Vec<f32>]) -> Option<RealConv> {
    let Kind::Conv { filters, .. } = kind else { return None };
    let mut conv = structure.convs.get(filters)?.clone();
    let factors = factors.get(*inputs.first()?)?;
    if !factors.is_empty() {
        conv.weights.iter_mut().enumerate().for_each(|(i, w)| *w *= factors[i % factors.len()]);
    }
    Some(conv)
}

fn rounded(conv: &RealConv) -> Filters {
    let per = conv.weights.len() / conv.bias.len().max(1);
    let mut made = Filters {
        kernel: conv.window.kernel[0],
        stride: conv.window.stride[0],
        weights: Weights::default(),
        scale: Vec::with_capacity(conv.bias.len()),
        bias: conv.bias.clone(),
    };
    let mut weights = Vec::with_capacity(conv.weights.len());
    for row in conv.weights.chunks_exact(per.max(1)) {
        let scale = (row.iter().fold(0f32, |m, w| m.max(w.abs())) / 127.0).max(f32::MIN_POSITIVE * 1e6);
        weights.extend(row.iter().map(|w| (w / scale).round_ties_even().clamp(-127.0, 127.0) as i8));
        made.scale.push(scale);
    }
    made.weights = weights.into();
    made
}

/// What rounding the weights takes from a channel's mean.
fn correction(conv: &RealConv, rounded: &Filters, mean: impl Fn(usize) -> f64) -> Vec<f32> {
    let outputs = conv.bias.len();
    let per = conv.weights.len() / outputs.max(1);
    let channels = per / (rounded.kernel * rounded.kernel).max(1);
    let means: Vec<f64> = (0..channels).map(mean).collect();
    let of = |o: usize| {
        let pairs = conv.weights[o * per..(o + 1) * per].iter().zip(&rounded.weights[o * per..(o + 1) * per]);
        let lost = pairs
            .enumerate()
            .map(|(i, (&w, &q))| f64::from(w - f32::from(q) * rounded.scale[o]) * means[i % channels.max(1)]);
        lost.sum::<f64>() as f32
    };
    (0..outputs).map(of).collect()
}
