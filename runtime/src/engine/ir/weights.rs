//! The weights of a convolution: numbers of its own, or a view of the file they came in.

use std::ops::Deref;

use super::super::bytes::Bytes;

/// Eight-bit weights, read as a slice of i8.
#[derive(Debug, Clone)]
pub enum Weights {
    /// Numbers of its own.
    Own(Vec<i8>),
    /// Part of a file, one byte a weight.
    View(Bytes),
}

impl Weights {
    /// Changes the weights; a view becomes numbers of its own.
    pub fn change(&mut self, change: impl FnOnce(&mut Vec<i8>)) {
        let mut own = match self {
            Weights::Own(own) => std::mem::take(own),
            Weights::View(bytes) => bytemuck::cast_slice(bytes).to_vec(),
        };
        change(&mut own);
        *self = Weights::Own(own);
    }
}

impl Deref for Weights {
    type Target = [i8];

    fn deref(&self) -> &[i8] {
        match self {
            Weights::Own(own) => own,
            Weights::View(bytes) => bytemuck::cast_slice(bytes),
        }
    }
}

impl PartialEq for Weights {
    fn eq(&self, other: &Weights) -> bool {
        **self == **other
    }
}

impl Default for Weights {
    /// No weights.
    fn default() -> Weights {
        Weights::Own(Vec::new())
    }
}

impl FromIterator<i8> for Weights {
    fn from_iter<T: IntoIterator<Item = i8>>(weights: T) -> Weights {
        Weights::Own(weights.into_iter().collect())
    }
}

impl From<Vec<i8>> for Weights {
    fn from(own: Vec<i8>) -> Weights {
        Weights::Own(own)
    }
}
