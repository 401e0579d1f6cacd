//! Steps of GPTs.

use ketformer::gpt::{
    Batches, GptConfig, GptTrainConfig, GptTrainer, Prompts, TokenBatch, TokenPositions, TokenReward, TuneConfig,
};
use ketformer::vmc::Budget;
use ketformer::{Gpu, Result};

use super::{by_frames, encoder, frame, gpu, in_flight, quiet_frame, results, to_rest};

/// A counting task: each token is followed by the next one.
struct Counting;

const SEQUENCES: usize = 4;

fn gpt() -> GptConfig {
    GptConfig {
        vocabulary: 7,
        block: 10,
        width: 16,
        heads: 2,
        layers: 2,
        feed_forward: 32,
        position: TokenPositions::Learned,
        bias: true,
        tied: true,
    }
}

impl Batches for Counting {
    fn shape(&self) -> (usize, usize) {
        (SEQUENCES, gpt().block)
    }

    fn training(&self, index: u64) -> TokenBatch {
        let token = |at: usize| (index as usize * 3 + at / gpt().block + at % gpt().block) as u32 % 7;
        let all = SEQUENCES * gpt().block;
        TokenBatch { tokens: (0..all).map(token).collect(), targets: (1..=all).map(token).collect() }
    }

    fn validation_batches(&self) -> u64 {
        3
    }

    fn validation(&self, index: u64) -> TokenBatch {
        self.training(1000 + index)
    }
}

fn trainer(gpu: &Gpu, config: &GptTrainConfig) -> GptTrainer {
    GptTrainer::new(gpu, &gpt(), config.clone(), Box::new(Counting)).unwrap()
}

fn configs() -> [GptTrainConfig; 3] {
    let base = GptTrainConfig { learning_rate: 1e-2, ..GptTrainConfig::default() };
    [
        base.clone(),
        GptTrainConfig { accumulate: 3, dropout: 0.2, ..base.clone() },
        GptTrainConfig { eval_interval: 2, accumulate: 2, ..base },
    ]
}

#[test]
fn frames_give_the_bits_of_the_blocking_steps() {
    let gpu = gpu();
    for config in configs() {
        let mut blocking = trainer(&gpu, &config);
        let expected: Vec<_> = blocking.steps(5).map(Result::unwrap).collect();
        assert_eq!(
            expected.iter().filter(|report| report.validation_loss.is_some()).count() > 0,
            config.eval_interval > 0
        );
        let mut framed = trainer(&gpu, &config);
        // One launch in a frame, and whole steps.
        let (mut reports, frames) = by_frames(&mut framed, 2, 0.0);
        assert!(frames > 20, "a frame without time has one launch, and two steps took {frames} frames");
        reports.extend(by_frames(&mut framed, 3, 1e4).0);
        assert_eq!(results(&reports), results(&expected));
        let ahead = to_rest(&mut framed).len() as u64;
        assert_eq!(blocking.steps(ahead).filter(Result::is_ok).count() as u64, ahead);
        assert_eq!(framed.checkpoint().unwrap(), blocking.checkpoint().unwrap());
    }
}

#[test]
fn a_frame_submits_nothing_waits_for_nothing_and_creates_no_buffer() {
    let gpu = gpu();
    for config in configs() {
        let mut trainer = trainer(&gpu, &config);
        by_frames(&mut trainer, 3, 2.0);
        let allocated = gpu.allocated();
        for _ in 0..40 {
            quiet_frame(&mut trainer);
            assert_eq!(gpu.allocated(), allocated);
        }
    }
}

#[test]
fn the_blocking_steps_complete_what_a_frame_began() {
    let gpu = gpu();
    for config in configs() {
        let expected: Vec<_> = trainer(&gpu, &config).steps(6).map(Result::unwrap).collect();
        for frames in [1, 30, 60, 90, 120, 150, 180] {
            let mut framed = trainer(&gpu, &config);
            let mut reports = Vec::new();
            for _ in 0..frames {
                frame(&mut framed, 0.0);
                reports.extend(framed.poll().unwrap());
            }
            reports.extend(framed.steps(2).map(Result::unwrap));
            assert_eq!(results(&reports), results(&expected[..reports.len()]));
            assert_eq!(framed.checkpoint().unwrap().step, reports.len() as u64);
        }
    }
}

#[test]
fn new_weights_and_restored_states_begin_a_partial_step_again() {
    let gpu = gpu();
    let config = &configs()[1];
    let mut blocking = trainer(&gpu, config);
    let start = blocking.checkpoint().unwrap();
    let expected: Vec<_> = blocking.steps(2).map(Result::unwrap).collect();
    let mut framed = trainer(&gpu, config);
    (0..30).for_each(|_| assert!(frame(&mut framed, 0.0)));
    framed.set_weights(&start.weights).unwrap();
    assert_eq!(results(&by_frames(&mut framed, 2, 1e4).0), results(&expected));
    frame(&mut framed, 1e4);
    framed.restore(&start).unwrap();
    assert_eq!(results(&by_frames(&mut framed, 2, 1e4).0), results(&expected));
}

#[test]
fn steps_in_flight_are_bounded_while_no_report_is_taken() {
    let steps = in_flight(&mut trainer(&gpu(), &GptTrainConfig::default()));
    assert_eq!(steps.iter().map(|report| report.step).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
}

#[test]
fn tuning_by_reward_is_refused_with_what_to_do() {
    struct Task;
    impl Prompts for Task {
        fn prompts(&self, _: u64) -> Vec<Vec<u32>> {
            vec![vec![1]; 4]
        }
    }
    impl TokenReward for Task {
        fn rewards(&mut self, prompts: &[Vec<u32>], _: &[Vec<u32>]) -> Result<Vec<f64>> {
            Ok(vec![1.0; prompts.len()])
        }
    }
    let gpu = gpu();
    let tune = TuneConfig { new_tokens: 3, beta: 0.1, prompts: Box::new(Task), reward: Box::new(Task) };
    let gpt = gpt();
    let mut trainer = GptTrainer::tuning(&gpu, &gpt, GptTrainConfig::default(), &gpt.initial(0), tune).unwrap();
    let refused = trainer.advance(&mut encoder(&gpu), Budget::milliseconds(1.0)).unwrap_err().to_string();
    assert!(refused.contains("GptTrainer::steps in a thread"), "{refused}");
}
