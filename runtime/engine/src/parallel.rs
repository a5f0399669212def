//! Work dealt over threads, with results that do not depend on how many threads there are.
//!
//! Item `i`, a picture most often, goes to lane `i % LANES`. A lane takes its items in order, and the lanes' results
//! come back in order: whatever is added up within lanes and then over them is the same for every
//! number of threads. What a thread needs to work with is made in it and stays in it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;

/// Lanes, and so the most threads that have work.
pub const LANES: usize = 32;

/// A thread could not be started, or broke off.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Broken(String);

impl From<Broken> for String {
    fn from(broken: Broken) -> String {
        broken.0
    }
}

/// Runs `each` on every item with what `worker` made in its thread, and gives one result for each
/// lane, begun by `begin`; no more lanes than items. `told` hears of each item that is done.
///
/// # Errors
/// That of the first lane that has one, or that a thread could not be started.
pub fn over<W, A: Send, E: Send + From<Broken>>(
    threads: usize,
    items: &[usize],
    worker: impl Fn() -> Result<W, E> + Sync,
    begin: impl Fn() -> A + Sync,
    each: impl Fn(&mut W, &mut A, usize) -> Result<(), E> + Sync,
    told: &mut dyn FnMut(),
) -> Result<Vec<A>, E> {
    let lanes = items.len().min(LANES);
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results: Vec<Mutex<Option<Result<A, E>>>> = (0..lanes).map(|_| Mutex::new(None)).collect();
    let (done, heard) = mpsc::channel();
    let lane = |worker: &mut W, lane: usize, done: &mpsc::Sender<()>| -> Result<A, E> {
        let mut result = begin();
        for &item in items.iter().skip(lane).step_by(LANES) {
            each(worker, &mut result, item)?;
            let _ = done.send(()); // nobody listens once a thread could not be started
        }
        Ok(result)
    };
    let work = |done: mpsc::Sender<()>| -> Result<(), E> {
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
            let started = std::thread::Builder::new().name("lane".into()).spawn_scoped(scope, move || work(done));
            joins.push(started.map_err(|e| Broken(format!("starting a thread: {e}")))?);
        }
        drop(done);
        heard.iter().for_each(|()| told());
        let ends = joins.into_iter().map(|join| join.join().map_err(|_| Broken("a thread broke off".into())));
        ends.collect::<Result<Vec<_>, Broken>>()?.into_iter().collect::<Result<Vec<()>, _>>()
    })?;
    let taken = results.into_iter().map(|place| place.into_inner().unwrap_or(None));
    taken.flatten().collect()
}

/// What the lanes made of each item, one of each, in the order of the items.
pub fn in_order<T>(lanes: Vec<Vec<T>>) -> impl Iterator<Item = T> {
    let mut lanes: Vec<_> = lanes.into_iter().map(Vec::into_iter).collect();
    (0..).map_while(move |at| lanes.get_mut(at % LANES)?.next())
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
        let lanes = over(threads, pictures, || Ok::<_, String>(()), || 0f32, each, &mut || heard += 1).unwrap();
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

    #[test]
    fn items_come_back_in_their_order() {
        for count in [0, 1, LANES - 1, LANES, 3 * LANES + 7] {
            let items: Vec<usize> = (0..count).map(|i| i * 3).collect();
            let each = |(): &mut (), made: &mut Vec<usize>, item: usize| {
                made.push(item);
                Ok(())
            };
            let lanes = over(3, &items, || Ok::<_, String>(()), Vec::new, each, &mut || {}).unwrap();
            assert_eq!(in_order(lanes).collect::<Vec<_>>(), items);
        }
    }
}
