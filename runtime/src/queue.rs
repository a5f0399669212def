//! A bounded queue between two threads, which blocks or lets the newest win.
//!
//! Nothing waits without a deadline and nothing grows: the buffer is allocated once.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A bounded first-in first-out queue.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// What a wait for an item came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Pop<T> {
    /// The oldest item.
    Item(T),
    /// None came before the deadline.
    Timeout,
    /// None will come.
    Closed,
}

/// An item that could not be queued is given back.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// No room before the deadline.
    Full(T),
    /// The queue is closed.
    Closed(T),
}

impl<T> Refused<T> {
    /// The item.
    pub fn into_inner(self) -> T {
        match self {
            Refused::Full(item) | Refused::Closed(item) => item,
        }
    }
}

impl<T> Queue<T> {
    /// A queue of at most `capacity` items.
    pub fn new(capacity: usize) -> Queue<T> {
        let capacity = capacity.max(1);
        let state = State { items: VecDeque::with_capacity(capacity), closed: false };
        Queue { state: Mutex::new(state), changed: Condvar::new(), capacity }
    }

    /// Waits at most `wait` for room.
    pub fn push(&self, item: T, wait: Duration) -> Result<(), Refused<T>> {
        let deadline = Instant::now() + wait;
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(Refused::Closed(item));
            }
            if state.items.len() < self.capacity {
                state.items.push_back(item);
                self.changed.notify_all();
                return Ok(());
            }
            match self.wait_until(state, deadline) {
                Some(again) => state = again,
                None => return Err(Refused::Full(item)),
            }
        }
    }

    /// Queues `item` at once; where there is no room the oldest item makes it and is given back.
    pub fn push_newest(&self, item: T) -> Result<Option<T>, Refused<T>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed(item));
        }
        let evicted = if state.items.len() == self.capacity { state.items.pop_front() } else { None };
        state.items.push_back(item);
        self.changed.notify_all();
        Ok(evicted)
    }

    /// Queues `item` at once; where there is no room the oldest item that `may_go` makes it and is given back.
    pub fn push_over(&self, item: T, may_go: impl Fn(&T) -> bool) -> Result<Option<T>, Refused<T>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed(item));
        }
        let mut evicted = None;
        if state.items.len() == self.capacity {
            match state.items.iter().position(may_go) {
                Some(at) => evicted = state.items.remove(at),
                None => return Err(Refused::Full(item)),
            }
        }
        state.items.push_back(item);
        self.changed.notify_all();
        Ok(evicted)
    }

    /// Waits at most `wait` for an item. What was queued before closing still comes out.
    pub fn pop(&self, wait: Duration) -> Pop<T> {
        let deadline = Instant::now() + wait;
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                self.changed.notify_all();
                return Pop::Item(item);
            }
            if state.closed {
                return Pop::Closed;
            }
            match self.wait_until(state, deadline) {
                Some(again) => state = again,
                None => return Pop::Timeout,
            }
        }
    }

    /// No more items are taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// True once no more items are taken.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Items that wait.
    pub fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// True if no item waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The state stays consistent between statements, so a poisoned lock is taken as it is.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change; `None` once the deadline has passed.
    fn wait_until<'a>(&self, state: MutexGuard<'a, State<T>>, deadline: Instant) -> Option<MutexGuard<'a, State<T>>> {
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        Some(self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn the_newest_wins_and_the_oldest_is_given_back() {
        let queue = Queue::new(2);
        assert_eq!(queue.push_newest(1), Ok(None));
        assert_eq!(queue.push_newest(2), Ok(None));
        assert_eq!(queue.push_newest(3), Ok(Some(1)));
        assert_eq!((queue.pop(SOON), queue.pop(SOON), queue.pop(SOON)), (Pop::Item(2), Pop::Item(3), Pop::Timeout));
    }

    #[test]
    fn only_what_may_go_makes_room() {
        let queue = Queue::new(2);
        let even = |item: &i32| item % 2 == 0;
        assert_eq!((queue.push_over(1, even), queue.push_over(2, even)), (Ok(None), Ok(None)));
        assert_eq!(queue.push_over(3, even), Ok(Some(2)));
        assert_eq!(queue.push_over(4, even), Err(Refused::Full(4)));
        assert_eq!((queue.pop(SOON), queue.pop(SOON)), (Pop::Item(1), Pop::Item(3)));
    }

    #[test]
    fn a_full_queue_gives_the_item_back() {
        let queue = Queue::new(1);
        assert_eq!(queue.push(1, SOON), Ok(()));
        assert_eq!(queue.push(2, SOON), Err(Refused::Full(2)));
        queue.close();
        assert_eq!(queue.push(2, SOON), Err(Refused::Closed(2)));
        assert_eq!((queue.pop(SOON), queue.pop(SOON)), (Pop::Item(1), Pop::Closed));
    }

    #[test]
    fn everything_arrives_in_order_across_threads() {
        let queue = Queue::new(3);
        let received = std::thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                let mut received = Vec::new();
                while let Pop::Item(item) = queue.pop(LONG) {
                    received.push(item);
                }
                received
            });
            for item in 0..1000 {
                queue.push(item, LONG).unwrap();
            }
            queue.close();
            receiver.join().unwrap()
        });
        assert_eq!(received, (0..1000).collect::<Vec<_>>());
    }
}
