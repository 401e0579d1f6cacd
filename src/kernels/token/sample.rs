//! Sampling of one token per row from the logits of a vocabulary: temperature, top-k, top-p (nucleus) and greedy.
//!
//! ```text
//! weight[v] = exp((logits[v] − max) / temperature)
//! top-k     keeps the tokens whose logit is at least the k-th largest one
//! top-p     keeps of these the smallest set of largest weights whose share is at least p
//! log_p     = log weight[token] − log Σ_kept weight
//! ```
//!
//! The order is that of Hugging Face's `transformers`. Tokens with the logit of the last one that is kept are kept too.
//! Top-p: Holtzman et al., arXiv:1904.09751, section 3.1.
//!
//! Shares are rounded to multiples of 2⁻³¹, so that sums of them are exact in any order and a token is drawn by inverse
//! transform sampling of exact sums. Thresholds of top-k and top-p are found by a histogram of eight bits of the logits
//! at a time, most significant first, without sorting.
//!
//! The random word is that of Philox4x32-10 with the seed as key and (sequence, position, step) as counter. A draw
//! does not depend on the other rows of a batch.

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Cost, Groups, Kernel, Launch, Plan, View, bind};
use crate::kernels::nn::categorical::philox;
use crate::kernels::{kernel, record};

pub(super) static SAMPLE: Kernel = kernel!("token", "token_sample");

/// Largest vocabulary, limited by the iterations that Mesa's CPU driver allows an invocation.
pub const MAX_TOKENS: u32 = 1 << 20;

record! {
    /// Sampling of one token per row; see the module documentation.
    ///
    /// If the largest logit of a row is not finite, `log_p` is NaN.
    #[derive(Debug, Clone)]
    pub struct TokenSample {
        /// (rows, columns)
        pub logits: View,
        /// (4) u32: seed (2), step number, -
        pub step: View,
        /// (rows) u32: the tokens drawn
        pub tokens: View,
        /// (rows): log P of the tokens in the distribution that they were drawn from; 0 for greedy sampling
        pub log_p: View,
    }
}

/// Shape and settings of a [`TokenSample`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenSampleShape {
    /// Number of rows, one per sequence.
    pub rows: u32,
    /// Stored columns of a row of `logits`; a multiple of 4, at least `tokens`. The columns after `tokens` do not count.
    pub columns: u32,
    /// Number of tokens of the vocabulary, V.
    pub tokens: u32,
    /// Index of the first sequence in the random counter.
    pub first_row: u32,
    /// Position in the random counter.
    pub position: u32,
    /// Temperature, above 0.
    pub temperature: f32,
    /// Number of most likely tokens to draw from; 0 for all.
    pub top_k: u32,
    /// Probability of the smallest set of most likely tokens to draw from, above 0; 1 for all.
    pub top_p: f32,
    /// Whether to take the first token with the largest logit instead of drawing.
    pub greedy: bool,
}

impl TokenSample {
    /// Records the kernel.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the columns are not a multiple of 4 or hold fewer than `tokens`, [`ErrorKind::Settings`]
    /// for a temperature or `top_p` out of range, and as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &TokenSampleShape) -> Result<()> {
        shape.check()?;
        let (rows, columns) = (u64::from(shape.rows), u64::from(shape.columns));
        let passes = 3 + 4 * u64::from(shape.top_k > 0) + 5 * u64::from(shape.top_p < 1.0);
        let read = if shape.greedy { 1 } else { passes } * rows * columns;
        plan.launch(&Launch {
            kernel: &SAMPLE,
            spec: &[("LANES", shape.lanes())],
            bindings: &bind!(self.logits[rows * columns], self.step[4], self.tokens[rows], self.log_p[rows]),
            params: &[
                ("rows", shape.rows.into()),
                ("columns4", (shape.columns / 4).into()),
                ("tokens", shape.tokens.into()),
                ("first_row", shape.first_row.into()),
                ("position", shape.position.into()),
                ("rate", ((1.0 / f64::from(shape.temperature)) as f32).into()),
                ("top_k", if shape.top_k < shape.tokens { shape.top_k } else { 0 }.into()),
                ("top_p", shape.top_p_share().into()),
                ("greedy", u32::from(shape.greedy).into()),
            ],
            groups: Groups::Fixed(rows),
            cost: Cost { flops: (4 * read) as f64, bytes: 4.0 * read as f64 },
            shape: format!("({rows}, {})", shape.tokens),
        })
    }
}

/// Share of all weights that stands for a probability of 1.
const WHOLE: f64 = (1u32 << 31) as f64;

