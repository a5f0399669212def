//! Media in memory: one for tests and demonstrations that fails as disks fail.
//!
//! [`FaultyMedia`] keeps what is visible and what is durable apart. A [`FaultyMedia::power_cut`]
//! makes of each unsynced sector, by a seeded draw, either its new or its old content, in any
//! order, and of an unsynced length any length in between: lost, torn and reordered writes. Needs
//! `std`, so it exists in tests and with the feature `linux`.

use std::collections::BTreeMap;
use std::vec::Vec;

use super::media::{Media, MediaError};

/// Bytes that a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// An error that the test asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation failed.
    Failed,
    /// No room is left.
    Full,
    /// The power is off: nothing works until [`FaultyMedia::power_cut`].
    Off,
    /// The call itself is wrong: a segment that exists is created, or one that does not is written.
    Misuse,
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Fault::Failed => "the operation failed",
            Fault::Full => "no room is left",
            Fault::Off => "the power is off",
            Fault::Misuse => "there is no such segment, or there is one already",
        })
    }
}

impl MediaError for Fault {
    fn is_full(&self) -> bool {
        *self == Fault::Full
    }
}

/// What the operation with a given number does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// It fails; a write may have happened in part.
    Fail(u64),
    /// It and all that follow fail, as if the power went: cut next.
    Cut(u64),
    /// From it on every write and every sync fails, though segments can be made and removed: a worn-out card.
    Sick(u64),
}

#[derive(Debug, Clone, Default)]
struct File {
    /// What a reader sees.
    visible: Vec<u8>,
    /// What is certain; `None` if not even that it exists.
    durable: Option<Vec<u8>>,
}

/// Segments in memory, with faults.
#[derive(Debug, Clone)]
pub struct FaultyMedia {
    files: BTreeMap<u32, File>,
    plan: Option<Plan>,
    operations: u64,
    room_bytes: usize,
    ignores_sync: bool,
    random: u64,
}

impl FaultyMedia {
    /// Empty, without faults and without end; `seed` decides what a cut leaves.
    pub fn new(seed: u64) -> FaultyMedia {
        FaultyMedia {
            files: BTreeMap::new(),
            plan: None,
            operations: 0,
            room_bytes: usize::MAX,
            ignores_sync: false,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        }
    }

    /// Sets what goes wrong from now on; operations count from 0 again.
    pub fn set_plan(&mut self, plan: Option<Plan>) {
        self.plan = plan;
        self.operations = 0;
    }

    /// Bytes that fit.
    pub fn set_room(&mut self, bytes: usize) {
        self.room_bytes = bytes;
    }

    /// Makes `sync` a lie, as with a disk that ignores flushes: the control that must lose records.
    pub fn ignore_sync(&mut self) {
        self.ignores_sync = true;
    }

    /// Changing operations since the plan was set.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Segments.
    pub fn segments(&self) -> usize {
        self.files.len()
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> usize {
        self.files.values().map(|f| f.visible.len()).sum()
    }

    /// The visible bytes of a segment, to damage them.
    pub fn segment_mut(&mut self, id: u32) -> Option<&mut Vec<u8>> {
        self.files.get_mut(&id).map(|f| &mut f.visible)
    }

    /// The power goes and comes back: unsynced bytes are kept, lost or torn by sector.
    pub fn power_cut(&mut self) {
        let mut files = core::mem::take(&mut self.files);
        files.retain(|_, file| match &mut file.durable {
            None if self.draw(2) == 0 => false,
            durable => {
                let old = durable.take().unwrap_or_default();
                file.visible = self.torn(&old, &file.visible);
                file.durable = Some(file.visible.clone());
                true
            }
        });
        self.files = files;
        self.plan = None;
    }

    fn torn(&mut self, old: &[u8], new: &[u8]) -> Vec<u8> {
        let (low, high) = (old.len().min(new.len()), old.len().max(new.len()));
        let bytes = match self.draw(4) {
            0 => old.len(),
            1 => new.len(),
            _ => low + self.draw(high - low + 1),
        };
        let mut out = std::vec![0; bytes]; // a sector that never reached the disk reads as zeros
        let keep_all = self.draw(4) == 0;
        for (sector, place) in out.chunks_mut(SECTOR_BYTES).enumerate() {
            let from = if keep_all || self.draw(2) == 0 { new } else { old };
            let at = sector * SECTOR_BYTES;
            for (i, byte) in place.iter_mut().enumerate() {
                *byte = from.get(at + i).copied().unwrap_or(0);
            }
        }
        out
    }

    fn draw(&mut self, below: usize) -> usize {
        // xorshift64*: Marsaglia 2003, Vigna 2016
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % below.max(1)
    }

    /// Counts a changing operation; the error that the plan has for it.
    fn step(&mut self, writes: bool) -> Option<Fault> {
        let number = self.operations;
        self.operations += 1;
        match self.plan {
            Some(Plan::Fail(n)) if n == number => Some(Fault::Failed),
            Some(Plan::Sick(n)) if writes && number >= n => Some(Fault::Failed),
            Some(Plan::Cut(n)) if number >= n => Some(Fault::Off),
            _ => None,
        }
    }

    fn file(&mut self, id: u32) -> Result<&mut File, Fault> {
        self.files.get_mut(&id).ok_or(Fault::Misuse)
    }
}

impl Media for FaultyMedia {
    type Error = Fault;

