//! The writing half of the log: open, append, commit.

use heapless::Vec;

use super::block::{self, ALIGN, CHAIN_BYTES_MAX};
use super::error::LogError;
use super::media::{Media, MediaError};
use super::record::{Durable, Seq, encode, encode_run};
use super::recover::{Place, Recovery, Survey, survey};
use super::retain::{Held, Limits, must_drop_oldest};
use super::segment::SegmentHeader;
use crate::limits::{
    BLOCK_BYTES, COMMIT_TRIES_MAX, FRAME_BYTES_MAX, FULL_KEPT_SHARE, GROUP_BYTES_MAX, RECORD_BYTES_MAX, RESCUES_MAX,
    SEGMENT_BYTES_MIN, SEGMENT_HEADER_BYTES,
};

/// A segment that is being written.
#[derive(Debug, Clone, Copy)]
struct Current {
    place: Place,
    /// Something in it was acknowledged, or it is from before.
    is_used: bool,
}

/// Asked for so many bytes where there is no room for a segment; true if it made some.
pub type Rescue<'a> = &'a mut dyn FnMut(u32) -> bool;

/// A log that is open for writing.
#[derive(Debug)]
pub struct Log<M: Media> {
    media: M,
    limits: Limits,
    run: u32,
    /// The start of this run is yet to be recorded.
    is_new_run: bool,
    held: Held,
    current: Option<Current>,
    next_id: Option<u32>,
    next_seq: u64,
    /// Number of the first record that waits.
    group_seq: u64,
    /// The chain that the group goes with, which is durable, and the group behind it.
    group: Vec<u8, GROUP_BYTES_MAX>,
    /// Bytes of that chain.
    chain_bytes: usize,
    segments_dropped: u64,
    /// The last error that a new segment has healed.
    healed: Option<M::Error>,
}

impl<M: Media> Log<M> {
    /// Reads what `recover` says, and begins a new run. Nothing is cut off, nothing is overwritten.
    ///
    /// # Errors
    /// The limits are wrong, the medium fails, or a segment has another format.
    pub fn open(media: M, limits: Limits) -> Result<(Log<M>, Recovery), LogError<M::Error>> {
        limits.validate().map_err(LogError::Limits)?;
        let mut log = Log {
            media,
            limits,
            run: 0,
            is_new_run: true,
            held: Held::default(),
            current: None,
            next_id: None,
            next_seq: 1,
            group_seq: 1,
            group: Vec::new(),
            chain_bytes: 0,
            segments_dropped: 0,
            healed: None,
        };
        let found = log.recover()?;
        log.run = found.run;
        Ok((log, found))
    }

    /// Takes up the log as it lies on the medium; the group is empty then.
    fn recover(&mut self) -> Result<Recovery, LogError<M::Error>> {
        let Survey { mut found, mut held, newest, is_stillborn, next_seq, place } = survey(&mut self.media)?;
        if let Some(id) = newest {
            if is_stillborn {
                self.media.remove(id).map_err(LogError::Media)?;
                held.segments -= 1;
            } else {
                // what was read may have been visible only; numbers go on behind it, so it must last
                self.media.sync(id).map_err(LogError::Media)?;
            }
        }
        found.segments = held.segments;
        self.group.clear();
        self.chain_bytes = 0;
        if let Some(Place { id, chain: Some((start, end, _)), .. }) = place {
            let _ = self.group.resize((end - start) as usize, 0); // within a block
            let count = self.media.read_at(id, start, &mut self.group).map_err(LogError::Media)?;
            self.group.truncate(count);
            self.chain_bytes = count;
        }
        self.held = held;
        self.current = place.map(|place| Current { place, is_used: true });
        self.next_id = newest.map_or(Some(1), |id: u32| id.checked_add(1));
        (self.next_seq, self.group_seq) = (next_seq, next_seq);
        Ok(found)
    }

    /// This run, from 1.
    pub fn run(&self) -> u32 {
        self.run
    }

    /// Before the first record: this run has at least this number, as others know of runs that the log has lost.
    pub fn set_run_min(&mut self, run: u32) {
        if self.is_new_run && self.is_group_empty() {
            self.run = self.run.max(run);
        }
    }