impl TokenSampleShape {
    /// Invocations of a workgroup, which samples one row.
    pub(super) fn lanes(&self) -> u32 {
        if self.tokens > 2048 { 256 } else { 64 }
    }

    /// Share that the set of `top_p` reaches; 0 for all tokens.
    fn top_p_share(&self) -> u32 {
        if self.top_p < 1.0 { (f64::from(self.top_p) * WHOLE).max(1.0) as u32 } else { 0 }
    }

    fn check(&self) -> Result<()> {
        let Self { columns, tokens, temperature, top_p, .. } = *self;
        if !columns.is_multiple_of(4) || tokens > columns || !(1..=MAX_TOKENS).contains(&tokens) {
            let message = format!(
                "{}: expected 1 to {MAX_TOKENS} tokens in columns that are a multiple of 4, got {tokens} tokens in \
                 {columns} columns",
                SAMPLE.name
            );
            return Err(Error::new(ErrorKind::Shape, message));
        }
        if !(temperature > 0.0 && temperature.is_finite() && temperature.recip().is_finite()) {
            let message = format!(
                "{}: expected a finite temperature above 0, got {temperature}; use greedy sampling in place of \
                 temperature 0",
                SAMPLE.name
            );
            return Err(Error::new(ErrorKind::Settings, message));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            let message = format!("{}: expected top_p above 0 and at most 1, got {top_p}", SAMPLE.name);
            return Err(Error::new(ErrorKind::Settings, message));
        }
        Ok(())
    }
}

/// Smallest logit among the tokens of a row that top-k and top-p keep, and the distance of the share of a set of largest
/// weights from `top_p`, in f64.
fn least_kept(logits: &[f32], shape: &TokenSampleShape) -> (f32, f64) {
    let mut descending = logits.to_vec();
    descending.sort_by(|a, b| b.total_cmp(a));
    let weight = |logit: f32| ((f64::from(logit) - f64::from(descending[0])) / f64::from(shape.temperature)).exp();
    let mut least = match shape.top_k as usize {
        k if (1..logits.len()).contains(&k) => descending[k - 1],
        _ => descending[logits.len() - 1],
    };
    let mut distance = f64::INFINITY;
    if shape.top_p < 1.0 {
        let kept: Vec<f32> = descending.iter().copied().take_while(|logit| *logit >= least).collect();
        let total: f64 = kept.iter().map(|logit| weight(*logit)).sum();
        let mut missing = f64::from(shape.top_p);
        for logit in kept {
            if missing > 0.0 {
                least = logit;
            }
            missing -= weight(logit) / total;
            distance = distance.min(missing.abs());
        }
    }
    (least, distance)
}

/// Probabilities of the tokens of a row of V finite logits in f64, 0 for those that are never drawn.
pub fn probabilities_reference(logits: &[f32], shape: &TokenSampleShape) -> Vec<f64> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if shape.greedy {
        let first = logits.iter().position(|logit| *logit == top);
        return (0..logits.len()).map(|v| f64::from(u8::from(first == Some(v)))).collect();
    }
    let least = least_kept(logits, shape).0;
    let weight = |logit: &f32| match *logit >= least {
        true => ((f64::from(*logit) - f64::from(top)) / f64::from(shape.temperature)).exp(),
        false => 0.0,
    };
    let total: f64 = logits.iter().map(weight).sum();
    logits.iter().map(|logit| weight(logit) / total).collect()
}

/// Token of a row of V finite logits that is drawn in the step with the words `step`, its log P, and the smallest
/// distance of a sum of probabilities from a threshold that decides about the token, in f64.
pub fn sample_reference(logits: &[f32], shape: &TokenSampleShape, row: u32, step: [u32; 4]) -> (u32, f64, f64) {
    let p = probabilities_reference(logits, shape);
    if shape.greedy {
        return (p.iter().position(|p| *p > 0.0).unwrap_or(0) as u32, 0.0, f64::INFINITY);
    }
    let word = philox([shape.first_row + row, shape.position, step[2], 0], [step[0], step[1]])[0];
    let u = f64::from(word) / 2f64.powi(32);
    // The order of the sums: the vectors of one invocation after those of another.
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by_key(|v| (v / 4 % shape.lanes() as usize, *v));
    let mut below = 0.0;
    let (mut token, mut distance) = (0, least_kept(logits, shape).1);
    for v in order.into_iter().filter(|v| p[*v] > 0.0) {
        if below <= u {
            token = v;
        }
        below += p[v];
        // The last sum is 1 on the GPU as well.
        distance = distance.min(if below < 1.0 - 1e-9 { (below - u).abs() } else { f64::INFINITY });
    }
    (token as u32, p[token].ln(), distance)
}
