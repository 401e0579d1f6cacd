//! Parameter update: gradient norm, acceptance of the step, and Adam.
//!
//! ```text
//! norm = √Σ g²        scale = min(1, clip / norm)        accept = norm, Ē and s² are finite
//! m ← β₁ m + (1 − β₁) g      v ← β₂ v + (1 − β₂) g²
//! θ ← θ (1 − lr · decay) − lr · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)
//! ```
//!
//! Source: Kingma & Ba, arXiv:1412.6980, algorithm 1, with the decoupled weight decay of Loshchilov & Hutter,
//! arXiv:1711.05101, algorithm 2, for the first elements. A rejected step changes neither parameters nor moments.
//!
//! The step count t is kept on the GPU: a rejected step must not count, and a rejection reaches the host too late.

use crate::error::Result;
use crate::gpu::{Cost, Groups, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static SQUARE: Kernel = kernel!("nn", "gradient_square");
pub(super) static DECIDE: Kernel = kernel!("nn", "gradient_decide");
pub(super) static ADAM: Kernel = kernel!("nn", "adam");

/// Elements per block of the sum of squares.
pub(super) const BLOCK: u32 = 4096;

/// Decay rates of the moments, ε, and weight decay of Adam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamRates {
    /// β₁
    pub beta1: f32,
    /// β₂
    pub beta2: f32,
    /// ε
    pub epsilon: f32,
    /// Decoupled weight decay: parameters are multiplied by 1 − learning rate · `decay` before their step.
    pub decay: f32,
    /// Number of parameters with weight decay. They precede those without.
    pub decayed: u32,
}

impl Default for AdamRates {
    /// β₁ = 0.9, β₂ = 0.999, ε = 1e-8, no weight decay.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.0, decayed: 0 }
    }
}

record! {
    /// Adam update of all parameters.
    #[derive(Debug, Clone)]
    pub struct Adam {
        /// (elements)
        pub gradient: View,
        /// Scratch of [`Adam::part_elements`] floats.
        pub part: View,
        /// (9, 2): mean and variance of the energy first
        pub statistics: View,
        /// (8): β₁ᵗ, β₂ᵗ, scale, accept, norm, t, 0, 0; initially 1, 1, 0, 0, 0, 0, 0, 0
        pub state: View,
        /// (4) u32: seed (2), step number, learning rate (bits of an f32)
        pub step: View,
        /// (elements)
        pub parameters: View,
        /// (elements): first moments m
        pub m: View,
        /// (elements): second moments v
        pub v: View,
    }
}

impl Adam {
    /// Number of scratch floats for `elements` parameters.
    pub fn part_elements(elements: u32) -> u64 {
        u64::from(elements.div_ceil(BLOCK))
    }

