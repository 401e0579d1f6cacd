//! Which parameters a backward pass makes the gradients of, call after call.

use std::cell::RefCell;

use crate::error::Result;
use crate::gpu::{Plan, Rows, View};
use crate::kernels::linear::{Blocks, Columns, GradientShape, LinearGradient, SampleGradients};

/// The parameters that one call makes the gradient of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    /// Rows of a sample.
    pub tokens: u32,
    /// Inputs and outputs, where the layer is linear.
    pub linear: Option<[u32; 2]>,
    /// Elements of the two gradients that the call makes: weights and biases, scales and shifts.
    pub elements: [u32; 2],
    /// Where they begin among all parameters; of the second, `None` where it is none of them.
    pub first: [Option<u64>; 2],
}

impl Layer {
    /// Columns of the Jacobian's panel.
    pub fn width(&self) -> u32 {
        self.elements[0] + self.elements[1]
    }

    /// Those of them that belong to parameters, which are the first.
    pub fn columns(&self) -> u32 {
        if self.has_bias() { self.width() } else { self.elements[0] }
    }

    /// Whether there is a second gradient.
    pub fn has_bias(&self) -> bool {
        self.first[1].is_some()
    }
}

/// Hears which gradients a backward pass makes, and records none of them.
pub(super) struct Listener {
    /// All parameters' gradients.
    pub gradient: View,
    pub layers: RefCell<Vec<Layer>>,
}

impl Listener {
    fn hear(&self, rows: &Rows, into: [&View; 2], elements: [u32; 2], linear: Option<[u32; 2]>) {
        let of_parameters = |view: &View| view.wgpu() == self.gradient.wgpu();
        let first = [0, 1].map(|i| (elements[i] > 0 && of_parameters(into[i])).then(|| into[i].offset() / 4));
        let tokens = rows.live.as_ref().map_or(1, |live| live.rows_per_item);
        self.layers.borrow_mut().push(Layer { tokens, linear, elements, first });
    }
}

impl SampleGradients for Listener {
    fn linear(&self, _: &mut Plan, layer: &LinearGradient, shape: &GradientShape) -> Result<()> {
        let elements = [shape.inputs * shape.outputs, shape.outputs];
        let into = [&layer.d_weight, &layer.d_bias];
        self.hear(&shape.rows, into, elements, Some([shape.inputs, shape.outputs]));
        Ok(())
    }

    fn other(&self, _: &mut Plan, columns: &Columns<'_>, _: &Blocks<'_>) -> Result<()> {
        self.hear(columns.rows, columns.into, columns.elements, None);
        Ok(())
    }
}