    /// The segment that the next record will stand in; begins a new one where that is due. Where there is no room,
    /// `rescue` is asked first, then the oldest segments go.
    ///
    /// # Errors
    /// The medium fails.
    pub fn make_room(&mut self, rescue: Rescue<'_>) -> Result<u32, LogError<M::Error>> {
        match self.current {
            Some(current) if !self.is_group_empty() || self.room() >= 2 * FRAME_BYTES_MAX => Ok(current.place.id),
            _ => match self.begin_segment(rescue) {
                Err(LogError::Media(error)) if error.is_gone() => {
                    self.begin_anew();
                    self.healed = Some(error);
                    self.begin_segment(rescue)
                }
                begun => begun,
            },
        }
    }

    fn is_group_empty(&self) -> bool {
        self.group.len() == self.chain_bytes
    }

    /// Bytes that the group may have in the segment.
    fn room(&self) -> usize {
        self.room_alone().max(self.room_beside_chain())
    }

    /// Bytes that it may have behind all that stands there.
    fn room_alone(&self) -> usize {
        let Some(Current { place, .. }) = self.current else { return 0 };
        let behind = place.bytes.saturating_sub(place.next_at) as usize;
        match M::IN_BLOCKS {
            true if behind >= BLOCK_BYTES => CHAIN_BYTES_MAX,
            true => 0,
            false => behind.min(GROUP_BYTES_MAX),
        }
    }

    /// Bytes that it may have together with its chain.
    fn room_beside_chain(&self) -> usize {
        let twin = self.current.and_then(|current| current.place.twin()).filter(|_| self.chain_bytes > 0);
        twin.map_or(0, |_| CHAIN_BYTES_MAX.saturating_sub(self.chain_bytes))
    }

    /// Adds a record to the group that the next [`Log::commit`] makes durable; returns its number.
    ///
    /// # Errors
    /// [`LogError::TooLong`], [`LogError::GroupFull`], [`LogError::Exhausted`].
    pub fn append(&mut self, payload: &[u8]) -> Result<Seq, LogError<M::Error>> {
        if payload.len() > RECORD_BYTES_MAX {
            return Err(LogError::TooLong(payload.len()));
        }
        if self.is_group_empty() && self.current.is_some() && self.room() < 2 * FRAME_BYTES_MAX {
            self.leave_segment(); // the next one begins with the commit
        }
        let next = self.next_seq.checked_add(1).ok_or(LogError::Exhausted)?;
        let seq = Seq(self.next_seq);
        if !self.put(seq, payload) {
            // the chain takes room, and is durable where it stands
            let alone = self.group.len() - self.chain_bytes + FRAME_BYTES_MAX + ALIGN as usize;
            if self.chain_bytes == 0 || alone > self.room_alone() {
                return Err(LogError::GroupFull);
            }
            self.forget_chain();
            if !self.put(seq, payload) {
                return Err(LogError::GroupFull);
            }
        }
        self.next_seq = next;
        Ok(seq)
    }

    /// Encodes a record behind the group; false, and the group as it was, if it has no room.
    fn put(&mut self, seq: Seq, payload: &[u8]) -> bool {
        let before = self.group.len();
        let is_first = self.is_group_empty();
        let begins_run = is_first && self.is_new_run;
        let begun = !begins_run || (encode_run(seq, self.run, &mut self.group) && self.aligned());
        let done = begun && encode(seq, is_first && !begins_run, payload, &mut self.group) && self.aligned();
        // a group that fits its segment now: else it would leave the rest of it empty
        let limit = if self.current.is_some() { self.room() } else { largest_group::<M>() };
        if !done || self.group.len() - self.chain_bytes > limit {
            self.group.truncate(before);
            return false;
        }
        true
    }

    fn aligned(&mut self) -> bool {
        !M::IN_BLOCKS || block::align(&mut self.group)
    }

    /// Takes the chain from in front of the group.
    fn forget_chain(&mut self) {
        let left = self.group.len() - self.chain_bytes;
        self.group.copy_within(self.chain_bytes.., 0);
        self.group.truncate(left);
        self.chain_bytes = 0;
    }

    fn leave_segment(&mut self) {
        self.forget_chain();
        self.current = None;
    }

