//! Bytes that many hold and nobody copies: a file in the binary, or one that was read once.
//!
//! A [`Bytes`] is a range of such a file and keeps the whole of it alive. It never changes.

use std::ops::{Deref, Range};
use std::sync::Arc;

/// A range of a file's bytes.
#[derive(Clone)]
pub struct Bytes {
    file: File,
    range: Range<usize>,
}

#[derive(Clone)]
enum File {
    Static(&'static [u8]),
    Shared(Arc<Vec<u8>>),
    Held(Arc<dyn AsRef<[u8]> + Send + Sync>),
}

impl Bytes {
    /// All bytes of a memory that is not a `Vec`, such as one of huge pages.
    pub fn held(file: impl AsRef<[u8]> + Send + Sync + 'static) -> Bytes {
        Bytes { range: 0..file.as_ref().len(), file: File::Held(Arc::new(file)) }
    }

    /// The part `range` of these bytes; `None` if they have no such part.
    pub fn part(&self, range: Range<usize>) -> Option<Bytes> {
        let start = self.range.start.checked_add(range.start)?;
        let end = self.range.start.checked_add(range.end)?;
        (start <= end && end <= self.range.end).then(|| Bytes { file: self.file.clone(), range: start..end })
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.file {
            File::Static(file) => &file[self.range.clone()],
            File::Shared(file) => &file[self.range.clone()],
            File::Held(file) => &(**file).as_ref()[self.range.clone()],
        }
    }
}

impl From<&'static [u8]> for Bytes {
    fn from(file: &'static [u8]) -> Bytes {
        Bytes { range: 0..file.len(), file: File::Static(file) }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(file: Vec<u8>) -> Bytes {
        Bytes { range: 0..file.len(), file: File::Shared(Arc::new(file)) }
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_part_is_what_a_slice_is(file: Vec<u8>, a: u8, b: u8, c: u8, d: u8) {
            let (outer, inner) = (usize::from(a)..usize::from(b), usize::from(c)..usize::from(d));
            let whole = Bytes::from(file.clone());
            let found = whole.part(outer.clone()).and_then(|part| part.part(inner.clone()));
            let expected = file.get(outer).and_then(|part| part.get(inner));
            prop_assert_eq!(found.as_deref(), expected);
        }
    }

    #[test]
    fn no_range_overflows() {
        let bytes = Bytes::from(&[1u8, 2, 3][..]).part(1..3).unwrap();
        assert!(bytes.part(1..usize::MAX).is_none());
        assert!(bytes.part(usize::MAX..usize::MAX).is_none());
    }
}
