//! The disk's memory: what is seen, what is certain, and what a power cut makes of the difference.

use std::collections::{BTreeMap, VecDeque};

use lapwing_tests::Seeded;

use super::recording::{Recording, Request};

/// Bytes in which the disk is addressed.
pub const SECTOR_BYTES: usize = 512;
/// Bytes that the cache holds; the oldest writes go to the medium when there are more.
const CACHE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a request comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// An input/output error.
    Failed,
    /// None, ever: the power is off.
    Silence,
}

/// What a power cut did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// Writes and flushes since the power came.
    pub operations: u64,
    /// Units that were not certain.
    pub open: u64,
    /// Of these, those that kept their old content.
    pub lost: u64,
    /// Of these, those that took a content which had been overwritten since.
    pub stale: u64,
    /// Writes to more than one unit of which some were kept and some were not.
    pub torn: u64,
}

struct Write {
    at: usize, // bytes
    bytes: Vec<u8>,
}

/// A disk with a volatile cache.
pub struct Disk {
    /// Bytes that are written whole or not at all.
    unit_bytes: usize,
    /// What a reader sees.
    seen: Vec<u8>,
    /// What outlives a cut.
    certain: Vec<u8>,
    /// Writes since the last flush, oldest first.
    open: VecDeque<Write>,
    open_bytes: usize,
    random: Seeded,
    operations: u64,
    cut_at: Option<u64>,
    off: bool,
    ignores_flush: bool,
    fails_writes: bool,
    fails_reads: bool,
    recording: Option<Recording>,
}

impl Disk {
    /// A disk that holds `content`, all of it certain, and writes `unit_bytes` whole or not at all; `seed` decides
    /// what cuts leave.
    pub fn new(content: Vec<u8>, unit_bytes: usize, seed: u64) -> Disk {
        Disk {
            unit_bytes: unit_bytes.max(SECTOR_BYTES),
            certain: content.clone(),
            seen: content,
            open: VecDeque::new(),
            open_bytes: 0,
            random: Seeded(seed),
            operations: 0,
            cut_at: None,
            off: false,
            ignores_flush: false,
            fails_writes: false,
            fails_reads: false,
            recording: None,
        }
    }

    /// Flushes and FUA do nothing from now on: the control that must lose records.
    pub fn ignore_flush(&mut self) {
        self.ignores_flush = true;
    }

    /// Writes and flushes fail, or work again.
    pub fn fail_writes(&mut self, fails: bool) {
        self.fails_writes = fails;
    }

    /// Reads fail, or work again.
    pub fn fail_reads(&mut self, fails: bool) {
        self.fails_reads = fails;
    }

    /// The power goes at the `operations`-th write or flush from now on; that one gets no reply.
    pub fn cut_at(&mut self, operations: u64) {
        self.cut_at = Some(self.operations + operations);
    }

    /// Keeps all writes and flushes from now on.
    pub fn record(&mut self) {
        self.recording = Some(Recording::new(self.seen.clone(), self.unit_bytes));
    }

    /// What was kept.
    pub fn recorded(&mut self) -> Option<Recording> {
        self.recording.take()
    }

    /// Writes and flushes since the power came.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// True for a disk of no bytes.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// What outlives a cut now.
    pub fn certain(&self) -> &[u8] {
        &self.certain
    }

    /// Puts another content on the disk, all of it certain.
    pub fn replace(&mut self, content: &[u8]) {
        self.seen.clear();
        self.seen.extend_from_slice(content);
        self.certain.clone_from(&self.seen);
        self.open.clear();
        self.open_bytes = 0;
    }

    /// Reads into `into` from byte `at`.
    pub fn read(&mut self, at: usize, into: &mut [u8]) -> Reply {
        if self.off {
            return Reply::Silence;
        }
        let Some(bytes) = at.checked_add(into.len()).and_then(|end| self.seen.get(at..end)) else {
            return Reply::Failed;
        };
        into.copy_from_slice(bytes);
        if self.fails_reads { Reply::Failed } else { Reply::Done }
    }

    /// Writes whole sectors; with `fua` they are certain when it is done.
    pub fn write(&mut self, at: usize, bytes: Vec<u8>, fua: bool) -> Reply {
        let in_order = at.is_multiple_of(SECTOR_BYTES) && bytes.len().is_multiple_of(SECTOR_BYTES);
        let end = at.checked_add(bytes.len()).filter(|end| in_order && *end <= self.seen.len());
        let Some(end) = end else { return Reply::Failed };
        if self.off {
            return Reply::Silence;
        }
        if self.fails_writes {
            return Reply::Failed;
        }
        self.seen[at..end].copy_from_slice(&bytes);
        if let Some(recording) = &mut self.recording {
            recording.push(Request::Write { at, bytes: bytes.clone(), fua });
        }
        self.open_bytes += bytes.len();
        self.open.push_back(Write { at, bytes });
        while self.open_bytes > CACHE_BYTES_MAX {
            self.write_back_oldest();
        }
        let goes = self.count();
        if goes {
            return Reply::Silence; // it is in the cache, and may reach the medium in part
        }
        if fua && !self.ignores_flush {
            self.make_certain(at, end);
        }
        Reply::Done
    }

