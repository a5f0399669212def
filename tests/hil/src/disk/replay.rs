//! The power cut again, offline: the requests of a recorded run, up to any one of them, on a fresh
//! disk. One run on the board gives as many crashed disks as it made requests, times as many as
//! there are seeds.

use super::cache::{Cut, Disk};

pub use super::recording::{Recording, Request};

impl Recording {
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
