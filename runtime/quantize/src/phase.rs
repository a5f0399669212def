//! Where the work stands, for whoever waits for it.

/// Where the work stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// What is being done.
    pub name: &'static str,
    /// Steps done.
    pub done: usize,
    /// Of so many.
    pub of: usize,
}

/// Who hears of every step.
pub(super) type Told<'a> = &'a mut dyn FnMut(Phase);
