//! Table of wave functions, each with generic weights.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ketformer::gpu::Gpu;
use ketformer::kernels::RandomInputs;
use ketformer::model::{
    Activation, Attention, AttentionLayers, Cell, Lptf, Metropolis, Model, Norm, PositionalEncoding, Proposal, Ptf,
    Rbm, Rnn, Sector, Start, Subsampler, Vit, VitAttention, Weights, check_sector,
};
use ketformer::physics::{Hamiltonian, Lattice, Patch};
use ketformer::vmc::{Amplitudes, State};

use super::devices::devices;
use super::hamiltonians::{EXCHANGE, FRUSTRATED, ISING, hamiltonians};
use super::own_wave_function::OwnWaveFunction;

/// Amplitudes by name of the case and seed of its weights.
type Enumerations = BTreeMap<(&'static str, u64), Arc<Amplitudes>>;

/// Wave function on a lattice that is small enough for a full sum.
pub struct Case {
    pub name: &'static str,
    pub lattice: Lattice,
    pub model: Box<dyn Model>,
    /// Amplitude of the noise on its weights.
    pub amplitude: f32,
}

/// All wave functions under test.
pub fn cases() -> Vec<Case> {
    [ptf_cases(), rnn_cases(), lptf_cases(), rbm_cases(), vit_cases(), sector_cases(), complex_cases(), own_cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// The wave function that an example builds from public layers.
fn own_cases() -> Vec<Case> {
    let model = OwnWaveFunction { width: 8, heads: 2, layers: 2 };
    vec![Case { name: "own, 2x1 on 4x2", lattice: Lattice::square(4, 2), model: Box::new(model), amplitude: 0.4 }]
}

/// All options of attention of the autoregressive transformers. A further one does not compile before it is added here.
pub fn attentions() -> Vec<Attention> {
    let next = |attention: &Attention| match attention {
        Attention::Softmax => Some(Attention::Linear),
        Attention::Linear => None,
    };
    std::iter::successors(Some(Attention::Softmax), next).collect()
}

/// First case of each kind. A kind is a family, real or complex, over all configurations or over a sector, with one
/// kind of attention.
pub fn kinds() -> Vec<Case> {
    let mut seen = Vec::new();
    let mut is_new = |case: &Case| {
        let attention = case.attention().map(|layers| (layers.kind, layers.attention));
        let kind = (case.model.name(), case.model.is_complex(), case.model.conserves_magnetization(), attention);
        let new = !seen.contains(&kind);
        seen.push(kind);
        new
    };
    cases().into_iter().filter(|case| is_new(case)).collect()
}

/// Every case with its default Hamiltonian, and one case of each kind with all Hamiltonians that it supports.
pub fn problems() -> Vec<(Case, Vec<&'static dyn Hamiltonian>)> {
    let kinds: Vec<&str> = kinds().iter().map(|case| case.name).collect();
    let with = |case: Case| {
        let hamiltonians = if kinds.contains(&case.name) { case.hamiltonians() } else { vec![case.hamiltonian()] };
        (case, hamiltonians)
    };
    cases().into_iter().map(with).collect()
}

/// One case of each kind with one of the Hamiltonians that it supports, cycling through them from case to case.
pub fn in_turn() -> Vec<(Case, &'static dyn Hamiltonian)> {
    let kinds: Vec<&str> = kinds().iter().map(|case| case.name).collect();
    let with = |(turn, case): (usize, Case)| {
        let hamiltonians = case.hamiltonians();
        let hamiltonian = hamiltonians[turn % hamiltonians.len()];
        (case, hamiltonian)
    };
    let all = cases().into_iter().enumerate().map(with);
    all.filter(|(case, _)| kinds.contains(&case.name)).collect()
}

/// PTF of (patch, width, heads, layers, feed-forward width).
fn ptf(patch: Patch, width: usize, heads: usize, layers: usize, feed_forward: usize) -> Ptf {
    Ptf { patch, width, heads, layers, feed_forward, ..Ptf::default() }
}

fn ptf_cases() -> Vec<Case> {
    let row = |name, lattice, model: Ptf| Case { name, lattice, model: Box::new(model), amplitude: 0.5 };
    vec![
        row("ptf, 2x2 on 4x4", Lattice::square(4, 4), ptf(Patch::Block([2, 2]), 16, 4, 2, 24)),
        row("ptf, single sites of a chain of 8", Lattice::chain(8), ptf(Patch::Line(1), 12, 3, 2, 20)),
        row(
            "ptf, pairs of a chain of 10, textbook positions",
            Lattice::chain(10),
            Ptf { position: PositionalEncoding::Sinusoidal, ..ptf(Patch::Line(2), 16, 2, 2, 32) },
        ),
        row("ptf, 2x1 on 4x3", Lattice::square(4, 3), ptf(Patch::Block([2, 1]), 8, 2, 2, 16)),
        row("ptf, a single patch", Lattice::square(2, 2), ptf(Patch::Block([2, 2]), 8, 2, 2, 16)),
        row("ptf, three layers, heads of width 5", Lattice::square(2, 4), ptf(Patch::Block([1, 2]), 20, 4, 3, 12)),
        row("ptf, lines of 3 on 3x3, one head, one layer", Lattice::square(3, 3), ptf(Patch::Line(3), 8, 1, 1, 8)),
        row("ptf, 2x3 on 4x3, wide head", Lattice::square(4, 3), ptf(Patch::Block([2, 3]), 36, 1, 1, 40)),
        row(
            "ptf, linear attention over three chunks of a chain of 12",
            Lattice::chain(12),
            Ptf { attention: Attention::Linear, ..ptf(Patch::Line(1), 16, 4, 2, 24) },
        ),
        row(
            "ptf, linear attention, single sites of 3x3, heads of width 5",
            Lattice::square(3, 3),
            Ptf { attention: Attention::Linear, ..ptf(Patch::Block([1, 1]), 20, 4, 2, 24) },
        ),
        row(
            "ptf, norms before the parts of a layer, gelu",
            Lattice::square(3, 4),
            Ptf { norm: Norm::Pre, activation: Activation::Gelu, ..ptf(Patch::Block([1, 2]), 16, 2, 2, 20) },
        ),
        row(
            "ptf, learned positions and start",
            Lattice::chain(9),
            Ptf { position: PositionalEncoding::Learned, start: Start::Learned, ..ptf(Patch::Line(1), 16, 4, 1, 20) },
        ),
        row(
            "ptf, linear attention, norms before, gelu, learned positions and start",
            Lattice::square(3, 4),
            Ptf {
                attention: Attention::Linear,
                norm: Norm::Pre,
                activation: Activation::Gelu,
                position: PositionalEncoding::Learned,
                start: Start::Learned,
                ..ptf(Patch::Block([1, 1]), 12, 4, 2, 20)
            },
        ),
    ]
}

fn rnn_cases() -> Vec<Case> {
    let row = |name, lattice, (patch, width, cell), amplitude| {
        let model = Rnn { patch, width, cell, ..Rnn::default() };
        Case { name, lattice, model: Box::new(model), amplitude }
    };
    let block = |sides| Patch::Block(sides);
    vec![
        row("rnn, gru, 2x2 on 6x2", Lattice::square(6, 2), (block([2, 2]), 16, Cell::Gru), 1.0),
        row("rnn, gru, single sites of a chain of 8", Lattice::chain(8), (Patch::Line(1), 36, Cell::Gru), 0.9),
        row("rnn, elman, pairs of a chain of 10", Lattice::chain(10), (Patch::Line(2), 20, Cell::Elman), 0.5),
        row("rnn, elman, 2x1 on 4x3", Lattice::square(4, 3), (block([2, 1]), 8, Cell::Elman), 1.0),
        row("rnn, gru, a single patch", Lattice::square(2, 2), (block([2, 2]), 64, Cell::Gru), 0.5),
        row("rnn, gru, lines of 3 on 3x3", Lattice::square(3, 3), (Patch::Line(3), 68, Cell::Gru), 0.5),
    ]
}

fn rbm_cases() -> Vec<Case> {
    let chains = |name, lattice, alpha| {
        // Enough sweeps for nearly independent samples of a chain.
        let sampling = Metropolis { sweeps: 20, burn_in: 100, ..Metropolis::default() };
        Case { name, lattice, model: Box::new(Rbm { alpha, sampling }), amplitude: 0.4 }
    };
    vec![
        chains("rbm, 4x3, two hidden units a site", Lattice::square(4, 3), 2.0),
        chains("rbm, chain of 8, five hidden units", Lattice::chain(8), 0.625),
        chains("rbm, chain of 11, tokens of one site", Lattice::chain(11), 1.2),
        chains("rbm, 4x4 in two tokens", Lattice::square(4, 4), 1.0),
    ]
}

/// Vision transformers with chains that flip sites or stay in a sector.
fn vit_cases() -> Vec<Case> {
    let row = |name, lattice, patch, [width, heads, layers]: [usize; 3], attention, proposal, amplitude| {
        let sampling = Metropolis { chains: None, sweeps: 5, burn_in: 10, proposal };
        let model = Vit { patch, width, heads, layers, attention, sampling };
        Case { name, lattice, model: Box::new(model), amplitude }
    };
    let (block, factored) = (|sides| Patch::Block(sides), VitAttention::Factored);
    vec![
        row("vit, 2x1 on 4x2", Lattice::square(4, 2), block([2, 1]), [12, 3, 2], factored, Proposal::Flip, 0.3),
        row("vit, lines of 3 on 3x3", Lattice::square(3, 3), block([1, 3]), [12, 2, 1], factored, Proposal::Flip, 0.4),
        row(
            "vit, softmax attention over pairs of a chain of 8",
            Lattice::chain(8),
            Patch::Line(2),
            [8, 2, 2],
            VitAttention::Softmax,
            Proposal::Flip,
            0.4,
        ),
        row(
            "vit by exchanges, 1x2 on 2x4",
            Lattice::square(2, 4),
            block([1, 2]),
            [8, 1, 2],
            factored,
            Proposal::Exchange,
            0.4,
        ),
    ]
}

/// Wave functions over the configurations with half of the sites occupied.
fn sector_cases() -> Vec<Case> {
    let row = |name, lattice, model, amplitude| Case { name, lattice, model, amplitude };
    let (block, sector) = (|sides| Patch::Block(sides), Sector::ZeroMagnetization);
    let ptf = |patch| Ptf { sector, ..ptf(patch, 16, 4, 2, 24) };
    let exchange = Metropolis { sweeps: 20, burn_in: 100, proposal: Proposal::Exchange, ..Metropolis::default() };
    vec![
        row("ptf, sector zero, 2x2 on 6x2", Lattice::square(6, 2), Box::new(ptf(block([2, 2]))), 0.5),
        row("ptf, sector zero, lines of 3 on a chain of 12", Lattice::chain(12), Box::new(ptf(Patch::Line(3))), 0.5),
        row(
            "rnn, gru, sector zero, single sites of a chain of 10",
            Lattice::chain(10),
            Box::new(Rnn { patch: Patch::Line(1), width: 20, sector, ..Rnn::default() }),
            0.5,
        ),
        row(
            "lptf of a gru, sector zero, 2x3 in 1x3 on 4x3",
            Lattice::square(4, 3),
            Box::new(Lptf {
                transformer: ptf(block([2, 3])),
                subsampler: Subsampler::Rnn(Rnn { patch: block([1, 3]), width: 16, ..Rnn::default() }),
            }),
            0.8,
        ),
        row("rbm by exchanges, 4x3", Lattice::square(4, 3), Box::new(Rbm { alpha: 2.0, sampling: exchange }), 0.4),
    ]
}

/// Complex wave functions, some in a sector.
fn complex_cases() -> Vec<Case> {
    let row = |name, lattice, model, amplitude| Case { name, lattice, model, amplitude };
    let (block, sector) = (|sides| Patch::Block(sides), Sector::ZeroMagnetization);
    let ptf = |patch, sector| Ptf { phase: true, sector, ..ptf(patch, 16, 4, 2, 24) };
    vec![
        row("ptf, complex, 2x1 on 4x3", Lattice::square(4, 3), Box::new(ptf(block([2, 1]), Sector::All)), 0.5),
        row("ptf, complex, a single patch", Lattice::square(2, 2), Box::new(ptf(block([2, 2]), Sector::All)), 0.5),
        row(
            "ptf, complex, sector zero, lines of 3 on a chain of 12",
            Lattice::chain(12),
            Box::new(ptf(Patch::Line(3), sector)),
            0.5,
        ),
        row(
            "rnn, gru, complex, pairs of a chain of 8",
            Lattice::chain(8),
            Box::new(Rnn { patch: Patch::Line(2), width: 20, phase: true, ..Rnn::default() }),
            0.6,
        ),
        row(
            "lptf of Elman's cell, complex, sector zero, 2x3 in 1x3 on 4x3",
            Lattice::square(4, 3),
            Box::new(Lptf {
                transformer: ptf(block([2, 3]), sector),
                subsampler: Subsampler::Rnn(Rnn {
                    patch: block([1, 3]),
                    width: 16,
                    cell: Cell::Elman,
                    ..Rnn::default()
                }),
            }),
            0.8,
        ),
        row(
            "lptf of a ptf, complex, 4x1 in 2x1 on 4x2",
            Lattice::square(4, 2),
            Box::new(Lptf {
                transformer: ptf(block([4, 1]), Sector::All),
                subsampler: Subsampler::Ptf(Ptf { phase: false, ..ptf(block([2, 1]), Sector::All) }),
            }),
            0.5,
        ),
    ]
}

/// Large-patched transformers with different sub-samplers.
fn lptf_cases() -> Vec<Case> {
    let row = |name, lattice, transformer, subsampler, amplitude| {
        let model = Lptf { transformer, subsampler };
        Case { name, lattice, model: Box::new(model), amplitude }
    };
    let rnn = |patch, width, cell| Subsampler::Rnn(Rnn { patch, width, cell, ..Rnn::default() });
    let block = |sides| Patch::Block(sides);
    vec![
        row(
            "lptf of a ptf, 4x1 in 2x1 on 4x3",
            Lattice::square(4, 3),
            ptf(block([4, 1]), 12, 3, 2, 16),
            Subsampler::Ptf(ptf(block([2, 1]), 8, 2, 2, 12)),
            0.8,
        ),
        row(
            "lptf of a ptf, lines of 4 in single sites on a chain of 12",
            Lattice::chain(12),
            ptf(Patch::Line(4), 8, 1, 1, 20),
            Subsampler::Ptf(Ptf { position: PositionalEncoding::Sinusoidal, ..ptf(Patch::Line(1), 20, 4, 1, 16) }),
            0.35,
        ),
        row(
            "lptf of a ptf, a single large patch",
            Lattice::square(2, 4),
            ptf(block([2, 4]), 8, 2, 1, 16),
            Subsampler::Ptf(ptf(block([1, 2]), 12, 2, 2, 16)),
            0.35,
        ),
        row(
            "lptf of a gru, 2x2 in pairs on 6x2",
            Lattice::square(6, 2),
            ptf(block([2, 2]), 16, 4, 2, 24),
            rnn(Patch::Line(2), 16, Cell::Gru),
            0.8,
        ),
        row(
            "lptf of Elman's cell, 2x3 in 1x3 on 4x3",
            Lattice::square(4, 3),
            ptf(block([2, 3]), 12, 2, 1, 16),
            rnn(block([1, 3]), 12, Cell::Elman),
            0.8,
        ),
        row(
            "lptf of a gru, a single large patch of a chain of 9",
            Lattice::chain(9),
            ptf(Patch::Line(9), 8, 2, 1, 12),
            rnn(Patch::Line(3), 8, Cell::Gru),
            0.8,
        ),
        row(
            "lptf of a gru, every option of the block in the transformer, pairs of a chain of 12",
            Lattice::chain(12),
            Ptf {
                attention: Attention::Linear,
                norm: Norm::Pre,
                activation: Activation::Gelu,
                position: PositionalEncoding::Learned,
                start: Start::Learned,
                ..ptf(Patch::Line(2), 12, 3, 2, 16)
            },
            rnn(Patch::Line(1), 12, Cell::Gru),
            0.8,
        ),
        row(
            "lptf of a ptf with norms before, gelu, learned positions and start, 2x2 in single sites on 4x2",
            Lattice::square(4, 2),
            ptf(block([2, 2]), 8, 2, 1, 12),
            Subsampler::Ptf(Ptf {
                norm: Norm::Pre,
                activation: Activation::Gelu,
                position: PositionalEncoding::Learned,
                start: Start::Learned,
                ..ptf(block([1, 1]), 12, 2, 1, 16)
            }),
            0.8,
        ),
    ]
}

impl Case {
    /// Attention layers; `None` without attention.
    pub fn attention(&self) -> Option<AttentionLayers> {
        self.model.attention(&self.lattice).unwrap()
    }

    /// Wave function of the case with `weights`.
    pub fn state<'a>(&'a self, weights: &'a Weights) -> State<'a> {
        State::new(gpu(), &self.lattice, &*self.model, weights)
    }

    /// Weights without symmetry: initial weights plus noise on every tensor, so that layers differ, biases and norms
    /// are not trivial, and some configurations are much more likely than others.
    pub fn weights(&self, seed: u64) -> Weights {
        let mut weights = self.model.layout(&self.lattice).unwrap().initial(seed);
        // A vision transformer has zeros where its units are large. Near them log P is unbounded and f16 imprecise.
        for part in ["real", "imag"].into_iter().filter(|_| self.model.name() == "vit") {
            let tensor = weights.tensors.get_mut(&format!("head.{part}.weight")).unwrap();
            tensor.values.iter_mut().for_each(|value| *value *= 0.2);
        }
        let mut random = RandomInputs::new(seed + 1000);
        for tensor in weights.tensors.values_mut() {
            let noise = random.floats(tensor.values.len());
            tensor.values.iter_mut().zip(noise).for_each(|(value, noise)| *value += self.amplitude * noise);
        }
        weights
    }

    /// All 2^N amplitudes with [`Case::weights`], computed once for all tests.
    pub fn amplitudes(&self, seed: u64) -> Arc<Amplitudes> {
        static KNOWN: Mutex<Enumerations> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap();
        let enumerate = || {
            let weights = self.weights(seed);
            self.state(&weights).full_sum().unwrap().into()
        };
        known.entry((self.name, seed)).or_insert_with(enumerate).clone()
    }

    /// log P of all 2^N configurations with [`Case::weights`].
    pub fn log_p(&self, seed: u64) -> Vec<f64> {
        self.amplitudes(seed).log_p.clone()
    }

    /// Whether P is normalized by construction. Otherwise samples come from Markov chains, and log P from the passes
    /// lacks a constant.
    pub fn is_normalized(&self) -> bool {
        self.model.chains().is_none()
    }

    /// Constant to add to log P from passes over single configurations to get log P from the full sum. `found` and
    /// `enumerated` are the two values for one configuration.
    pub fn constant(&self, found: f64, enumerated: f64) -> f64 {
        if self.is_normalized() { 0.0 } else { enumerated - found }
    }

    /// Number of rows of a sample in the row sums of gradients.
    pub fn rows_of_a_sample(&self) -> usize {
        self.model.training_rows(&self.model.patching(&self.lattice).unwrap()) as usize
    }

    /// Weights of seed 1, scaled so that the passes overflow.
    pub fn overflowing(&self) -> Weights {
        let mut weights = self.weights(1);
        // Amplitudes of an RBM saturate, so that only sums that overflow are not finite.
        let enlarged = |value: f32| if self.is_normalized() { 1e30 * value } else { f32::MAX.copysign(value) };
        weights.tensors.values_mut().flat_map(|tensor| &mut tensor.values).for_each(|value| *value = enlarged(*value));
        weights
    }

    /// Whether a bias acts on occupations, so that [`Case::emptied`] can use it.
    pub fn has_bias(&self) -> bool {
        self.model.name() != "vit"
    }

    /// Weights of seed 1 with a bias of `strength` against every occupied site.
    pub fn emptied(&self, strength: f32) -> Weights {
        let mut weights = self.weights(1);
        let layout = self.model.layout(&self.lattice).unwrap();
        // The bias of single sites comes first.
        let is_bias = |name: &str| !self.is_normalized() || name.ends_with("lin.2.bias");
        let slot = layout.slots().iter().find(|slot| is_bias(&slot.spec.name)).unwrap();
        let values = &mut weights.tensors.get_mut(&slot.spec.name).unwrap().values;
        let patching = self.model.patching(&self.lattice).unwrap();
        let expected = if self.is_normalized() { patching.outcomes() } else { patching.sites() };
        assert_eq!(values.len(), expected, "{} is not the bias of the occupations", slot.spec.name);
        let occupied = |at: usize| if self.is_normalized() { at.count_ones() as f32 } else { 1.0 };
        values.iter_mut().enumerate().for_each(|(at, value)| *value -= strength * occupied(at));
        weights
    }

    /// States of the wave function: all, or those with half of the sites occupied.
    pub fn states(&self) -> Vec<usize> {
        let sites = self.lattice.sites();
        let is_over = |state: &usize| !self.model.conserves_magnetization() || state.count_ones() as usize == sites / 2;
        (0..1 << sites).filter(is_over).collect()
    }

    /// Configurations of [`Case::states`], in the same order.
    pub fn configurations(&self) -> Vec<Vec<u8>> {
        self.states().into_iter().map(|state| self.configuration(state)).collect()
    }

    /// Hamiltonians that the wave function supports.
    pub fn hamiltonians(&self) -> Vec<&'static dyn Hamiltonian> {
        let fits = |hamiltonian: &&dyn Hamiltonian| {
            let terms = hamiltonian.terms(&self.lattice).unwrap();
            check_sector(&*self.model, &terms).is_ok() && (self.model.is_complex() || terms.is_stoquastic())
        };
        hamiltonians().into_iter().filter(fits).collect()
    }

    /// Default Hamiltonian of the wave function.
    pub fn hamiltonian(&self) -> &'static dyn Hamiltonian {
        match (self.model.conserves_magnetization(), self.model.is_complex()) {
            (false, _) => &ISING,
            (true, false) => &EXCHANGE,
            (true, true) => &FRUSTRATED,
        }
    }

    /// Configuration of a state.
    pub fn configuration(&self, index: usize) -> Vec<u8> {
        (0..self.lattice.sites()).map(|site| (index >> site & 1) as u8).collect()
    }

    /// At most `count` configurations, including the first and the last one, which are the empty and the full one
    /// unless the wave function is restricted to a sector.
    pub fn some_configurations(&self, count: usize) -> Vec<Vec<u8>> {
        let states = self.states();
        if states.len() <= count {
            return self.configurations();
        }
        let random = RandomInputs::new(3).integers(count - 2, states.len() as u32);
        [0, states.len() - 1]
            .into_iter()
            .chain(random.into_iter().map(|i| i as usize))
            .map(|i| self.configuration(states[i]))
            .collect()
    }
}

/// Index of the state of a configuration.
pub fn index(configuration: &[u8]) -> usize {
    configuration.iter().rev().fold(0, |index, n| index << 1 | usize::from(*n))
}

/// One of the devices, assigned to threads round-robin, for all tests that do not measure memory.
pub fn gpu() -> &'static Gpu {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    let gpus = devices();
    &gpus[THREAD.with(|thread| thread % gpus.len())]
}

