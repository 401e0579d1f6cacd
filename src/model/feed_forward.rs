//! The feed-forward part of a transformer's layer, and the same reversed.
//!
//! ```text
//! sum = residual + W_2 act(W_1 x + b_1) + b_2        W_1 (F, C), W_2 (C, F)
//! ```

use super::affine::{Affine, Reversed, product};
use crate::error::Result;
use crate::gpu::{Gpu, Plan, Rows, View};
use crate::kernels::feed_forward::{self, FeedForward, FeedForwardShape};
use crate::kernels::linear::{Activate, Activation, Extra, LinearShape};

/// How the hidden layer of a pass is computed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hidden {
    /// On chip, by subgroups of so many lanes.
    OnChip(u32),
    /// In memory, so many rows at a time.
    Windows(u32),
    /// In memory, kept for the gradient.
    Kept,
}

impl Hidden {
    /// Of passes that keep nothing, with room for `rows` rows of it where it does not stay on chip.
    pub fn not_kept(gpu: &Gpu, width: u32, hidden: u32, rows: u32) -> Self {
        feed_forward::lanes(gpu, width, hidden).map_or(Self::Windows(rows), Self::OnChip)
    }

    /// Elements in memory of each row in such passes, 0 where it stays on chip.
    pub fn elements(gpu: &Gpu, width: u32, hidden: u32) -> u64 {
        match Self::not_kept(gpu, width, hidden, 0) {
            Self::OnChip(_) => 0,
            _ => hidden.into(),
        }
    }
}

/// What the part reads and makes.
pub(super) struct FeedForwardRows<'a> {
    /// (rows, C)
    pub x: &'a View,
    /// (rows, C)
    pub residual: &'a View,
    /// (rows, F), or of as many as fit
    pub hidden: &'a View,
    /// (rows, F), the hidden layer's activation where `hidden` is kept without it
    pub activated: Option<&'a View>,
    /// (rows, C)
    pub sum: &'a View,
}

impl FeedForwardRows<'_> {
    /// Records the part.
    pub fn record(
        &self,
        plan: &mut Plan,
        [linear1, linear2]: [&Affine; 2],
        shape: &FeedForwardShape,
        hidden: Hidden,
    ) -> Result<()> {
        let window_rows = match hidden {
            Hidden::OnChip(lanes) => {
                let feed_forward = FeedForward {
                    x: self.x.clone(),
                    residual: self.residual.clone(),
                    weight1: linear1.weight.clone(),
                    bias1: linear1.bias.clone(),
                    weight2: linear2.weight.clone(),
                    bias2: linear2.bias.clone(),
                    y: self.sum.clone(),
                };
                return feed_forward.record(plan, shape, lanes);
            }
            Hidden::Windows(rows) => rows,
            Hidden::Kept => shape.rows.most,
        };
        let (rows, c, f, activation) = (&shape.rows, shape.width, shape.hidden, shape.activation);
        let mut first = 0;
        while first < rows.most {
            let window = rows.window(first, window_rows);
            let part = |view: &View| {
                let elements = u64::from(window.most) * u64::from(c);
                view.range(view.label(), u64::from(first) * u64::from(c), elements)
            };
            let (x, residual, sum) = (part(self.x)?, part(self.residual)?, part(self.sum)?);
            let into = product(&x, linear1, Extra::None, self.hidden);
            let shape = LinearShape::forward(window.clone(), c, f);
            match self.activated {
                None => into.record(plan, &shape.activated(activation))?,
                Some(_) => into.record(plan, &shape)?,
            }
            let activated = activated(plan, self.hidden, self.activated, &window, (f, activation))?;
            let back = product(activated, linear2, Extra::Add(residual), &sum);
            back.record(plan, &LinearShape::forward(window.clone(), f, c))?;
            first += window.most;
        }
        Ok(())
    }
}

/// What a pass with gradient kept of the part, and the scratch of its gradient.
pub(super) struct FeedForwardKept<'a> {
    /// (rows, C), what the part read
    pub x: &'a View,
    /// (rows, F)
    pub hidden: &'a View,
    /// (rows, F), made again here where `hidden` was kept without its activation
    pub activated: Option<&'a View>,
    /// (rows, F), the gradient of the hidden layer before its activation
    pub d_hidden: &'a View,
}

impl FeedForwardKept<'_> {
    /// From the gradient `d_sum` of what the part makes to those of its parameters and of the hidden layer.
    pub fn backward(
        &self,
        plan: &mut Plan,
        reversed: &Reversed<'_>,
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

/// What `hidden` (rows, F) is after its activation: itself, or made from it in memory of its own.
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
