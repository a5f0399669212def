//! Guidance: a velocity that leans towards a class.

use super::FlowError;
use super::samplers::Velocity;

/// A velocity that can be asked for with a class and without.
pub trait Conditional: Velocity {
    /// Writes the velocity without a class.
    ///
    /// # Errors
    /// Whatever computes it.
    fn without(&mut self, x: &[f64], t: f64, v: &mut [f64]) -> Result<(), FlowError>;
}

/// Classifier-free guidance: `u + w (c - u)` for t in an interval, c outside it.
///
/// Ho and Salimans, arXiv:2207.12598, equation 6 (their w is this w less 1); the interval by
/// Kynkäänniemi et al., arXiv:2404.07724.
pub struct ClassifierFree<C> {
    /// With the class, and without.
    pub field: C,
    /// 1 is no guidance, 0 no class.
    pub weight: f64,
    /// Where it holds; 0..=1 for all.
    pub interval: [f64; 2],
    /// For the velocity without the class.
    pub buffer: Vec<f64>,
}

impl<C: Conditional> Velocity for ClassifierFree<C> {
    fn velocity(&mut self, x: &[f64], t: f64, v: &mut [f64]) -> Result<(), FlowError> {
        self.field.velocity(x, t, v)?;
        if self.weight == 1.0 || t < self.interval[0] || t > self.interval[1] {
            return Ok(());
        }
        self.buffer.resize(x.len(), 0.0);
        self.field.without(x, t, &mut self.buffer)?;
        for (v, u) in v.iter_mut().zip(&self.buffer) {
            *v = u + self.weight * (*v - u);
        }
        Ok(())
    }
}

/// Classifier guidance: the score is moved by `scale` times the gradient of log p(class | x_t), which
/// moves the velocity by `-scale t / (1 - t)` times it (`v = -(x + t score) / (1 - t)`). At t = 1,
/// where x_t says nothing of the class, nothing is added.
///
/// Dhariwal and Nichol, arXiv:2105.05233, algorithm 2.
pub struct Classifier<U, G> {
    /// Without a class.
    pub without: U,
    /// Writes the gradient at (x, t).
    pub gradient: G,
    /// How strongly.
    pub scale: f64,
    /// For the gradient.
    pub buffer: Vec<f64>,
}

impl<U, G> Velocity for Classifier<U, G>
where
    U: Velocity,
    G: FnMut(&[f64], f64, &mut [f64]) -> Result<(), FlowError>,
{
    fn velocity(&mut self, x: &[f64], t: f64, v: &mut [f64]) -> Result<(), FlowError> {
        self.without.velocity(x, t, v)?;
        if t >= 1.0 || self.scale == 0.0 {
            return Ok(());
        }
        self.buffer.resize(x.len(), 0.0);
        (self.gradient)(x, t, &mut self.buffer)?;
        let factor = self.scale * t / (1.0 - t);
        v.iter_mut().zip(&self.buffer).for_each(|(v, g)| *v -= factor * g);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::samplers::known::{Mixture, TWO};
    use super::super::samplers::{Sampler, Seeded};
    use super::*;

    const LEFT: Mixture = Mixture(&[(1.0, -1.0, 0.3)]);

    /// The left mode for a class, both for none.
    struct Left;

    impl Velocity for Left {
        fn velocity(&mut self, x: &[f64], t: f64, v: &mut [f64]) -> Result<(), FlowError> {
            (&LEFT).velocity(x, t, v)
        }
    }

    impl Conditional for Left {
        fn without(&mut self, x: &[f64], t: f64, v: &mut [f64]) -> Result<(), FlowError> {
            (&TWO).velocity(x, t, v)
        }
    }

    #[test]
    fn free_guidance_is_a_line_through_both_velocities_inside_its_interval() {
        let at = |weight, t| {
            let mut guided = ClassifierFree { field: Left, weight, interval: [0.2, 0.8], buffer: Vec::new() };
            let mut v = [0.0];
            guided.velocity(&[0.3], t, &mut v).unwrap();
            v[0]
        };
        let (c, u) = (LEFT.velocity_at(0.3, 0.5), TWO.velocity_at(0.3, 0.5));
        for weight in [0.0, 1.0, 2.0, 3.5] {
            assert!((at(weight, 0.5) - (u + weight * (c - u))).abs() < 1e-12);
        }
        assert_eq!(at(3.0, 0.9), LEFT.velocity_at(0.3, 0.9));
        assert_eq!(at(3.0, 0.1), LEFT.velocity_at(0.3, 0.1));
    }

    #[test]
    fn an_exact_classifier_turns_the_mixture_into_its_class() {
        // log p(left | x) = log p(x | left) + const - log p(x), so its gradient is a difference of scores
        let gradient = |x: &[f64], t: f64, g: &mut [f64]| {
            for (g, &x) in g.iter_mut().zip(x) {
                *g = LEFT.score(x, t) - TWO.score(x, t);
            }
            Ok(())
        };
        let mut guided = Classifier { without: &TWO, gradient, scale: 1.0, buffer: Vec::new() };
        for (x, t) in [(0.5, 0.3), (-1.0, 0.9), (0.0, 0.6)] {
            let mut v = [0.0];
            guided.velocity(&[x], t, &mut v).unwrap();
            assert!((v[0] - LEFT.velocity_at(x, t)).abs() < 1e-9);
        }
        let mut x = [-1.5, 0.0, 1.5];
        Sampler::Heun.sample(&mut guided, &mut x, 64, &mut Seeded(0)).unwrap();
        assert!(x.iter().all(|&x| x < -0.3), "{x:?}");
    }
}
