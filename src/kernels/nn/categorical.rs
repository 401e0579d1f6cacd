//! Categorical head over the 2^P outcomes of a patch: log-probability, sampling and gradient.
//!
//! ```text
//! log P(target) = logits[target] − log Σ_v exp(logits[v])
//! d_logits[v]   = d_log_p ( [v = target] − exp(logits[v] − lse) )
//! ```
//!
//! A sector is the set of configurations with E occupied sites. Outcomes from which the sector can no longer be reached
//! are excluded from the sum, so that Σ P = 1 within the sector (as in arXiv:2002.02973, section III.C). With n sites
//! occupied before patch t, an outcome v is allowed if
//!
//! ```text
//! n + |v| ≤ E        E − n − |v| ≤ P (T − 1 − t)
//! ```
//!
//! Excluded outcomes have log P = [`NEG_LARGE`], so that log P of a configuration outside the sector is at most that.
//! Sampling uses Philox4x32-10 (Salmon et al., SC'11) with the seed as key and (sample, patch, step) as counter, so
//! that a draw depends on nothing else.

use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Param, Plan, Rows, View, bind};
use crate::kernels::vmc::energy::NEG_LARGE;
use crate::kernels::{kernel, record};

pub(super) static FORWARD: Kernel = kernel!("nn", "categorical_forward");
pub(super) static SAMPLE: Kernel = kernel!("nn", "categorical_sample");
pub(super) static BACKWARD: Kernel = kernel!("nn", "categorical_backward");

/// Outcomes of a categorical head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CategoricalShape {
    /// V = 2^P
    pub outcomes: u32,
    /// T
    pub patches: u32,
    /// E, the number of occupied sites; `None` if all configurations are allowed.
    pub excitations: Option<u32>,
}

/// Shader value of `excitations` without a sector.
const EVERY_SECTOR: u32 = u32::MAX;

impl CategoricalShape {
    /// P
    pub(super) fn sites_per_patch(&self) -> u32 {
        self.outcomes.ilog2()
    }

    pub(super) fn params(&self) -> [(&'static str, Param); 4] {
        [
            ("outcomes", self.outcomes.into()),
            ("patches", self.patches.into()),
            ("sites_per_patch", self.sites_per_patch().into()),
            ("excitations", self.excitations.unwrap_or(EVERY_SECTOR).into()),
        ]
    }

    /// Minimum and maximum number of sites that an allowed outcome at `position` occupies, with `before` sites occupied
    /// before it.
    fn room(&self, position: u32, before: u32) -> [u32; 2] {
        let Some(excitations) = self.excitations else { return [0, u32::MAX] };
        let most = excitations.saturating_sub(before);
        let later = self.sites_per_patch() * (self.patches - 1 - position);
        [most.saturating_sub(later).min(self.sites_per_patch()), most]
    }

    /// Logits of a row (token, position, target, occupied), −∞ for excluded outcomes.
    pub(super) fn masked(&self, row: &[u32], logits: &[f32]) -> Vec<f32> {
        let [least, most] = self.room(row[1], row[3]);
        let allowed = |v: usize| (least..=most).contains(&v.count_ones());
        logits.iter().enumerate().map(|(v, logit)| if allowed(v) { *logit } else { f32::NEG_INFINITY }).collect()
    }
}

record! {
    /// Log-probabilities of the targets.
    #[derive(Debug, Clone)]
    pub struct CategoricalForward {
        /// (rows) of four u32: token, position, target, occupied
        pub rows: View,
        /// (rows, V)
        pub logits: View,
        /// (rows)
        pub log_p: View,
        /// (rows)
        pub lse: View,
    }
}

impl CategoricalForward {
    /// Records the log-probabilities of `rows` rows.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &Rows, shape: &CategoricalShape) -> Result<()> {
        let (count, v) = (u64::from(rows.capacity), u64::from(shape.outcomes));
        plan.launch(&Launch {
            kernel: &FORWARD,
            spec: &[],
            bindings: &bind!(self.rows[4 * count], self.logits[count * v], self.log_p[count], self.lse[count]),
            params: &[&[("rows", rows.capacity.into())], &shape.params()[..]].concat(),
            groups: rows.groups(64, 1),
            cost: Cost { flops: (3 * count * v) as f64, bytes: 4.0 * (count * (v + 6)) as f64 },
            shape: format!("({count}, {v})"),
        })
    }
}

record! {
    /// Sampling of one patch of every sample.
    #[derive(Debug, Clone)]
    pub struct CategoricalSample {
        /// (B, T, V)
        pub logits: View,
        /// (4) u32: seed (2), step number, learning rate
        pub step: View,
        /// (B, T) u32
        pub tokens: View,
        /// (B, T)
        pub log_p: View,
        /// (B) of four u32: token, position, 0, occupied
        pub rows: View,
    }
}

/// Shape of a [`CategoricalSample`].
#[derive(Debug, Clone, Copy)]
pub struct CategoricalSampleShape {
    /// B
    pub samples: u32,
    /// Outcomes to draw from.
    pub head: CategoricalShape,
    /// Patch to draw.
    pub patch: u32,
    /// Index of the first sample, so that chunks of one batch use different random numbers.
    pub first_sample: u32,
    /// Whether to use the fixed outcomes in `tokens` instead of sampling.
    pub given: bool,
}

