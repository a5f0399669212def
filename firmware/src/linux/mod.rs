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

/// A path for a message: on one line, whatever characters are in it.
fn one_line(path: &std::path::Path) -> std::string::String {
    use std::string::ToString;
    path.to_string_lossy()
        .chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}
