//! What needs an operating system.
//!
//! | module | is |
//! |---|---|
//! | `media` | a folder as a log's medium |
//! | [`gpio`] | lines of the GPIO character device |
//! | [`watchdog`] | systemd and `/dev/watchdog` |
//! | [`own_file`] | files that lapwing writes |
//! | [`last_words`] | what a panic said, kept for the next start |

pub mod gpio;
pub mod last_words;
mod media;
pub mod own_file;
pub mod watchdog;

pub use last_words::LastWords;
pub use media::{DirError, DirMedia};
pub use watchdog::Watchdogs;
