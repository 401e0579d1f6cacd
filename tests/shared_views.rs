//! Views of a trainer's newest step on the device: `Trainer::share`.

use ketformer::gpu::Gpu;
use ketformer::model::{Attention, Lptf, Metropolis, Model, Proposal, Ptf, Rbm, Rnn, Subsampler, Vit, VitAttention};
use ketformer::physics::{Lattice, Patch, Rydberg};
use ketformer::vmc::{
    Budget, Optimizer, SamplingPower, SharedConfig, SharedViews, State, StepReport, StochasticReconfiguration,
    TrainConfig, Trainer,
};
use ketformer::wgpu::BufferUsages;

const SAMPLES: usize = 70;
const LATTICE: Lattice = Lattice::square(4, 4);

fn gpu() -> Gpu {
    Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one")
}

fn ptf() -> Ptf {
    Ptf { patch: Patch::Block([2, 2]), width: 16, heads: 4, layers: 2, feed_forward: 32, ..Ptf::default() }
}

fn config() -> TrainConfig {
    TrainConfig { samples: SAMPLES, learning_rate: 1e-2, ..TrainConfig::default() }
}

fn trainer(gpu: &Gpu, model: &dyn Model, config: TrainConfig) -> Trainer {
    Trainer::new(gpu, &LATTICE, &Rydberg::default(), model, config).unwrap()
}

fn reports(trainer: &mut Trainer, steps: u64) -> Vec<StepReport> {
    trainer.steps(steps).map(|report| StepReport { seconds: 0.0, ..report.unwrap() }).collect()
}

/// Occupations of the newest samples.
fn samples(gpu: &Gpu, views: &SharedViews) -> Vec<Vec<u8>> {
    let occupations: Vec<u32> = views.samples.read(gpu, SAMPLES * LATTICE.sites()).unwrap();
    let row = |row: &[u32]| row.iter().map(|n| u8::try_from(*n).unwrap()).collect();
    occupations.chunks(LATTICE.sites()).map(row).collect()
}

#[test]
fn sharing_changes_no_bit_of_training() {
    let gpu = gpu();
    let reconfiguration = Optimizer::StochasticReconfiguration(StochasticReconfiguration::default());
    let rnn = Rnn { width: 16, ..Rnn::default() };
    let models: [(&dyn Model, Optimizer); 5] = [
        (&ptf(), Optimizer::Adam),
        (&ptf(), reconfiguration),
        (&rnn, Optimizer::Adam),
        (&Rbm::default(), Optimizer::Adam),
        (&Rbm::default(), reconfiguration),
    ];
    for (model, optimizer) in models {
        let config = TrainConfig { optimizer, ..config() };
        let mut alone = trainer(&gpu, model, config.clone());
        let mut shared = trainer(&gpu, model, config);
        let first = reports(&mut alone, 1);
        assert_eq!(reports(&mut shared, 1), first, "{}", model.name());
        shared.share(&SharedConfig::default()).unwrap();
        assert_eq!(reports(&mut shared, 3), reports(&mut alone, 3), "{}", model.name());
        assert_eq!(shared.checkpoint().unwrap(), alone.checkpoint().unwrap(), "{}", model.name());
    }
}

#[test]
fn views_have_what_the_newest_step_measured() {
    let gpu = gpu();
    let n = LATTICE.sites();
    let rbm = Rbm::default();
    let models: [&dyn Model; 2] = [&ptf(), &rbm];
    for model in models {
        let mut trainer = trainer(&gpu, model, config());
        let views = trainer.share(&SharedConfig { history: 3, ..SharedConfig::default() }).unwrap();
        assert_eq!(views.energies.read::<f32>(&gpu, 12).unwrap(), [0.0; 12], "before the first step");
        let reports = reports(&mut trainer, 5);
        let samples = samples(&gpu, &views);
        assert_eq!(samples.first(), trainer.last_configuration().unwrap().as_ref());
        // Densities and correlations are those of the samples.
        let mean =
            |of: &dyn Fn(&[u8]) -> u8| samples.iter().map(|sample| f64::from(of(sample))).sum::<f64>() / SAMPLES as f64;
        let densities: Vec<f32> = views.densities.read(&gpu, n).unwrap();
        let correlations: Vec<f32> = views.correlations.read(&gpu, n * n).unwrap();
        for i in 0..n {
            assert!((f64::from(densities[i]) - mean(&|sample| sample[i])).abs() < 1e-6, "site {i}");
            for j in 0..n {
                let pair = mean(&|sample| sample[i] * sample[j]);
                let expected = pair - mean(&|sample| sample[i]) * mean(&|sample| sample[j]);
                assert!((f64::from(correlations[n * i + j]) - expected).abs() < 1e-6, "sites {i} and {j}");
            }
        }
        // Steps 4, 5 and 3 in a ring of three.
        let energies: Vec<f32> = views.energies.read(&gpu, 12).unwrap();
        for (entry, report) in energies.chunks(4).zip([3, 4, 2].map(|at: usize| &reports[at])) {
            let expected = [report.step as f64, report.energy, report.variance, report.density];
            for (value, expected) in entry.iter().zip(expected) {
                assert!((f64::from(*value) - expected).abs() <= 1e-6 * expected.abs(), "{entry:?}, {expected}");
            }
        }
        assert_eq!(views.parameters.read::<f32>(&gpu, 8).unwrap(), {
            let layout = model.layout(&LATTICE).unwrap();
            layout.flatten(&trainer.weights().unwrap()).unwrap()[..8].to_vec()
        });
    }
}

