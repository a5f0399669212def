//! What a live source may deliver.

use crate::frame::CHANNELS;

/// The most pixels that a picture of a live source may have: 12.6 megapixels. A live run holds several pictures at once.
pub const LIVE_PIXELS_MAX: u64 = 12 << 20;
/// The most bytes of such a picture, as the camera gives it or as RGB.
pub const LIVE_BYTES_MAX: usize = (LIVE_PIXELS_MAX as usize) * CHANNELS;
