//! A disk with a volatile cache, and the NBD server that gives it to QEMU.
//!
//! [`Disk`] keeps what a reader sees and what is certain apart. Until a flush, or a write with
//! FUA, nothing is certain: a [`Disk::power_cut`] makes of each unit that was written since, by a
//! seeded draw, either its old content or any of the contents it was given. Hence writes are lost,
//! reordered and torn, as a drive's cache may do; a unit ([`UNIT_BYTES`] on the board) is whole, as on
//! flash. Smaller units are for disks without a file system: the superblock of ext4 does not survive a
//! tear within itself.
//!
//! | mode | set by |
//! |---|---|
//! | honest | [`Disk::new`] |
//! | ignores flushes and FUA, the control | [`Disk::ignore_flush`] |
//! | input/output errors on writes, on reads | [`Disk::fail_writes`], [`Disk::fail_reads`] |
//! | the power goes at operation n | [`Disk::cut_at`] |
//!
//! What is drawn depends on the seed and on the requests alone. [`Disk::record`] keeps the requests,
//! so that the power can be cut again at each of them ([`replay`]).

mod cache;
pub mod nbd;
mod recording;
pub mod replay;

pub use cache::{Cut, Disk, Reply, SECTOR_BYTES};

/// What the board's disk writes whole or not at all: a page of flash, a block of the file systems.
pub const UNIT_BYTES: usize = 4096;
