//! What a rule is told: how sure it must be, how long it holds, and how long it may go without a frame.

use core::fmt;

pub use crate::limits::TIME_MS_MAX;

/// When a rule fires and releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleConfig {
    /// Objects that must match in a frame; at least 1.
    pub count_min: u16,
    /// Consecutive frames in which they must; at least 1.
    pub confirm_frames: u16,
    /// The rule stays active at least this long after the last match, and then until a frame without a match, in
    /// milliseconds.
    pub hold_ms: u32,
    /// After its release it cannot fire for this long, in milliseconds.
    pub cooldown_ms: u32,
    /// 0: the output is on while the rule is active; else at most this long, in milliseconds.
    pub pulse_ms: u32,
    /// Without a frame for this long the output takes its safe level, in milliseconds; at least 1.
    pub stall_ms: u32,
}

impl Default for RuleConfig {
    fn default() -> Self {
        RuleConfig { count_min: 1, confirm_frames: 1, hold_ms: 800, cooldown_ms: 0, pulse_ms: 0, stall_ms: 2000 }
    }
}

/// Why a configuration is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleError {
    /// The named field must be at least 1.
    Zero(&'static str),
    /// The named field exceeds [`TIME_MS_MAX`].
    TooLong(&'static str, u32),
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleError::Zero(field) => write!(f, "{field} is 0: give at least 1"),
            RuleError::TooLong(field, value) => write!(f, "{field} is {value}: give at most {TIME_MS_MAX} (a day)"),
        }
    }
}

impl core::error::Error for RuleError {}

impl RuleConfig {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`RuleError`] names the field.
    pub fn validate(&self) -> Result<(), RuleError> {
        for (field, value) in [("count_min", self.count_min), ("confirm_frames", self.confirm_frames)] {
            if value == 0 {
                return Err(RuleError::Zero(field));
            }
        }
        if self.stall_ms == 0 {
            return Err(RuleError::Zero("stall_ms"));
        }
        let times = [
            ("hold_ms", self.hold_ms),
            ("cooldown_ms", self.cooldown_ms),
            ("pulse_ms", self.pulse_ms),
            ("stall_ms", self.stall_ms),
        ];
        times.into_iter().find(|(_, value)| *value > TIME_MS_MAX).map_or(Ok(()), |(f, v)| Err(RuleError::TooLong(f, v)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_configurations_are_named() {
        let good = RuleConfig::default();
        assert_eq!(RuleConfig { count_min: 0, ..good }.validate(), Err(RuleError::Zero("count_min")));
        assert_eq!(RuleConfig { stall_ms: 0, ..good }.validate(), Err(RuleError::Zero("stall_ms")));
        assert_eq!(RuleConfig { hold_ms: u32::MAX, ..good }.validate(), Err(RuleError::TooLong("hold_ms", u32::MAX)));
    }
}
