//! Training within frames in a browser: the energies are those of other systems within rounding.

use ketformer::gpu::Gpu;
use ketformer::model::{Model, Ptf, Rbm, Rnn};
use ketformer::physics::{Lattice, Patch, Rydberg};
use ketformer::vmc::{Optimizer, StepReport, StochasticReconfiguration, TrainConfig, Trainer};

const LATTICE: Lattice = Lattice::square(4, 2);

/// Energies of 20 steps on Mesa's software driver.
const ENERGIES: &[(&str, [f64; 20])] = &[
    (
        "ptf",
        [
            15.997575, 15.297029, 15.740446, 14.531988, 11.626131, 12.373663, 10.91947, 14.781132, 10.492775, 8.216181,
            9.519188, 8.714163, 9.495284, 7.772691, 6.157961, 6.783461, 6.583175, 5.438725, 3.890461, 5.198882,
        ],
    ),
    (
        "rnn",
        [
            18.542854, 16.918133, 18.872608, 17.685703, 14.915349, 17.316429, 19.157721, 18.562756, 15.72043,
            14.590531, 14.628085, 12.012365, 17.458572, 14.257998, 11.707723, 16.122282, 15.936762, 14.516443,
            13.052743, 13.486011,
        ],
    ),
    (
        "rbm",
        [
            9.738821, 8.500303, 10.415378, 10.130562, 8.880497, 10.19941, 9.011673, 11.519316, 9.993662, 10.753857,
            9.087271, 13.743174, 10.475837, 9.62656, 7.913473, 10.088973, 10.200958, 7.555739, 8.767767, 7.554311,
        ],
    ),
    (
        "ptf, reconfiguration",
        [
            15.997575, 15.198691, 14.830446, 13.651978, 11.574469, 12.495188, 11.971928, 13.523144, 9.951017, 7.43507,
            9.808295, 7.706534, 9.821453, 7.678315, 5.981059, 6.699336, 7.334847, 5.910326, 3.875231, 5.398428,
        ],
    ),
];

fn models() -> [(Box<dyn Model>, Optimizer); 4] {
    let ptf = Ptf { patch: Patch::Block([2, 1]), width: 16, heads: 4, feed_forward: 32, ..Ptf::default() };
    let reconfiguration = StochasticReconfiguration { momentum: 0.9, ..StochasticReconfiguration::default() };
    [
        (Box::new(ptf.clone()), Optimizer::Adam),
        (Box::new(Rnn { width: 16, ..Rnn::default() }), Optimizer::Adam),
        (Box::new(Rbm::default()), Optimizer::Adam),
        (Box::new(ptf), Optimizer::StochasticReconfiguration(reconfiguration)),
    ]
}

fn trainer(gpu: &Gpu, model: &dyn Model, optimizer: Optimizer) -> Trainer {
    let config = TrainConfig { samples: 64, learning_rate: 1e-3, optimizer, ..TrainConfig::default() };
    Trainer::new(gpu, &LATTICE, &Rydberg::default(), model, config).unwrap()
}

