//! The capture queue: buffers go round between us and the driver, and the newest picture wins.
//!
//! ```text
//!            VIDIOC_QBUF                VIDIOC_DQBUF
//!   idle ──────────────────▶ queued ──────────────────▶ filled ──▶ lent
//!    ▲                                                    │ damaged, or a newer one came
//!    └────────────────────────────────────────────────────┴────────── Lent is dropped
//! ```
//!
//! It promises:
//! 1. Memory is read only while it is ours: [`Buffer`] says so by its type. A buffer that the driver claims to give
//!    back and that it did not have is [`QueueError::WrongIndex`], and nothing of it is read.
//! 2. No call waits past its deadline, and no call takes more buffers than there are.
//! 3. Of the pictures that wait, the newest whole one is lent and the others go back at once. What the reader did not
//!    get is counted by its cause in [`Counts`], and leaves a gap in [`Lent::number`].
//! 4. After an error the stream is broken for good: drop the queue and open the device again. Dropping it stops the
//!    stream, unmaps every buffer and frees it in the driver.

use std::io;
use std::time::Duration;

use super::buffer::{Buffer, Filled, Idle, Queued};
use super::driver::{BUFFERS_MAX, Driver, Filling, Granted, Ready, Wish};
use super::shape::{Damage, Shape, ShapeError};
use crate::frame::Frame;

/// The most times that one call looks again after damaged pictures.
const ROUNDS_MAX: usize = 64;
/// A sequence number that goes forward by more than this has been started anew.
const GAP_MAX: u32 = 1 << 20;

/// Why a stream cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// A system call failed.
    #[error("{call}: {cause}")]
    Call {
        /// Its name.
        call: &'static str,
        /// The system's words.
        cause: io::Error,
    },
    /// What was granted cannot be read.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The driver has no buffers for us.
    #[error("the driver gave {0} buffers, and a stream needs 2")]
    Buffers(u32),
    /// The driver gave back a buffer that it did not have.
    #[error("the driver gave back buffer {0}, which it did not have")]
    WrongIndex(u32),
}

fn call(call: &'static str) -> impl FnOnce(io::Error) -> QueueError {
    move |cause| QueueError::Call { call, cause }
}

/// What became of the pictures of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lent to the reader.
    pub lent: u64,
    /// Whole, but a newer one was there.
    pub superseded: u64,
    /// Damaged: flagged by the driver, or too short.
    pub damaged: u64,
    /// Never given to us: gaps in the driver's numbers.
    pub missed: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn with(self, other: Counts) -> Counts {
        Counts {
            lent: self.lent + other.lent,
            superseded: self.superseded + other.superseded,
            damaged: self.damaged + other.damaged,
            missed: self.missed + other.missed,
        }
    }
}

/// One of the queue's buffers.
enum Slot {
    Idle(Buffer<Idle>),
    Queued(Buffer<Queued>),
    /// With [`Lent`], or on its way.
    Out,
}

/// A stream of pictures.
pub struct CaptureQueue<D: Driver> {
    driver: D,
    granted: Granted,
    shape: Shape,
    slots: Vec<Slot>,
    last_sequence: Option<u32>,
    /// Pictures that the driver has counted.
    number: u64,
    counts: Counts,
    /// Found where it could not be told; the next call tells it.
    fault: Option<QueueError>,
}