    fn find(&mut self, from: u32) -> Result<Option<u32>, Fault> {
        Ok(self.files.range(from..).next().map(|(id, _)| *id))
    }

    fn len(&mut self, id: u32) -> Result<Option<u32>, Fault> {
        Ok(self.files.get(&id).map(|f| f.visible.len() as u32))
    }

    fn read_at(&mut self, id: u32, offset: u32, into: &mut [u8]) -> Result<usize, Fault> {
        let Some(file) = self.files.get(&id) else { return Ok(0) };
        let tail = file.visible.get(offset as usize..).unwrap_or(&[]);
        let count = tail.len().min(into.len());
        into[..count].copy_from_slice(&tail[..count]);
        Ok(count)
    }

    fn create(&mut self, id: u32) -> Result<(), Fault> {
        if self.files.contains_key(&id) {
            return Err(Fault::Misuse);
        }
        let fault = self.step(false);
        if fault.is_none() || self.draw(2) == 0 {
            self.files.insert(id, File::default());
        }
        fault.map_or(Ok(()), Err)
    }

    fn append(&mut self, id: u32, bytes: &[u8]) -> Result<(), Fault> {
        let fault = self.step(true);
        let room = self.room_bytes.saturating_sub(self.bytes());
        let wanted = if fault.is_some() { self.draw(bytes.len() + 1) } else { bytes.len() };
        let written = wanted.min(room);
        self.file(id)?.visible.extend_from_slice(&bytes[..written]);
        match fault {
            Some(fault) => Err(fault),
            None if written < bytes.len() => Err(Fault::Full),
            None => Ok(()),
        }
    }

    fn sync(&mut self, id: u32) -> Result<(), Fault> {
        match self.step(true) {
            Some(Fault::Failed) => {
                // Linux drops the dirty pages of a failed fsync and forgets the error: what is
                // visible may never reach the disk, and the next sync says Ok (fsyncgate, 2018)
                let file = self.file(id)?.clone();
                let old = file.durable.unwrap_or_default();
                let left = self.torn(&old, &file.visible);
                self.file(id)?.durable = Some(left);
                Err(Fault::Failed)
            }
            Some(fault) => Err(fault),
            None if self.ignores_sync => Ok(()),
            None => {
                let file = self.file(id)?;
                file.durable = Some(file.visible.clone());
                Ok(())
            }
        }
    }

    fn truncate(&mut self, id: u32, bytes: u32) -> Result<(), Fault> {
        let fault = self.step(false);
        if fault.is_none() || self.draw(2) == 0 {
            self.file(id)?.visible.truncate(bytes as usize);
        }
        fault.map_or(Ok(()), Err)
    }

    fn remove(&mut self, id: u32) -> Result<(), Fault> {
        let fault = self.step(false);
        if fault.is_none() || self.draw(2) == 0 {
            self.files.remove(&id);
        }
        fault.map_or(Ok(()), Err)
    }
}