    /// Makes all appended records durable. `None` if there was nothing to do.
    ///
    /// # Errors
    /// As [`Log::commit_with`].
    pub fn commit(&mut self) -> Result<Option<Durable<Seq>>, LogError<M::Error>> {
        self.commit_with(&mut |_| false)
    }

    /// Makes all appended records durable, as [`Log::commit`]; `rescue` as in [`Log::make_room`].
    ///
    /// # Errors
    /// None of the records appended since the last commit is acknowledged; they are dropped, their
    /// numbers are given again. The log can be used on.
    pub fn commit_with(&mut self, rescue: Rescue<'_>) -> Result<Option<Durable<Seq>>, LogError<M::Error>> {
        if self.is_group_empty() {
            return Ok(None);
        }
        let mut failed = None;
        for _ in 0..COMMIT_TRIES_MAX {
            match self.write_group(rescue) {
                Ok(()) => {
                    self.healed = failed.or(self.healed.take());
                    self.is_new_run = false;
                    self.group_seq = self.next_seq;
                    return Ok(Some(Durable(Seq(self.next_seq - 1))));
                }
                Err(LogError::Media(error)) => {
                    self.abandon();
                    if error.is_full() {
                        self.drop_for_room();
                    }
                    if error.is_gone() && !self.begin_anew() {
                        failed = Some(error);
                        break;
                    }
                    failed = Some(error);
                }
                Err(error) => {
                    self.give_up();
                    return Err(error);
                }
            }
        }
        self.give_up();
        Err(failed.map_or(LogError::Exhausted, LogError::Media))
    }

