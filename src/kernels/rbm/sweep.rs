//! Metropolis sampling of a restricted Boltzmann machine: proposals and mean acceptance.
//!
//! ```text
//! σ ← σ' with probability min(1, (ψ(σ')/ψ(σ))^p)     σ' = σ with a site flipped, or two that differ exchanged
//! ```
//!
//! Random numbers are Philox words with the seed as key and (chain, proposal, step, stream) as counter. A chain
//! therefore depends only on the seed and the wave function, not on the number of chains or on the division of the
//! proposals into launches. Source: Metropolis et al., J. Chem. Phys. 21, 1087 (1953).

use super::amplitude::{RbmShape, ratio_reference, stored_weight, theta_reference, wide};
use crate::error::Result;
use crate::gpu::{Cost, Gpu, Groups, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::linear::Strategy;
use crate::kernels::nn::categorical::philox;
use crate::kernels::variant::{Variant, VariantSelector, Variants, width_class};
use crate::kernels::vmc::spins::spins_reference;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static SWEEP: Kernel = kernel!("rbm", "rbm_sweep");
static SWEEP_SCALAR: Kernel = kernel!("rbm", "rbm_sweep_scalar");
static ACCEPTANCE: Kernel = kernel!("rbm", "rbm_acceptance");

pub(crate) const SWEEP_ENTRY: Entry = Entry {
    kernel: &SWEEP,
    summary: "Metropolis proposals of Markov chains",
    cases: |gpu| sweep_cases(gpu, Strategy::Subgroup),
};
pub(crate) const SWEEP_SCALAR_ENTRY: Entry = Entry {
    kernel: &SWEEP_SCALAR,
    summary: "the same, without subgroups",
    cases: |gpu| sweep_cases(gpu, Strategy::Scalar),
};
pub(crate) const ACCEPTANCE_ENTRY: Entry =
    Entry { kernel: &ACCEPTANCE, summary: "mean acceptance of the chains", cases: acceptance_cases };

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
        /// (4) u32: seed (2), step number, learning rate
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
    /// p: chains sample |ψ|^p; 2 for samples of the wave function.
    pub power: f32,
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

/// Maximum number of proposals of one launch if `lanes` lanes share a chain. No result depends on it.
fn most_proposals(lanes: u32, shape: &RbmShape) -> u32 {
    let rounds = shape.hidden.div_ceil(4 * lanes);
    // Per proposal: two loops over the hidden units, of which one stores four; the shuffles of the sum; a share of
    // Philox's rounds.
    let each = 1 + 6 * rounds + lanes.ilog2() + 11 / lanes + 1;
    ((MOST_ITERATIONS - 2 * shape.sites - rounds) / each).max(1)
}

/// Number of u32 words for the occupations of a chain.
fn words(sites: u32) -> u32 {
    [2, 8, 32].into_iter().find(|words| 32 * words >= sites).unwrap_or(32)
}

impl RbmSweep {
    /// Records the proposals in the variant selected for their shape, in as many launches as driver limits require.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &SweepShape) -> Result<()> {
        let variant = SWEEP_SELECTOR.take(plan.gpu(), shape)?;
        let lanes = if variant.strategy == Strategy::Subgroup { variant.lanes(plan.gpu(), SWEEP.name)? } else { 1 };
        let most = most_proposals(lanes, &shape.rbm);
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

    fn record_variant(&self, plan: &mut Plan, shape: &SweepShape, variant: &Variant) -> Result<()> {
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
                self.step[4],
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
                ("power", shape.power.into()),
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
pub fn start_reference(sites: u32, exchange: bool, seed: u64, step: u32, chain: u32) -> Vec<u8> {
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

/// Chain in f64, with the smallest relative distance of a draw from the acceptance probability.
struct Chain {
    spins: Vec<f64>,
    theta: Vec<f64>,
    accepted: u32,
    margin: f64,
}

impl Chain {
    fn propose(&mut self, words: [u32; 4], weight: &[f32], visible_bias: &[f32], shape: &SweepShape) {
        let exchange = shape.exchange;
        let site = |word: u32| ((u64::from(word) * self.spins.len() as u64) >> 32) as usize;
        let sites = if exchange { vec![site(words[0]), site(words[1])] } else { vec![site(words[0])] };
        if exchange && self.spins[sites[0]] == self.spins[sites[1]] {
            return;
        }
        let ratio = ratio_reference(&self.spins, &self.theta, weight, visible_bias, &sites);
        let (probability, u) = ((f64::from(shape.power) * ratio).exp(), f64::from(words[2] >> 8) / f64::from(1 << 24));
        self.margin = self.margin.min((probability - u).abs() / probability);
        if u < probability {
            let m = self.theta.len();
            for i in sites {
                for (j, theta) in self.theta.iter_mut().enumerate() {
                    *theta -= 2.0 * self.spins[i] * f64::from(weight[i * m + j]);
                }
                self.spins[i] = -self.spins[i];
            }
            self.accepted += 1;
        }
    }
}

/// Chains, patches, sites per patch, hidden units, proposals, first chain.
type SweepSizes = (u32, u32, u32, u32, u32, u32);

fn sweep_cases(gpu: &Gpu, strategy: Strategy) -> Vec<Case> {
    let sizes: [SweepSizes; 6] = [
        (1, 1, 1, 1, 3, 0),
        (7, 4, 3, 5, 40, 2),
        (65, 5, 1, 33, 17, 0),
        (3, 13, 7, 130, 30, 1),
        (2, 32, 8, 1024, 9, 0),
        (70_000, 1, 2, 3, 1, 0),
    ];
    let cases = |(turn, sizes): (usize, SweepSizes)| {
        let shape = sweep_shape(sizes, turn % 2 == 1);
        let variants = SWEEP_SELECTOR.of_case(gpu, strategy, &shape, sizes.0 < 1000, turn);
        variants.into_iter().map(move |variant| sweep_case(shape, variant, false)).collect::<Vec<_>>()
    };
    let mut all: Vec<Case> = sizes.into_iter().enumerate().flat_map(cases).collect();
    if gpu.features().contains(wgpu::Features::SHADER_F16) {
        let shape = sweep_shape(sizes[1], false);
        let variants = SWEEP_SELECTOR.of_case(gpu, strategy, &shape, true, 0);
        all.extend(variants.into_iter().map(|variant| sweep_case(shape, variant, true)));
    }
    all
}

fn sweep_shape((chains, patches, p, hidden, proposals, first_chain): SweepSizes, exchange: bool) -> SweepShape {
    SweepShape {
        rbm: RbmShape { sites: patches * p, sites_per_patch: p, hidden },
        all: first_chain + chains + 1,
        first_chain,
        chains,
        proposals,
        first_proposal: 11,
        stream: Stream::BurnIn,
        exchange,
        restart: !exchange,
        record: (chains > 1).then_some(2),
        // The last chain has no sample.
        samples: first_chain + chains + 1,
        // Differs from 2 in some cases.
        power: if exchange { 0.75 } else { 2.0 },
    }
}

fn sweep_case(shape: SweepShape, variant: Variant, half: bool) -> Case {
    // Skips seeds with a draw so close to the acceptance probability that rounding decides.
    let made = (0..).map(|seed| sweep_case_of(shape, variant, half, seed)).find(|(margin, _)| *margin > 3e-6);
    made.map(|(_, case)| case).expect("some seed has no close draw")
}

fn sweep_case_of(shape: SweepShape, variant: Variant, half: bool, seed: u64) -> (f64, Case) {
    let SweepShape { rbm, all, first_chain, chains, .. } = shape;
    let RbmShape { sites, sites_per_patch: p, hidden } = rbm;
    let (t, m) = (rbm.patches() as usize, hidden as usize);
    let mut random = RandomInputs::new(seed + u64::from(chains + sites));
    let scale = 1.0 / (sites as f32).sqrt();
    let weight: Vec<f32> = random.floats((sites * hidden) as usize).into_iter().map(|w| scale * w).collect();
    let (weight, stored) = stored_weight(weight, half);
    let (visible_bias, hidden_bias) = (random.floats(sites as usize), random.floats(m));
    let mut state = random.integers(all as usize * t, 1 << p);
    let mut accepted = random.integers(all as usize, 100);
    let mut tokens = random.integers(shape.samples as usize * t, 1 << p);
    let before = (state.clone(), accepted.clone(), tokens.clone());
    let step = [0x1234_5678, 0x9abc_def0, 17 + seed as u32, 0];
    let (mut begins, mut ends, mut margin) = (Vec::new(), Vec::new(), f64::INFINITY);
    for chain in first_chain..first_chain + chains {
        let own = chain as usize * t..(chain as usize + 1) * t;
        let spins = spins_reference(&state[own.clone()], p);
        let theta: Vec<f32> =
            theta_reference(&spins, &wide(&weight), &wide(&hidden_bias)).iter().map(|theta| *theta as f32).collect();
        let mut reference = Chain { spins, theta: wide(&theta), accepted: 0, margin };
        begins.extend(theta);
        for proposal in 0..shape.proposals {
            let counter = [chain, shape.first_proposal + proposal, step[2], shape.stream as u32];
            reference.propose(philox(counter, [step[0], step[1]]), &weight, &visible_bias, &shape);
        }
        margin = reference.margin;
        ends.extend(reference.theta);
        let token = |spins: &[f64]| spins.iter().rev().fold(0, |token, s| token << 1 | u32::from(*s > 0.0));
        let made: Vec<u32> = reference.spins.chunks(p as usize).map(token).collect();
        state[own].copy_from_slice(&made);
        let sample =
            shape.record.map(|first| (first + chain) as usize).filter(|sample| *sample < shape.samples as usize);
        if let Some(sample) = sample {
            tokens[sample * t..(sample + 1) * t].copy_from_slice(&made);
        }
        let count = &mut accepted[chain as usize];
        *count = reference.accepted + if shape.restart { 0 } else { *count };
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let sweep = RbmSweep::from_case(buffers)?;
        sweep.record_variant(plan, &shape, &variant)
    };
    let case = Case {
        name: format!(
            "{chains} of {all} chains, ({sites}, {hidden}), {} proposals, exchange {}, f16 {half}",
            shape.proposals, shape.exchange
        ),
        inputs: vec![
            ("weight", stored),
            ("visible_bias", visible_bias.into()),
            ("step", step.to_vec().into()),
            ("theta", begins.into()),
            ("state", before.0.into()),
            ("accepted", before.1.into()),
            ("tokens", before.2.into()),
        ],
        outputs: vec![
            ("theta", Expected::Near { values: ends, tolerance: 2e-6 }),
            ("state", Expected::Exactly(state)),
            ("accepted", Expected::Exactly(accepted)),
            ("tokens", Expected::Exactly(tokens)),
        ],
        record: Box::new(record),
    };
    (margin, case.of_variant(&variant))
}

fn acceptance_cases(_: &Gpu) -> Vec<Case> {
    let case = |(chains, proposals): (u32, u64)| {
        let accepted = RandomInputs::new(proposals).integers(chains as usize, proposals as u32 + 1);
        let mean = accepted.iter().map(|count| f64::from(*count) / proposals as f64).sum::<f64>() / f64::from(chains);
        let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
            RbmAcceptance::from_case(buffers)?.record(plan, chains, proposals)
        };
        Case {
            name: format!("{chains} chains of {proposals}"),
            inputs: vec![("accepted", accepted.into())],
            outputs: vec![("acceptance", Expected::Near { values: vec![mean], tolerance: 1e-6 })],
            record: Box::new(record),
        }
    };
    [(1, 7), (63, 32), (64, 1000), (1025, 50_000), (70_000, 16)].into_iter().map(case).collect()
}
