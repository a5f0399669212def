//! Time, class and mode as the networks are told them.

use super::manifest::ConditionSpec;
use super::network::Asked;

/// The time features of `t`: sqrt 2 times the cosines of `t w_k`, then the sines, with
/// `w_k = 2 pi cycles_min (cycles_max / cycles_min)^(k / (n - 1))`, k = 0..n, n = features / 2
/// (random or spaced Fourier features: Tancik et al., arXiv:2006.10739).
pub fn features(spec: &ConditionSpec, t: f64, into: &mut [f32]) {
    let half = spec.features / 2;
    let ratio = libm::log(spec.cycles_max / spec.cycles_min);
    for k in 0..half.min(into.len() / 2) {
        let share = k as f64 / (half.max(2) - 1) as f64;
        let angle = t * std::f64::consts::TAU * spec.cycles_min * libm::exp(ratio * share);
        into[k] = (std::f64::consts::SQRT_2 * libm::cos(angle)) as f32;
        into[half + k] = (std::f64::consts::SQRT_2 * libm::sin(angle)) as f32;
    }
}

/// 1 at `label`, else 0.
pub fn one_hot(label: usize, into: &mut [f32]) {
    into.iter_mut().enumerate().for_each(|(i, v)| *v = f32::from(u8::from(i == label)));
}

/// Results that are kept, because they depend on step, class and mode only.
#[derive(Debug)]
pub struct Kept<T> {
    most: usize,
    /// The latest last.
    entries: Vec<(Asked, T)>,
}

impl<T> Kept<T> {
    /// Keeps the `most` that were used last.
    pub fn new(most: usize) -> Kept<T> {
        Kept { most: most.max(1), entries: Vec::with_capacity(most.max(1)) }
    }

    /// Keeps as many as there are `values`, which nothing asked for and whose memory is used again.
    pub fn over(values: impl IntoIterator<Item = T>) -> Kept<T> {
        let nothing = Asked { t: f64::NAN, label: 0, jump: false }; // is not even itself
        let entries: Vec<(Asked, T)> = values.into_iter().map(|value| (nothing, value)).collect();
        Kept { most: entries.len().max(1), entries }
    }

    /// What is kept for `asked`, else what `make` gives; an old value is passed to it for reuse.
    ///
    /// # Errors
    /// Those of `make`; nothing is kept then.
    pub fn get<E>(&mut self, asked: Asked, make: impl FnOnce(Option<T>) -> Result<T, E>) -> Result<&mut T, E> {
        if let Some(at) = self.entries.iter().position(|(kept, _)| *kept == asked) {
            // the order tells which was used last; a rotation moves pointers only
            self.entries[at..].rotate_left(1);
        } else {
            let old = (self.entries.len() >= self.most).then(|| self.entries.remove(0).1);
            let made = make(old)?;
            self.entries.push((asked, made));
        }
        let last = self.entries.len() - 1;
        Ok(&mut self.entries[last].1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::FlowManifest;
    use super::*;

    #[test]
    fn features_are_those_of_the_training_code() {
        let flow = FlowManifest::parse(lapwing_models::FLOW_PATCH.manifest).unwrap();
        let mut found = [0f32; 64];
        features(&flow.condition, 0.7, &mut found);
        // models/train/flow/path.py, features(torch.tensor([0.7])), entries 0, 31, 32, 63
        let slow = 0.7f64 * std::f64::consts::TAU * 0.25;
        let fast = 0.7f64 * std::f64::consts::TAU * 16.0;
        for (at, expected) in [(0, slow.cos()), (31, fast.cos()), (32, slow.sin()), (63, fast.sin())] {
            assert!((f64::from(found[at]) - expected * 2f64.sqrt()).abs() < 1e-5, "{at}");
        }
    }

    #[test]
    fn the_oldest_is_given_up_and_handed_on() {
        let mut kept = Kept::new(2);
        let asked = |label| Asked { t: 0.5, label, jump: true };
        let mut made = Vec::new();
        for label in [1, 2, 1, 3, 1, 2] {
            let value = kept
                .get(asked(label), |old: Option<usize>| {
                    made.push((label, old));
                    Ok::<_, ()>(label)
                })
                .unwrap();
            assert_eq!(*value, label);
        }
        assert_eq!(made, [(1, None), (2, None), (3, Some(2)), (2, Some(3))]);
    }
}
