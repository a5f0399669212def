//! A NOR flash in memory that keeps the rules of one and loses power when it is told to.
//!
//! An erasure sets a sector's bits; a write clears bits, in whole write units that are blank. What
//! breaks a rule is an error. With the operation that [`CutPlan`] names the power goes: an erasure
//! leaves any mixture of old, erased and arbitrary bytes, a write leaves any of its bits unwritten, and
//! nothing works until [`SimulatedNor::power_back`].

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use heapless::Deque;

/// Writes that a flash that lies keeps in its buffer.
const BUFFERED_MAX: usize = 4;

/// When the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutPlan {
    /// Never.
    None,
    /// With this operation (an erased sector, a write), counted from 0 since the power came.
    At(u32),
}

/// What the flash refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimulatedNorError {
    /// Not a multiple of what the flash works in.
    NotAligned,
    /// Past its end.
    OutOfBounds,
    /// A cell was not blank: real flash would hold nonsense now.
    NotBlank,
    /// The power is off.
    Off,
}

impl NorFlashError for SimulatedNorError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            SimulatedNorError::NotAligned => NorFlashErrorKind::NotAligned,
            SimulatedNorError::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            SimulatedNorError::NotBlank | SimulatedNorError::Off => NorFlashErrorKind::Other,
        }
    }
}

/// `BYTES` of flash, erased by `ERASE`, written by `WRITE`.
#[derive(Debug)]
pub struct SimulatedNor<const BYTES: usize, const WRITE: usize, const ERASE: usize> {
    cells: [u8; BYTES],
    plan: CutPlan,
    operations: u32,
    off: bool,
    /// A flash that says it wrote and keeps the last writes in a buffer: the control.
    lies: bool,
    buffered: Deque<(usize, usize), BUFFERED_MAX>,
    random: u64,
}

impl<const BYTES: usize, const WRITE: usize, const ERASE: usize> SimulatedNor<BYTES, WRITE, ERASE> {
    /// As it comes from the factory; `seed` decides what cuts leave.
    pub const fn new(seed: u64) -> Self {
        SimulatedNor {
            cells: [0xff; BYTES],
            plan: CutPlan::None,
            operations: 0,
            off: false,
            lies: false,
            buffered: Deque::new(),
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        }
    }

    /// Blank again, with another seed and without a plan.
    pub fn reset(&mut self, seed: u64) {
        self.cells.fill(0xff);
        self.random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        self.lies = false;
        self.buffered.clear();
        self.power_back(CutPlan::None);
    }

    /// The power is back, and goes again as planned.
    pub fn power_back(&mut self, plan: CutPlan) {
        (self.plan, self.operations, self.off) = (plan, 0, false);
    }

    /// From now on the last writes are lost when the power goes.
    pub fn lie(&mut self) {
        self.lies = true;
    }

    /// Erased sectors and writes since the power came.
    pub fn operations(&self) -> u32 {
        self.operations
    }

    /// True once the planned cut has come.
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// Counts an operation; true if the power goes with it.
    fn goes_off(&mut self) -> Result<bool, SimulatedNorError> {
        if self.off {
            return Err(SimulatedNorError::Off);
        }
        self.off = self.plan == CutPlan::At(self.operations);
        self.operations += 1;
        if self.off && self.lies {
            while let Some((from, to)) = self.buffered.pop_front() {
                self.cells.get_mut(from..to).unwrap_or(&mut []).fill(0xff);
            }
        }
        Ok(self.off)
    }

    fn draw(&mut self) -> u64 {
        // xorshift64*: Marsaglia 2003, Vigna 2016
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 24
    }

    fn checked(from: u32, bytes: usize, unit: usize) -> Result<(usize, usize), SimulatedNorError> {
        let from = from as usize;
        let to = from.checked_add(bytes).filter(|to| *to <= BYTES).ok_or(SimulatedNorError::OutOfBounds)?;
        if from.is_multiple_of(unit) && to.is_multiple_of(unit) {
            Ok((from, to))
        } else {
            Err(SimulatedNorError::NotAligned)
        }
    }
}

impl<const BYTES: usize, const WRITE: usize, const ERASE: usize> ErrorType for SimulatedNor<BYTES, WRITE, ERASE> {
    type Error = SimulatedNorError;
}

