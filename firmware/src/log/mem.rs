//! Media in memory: one for tests and demonstrations that fails as disks fail.
//!
//! [`FaultyMedia`] keeps what is visible and what is durable apart. A [`FaultyMedia::power_cut`]
//! makes of each unsynced sector, by a seeded draw, either its new or its old content, in any
//! order, and of an unsynced length any length in between: lost, torn and reordered writes. With
//! [`FaultyMedia::harm_blocks`] whole blocks that were being written hold anything. Needs
//! `std`, so it exists in tests and with the feature `linux`.

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use super::block::fill_blank;
use super::media::{Media, MediaError};
use crate::limits::{BLOCK_BYTES, SECTOR_BYTES};

/// An error that the test asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation failed.
    Failed,
    /// No room is left.
    Full,
    /// The power is off: nothing works until [`FaultyMedia::power_cut`].
    Off,
    /// The segments are gone.
    Gone,
    /// The call itself is wrong: a segment that exists is created, or one that does not is written.
    Misuse,
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Fault::Failed => "the operation failed",
            Fault::Full => "no room is left",
            Fault::Off => "the power is off",
            Fault::Gone => "the segments are gone",
            Fault::Misuse => "there is no such segment, or there is one already",
        })
    }
}

impl MediaError for Fault {
    fn is_full(&self) -> bool {
        *self == Fault::Full
    }

    fn is_gone(&self) -> bool {
        *self == Fault::Gone
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
    /// What it was made with.
    made: Vec<u8>,
    /// Blocks that were written since the last sync, whether their bytes changed or not.
    touched: BTreeSet<usize>,
}

/// Segments in memory, with faults; in blocks, or one write behind the other.
#[derive(Debug, Clone)]
pub struct FaultyMedia<const BLOCKS: bool = true> {
    files: BTreeMap<u32, File>,
    plan: Option<Plan>,
    operations: u64,
    room_bytes: usize,
    ignores_sync: bool,
    harms_blocks: bool,
    is_gone: bool,
    random: u64,
}

impl FaultyMedia {
    /// In blocks, empty, without faults and without end; `seed` decides what a cut leaves.
    pub fn new(seed: u64) -> FaultyMedia {
        FaultyMedia::with_seed(seed)
    }
}

impl FaultyMedia<false> {
    /// The same, with one write behind the other.
    pub fn in_a_row(seed: u64) -> FaultyMedia<false> {
        FaultyMedia::with_seed(seed)
    }
}

impl<const BLOCKS: bool> FaultyMedia<BLOCKS> {
    fn with_seed(seed: u64) -> FaultyMedia<BLOCKS> {
        FaultyMedia {
            files: BTreeMap::new(),
            plan: None,
            operations: 0,
            room_bytes: usize::MAX,
            ignores_sync: false,
            harms_blocks: false,
            is_gone: false,
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

    /// What [`FaultyMedia::set_room`] set.
    pub fn room(&self) -> usize {
        self.room_bytes
    }

    /// Makes `sync` a lie, as with a disk that ignores flushes: the control that must lose records.
    pub fn ignore_sync(&mut self) {
        self.ignores_sync = true;
    }

    /// From now on a cut may leave anything in every block that was being written: a disk that works in blocks.
    pub fn harm_blocks(&mut self) {
        self.harms_blocks = true;
    }

    /// The segments are taken away under whoever writes them.
    pub fn take_away(&mut self) -> BTreeMap<u32, Vec<u8>> {
        self.is_gone = true;
        core::mem::take(&mut self.files).into_iter().map(|(id, file)| (id, file.visible)).collect()
    }

    /// Puts a segment of any bytes there, durably.
    pub fn put(&mut self, id: u32, bytes: Vec<u8>) {
        self.files.insert(id, File { durable: Some(bytes.clone()), visible: bytes, ..File::default() });
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
                // in blocks it was made as a whole, and the name came last
                let made = if BLOCKS { core::mem::take(&mut file.made) } else { Vec::new() };
                let old = durable.take().unwrap_or(made);
                file.visible = self.torn(&old, &file.visible);
                for block in core::mem::take(&mut file.touched) {
                    if self.harms_blocks {
                        self.harm(&mut file.visible, block);
                    }
                }
                file.durable = Some(file.visible.clone());
                true
            }
        });
        self.files = files;
        self.plan = None;
    }

