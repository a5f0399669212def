//! What `lapwing doctor` finds: one line for each thing that it looked at, and the cure.

use serde::Serialize;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub what: &'static str,
    pub state: State,
    pub found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Good,
    /// Works, but not as it could.
    Note,
    /// Will not work.
    Bad,
}

impl Finding {
    pub fn good(what: &'static str, found: impl Into<String>) -> Finding {
        Finding { what, state: State::Good, found: found.into(), cure: None }
    }

    pub fn note(what: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding { what, state: State::Note, found: found.into(), cure: Some(cure.into()) }
    }

    pub fn bad(what: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding { what, state: State::Bad, found: found.into(), cure: Some(cure.into()) }
    }
}