/// All laws hold for every option of attention only if the table has it.
#[test]
fn every_attention_has_cases_of_both_transformers() {
    for attention in attentions() {
        for family in ["ptf", "lptf"] {
            let uses = |case: &Case| case.attention().is_some_and(|layers| layers.attention == Some(attention));
            let found = cases().iter().any(|case| case.model.name() == family && uses(case));
            assert!(found, "{family}: no case has Attention::{attention:?}");
        }
    }
}

/// P is neither flat nor concentrated on a single configuration.
#[test]
fn the_cases_are_not_trivial() {
    for case in cases() {
        let p: Vec<f64> = case.log_p(1).iter().map(|log_p| log_p.exp()).collect();
        let states = case.states();
        let (largest, smallest) = states.iter().map(|s| p[*s]).fold((0.0f64, 1.0f64), |(l, s), p| (l.max(p), s.min(p)));
        let outside: f64 = p.iter().sum::<f64>() - states.iter().map(|s| p[*s]).sum::<f64>();
        assert!(outside.abs() < 1e-12, "{}: {outside} outside of the sector", case.name);
        let effective = 1.0 / p.iter().map(|p| p * p).sum::<f64>();
        println!("{}: {largest:e} {smallest:e} {effective}", case.name);
        assert!(largest > 3.0 * smallest, "{}: P from {smallest:e} to {largest:e}", case.name);
        let amplitudes = case.amplitudes(1);
        let phases = states.iter().map(|s| p[*s] * amplitudes.phase[*s].cos()).sum::<f64>();
        assert_eq!(
            case.model.is_complex(),
            phases.abs() < 0.999,
            "{}: the mean of the phases' cosines is {phases}",
            case.name
        );
        assert!(effective > 3.0, "{}: {effective} configurations have all the weight", case.name);
    }
}
