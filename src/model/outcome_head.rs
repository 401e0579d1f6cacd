//! From a row's features to the logits of a patch's outcomes: `lin.0`, relu, `lin.2`.
//!
//! ```text
//! logits = W_b relu(W_a x + b_a) + b_b        W_a (C, C), W_b (V, C)
//! ```

use super::affine::{Affine, Find, Places, Reversed, linear, product};
use super::transformer::Place;
use super::{ParameterSpec, Parameters};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::{Activation, Extra, LinearShape};

/// Its parameters.
#[derive(Debug, Clone)]
pub(super) struct HeadViews {
    hidden: Affine,
    out: Affine,
}

/// The head on a device.
pub(super) struct OutcomeHead {
    pub places: Places<HeadViews>,
    /// C
    width: u32,
    /// V
    outcomes: u32,
}

/// What the pass with gradient keeps.
pub(super) struct HeadTraining {
    /// (rows, C)
    hidden: Buffer,
    /// (rows, V)
    pub logits: Buffer,
}

impl OutcomeHead {
    pub fn specs(width: usize, outcomes: usize) -> Vec<ParameterSpec> {
        [linear("lin.0", width, width), linear("lin.2", outcomes, width)].concat()
    }

    pub fn new(parameters: &Parameters, prefix: &str, [width, outcomes]: [u32; 2]) -> Result<Self> {
        let views =
            |find: &Find<'_>| Ok(HeadViews { hidden: Affine::find(find, "lin.0")?, out: Affine::find(find, "lin.2")? });
        Ok(Self { places: Places::new(parameters, prefix, views)?, width, outcomes })
    }

    /// The logits of rows of `x`; `hidden` is scratch, (rows, C).
    pub fn record(
        &self,
        plan: &mut Plan,
        views: &HeadViews,
        [x, hidden, logits]: [&View; 3],
        rows: &Rows,
        place: Place,
    ) -> Result<()> {
        let (c, v) = (self.width, self.outcomes);
        let into = LinearShape::forward(rows.clone(), c, c).activated(Activation::Relu);
        product(x, &views.hidden, Extra::None, hidden).record(plan, &into)?;
        let out =
            LinearShape { y_stride: place.stride, y_first: place.first, ..LinearShape::forward(rows.clone(), c, v) };
        product(hidden, &views.out, Extra::None, logits).record(plan, &out)
    }
}

impl HeadTraining {
    /// Elements for each row, and of the wider buffer.
    pub fn needs([width, outcomes]: [u32; 2]) -> [u64; 2] {
        let [c, v] = [width, outcomes].map(u64::from);
        [c + v, c.max(v)]
    }

    /// Elements of a block of the widest weight with its bias.
    pub fn part_width([width, outcomes]: [u32; 2]) -> u64 {
        let [c, v] = [width, outcomes].map(u64::from);
        (c + 1) * c.max(v)
    }

    pub fn new(gpu: &Gpu, [width, outcomes]: [u32; 2], rows: u32) -> Result<Self> {
        let buffer = |name: &str, width: u32| gpu.buffer(name, u64::from(rows) * u64::from(width));
        Ok(Self { hidden: buffer("ketformer.head.hidden", width)?, logits: buffer("ketformer.head.logits", outcomes)? })
    }

    pub fn forward(&self, head: &OutcomeHead, plan: &mut Plan, x: &View, rows: &Rows) -> Result<()> {
        head.record(plan, &head.places.values, [x, &self.hidden, &self.logits], rows, Place::SAME)
    }

    /// From the gradient that stands in the logits to that of `x` in `d_x`; `d_hidden` is scratch, (rows, C).
    pub fn backward(
        &self,
        head: &OutcomeHead,
        plan: &mut Plan,
        reversed: &Reversed<'_>,
        [x, d_hidden, d_x]: [&View; 3],
    ) -> Result<()> {
        let (c, v) = (head.width, head.outcomes);
        let Places { values, gradients, .. } = &head.places;
        reversed.gradient(plan, &self.hidden, &self.logits, [c, v], &gradients.out)?;
        let slope = (Extra::Slope(self.hidden.view()), Activation::Relu);
        reversed.product(plan, &self.logits, &values.out, slope, d_hidden, [v, c])?;
        reversed.gradient(plan, x, d_hidden, [c, c], &gradients.hidden)?;
        reversed.product(plan, d_hidden, &values.hidden, (Extra::None, Activation::None), d_x, [c, c])
    }
}