impl<const BYTES: usize, const WRITE: usize, const ERASE: usize> ReadNorFlash for SimulatedNor<BYTES, WRITE, ERASE> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimulatedNorError> {
        if self.off {
            return Err(SimulatedNorError::Off);
        }
        let (from, to) = Self::checked(offset, bytes.len(), 1)?;
        bytes.copy_from_slice(self.cells.get(from..to).ok_or(SimulatedNorError::OutOfBounds)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        BYTES
    }
}

impl<const BYTES: usize, const WRITE: usize, const ERASE: usize> NorFlash for SimulatedNor<BYTES, WRITE, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), SimulatedNorError> {
        let bytes = to.checked_sub(from).ok_or(SimulatedNorError::OutOfBounds)? as usize;
        let (from, to) = Self::checked(from, bytes, ERASE)?;
        for sector in (from..to).step_by(ERASE) {
            let cut = self.goes_off()?;
            let (mut old, mut arbitrary) = (0, 0);
            if cut {
                (old, arbitrary) = (self.draw() % 101, self.draw() % 101);
            }
            for at in sector..sector + ERASE {
                let (fate, noise) = if cut { (self.draw() % 100, self.draw()) } else { (100, 0) };
                if let Some(cell) = self.cells.get_mut(at)
                    && fate >= old
                {
                    *cell = if noise % 100 < arbitrary { (noise >> 8) as u8 } else { 0xff };
                }
            }
            if cut {
                return Err(SimulatedNorError::Off);
            }
            self.buffered.clear(); // an erasure is not begun before what was written is
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimulatedNorError> {
        let (from, to) = Self::checked(offset, bytes.len(), WRITE)?;
        if self.cells.get(from..to).is_none_or(|cells| cells.iter().any(|cell| *cell != 0xff)) {
            return Err(if self.off { SimulatedNorError::Off } else { SimulatedNorError::NotBlank });
        }
        let cut = self.goes_off()?;
        let written = if cut { self.draw() as usize % (bytes.len() + 1) } else { bytes.len() };
        for (number, byte) in bytes.iter().enumerate() {
            // behind the place where the power went one cell is half written, the rest is blank
            let unwritten = match number {
                n if n < written => 0,
                n if n < written + WRITE => self.draw() as u8,
                _ => 0xff,
            };
            if let Some(cell) = self.cells.get_mut(from + number) {
                *cell = byte | unwritten;
            }
        }
        if cut {
            return Err(SimulatedNorError::Off);
        }
        if self.lies {
            if self.buffered.is_full() {
                self.buffered.pop_front(); // written at last
            }
            let _ = self.buffered.push_back((from, to)); // there is room
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Nor = SimulatedNor<1024, 4, 256>;

    #[test]
    fn the_rules_are_kept() {
        let mut nor = Nor::new(1);
        nor.write(8, &[1, 2, 3, 4]).unwrap();
        assert_eq!(nor.write(8, &[1, 2, 3, 4]), Err(SimulatedNorError::NotBlank));
        assert_eq!(nor.write(9, &[0; 4]), Err(SimulatedNorError::NotAligned));
        assert_eq!(nor.write(1020, &[0; 8]), Err(SimulatedNorError::OutOfBounds));
        assert_eq!(nor.erase(0, 128), Err(SimulatedNorError::NotAligned));
        nor.erase(0, 256).unwrap();
        nor.write(8, &[5; 4]).unwrap();
        let mut read = [0; 6];
        nor.read(7, &mut read).unwrap();
        assert_eq!(read, [0xff, 5, 5, 5, 5, 0xff]);
    }

    #[test]
    fn the_power_goes_as_planned() {
        let mut nor = Nor::new(2);
        nor.power_back(CutPlan::At(1));
        nor.write(0, &[0; 4]).unwrap();
        assert_eq!(nor.write(4, &[0; 64]), Err(SimulatedNorError::Off));
        assert_eq!(nor.read(0, &mut [0]), Err(SimulatedNorError::Off));
        assert!(nor.is_off());
        nor.power_back(CutPlan::None);
        let mut read = [1; 4];
        nor.read(0, &mut read).unwrap();
        assert_eq!(read, [0; 4]);
    }

    #[test]
    fn a_flash_that_lies_forgets() {
        let mut nor = Nor::new(3);
        nor.lie();
        nor.write(0, &[0; 4]).unwrap();
        nor.power_back(CutPlan::At(0));
        assert!(nor.write(4, &[0; 4]).is_err());
        nor.power_back(CutPlan::None);
        let mut read = [0; 4];
        nor.read(0, &mut read).unwrap();
        assert_eq!(read, [0xff; 4]);
    }
}
