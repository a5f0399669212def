//! From what a frame shows to a level on a line.
//!
//! [`Rule`] decides (a state machine over counts and time), [`Output`] drives (a line with a safe
//! level), [`Debouncer`] cleans what an input says. None waits and none knows what an object is.

mod debounce;
mod output;
mod rule;
mod rule_config;
mod simulated;

pub use debounce::{DebouncedPin, Debouncer};
pub use output::{Edge, Output, OutputWish, Polarity};
pub use rule::{Rule, State, Step, Transition};
pub use rule_config::{RuleConfig, RuleError, TIME_MS_MAX};
pub use simulated::{EDGES_MAX, SimulatedError, SimulatedPin};
