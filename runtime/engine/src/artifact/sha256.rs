//! SHA-256 as people read it.

use sha2::{Digest, Sha256};

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// What SHA-256 `bytes` have, if it is another than the one that is stated, in digits of either case.
pub fn other_sha256(bytes: &[u8], stated: &str) -> Option<String> {
    let found = sha256_hex(bytes);
    (!stated.eq_ignore_ascii_case(&found)).then_some(found)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
