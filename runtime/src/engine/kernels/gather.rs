//! Channels to other places by instructions that look bytes up in a window of memory.

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_channel_is_in_one_window(sources in prop::collection::vec(0usize..300, 1..17)) {
            let bytes: Vec<u8> = (0..400u32).map(|i| (i * 7 % 251) as u8).collect();
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
                        prop_assert_eq!(bytes[held[0].0 + usize::from(held[0].1)], bytes[source]);
                    }
                }
            }
        }
    }
}
