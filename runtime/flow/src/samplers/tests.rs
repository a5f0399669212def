//! Each sampler on data that is known: its order, and the marginals of those that add noise.

use super::known::{Mixture, ONE, TWO};
use super::*;
use crate::normal::Normal;

/// One value alone, whose noise is 1 at one step and 0 at all others.
struct Impulses;

impl Noise for Impulses {
    fn draw(&mut self, step: usize, z: &mut [f64]) {
        z.fill(0.0);
        if let Some(z) = z.get_mut(step + 2) {
            *z = 1.0;
        }
    }
}

/// Mean and variance that a sampler gives on a single normal, exactly: there the velocity is affine
/// in x, so a result is `b + a x_1 + sum c_k z_k`; value 0 gives b, value 1 adds a, the others a c_k.
fn moments(sampler: Sampler, steps: usize) -> [f64; 2] {
    let mut x = vec![0.0; steps + 2];
    x[1] = 1.0;
    sampler.sample(&mut &ONE, &mut x, steps, &mut Impulses).unwrap();
    [x[0], x[1..].iter().map(|v| (v - x[0]).powi(2)).sum()]
}

/// Where a fine integration ends from `x`.
fn exact(data: &Mixture, x: &[f64], ends: [f64; 2]) -> Vec<f64> {
    let mut data = data;
    let mut x = x.to_vec();
    rk45::integrate(&mut data, &mut x, ends, 1e-12).unwrap();
    x
}

fn starts() -> Vec<f64> {
    (0..9).map(|i| -2.0 + 0.5 * f64::from(i)).collect()
}

