//! Test cases of [`crate::kernels::vmc::metropolis`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::nn::categorical::philox;
use crate::kernels::rbm::sweep::Stream;
use crate::kernels::vmc::metropolis::{
    ACCEPT, ChainShape, MetropolisAccept, MetropolisPropose, PROPOSE, propose_reference,
};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const PROPOSE_ENTRY: Entry =
    Entry { kernel: &PROPOSE, summary: "proposals of Markov chains, as configurations", cases: propose_cases };
pub(crate) const ACCEPT_ENTRY: Entry =
    Entry { kernel: &ACCEPT, summary: "acceptance of the proposals of Markov chains", cases: accept_cases };

const SITES_PER_PATCH: u32 = 3;
/// p of the step.
const POWER: f32 = 1.5;

/// All chains, first chain, chains of the window, patches.
const CASES: [[u32; 4]; 5] = [[1, 0, 1, 1], [9, 2, 5, 4], [70, 3, 65, 7], [130, 1, 128, 3], [66_000, 10, 65_900, 2]];

fn shape([all, first_chain, chains, patches]: [u32; 4]) -> ChainShape {
    ChainShape {
        patches,
        all,
        first_chain,
        chains,
        proposals: 4,
        first_proposal: 11,
        stream: Stream::Sample,
        restart: true,
        record: Some(2),
        // The last chains have no sample.
        samples: all,
        stage: if patches % 2 == 0 { 1.0 } else { 0.5 },
    }
}

/// Exchanges of each site with the next one and the one after.
fn exchanges(patches: u32) -> Vec<[u32; 4]> {
    let sites = patches * SITES_PER_PATCH;
    let place = |site: u32| [site % sites / SITES_PER_PATCH, 1 << (site % sites % SITES_PER_PATCH)];
    (0..sites)
        .flat_map(|site| [1, 2].map(|by| [place(site), place(site + by)].concat()))
        .map(|change| [change[0], change[1], change[2], change[3]])
        .collect()
}

fn propose_cases(_: &Gpu) -> Vec<Case> {
    CASES.into_iter().flat_map(|sizes| [true, false].map(|exchange| propose_case(sizes, exchange))).collect()
}

fn propose_case(sizes: [u32; 4], exchange: bool) -> Case {
    let (shape, mut random) = (shape(sizes), RandomInputs::new(u64::from(sizes[0])));
    let t = shape.patches as usize;
    let state = random.integers(shape.all as usize * t, 1 << SITES_PER_PATCH);
    let progress = random.integers(shape.chains as usize, 4);
    let mut changes = exchanges(shape.patches);
    if !exchange {
        changes.iter_mut().for_each(|change| change[2..].copy_from_slice(&[u32::MAX, 0]));
    }
    let step = [0x1234_5678, 0x9abc_def0, 17, 0, 0, POWER.to_bits(), 0, 0];
    let (mut proposed, mut threshold) = (Vec::new(), Vec::new());
    for chain in shape.first_chain..shape.first_chain + shape.chains {
        let counter = [
            chain,
            shape.first_proposal + progress[(chain - shape.first_chain) as usize],
            step[2],
            shape.stream as u32,
        ];
        let words = philox(counter, [step[0], step[1]]);
        let tokens = &state[chain as usize * t..][..t];
        let (to, level) = propose_reference(tokens, &changes, exchange, words);
        proposed.extend(to);
        threshold.push(2.0 / f64::from(shape.stage * POWER) * level);
    }
    let count = changes.len() as u32;
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let [state, changes, step] = buffers.views(["state", "changes", "step"])?;
        let [progress, proposed, threshold] = buffers.views(["progress", "proposed", "threshold"])?;
        let propose = MetropolisPropose { state, changes, count, exchange, step, progress, proposed, threshold };
        propose.record(plan, &shape)
    };
    Case {
        name: format!("{} of {} chains, {t} patches, exchange {exchange}", shape.chains, shape.all),
        inputs: vec![
            ("state", state.into()),
            ("changes", changes.concat().into()),
            ("step", step.to_vec().into()),
            ("progress", progress.into()),
        ],
        outputs: vec![
            ("proposed", Expected::Exactly(proposed)),
            ("threshold", Expected::Near { values: threshold, tolerance: 2e-6 }),
        ],
        record: Box::new(record),
    }
}

fn accept_cases(_: &Gpu) -> Vec<Case> {
    CASES.into_iter().map(accept_case).collect()
}

fn accept_case(sizes: [u32; 4]) -> Case {
    let (shape, mut random) = (shape(sizes), RandomInputs::new(u64::from(sizes[0] + 1)));
    let [all, chains, t] = [shape.all, shape.chains, shape.patches].map(|count| count as usize);
    let proposed = random.integers(chains * t, 8);
    let [proposed_log_p, mut log_p, threshold] = [(); 3].map(|()| random.floats(chains));
    let (mut state, mut tokens) = (random.integers(all * t, 8), random.integers(all * t, 8));
    let (mut accepted, mut progress) = (random.integers(all, 100), random.integers(chains, 4));
    let before = [&state, &tokens, &accepted, &progress].map(Clone::clone);
    let log_p_before = log_p.clone();
    for own in 0..chains {
        let chain = shape.first_chain as usize + own;
        if progress[own] == 0 {
            accepted[chain] = 0;
        }
        if proposed_log_p[own] - log_p[own] > threshold[own] {
            state[chain * t..][..t].copy_from_slice(&proposed[own * t..][..t]);
            log_p[own] = proposed_log_p[own];
            accepted[chain] += 1;
        }
        progress[own] = (progress[own] + 1) % shape.proposals;
        let sample = 2 + chain;
        if progress[own] == 0 && sample < all {
            tokens[sample * t..][..t].copy_from_slice(&state[chain * t..][..t]);
        }
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let accept = MetropolisAccept::from_case(buffers)?;
        accept.record(plan, &shape)
    };
    let [state_before, tokens_before, accepted_before, progress_before] = before;
    Case {
        name: format!("{chains} of {all} chains, {t} patches"),
        inputs: vec![
            ("proposed", proposed.into()),
            ("proposed_log_p", proposed_log_p.into()),
            ("threshold", threshold.into()),
            ("log_p", log_p_before.into()),
            ("state", state_before.into()),
            ("tokens", tokens_before.into()),
            ("accepted", accepted_before.into()),
            ("progress", progress_before.into()),
        ],
        outputs: vec![
            ("log_p", Expected::Exactly(log_p.iter().map(|value| value.to_bits()).collect())),
            ("state", Expected::Exactly(state)),
            ("accepted", Expected::Exactly(accepted)),
            ("progress", Expected::Exactly(progress)),
            ("tokens", Expected::Exactly(tokens)),
        ],
        record: Box::new(record),
    }
}
