//! Training: progress, accumulation, resumption to the bit.

use ketformer::Result;
use ketformer::gpt::{GptReport, GptTrainConfig, GptTrainer, Prompts, TokenReward, TuneConfig};

use super::{Counting, configs, gpu};

fn trainer(kind: usize, config: &GptTrainConfig, sequences: usize) -> GptTrainer {
    let gpt = &configs()[kind];
    let batches = Counting { vocabulary: gpt.vocabulary as u32, sequences, block: gpt.block };
    GptTrainer::new(&gpu(), gpt, config.clone(), Box::new(batches)).unwrap()
}

fn reports(trainer: &mut GptTrainer, steps: u64) -> Vec<GptReport> {
    let reports: Vec<_> = trainer.steps(steps).collect::<Result<_>>().unwrap();
    reports.into_iter().map(|report| GptReport { seconds: 0.0, ..report }).collect()
}

#[test]
fn every_kind_learns_to_count() {
    for kind in 0..3 {
        let config = GptTrainConfig { learning_rate: 1e-2, eval_interval: 20, ..GptTrainConfig::default() };
        let mut trainer = trainer(kind, &config, 8);
        let reports = reports(&mut trainer, 100);
        let uniform = (configs()[kind].vocabulary as f64).ln();
        assert!((reports[0].loss - uniform).abs() < 0.3, "{}", reports[0].loss);
        assert!(reports[99].loss < 0.4 * uniform, "{kind}: {}", reports[99].loss);
        assert_eq!(reports.iter().filter(|report| report.validation_loss.is_some()).count(), 5);
        assert!(reports[99].validation_loss.unwrap() < 0.5 * uniform);
        assert!(reports.iter().all(|report| report.accepted && report.tokens == 8 * configs()[kind].block as u64));
    }
}

#[test]
fn a_restored_trainer_continues_with_the_same_bits() {
    let config = GptTrainConfig { accumulate: 2, eval_interval: 3, ..GptTrainConfig::default() };
    for kind in 0..3 {
        let mut whole = trainer(kind, &config, 3);
        let all = reports(&mut whole, 9);
        let mut first = trainer(kind, &config, 3);
        let head = reports(&mut first, 4);
        let mut second = trainer(kind, &config, 3);
        second.restore(&first.checkpoint().unwrap()).unwrap();
        let tail = reports(&mut second, 5);
        assert_eq!([head, tail].concat(), all);
        assert_eq!(second.weights().unwrap(), whole.weights().unwrap());
    }
}

/// Two batches of one step have the gradient of one batch of both.
#[test]
fn accumulated_batches_are_one_larger_batch() {
    struct Joined(Counting);
    impl ketformer::gpt::Batches for Joined {
        fn shape(&self) -> (usize, usize) {
            (2 * self.0.sequences, self.0.block)
        }
        fn training(&self, index: u64) -> ketformer::gpt::TokenBatch {
            let [mut a, b] = [2 * index, 2 * index + 1].map(|index| self.0.training(index));
            a.tokens.extend(b.tokens);
            a.targets.extend(b.targets);
            a
        }
        fn validation_batches(&self) -> u64 {
            0
        }
        fn validation(&self, index: u64) -> ketformer::gpt::TokenBatch {
            self.training(index)
        }
    }
    let gpt = &configs()[0];
    let counting = || Counting { vocabulary: 7, sequences: 3, block: gpt.block };
    let config = GptTrainConfig::default();
    let mut joined = GptTrainer::new(&gpu(), gpt, config.clone(), Box::new(Joined(counting()))).unwrap();
    let accumulated = GptTrainConfig { accumulate: 2, ..config };
    let mut two = GptTrainer::new(&gpu(), gpt, accumulated, Box::new(counting())).unwrap();
    let (a, b) = (reports(&mut joined, 1).remove(0), reports(&mut two, 1).remove(0));
    assert!((a.loss - b.loss).abs() < 1e-6 && (a.gradient_norm - b.gradient_norm).abs() < 1e-5 * a.gradient_norm);
    assert_eq!(a.tokens, b.tokens);
}

#[test]
fn dropout_changes_training_but_not_evaluation() {
    let config = |dropout: f64| GptTrainConfig { dropout, learning_rate: 1e-3, ..GptTrainConfig::default() };
    let mut dropped = trainer(0, &config(0.5), 3);
    let mut plain = trainer(0, &config(0.0), 3);
    assert_eq!(dropped.evaluate(0).unwrap(), plain.evaluate(0).unwrap());
    let (a, b) = (reports(&mut dropped, 6), reports(&mut plain, 6));
    assert!(a.iter().zip(&b).all(|(a, b)| a.loss != b.loss), "{a:?} {b:?}");
    // The same masks in a restored run.
    let mut first = trainer(0, &config(0.5), 3);
    let head = reports(&mut first, 2);
    let mut second = trainer(0, &config(0.5), 3);
    second.restore(&first.checkpoint().unwrap()).unwrap();
    assert_eq!([head, reports(&mut second, 4)].concat(), a);
}

#[test]
fn a_budget_that_is_too_small_is_refused_with_the_needed_one() {
    let gpt = &configs()[0];
    let batches = || Box::new(Counting { vocabulary: 7, sequences: 3, block: gpt.block });
    let trainer = |memory| {
        let config = GptTrainConfig { memory: Some(memory), ..GptTrainConfig::default() };
        GptTrainer::new(&gpu(), gpt, config, batches())
    };
    let message = trainer(1 << 10).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("GptTrainConfig::memory=1MiB") && message.contains("accumulate"), "{message}");
    trainer(1 << 20).unwrap();
}

#[test]
fn a_budget_that_is_too_small_for_tuning_is_refused() {
    struct Prompt;
    impl Prompts for Prompt {
        fn prompts(&self, _: u64) -> Vec<Vec<u32>> {
            vec![vec![1]; 4]
        }
    }
    impl TokenReward for Prompt {
        fn rewards(&mut self, prompts: &[Vec<u32>], _: &[Vec<u32>]) -> Result<Vec<f64>> {
            Ok(vec![1.0; prompts.len()])
        }
    }
    let gpt = &configs()[0];
    let tuning = |memory| {
        let config = GptTrainConfig { memory: Some(memory), ..GptTrainConfig::default() };
        let tune = TuneConfig { new_tokens: 3, beta: 0.1, prompts: Box::new(Prompt), reward: Box::new(Prompt) };
        GptTrainer::tuning(&gpu(), gpt, config, &gpt.initial(0), tune)
    };
    let message = tuning(1 << 10).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("GptTrainConfig::memory=") && message.contains("fewer prompts"), "{message}");
    // Equal rewards of the starting weights are no gradient.
    let report = reports(&mut tuning(1 << 21).unwrap(), 1).remove(0);
    let reward = report.reward.unwrap();
    assert_eq!((reward.mean, reward.error), (1.0, 0.0));
    assert!(report.gradient_norm < 1e-5 && reward.divergence.abs() < 1e-4, "{report:?}");
}
