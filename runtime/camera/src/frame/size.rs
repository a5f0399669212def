//! The size of a frame: what it may be, and what it takes.

use thiserror::Error;

/// The most pixels that a frame may have (64 Mpx, 192 MiB of RGB).
pub const PIXELS_MAX: u64 = 64 * 1024 * 1024;

/// Bytes a pixel.
pub const CHANNELS: usize = 3;

/// Why a frame could not take a size.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum FrameError {
    /// A side is zero.
    #[error("a frame of {width}x{height} has no pixels; check the source's size")]
    NoPixels {
        /// Width asked for, in pixels.
        width: u32,
        /// Height asked for, in pixels.
        height: u32,
    },
    /// More pixels than [`PIXELS_MAX`].
    #[error("a frame of {width}x{height} exceeds {PIXELS_MAX} pixels; scale the picture down")]
    TooLarge {
        /// Width asked for, in pixels.
        width: u32,
        /// Height asked for, in pixels.
        height: u32,
    },
    /// The allocator said no.
    #[error("no memory for a frame of {width}x{height} ({bytes} bytes); use a smaller picture or fewer buffers")]
    OutOfMemory {
        /// Width asked for, in pixels.
        width: u32,
        /// Height asked for, in pixels.
        height: u32,
        /// Bytes that were missing.
        bytes: usize,
    },
    /// The rows of a raw picture cannot lie as stated.
    #[error(
        "a row of {width} pixels has {row_bytes} bytes and cannot lie {stride} bytes from the next; another size may do"
    )]
    Stride {
        /// Bytes from one row to the next, as stated.
        stride: usize,
        /// Bytes that a row needs.
        row_bytes: usize,
        /// Width in pixels.
        width: u32,
    },
}

/// The bytes of an RGB frame of `width` by `height` pixels, if such a frame may exist.
///
/// # Errors
/// [`FrameError::NoPixels`] if a side is zero, [`FrameError::TooLarge`] above [`PIXELS_MAX`].
pub fn rgb_bytes(width: u32, height: u32) -> Result<usize, FrameError> {
    if width == 0 || height == 0 {
        return Err(FrameError::NoPixels { width, height });
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > PIXELS_MAX {
        return Err(FrameError::TooLarge { width, height });
    }
    // PIXELS_MAX * 3 fits 32 bits, so the product fits any usize that lapwing runs on.
    Ok(pixels as usize * CHANNELS)
}
