//! A capture driver for tests: it keeps a ledger of whose each buffer is, and lies, fails and goes away as it is told.
//!
//! Its buffers are a file in memory, so that the queue maps them as it maps a camera's. A picture's bytes follow from its
//! number; between two waits the driver overwrites every buffer that it has, as a real one may.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::{Errno, pwrite};

use super::controls::{Controls, Span};
use super::driver::{Driver, Filling, Granted, MEMORY_PLANES_MAX, PlaneOffset, PlaneOffsets, Ready, Wish};
use super::fourcc::FourCc;

/// How one buffer comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    Whole,
    /// Marked as damaged.
    Flagged,
    /// With too few bytes.
    Short,
}

/// What happens at one wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// So many buffers are filled, if the driver has them.
    Fill(Vec<Filled>),
    /// Pictures for which the driver had no buffer.
    Miss(u32),
    /// Nothing comes.
    Quiet,
    /// The wait says that a buffer is there, and none is.
    Spurious,
    /// Taking a buffer back fails with EIO.
    Broken,
    /// A buffer is given back that was not queued: this index past those that were.
    Wrong(u32),
    /// Giving a buffer to the driver fails, once.
    RefuseQueue,
    /// The wait reports a fault, and nothing can be taken back.
    Fault,
    /// The camera is gone.
    Unplug,
}

/// Whose a buffer is, in the driver's books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Caller,
    Driver,
    /// Filled; the driver's until it is taken back.
    Done,
}

/// The driver's books.
pub struct Books {
    pub owners: Vec<Owner>,
    pub now_us: u64,
    pub streaming: bool,
    pub script: VecDeque<Move>,
    /// What the queue did that no caller may do.
    pub violations: Vec<String>,
    /// Whole pictures that wait to be taken back, by the number that their bytes follow from.
    pub waiting: Vec<u32>,
    pub stopped: u32,
    pub freed: u32,
    pub granted: Granted,
    pub start_fails: Option<Errno>,
    /// Its one control: the id, and what was set, each with whether the stream ran.
    pub control: Option<u32>,
    pub set: Vec<(i32, bool)>,
    ready: VecDeque<Result<Filling, Errno>>,
    refuse_queue: bool,
    unplugged: bool,
    sequence: u32,
    plane_bytes: usize,
}

/// The driver; see the module.
pub struct Simulated {
    books: Arc<Mutex<Books>>,
    file: OwnedFd,
}

pub fn granted(fourcc: &[u8; 4], width: u32, height: u32, strides: &[u32]) -> Granted {
    let mut all = [0; MEMORY_PLANES_MAX];
    all[..strides.len()].copy_from_slice(strides);
    let fourcc = FourCc(*fourcc);
    Granted { fourcc, width, height, memory_planes: strides.len(), strides: all, ..Granted::default() }
}

/// The byte that picture `number` has at `at`.
pub fn pattern(number: u32, at: usize) -> u8 {
    (number.wrapping_mul(2_654_435_761).wrapping_add(at as u32 * 7) >> 5) as u8
}

impl Simulated {
    pub fn new(granted: Granted, plane_bytes: usize, script: Vec<Move>) -> Simulated {
        let books = Books {
            owners: Vec::new(),
            now_us: 1_000_000,
            streaming: false,
            script: script.into(),
            violations: Vec::new(),
            waiting: Vec::new(),
            stopped: 0,
            freed: 0,
            granted,
            start_fails: None,
            control: None,
            set: Vec::new(),
            ready: VecDeque::new(),
            refuse_queue: false,
            unplugged: false,
            sequence: 0,
            plane_bytes,
        };
        Simulated {
            books: Arc::new(Mutex::new(books)),
            file: memfd_create("simulated camera", MemfdFlags::CLOEXEC).unwrap(),
        }
    }

    pub fn books(&self) -> Arc<Mutex<Books>> {
        Arc::clone(&self.books)
    }

    fn lock(&self) -> io::Result<MutexGuard<'_, Books>> {
        let books = self.books.lock().unwrap();
        if books.unplugged { Err(Errno::NODEV.into()) } else { Ok(books) }
    }

    /// Bytes of a buffer: its planes one after another, each from a page of its own.
    fn plane_room(books: &Books) -> usize {
        books.plane_bytes.div_ceil(4096) * 4096
    }

    fn paint(&self, books: &Books, index: usize, number: u32) {
        let room = Simulated::plane_room(books);
        for plane in 0..books.granted.memory_planes {
            let bytes: Vec<u8> = (0..books.plane_bytes).map(|at| pattern(number, at + plane * 1000)).collect();
            let offset = (index * books.granted.memory_planes + plane) * room;
            pwrite(&self.file, &bytes, offset as u64).unwrap();
        }
    }

    fn fill(&self, books: &mut Books, how: Filled) {
        let Some(index) = books.owners.iter().position(|owner| *owner == Owner::Driver) else {
            books.sequence = books.sequence.wrapping_add(1); // no buffer: the picture is lost
            return;
        };
        let number = books.sequence;
        books.sequence = books.sequence.wrapping_add(1);
        self.paint(books, index, number);
        books.owners[index] = Owner::Done;
        let bytes = if how == Filled::Short { 5 } else { books.plane_bytes as u32 };
        let error = how == Filled::Flagged;
        if how == Filled::Whole {
            books.waiting.push(number);
        }
        let used = [(0, bytes); MEMORY_PLANES_MAX];
        let taken_us = Some(books.now_us);
        books.ready.push_back(Ok(Filling { index: index as u32, sequence: number, taken_us, error, used }));
    }
}

