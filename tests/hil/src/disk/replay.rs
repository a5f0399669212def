//! The power cut again, offline: the requests of a recorded run, up to any one of them, on a fresh
//! disk. One run on the board gives as many crashed disks as it made requests, times as many as
//! there are seeds.

use super::cache::{Cut, Disk};

/// Bytes of requests that a recording holds; what comes later is not kept.
const RECORDING_BYTES_MAX: usize = 512 * 1024 * 1024;

/// A request that changes the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Whole sectors from byte `at` on.
    Write {
        /// Bytes from the disk's beginning.
        at: usize,
        /// What is written.
        bytes: Vec<u8>,
        /// Certain when it is done.
        fua: bool,
    },
    /// All that was written is to be certain.
    Flush,
}

/// What was on the disk, and what came.
#[derive(Debug, Clone)]
pub struct Recording {
    before: Vec<u8>,
    unit_bytes: usize,
    requests: Vec<Request>,
    bytes: usize,
    full: bool,
}

impl Recording {
    /// None yet, on a disk that holds `before` and writes `unit_bytes` whole.
    pub fn new(before: Vec<u8>, unit_bytes: usize) -> Recording {
        Recording { before, unit_bytes, requests: Vec::new(), bytes: 0, full: false }
    }

    /// Adds a request.
    pub(super) fn push(&mut self, request: Request) {
        if let Request::Write { bytes, .. } = &request {
            self.bytes += bytes.len();
        }
        self.full |= self.bytes > RECORDING_BYTES_MAX;
        if !self.full {
            self.requests.push(request);
        }
    }

    /// Requests.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// True if nothing came.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// What the disk holds if the power goes with request `number`, from 1: that one is not completed.
    /// With `lies` the disk ignored every flush until then.
    pub fn crash(&self, number: usize, seed: u64, lies: bool) -> (Vec<u8>, Cut) {
        let mut disk = Disk::new(self.before.clone(), self.unit_bytes, seed);
        if lies {
            disk.ignore_flush();
        }
        disk.cut_at(number as u64);
        for request in self.requests.iter().take(number) {
            match request {
                Request::Write { at, bytes, fua } => disk.write(*at, bytes.clone(), *fua),
                Request::Flush => disk.flush(),
            };
        }
        let cut = disk.power_cut();
        (disk.certain().to_vec(), cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SECTOR_BYTES;

    #[test]
    fn a_crash_repeats_what_the_disk_did() {
        for seed in 0..20 {
            let mut disk = Disk::new(vec![0; 16 * SECTOR_BYTES], SECTOR_BYTES, seed);
            disk.record();
            disk.cut_at(9);
            for mark in 1..12u8 {
                disk.write(usize::from(mark) * SECTOR_BYTES, vec![mark; 2 * SECTOR_BYTES], mark % 4 == 0);
                if mark % 3 == 0 {
                    disk.flush();
                }
            }
            let recording = disk.recorded().unwrap();
            let cut = disk.power_cut();
            let again = recording.crash(9, seed, false);
            assert_eq!((again.0.as_slice(), again.1), (disk.certain(), cut));
        }
    }
}