    /// What failed in a commit that a second try made good.
    pub fn take_trouble(&mut self) -> Option<M::Error> {
        self.healed.take()
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

    /// The group is not acknowledged: drops it.
    fn give_up(&mut self) {
        self.group.truncate(self.chain_bytes);
        self.next_seq = self.group_seq;
    }

    fn write_group(&mut self, rescue: Rescue<'_>) -> Result<(), LogError<M::Error>> {
        let has_room = |log: &Self| log.current.is_some() && log.group.len() - log.chain_bytes <= log.room();
        if !has_room(self) {
            self.begin_segment(rescue)?;
        }
        let Some(Current { place, .. }) = self.current else { return Err(LogError::Exhausted) };
        let twin = place.twin().filter(|_| self.chain_bytes > 0 && self.group.len() <= CHAIN_BYTES_MAX);
        if twin.is_none() {
            self.forget_chain();
        }
        let (at, bytes) = (twin.unwrap_or(place.next_at), self.group.len());
        if M::IN_BLOCKS {
            block::pad(&mut self.group);
        }
        let written = self.media.write(place.id, at, &self.group).and_then(|()| self.media.sync(place.id));
        let padded = self.group.len() as u32;
        self.group.truncate(bytes);
        written.map_err(LogError::Media)?;
        let behind = at + BLOCK_BYTES as u32;
        let chain_end = at + bytes as u32;
        let place = match place.chain.filter(|_| twin.is_some()) {
            // the next one goes where the chain was before: what is there stands here too
            Some((start, ..)) => {
                Place { next_at: behind.max(place.next_at), chain: Some((at, chain_end, start)), ..place }
            }
            None if M::IN_BLOCKS => Place { next_at: behind, chain: Some((at, chain_end, behind)), ..place },
            None => Place { next_at: at + padded, chain: None, ..place },
        };
        self.current = Some(Current { place, is_used: true });
        if place.chain.is_none() {
            self.group.clear();
        }
        self.chain_bytes = self.group.len();
        if !M::IN_BLOCKS {
            self.held.bytes += u64::from(padded);
        }
        Ok(())
    }

    /// Invariant 3: leaves the segment for good. What was not acknowledged in it does not count: invariant 4.
    fn abandon(&mut self) {
        let current = self.current;
        self.leave_segment();
        let Some(Current { place, is_used: false }) = current else { return };
        if self.media.remove(place.id).is_ok() {
            // a medium that is sick for long must not fill up with empty segments
            self.held.segments = self.held.segments.saturating_sub(1);
            self.held.bytes = self.held.bytes.saturating_sub(u64::from(held_bytes::<M>(place.bytes)));
        }
    }

    /// The segments are gone: goes on with the numbers of this log on what is there now. False if that is not possible.
    fn begin_anew(&mut self) -> bool {
        let (group, group_seq, next_seq) = (self.group.clone(), self.group_seq, self.next_seq);
        if self.media.renew().is_err() {
            return false;
        }
        match self.recover() {
            Ok(found) if self.next_seq <= group_seq => {
                self.run = self.run.max(found.run);
                self.is_new_run = true;
                self.leave_segment(); // the numbers of another log are others
                (self.group, self.group_seq, self.next_seq) = (group, group_seq, next_seq);
                true
            }
            Ok(found) => {
                // there is a log with these numbers: the caller appends again, behind them
                self.run = self.run.max(found.run);
                self.is_new_run = true;
                false
            }
            Err(_) => false,
        }
    }

    fn begin_segment(&mut self, rescue: Rescue<'_>) -> Result<u32, LogError<M::Error>> {
        self.leave_segment();
        while must_drop_oldest(self.held, &self.limits) {
            self.drop_oldest()?;
        }
        let mut bytes = self.limits.segment_bytes;
        if M::IN_BLOCKS {
            bytes -= bytes % BLOCK_BYTES as u32;
        }
        for _ in 0..RESCUES_MAX {
            let id = self.next_id.ok_or(LogError::Exhausted)?;
            let header = SegmentHeader::new(id, self.run, Seq(self.group_seq), M::IN_BLOCKS, bytes).encode();
            let Err(error) = self.media.create(id, &header, bytes) else {
                self.next_id = id.checked_add(1);
                let next_at = if M::IN_BLOCKS { BLOCK_BYTES } else { SEGMENT_HEADER_BYTES } as u32;
                self.current = Some(Current { place: Place { id, bytes, next_at, chain: None }, is_used: false });
                self.held.segments += 1;
                self.held.bytes += u64::from(held_bytes::<M>(bytes));
                return Ok(id);
            };
            if !M::IN_BLOCKS && matches!(self.media.len(id), Ok(Some(0..=SEGMENT_HEADER_BYTES_U32))) {
                let _ = self.media.remove(id); // a headless segment holds nothing
            }
            if !error.is_full() {
                self.next_id = id.checked_add(1);
                return Err(LogError::Media(error));
            }
            // others first, then the oldest records, then less is reserved
            if !rescue(bytes) && !self.drop_for_room() {
                bytes = bytes / 2 - bytes / 2 % BLOCK_BYTES as u32;
                if !M::IN_BLOCKS || bytes < SEGMENT_BYTES_MIN {
                    return Err(LogError::Media(error));
                }
            }
        }
        Err(LogError::Exhausted)
    }

    /// Drops the oldest segment of a full disk. False where it has to stay: where others fill the disk, giving up the
    /// whole record would not help, and what [`FULL_KEPT_SHARE`] says is kept.
    fn drop_for_room(&mut self) -> bool {
        let kept_min = u64::from(self.limits.segment_bytes / FULL_KEPT_SHARE);
        let Ok(Some(oldest)) = self.media.find(0) else { return false };
        let Ok(bytes) = self.media.len(oldest) else { return false };
        let left = self.held.bytes.saturating_sub(u64::from(bytes.unwrap_or(0)));
        self.held.segments > 1 && left >= kept_min && self.drop_oldest().is_ok()
    }

    fn drop_oldest(&mut self) -> Result<(), LogError<M::Error>> {
        let oldest = self.media.find(0).map_err(LogError::Media)?;
        let Some(id) = oldest.filter(|id| self.current.is_none_or(|current| current.place.id != *id)) else {
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

/// Bytes that one commit makes durable at most.
const fn largest_group<M: Media>() -> usize {
    if M::IN_BLOCKS { CHAIN_BYTES_MAX } else { GROUP_BYTES_MAX }
}

const SEGMENT_HEADER_BYTES_U32: u32 = SEGMENT_HEADER_BYTES as u32;

/// What a new segment of a medium takes at once.
const fn held_bytes<M: Media>(bytes: u32) -> u32 {
    if M::IN_BLOCKS { bytes } else { SEGMENT_HEADER_BYTES as u32 }
}
