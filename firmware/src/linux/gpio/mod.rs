//! Lines of Linux' GPIO character device.
//!
//! | file | noun |
//! |---|---|
//! | `line` | a line's address, and what is known of it |
//! | `chips` | the chips of this board |
//! | [`output`] | a line that is driven, behind [`embedded_hal::digital::OutputPin`] |
//! | [`input`] | a line whose edges the kernel stamps and debounces |
//! | [`error`] | what can go wrong, and the cure |
//!
//! A line belongs to the process that asked for it; the kernel takes it back when that process ends, however it ends.
//! What the level is then is the controller's: see [`output`].

mod chips;
pub mod error;
pub mod input;
mod line;
pub mod output;

pub use chips::{CHIPS_MAX, ChipInfo, LINES_MAX, chip_info, chip_paths, find, line_info};
pub use error::GpioError;
pub use input::{Bias, InputEdge, InputLine, InputOptions};
pub use line::{CONSUMER, LineAddress, LineId, LineInfo};
pub use output::OutputLine;
