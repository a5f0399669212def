//! What the operator asks of a camera.

use super::controls::Settings;
use super::fourcc::FourCc;

/// `[camera]` in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraOptions {
    /// The format; `None`: the first in [`super::fourcc::USABLE`] that is fast enough.
    pub format: Option<FourCc>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
    /// Buffers that go round, 2 to [`super::driver::BUFFERS_MAX`].
    pub buffers: u32,
    /// Without a whole picture for so long the stream is built anew, in milliseconds.
    pub timeout_ms: u32,
    /// What is set on it.
    pub settings: Settings,
}

impl Default for CameraOptions {
    fn default() -> Self {
        let settings = Settings::default();
        CameraOptions { format: None, width: 640, height: 480, fps: 15, buffers: 4, timeout_ms: 3000, settings }
    }
}