    /// Records the gradient norm, the acceptance and the update. `clip` is the maximum gradient norm.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, elements: u32, clip: Option<f32>, rates: AdamRates) -> Result<()> {
        let windows = windows(plan, elements);
        for &(first, count) in &windows {
            let window = self.window(first, count)?;
            window.record_square(plan, count)?;
        }
        self.record_decide(plan, elements, clip, rates)?;
        for (first, count) in windows {
            let decayed = rates.decayed.saturating_sub(first);
            self.window(first, count)?.record_update(plan, count, AdamRates { decayed, ..rates })?;
        }
        Ok(())
    }

    /// Range of `count` parameters from `first` on.
    fn window(&self, first: u32, count: u32) -> Result<Self> {
        let range = |view: &View| view.range(view.label(), first.into(), count.into());
        let blocks = (u64::from(first / BLOCK), Self::part_elements(count));
        Ok(Self {
            gradient: range(&self.gradient)?,
            part: self.part.range(self.part.label(), blocks.0, blocks.1)?,
            parameters: range(&self.parameters)?,
            m: range(&self.m)?,
            v: range(&self.v)?,
            ..self.clone()
        })
    }

    pub(super) fn record_square(&self, plan: &mut Plan, elements: u32) -> Result<()> {
        record_square(plan, [&self.gradient, &self.part], elements)
    }

    pub(super) fn record_decide(
        &self,
        plan: &mut Plan,
        elements: u32,
        clip: Option<f32>,
        rates: AdamRates,
    ) -> Result<()> {
        let blocks = elements.div_ceil(BLOCK);
        plan.launch(&Launch {
            kernel: &DECIDE,
            spec: &[],
            bindings: &bind!(self.part[blocks.into()], self.statistics[2], self.state[8]),
            params: &[
                ("blocks", blocks.into()),
                ("clip", clip.unwrap_or(0.0).into()),
                ("beta1", rates.beta1.into()),
                ("beta2", rates.beta2.into()),
            ],
            groups: Groups::Fixed(1),
            cost: Cost { flops: f64::from(blocks), bytes: 4.0 * f64::from(blocks) },
            shape: format!("({blocks})"),
        })
    }

    pub(super) fn record_update(&self, plan: &mut Plan, elements: u32, rates: AdamRates) -> Result<()> {
        plan.launch(&Launch {
            kernel: &ADAM,
            spec: &[],
            bindings: &bind!(
                self.gradient[elements.into()],
                self.state[8],
                self.step[4],
                self.parameters[elements.into()],
                self.m[elements.into()],
                self.v[elements.into()]
            ),
            params: &[
                ("elements", elements.into()),
                ("beta1", rates.beta1.into()),
                ("beta2", rates.beta2.into()),
                ("epsilon", rates.epsilon.into()),
                ("decay", rates.decay.into()),
                ("decayed", rates.decayed.into()),
            ],
            groups: Rows::from(elements).groups(64, 1),
            cost: Cost { flops: 12.0 * f64::from(elements), bytes: 28.0 * f64::from(elements) },
            shape: format!("({elements})"),
        })
    }
}

/// Ranges of `elements` parameters, first and count, each within a binding. They begin at multiples of 64 blocks, the
/// alignment of their sums.
fn windows(plan: &Plan, elements: u32) -> Vec<(u32, u32)> {
    let unit = 64 * BLOCK;
    let most = (plan.gpu().limits().max_storage_buffer_binding_size / 4).min(1 << 30) as u32 / unit * unit;
    let most = most.max(unit);
    (0..elements).step_by(most as usize).map(|first| (first, most.min(elements - first))).collect()
}

/// Records the sums of squares over blocks of `of` (elements) into `part` ([`Adam::part_elements`]).
pub(crate) fn record_square(plan: &mut Plan, [of, part]: [&View; 2], elements: u32) -> Result<()> {
    let blocks = elements.div_ceil(BLOCK);
    plan.launch(&Launch {
        kernel: &SQUARE,
        spec: &[],
        bindings: &bind!(gradient = of[elements.into()], part[blocks.into()]),
        params: &[("elements", elements.into()), ("blocks", blocks.into())],
        groups: Groups::Fixed(blocks.into()),
        cost: Cost { flops: 2.0 * f64::from(elements), bytes: 4.0 * f64::from(elements) },
        shape: format!("({elements})"),
    })
}

/// One Adam update in f64 of a parameter with weight decay; `t` is the step number, counted from 1. Returns (θ, m, v).
pub(crate) fn adam_reference(
    [parameter, m, v, gradient]: [f64; 4],
    learning_rate: f64,
    t: u32,
    AdamRates { beta1, beta2, epsilon, decay, .. }: AdamRates,
) -> (f64, f64, f64) {
    let (beta1, beta2) = (f64::from(beta1), f64::from(beta2));
    let m = beta1 * m + (1.0 - beta1) * gradient;
    let v = beta2 * v + (1.0 - beta2) * gradient * gradient;
    let (first, second) = (m / (1.0 - beta1.powi(t as i32)), v / (1.0 - beta2.powi(t as i32)));
    let parameter = parameter * (1.0 - learning_rate * f64::from(decay));
    (parameter - learning_rate * first / (second.sqrt() + f64::from(epsilon)), m, v)
}
