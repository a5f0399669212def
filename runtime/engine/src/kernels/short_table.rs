//! A table of 256 entries in three of 64, for processors that look up few entries at a time.
//!
//! Tables of activations are smooth: from the first of four neighbouring entries to the others there
//! are few different steps. An entry is the first one of its four plus a step, and which steps those
//! are is a table of its own.

use super::super::quant::Table;

/// Entries of one part.
const ENTRIES: usize = 64;
/// Neighbouring entries that share a first one.
const NEIGHBOURS: usize = 4;

/// `table[q] = base[q / 4] + steps[pattern[q / 4] + q % 4]`, wrapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortTable {
    /// The first of each four entries.
    pub base: [u8; ENTRIES],
    /// Where the steps of each four begin; a multiple of four.
    pub pattern: [u8; ENTRIES],
    /// From the first of four entries to each of them.
    pub steps: [u8; ENTRIES],
}

impl ShortTable {
    /// `None` where a table has more than sixteen patterns of steps.
    pub fn of(table: &Table) -> Option<ShortTable> {
        let mut short = ShortTable { base: [0; ENTRIES], pattern: [0; ENTRIES], steps: [0; ENTRIES] };
        let (groups, _) = table.as_chunks::<NEIGHBOURS>();
        let (steps, _) = short.steps.as_chunks_mut::<NEIGHBOURS>();
        let mut known = 0;
        for (index, group) in groups.iter().enumerate() {
            let wanted = group.map(|entry| entry.wrapping_sub(group[0]));
            let found = steps[..known].iter().position(|s| *s == wanted).unwrap_or(known);
            *steps.get_mut(found)? = wanted;
            known = known.max(found + 1);
            short.base[index] = group[0];
            short.pattern[index] = (found * NEIGHBOURS) as u8;
        }
        Some(short)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::quant::Quant;
    use super::*;
    use proptest::prelude::*;

    fn expanded(short: &ShortTable) -> Table {
        std::array::from_fn(|q| {
            let step = short.steps[usize::from(short.pattern[q / NEIGHBOURS]) + q % NEIGHBOURS];
            short.base[q / NEIGHBOURS].wrapping_add(step)
        })
    }

    proptest! {
        #[test]
        fn a_short_table_says_the_same(low in -30f32..0.0, high in 0.1f32..30.0, sign_xor in prop::sample::select(vec![0usize, 0x80])) {
            let from = Quant::covering(low, high);
            let plain = from.table(Quant::covering(-0.3, high), |x| x / (1.0 + (-x).exp()));
            let table: Table = std::array::from_fn(|q| plain[q ^ sign_xor] ^ sign_xor as u8);
            if let Some(short) = ShortTable::of(&table) {
                prop_assert_eq!(expanded(&short), table);
            }
        }

        #[test]
        fn patterns_are_counted(steps in prop::collection::vec(0u8..=255, 17), entries in prop::collection::vec(0usize..17, 64)) {
            let table: Table = std::array::from_fn(|q| if q % 4 == 3 { steps[entries[q / 4]] } else { 0 });
            let mut used: Vec<u8> = entries.iter().map(|&e| steps[e]).collect();
            used.sort_unstable();
            used.dedup();
            let short = ShortTable::of(&table);
            prop_assert_eq!(short.is_some(), used.len() <= 16);
            prop_assert!(short.is_none_or(|s| expanded(&s) == table));
        }
    }

    #[test]
    fn an_activation_is_short() {
        let table = Quant::covering(-6.0, 6.0).table(Quant::covering(-0.3, 6.0), |x| x / (1.0 + (-x).exp()));
        assert!(ShortTable::of(&table).is_some());
    }
}
