//! Recipes against float32 values, and their files.

use proptest::prelude::*;

use super::artifact::Calibration;
use super::dense::{Condition, Dense, silu};
use super::recipe::{Band, Filters, Kind, Range, Recipe, RecipeStep};
use super::{FlowArtifact, Int8Flow};
use crate::fuzz_targets::run_flow;
use crate::normal::Normal;
use crate::{Asked, FlowManifest, VelocityNetwork};
use lapwing_engine::ir::{Shape, Weights};
use lapwing_engine::quant::Quant;
use lapwing_engine::reference;

const SIDE: usize = 32;

fn manifest() -> FlowManifest {
    FlowManifest::parse(lapwing_models::FLOW_CIFAR.manifest).unwrap()
}

fn numbers(count: usize, stream: u64) -> Vec<f32> {
    let mut made = vec![0f32; count];
    Normal::new(9, stream).fill(&mut made);
    made
}

fn filters(kernel: usize, inputs: usize, outputs: usize, stream: u64) -> Filters {
    let count = kernel * kernel * inputs * outputs;
    Filters {
        kernel,
        stride: 1,
        weights: numbers(count, stream).iter().map(|w| (w * 40.0).clamp(-127.0, 127.0) as i8).collect(),
        scale: numbers(outputs, stream + 50)
            .iter()
            .map(|s| (0.02 + 0.004 * s.abs()) / (kernel * kernel) as f32)
            .collect(),
        bias: numbers(outputs, stream + 70).iter().map(|b| 0.3 * b).collect(),
    }
}

/// Convolution with lines behind it, SiLU by channel, film and SiLU in a store, a sum, an output.
fn recipe() -> Recipe {
    let shape = |channels| Shape { height: SIDE, width: SIDE, channels };
    let conv = |filters, film, silu| Kind::Conv { filters, film, silu };
    let step = |name: &str, kind, inputs: &[usize], output| RecipeStep {
        name: name.into(),
        kind,
        inputs: inputs.into(),
        output,
    };
    let plain = |low, high| Range { quant: Quant::covering(low, high), lines: Vec::new() };
    let lines = vec![[0.5, 1.0], [2.0, -1.0], [1.0, 0.0], [4.0, 3.0]];
    let range = |channels: usize| (Quant::covering(-6.0, 6.0), vec![0.01; channels]);
    let ranges = vec![
        plain(-4.0, 4.0),
        Range { quant: Quant::covering(-6.0, 6.0), lines },
        Range { quant: Quant::covering(-0.5, 12.0), lines: vec![[1.0, 0.0], [2.0, 0.0], [1.0, 0.0], [2.0, 0.0]] },
        plain(-0.5, 6.0),
        plain(-6.0, 6.0),
        plain(-8.0, 8.0),
        plain(-12.0, 12.0),
    ];
    let band = |t_max| Band { t_max, ranges: ranges.clone(), convs: vec![range(4), range(4), range(4), range(3)] };
    Recipe {
        shapes: [3, 4, 4, 4, 4, 4, 3].map(shape).to_vec(),
        steps: vec![
            step("first", conv(0, None, false), &[0], 1),
            step("silu", Kind::Silu, &[1], 2),
            step("film", conv(1, Some(8), true), &[2], 3),
            step("second", conv(2, None, false), &[3], 4),
            step("sum", Kind::Add, &[4, 3], 5),
            step("out", conv(3, None, false), &[5], 6),
        ],
        convs: vec![filters(3, 3, 4, 1), filters(3, 4, 4, 2), filters(1, 4, 4, 3), filters(3, 4, 3, 4)],
        bands: vec![band(0.5), band(1.0)],
    }
}

pub(crate) fn artifact() -> FlowArtifact {
    let manifest = manifest();
    let dense = |inputs: usize, outputs: usize, stream| Dense {
        weights: numbers(inputs * outputs, stream).iter().map(|w| w / (inputs as f32).sqrt()).collect(),
        bias: vec![0.0; outputs],
    };
    let film = manifest.velocity.film;
    let condition = Condition { layers: [dense(76, 16, 20), dense(16, 16, 21), dense(16, film, 22)] };
    FlowArtifact { manifest, calibration: Calibration::default(), condition, recipe: recipe() }
}

