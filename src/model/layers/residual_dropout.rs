//! Dropout of a pre-norm transformer in training, as in GPT-2: of the embedded rows, of the attention probabilities, and of
//! what each part of a layer adds to the residual stream.

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::attention::AttentionDropout;
use crate::kernels::nn::dropout::{Dropout, DropoutShape};

/// A dropout of a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    Attention = 1,
    FeedForward = 2,
}

/// Dropout of a training pass over rows of width C.
pub(crate) struct ResidualDropout {
    /// Probability that an element becomes 0.
    pub rate: f32,
    /// (4) u32: seed (2) and number of the batch
    pub step: View,
    /// (rows, C): output of a part, or its gradient
    dropped: Buffer,
    /// (rows, C) zeros: residual of a part whose output is dropped before it is added
    zeros: Buffer,
    elements: u64,
}

impl ResidualDropout {
    pub(crate) fn new(gpu: &Gpu, rate: f32, step: View, elements: u64) -> Result<Self> {
        let buffer = |name: &str| gpu.buffer(&format!("ketformer.dropout.{name}"), elements);
        Ok(Self { rate, step, dropped: buffer("dropped")?, zeros: buffer("zeros")?, elements })
    }

    /// Buffer for the output of a part.
    pub(crate) fn output(&self) -> View {
        self.dropped.view()
    }

    /// Residual of such an output.
    pub(crate) fn no_residual(&self) -> View {
        self.zeros.view()
    }

    /// Dropout of the attention probabilities of layer `k`. Each layer has three sites; that of the embedded rows is 0.
    pub(crate) fn of_attention(&self, k: usize) -> AttentionDropout {
        AttentionDropout { step: self.step.clone(), rate: self.rate, site: 1 + 3 * k as u32, first_sample: 0 }
    }

    fn record(&self, plan: &mut Plan, site: u32, [x, y]: [&View; 2], residual: Option<&View>) -> Result<()> {
        let dropout = Dropout { x: x.clone(), residual: residual.cloned(), step: self.step.clone(), y: y.clone() };
        dropout.record(plan, &DropoutShape { elements: self.elements, rate: self.rate, site, first: 0 })
    }

    /// Records the dropout of the embedded rows, or of their gradient, in place.
    pub(crate) fn embedded(&self, plan: &mut Plan, x: &View) -> Result<()> {
        self.record(plan, 0, [x, x], None)
    }

    fn site(k: usize, part: Part) -> u32 {
        1 + 3 * k as u32 + part as u32
    }

    /// Records y = residual + the dropped output of a part of layer `k`.
    pub(crate) fn add(&self, plan: &mut Plan, k: usize, part: Part, residual: &View, y: &View) -> Result<()> {
        self.record(plan, Self::site(k, part), [&self.dropped, y], Some(residual))
    }

    /// Records the gradient of the output of a part from that of the sum, and returns it.
    pub(crate) fn gradient(&self, plan: &mut Plan, k: usize, part: Part, d_y: &View) -> Result<View> {
        self.record(plan, Self::site(k, part), [d_y, &self.dropped], None)?;
        Ok(self.output())
    }
}
