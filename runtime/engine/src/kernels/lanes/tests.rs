//! Every instruction set against plain loops.

use super::*;
use proptest::prelude::*;

/// What an instruction set is given.
struct All<'a> {
    rows: &'a [[u8; LANES]],
    weights: &'a [i16],
    samples: &'a [i16],
    columns: &'a Columns,
    mix: &'a Mix,
}

/// Everything that it computes, in one list.
struct Kept<'a> {
    all: &'a All<'a>,
    numbers: &'a mut Vec<i32>,
}

impl Pass for Kept<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let mut sums = lanes.sums([3; LANES]);
        for (rows, weights) in self.all.rows.chunks_exact(2).zip(self.all.weights.chunks_exact(2)) {
            sums = lanes.add_rows(sums, [&rows[0], &rows[1]], [weights[0], weights[1]]);
        }
        self.numbers.extend(lanes.numbers(sums));
        self.numbers.extend(lanes.blended(sums).map(i32::from));
        // columns are seen as they are, and mixed
        let first = Mix { offsets: [0; 3], weights: [[32, 0, 0], [512, 0, 0], [8192, 0, 0]] };
        for group in self.all.columns.groups(self.all.samples) {
            let columns = lanes.columns(group);
            let grey = lanes.same(2048);
            let mut pixels = [0; 3 * LANES];
            let used = [
                (&first, [columns, grey, grey]),
                (self.all.mix, [columns, columns, grey]),
                (self.all.mix, [grey, columns, columns]),
            ];
            for (mix, values) in used {
                lanes.mix(&lanes.mixing(mix), values, &mut pixels);
                self.numbers.extend(pixels.map(i32::from));
            }
        }
    }
}

proptest! {
    #[test]
    fn the_best_computes_what_the_portable_does(
        rows in prop::collection::vec(any::<[u8; LANES]>(), 2..9),
        weights in prop::collection::vec(0i16..=2048, 8),
        samples in prop::collection::vec(0i16..=32640, 120),
        first in prop::collection::vec(0usize..15, 9..16),
        (count, step) in (1usize..14, 1usize..5),
        column_weights in prop::collection::vec(0i16..=1150, 16 * 14),
        mix_weights in proptest::array::uniform3(proptest::array::uniform3(-20000i16..20000)),
        offsets in proptest::array::uniform3(0i16..2048),
    ) {
        let columns = Columns::new(&first, &column_weights[..first.len() * count], count, step);
        let mix = Mix { offsets, weights: mix_weights };
        let (rows, weights, samples) = (&rows[..], &weights[..], &samples[..]);
        let all = All { rows, weights, samples, columns: &columns, mix: &mix };
        let of = |run: &dyn Fn(Kept<'_>)| {
            let mut numbers = Vec::new();
            run(Kept { all: &all, numbers: &mut numbers });
            numbers
        };
        let portable = of(&|kept| kept.run(Portable));
        prop_assert_eq!(&of(&|kept| best(kept)), &portable);
        #[cfg(target_arch = "x86_64")]
        prop_assert_eq!(&of(&|kept| kept.run(sse2::Sse2)), &portable);
    }
}

#[test]
#[should_panic(expected = "a row shorter than its windows: 8 samples")]
fn a_short_row_is_refused() {
    let columns = Columns::new(&[1], &[5, 5], 2, 1);
    columns.groups(&[0; 8]).for_each(drop);
}