    /// Makes all that was written certain.
    pub fn flush(&mut self) -> Reply {
        if self.off {
            return Reply::Silence;
        }
        if self.fails_writes {
            return Reply::Failed;
        }
        if let Some(recording) = &mut self.recording {
            recording.push(Request::Flush);
        }
        if self.count() {
            return Reply::Silence;
        }
        if !self.ignores_flush {
            while !self.open.is_empty() {
                self.write_back_oldest();
            }
        }
        Reply::Done
    }

    /// The power goes: the content of every open unit is drawn. Then it comes back.
    pub fn power_cut(&mut self) -> Cut {
        let mut cut = Cut { operations: self.operations, ..Cut::default() };
        // the writes that touch a unit, oldest first
        let mut units: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, write) in self.open.iter().enumerate() {
            for unit in write.at / self.unit_bytes..(write.at + write.bytes.len()).div_ceil(self.unit_bytes) {
                units.entry(unit).or_default().push(number);
            }
        }
        let keep_percent = self.random.below(101);
        let mut kept = vec![(0usize, 0usize); self.open.len()]; // units kept, units
        for (unit, writes) in units {
            cut.open += 1;
            let chosen = if self.random.below(100) >= keep_percent {
                cut.lost += 1;
                0
            } else if self.random.below(2) == 0 {
                writes.len() // the newest half of the time, any other one else
            } else {
                1 + self.random.below(writes.len() as u64) as usize
            };
            cut.stale += u64::from(chosen > 0 && chosen < writes.len());
            for (turn, number) in writes.iter().enumerate() {
                kept[*number].0 += usize::from(turn < chosen);
                kept[*number].1 += 1;
                if turn < chosen {
                    let write = &self.open[*number];
                    let from = write.at.max(unit * self.unit_bytes);
                    let to = (write.at + write.bytes.len()).min((unit + 1) * self.unit_bytes);
                    self.certain[from..to].copy_from_slice(&write.bytes[from - write.at..to - write.at]);
                }
            }
        }
        cut.torn = kept.iter().filter(|(kept, all)| *kept > 0 && kept < all).count() as u64;
        self.seen.clone_from(&self.certain);
        self.open.clear();
        self.open_bytes = 0;
        self.operations = 0;
        self.cut_at = None;
        self.off = false;
        cut
    }

    /// Counts an operation; true if the power goes with it.
    fn count(&mut self) -> bool {
        self.operations += 1;
        self.off = self.cut_at.is_some_and(|at| self.operations >= at);
        self.off
    }

    fn write_back_oldest(&mut self) {
        if let Some(write) = self.open.pop_front() {
            self.open_bytes -= write.bytes.len();
            self.certain[write.at..write.at + write.bytes.len()].copy_from_slice(&write.bytes);
        }
    }

    /// Bytes `from..to` are as seen from now on, whatever older writes wait.
    fn make_certain(&mut self, from: usize, to: usize) {
        self.certain[from..to].copy_from_slice(&self.seen[from..to]);
        let mut rest = VecDeque::new();
        for write in self.open.drain(..) {
            let end = write.at + write.bytes.len();
            if end <= from || write.at >= to {
                rest.push_back(write);
                continue;
            }
            if write.at < from {
                rest.push_back(Write { at: write.at, bytes: write.bytes[..from - write.at].to_vec() });
            }
            if end > to {
                rest.push_back(Write { at: to, bytes: write.bytes[to - write.at..].to_vec() });
            }
        }
        self.open_bytes = rest.iter().map(|w| w.bytes.len()).sum();
        self.open = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECTORS: usize = 8;

    fn disk(seed: u64) -> Disk {
        Disk::new(vec![0; SECTORS * SECTOR_BYTES], SECTOR_BYTES, seed)
    }

    #[derive(Debug, Clone)]
    enum Call {
        Write { at: usize, sectors: usize, fua: bool },
        Flush,
        Cut,
    }

    fn call() -> impl Strategy<Value = Call> {
        prop_oneof![
            6 => (0..SECTORS, 1..4usize, prop::bool::weighted(0.2)).prop_map(|(at, sectors, fua)| Call::Write {
                at,
                sectors: sectors.min(SECTORS - at),
                fua
            }),
            1 => Just(Call::Flush),
            1 => Just(Call::Cut),
        ]
    }

    proptest! {
        /// The twin: for each sector the set of contents that a cut may leave.
        #[test]
        fn a_cut_leaves_what_it_may(seed in any::<u64>(), calls in prop::collection::vec(call(), 1..60)) {
            let mut disk = disk(seed);
            let mut may: Vec<Vec<u8>> = vec![vec![0]; SECTORS];
            for (number, call) in calls.into_iter().enumerate() {
                let mark = (number + 1) as u8;
                match call {
                    Call::Write { at, sectors, fua } => {
                        prop_assert_eq!(disk.write(at * SECTOR_BYTES, vec![mark; sectors * SECTOR_BYTES], fua), Reply::Done);
                        for sector in &mut may[at..at + sectors] {
                            if fua {
                                sector.clear();
                            }
                            sector.push(mark);
                        }
                    }
                    Call::Flush => {
                        prop_assert_eq!(disk.flush(), Reply::Done);
                        for sector in &mut may {
                            *sector = vec![*sector.last().unwrap()];
                        }
                    }
                    Call::Cut => {
                        disk.power_cut();
                        for (number, sector) in may.iter_mut().enumerate() {
                            let bytes = &disk.certain()[number * SECTOR_BYTES..(number + 1) * SECTOR_BYTES];
                            prop_assert!(bytes.iter().all(|b| *b == bytes[0]), "a sector is never torn");
                            prop_assert!(sector.contains(&bytes[0]), "{} is none of {:?}", bytes[0], sector);
                            *sector = vec![bytes[0]];
                        }
                    }
                }
                let mut all = vec![0; SECTORS * SECTOR_BYTES];
                prop_assert_eq!(disk.read(0, &mut all), Reply::Done);
                for (number, sector) in may.iter().enumerate() {
                    prop_assert_eq!(all[number * SECTOR_BYTES], *sector.last().unwrap());
                }
            }
        }
    }

    #[test]
    fn it_loses_tears_and_reorders() {
        let (mut lost, mut stale, mut torn) = (0, 0, 0);
        for seed in 0..50 {
            let mut disk = disk(seed);
            for mark in 1..6 {
                disk.write(0, vec![mark; 4 * SECTOR_BYTES], false);
            }
            let cut = disk.power_cut();
            lost += cut.lost;
            stale += cut.stale;
            torn += cut.torn;
        }
        assert!(lost > 50 && stale > 20 && torn > 20, "{lost} {stale} {torn}");
    }

    #[test]
    fn the_power_goes_at_the_operation_that_was_named() {
        let mut disk = disk(1);
        disk.cut_at(3);
        assert_eq!(disk.write(0, vec![1; SECTOR_BYTES], false), Reply::Done);
        assert_eq!(disk.flush(), Reply::Done);
        assert_eq!(disk.write(0, vec![2; SECTOR_BYTES], false), Reply::Silence);
        assert_eq!(disk.flush(), Reply::Silence);
        assert_eq!(disk.read(0, &mut [0; 512]), Reply::Silence);
        disk.power_cut();
        assert!([1, 2].contains(&disk.certain()[0]));
        assert_eq!(disk.flush(), Reply::Done);
    }

    #[test]
    fn a_disk_that_ignores_flushes_forgets() {
        let forgot = (0..50).filter(|seed| {
            let mut disk = disk(*seed);
            disk.ignore_flush();
            disk.write(0, vec![1; SECTOR_BYTES], true);
            disk.flush();
            disk.power_cut();
            disk.certain()[0] == 0
        });
        assert!(forgot.count() > 10);
    }

    #[test]
    fn a_unit_is_never_torn() {
        for seed in 0..200 {
            let mut disk = Disk::new(vec![0; SECTORS * SECTOR_BYTES], 4 * SECTOR_BYTES, seed);
            for mark in 1..4 {
                disk.write(0, vec![mark; SECTORS * SECTOR_BYTES], false);
            }
            disk.write(5 * SECTOR_BYTES, vec![9; SECTOR_BYTES], false);
            disk.power_cut();
            let at = |sector: usize| disk.certain()[sector * SECTOR_BYTES];
            assert!((1..4).all(|sector| at(sector) == at(0)), "seed {seed}");
            assert!(at(4) == at(7) && (at(5) == at(4) || (at(5), at(4)) == (9, 3)), "seed {seed}");
        }
    }

    #[test]
    fn wrong_requests_are_refused() {
        let mut disk = disk(1);
        assert_eq!(disk.write(100, vec![1; 512], false), Reply::Failed);
        assert_eq!(disk.write(7 * 512, vec![1; 1024], false), Reply::Failed);
        assert_eq!(disk.read(usize::MAX, &mut [0; 2]), Reply::Failed);
    }
}