impl CategoricalSample {
    /// Records the sampling.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &CategoricalSampleShape) -> Result<()> {
        let head = &shape.head;
        let (b, t, v) = (u64::from(shape.samples), u64::from(head.patches), u64::from(head.outcomes));
        let own = [
            ("samples", shape.samples.into()),
            ("position", shape.patch.into()),
            ("first_sample", shape.first_sample.into()),
            ("given", u32::from(shape.given).into()),
        ];
        plan.launch(&Launch {
            kernel: &SAMPLE,
            spec: &[],
            bindings: &bind!(
                self.logits[b * t * v],
                self.step[4],
                self.tokens[b * t],
                self.log_p[b * t],
                self.rows[4 * b]
            ),
            params: &[own, head.params()].concat(),
            groups: Rows::from(shape.samples).groups(64, 1),
            cost: Cost { flops: (5 * b * v) as f64, bytes: 4.0 * (b * (v + 6)) as f64 },
            shape: format!("({b}, {t}, {v})"),
        })
    }
}

record! {
    /// Gradient of the logits, computed in place.
    #[derive(Debug, Clone)]
    pub struct CategoricalBackward {
        /// (rows) of four u32: token, position, target, occupied
        pub rows: View,
        /// (rows)
        pub lse: View,
        /// (samples)
        pub d_log_p: View,
        /// (rows, V): logits, overwritten with d_logits
        pub logits: View,
    }
}

impl CategoricalBackward {
    /// Records the gradient. Row r belongs to sample `first_sample` + r / T.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &Rows, shape: &CategoricalShape, first_sample: u32) -> Result<()> {
        let (count, v) = (u64::from(rows.capacity), u64::from(shape.outcomes));
        let samples = u64::from(first_sample) + count.div_ceil(u64::from(shape.patches));
        let own = [("rows", rows.capacity.into()), ("first_sample", first_sample.into())];
        plan.launch(&Launch {
            kernel: &BACKWARD,
            spec: &[],
            bindings: &bind!(self.rows[4 * count], self.lse[count], self.d_log_p[samples], self.logits[count * v]),
            params: &[&own[..], &shape.params()].concat(),
            groups: rows.groups(64, 1),
            cost: Cost { flops: (3 * count * v) as f64, bytes: 4.0 * (count * (2 * v + 5)) as f64 },
            shape: format!("({count}, {v})"),
        })
    }
}

/// Philox4x32-10: four u32 for a counter and a key, identical to those of the shader.
pub(crate) fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    philox_rounds(counter, key, 10)
}

/// The same in fewer rounds.
pub(crate) fn philox_rounds(mut counter: [u32; 4], mut key: [u32; 2], rounds: u32) -> [u32; 4] {
    let multiply = |a: u32, b: u32| {
        let product = u64::from(a) * u64::from(b);
        ((product >> 32) as u32, product as u32)
    };
    for _ in 0..rounds {
        let (p, q) = (multiply(0xd251_1f53, counter[0]), multiply(0xcd9e_8d57, counter[2]));
        counter = [q.0 ^ counter[1] ^ key[0], q.1, p.0 ^ counter[3] ^ key[1], p.1];
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
    }
    counter
}

/// log Σ exp of a row in f64.
pub(crate) fn log_sum_exp(row: &[f32]) -> f64 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(top) + row.iter().map(|l| (f64::from(*l) - f64::from(top)).exp()).sum::<f64>().ln()
}

/// log P of an outcome with logit `logit`, at least [`NEG_LARGE`].
pub(super) fn log_p_reference(logit: f32, lse: f64) -> f64 {
    (f64::from(logit) - lse).max(NEG_LARGE.into())
}

/// (log_p, lse) of each row in f64.
pub fn forward_reference(rows: &[u32], logits: &[f32], shape: &CategoricalShape) -> (Vec<f64>, Vec<f64>) {
    let of_row = |(row, logits): (&[u32], &[f32])| {
        let logits = shape.masked(row, logits);
        let lse = log_sum_exp(&logits);
        (log_p_reference(logits[row[2] as usize], lse), lse)
    };
    rows.chunks(4).zip(logits.chunks(shape.outcomes as usize)).map(of_row).unzip()
}

/// Returns the outcome of one draw with the uniform number `u` in [0, 1), in f64.
pub(crate) fn draw_reference(logits: &[f32], u: f64) -> usize {
    let lse = log_sum_exp(logits);
    let mut partial = 0.0;
    for (v, logit) in logits.iter().enumerate() {
        partial += (f64::from(*logit) - lse).exp();
        if partial > u {
            return v;
        }
    }
    logits.iter().rposition(|logit| *logit > f32::NEG_INFINITY).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::philox;

    /// Known answers published with Random123 (kat_vectors, philox4x32 with 10 rounds).
    #[test]
    fn philox_gives_the_published_words() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }
}