impl<D: Driver> CaptureQueue<D> {
    /// Sets the format, reads back what was granted, maps `buffers` buffers (2 to [`BUFFERS_MAX`]; the driver may give
    /// more or fewer), gives them to the driver and begins to stream. Pictures are numbered from `first`.
    ///
    /// # Errors
    /// See [`QueueError`].
    pub fn open(mut driver: D, wish: &Wish, buffers: u32, first: u64) -> Result<CaptureQueue<D>, QueueError> {
        let granted = driver.set_format(wish).map_err(call("VIDIOC_S_FMT"))?;
        let shape = Shape::new(&granted)?;
        let count = driver.request_buffers(buffers.clamp(2, BUFFERS_MAX)).map_err(call("VIDIOC_REQBUFS"))?;
        // From here on `Drop` cleans up.
        let mut queue = CaptureQueue {
            driver,
            granted,
            shape,
            slots: Vec::new(),
            last_sequence: None,
            number: first,
            counts: Counts::default(),
            fault: None,
        };
        if !(2..=BUFFERS_MAX).contains(&count) {
            return Err(QueueError::Buffers(count));
        }
        for index in 0..count {
            let places = queue.driver.locate(index).map_err(call("VIDIOC_QUERYBUF"))?;
            let buffer = Buffer::map(index, queue.driver.file(), &places).map_err(call("mmap"))?;
            queue.slots.push(Slot::Idle(buffer));
        }
        for index in 0..queue.slots.len() {
            if let Slot::Idle(buffer) = std::mem::replace(&mut queue.slots[index], Slot::Out) {
                queue.give(buffer)?;
            }
        }
        queue.driver.start().map_err(call("VIDIOC_STREAMON"))?;
        Ok(queue)
    }

    /// What the driver granted.
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// The device, to set its controls.
    pub fn controls(&self) -> &D {
        &self.driver
    }

    /// How buffers are read.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Buffers that go round.
    pub fn buffers(&self) -> usize {
        self.slots.len()
    }

    /// What became of the pictures so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The number of the next picture.
    pub fn next_number(&self) -> u64 {
        self.number
    }

    /// Now, on the clock of the pictures' times.
    pub fn now_us(&self) -> u64 {
        self.driver.now_us()
    }

    /// Lends the newest whole picture, waiting at most `at_most` for one. `None`: none came.
    ///
    /// # Errors
    /// See [`QueueError`]; the queue is then of no more use.
    pub fn newest(&mut self, at_most: Duration) -> Result<Option<Lent<'_, D>>, QueueError> {
        let begun_us = self.driver.now_us();
        let limit_us = u64::try_from(at_most.as_micros()).unwrap_or(u64::MAX);
        for _ in 0..ROUNDS_MAX {
            if let Some(fault) = self.fault.take() {
                return Err(fault);
            }
            let gone_us = self.driver.now_us().saturating_sub(begun_us);
            let left = Duration::from_micros(limit_us.saturating_sub(gone_us));
            let ready = self.driver.wait(left).map_err(call("poll"))?;
            if ready == Ready::Timeout {
                return Ok(None);
            }
            if let Some((buffer, filling, number)) = self.drain()? {
                self.counts.lent += 1;
                return Ok(Some(Lent { queue: self, buffer: Some(buffer), filling, number }));
            }
            if ready == Ready::Fault && self.fault.is_none() {
                let cause = io::Error::other("the device reports a fault");
                return Err(QueueError::Call { call: "poll", cause });
            }
        }
        Ok(None)
    }

    /// Takes back what is filled, at most every buffer once; keeps the newest whole one.
    fn drain(&mut self) -> Result<Option<(Buffer<Filled>, Filling, u64)>, QueueError> {
        let mut best: Option<(Buffer<Filled>, Filling, u64)> = None;
        for _ in 0..self.slots.len() {
            let next = match self.take() {
                Ok(Some(next)) => next,
                Ok(None) => break,
                Err(error) if best.is_some() => {
                    self.fault = Some(error); // a picture is at hand: it goes first
                    break;
                }
                Err(error) => return Err(error),
            };
            let (buffer, filling, number) = next;
            if filling.error || !self.is_whole(&filling, &buffer) {
                self.counts.damaged += 1;
                self.give_back(buffer);
            } else if let Some((older, ..)) = best.replace((buffer, filling, number)) {
                self.counts.superseded += 1;
                self.give_back(older);
            }
        }
        Ok(best)
    }

    /// Takes one buffer back; `None` if none is filled.
    fn take(&mut self) -> Result<Option<(Buffer<Filled>, Filling, u64)>, QueueError> {
        let filling = match self.driver.dequeue() {
            Ok(filling) => filling,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(cause) => return Err(QueueError::Call { call: "VIDIOC_DQBUF", cause }),
        };
        let wrong = QueueError::WrongIndex(filling.index);
        let slot = usize::try_from(filling.index).ok().and_then(|index| self.slots.get_mut(index));
        let buffer = match slot.map(|slot| (std::mem::replace(slot, Slot::Out), slot)) {
            Some((Slot::Queued(buffer), _)) => buffer.filled(),
            Some((other, slot)) => {
                *slot = other; // as it was
                return Err(wrong);
            }
            None => return Err(wrong),
        };
        let missed = match self.last_sequence.map(|last| filling.sequence.wrapping_sub(last)) {
            Some(step @ 1..=GAP_MAX) => u64::from(step) - 1,
            _ => 0, // the first one, or the driver does not count
        };
        self.last_sequence = Some(filling.sequence);
        self.counts.missed += missed;
        let number = self.number + missed;
        self.number = number + 1;
        Ok(Some((buffer, filling, number)))
    }

    fn is_whole(&self, filling: &Filling, buffer: &Buffer<Filled>) -> bool {
        self.shape.check(filling, |plane| buffer.plane(plane)).is_ok()
    }

    /// Gives an idle buffer to the driver.
    fn give(&mut self, buffer: Buffer<Idle>) -> Result<(), QueueError> {
        let index = buffer.index();
        let given = self.driver.queue(index).map_err(call("VIDIOC_QBUF"));
        if let Some(slot) = usize::try_from(index).ok().and_then(|index| self.slots.get_mut(index)) {
            *slot = if given.is_ok() { Slot::Queued(buffer.queued()) } else { Slot::Idle(buffer) };
        }
        given
    }

    /// As [`CaptureQueue::give`] for one that was filled; a failure is told by the next call.
    fn give_back(&mut self, buffer: Buffer<Filled>) {
        if let Err(error) = self.give(buffer.idle()) {
            self.fault.get_or_insert(error);
        }
    }
}

