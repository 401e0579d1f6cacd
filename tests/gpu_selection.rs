//! What a GPU would run, run on this machine's adapter: kernels selected as on an RX 6800 give the physics of the kernels
//! selected for this adapter, and the bits of results depend neither on the memory budget nor on the run.

use ketformer::gpu::{Gpu, GpuFigures};
use ketformer::model::{Activation, Norm, PositionalEncoding, Precision, Sector, Start};
use ketformer::vmc::{LocalEnergies, State};
use ketformer::{
    Attention, Hamiltonian, Heisenberg, Lattice, Lptf, Metropolis, Model, Optimizer, Patch, Proposal, Ptf, Rbm, Rnn,
    Rydberg, StochasticReconfiguration, Subsampler, TrainConfig, Trainer, Vit,
};

/// This machine's adapter, with the kernels of an RX 6800.
fn as_rx6800() -> Gpu {
    Gpu::new().unwrap().selecting_as(GpuFigures::find("rx6800").unwrap())
}

fn adam() -> TrainConfig {
    TrainConfig { samples: 96, seed: 5, ..TrainConfig::default() }
}

/// Energies of three steps, and the weights after them.
fn trained(gpu: &Gpu, lattice: &Lattice, model: &dyn Model, config: &TrainConfig) -> (Vec<f64>, Vec<u32>) {
    let mut trainer = Trainer::new(gpu, lattice, &Rydberg::default(), model, config.clone()).unwrap();
    let energies = trainer.steps(3).map(|report| report.unwrap().energy).collect();
    let weights = trainer.weights().unwrap();
    let bits = weights.tensors.values().flat_map(|tensor| tensor.values.iter().map(|value| value.to_bits())).collect();
    (energies, bits)
}

fn agrees(lattice: Lattice, model: &dyn Model, config: TrainConfig) {
    let (found, _) = trained(&as_rx6800(), &lattice, model, &config);
    let (expected, _) = trained(&Gpu::new().unwrap(), &lattice, model, &config);
    for (found, expected) in found.iter().zip(&expected) {
        // Rounding errors change a sample where a random number is within them of a cumulative probability.
        assert!((found - expected).abs() < 2e-3 * expected.abs().max(1.0), "{found}, expected {expected}");
    }
}

fn ptf() -> Ptf {
    Ptf { patch: Patch::Block([2, 2]), width: 32, heads: 4, feed_forward: 256, ..Ptf::default() }
}

#[test]
fn transformers_agree() {
    agrees(Lattice::square(4, 4), &ptf(), adam());
    agrees(Lattice::square(4, 4), &Ptf { norm: Norm::Pre, activation: Activation::Gelu, width: 64, ..ptf() }, adam());
    agrees(Lattice::square(4, 4), &Ptf { attention: Attention::Linear, ..ptf() }, adam());
    agrees(
        Lattice::square(6, 3),
        &Ptf { patch: Patch::Line(1), width: 36, heads: 2, feed_forward: 20, ..ptf() },
        adam(),
    );
}

/// Compares log P, phases and local energies of fixed configurations, and log P of all connected ones.
fn amplitudes_agree(lattice: Lattice, hamiltonian: &dyn Hamiltonian, model: &dyn Model, precision: Precision) {
    let weights = model.layout(&lattice).unwrap().initial(3);
    // Half of the sites are occupied, in different places.
    let sites = lattice.sites();
    let configurations: Vec<Vec<u8>> = (0..13)
        .map(|shift| (0..sites).map(|site| u8::from((5 * site + shift) % sites < sites / 2)).collect())
        .collect();
    let of = |gpu: &Gpu| {
        let state = State::new(gpu, &lattice, model, &weights).with_precision(precision);
        state.local_energies(hamiltonian, &configurations).unwrap()
    };
    let values = |energies: LocalEnergies| {
        let LocalEnergies { log_p, phase, energy, energy_imaginary, moved_log_p, .. } = energies;
        [log_p, phase, energy, energy_imaginary, moved_log_p.concat()]
    };
    let (found, expected) = (values(of(&as_rx6800())), values(of(&Gpu::new().unwrap())));
    let tolerance = if precision == Precision::Mixed { 5e-3 } else { 2e-5 };
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{found}, expected {expected}");
    }
}

#[test]
fn sequences_decoded_in_one_launch_agree() {
    let rydberg = Rydberg::default();
    let trained = Ptf {
        norm: Norm::Pre,
        activation: Activation::Gelu,
        start: Start::Learned,
        position: PositionalEncoding::Learned,
        width: 64,
        layers: 3,
        ..ptf()
    };
    let square = || Lattice::square(4, 4);
    amplitudes_agree(square(), &rydberg, &ptf(), Precision::Single);
    amplitudes_agree(square(), &rydberg, &trained, Precision::Single);
    amplitudes_agree(square(), &rydberg, &Ptf { patch: Patch::Block([4, 2]), ..ptf() }, Precision::Single);
    amplitudes_agree(
        square(),
        &rydberg,
        &Ptf { patch: Patch::Line(1), width: 12, heads: 3, ..ptf() },
        Precision::Single,
    );
    let half = Gpu::new().unwrap().features().contains(wgpu::Features::SHADER_F16);
    let mixed = if half { Precision::Mixed } else { Precision::Single };
    amplitudes_agree(square(), &rydberg, &ptf(), mixed);
    let complex = Ptf { phase: true, sector: Sector::ZeroMagnetization, ..ptf() };
    amplitudes_agree(square(), &Heisenberg::default(), &complex, Precision::Single);
}

#[test]
fn recurrent_wave_functions_agree() {
    let rnn = Rnn { patch: Patch::Block([2, 2]), width: 20, ..Rnn::default() };
    agrees(Lattice::square(4, 4), &rnn, adam());
    let transformer = Ptf { patch: Patch::Block([4, 2]), width: 20, ..ptf() };
    agrees(Lattice::square(4, 4), &Lptf { transformer, subsampler: Subsampler::Rnn(rnn) }, adam());
}

#[test]
fn markov_chain_wave_functions_agree() {
    agrees(Lattice::square(4, 4), &Rbm { alpha: 2.0, ..Rbm::default() }, adam());
    let sampling = Metropolis { proposal: Proposal::Flip, ..Vit::default_sampling() };
    let vit = Vit { patch: Patch::Block([2, 2]), width: 24, heads: 4, sampling, ..Vit::default() };
    agrees(Lattice::square(4, 4), &vit, adam());
}

#[test]
fn stochastic_reconfiguration_agrees() {
    let optimizer = Optimizer::StochasticReconfiguration(StochasticReconfiguration::default());
    agrees(Lattice::square(4, 4), &Ptf { feed_forward: 64, ..ptf() }, TrainConfig { optimizer, ..adam() });
}

#[test]
fn bits_depend_neither_on_the_run_nor_on_the_memory() {
    let lattice = Lattice::square(4, 4);
    let config = TrainConfig { samples: 400, ..adam() };
    let (_, expected) = trained(&as_rx6800(), &lattice, &ptf(), &config);
    for memory in [None, Some(24 << 20)] {
        let (_, found) = trained(&as_rx6800(), &lattice, &ptf(), &TrainConfig { memory, ..config.clone() });
        assert!(found == expected, "other bits with memory {memory:?}");
    }
}
