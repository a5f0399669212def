//! A plan whose numbers change while it stays packed.

use super::ir::{Checked, Graph, QuantParams};
use super::kernels::Kernels;
use super::plan::Plan;

/// A plan and the graph whose numbers it has.
pub struct Refittable {
    graph: Checked<Graph>,
    plan: Plan,
}

impl Refittable {
    /// As [`Plan::new`]; keeps the graph.
    ///
    /// # Errors
    /// As for [`Plan::new`].
    pub fn new(graph: Checked<Graph>, kernels: &'static Kernels, threads: usize) -> Result<Refittable, String> {
        let plan = Plan::new(&graph, kernels, threads)?;
        Ok(Refittable { graph, plan })
    }

    /// Takes other numbers: `change` is given those of the graph, and what was packed follows them, in
    /// place. The layout, the weights and the threads stay; nothing is allocated unless the graph is
    /// shared. After an error the plan is gone.
    ///
    /// # Errors
    /// Those of `change`, or the node and what is wrong with its numbers.
    pub fn refitted(
        mut self,
        change: impl FnOnce(&mut QuantParams<'_>) -> Result<(), String>,
    ) -> Result<Refittable, String> {
        change(&mut self.graph.numbers())?;
        self.plan.set_params(&self.graph)?;
        Ok(self)
    }

    /// The graph as it is now.
    pub fn graph(&self) -> &Checked<Graph> {
        &self.graph
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The plan, to be run.
    pub fn plan_mut(&mut self) -> &mut Plan {
        &mut self.plan
    }
}
