//! Time behind a small trait, so that the simulation can hold the hands.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A monotonic clock and a wall clock.
pub trait Clock: Send + Sync {
    /// Microseconds since the clock was made; never goes backwards.
    fn mono_us(&self) -> u64;
    /// Microseconds since 1970 in UTC; 0 if the wall clock is unknown. May jump.
    fn wall_us(&self) -> i64;
    /// A time of the kernel's `CLOCK_MONOTONIC`, which stamps frames and edges, as one of [`Clock::mono_us`]; 0 if it was
    /// before the clock was made.
    fn at_kernel_us(&self, kernel_us: u64) -> u64 {
        kernel_us
    }
    /// Waits; it may wait a little longer than asked, never less.
    fn sleep_us(&self, duration_us: u64);
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn mono_us(&self) -> u64 {
        (**self).mono_us()
    }

    fn wall_us(&self) -> i64 {
        (**self).wall_us()
    }

    fn at_kernel_us(&self, kernel_us: u64) -> u64 {
        (**self).at_kernel_us(kernel_us)
    }

    fn sleep_us(&self, duration_us: u64) {
        (**self).sleep_us(duration_us);
    }
}

/// Wall times before this (2020-01-01) mean that nobody has set the clock: boards without a
/// battery wake up in 1970.
pub const WALL_VALID_FROM_US: i64 = 1_577_836_800_000_000;

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    /// When it was made, on the kernel's monotonic clock, in microseconds.
    start_kernel_us: u64,
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock { start_kernel_us: kernel_us() }
    }
}

/// The kernel's monotonic clock, in microseconds.
fn kernel_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let s = u64::try_from(now.tv_sec).unwrap_or(0);
    s.saturating_mul(1_000_000).saturating_add(u64::try_from(now.tv_nsec / 1000).unwrap_or(0))
}

impl Clock for SystemClock {
    fn mono_us(&self) -> u64 {
        self.at_kernel_us(kernel_us())
    }

    fn at_kernel_us(&self, kernel_us: u64) -> u64 {
        kernel_us.saturating_sub(self.start_kernel_us)
    }

    fn wall_us(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_micros()).ok()).unwrap_or(0)
    }

    fn sleep_us(&self, duration_us: u64) {
        std::thread::sleep(Duration::from_micros(duration_us));
    }
}

/// A UTC time as ISO 8601 with milliseconds, `2026-11-24T02:13:03.512Z`; `-` if `wall_us` is not
/// believable.
pub fn iso8601(wall_us: i64) -> String {
    if wall_us < WALL_VALID_FROM_US {
        return "-".to_owned();
    }
    let (days, us_of_day) = (wall_us.div_euclid(86_400_000_000), wall_us.rem_euclid(86_400_000_000));
    let (year, month, day) = civil_from_days(days);
    let (s, ms) = (us_of_day / 1_000_000, us_of_day / 1000 % 1000);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z", s / 3600, s / 60 % 60, s % 60)
}

/// Days since 1970-01-01 to (year, month, day) in the proleptic Gregorian calendar
/// (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_times_are_the_clock_s() {
        let clock = SystemClock::default();
        let (before, between, after) = (clock.mono_us(), clock.at_kernel_us(kernel_us()), clock.mono_us());
        assert!(before <= between && between <= after, "{before} {between} {after}");
        assert_eq!(clock.at_kernel_us(0), 0);
    }

    #[test]
    fn known_times() {
        assert_eq!(iso8601(1_582_979_696_789_000), "2020-02-29T12:34:56.789Z");
        assert_eq!(iso8601(1_798_761_599_999_999), "2026-12-31T23:59:59.999Z");
        assert_eq!(iso8601(0), "-");
    }
}
