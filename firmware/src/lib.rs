//! The no_std core of lapwing: what must work on the smallest board and must not fail on any.
//!
//! | module | is |
//! |---|---|
//! | [`event`] | the fixed-size record of what happened |
//! | `checksum` | CRC-32, of all that is stored |
//! | [`limits`] | every bound of this crate |
//! | [`trigger`] | the rule's state machine and the output line with its safe level |
//! | [`log`] | append-only segments that survive power cuts, over any [`log::Media`] |
//! | [`watchdog`] | what bites unless there is progress |
//! | [`panic_record`] | the panic record of a program that panicked |
//! | `linux` | folders as media, GPIO lines, systemd, `/dev/watchdog` (feature `linux`) |
//!
//! Nothing here allocates, waits, or knows where frames come from. This crate knows nothing of the
//! runtime.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "linux"))]
extern crate std;

mod checksum;
pub mod event;
pub mod limits;
#[cfg(feature = "linux")]
pub mod linux;
pub mod log;
pub mod panic_record;
pub mod trigger;
pub mod watchdog;