/// The recipe in float32, pictures (h, w, c).
fn real(recipe: &Recipe, film: &[f32], input: &[f32]) -> Vec<f32> {
    let mut tensors: Vec<Vec<f32>> = vec![Vec::new(); recipe.shapes.len()];
    tensors[0] = input.to_vec();
    let band = &recipe.bands[0];
    for step in &recipe.steps {
        let from = &tensors[step.inputs[0]];
        let made = match step.kind {
            Kind::Silu => from.iter().map(|&x| silu(x)).collect(),
            Kind::Add => from.iter().zip(&tensors[step.inputs[1]]).map(|(a, b)| a + b).collect(),
            Kind::Double => unreachable!("the test has none"),
            Kind::Conv { filters, film: at, silu: through } => {
                let (conv, inputs) = (&recipe.convs[filters], recipe.shapes[step.inputs[0]].channels);
                // weights are for the input divided by its factors
                let factor = |c: usize| band.ranges[step.inputs[0]].lines.get(c).map_or(1.0, |l| l[0]);
                let half = conv.kernel / 2;
                let mut out = Vec::new();
                for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
                    for o in 0..conv.bias.len() {
                        let mut sum = conv.bias[o] + band.convs[filters].1[o];
                        for (tap, c) in (0..conv.kernel * conv.kernel).flat_map(|t| (0..inputs).map(move |c| (t, c))) {
                            let (ty, tx) = (y + tap / conv.kernel, x + tap % conv.kernel);
                            if (half..SIDE + half).contains(&ty) && (half..SIDE + half).contains(&tx) {
                                let w = conv.weights[(o * conv.kernel * conv.kernel + tap) * inputs + c];
                                let value = from[((ty - half) * SIDE + tx - half) * inputs + c] / factor(c);
                                sum += f32::from(w) * conv.scale[o] * value;
                            }
                        }
                        let at = at.map_or((1.0, 0.0), |at| (film[at + o], film[at + conv.bias.len() + o]));
                        let value = sum * at.0 + at.1;
                        out.push(if through { silu(value) } else { value });
                    }
                }
                out
            }
        };
        tensors[step.output] = made;
    }
    tensors.swap_remove(6)
}

#[test]
fn a_step_computes_what_real_numbers_do_for_any_film() {
    let recipe = recipe();
    let input: Vec<u8> = (0..SIDE * SIDE * 3).map(|i| ((i * 97) % 251) as u8).collect();
    let quant = recipe.bands[0].ranges[0].quant;
    let values: Vec<f32> = input.iter().map(|&q| quant.real(q)).collect();
    // factors above and below zero, and next to nothing
    let scales = [[1.0f32, 1.0, 1.0, 1.0], [-1.5, 0.4, -0.2, 2.0], [1e-7, -1e-7, 0.0, 1.0]];
    for scales in scales {
        let mut film = vec![0.0; 16];
        film[8..12].copy_from_slice(&scales);
        film[12..16].copy_from_slice(&[0.3, -0.6, 0.9, -0.2]);
        let graph = recipe.graph(&recipe.bands[0], &film).unwrap();
        graph.check().unwrap();
        let found = reference::run(&graph, &[&input]).unwrap();
        let to = recipe.bands[0].ranges[6].quant;
        let expected = real(&recipe, &film, &values);
        let off = |(q, e): (&u8, &f32)| f64::from(to.real(*q) - e).abs();
        let mean = found[6].iter().zip(&expected).map(off).sum::<f64>() / expected.len() as f64;
        let spread = expected.iter().map(|e| f64::from(e.abs())).sum::<f64>() / expected.len() as f64;
        assert!(mean < 0.05 * spread.max(1.0), "{scales:?}: off by {mean} of {spread}");
    }
}

#[test]
fn the_band_is_that_of_the_time() {
    let recipe = recipe();
    let found: Vec<f32> = [0.0, 0.5, 0.500_1, 1.0, 7.0].iter().map(|&t| recipe.band(t).unwrap().t_max).collect();
    assert_eq!(found, [0.5, 0.5, 1.0, 1.0, 1.0]);
}

