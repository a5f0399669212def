//! The log: numbered records that outlive power cuts.
//!
//! ```text
//! append ─▶ group in memory ─▶ commit: one write, one sync ─▶ Durable<Seq>
//!                                   │
//!                    segment 7 ─ 8 ─ 9 (newest)      each: header, records
//! ```
//!
//! # Invariants
//! 1. A record is acknowledged ([`Durable`]) only after its bytes, its segment's header and the
//!    segment's existence are durable.
//! 2. A commit begins with a record marked *first* and is written only after the commit before it
//!    in the same segment is durable. Hence bytes that are broken and not followed by a *first*
//!    record were never acknowledged: recovery may trim them, and trims nothing else.
//! 3. After a failed write or sync nothing is appended to that segment again: a later `Ok` would
//!    say nothing about it. The group goes to a new segment.
//! 4. A segment's header names the first number that it may hold. Records of older segments with
//!    that number or a later one were never acknowledged and do not count.
//! 5. Numbers grow by one from record to record over the life of a log.
//! 6. Segments and their total size stay within [`Limits`]; the oldest segment goes first, as a
//!    whole, and the newest never.
//! 7. Opening writes nothing before it has read all that it decides by: every header, and the newest
//!    segment. It refuses a log of another format untouched.
//! 8. Order is by number alone. No decision looks at a clock, so a clock that jumps changes what an event
//!    says and nothing else.
//!
//! # Steps
//! In this order; a step begins when the one before it has returned `Ok`. A power cut between any two leaves
//! every acknowledged record readable. `fdatasync` and `fsync` are those of a folder as medium.
//!
//! | to do | steps | an error on the way |
//! |---|---|---|
//! | create | `open(O_EXCL)` of a new number; `fsync` of the folder; write of the header | remove the file; the next try takes the next number |
//! | append | copy into the group in memory | [`LogError::GroupFull`]: commit, append again |
//! | acknowledge | write of the group at the segment's end, behind its header; `fdatasync` (the header's too); give out [`Durable`] | cut to the last acknowledged byte, never append there again (3), whole group into a new segment; after [`COMMIT_TRIES_MAX`](crate::limits::COMMIT_TRIES_MAX) tries: not acknowledged, numbers are given again |
//! | rotate | while the next segment might exceed the limits: delete the oldest; create | as there |
//! | delete | `unlink` of the oldest; `fsync` of the folder | commit fails; the segment may be there again after a cut, as a whole |
//! | no room (`ENOSPC`) | abandon the segment; delete oldest ones until a group fits, but not what [`FULL_KEPT_SHARE`](crate::limits::FULL_KEPT_SHARE) keeps; the group into a new segment | as acknowledge |
//! | recover | read every header, and the newest segment with a whole one from there on ([`Recovery`]); find the torn end of the newest segment; `ftruncate` it there, or `unlink` where not even the header is whole; `fdatasync`, so that what was read lasts; numbers go on in a new segment | the log does not open and is as it was |
//!
//! # Bounds
//! A commit is at most [`GROUP_BYTES_MAX`](crate::limits::GROUP_BYTES_MAX) bytes, in at most
//! [`COMMIT_TRIES_MAX`](crate::limits::COMMIT_TRIES_MAX) writes and syncs, so a caller that commits when something
//! waits and nothing is being committed has it durable after two commits at the most: the one under way and its own.
//! What a power cut can take is what was never acknowledged: one group in memory and what the caller holds back.

#[cfg(any(test, all(fuzzing, feature = "linux")))]
pub mod fuzz_targets;
mod media;
#[cfg(any(test, feature = "linux"))]
pub mod mem;
pub mod nor;
mod reader;
mod record;
mod recover;
mod retain;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use media::{Media, MediaError};
pub use reader::{Damage, DamageKind, Item, Position, Reader};
pub(crate) use record::CRC;
pub use record::{Durable, Parsed, Seq, encode, parse};
pub use recover::Recovery;
pub use retain::{Limits, LimitsError};
pub use segment::{FORMAT, HeaderState, SegmentHeader, id_of, name};
pub use writer::{Log, LogError};
