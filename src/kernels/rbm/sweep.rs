//! Metropolis sampling of a restricted Boltzmann machine: proposals and mean acceptance.
//!
//! ```text
//! σ ← σ' with probability min(1, (ψ(σ')/ψ(σ))^p)     σ' = σ with a site flipped, or two that differ exchanged
//! ```
//!
//! Random numbers are Philox words with the seed as key and (chain, proposal, step, stream) as counter. A chain
//! therefore depends only on the seed and the wave function, not on the number of chains or on the division of the
//! proposals into launches. Source: Metropolis et al., J. Chem. Phys. 21, 1087 (1953).

use super::amplitude::RbmShape;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Cost, Groups, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::nn::categorical::philox;
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::{Variant, VariantSelector, Variants, width_class};
use crate::kernels::{kernel, record};

pub(super) static SWEEP: Kernel = kernel!("rbm", "rbm_sweep");
pub(super) static SWEEP_SCALAR: Kernel = kernel!("rbm", "rbm_sweep_scalar");
pub(super) static ACCEPTANCE: Kernel = kernel!("rbm", "rbm_acceptance");

/// Use of the random numbers of a step. Autoregressive sampling is stream 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Proposals whose configurations become samples.
    Sample = 1,
    /// Proposals before the first sample.
    BurnIn = 2,
    /// Initial configurations of chains.
    Start = 3,
}

record! {
    /// Metropolis proposals of a window of Markov chains.
    #[derive(Debug, Clone)]
    pub struct RbmSweep {
        /// (N, M), of f32 or f16
        pub weight: View,
        /// (N)
        pub visible_bias: View,
        /// (8) u32: seed (2), step number; p in word 5, as f32: chains sample |ψ|^p
        pub step: View,
        /// (window, M): θ of the current configurations
        pub theta: View,
        /// (chains, T) u32: current configurations of all chains
        pub state: View,
        /// (chains) u32: proposals accepted
        pub accepted: View,
        /// (B, T) u32: samples
        pub tokens: View,
    }
}

/// Shape of an [`RbmSweep`].
#[derive(Debug, Clone, Copy)]
pub struct SweepShape {
    /// Sizes of the machine.
    pub rbm: RbmShape,
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
    /// Whether to exchange two sites instead of flipping one.
    pub exchange: bool,
    /// Whether to reset the acceptance counters.
    pub restart: bool,
    /// Sample in which chain 0 stores its last configuration. Chain c uses sample `record` + c, if there is one.
    pub record: Option<u32>,
    /// B
    pub samples: u32,
    /// Fraction of the sampling power p in a stage of an annealed burn-in; otherwise 1.
    pub stage: f32,
}

const SUBGROUPS: &[Variant] = &[
    Variant::subgroup("subgroups1", 1, 1),
    Variant::subgroup("subgroups2", 1, 2),
    Variant::subgroup("subgroups4", 1, 4),
    // A single lane has a different reduction order.
    Variant::scalar("scalar", 1).reduction_order(1),
];

pub(crate) static SWEEP_SELECTOR: VariantSelector<SweepShape> = VariantSelector {
    variants: Variants { kernel: "rbm_sweep", least_lanes: 4, all: SUBGROUPS },
    class: |shape| format!("{} x {}", width_class(shape.rbm.sites), width_class(shape.rbm.hidden)),
    // Uses the number of all chains, because the number in the window depends on the memory budget.
    rule: |gpu, shape| match Strategy::lanes(gpu) {
        Some(_) if !gpu.is_software() => (Strategy::Subgroup, 1, 4),
        Some(_) if shape.all < FEW_CHAINS => (Strategy::Subgroup, 1, 1),
        _ => (Strategy::Scalar, 1, 1),
    },
    requirement: |_, _, _| None,
};

/// Number of chains below which lanes share a chain on software adapters too: their lanes need no parallel work, but
/// their cores do.
const FEW_CHAINS: u32 = 128;

/// Maximum number of loop iterations of an invocation, below the 65,535 after which some drivers silently end a shader.
const MOST_ITERATIONS: u32 = 50_000;

/// Maximum number of proposals of one launch if `lanes` lanes share a chain. No result depends on it. `None` if the
/// iterations of one proposal exceed the limit.
fn most_proposals(lanes: u32, shape: &RbmShape) -> Option<u32> {
    let (hidden, lanes) = (u64::from(shape.hidden), u64::from(lanes));
    let rounds = hidden.div_ceil(4 * lanes);
    // Per proposal: two loops over the hidden units, of which one stores four; the shuffles of the sum; a share of
    // Philox's rounds.
    let each = 1 + 6 * rounds + u64::from(lanes.ilog2()) + 11 / lanes + 1;
    let once = 2 * u64::from(shape.sites) + rounds;
    let most = u64::from(MOST_ITERATIONS).checked_sub(once)? / each;
    (most > 0).then_some(most as u32)
}

/// Number of u32 words for the occupations of a chain.
pub(super) fn words(sites: u32) -> u32 {
    [2, 8, 32].into_iter().find(|words| 32 * words >= sites).unwrap_or(32)
}