impl Controls for Simulated {
    fn span(&self, id: u32) -> Option<Span> {
        let has = self.lock().ok()?.control == Some(id);
        has.then_some(Span { least: 0, most: 255, step: 1 })
    }

    fn control(&self, _: u32) -> io::Result<i32> {
        self.lock()?.set.last().map(|(value, _)| *value).ok_or_else(|| Errno::INVAL.into())
    }

    fn set_control(&self, _: u32, value: i32) -> io::Result<()> {
        let mut books = self.lock()?;
        let streaming = books.streaming;
        books.set.push((value, streaming));
        Ok(())
    }
}

impl Driver for Simulated {
    fn set_format(&mut self, _: &Wish) -> io::Result<Granted> {
        Ok(self.lock()?.granted)
    }

    fn request_buffers(&mut self, count: u32) -> io::Result<u32> {
        let mut books = self.lock()?;
        if count == 0 {
            books.freed += 1;
            books.owners.clear();
            return Ok(0);
        }
        books.owners = vec![Owner::Caller; count as usize];
        let room = Simulated::plane_room(&books) * books.granted.memory_planes;
        ftruncate(&self.file, (room * count as usize) as u64)?;
        Ok(count)
    }

    fn locate(&mut self, index: u32) -> io::Result<PlaneOffsets> {
        let books = self.lock()?;
        let room = Simulated::plane_room(&books);
        let planes = books.granted.memory_planes;
        Ok((0..planes)
            .map(|plane| PlaneOffset {
                offset: ((index as usize * planes + plane) * room) as u64,
                length: books.plane_bytes,
            })
            .collect())
    }

    fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn queue(&mut self, index: u32) -> io::Result<()> {
        let mut books = self.lock()?;
        match books.owners.get(index as usize).copied() {
            Some(Owner::Caller) => {}
            other => books.violations.push(format!("buffer {index} was queued, and it is {other:?}")),
        }
        if std::mem::take(&mut books.refuse_queue) {
            return Err(Errno::IO.into());
        }
        books.owners[index as usize] = Owner::Driver;
        Ok(())
    }

    fn dequeue(&mut self) -> io::Result<Filling> {
        let mut books = self.lock()?;
        if !books.streaming {
            books.violations.push("a buffer was taken back from a stopped stream".into());
        }
        match books.ready.pop_front() {
            Some(Ok(filling)) => {
                if let Some(owner) = books.owners.get_mut(filling.index as usize)
                    && *owner == Owner::Done
                {
                    *owner = Owner::Caller;
                }
                Ok(filling)
            }
            Some(Err(errno)) => Err(errno.into()),
            None => Err(Errno::AGAIN.into()),
        }
    }

    fn wait(&mut self, at_most: Duration) -> io::Result<Ready> {
        let mut books = self.lock()?;
        books.waiting.clear();
        for (index, owner) in books.owners.clone().into_iter().enumerate() {
            if owner == Owner::Driver {
                self.paint(&books, index, u32::MAX - index as u32);
            }
        }
        match books.script.pop_front().unwrap_or(Move::Quiet) {
            Move::Fill(list) => {
                books.now_us += 1000;
                list.into_iter().for_each(|how| self.fill(&mut books, how));
            }
            Move::Miss(count) => books.sequence = books.sequence.wrapping_add(count),
            Move::Quiet => {
                books.now_us += at_most.as_micros() as u64;
                return Ok(Ready::Timeout);
            }
            Move::Spurious => {}
            Move::Broken => books.ready.push_back(Err(Errno::IO)),
            Move::Wrong(past) => {
                let ours: Vec<usize> = (0..books.owners.len()).filter(|&i| books.owners[i] == Owner::Caller).collect();
                let index = ours.get(past as usize).copied().unwrap_or(books.owners.len() + past as usize);
                let used = [(0, books.plane_bytes as u32); MEMORY_PLANES_MAX];
                books.ready.push_back(Ok(Filling { index: index as u32, used, ..Filling::default() }));
            }
            Move::RefuseQueue => books.refuse_queue = true,
            Move::Fault => return Ok(Ready::Fault),
            Move::Unplug => {
                books.unplugged = true;
                return Ok(Ready::Fault);
            }
        }
        Ok(Ready::Filled)
    }

    fn start(&mut self) -> io::Result<()> {
        let mut books = self.lock()?;
        if let Some(errno) = books.start_fails {
            return Err(errno.into());
        }
        books.streaming = true;
        Ok(())
    }

    fn stop(&mut self) -> io::Result<()> {
        let mut books = self.lock()?;
        books.streaming = false;
        books.stopped += 1;
        books.owners.fill(Owner::Caller);
        Ok(())
    }

    fn now_us(&self) -> u64 {
        self.books.lock().unwrap().now_us
    }
}
