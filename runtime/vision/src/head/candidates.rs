//! Boxes that passed the score threshold, before NMS: a bounded list that keeps the best.

/// Most candidates that reach NMS for one picture; the best by score are kept.
pub const CANDIDATES_MAX: usize = 1500;

/// Greatest score, with what rounding may add.
pub const SCORE_MAX: f32 = 1.05;

/// A box above the threshold, in input pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Candidate {
    /// Index into the manifest's class names.
    pub class: u16,
    /// Confidence in 0..=1.
    pub score: f32,
    /// `[x0, y0, x1, y1]` in pixels of the network's input, not clipped; of a turned box before it is turned.
    pub bounds: [f32; 4],
    /// The angle by which the box is turned around its centre, in radians from the x to the y axis.
    pub angle: f32,
    /// Where in the outputs it comes from; the head that made it finds there what else the box has.
    pub cell: u32,
}

/// A list that never grows past twice [`CANDIDATES_MAX`] and keeps the best.
#[derive(Debug)]
pub struct Candidates {
    list: Vec<Candidate>,
    /// Candidates whose score or box is no number.
    refused: usize,
    /// The greatest score above [`SCORE_MAX`].
    excess: Option<f32>,
}

impl Default for Candidates {
    fn default() -> Self {
        Candidates { list: Vec::with_capacity(2 * CANDIDATES_MAX), refused: 0, excess: None }
    }
}

impl Candidates {
    /// Forgets everything, keeps the buffer.
    pub fn clear(&mut self) {
        self.list.clear();
        self.refused = 0;
        self.excess = None;
    }

    /// The greatest score of candidates since the last [`Candidates::clear`] that is none, for it is above 1: the head
    /// reads something else than the network gives.
    pub fn excess(&self) -> Option<f32> {
        self.excess
    }

    /// Candidates since the last [`Candidates::clear`] whose score or box was NaN or infinite: there is an object, and
    /// nobody knows where.
    pub fn refused(&self) -> usize {
        self.refused
    }

    /// Adds a candidate; drops the worst half when the buffer is full. One whose score or box is NaN or infinite
    /// is refused and counted.
    pub fn push(&mut self, candidate: Candidate) {
        let Candidate { score, bounds, angle, .. } = &candidate;
        if !bounds.iter().chain([score, angle]).all(|v| v.is_finite()) {
            self.refused += 1;
            return;
        }
        if candidate.score > SCORE_MAX {
            self.excess = Some(self.excess.unwrap_or(0.0).max(candidate.score));
        }
        if self.list.len() == 2 * CANDIDATES_MAX {
            self.keep_best();
        }
        self.list.push(candidate);
    }

    /// The best [`CANDIDATES_MAX`], best first; ties keep a fixed order.
    pub fn sorted(&mut self) -> &[Candidate] {
        if self.list.len() > CANDIDATES_MAX {
            self.keep_best();
        }
        self.list.sort_unstable_by(order);
        &self.list
    }

    /// The candidates as they lie; best first after [`Candidates::sorted`].
    pub fn as_slice(&self) -> &[Candidate] {
        &self.list
    }

    fn keep_best(&mut self) {
        self.list.select_nth_unstable_by(CANDIDATES_MAX - 1, order);
        self.list.truncate(CANDIDATES_MAX);
    }
}

/// Best score first; then class and place, so that the order never depends on how it was found.
fn order(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.score
        .total_cmp(&a.score)
        .then(a.class.cmp(&b.class))
        .then(a.bounds[0].total_cmp(&b.bounds[0]))
        .then(a.bounds[1].total_cmp(&b.bounds[1]))
        .then(a.bounds[2].total_cmp(&b.bounds[2]))
        .then(a.bounds[3].total_cmp(&b.bounds[3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(score: f32) -> Candidate {
        Candidate { score, bounds: [0.0, 0.0, 1.0, 1.0], ..Candidate::default() }
    }

    #[test]
    fn the_best_survive_any_flood() {
        let mut candidates = Candidates::default();
        let total = 10 * CANDIDATES_MAX;
        for i in 0..total {
            candidates.push(at(((i * 7919) % total) as f32 / total as f32));
        }
        let kept = candidates.sorted();
        assert_eq!(kept.len(), CANDIDATES_MAX);
        for (rank, candidate) in kept.iter().enumerate() {
            assert_eq!(candidate.score, (total - 1 - rank) as f32 / total as f32);
        }
    }

    #[test]
    fn a_score_above_one_is_told() {
        let mut candidates = Candidates::default();
        [0.5, 1.0, 1.01].into_iter().for_each(|score| candidates.push(at(score)));
        assert_eq!(candidates.excess(), None);
        [2.2, 1.5].into_iter().for_each(|score| candidates.push(at(score)));
        assert_eq!(candidates.excess(), Some(2.2));
        candidates.clear();
        assert_eq!(candidates.excess(), None);
    }

    #[test]
    fn nan_never_enters() {
        let mut candidates = Candidates::default();
        candidates.push(at(f32::NAN));
        candidates.push(Candidate { bounds: [f32::NAN; 4], ..at(0.5) });
        candidates.push(Candidate { bounds: [0.0, 0.0, f32::INFINITY, 1.0], ..at(0.5) });
        candidates.push(Candidate { angle: f32::NAN, ..at(0.5) });
        assert!(candidates.sorted().is_empty());
        assert_eq!(candidates.refused(), 4, "and nobody may take that for an empty picture");
        candidates.clear();
        assert_eq!(candidates.refused(), 0);
    }
}
