//! The requests that a disk was given, kept to be given again.

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
    pub(super) before: Vec<u8>,
    pub(super) unit_bytes: usize,
    pub(super) requests: Vec<Request>,
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
}