impl RbmSweep {
    /// Records the proposals in the variant selected for their shape, in as many launches as driver limits require.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if a single proposal needs more loop iterations than a software adapter runs; as
    /// [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &SweepShape) -> Result<()> {
        let variant = SWEEP_SELECTOR.take(plan.gpu(), shape)?;
        let lanes = if variant.strategy == Strategy::Subgroup { variant.lanes(plan.gpu(), SWEEP.name)? } else { 1 };
        let most = match most_proposals(lanes, &shape.rbm) {
            Some(most) => most,
            // GPUs run loops of any length.
            None if !plan.gpu().is_software() => 1,
            None => {
                let hidden = shape.rbm.hidden;
                let message = format!(
                    "rbm_sweep: a proposal with {hidden} hidden units needs more than {MOST_ITERATIONS} loop \
                     iterations, after which software adapters can end a shader; use fewer hidden units, or a GPU"
                );
                return Err(Error::new(ErrorKind::Shape, message));
            }
        };
        for done in (0..shape.proposals).step_by(most as usize) {
            let proposals = most.min(shape.proposals - done);
            let part = SweepShape {
                proposals,
                first_proposal: shape.first_proposal + done,
                restart: shape.restart && done == 0,
                record: shape.record.filter(|_| done + proposals == shape.proposals),
                ..*shape
            };
            self.record_variant(plan, &part, variant)?;
        }
        Ok(())
    }

    pub(super) fn record_variant(&self, plan: &mut Plan, shape: &SweepShape, variant: &Variant) -> Result<()> {
        let RbmShape { sites, sites_per_patch, hidden } = shape.rbm;
        let [n, m, t] = [sites, hidden, shape.rbm.patches()].map(u64::from);
        let (window, all, proposals) = (u64::from(shape.chains), u64::from(shape.all), u64::from(shape.proposals));
        let mut spec = vec![
            ("WORDS", words(sites)),
            ("EXCHANGE", shape.exchange.into()),
            ("WEIGHT_BITS", self.weight.storage().bits()),
        ];
        let (kernel, groups) = match variant.strategy {
            Strategy::Subgroup => {
                spec.extend([("LANES", variant.lanes(plan.gpu(), SWEEP.name)?), ("SUBGROUPS", variant.subgroups)]);
                (&SWEEP, Rows::from(shape.chains).groups(variant.subgroups, 1))
            }
            Strategy::Scalar | Strategy::Tiled | Strategy::Panel => {
                (&SWEEP_SCALAR, Rows::from(shape.chains).groups(64, 1))
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bind!(
                self.weight[n * m],
                self.visible_bias[n],
                self.step[8],
                self.theta[window * m],
                self.state[all * t],
                self.accepted[all],
                self.tokens[u64::from(shape.samples) * t]
            ),
            params: &[
                ("chains", shape.chains.into()),
                ("first_chain", shape.first_chain.into()),
                ("sites", sites.into()),
                ("sites_per_patch", sites_per_patch.into()),
                ("patches", shape.rbm.patches().into()),
                ("hidden", hidden.into()),
                ("proposals", shape.proposals.into()),
                ("first_proposal", shape.first_proposal.into()),
                ("stream", (shape.stream as u32).into()),
                ("restart", u32::from(shape.restart).into()),
                ("record", u32::from(shape.record.is_some()).into()),
                ("first_sample", shape.record.unwrap_or(0).into()),
                ("samples", shape.samples.into()),
                ("stage", shape.stage.into()),
            ],
            groups,
            cost: Cost {
                flops: (10 * window * proposals * m) as f64,
                bytes: 4.0 * (window * (2 * m + 2 * t + 1) + n * m) as f64,
            },
            shape: format!("({window}, {proposals}) proposals of ({n}, {m})"),
        })
    }
}

record! {
    /// Mean acceptance of all chains.
    #[derive(Debug, Clone)]
    pub struct RbmAcceptance {
        /// (chains) u32
        pub accepted: View,
        /// (1)
        pub acceptance: View,
    }
}

impl RbmAcceptance {
    /// Records the mean over `chains` chains of `proposals` proposals each.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, chains: u32, proposals: u64) -> Result<()> {
        plan.launch(&Launch {
            kernel: &ACCEPTANCE,
            spec: &[],
            bindings: &bind!(self.accepted[chains.into()], self.acceptance[1]),
            params: &[("chains", chains.into()), ("proposals", (proposals as f32).into())],
            groups: Groups::Fixed(1),
            cost: Cost { flops: 2.0 * f64::from(chains), bytes: 4.0 * f64::from(chains) },
            shape: format!("({chains})"),
        })
    }
}

/// Initial configuration of chain `chain`: uniform over all configurations, or with `exchange` over those with ⌊N/2⌋
/// excitations.
pub(crate) fn start_reference(sites: u32, exchange: bool, seed: u64, step: u32, chain: u32) -> Vec<u8> {
    let word =
        |k: u32| philox([chain, k / 4, step, Stream::Start as u32], [seed as u32, (seed >> 32) as u32])[k as usize % 4];
    if !exchange {
        return (0..sites).map(|i| (word(i / 32) >> (i % 32) & 1) as u8).collect();
    }
    // Fisher-Yates shuffle of ⌊N/2⌋ ones.
    let mut occupied: Vec<u8> = (0..sites).map(|i| u8::from(i < sites / 2)).collect();
    for i in (1..sites).rev() {
        let other = (u64::from(word(i)) * u64::from(i + 1)) >> 32;
        occupied.swap(i as usize, other as usize);
    }
    occupied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_stay_within_the_iterations_of_every_driver() {
        let most = |lanes, hidden| most_proposals(lanes, &RbmShape { sites: 16, sites_per_patch: 1, hidden });
        assert_eq!(most(1, 32), Some(819));
        assert_eq!(most(4, 32), Some(2775));
        // A single proposal, and none.
        assert_eq!(most(1, 25_000), Some(1));
        for hidden in [40_000, 200_000, 400_000, u32::MAX] {
            assert_eq!(most(1, hidden), None, "{hidden}");
        }
        assert_eq!(most(128, 400_000), Some(10));
    }
}
