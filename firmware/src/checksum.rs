//! The checksum of all that this crate stores.

use crc::{CRC_32_ISO_HDLC, Crc, Table};

/// CRC-32 (ISO-HDLC).
pub(crate) static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);
