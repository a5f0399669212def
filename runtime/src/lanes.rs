//! Pictures dealt over threads, with sums that do not depend on how many threads there are.
//!
//! Picture `i` goes to lane `i % LANES`. A lane takes its pictures in order, and the lanes' results
//! come back in order: whatever is added up within lanes and then over them is the same for every
//! number of threads. What a thread needs to work with is made in it and stays in it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;

/// Lanes, and so the most threads that have work.
pub const LANES: usize = 32;

/// Runs `each` on every picture with what `worker` made in its thread, and gives one result for each
/// lane, begun by `begin`; no more lanes than pictures. `told` hears of each picture that is done.
///
/// # Errors
/// That of the first lane that has one, or that a thread could not be started.
pub fn over<W, A: Send>(
    threads: usize,
    pictures: &[usize],
    worker: impl Fn() -> Result<W, String> + Sync,
    begin: impl Fn() -> A + Sync,
    each: impl Fn(&mut W, &mut A, usize) -> Result<(), String> + Sync,
    told: &mut dyn FnMut(),
) -> Result<Vec<A>, String> {
    let lanes = pictures.len().min(LANES);
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results: Vec<Mutex<Option<Result<A, String>>>> = (0..lanes).map(|_| Mutex::new(None)).collect();
    let (done, heard) = mpsc::channel();
    let lane = |worker: &mut W, lane: usize, done: &mpsc::Sender<()>| -> Result<A, String> {
        let mut result = begin();
        for &picture in pictures.iter().skip(lane).step_by(LANES) {
            each(worker, &mut result, picture)?;
            let _ = done.send(()); // nobody listens once a thread could not be started
        }
        Ok(result)
    };
    let work = |done: mpsc::Sender<()>| -> Result<(), String> {
        let mut made = worker().inspect_err(|_| failed.store(true, Relaxed))?;
        while !failed.load(Relaxed) {
            let taken = next.fetch_add(1, Relaxed);
            let Some(place) = results.get(taken) else { break };
            let result = lane(&mut made, taken, &done);
            failed.fetch_or(result.is_err(), Relaxed);
            if let Ok(mut place) = place.lock() {
                *place = Some(result);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let mut joins = Vec::new();
        for _ in 0..threads.clamp(1, lanes.max(1)) {
            let (work, done) = (&work, done.clone());
            let started = std::thread::Builder::new().name("quantise".into()).spawn_scoped(scope, move || work(done));
            joins.push(started.map_err(|e| format!("starting a thread: {e}"))?);
        }
        drop(done);
        heard.iter().for_each(|()| told());
        let ends = joins.into_iter().map(|join| join.join().map_err(|_| "a thread of the search broke off".to_owned()));
        ends.collect::<Result<Vec<_>, _>>()?.into_iter().collect::<Result<Vec<()>, _>>()
    })?;
    let taken = results.into_iter().map(|place| place.into_inner().unwrap_or(None));
    taken.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(threads: usize, pictures: &[usize]) -> Vec<f32> {
        let each = |(): &mut (), sum: &mut f32, picture: usize| {
            *sum += 1.0 / (picture as f32 + 0.3);
            Ok(())
        };
        let mut heard = 0;
        let lanes = over(threads, pictures, || Ok(()), || 0f32, each, &mut || heard += 1).unwrap();
        assert_eq!(heard, pictures.len());
        lanes
    }

    #[test]
    fn results_are_the_same_for_every_number_of_threads() {
        for count in [0, 1, 5, LANES, 3 * LANES + 7] {
            let pictures: Vec<usize> = (0..count).map(|i| i * 3).collect();
            let one = sums(1, &pictures);
            assert_eq!(one.len(), count.min(LANES));
            for threads in [2, 3, 8, 64] {
                assert_eq!(sums(threads, &pictures), one);
            }
        }
    }

    #[test]
    fn an_error_ends_it() {
        let pictures: Vec<usize> = (0..100).collect();
        let each = |(): &mut (), (): &mut (), picture: usize| match picture {
            40 => Err("picture 40".to_owned()),
            _ => Ok(()),
        };
        for threads in [1, 4] {
            let found = over(threads, &pictures, || Ok(()), || (), each, &mut || {});
            assert_eq!(found.unwrap_err(), "picture 40");
            let unmade = over(threads, &pictures, || Err::<(), _>("no".to_owned()), || (), each, &mut || {});
            assert_eq!(unmade.unwrap_err(), "no");
        }
    }
}
