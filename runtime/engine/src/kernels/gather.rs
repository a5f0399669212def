//! Channels to other places by instructions that look bytes up in a window of memory.

use super::{Rows, portable};

/// Most windows of one lookup; channels that are spread further go one by one.
pub const WINDOWS_MAX: usize = 4;
/// A place outside of every window.
pub const NOWHERE: u8 = 0xff;

/// Where up to `CHANNELS` channels come from: from windows of `WINDOW` bytes behind an input pixel.
pub struct Windows<const CHANNELS: usize, const WINDOW: usize> {
    /// Offsets of the windows from the pixel.
    pub offsets: [usize; WINDOWS_MAX],
    /// For each channel its place in the window, or [`NOWHERE`].
    pub places: [[u8; CHANNELS]; WINDOWS_MAX],
    /// Windows that hold any.
    pub count: usize,
}

impl<const CHANNELS: usize, const WINDOW: usize> Windows<CHANNELS, WINDOW> {
    /// Each window begins at the least offset that no window before it holds. `None` where
    /// [`WINDOWS_MAX`] do not hold all.
    pub fn of(sources: &[usize]) -> Option<Windows<CHANNELS, WINDOW>> {
        const { assert!(WINDOW <= NOWHERE as usize) };
        let mut found = Windows { offsets: [0; WINDOWS_MAX], places: [[NOWHERE; CHANNELS]; WINDOWS_MAX], count: 0 };
        let mut next = 0;
        while let Some(&first) = sources.iter().filter(|&&s| s >= next).min() {
            let places = found.places.get_mut(found.count)?;
            next = first + WINDOW;
            for (place, &source) in places.iter_mut().zip(sources) {
                if (first..next).contains(&source) {
                    *place = (source - first) as u8;
                }
            }
            found.offsets[found.count] = first;
            found.count += 1;
        }
        Some(found)
    }
}

/// `count` channels of every pixel out of as many windows as the function is for.
///
/// Safety: as for `Kernels::gather`; a window may reach to its end past the last source.
pub type LookUp<const CHANNELS: usize, const WINDOW: usize> =
    unsafe fn(windows: &Windows<CHANNELS, WINDOW>, count: usize, rows: &Rows);

/// `Kernels::gather`, `CHANNELS` at a time, by the functions for one, two and [`WINDOWS_MAX`] windows.
///
/// Safety: as for them; they run on this processor.
// Inlined so that each function is too, where it may: its loop is then split by whether `count` is a vector's.
#[inline(always)]
pub unsafe fn by_windows<const CHANNELS: usize, const WINDOW: usize>(
    sources: &[usize],
    rows: &Rows,
    [one, two, most]: [LookUp<CHANNELS, WINDOW>; 3],
) {
    for (index, sources) in sources.chunks(CHANNELS).enumerate() {
        let part = Rows { output: rows.output.wrapping_add(index * CHANNELS), ..*rows };
        // Safety: handed on.
        unsafe {
            match Windows::of(sources) {
                Some(windows) => match windows.count {
                    1 => one(&windows, sources.len(), &part),
                    2 => two(&windows, sources.len(), &part),
                    _ => most(&windows, sources.len(), &part),
                },
                None => portable::gather(sources, &part),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_channel_is_in_one_window(sources in prop::collection::vec(0usize..300, 1..17)) {
            match Windows::<16, 64>::of(&sources) {
                None => {
                    let mut sorted = sources.clone();
                    sorted.sort_unstable();
                    prop_assert!(sorted[sorted.len() - 1] - sorted[0] >= WINDOWS_MAX * 64);
                }
                Some(windows) => {
                    for (channel, &source) in sources.iter().enumerate() {
                        let of = |w: usize| (windows.offsets[w], windows.places[w][channel]);
                        let held: Vec<_> = (0..windows.count).map(of).filter(|(_, place)| *place != NOWHERE).collect();
                        prop_assert_eq!(held.len(), 1);
                        prop_assert!(held[0].1 < 64);
                        prop_assert_eq!(held[0].0 + usize::from(held[0].1), source);
                    }
                }
            }
        }
    }
}
