//! A graph that was checked, shared by all who run it.

use std::ops::Deref;
use std::sync::Arc;

use super::{Graph, QuantParams};

/// Having one means that [`Graph::check`] passed: every shape follows from the inputs', every value
/// is written once before it is read, every sum fits its type. Clones share one graph, whose
/// structure no longer changes; its numbers only change in the hands of a plan, which checks them.
#[derive(Debug, PartialEq)]
pub struct Checked<T>(Arc<T>);

impl Checked<Graph> {
    /// Checks a graph.
    ///
    /// # Errors
    /// The node and what is wrong with it.
    pub fn new(graph: Graph) -> Result<Checked<Graph>, String> {
        graph.check()?;
        Ok(Checked(Arc::new(graph)))
    }

    /// The numbers, to be changed; a graph that others share is copied first. They are not checked
    /// again: who changes them answers for them, as [`super::super::refit::Refittable::refitted`] does.
    pub(in super::super) fn numbers(&mut self) -> QuantParams<'_> {
        Arc::make_mut(&mut self.0).numbers()
    }

    /// True if both are the same graph in memory.
    pub fn is(&self, other: &Checked<Graph>) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Clone for Checked<T> {
    fn clone(&self) -> Checked<T> {
        Checked(Arc::clone(&self.0))
    }
}

impl<T> Deref for Checked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