#[test]
fn attention_weights_are_those_of_the_maps() {
    let gpu = gpu();
    let linear = Ptf { attention: Attention::Linear, ..ptf() };
    let sampling = Metropolis { proposal: Proposal::Flip, ..Vit::default_sampling() };
    let vit = Vit { patch: Patch::Block([2, 2]), width: 8, heads: 2, layers: 2, sampling, ..Vit::default() };
    let rnn = Rnn { patch: Patch::Block([2, 1]), width: 16, ..Rnn::default() };
    let lptf = Lptf { transformer: ptf(), subsampler: Subsampler::Rnn(rnn) };
    let softmax = Vit { attention: VitAttention::Softmax, ..vit.clone() };
    let models: [&dyn Model; 5] = [&ptf(), &linear, &vit, &softmax, &lptf];
    for model in models {
        let Ok(Some(layers)) = model.attention(&LATTICE) else { panic!("{} has attention", model.name()) };
        let mut trainer = trainer(&gpu, model, config());
        let most = 40;
        let views = trainer.share(&SharedConfig { attention_samples: most, ..SharedConfig::default() }).unwrap();
        reports(&mut trainer, 2);
        if layers.relative.is_some() {
            assert!(views.attention.is_empty(), "{}: the weights are parameters", model.name());
            continue;
        }
        let weights = trainer.weights().unwrap();
        let state = State::new(&gpu, &LATTICE, model, &weights);
        let maps = state.attention_maps(&samples(&gpu, &views)[..most as usize]).unwrap().unwrap();
        assert_eq!(views.attention.len(), maps.layers.len(), "{}", model.name());
        for (view, heads) in views.attention.iter().zip(&maps.layers) {
            let expected: Vec<f64> = heads.iter().flatten().copied().collect();
            let shared: Vec<f32> = view.read(&gpu, expected.len()).unwrap();
            assert!(shared.iter().zip(&expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6), "{}", model.name());
            assert!(expected.iter().any(|weight| *weight > 0.0 && *weight < 1.0));
        }
    }
}

#[test]
fn frames_write_the_views_and_create_no_buffer() {
    let gpu = gpu();
    let mut blocking = trainer(&gpu, &ptf(), config());
    let expected = blocking.share(&SharedConfig::default()).unwrap();
    reports(&mut blocking, 2);
    let mut framed = trainer(&gpu, &ptf(), config());
    let views = framed.share(&SharedConfig { usages: BufferUsages::VERTEX, ..SharedConfig::default() }).unwrap();
    assert!(views.samples.wgpu().usage().contains(BufferUsages::VERTEX | BufferUsages::STORAGE));
    assert!(!expected.samples.wgpu().usage().contains(BufferUsages::VERTEX));
    let (mut steps, mut allocated) = (0, None);
    while steps < 2 {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        // Two launches at most, so that a step in part is never the third one.
        framed.advance(&mut encoder, Budget::milliseconds(0.0)).unwrap();
        gpu.queue().submit([encoder.finish()]);
        gpu.wait(None).unwrap();
        steps += usize::from(framed.poll().unwrap().is_some());
        assert_eq!(*allocated.get_or_insert(gpu.allocated()), gpu.allocated());
    }
    let read = |views: &SharedViews| -> Vec<u32> { views.energies.read(&gpu, 8).unwrap() };
    assert_eq!(read(&views), read(&expected));
}

#[test]
fn a_second_call_returns_the_same_views() {
    let gpu = gpu();
    let mut trainer = trainer(&gpu, &ptf(), config());
    let views = trainer.share(&SharedConfig::default()).unwrap();
    let launches = trainer.plan().len();
    let again = trainer.share(&SharedConfig { history: 7, ..SharedConfig::default() }).unwrap();
    assert_eq!(views.energies.wgpu(), again.energies.wgpu());
    assert_eq!(trainer.plan().len(), launches);
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let gpu = gpu();
    let empty = SharedConfig { history: 0, ..SharedConfig::default() };
    let refused = trainer(&gpu, &ptf(), config()).share(&empty).unwrap_err().to_string();
    assert!(refused.contains("history is 0; give at least 1"), "{refused}");
    let flat =
        StochasticReconfiguration { sampling_power: SamplingPower::Fixed(1.0), ..StochasticReconfiguration::default() };
    let flat = TrainConfig { optimizer: Optimizer::StochasticReconfiguration(flat), ..config() };
    let refused = trainer(&gpu, &Rbm::default(), flat).share(&SharedConfig::default()).unwrap_err().to_string();
    assert!(refused.contains("|psi|^1"), "{refused}");
}
