//! Memory for what is large and stays: a network's tensors and weights, side by side.
//!
//! It comes from the system in one piece, and in huge pages where the system has them: they are a tenth of
//! the time that small ones take to get, and the processor finds its way in them without asking. Parts begin
//! at cache lines, so that a vector never crosses one that it need not cross.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use memmap2::{Advice, MmapMut};

use super::super::bytes as file;

/// Parts begin at multiples of this many bytes, and so do the slabs in an arena.
pub const ALIGNMENT: usize = 64;
/// Bytes of a huge page of most processors.
const HUGE: usize = 2 << 20;
/// Bytes of a huge page that may stay without use.
const SPARE: usize = HUGE / 8;

/// A number that zeros stand for.
///
/// # Safety
/// Every pattern of bits is one, and it is aligned to [`ALIGNMENT`] or less.
pub unsafe trait Number: Copy + Send + Sync + 'static {}

// Safety: whole numbers without niches.
unsafe impl Number for u8 {}
// Safety: as above.
unsafe impl Number for i8 {}
// Safety: as above.
unsafe impl Number for i16 {}

/// Bytes of the system, or of the allocator where that gives none.
struct Bytes {
    first: *mut u8,
    _map: Option<MmapMut>,
    /// How the allocator gave them.
    allocated: Option<Layout>,
}

// Safety: nobody reaches the bytes through this but by `first`, and `Memory::take` gives each to one piece.
unsafe impl Send for Bytes {}
// Safety: as above.
unsafe impl Sync for Bytes {}

impl Bytes {
    /// So many zeros, aligned; `None` if they are not to be had.
    fn new(bytes: usize) -> Option<Bytes> {
        if let Some(mapped) = Bytes::mapped(bytes) {
            return Some(mapped);
        }
        let layout = Layout::from_size_align(bytes.max(1), ALIGNMENT).ok()?;
        // Safety: more than no bytes.
        let first = unsafe { alloc_zeroed(layout) };
        (!first.is_null()).then_some(Bytes { first, _map: None, allocated: Some(layout) })
    }

    /// The same from the system; `None` for few or if it has none.
    fn mapped(bytes: usize) -> Option<Bytes> {
        // whole huge pages only, or nearly: the rest of the last one would be memory for nothing
        let huge = bytes.checked_add(SPARE)? / HUGE * HUGE;
        if huge == 0 || cfg!(miri) {
            return None;
        }
        let mut map = MmapMut::map_anon(bytes.checked_add(2 * HUGE)?).ok()?;
        let before = map.as_ptr().align_offset(HUGE);
        if before >= HUGE {
            return None;
        }
        // a refusal costs time alone
        let _ = map.advise_range(Advice::HugePage, before, huge);
        let _ = map.advise_range(Advice::NoHugePage, before + huge, map.len() - before - huge);
        let rest = bytes.saturating_sub(huge);
        let _ = map.advise_range(Advice::PopulateWrite, before + huge, rest);
        Some(Bytes { first: map.as_mut_ptr().wrapping_add(before), _map: Some(map), allocated: None })
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Some(layout) = self.allocated.take() {
            // Safety: given by the allocator like this, and given back once.
            unsafe { dealloc(self.first, layout) };
        }
    }
}

/// Zeros, of which parts are taken.
pub struct Memory {
    bytes: Arc<Bytes>,
    size: usize,
    taken: AtomicUsize,
}

impl Memory {
    /// Room for parts of [`Memory::footprint`] bytes together; `None` if the system has not so much.
    pub fn new(bytes: usize) -> Option<Memory> {
        let size = Memory::footprint::<u8>(bytes);
        Some(Memory { bytes: Arc::new(Bytes::new(size)?), size, taken: AtomicUsize::new(0) })
    }

