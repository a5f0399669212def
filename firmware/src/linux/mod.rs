//! What needs an operating system.
//!
//! | module | is |
//! |---|---|
//! | `media` | a folder as a log's medium |
//! | [`gpio`] | lines of the GPIO character device |
//! | [`watchdog`] | systemd and `/dev/watchdog` |
//! | [`own_file`] | files that lapwing writes |
//! | [`panic_record`] | what a panic said, kept for the next start |

pub mod gpio;
mod media;
pub mod own_file;
pub mod panic_record;
pub mod watchdog;

pub use media::{DirError, DirMedia};
pub use panic_record::PanicRecords;
pub use watchdog::Watchdogs;
