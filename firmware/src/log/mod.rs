//! The log: numbered records that outlive power cuts, full disks and restarts without end.
//!
//! ```text
//! append ─▶ group in memory ─▶ commit: one write, one sync ─▶ Durable<Seq>
//!                                   │
//!                    segment 7 ─ 8 ─ 9 (newest)      each: header, records
//! ```
//!
//! # Invariants
//! 1. A record is acknowledged ([`Durable`]) only after its bytes, its segment's header and the
//!    segment's existence are durable, and the segment is still where a later reader looks for it.
//! 2. A commit begins with a record marked *first*, or with the start of a run, and is written only after the commit
//!    before it in the same segment is durable.
//! 3. After a failed write or sync nothing is written to that segment again: a later `Ok` would
//!    say nothing about it. The group goes to a new segment.
//! 4. A segment's header names the first number that it may hold. Records of older segments with
//!    that number or a later one were never acknowledged and do not count.
//! 5. Numbers grow by one from record to record over the life of a log, and none that was acknowledged is given again.
//!    Where acknowledged records may have stood at the end of a log that rots, as many numbers are passed over as there
//!    may have been. Every other gap is damage.
//! 6. Segments and their total size stay within [`Limits`]; the oldest segment goes first, as a
//!    whole, and the newest never. Nothing else destroys a record: recovery cuts nothing off and writes over nothing.
//! 7. Opening writes nothing before it has read all that it decides by: every header, and the newest
//!    segment. It refuses a log of another format untouched.
//! 8. Order is by number alone. No decision looks at a clock, so a clock that jumps changes what an event
//!    says and nothing else.
//! 9. A write touches no block that holds an acknowledged record which stands nowhere else: see the module `block`.
//! 10. A segment takes all of its room when it is made: a disk that fills up later takes nothing from it.
//! 11. A run begins with a record, not with a segment: it goes on in the newest segment if that is whole. Starting
//!     costs no more room than what is recorded of it.
//! 12. Reading ends at a segment's size, whatever its file's length is.
//!
//! # Assumptions
//! 1. After `Ok` of a sync what was written before it is there after a power cut. A disk that lies about it loses records.
//! 2. A write that is cut may leave anything in the blocks ([`BLOCK_BYTES`](crate::limits::BLOCK_BYTES)) that it covers, and nothing outside of
//!    them. File systems write whole blocks, so a record's neighbours are written again with it.
//! 3. Usually it leaves in each sector ([`SECTOR_BYTES`](crate::limits::SECTOR_BYTES)) the old or the new content, in any order. Where it leaves anything
//!    else, nothing acknowledged is lost, but the place is told as damaged, and numbers are passed over.
//! 4. A sector that rots comes back as zeros, as ones, with other bits or not at all: not as the pattern with which a
//!    segment is filled when it is made.
//! 5. `rename` within a folder is all or nothing. A process that opens the log is the only one that writes it: the
//!    medium's lock sees to that.
//!
//! Not promised: that a disk that forgets acknowledged sectors *and* brings back their content from before the last
//! commits is noticed; that an adversary who can write the folder is noticed (checksums are no signatures).
//!
//! # Steps
//! In this order; a step begins when the one before it has returned `Ok`. A power cut between any two leaves
//! every acknowledged record readable. System calls are those of a folder as medium.
//!
//! | to do | steps | an error on the way |
//! |---|---|---|
//! | create | under a name that nobody knows: write of header and pattern at full size, `fdatasync`; `rename`; `fsync` of the folder | remove the file; the next try takes the next number |
//! | append | copy into the group in memory | [`LogError::GroupFull`]: commit, append again |
//! | acknowledge | write of the group, with its chain into the chain's other block, or alone into the next one; `fdatasync`; the segment's path still names it; give out [`Durable`] | never write there again (3), whole group into a new segment; after [`COMMIT_TRIES_MAX`](crate::limits::COMMIT_TRIES_MAX) tries: not acknowledged, numbers are given again |
//! | rotate | while the next segment might exceed the limits: delete the oldest; create | as there |
//! | delete | `unlink` of the oldest; `fsync` of the folder | commit fails; the segment may be there again after a cut, as a whole |
//! | no room (`ENOSPC`) for a segment | ask the caller's [`Rescue`] (pictures go first); then delete the oldest, but not what [`FULL_KEPT_SHARE`](crate::limits::FULL_KEPT_SHARE) keeps; then a smaller segment; create again | the records are refused |
//! | gone (the folder was removed, moved, unmounted) | make and lock the folder anew, recover what is there, a new segment with the numbers of this log; where a log with these numbers is there: behind them | not acknowledged |
//! | recover | read every header, and the newest segment with a whole one from there on ([`Recovery`]); `fdatasync`, so that what was read lasts; go on behind it | the log does not open and is as it was |
//!
//! # Bounds
//! A commit is at most [`GROUP_BYTES_MAX`](crate::limits::GROUP_BYTES_MAX) bytes, in blocks at most one of them, in at most
//! [`COMMIT_TRIES_MAX`](crate::limits::COMMIT_TRIES_MAX) writes and syncs, so a caller that commits when something
//! waits and nothing is being committed has it durable after two commits at the most: the one under way and its own.
//! What a power cut can take is what was never acknowledged: one group in memory and what the caller holds back.
//! In blocks a segment of [`SEGMENT_BYTES_MIN`](crate::limits::SEGMENT_BYTES_MIN) bytes or more is filled with records to about a half.

mod block;
mod chain;
mod error;
#[cfg(any(test, all(fuzzing, feature = "linux")))]
pub mod fuzz_targets;
mod look;
mod media;
#[cfg(any(test, feature = "linux"))]
pub mod mem;
pub mod nor;
mod reader;
mod record;
mod recover;
mod retain;
#[cfg(test)]
mod rot_tests;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use block::fill_blank;
pub use error::LogError;
pub use media::{Media, MediaError};
pub use reader::{Damage, DamageKind, Item, Position, Reader};
pub use record::{Durable, Parsed, Seq, encode, encode_run, parse};
pub use recover::Recovery;
pub use retain::{Limits, LimitsError};
pub use segment::{FORMAT, HeaderState, SegmentHeader, id_of, name};
pub use writer::{Log, Rescue};