    /// Half of the times a block holds anything.
    fn harm(&mut self, bytes: &mut [u8], block: usize) {
        if self.draw(2) == 0 {
            return;
        }
        let rest = bytes.get_mut(block * BLOCK_BYTES..).unwrap_or(&mut []);
        for sector in rest.chunks_mut(SECTOR_BYTES).take(BLOCK_BYTES / SECTOR_BYTES) {
            match self.draw(4) {
                0 => sector.fill(0),
                1 => sector.fill(0xff),
                2 => {}
                _ => sector.iter_mut().for_each(|byte| *byte = self.draw(256) as u8),
            }
        }
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

impl<const BLOCKS: bool> Media for FaultyMedia<BLOCKS> {
    type Error = Fault;
    const IN_BLOCKS: bool = BLOCKS;

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

    fn create(&mut self, id: u32, head: &[u8], bytes: u32) -> Result<(), Fault> {
        if self.is_gone {
            return Err(Fault::Gone);
        }
        if self.files.contains_key(&id) {
            return Err(Fault::Misuse);
        }
        let wanted = if BLOCKS { bytes as usize } else { head.len() };
        let is_full = self.room_bytes.saturating_sub(self.bytes()) < wanted;
        let fault = self.step(false).or(is_full.then_some(Fault::Full));
        let appears = match fault {
            None => true,
            Some(Fault::Full) => !BLOCKS,
            Some(_) => self.draw(2) == 0,
        };
        let mut segment = head.to_vec();
        if BLOCKS {
            segment.resize(wanted, 0);
            fill_blank(&mut segment[head.len()..], head.len() as u32);
        } else if fault.is_some() {
            segment.truncate(self.draw(head.len() + 1));
        }
        if appears {
            self.files.insert(id, File { made: segment.clone(), visible: segment, ..File::default() });
        }
        fault.map_or(Ok(()), Err)
    }

    fn write(&mut self, id: u32, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        let fault = self.step(true);
        let at = offset as usize;
        let room = self.room_bytes.saturating_sub(self.bytes());
        let mut cut = self.draw(bytes.len() + 1);
        if BLOCKS {
            cut -= cut % SECTOR_BYTES; // the kernel goes page by page
        }
        let gone = self.is_gone;
        let Ok(file) = self.file(id) else { return Err(if gone { Fault::Gone } else { Fault::Misuse }) };
        let fits = if BLOCKS { file.visible.len().saturating_sub(at) >= bytes.len() } else { file.visible.len() == at };
        if !fits || BLOCKS && !(at.is_multiple_of(BLOCK_BYTES) && bytes.len().is_multiple_of(BLOCK_BYTES)) {
            return Err(Fault::Misuse);
        }
        let mut written = if fault.is_some() { cut } else { bytes.len() };
        if !BLOCKS {
            written = written.min(room);
            file.visible.resize(at + written, 0);
        }
        file.visible[at..at + written].copy_from_slice(&bytes[..written]);
        file.touched.extend((at..at + written).step_by(BLOCK_BYTES).map(|at| at / BLOCK_BYTES));
        match fault {
            Some(fault) => Err(fault),
            None if written < bytes.len() => Err(Fault::Full),
            None => Ok(()),
        }
    }

    fn sync(&mut self, id: u32) -> Result<(), Fault> {
        let fault = self.step(true);
        if self.is_gone {
            return Err(Fault::Gone);
        }
        match fault {
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
                file.touched.clear();
                Ok(())
            }
        }
    }

    fn remove(&mut self, id: u32) -> Result<(), Fault> {
        let fault = self.step(false);
        if fault.is_none() || self.draw(2) == 0 {
            self.files.remove(&id);
        }
        fault.map_or(Ok(()), Err)
    }

    fn renew(&mut self) -> Result<(), Fault> {
        self.is_gone = false;
        Ok(())
    }
}