impl<D: Driver> Drop for CaptureQueue<D> {
    fn drop(&mut self) {
        if let Err(error) = self.driver.stop() {
            log::debug!("VIDIOC_STREAMOFF: {error}"); // an unplugged camera has no stream to stop
        }
        self.slots.clear(); // unmapped before the driver is asked to free them
        if let Err(error) = self.driver.request_buffers(0) {
            log::debug!("VIDIOC_REQBUFS 0: {error}");
        }
    }
}

/// The newest picture, lent until this is dropped.
pub struct Lent<'q, D: Driver> {
    queue: &'q mut CaptureQueue<D>,
    /// `Some` until it is dropped.
    buffer: Option<Buffer<Filled>>,
    filling: Filling,
    number: u64,
}

impl<D: Driver> Lent<'_, D> {
    /// Its place among all pictures that the driver has counted.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Now, in microseconds of the driver's clock.
    pub fn now_us(&self) -> u64 {
        self.queue.driver.now_us()
    }

    /// How old it is, in microseconds; 0 if the driver uses another clock.
    pub fn age_us(&self) -> u64 {
        self.filling.taken_us.map_or(0, |taken| self.queue.driver.now_us().saturating_sub(taken))
    }

    /// Copies it into `frame`; of a JPEG the bytes are given to `decode` instead.
    ///
    /// # Errors
    /// See [`Damage`], and what `decode` says.
    pub fn copy<E>(
        &self,
        frame: &mut Frame,
        decode: impl FnOnce(&[u8], &mut Frame) -> Result<(), E>,
    ) -> Result<Result<(), E>, Damage> {
        let Some(buffer) = &self.buffer else { return Ok(Ok(())) };
        match self.queue.shape.copy(&self.filling, |plane| buffer.plane(plane), frame)? {
            Some(jpeg) => Ok(decode(jpeg, frame)),
            None => Ok(Ok(())),
        }
    }
}

impl<D: Driver> Drop for Lent<'_, D> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.queue.give_back(buffer);
        }
    }
}
