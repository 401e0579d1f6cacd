//! Layers of a backward pass: parameters whose gradient each call computes.

use std::cell::RefCell;

use crate::error::Result;
use crate::gpu::{Plan, Rows, View};
use crate::kernels::linear::{Blocks, Columns, GradientShape, LinearGradient, SampleGradients};

/// Parameters whose gradient one call of a backward pass computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Rows per sample.
    pub tokens: u32,
    /// Number of inputs and outputs of a linear layer.
    pub linear: Option<[u32; 2]>,
    /// Elements of the two gradients of the call: weights and biases, or scales and shifts.
    pub elements: [u32; 2],
    /// First element of each gradient among all parameters; `None` for a gradient of no parameter.
    pub first: [Option<u64>; 2],
}

impl Layer {
    /// Number of columns of a panel with both gradients.
    pub(super) fn width(&self) -> u32 {
        self.elements[0] + self.elements[1]
    }

    /// Number of leading columns that belong to parameters.
    pub(super) fn columns(&self) -> u32 {
        if self.has_bias() { self.width() } else { self.elements[0] }
    }

    /// Whether the second gradient is one of parameters.
    pub(super) fn has_bias(&self) -> bool {
        self.first[1].is_some()
    }
}

/// List of the layers of a backward pass, which records no kernels for gradients of parameters.
#[derive(Default)]
pub(crate) struct Listener {
    pub layers: RefCell<Vec<Layer>>,
}

impl Listener {
    fn log_selection(&self, rows: &Rows, into: [Option<&View>; 2], elements: [u32; 2], linear: Option<[u32; 2]>) {
        let first = into.map(|view| view.map(|view| view.offset() / 4));
        let tokens = rows.live.as_ref().map_or(1, |live| live.rows_per_item);
        self.layers.borrow_mut().push(Layer { tokens, linear, elements, first });
    }
}

impl SampleGradients for Listener {
    fn linear(&self, _: &mut Plan, layer: &LinearGradient, shape: &GradientShape) -> Result<()> {
        let elements = [shape.inputs * shape.outputs, shape.outputs];
        let into = [Some(&layer.d_weight), layer.d_bias.as_ref()];
        self.log_selection(&shape.rows, into, elements, Some([shape.inputs, shape.outputs]));
        Ok(())
    }

    fn other(&self, _: &mut Plan, columns: &Columns<'_>, _: &Blocks<'_>) -> Result<()> {
        self.log_selection(columns.rows, columns.into, columns.elements, None);
        Ok(())
    }
}
