//! What needs an operating system.

mod media;

pub use media::{DirError, DirMedia};
