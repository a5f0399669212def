//! Which parts of a box its object touches.

/// Cells of an outline across and down.
pub const OUTLINE_CELLS: usize = 32;

/// A coarse picture of an object inside its box, of [`OUTLINE_CELLS`] x [`OUTLINE_CELLS`] cells. A cell is part of it
/// wherever the object touches the cell, so that all cells together cover the object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// By row from the top; bit x is column x from the left.
    rows: [u32; OUTLINE_CELLS],
}

impl Default for Outline {
    /// [`Outline::FULL`]: nothing is known of the object but its box.
    fn default() -> Self {
        Outline::FULL
    }
}

impl std::fmt::Debug for Outline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outline({} of {} cells)", self.cells(), OUTLINE_CELLS * OUTLINE_CELLS)
    }
}

impl Outline {
    /// Every cell.
    pub const FULL: Outline = Outline { rows: [u32::MAX; OUTLINE_CELLS] };

    /// The cells (column, row) for which `touches` is true.
    pub fn of(mut touches: impl FnMut(usize, usize) -> bool) -> Outline {
        let mut rows = [0; OUTLINE_CELLS];
        for (y, row) in rows.iter_mut().enumerate() {
            for x in (0..OUTLINE_CELLS).filter(|&x| touches(x, y)) {
                *row |= 1 << x;
            }
        }
        Outline { rows }
    }

    /// Whether it is every cell.
    pub fn is_full(&self) -> bool {
        *self == Outline::FULL
    }

    /// Its cells.
    pub fn cells(&self) -> u32 {
        self.rows.iter().map(|row| row.count_ones()).sum()
    }

    /// Whether the cell in column `x`, row `y` is part of it; cells outside are not.
    pub fn has(&self, x: usize, y: usize) -> bool {
        x < OUTLINE_CELLS && self.rows.get(y).is_some_and(|row| row >> x & 1 == 1)
    }

    /// Whether it has a cell of the columns `x0..=x1` in the rows `y0..=y1`.
    pub fn has_any(&self, [x0, x1]: [usize; 2], [y0, y1]: [usize; 2]) -> bool {
        let last = OUTLINE_CELLS - 1;
        if x0 > last || y0 > last || x0 > x1 || y0 > y1 {
            return false;
        }
        let columns = (u32::MAX << x0) & (u32::MAX >> (last - x1.min(last)));
        self.rows[y0..=y1.min(last)].iter().any(|row| row & columns != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_box_without_a_mask_is_all_of_it() {
        assert_eq!(Outline::default().cells(), 1024);
        assert!(Outline::of(|_, _| true).is_full() && !Outline::of(|x, y| (x, y) != (31, 31)).is_full());
        assert!(!Outline::FULL.has(32, 0) && !Outline::FULL.has(0, 32));
    }

    proptest! {
        #[test]
        fn a_window_has_what_its_cells_have(
            cells in prop::collection::hash_set((0usize..32, 0usize..32), 0..12),
            x0 in 0usize..40, x1 in 0usize..40, y0 in 0usize..40, y1 in 0usize..40,
        ) {
            let outline = Outline::of(|x, y| cells.contains(&(x, y)));
            let plain = (y0..=y1).any(|y| (x0..=x1).any(|x| outline.has(x, y)));
            prop_assert_eq!(outline.has_any([x0, x1], [y0, y1]), plain);
            prop_assert_eq!(outline.cells() as usize, cells.len());
        }
    }
}
