//! Where the threads of a program wait for each other, step after step.

use std::sync::atomic::{AtomicU32, Ordering};

/// Turns that a thread waits for the others at full speed, then with pauses that spare the memory, before
/// it lets them have the processor.
const SPINS: [u32; 2] = [100, 2_000];

/// Counts arrivals, modulo 2^32: a thread is at most one barrier ahead of another, so that the sign of a
/// difference tells which of two counts comes first, also where the count has begun anew.
///
/// It shares its cache line with nothing that other threads read all the time.
#[repr(align(128))]
pub(super) struct Barrier {
    arrived: AtomicU32,
    threads: u32,
}

/// How far one thread has come: the arrivals of all threads at the barriers that it passed.
#[derive(Clone, Copy)]
pub(super) struct Passed(u32);

impl Barrier {
    /// For so many threads.
    pub fn new(threads: u32) -> Barrier {
        Barrier::counting_from(threads, 0)
    }

    fn counting_from(threads: u32, first: u32) -> Barrier {
        Barrier { arrived: AtomicU32::new(first), threads }
    }

    /// Where each thread begins.
    pub fn start(&self) -> Passed {
        // no thread has come to a barrier yet
        Passed(self.arrived.load(Ordering::Relaxed))
    }

    /// Waits until every thread has come here as often as this one. What a thread wrote before is seen by all behind.
    pub fn wait(&self, passed: &mut Passed) {
        if self.threads == 1 {
            return;
        }
        passed.0 = passed.0.wrapping_add(self.threads);
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let mut turns = 0;
        while self.arrived.load(Ordering::Acquire).wrapping_sub(passed.0).cast_signed() < 0 {
            turns += 1;
            if turns > SPINS[1] {
                std::thread::yield_now();
            } else if turns > SPINS[0] {
                std::hint::spin_loop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Nobody goes on before all are there, also while the count passes 2^32.
    #[test]
    fn threads_wait_for_each_other_where_the_count_wraps() {
        const THREADS: usize = 3;
        const TURNS: usize = if cfg!(miri) { 10 } else { 1000 };
        for first in [0, u32::MAX, u32::MAX - 7, u32::MAX - 500, 1 << 31] {
            let barrier = Barrier::counting_from(THREADS as u32, first);
            let there: [AtomicUsize; TURNS] = std::array::from_fn(|_| AtomicUsize::new(0));
            let start = barrier.start();
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        let mut passed = start;
                        for turn in &there {
                            turn.fetch_add(1, Ordering::Relaxed);
                            barrier.wait(&mut passed);
                            assert_eq!(turn.load(Ordering::Relaxed), THREADS, "counting from {first}");
                        }
                    });
                }
            });
        }
    }
}