/// Compares with the recorded energies.
fn check(name: &str, expected: &[f64], reports: &[StepReport]) {
    assert!(reports.len() >= expected.len());
    for (step, (expected, report)) in expected.iter().zip(reports).enumerate() {
        let found = report.energy;
        assert!((found - expected).abs() < 1e-5 * expected.abs(), "{name}, step {}: {found}, not {expected}", step + 1);
    }
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn energies_are_the_recorded_ones() {
    let gpu = Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one");
    for ((model, optimizer), (name, expected)) in models().into_iter().zip(ENERGIES) {
        let reports: Vec<StepReport> = trainer(&gpu, &*model, optimizer).steps(20).map(Result::unwrap).collect();
        check(name, expected, &reports);
    }
}

/// The page's part: nothing here waits.
#[cfg(target_arch = "wasm32")]
mod page {
    use ketformer::gpt::{
        Batches, Continuation, GptConfig, GptSampler, GptTrainConfig, GptTrainer, IGNORED, SamplingSettings, TokenBatch,
    };
    use ketformer::gpu::GpuOptions;
    use ketformer::vmc::{Budget, SampleConfig, State};
    use ketformer::wgpu::CommandEncoder;
    use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

    use super::*;

    wasm_bindgen_test_configure!(run_in_browser);

    async fn gpu() -> Gpu {
        Gpu::request(&GpuOptions::default()).await.unwrap()
    }

    /// Submits what `record` records, and returns to the browser.
    async fn frame(gpu: &Gpu, record: impl FnOnce(&mut CommandEncoder)) {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        record(&mut encoder);
        gpu.queue().submit([encoder.finish()]);
        gpu.finished().await.unwrap();
    }

    /// Reports of the next `steps` steps within frames.
    async fn by_frames(trainer: &mut Trainer, steps: usize) -> Vec<StepReport> {
        let (gpu, mut reports) = (trainer.gpu().clone(), Vec::new());
        while reports.len() < steps {
            frame(&gpu, |encoder| _ = trainer.advance(encoder, Budget::milliseconds(20.0)).unwrap()).await;
            reports.extend(trainer.poll().unwrap());
        }
        reports
    }

    /// Completes the step that is recorded in part, and returns all reports.
    async fn to_rest(trainer: &mut Trainer) -> Vec<StepReport> {
        let (gpu, mut reports) = (trainer.gpu().clone(), Vec::new());
        while !trainer.is_at_rest() {
            frame(&gpu, |encoder| _ = trainer.complete(encoder, Budget::milliseconds(20.0)).unwrap()).await;
            reports.extend(trainer.poll().unwrap());
        }
        reports
    }

    #[wasm_bindgen_test]
    async fn energies_are_the_recorded_ones() {
        let gpu = gpu().await;
        for ((model, optimizer), (name, expected)) in models().into_iter().zip(ENERGIES) {
            let mut trainer = trainer(&gpu, &*model, optimizer);
            check(name, expected, &by_frames(&mut trainer, 20).await);
        }
    }

    #[wasm_bindgen_test]
    async fn a_checkpoint_continues_and_a_state_is_evaluated() {
        let gpu = gpu().await;
        for ((model, optimizer), (name, expected)) in models().into_iter().zip(ENERGIES) {
            let mut first = trainer(&gpu, &*model, optimizer);
            let mut reports = by_frames(&mut first, 3).await;
            reports.extend(to_rest(&mut first).await);
            let checkpoint = first.checkpoint_async().await.unwrap();
            assert_eq!(checkpoint.step, reports.len() as u64);
            let mut second = trainer(&gpu, &*model, optimizer);
            by_frames(&mut second, 1).await;
            second.restore(&checkpoint).unwrap();
            check(name, &expected[reports.len()..][..3], &by_frames(&mut second, 3).await);

            let state = State::new(&gpu, &LATTICE, &*model, &checkpoint.weights);
            let samples = SampleConfig { samples: 300, seed: 1 };
            let estimate = state.expect_async(&Rydberg::default(), samples).await.unwrap();
            let near = expected[reports.len()];
            assert!((estimate.energy - near).abs() < 8.0 * estimate.energy_error, "{name}: {estimate:?}, not {near}");
            let drawn = state.sample_async(samples).await.unwrap();
            assert_eq!(drawn.configurations.len(), 300);
        }
    }

    /// Sequences of two digits and then the two digits in order.
    struct Sorting;

    impl Batches for Sorting {
        fn shape(&self) -> (usize, usize) {
            (16, 3)
        }

        fn training(&self, index: u64) -> TokenBatch {
            let digits = |row: u64| [(index + row) % 4, (index + row) / 4 % 4].map(|digit| digit as u32);
            let mut batch = TokenBatch::default();
            for row in 0..16 {
                let [a, b] = digits(row);
                batch.tokens.extend([a, b, a.min(b)]);
                batch.targets.extend([IGNORED, a.min(b), a.max(b)]);
            }
            batch
        }

        fn validation_batches(&self) -> u64 {
            1
        }

        fn validation(&self, index: u64) -> TokenBatch {
            self.training(index)
        }
    }

    #[wasm_bindgen_test]
    async fn a_gpt_learns_to_sort() {
        let gpu = gpu().await;
        let gpt = GptConfig { vocabulary: 4, block: 3, width: 16, heads: 2, feed_forward: 32, ..GptConfig::default() };
        let gpt = GptConfig { layers: 2, ..gpt };
        let config = GptTrainConfig { learning_rate: 1e-2, eval_interval: 75, ..GptTrainConfig::default() };
        let mut trainer = GptTrainer::new(&gpu, &gpt, config, Box::new(Sorting)).unwrap();
        let mut reports = Vec::new();
        while reports.len() < 150 {
            frame(&gpu, |encoder| _ = trainer.advance(encoder, Budget::milliseconds(20.0)).unwrap()).await;
            reports.extend(trainer.poll().unwrap());
        }
        assert!(reports[0].loss > 1.0 && reports[149].validation_loss.unwrap() < 0.1, "{:?}", reports[149]);
        while !trainer.is_at_rest() {
            frame(&gpu, |encoder| _ = trainer.complete(encoder, Budget::milliseconds(20.0)).unwrap()).await;
            reports.extend(trainer.poll().unwrap());
        }
        let checkpoint = trainer.checkpoint_async().await.unwrap();
        assert_eq!(checkpoint.step, reports.len() as u64);
        trainer.restore(&checkpoint).unwrap();
        assert!(trainer.evaluate_async(0).await.unwrap().mean < 0.1);
        let mut sampler = GptSampler::new(&gpu, &gpt, &checkpoint.weights, 2).unwrap();
        let settings = SamplingSettings { new_tokens: 2, greedy: true, ..SamplingSettings::default() };
        let mut tokens = 0;
        let prompts = [vec![3, 1], vec![0, 2]];
        let count = |_: &[Continuation]| {
            tokens += 1;
            true
        };
        let sampled = sampler.sample_async(&prompts, &settings, count).await.unwrap();
        assert_eq!((&sampled[0].tokens[..], &sampled[1].tokens[..], tokens), (&[1, 3][..], &[0, 2][..], 2));
    }
}