    /// Bytes that a part of so many numbers takes.
    pub fn footprint<T: Number>(count: usize) -> usize {
        // what cannot be counted cannot be had either
        count.saturating_mul(size_of::<T>()).checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX)
    }

    /// Bytes that nobody took.
    #[cfg(test)]
    pub fn left(&self) -> usize {
        self.size - self.taken.load(Relaxed)
    }

    /// So many zeros; from elsewhere if they are more than there are left.
    pub fn take<T: Number>(&self, count: usize) -> Piece<T> {
        let bytes = Memory::footprint::<T>(count);
        let next = |taken: usize| taken.checked_add(bytes).filter(|&end| end <= self.size);
        let (bytes, at) = match self.taken.fetch_update(Relaxed, Relaxed, next) {
            Ok(at) => (Arc::clone(&self.bytes), at),
            Err(_) => (Arc::new(Bytes::new(bytes).unwrap_or_else(|| none_left(bytes))), 0),
        };
        // inside: so many bytes from there on were taken
        Piece { first: bytes.first.wrapping_add(at).cast(), count, _bytes: bytes }
    }
}

/// As the standard library ends where it is refused memory.
fn none_left(bytes: usize) -> ! {
    handle_alloc_error(Layout::from_size_align(bytes, ALIGNMENT).unwrap_or(Layout::new::<u8>()))
}

/// A part of a [`Memory`] that nobody else has. The memory goes back with its last part.
pub struct Piece<T> {
    first: *mut T,
    count: usize,
    _bytes: Arc<Bytes>,
}

// Safety: as a boxed slice, it owns its numbers.
unsafe impl<T: Number> Send for Piece<T> {}
// Safety: as above.
unsafe impl<T: Number> Sync for Piece<T> {}

impl<T: Number> Piece<T> {
    /// So many zeros of its own, if they are enough for huge pages and the system gives them.
    pub fn mapped(count: usize) -> Option<Piece<T>> {
        let bytes = Bytes::mapped(Memory::footprint::<T>(count))?;
        Some(Piece { first: bytes.first.cast(), count, _bytes: Arc::new(bytes) })
    }

    /// The first number, to be written by more than one thread; see [`super::arena::Arena`].
    pub(super) fn base(&self) -> *mut T {
        self.first
    }
}

impl<T: Number> Deref for Piece<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // Safety: inside the bytes, which live as long as this; aligned and whole by `Number`; nobody else's.
        unsafe { std::slice::from_raw_parts(self.first, self.count) }
    }
}

impl<T: Number> DerefMut for Piece<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // Safety: as above.
        unsafe { std::slice::from_raw_parts_mut(self.first, self.count) }
    }
}

impl<T: Number> AsRef<[T]> for Piece<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl From<Piece<u8>> for file::Bytes {
    fn from(piece: Piece<u8>) -> file::Bytes {
        file::Bytes::held(piece)
    }
}

impl<T: Number> std::fmt::Debug for Piece<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} numbers", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts that together fill the memory, and one that it has no room for.
    fn parts(sizes: &[usize]) {
        let memory = Memory::new(sizes.iter().map(|&size| Memory::footprint::<i16>(size)).sum()).unwrap();
        let mut pieces: Vec<Piece<i16>> = sizes.iter().map(|&size| memory.take(size)).collect();
        let inside = pieces.iter().all(|piece| Arc::ptr_eq(&piece._bytes, &memory.bytes));
        assert!(inside, "{sizes:?} do not fit what they need");
        pieces.push(memory.take(100));
        drop(memory);
        for (index, piece) in pieces.iter_mut().enumerate() {
            assert_eq!(piece.as_ptr().addr() % ALIGNMENT, 0);
            assert!(piece.iter().all(|&number| number == 0), "a part is not zero, or another part wrote it");
            piece.fill(index as i16 + 1);
        }
        for (index, piece) in pieces.iter().enumerate() {
            assert!(piece.iter().all(|&number| number == index as i16 + 1), "another part wrote it");
        }
    }

    #[test]
    fn parts_are_their_own() {
        parts(&[]);
        parts(&[0, 1, 31, 32, 33, 0, 1000]);
        if !cfg!(miri) {
            parts(&[HUGE / 2, 5, HUGE, 77]);
        }
    }

    #[test]
    fn threads_take_different_parts() {
        let memory = Memory::new(64 * 64).unwrap();
        let take = |thread: i8| {
            let mut pieces: Vec<Piece<i8>> = (0..20).map(|_| memory.take(64)).collect();
            pieces.iter_mut().for_each(|piece| piece.fill(thread));
            std::thread::yield_now();
            assert!(pieces.iter().all(|piece| piece.iter().all(|&byte| byte == thread)));
        };
        std::thread::scope(|scope| (0..4).for_each(|thread| drop(scope.spawn(move || take(thread)))));
    }
}
