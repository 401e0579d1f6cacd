//! Feed-forward part of a transformer layer, and its backward pass.
//!
//! ```text
//! sum = residual + W_2 act(W_1 x + b_1) + b_2        W_1 (F, C), W_2 (C, F)
//! ```
//!
//! In post-norm layers the part includes the norm of the sum.

use super::affine::{Affine, BackwardContext, norm, product};
use crate::error::Result;
use crate::gpu::{Gpu, Plan, Rows, View};
use crate::kernels::linear::{Activate, Activation, Extra, LinearShape};
use crate::kernels::nn::feed_forward::{FeedForward, FeedForwardShape};
use crate::kernels::nn::feed_forward_slices::{NormAfter, SlicedFeedForward};
use crate::kernels::nn::norm::NormShape;
use crate::kernels::nn::{feed_forward, feed_forward_slices};

/// Storage of the hidden layer in a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hidden {
    /// On chip, in subgroups with this number of lanes.
    OnChip(u32),
    /// In memory, this number of rows at a time.
    Windows(u32),
    /// On chip, by slices whose partial sums are in memory: number of slices, and rows at a time.
    Slices(u32, u32),
    /// In memory, kept for the gradient.
    Kept,
}

impl Hidden {
    /// Storage in inference passes, with room for `rows` rows if the hidden layer does not stay on chip.
    pub(crate) fn not_kept(gpu: &Gpu, width: u32, hidden: u32, rows: u32) -> Self {
        feed_forward::lanes(gpu, width, hidden).map_or(Self::Windows(rows), Self::OnChip)
    }

    /// Storage in inference passes over many rows, which need no more memory than [`Hidden::not_kept`].
    pub(crate) fn of_many_rows(gpu: &Gpu, width: u32, hidden: u32, rows: u32) -> Self {
        match (Self::not_kept(gpu, width, hidden, rows), feed_forward_slices::slices(gpu, width, hidden)) {
            (Self::Windows(rows), Some(slices)) => Self::Slices(slices, rows * (hidden / (slices * width))),
            (other, _) => other,
        }
    }

    /// Elements in memory for each row of such passes; 0 if the hidden layer stays on chip.
    pub(crate) fn elements(gpu: &Gpu, width: u32, hidden: u32) -> u64 {
        match Self::not_kept(gpu, width, hidden, 0) {
            Self::OnChip(_) => 0,
            _ => hidden.into(),
        }
    }
}

/// Operands of the feed-forward part.
pub(crate) struct FeedForwardRows<'a> {
    /// (rows, C)
    pub x: &'a View,
    /// (rows, C)
    pub residual: &'a View,
    /// (rows, F), or as many rows as fit
    pub hidden: &'a View,
    /// (rows, F): activation of the hidden layer, if `hidden` is kept without it
    pub activated: Option<&'a View>,
    /// (rows, C); only scratch if `norm` is given and no gradient follows
    pub sum: &'a View,
    /// Norm of the sum.
    pub norm: Option<NormOfSum<'a>>,
}

/// Operands of the norm after the feed-forward part.
pub(crate) struct NormOfSum<'a> {
    pub affine: &'a Affine,
    /// (rows, C)
    pub y: &'a View,
    /// (rows, 2); only scratch if no gradient follows
    pub stats: &'a View,
}

