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
//! 7. Opening writes nothing before it has read everything, and refuses a log of another format
//!    untouched.

mod media;
#[cfg(any(test, feature = "linux"))]
pub mod mem;
pub mod nor;
mod reader;
mod record;
mod retain;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use media::{Media, MediaError};
pub use reader::{Damage, DamageKind, Item, Position, Reader};
pub use record::{Durable, Parsed, Seq, encode, parse};
pub use retain::{Limits, LimitsError};
pub use segment::{FORMAT, HeaderState, SegmentHeader, id_of, name};
pub use writer::{Log, LogError, Recovery};
