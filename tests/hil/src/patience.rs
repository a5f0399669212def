//! How long a board is waited for: in time that the host let it run.
//!
//! On a busy host the emulator is ready to run and waits for a core; that time ([`Clock::withheld`], which the kernel
//! counts for each thread) does not count against the board. A board that hangs has no excuse: one that spins is given
//! its time, one that sleeps asks for none, and both run out of it. Whatever the host does, no wait is longer than
//! [`STRETCH_MAX`] times what was allowed. Where the kernel does not count, all time counts.

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A wait is stretched to so many times its length at most.
pub const STRETCH_MAX: u32 = 8;

/// No process has this number: nothing is withheld from it.
const NOBODY: u32 = 0;

/// The time of a process on a host that others use as well.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    process: u32,
}

impl Clock {
    /// Of a process with this number.
    pub fn of(process: u32) -> Clock {
        Clock { process }
    }

    /// Time in which threads of the process were ready and had no core, since they began; zero if nobody knows.
    pub fn withheld(&self) -> Duration {
        let tasks = PathBuf::from(format!("/proc/{}/task", self.process));
        let entries = std::fs::read_dir(tasks).into_iter().flatten().flatten();
        entries.filter_map(|task| waited(&std::fs::read_to_string(task.path().join("schedstat")).ok()?)).sum()
    }

    /// A wait that begins now.
    pub fn wait(&self, allowed: Duration) -> Wait {
        Wait { clock: *self, begun: Instant::now(), withheld: self.withheld(), allowed }
    }
}

/// A wait that has begun.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    clock: Clock,
    begun: Instant,
    withheld: Duration,
    allowed: Duration,
}

impl Wait {
    /// One that begins now and in which all time counts: for what the board's own clocks measure, such as a watchdog's.
    pub fn strict(allowed: Duration) -> Wait {
        Clock::of(NOBODY).wait(allowed)
    }

    /// What is left of it; zero if it is over. To be asked again when that has passed.
    pub fn left(&self) -> Duration {
        left(self.allowed, self.begun.elapsed(), self.clock.withheld().saturating_sub(self.withheld))
    }
}

fn left(allowed: Duration, passed: Duration, withheld: Duration) -> Duration {
    allowed.saturating_add(withheld).min(allowed.saturating_mul(STRETCH_MAX)).saturating_sub(passed)
}

/// The second number of a thread's `schedstat`: nanoseconds on a queue of the kernel's scheduler.
fn waited(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_board_that_hangs_runs_out_of_time_and_one_that_was_not_let_run_does_not() {
        assert_eq!(left(seconds(120), seconds(0), seconds(0)), seconds(120));
        assert_eq!(left(seconds(120), seconds(121), seconds(0)), seconds(0)); // hangs on a quiet host
        assert_eq!(left(seconds(120), seconds(300), seconds(200)), seconds(20)); // a third of a core
        assert_eq!(left(seconds(120), seconds(120 * 8), seconds(120 * 20)), seconds(0)); // no host is waited for so long
    }

    #[test]
    fn the_kernel_s_count_is_read() {
        assert_eq!(waited("227573 454316 1\n"), Some(Duration::from_nanos(454_316)));
        for other in ["", "1", "1 x 2", "1 -3 2"] {
            assert_eq!(waited(other), None, "{other:?}");
        }
        assert_eq!(Clock::of(NOBODY).withheld(), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_wait_outlasts_its_bound(allowed in 0..1000u64, passed in 0..10_000u64, withheld in 0..10_000u64) {
            let rest = left(seconds(allowed), seconds(passed), seconds(withheld));
            prop_assert!(rest + seconds(passed) <= seconds(allowed * u64::from(STRETCH_MAX)).max(seconds(passed)));
            prop_assert!(rest >= left(seconds(allowed), seconds(passed), Duration::ZERO).min(seconds(allowed * u64::from(STRETCH_MAX))));
        }
    }
}