#[test]
fn a_flow_runs_and_answers_the_same_again() {
    let mut flow = Int8Flow::load(&artifact(), "test", 1).unwrap();
    let x = numbers(SIDE * SIDE * 3, 30);
    let mut first = vec![0f32; x.len()];
    let mut v = vec![0f32; x.len()];
    for label in [0, 1, 2, 3, 4, 5, 0] {
        flow.velocity(&x, &[], Asked { t: 0.7, label, jump: true }, &mut v).unwrap();
        if label == 0 && first.iter().all(|&f| f == 0.0) {
            first.copy_from_slice(&v);
        }
    }
    assert_eq!(first, v);
    assert!(v.iter().any(|&other| other != v[0]));
    assert!(flow.velocity(&x[1..], &[], Asked { t: 0.7, label: 0, jump: true }, &mut v).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// The plan that takes other numbers against one that is made anew for each step.
    #[test]
    fn other_numbers_in_a_plan_are_those_of_a_new_plan(walk in prop::collection::vec((0f64..1.0, 0usize..11, any::<bool>()), 1..6), threads in 1usize..3) {
        let mut made = artifact();
        // a band that differs in scales, zero points and in having no lines
        let other = &mut made.recipe.bands[0];
        other.ranges[2] = Range { quant: Quant::covering(-0.3, 9.0), lines: Vec::new() };
        other.ranges[0].quant = Quant::covering(-2.0, 3.0);
        other.convs[1].0 = Quant::covering(-5.0, 3.0);
        let mut flow = Int8Flow::load(&made, "test", threads).unwrap();
        let x = numbers(SIDE * SIDE * 3, 30);
        let (mut found, mut expected) = (vec![0f32; x.len()], vec![0f32; x.len()]);
        for (t, label, jump) in walk {
            let asked = Asked { t, label, jump };
            flow.velocity(&x, &[], asked, &mut found).unwrap();
            Int8Flow::load(&made, "new", 1).unwrap().velocity_of_new_plan(&x, asked, &mut expected).unwrap();
            prop_assert_eq!(&found, &expected);
        }
    }
}

#[test]
fn what_is_written_is_read() {
    let made = artifact();
    let file = made.to_bytes().unwrap();
    assert_eq!(FlowArtifact::from_bytes(file).unwrap(), made);
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |change: &dyn Fn(&mut FlowArtifact)| {
        let mut made = artifact();
        change(&mut made);
        FlowArtifact::from_bytes(made.to_bytes().unwrap()).unwrap_err()
    };
    refused(&|a| a.recipe.shapes[0].channels = 4);
    refused(&|a| a.recipe.steps[0].inputs = vec![9]);
    refused(&|a| a.recipe.steps[2].kind = Kind::Conv { filters: 1, film: Some(usize::MAX >> 8), silu: true });
    refused(&|a| a.recipe.steps[2].kind = Kind::Conv { filters: 7, film: None, silu: true });
    refused(&|a| a.recipe.bands.clear());
    refused(&|a| a.recipe.convs[0].kernel = 5);
    refused(&|a| a.recipe.convs[0].weights = Weights::from(vec![i8::MIN; 108]));
    refused(&|a| a.recipe.bands[1].ranges[3].quant.scale = 0.0);
    refused(&|a| a.condition.layers[2].bias.truncate(5));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn cuts_and_flips_are_refused(at: prop::sample::Index, flip in 1u8..) {
        let file = artifact().to_bytes().unwrap();
        prop_assert!(FlowArtifact::from_bytes(file[..at.index(file.len())].to_vec()).is_err());
        let mut altered = file.clone();
        altered[at.index(file.len())] ^= flip;
        prop_assert!(FlowArtifact::from_bytes(altered).is_err());
    }

    /// Altered and signed anew: whatever is read must be fit to run.
    #[test]
    fn forged_files_are_refused_or_run(at: prop::sample::Index, to: u8, head: bool) {
        let mut file = artifact().to_bytes().unwrap();
        let end = if head { 4000 } else { file.len() };
        let place = 16 + at.index(end - 16);
        file[place] = to;
        lapwing_engine::artifact::container::seal(&mut file);
        if let Ok(read) = FlowArtifact::from_bytes(file) {
            run_flow(&read);
        }
    }
}
