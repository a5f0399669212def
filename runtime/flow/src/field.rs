//! A network as a sampler sees it: pictures side by side in one state, each with its label; f64
//! outside, f32 inside.

use super::FlowError;
use super::guidance::Conditional;
use super::network::{Asked, VelocityNetwork, whole_context};
use super::samplers::Velocity;

/// The velocity of whole pictures, one label each.
pub struct Field<'a> {
    network: &'a mut dyn VelocityNetwork,
    labels: &'a [usize],
    /// Numbers of the pictures, those of one label together.
    order: Vec<usize>,
    jump: bool,
    context: Vec<f32>,
    x: Vec<f32>,
    v: Vec<f32>,
}

impl<'a> Field<'a> {
    /// Pictures of `labels`; `jump` as in [`Asked`].
    pub fn new(network: &'a mut dyn VelocityNetwork, labels: &'a [usize], jump: bool) -> Field<'a> {
        let context = whole_context(network.manifest());
        let values = network.manifest().values();
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by_key(|&i| labels[i]);
        Field { network, labels, order, jump, context, x: vec![0.0; values], v: vec![0.0; values] }
    }

    /// The velocity with other labels; `None` for a picture's own.
    ///
    /// # Errors
    /// The network's.
    pub fn with_label(&mut self, label: Option<usize>, x: &[f64], t: f64, v: &mut [f64]) -> Result<(), FlowError> {
        let values = self.x.len();
        if x.len() != values * self.labels.len() || v.len() != x.len() {
            return Err(FlowError::Size { name: "x", found: x.len(), expected: values * self.labels.len() });
        }
        for &picture in &self.order {
            let part = picture * values..(picture + 1) * values;
            self.x.iter_mut().zip(&x[part.clone()]).for_each(|(to, &from)| *to = from as f32);
            let asked = Asked { t, label: label.unwrap_or(self.labels[picture]), jump: self.jump };
            self.network.velocity(&self.x, &self.context, asked, &mut self.v)?;
            v[part].iter_mut().zip(&self.v).for_each(|(to, &from)| *to = f64::from(from));
        }
        Ok(())
    }
}

impl Velocity for Field<'_> {
    fn velocity(&mut self, x: &[f64], t: f64, v: &mut [f64]) -> Result<(), FlowError> {
        self.with_label(None, x, t, v)
    }
}

impl Conditional for Field<'_> {
    fn without(&mut self, x: &[f64], t: f64, v: &mut [f64]) -> Result<(), FlowError> {
        let null = self.network.manifest().condition.null_label;
        self.with_label(Some(null), x, t, v)
    }
}
