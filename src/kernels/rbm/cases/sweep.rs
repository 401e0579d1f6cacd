//! Test cases of [`crate::kernels::rbm::sweep`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::case::wide;
use crate::kernels::nn::categorical::philox;
use crate::kernels::rbm::amplitude::{RbmShape, ratio_reference, theta_reference};
use crate::kernels::rbm::cases::amplitude::stored_weight;
use crate::kernels::rbm::sweep::{
    ACCEPTANCE, RbmAcceptance, RbmSweep, SWEEP, SWEEP_SCALAR, SWEEP_SELECTOR, Stream, SweepShape,
};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::Variant;
use crate::kernels::vmc::spins::spins_reference;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

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

/// p of the step.
const POWER: f32 = 1.5;

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
        let (probability, u) =
            ((f64::from(shape.stage * POWER) * ratio).exp(), f64::from(words[2] >> 8) / f64::from(1 << 24));
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
        stage: if exchange { 0.5 } else { 1.0 },
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
    let step = [0x1234_5678, 0x9abc_def0, 17 + seed as u32, 0, 0, POWER.to_bits(), 0, 0];
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