impl FeedForwardRows<'_> {
    /// Records the part.
    pub(crate) fn record(
        &self,
        plan: &mut Plan,
        linears: [&Affine; 2],
        shape: &FeedForwardShape,
        hidden: Hidden,
    ) -> Result<()> {
        self.record_layers(plan, linears, shape, hidden)?;
        match (&self.norm, hidden) {
            (None, _) | (_, Hidden::Slices(..)) => Ok(()),
            (Some(NormOfSum { affine, y, stats }), _) => {
                norm(plan, self.sum, affine, [y, stats], &NormShape::new(shape.rows.clone(), shape.width))
            }
        }
    }

    /// Records the layers; with [`Hidden::Slices`] also the norm.
    fn record_layers(
        &self,
        plan: &mut Plan,
        [linear1, linear2]: [&Affine; 2],
        shape: &FeedForwardShape,
        hidden: Hidden,
    ) -> Result<()> {
        let fused = |x: &View, residual: &View, y: &View| FeedForward {
            x: x.clone(),
            residual: residual.clone(),
            weight1: linear1.weight.clone(),
            bias1: linear1.bias.clone(),
            weight2: linear2.weight.clone(),
            bias2: linear2.bias.clone(),
            y: y.clone(),
        };
        let window_rows = match hidden {
            Hidden::OnChip(lanes) => return fused(self.x, self.residual, self.sum).record(plan, shape, lanes),
            Hidden::Windows(rows) | Hidden::Slices(_, rows) => rows,
            Hidden::Kept => shape.rows.capacity,
        };
        let (rows, c, f, activation) = (&shape.rows, shape.width, shape.hidden, shape.activation);
        let mut first = 0;
        while first < rows.capacity {
            let (window, start) = (rows.window(first, window_rows), first);
            first += window.capacity;
            let part = |view: &View| {
                let elements = u64::from(window.capacity) * u64::from(c);
                view.range(view.label(), u64::from(start) * u64::from(c), elements)
            };
            let (x, residual, sum) = (part(self.x)?, part(self.residual)?, part(self.sum)?);
            if let Hidden::Slices(slices, _) = hidden {
                let (y, norm) = match &self.norm {
                    None => (sum, None),
                    Some(NormOfSum { affine: Affine { weight, bias }, y, .. }) => {
                        (part(y)?, Some(NormAfter { gamma: weight.clone(), beta: bias.clone() }))
                    }
                };
                let layers = fused(&x, &residual, &y);
                let sliced = SlicedFeedForward { layers, part: self.hidden.clone(), norm };
                sliced.record(plan, &FeedForwardShape { rows: window, ..shape.clone() }, slices)?;
                continue;
            }
            let into = product(&x, linear1, Extra::None, self.hidden);
            let shape = LinearShape::forward(window.clone(), c, f);
            match self.activated {
                None => into.record(plan, &shape.activated(activation))?,
                Some(_) => into.record(plan, &shape)?,
            }
            let activated = activated(plan, self.hidden, self.activated, &window, (f, activation))?;
            let back = product(activated, linear2, Extra::Add(residual), &sum);
            back.record(plan, &LinearShape::forward(window, f, c))?;
        }
        Ok(())
    }
}

/// Activations of the feed-forward part that a training pass kept, and the scratch of its gradient.
pub(crate) struct FeedForwardKept<'a> {
    /// (rows, C): input of the part
    pub x: &'a View,
    /// (rows, F)
    pub hidden: &'a View,
    /// (rows, F): activation of the hidden layer, recomputed if `hidden` was kept without it
    pub activated: Option<&'a View>,
    /// (rows, F): gradient of the hidden layer before its activation
    pub d_hidden: &'a View,
}

impl FeedForwardKept<'_> {
    /// Records the gradients of the parameters and of the hidden layer from the gradient `d_sum` of the output.
    pub(crate) fn backward(
        &self,
        plan: &mut Plan,
        reversed: &BackwardContext<'_>,
        linear2: &Affine,
        [d_linear1, d_linear2]: [&Affine; 2],
        d_sum: &View,
        ([c, f], activation): ([u32; 2], Activation),
    ) -> Result<()> {
        let activated = activated(plan, self.hidden, self.activated, reversed.rows, (f, activation))?;
        reversed.gradient(plan, activated, d_sum, [f, c], d_linear2)?;
        let slope = (Extra::Slope(self.hidden.clone()), activation);
        reversed.product(plan, d_sum, linear2, slope, self.d_hidden, [c, f])?;
        reversed.gradient(plan, self.x, self.d_hidden, [c, f], d_linear1)
    }
}

/// Returns `hidden` (rows, F) after its activation: `hidden` itself, or `activated` computed from it.
fn activated<'a>(
    plan: &mut Plan,
    hidden: &'a View,
    activated: Option<&'a View>,
    rows: &Rows,
    (f, activation): (u32, Activation),
) -> Result<&'a View> {
    let Some(activated) = activated else { return Ok(hidden) };
    Activate { x: hidden.clone(), y: activated.clone() }.record(plan, rows, f, activation)?;
    Ok(activated)
}