/// The largest error, by number of steps.
fn errors(sampler: Sampler, data: &Mixture, counts: &[usize]) -> Vec<f64> {
    let end = exact(data, &starts(), [1.0, 0.0]);
    let error = |&steps: &usize| {
        let mut x = starts();
        sampler.sample(&mut &*data, &mut x, steps, &mut Seeded(0)).unwrap();
        x.iter().zip(&end).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    counts.iter().map(error).collect()
}

fn order(errors: &[f64]) -> f64 {
    let last = &errors[errors.len() - 2..];
    (last[0] / last[1]).log2()
}

#[test]
fn the_exact_end_is_a_sample_of_the_data() {
    // the ODE carries quantiles to quantiles: normal x_1 to 0.4 + 0.5 x_1
    for (start, end) in starts().iter().zip(exact(&ONE, &starts(), [1.0, 0.0])) {
        assert!((end - (0.4 + 0.5 * start)).abs() < 1e-8);
    }
}

#[test]
fn euler_and_ddim_are_of_first_order_and_heun_of_second() {
    for data in [&ONE, &TWO] {
        for sampler in [Sampler::Euler, Sampler::Ddim { eta: 0.0 }] {
            let found = errors(sampler, data, &[32, 64, 128, 256]);
            assert!((order(&found) - 1.0).abs() < 0.15, "{}: {found:?}", sampler.name());
        }
        let found = errors(Sampler::Heun, data, &[32, 64, 128, 256]);
        assert!((order(&found) - 2.0).abs() < 0.3, "heun: {found:?}");
    }
}

#[test]
fn the_adaptive_pair_keeps_its_tolerance_and_gains_a_decade_a_decade() {
    for data in [&ONE, &TWO] {
        let end = exact(data, &starts(), [1.0, 0.0]);
        let mut last = f64::INFINITY;
        for tolerance in [1e-3, 1e-5, 1e-7] {
            let mut x = starts();
            rk45::integrate(&mut &*data, &mut x, [1.0, 0.0], tolerance).unwrap();
            let error = x.iter().zip(&end).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(error < 100.0 * tolerance && error < last / 5.0, "{tolerance}: {error}");
            last = error;
        }
    }
    let counted = |steps| Sampler::Rk45.sample(&mut &TWO, &mut starts(), steps, &mut Seeded(0)).unwrap();
    assert!(counted(64) > counted(12), "more steps, more evaluations");
    let mut rough = |x: &[f64], t: f64, v: &mut [f64]| v.fill((1e7 * (x[0] + t)).sin() * 1e3);
    assert!(matches!(rk45::integrate(&mut rough, &mut [0.0], [1.0, 0.0], 1e-9), Err(FlowError::Setting { .. })));
}

#[test]
fn the_probability_flow_of_the_diffusion_is_of_second_order() {
    // it starts at time 1 of the schedule, not at pure noise, and ends with the data predicted there
    let (first, last) = (crate::path::Preserving::at(1.0), crate::path::Preserving::at(diffusion::TIME_MIN));
    for data in [&ONE, &TWO] {
        let from: Vec<f64> = starts().iter().map(|y| y / first.scale()).collect();
        let near = exact(data, &from, [first.t(), last.t()]);
        let end: Vec<f64> = near.iter().map(|&x| x - last.t() * data.velocity_at(x, last.t())).collect();
        let error = |steps| {
            let mut x = starts();
            Sampler::Ode.sample(&mut &*data, &mut x, steps, &mut Seeded(0)).unwrap();
            x.iter().zip(&end).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        let found = [error(128), error(256), error(512)];
        assert!((order(&found) - 2.0).abs() < 0.3, "{found:?}");
    }
}

#[test]
fn those_that_add_noise_reach_the_marginals_at_first_order() {
    let target = [0.4, 0.25];
    for sampler in [Sampler::Ddim { eta: 0.5 }, Sampler::Ddim { eta: 1.0 }, Sampler::Ddpm, Sampler::Sde] {
        let off = |steps| (moments(sampler, steps)[1] - target[1]).abs();
        let found = [off(128), off(256), off(512)];
        assert!(found[2] < 0.02, "{}: variance off by {found:?}", sampler.name());
        assert!((moments(sampler, 512)[0] - target[0]).abs() < 0.01, "{}: mean", sampler.name());
        assert!(order(&found) > 0.7, "{}: {found:?}", sampler.name());
    }
}

#[test]
fn the_sde_and_its_ode_share_marginals_on_two_modes() {
    const N: usize = 4000;
    let drawn = |sampler: Sampler, steps| {
        let mut x = vec![0.0; N];
        Normal::new(11, 0).fill_f64(&mut x);
        sampler.sample(&mut &TWO, &mut x, steps, &mut Seeded(11)).unwrap();
        x.sort_by(f64::total_cmp);
        x
    };
    let ode = drawn(Sampler::Ode, 200);
    for sampler in [Sampler::Sde, Sampler::Ddpm, Sampler::Ddim { eta: 1.0 }, Sampler::Ddim { eta: 0.5 }] {
        let other = drawn(sampler, 400);
        // Wasserstein distance of two samples, by quantiles; two samples of the data differ by about 0.02
        let distance: f64 = ode.iter().zip(&other).map(|(a, b)| (a - b).abs()).sum::<f64>() / N as f64;
        assert!(distance < 0.06, "{}: {distance}", sampler.name());
        let share = other.iter().filter(|x| **x < -0.1).count() as f64 / N as f64;
        assert!((share - 0.3).abs() < 0.03, "{}: {share} in the first mode", sampler.name());
    }
}

#[test]
fn ddim_with_all_the_noise_is_ddpm() {
    let points = implicit::straight(20);
    let (mut a, mut b) = (starts(), starts());
    implicit::ddim(&mut &TWO, &mut a, &points, 1.0, &mut Seeded(3)).unwrap();
    implicit::ddpm(&mut &TWO, &mut b, &points, &mut Seeded(3)).unwrap();
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-9), "{a:?} {b:?}");
}

#[test]
fn calls_are_counted_and_bad_ones_refused() {
    let count = |sampler: Sampler| sampler.sample(&mut &ONE, &mut starts(), 8, &mut Seeded(0)).unwrap();
    assert_eq!([count(Sampler::Euler), count(Sampler::Heun), count(Sampler::Ddpm), count(Sampler::Sde)], [8, 15, 8, 9]);
    for steps in [0, STEPS_MAX + 1] {
        let error = Sampler::Euler.sample(&mut &ONE, &mut starts(), steps, &mut Seeded(0)).unwrap_err();
        assert!(matches!(error, FlowError::Steps { .. }));
    }
    for word in ["euler", "heun", "rk45", "ddim", "ddim:0.5", "ddpm", "sde", "ode"] {
        assert_eq!(Sampler::parse(word).unwrap().name(), word);
    }
    assert!(Sampler::parse("ddim:2").unwrap_err().contains("eta"));
    assert!(Sampler::parse("walk").unwrap_err().contains("heun"));
}
