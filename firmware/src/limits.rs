//! Every bound of this crate, by name.
//!
//! A bound that a user may configure has its smallest and largest value here; the configured value
//! itself lies in between. Nothing else in the crate may hold a bound of its own.

/// Largest payload of a record in bytes.
pub const RECORD_BYTES_MAX: usize = 1008;
/// Bytes in front of a record's payload.
pub const RECORD_HEADER_BYTES: usize = 16;
/// Largest record with its header in bytes.
pub const FRAME_BYTES_MAX: usize = RECORD_HEADER_BYTES + RECORD_BYTES_MAX;
/// Bytes in front of a segment's first record.
pub const SEGMENT_HEADER_BYTES: usize = 32;
/// Bytes that a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;
/// Bytes that a write to a folder may harm as a whole: a block of its file system.
pub const BLOCK_BYTES: usize = 4096;
/// Bytes of records that one commit makes durable at most, a block's where records lie in blocks; they wait in memory
/// until then.
pub const GROUP_BYTES_MAX: usize = 2 * BLOCK_BYTES;
/// Smallest segment that may be configured in bytes: a header and one full group fit.
pub const SEGMENT_BYTES_MIN: u32 = 16 * 1024;
/// Largest segment that may be configured in bytes.
pub const SEGMENT_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// Segments of a log, whatever their size.
pub const SEGMENTS_MAX: u32 = 4096;
/// Segments that one commit may try to write its group to.
pub const COMMIT_TRIES_MAX: u32 = 2;
/// Times that room may be made for one segment: more than there can be segments.
pub const RESCUES_MAX: u32 = 2 * SEGMENTS_MAX;
/// On a full disk at least a segment's size over this is kept: below that new records are refused rather than the last
/// old ones given up.
pub const FULL_KEPT_SHARE: u32 = 4;
/// Times that a reader looks again at an end that a writer may be writing.
pub const LOOKS_MAX: u32 = 3;
/// Bytes that a reader holds in memory.
pub const READ_WINDOW_BYTES: usize = 2 * FRAME_BYTES_MAX;
/// Largest cell that a NOR flash may read or write in bytes.
pub const NOR_UNIT_BYTES_MAX: usize = 64;
/// Bytes that one write to a NOR flash takes at most.
pub const NOR_STAGE_BYTES: usize = 256;
/// Edges that a simulated pin remembers; older ones are counted and forgotten.
pub const EDGES_MAX: usize = 64;
/// Longest time that a rule may be given in milliseconds (a day).
pub const TIME_MS_MAX: u32 = 86_400_000;

// A group fits into every segment, a record into every group and into the reader's window.
const _: () = assert!(BLOCK_BYTES + GROUP_BYTES_MAX <= SEGMENT_BYTES_MIN as usize);
const _: () = assert!(SEGMENT_HEADER_BYTES <= SECTOR_BYTES && BLOCK_BYTES.is_multiple_of(SECTOR_BYTES));
const _: () = assert!(FRAME_BYTES_MAX <= GROUP_BYTES_MAX && FRAME_BYTES_MAX <= READ_WINDOW_BYTES);
const _: () = assert!(RECORD_BYTES_MAX <= u16::MAX as usize);
