//! A network as a sampler sees it: fixed label, mode and context; f64 outside, f32 inside.

use super::FlowError;
use super::network::{Asked, Network, context_values, unknown};
use super::samplers::Velocity;

/// The velocity of one network for one label.
pub struct Field<'a> {
    network: &'a mut dyn Network,
    label: usize,
    jump: bool,
    context: Vec<f32>,
    x: Vec<f32>,
    v: Vec<f32>,
}

impl<'a> Field<'a> {
    /// Whole pictures of `label`; `jump` as in [`Asked`].
    pub fn new(network: &'a mut dyn Network, label: usize, jump: bool) -> Field<'a> {
        let mut context = vec![0.0; context_values(network.manifest())];
        unknown(&mut context);
        let values = network.manifest().values();
        Field { network, label, jump, context, x: vec![0.0; values], v: vec![0.0; values] }
    }

    /// The velocity with label `label`, whatever the field's own is.
    ///
    /// # Errors
    /// The network's.
    pub fn with_label(&mut self, label: usize, x: &[f64], t: f64, v: &mut [f64]) -> Result<(), FlowError> {
        if x.len() != self.x.len() {
            return Err(FlowError::Size { name: "x", found: x.len(), expected: self.x.len() });
        }
        self.x.iter_mut().zip(x).for_each(|(to, &from)| *to = from as f32);
        self.network.velocity(&self.x, &self.context, Asked { t, label, jump: self.jump }, &mut self.v)?;
        v.iter_mut().zip(&self.v).for_each(|(to, &from)| *to = f64::from(from));
        Ok(())
    }
}

impl Velocity for Field<'_> {
    fn velocity(&mut self, x: &[f64], t: f64, v: &mut [f64]) -> Result<(), FlowError> {
        self.with_label(self.label, x, t, v)
    }
}
