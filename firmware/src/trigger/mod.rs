//! From what a frame shows to a level on a line.
//!
//! [`Rule`] decides (a state machine over counts and time), [`Output`] drives (a line with a safe
//! level). Neither waits and neither knows what an object is.

mod output;
mod rule;
mod simulated;

pub use output::{Edge, Output, OutputWish, Polarity};
pub use rule::{Rule, RuleConfig, RuleError, State, Step, Transition};
pub use simulated::{EDGES_MAX, SimulatedError, SimulatedPin};
