//! Metropolis-Hastings sampling for wave functions whose amplitudes require a full pass: proposals and acceptance.
//!
//! ```text
//! σ' = σ with one of its A(σ) possible changes, chosen uniformly
//! σ ← σ' with probability min(1, |ψ(σ')/ψ(σ)|^p A(σ) / A(σ'))
//! ```
//!
//! A change flips one site or exchanges two sites that differ. No pass is spent on a proposal that changes nothing; the
//! factor A(σ)/A(σ') restores detailed balance (Hastings, Biometrika 57, 97 (1970)). Between the two kernels, the wave
//! function computes log ψ'². Random numbers are Philox words with (chain, proposal, step, stream) as counter, so that
//! a chain depends only on the seed and the wave function. The proposal number is counted on the GPU: the launches of
//! all proposals are identical, and a plan can repeat them.

use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::rbm::sweep::Stream;
use crate::kernels::{kernel, record};

pub(super) static PROPOSE: Kernel = kernel!("vmc", "metropolis_propose");
pub(super) static ACCEPT: Kernel = kernel!("vmc", "metropolis_accept");

/// A stretch of proposals of a window of Markov chains.
#[derive(Debug, Clone, Copy)]
pub struct ChainShape {
    /// T
    pub patches: u32,
    /// Number of all chains.
    pub all: u32,
    /// First chain of the window.
    pub first_chain: u32,
    /// Number of chains of the window.
    pub chains: u32,
    /// Number of proposals of each chain.
    pub proposals: u32,
    /// Index of the first proposal within the step.
    pub first_proposal: u32,
    /// Random stream of the proposals.
    pub stream: Stream,
    /// Whether to reset the acceptance counters.
    pub restart: bool,
    /// Sample in which chain 0 stores its last configuration. Chain c uses sample `record` + c, if there is one.
    pub record: Option<u32>,
    /// B
    pub samples: u32,
    /// Fraction of the sampling power p in a stage of an annealed burn-in; otherwise 1.
    pub stage: f32,
}

/// Proposals of a window of chains.
#[derive(Debug, Clone)]
pub struct MetropolisPropose {
    /// (all chains, T) u32
    pub state: View,
    /// (changes) of four u32: first patch, mask, second patch or `u32::MAX`, mask
    pub changes: View,
    /// Number of changes.
    pub count: u32,
    /// Whether changes exchange two sites, which must differ.
    pub exchange: bool,
    /// (8) u32: seed (2), step number; p in word 5, as f32: chains sample |ψ|^p
    pub step: View,
    /// (chains) u32: number of proposals already made in the stretch
    pub progress: View,
    /// (chains, T) u32
    pub proposed: View,
    /// (chains)
    pub threshold: View,
}

impl MetropolisPropose {
    /// Records one proposal of each chain.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &ChainShape) -> Result<()> {
        let [all, chains, t, changes] = [shape.all, shape.chains, shape.patches, self.count].map(u64::from);
        plan.launch(&Launch {
            kernel: &PROPOSE,
            spec: &[("EXCHANGE", self.exchange.into())],
            bindings: &bind!(
                self.state[all * t],
                self.changes[4 * changes],
                self.step[8],
                self.progress[chains],
                self.proposed[chains * t],
                self.threshold[chains]
            ),
            params: &[
                ("chains", shape.chains.into()),
                ("first_chain", shape.first_chain.into()),
                ("patches", shape.patches.into()),
                ("changes", self.count.into()),
                ("first_proposal", shape.first_proposal.into()),
                ("stream", (shape.stream as u32).into()),
                ("stage", shape.stage.into()),
            ],
            groups: Rows::from(shape.chains).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 8.0 * (chains * (t + 1)) as f64 },
            shape: format!("({chains}, {t}), {changes} changes"),
        })
    }
}

record! {
    /// Acceptance decisions of a window of chains.
    #[derive(Debug, Clone)]
    pub struct MetropolisAccept {
        /// (chains, T) u32
        pub proposed: View,
        /// (chains): log ψ'²
        pub proposed_log_p: View,
        /// (chains)
        pub threshold: View,
        /// (chains): log ψ² of the current configurations
        pub log_p: View,
        /// (all chains, T) u32
        pub state: View,
        /// (all chains) u32: proposals accepted
        pub accepted: View,
        /// (chains) u32: number of proposals already made in the stretch, 0 before the first and after the last
        pub progress: View,
        /// (B, T) u32: samples
        pub tokens: View,
    }
}

impl MetropolisAccept {
    /// Records the acceptance decision for one proposal of each chain.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &ChainShape) -> Result<()> {
        let [all, chains, t, b] = [shape.all, shape.chains, shape.patches, shape.samples].map(u64::from);
        plan.launch(&Launch {
            kernel: &ACCEPT,
            spec: &[],
            bindings: &bind!(
                self.proposed[chains * t],
                self.proposed_log_p[chains],
                self.threshold[chains],
                self.log_p[chains],
                self.state[all * t],
                self.accepted[all],
                self.progress[chains],
                self.tokens[b * t]
            ),
            params: &[
                ("chains", shape.chains.into()),
                ("first_chain", shape.first_chain.into()),
                ("patches", shape.patches.into()),
                ("proposals", shape.proposals.into()),
                ("restart", u32::from(shape.restart).into()),
                ("record", u32::from(shape.record.is_some()).into()),
                ("first_sample", shape.record.unwrap_or(0).into()),
                ("samples", shape.samples.into()),
            ],
            groups: Rows::from(shape.chains).groups(64, 1),
            cost: Cost { flops: 2.0 * chains as f64, bytes: 8.0 * (chains * (t + 4)) as f64 },
            shape: format!("({chains}, {t})"),
        })
    }
}

/// Whether the two sites of a change differ.
fn differ(tokens: &[u32], change: &[u32; 4]) -> bool {
    let is_set = |patch: u32, mask: u32| tokens[patch as usize] & mask != 0;
    is_set(change[0], change[1]) != is_set(change[2], change[3])
}

/// Returns the proposal of a chain at `tokens` from the random `words`, and its threshold for p = 2, in f64.
pub(crate) fn propose_reference(
    tokens: &[u32],
    changes: &[[u32; 4]],
    exchange: bool,
    words: [u32; 4],
) -> (Vec<u32>, f64) {
    let possible = |tokens: &[u32]| -> Vec<[u32; 4]> {
        changes.iter().filter(|change| !exchange || differ(tokens, change)).copied().collect()
    };
    let from = possible(tokens);
    let level = (f64::from(words[2] >> 8) / f64::from(1 << 24)).max(0.5 / f64::from(1 << 24)).ln();
    let mut proposed = tokens.to_vec();
    if let Some(change) = from.get(((u64::from(words[0]) * from.len() as u64) >> 32) as usize) {
        proposed[change[0] as usize] ^= change[1];
        if exchange {
            proposed[change[2] as usize] ^= change[3];
        }
    }
    let back = possible(&proposed).len().max(1) as f64;
    (proposed, level - (from.len().max(1) as f64).ln() + back.ln())
}
