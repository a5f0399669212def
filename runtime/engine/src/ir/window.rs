//! A window that slides over a tensor.

use serde::{Deserialize, Serialize};

/// Geometry of a sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Step down and to the right.
    pub stride: [usize; 2],
    /// Distance of neighbouring taps.
    pub dilation: [usize; 2],
    /// Rows and columns added at the top, left, bottom and right.
    pub pad: [usize; 4],
}

impl Window {
    /// Height and width of the output; `None` if the window does not fit once.
    pub fn output(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        let extent = |axis: usize, size: usize| {
            let reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
            let padded = size + self.pad[axis] + self.pad[axis + 2];
            Some(padded.checked_sub(reach)? / self.stride[axis] + 1)
        };
        Some((extent(0, height)?, extent(1, width)?))
    }

    pub(super) fn valid(&self) -> bool {
        let sane = |n: usize| (1..=256).contains(&n);
        self.kernel.iter().chain(&self.stride).chain(&self.dilation).all(|&n| sane(n))
            && self.pad.iter().all(|&n| n <= 256)
    }
}
