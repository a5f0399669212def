//! Two clocks behind a small trait, so that the simulation can hold the hands.
//!
//! Times of the two are two types, because they must never meet: [`Mono`] only ever goes on and decides everything,
//! [`Wall`] may be wrong or jump and is for people. What compares them does not compile:
//!
//! ```compile_fail
//! use lapwing_runtime::clock::{Mono, Wall};
//! let _ = Mono::from_us(1) < Wall::from_us(1);
//! ```

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment of the monotonic clock: it never goes backwards, and means nothing outside this run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mono {
    us: u64,
}

impl Mono {
    /// The moment `us` microseconds after the clock was made.
    pub const fn from_us(us: u64) -> Mono {
        Mono { us }
    }

    /// Microseconds since the clock was made.
    pub const fn us(self) -> u64 {
        self.us
    }

    /// Microseconds from `earlier` to this moment; 0 if that came later.
    pub const fn since_us(self, earlier: Mono) -> u64 {
        self.us.saturating_sub(earlier.us)
    }

    /// The moment `us` microseconds before this one; the clock's beginning if there was none.
    pub const fn before_us(self, us: u64) -> Mono {
        Mono { us: self.us.saturating_sub(us) }
    }
}

/// A moment of the wall clock, UTC: somebody may set it at any time, and a board without a battery wakes up in 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall {
    us: i64,
}

impl Wall {
    /// `us` microseconds since 1970; 0 stands for unknown.
    pub const fn from_us(us: i64) -> Wall {
        Wall { us }
    }

    /// Microseconds since 1970; 0 if unknown.
    pub const fn us(self) -> i64 {
        self.us
    }

    /// True if somebody has set the clock: see [`WALL_VALID_FROM_US`].
    pub const fn is_set(self) -> bool {
        self.us >= WALL_VALID_FROM_US
    }

    /// How far this clock is ahead of the monotonic one, in microseconds. It changes only when somebody sets the clock.
    pub fn ahead_us(self, mono: Mono) -> i64 {
        self.us.saturating_sub(i64::try_from(mono.us).unwrap_or(i64::MAX))
    }
}

/// A monotonic clock and a wall clock.
pub trait Clock: Send + Sync {
    /// The time since the clock was made; never goes backwards.
    fn mono(&self) -> Mono;
    /// The time of day. May jump.
    fn wall(&self) -> Wall;
    /// A time of the kernel's `CLOCK_MONOTONIC`, which stamps frames and edges, as one of [`Clock::mono`]; its
    /// beginning if it was before the clock was made.
    fn at_kernel_us(&self, kernel_us: u64) -> Mono {
        Mono::from_us(kernel_us)
    }
    /// Waits; it may wait a little longer than asked, never less.
    fn sleep_us(&self, duration_us: u64);
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn mono(&self) -> Mono {
        (**self).mono()
    }

    fn wall(&self) -> Wall {
        (**self).wall()
    }

    fn at_kernel_us(&self, kernel_us: u64) -> Mono {
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
    fn mono(&self) -> Mono {
        self.at_kernel_us(kernel_us())
    }

    fn at_kernel_us(&self, kernel_us: u64) -> Mono {
        Mono::from_us(kernel_us.saturating_sub(self.start_kernel_us))
    }

    fn wall(&self) -> Wall {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        Wall::from_us(since.and_then(|d| i64::try_from(d.as_micros()).ok()).unwrap_or(0))
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
        let (before, between, after) = (clock.mono(), clock.at_kernel_us(kernel_us()), clock.mono());
        assert!(before <= between && between <= after, "{before:?} {between:?} {after:?}");
        assert_eq!(clock.at_kernel_us(0), Mono::default());
    }

    #[test]
    fn a_set_clock_changes_how_far_it_is_ahead_and_a_running_one_does_not() {
        let (mono, wall) = (Mono::from_us(5), Wall::from_us(WALL_VALID_FROM_US + 5));
        assert_eq!(wall.ahead_us(mono), Wall::from_us(WALL_VALID_FROM_US + 9).ahead_us(Mono::from_us(9)));
        assert!(wall.is_set() && !Wall::default().is_set());
        assert_eq!((Mono::from_us(3).since_us(Mono::from_us(9)), mono.before_us(9)), (0, Mono::default()));
    }

    #[test]
    fn known_times() {
        assert_eq!(iso8601(1_582_979_696_789_000), "2020-02-29T12:34:56.789Z");
        assert_eq!(iso8601(1_798_761_599_999_999), "2026-12-31T23:59:59.999Z");
        assert_eq!(iso8601(0), "-");
    }
}
