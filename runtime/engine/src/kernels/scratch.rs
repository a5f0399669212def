//! Memory in which a thread keeps what one step needs between two passes.

/// A part for each thread, behind the tensors of the arena.
#[derive(Debug, Clone, Copy)]
pub struct Scratch {
    /// Offset of the first thread's part.
    pub first: usize,
    /// Bytes of a part, a multiple of a vector's.
    pub bytes: usize,
    /// Threads.
    pub threads: usize,
}

impl Scratch {
    /// Offset of thread `part`'s.
    pub fn at(&self, part: usize) -> usize {
        self.first + part * self.bytes
    }

    /// Checks that each part has `room` bytes, lies below `end` and begins where an i32 may.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self, room: usize, end: usize) -> Result<(), String> {
        let aligned = [self.first, self.bytes].iter().all(|at| at.is_multiple_of(size_of::<i32>()));
        let fits = room <= self.bytes && self.at(self.threads) <= end;
        if aligned && fits { Ok(()) } else { Err(format!("{room} bytes do not fit {self:?} in an arena of {end}")) }
    }
}
