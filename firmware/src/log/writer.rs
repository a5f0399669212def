//! The writing half of the log: open, append, commit.

use core::fmt;

use heapless::Vec;

use super::media::{Media, MediaError};
use super::record::{Durable, Seq, encode};
use super::recover::{Recovery, Survey, survey};
use super::retain::{Held, Limits, LimitsError, must_drop_oldest};
use super::segment::SegmentHeader;
use crate::limits::{COMMIT_TRIES_MAX, FULL_KEPT_SHARE, GROUP_BYTES_MAX, RECORD_BYTES_MAX, SEGMENT_HEADER_BYTES};

/// Why the log refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogError<E> {
    /// The medium failed.
    Media(E),
    /// The limits are out of bounds.
    Limits(LimitsError),
    /// A payload is longer than [`RECORD_BYTES_MAX`].
    TooLong(usize),
    /// The group is full: commit, then append again.
    GroupFull,
    /// A segment has a format that this build does not know.
    Format {
        /// The segment.
        segment: u32,
        /// Its format.
        format: u16,
    },
    /// All numbers of segments or of records are used up.
    Exhausted,
}

impl<E: fmt::Display> fmt::Display for LogError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Media(error) => error.fmt(f),
            LogError::Limits(error) => error.fmt(f),
            LogError::TooLong(bytes) => write!(f, "a record of {bytes} bytes: at most {RECORD_BYTES_MAX} fit"),
            LogError::GroupFull => write!(f, "{GROUP_BYTES_MAX} bytes of records wait: commit first"),
            LogError::Format { segment, format } => write!(
                f,
                "segment {segment} has format {format}, written by another version of lapwing: use that version, or move the log away"
            ),
            LogError::Exhausted => {
                f.write_str("all numbers of segments or records are used: move the log away and begin a new one")
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for LogError<E> {}

/// A segment that is being written.
#[derive(Debug, Clone, Copy)]
struct Current {
    id: u32,
    bytes: u32,
}

/// A log that is open for writing.
#[derive(Debug)]
pub struct Log<M> {
    media: M,
    limits: Limits,
    run: u32,
    held: Held,
    current: Option<Current>,
    next_id: Option<u32>,
    next_seq: u64,
    /// Number of the first record that waits.
    group_seq: u64,
    group: Vec<u8, GROUP_BYTES_MAX>,
    segments_dropped: u64,
}

impl<M: Media> Log<M> {
    /// Reads what [`recover`](super::recover) says, trims what was torn, and begins a new run.
    ///
    /// # Errors
    /// The limits are wrong, the medium fails, or a segment has another format.
    pub fn open(mut media: M, limits: Limits) -> Result<(Log<M>, Recovery), LogError<M::Error>> {
        limits.validate().map_err(LogError::Limits)?;
        let Survey { mut found, mut held, newest, torn, next_seq } = survey(&mut media)?;
        if let Some(id) = newest {
            if let Some(damage) = torn {
                found.bytes_trimmed = u64::from(damage.bytes);
                held.bytes = held.bytes.saturating_sub(found.bytes_trimmed);
                if damage.offset == 0 {
                    media.remove(id).map_err(LogError::Media)?;
                    held.segments -= 1;
                } else {
                    media.truncate(id, damage.offset).map_err(LogError::Media)?;
                }
            }
            // what was read may have been visible only; numbers go on behind it, so it must last
            if torn.is_none_or(|damage| damage.offset > 0) {
                media.sync(id).map_err(LogError::Media)?;
            }
        }
        found.segments = held.segments;
        let next_id = newest.map_or(Some(1), |id: u32| id.checked_add(1));
        let log = Log {
            media,
            limits,
            run: found.run,
            held,
            current: None,
            next_id,
            next_seq,
            group_seq: next_seq,
            group: Vec::new(),
            segments_dropped: 0,
        };
        Ok((log, found))
    }

    /// The segment that the next record will stand in; begins a new one where that is due.
    ///
    /// # Errors
    /// The medium fails.
    pub fn make_room(&mut self) -> Result<u32, LogError<M::Error>> {
        match self.current {
            Some(current) if !self.group.is_empty() || self.has_room() => Ok(current.id),
            _ => self.begin_segment(),
        }
    }

    /// A full group fits into the segment.
    fn has_room(&self) -> bool {
        self.current.is_some_and(|current| current.bytes + GROUP_BYTES_MAX as u32 <= self.limits.segment_bytes)
    }

    /// Adds a record to the group that the next [`Log::commit`] makes durable; returns its number.
    ///
    /// # Errors
    /// [`LogError::TooLong`], [`LogError::GroupFull`], [`LogError::Exhausted`].
    pub fn append(&mut self, payload: &[u8]) -> Result<Seq, LogError<M::Error>> {
        if payload.len() > RECORD_BYTES_MAX {
            return Err(LogError::TooLong(payload.len()));
        }
        if self.group.is_empty() && !self.has_room() {
            self.current = None; // the next one begins with the commit
        }
        let next = self.next_seq.checked_add(1).ok_or(LogError::Exhausted)?;
        let seq = Seq(self.next_seq);
        if !encode(seq, self.group.is_empty(), payload, &mut self.group) {
            return Err(LogError::GroupFull);
        }
        self.next_seq = next;
        Ok(seq)
    }

    /// Makes all appended records durable. `None` if there was nothing to do.
    ///
    /// # Errors
    /// None of the records appended since the last commit is acknowledged; they are dropped, their
    /// numbers are given again. The log can be used on.
    pub fn commit(&mut self) -> Result<Option<Durable<Seq>>, LogError<M::Error>> {
        if self.group.is_empty() {
            return Ok(None);
        }
        let mut done = Err(LogError::Exhausted);
        for _ in 0..COMMIT_TRIES_MAX {
            done = self.write_group();
            match &done {
                Ok(()) => break,
                Err(LogError::Media(error)) => {
                    let is_full = error.is_full();
                    self.abandon();
                    if is_full {
                        self.free_room();
                    }
                }
                Err(_) => break,
            }
        }
        self.group.clear();
        match done {
            Ok(()) => {
                self.group_seq = self.next_seq;
                Ok(Some(Durable(Seq(self.next_seq - 1))))
            }
            Err(error) => {
                self.next_seq = self.group_seq;
                Err(error)
            }
        }
    }

    /// Segments that retention has removed since opening.
    pub fn segments_dropped(&self) -> u64 {
        self.segments_dropped
    }

    /// Lets a test change the medium under an open log.
    #[cfg(test)]
    pub(super) fn change(&mut self, act: impl FnOnce(&mut M)) {
        act(&mut self.media);
    }

    /// Gives the medium back; what was not committed is dropped.
    pub fn into_media(self) -> M {
        self.media
    }

    fn write_group(&mut self) -> Result<(), LogError<M::Error>> {
        let id = self.make_room()?;
        self.media.append(id, &self.group).map_err(LogError::Media)?;
        self.media.sync(id).map_err(LogError::Media)?;
        let bytes = self.group.len() as u32;
        if let Some(current) = &mut self.current {
            current.bytes += bytes;
        }
        self.held.bytes += u64::from(bytes);
        Ok(())
    }

    /// Invariant 3: leaves the segment for good, without what was not acknowledged.
    fn abandon(&mut self) {
        let Some(current) = self.current.take() else { return };
        if current.bytes as usize > SEGMENT_HEADER_BYTES {
            let _ = self.media.truncate(current.id, current.bytes); // it does not count anyway: invariant 4
        } else if self.media.remove(current.id).is_ok() {
            // nothing in it was acknowledged: a medium that is sick for long must not fill up with empty segments
            self.held.segments = self.held.segments.saturating_sub(1);
            self.held.bytes = self.held.bytes.saturating_sub(u64::from(current.bytes));
        }
    }

    fn begin_segment(&mut self) -> Result<u32, LogError<M::Error>> {
        self.current = None;
        while must_drop_oldest(self.held, &self.limits) {
            self.drop_oldest()?;
        }
        let id = self.next_id.ok_or(LogError::Exhausted)?;
        self.next_id = id.checked_add(1);
        let header = SegmentHeader { id, run: self.run, first_seq: Seq(self.group_seq) }.encode();
        let made = self.media.create(id).and_then(|()| self.media.append(id, &header));
        if let Err(error) = made {
            let _ = self.media.remove(id); // a headless segment holds nothing
            return Err(LogError::Media(error));
        }
        self.current = Some(Current { id, bytes: header.len() as u32 });
        self.held.segments += 1;
        self.held.bytes += header.len() as u64;
        Ok(id)
    }

    /// Drops old segments until a group fits. Where others fill the disk, giving up the whole record would not help: what
    /// [`FULL_KEPT_SHARE`] says is kept. Where nothing can be dropped the next try says why.
    fn free_room(&mut self) {
        let before = self.held.bytes;
        let wanted = (GROUP_BYTES_MAX + SEGMENT_HEADER_BYTES) as u64;
        let kept_min = u64::from(self.limits.segment_bytes / FULL_KEPT_SHARE);
        while before.saturating_sub(self.held.bytes) < wanted {
            let Ok(Some(oldest)) = self.media.find(0) else { break };
            let Ok(bytes) = self.media.len(oldest) else { break };
            let left = self.held.bytes.saturating_sub(u64::from(bytes.unwrap_or(0)));
            if left < kept_min || self.drop_oldest().is_err() {
                break;
            }
        }
    }

    fn drop_oldest(&mut self) -> Result<(), LogError<M::Error>> {
        let oldest = self.media.find(0).map_err(LogError::Media)?;
        let Some(id) = oldest.filter(|id| self.current.is_none_or(|current| current.id != *id)) else {
            self.held = Held::default();
            return Ok(());
        };
        let bytes = self.media.len(id).map_err(LogError::Media)?.unwrap_or(0);
        self.media.remove(id).map_err(LogError::Media)?;
        self.held.segments = self.held.segments.saturating_sub(1);
        self.held.bytes = self.held.bytes.saturating_sub(u64::from(bytes));
        self.segments_dropped += 1;
        Ok(())
    }
}
