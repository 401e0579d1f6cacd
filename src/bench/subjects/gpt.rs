//! Benchmark of a training step of a GPT over random tokens: whole, by parts, by kernels.
//!
//! The step is that of `ketformer gpt train` without dropout, with learned positions and the projection to the vocabulary
//! tied to the embedding. Its correctness check is that of the other steps ([`super::step`]).

use super::step::{StepTrainer, described, no_step, step_rows};
use crate::bench::session::Bench;
use crate::bench::shape::BenchShape;
use crate::bench::subject::Subject;
use crate::error::Result;
use crate::gpt::{Batches, GptConfig, GptTrainConfig, GptTrainer, TokenBatch};
use crate::gpu::{Gpu, Plan};
use crate::kernels::RandomInputs;

/// Random tokens of a vocabulary.
struct RandomTokens {
    windows: usize,
    block: usize,
    vocabulary: u32,
}

impl Batches for RandomTokens {
    fn shape(&self) -> (usize, usize) {
        (self.windows, self.block)
    }

    fn training(&self, index: u64) -> TokenBatch {
        let mut random = RandomInputs::new(index);
        let [tokens, targets] = [(); 2].map(|()| random.integers(self.windows * self.block, self.vocabulary));
        TokenBatch { tokens, targets }
    }

    fn validation_batches(&self) -> u64 {
        0
    }

    fn validation(&self, index: u64) -> TokenBatch {
        self.training(index)
    }
}

impl StepTrainer for GptTrainer {
    fn plan(&self) -> &Plan {
        self.plan()
    }

    fn plans(&self) -> Vec<&Plan> {
        vec![self.plan()]
    }

    fn step(&mut self) -> Result<(bool, f64)> {
        let report = self.steps(1).next().transpose()?.ok_or_else(no_step)?;
        let finite = report.accepted && report.loss.is_finite() && report.gradient_norm.is_finite();
        Ok((finite, report.seconds))
    }
}

fn config(sizes: [u32; 6]) -> GptConfig {
    let [_, block, layers, heads, width, vocabulary] = sizes.map(|size| size as usize);
    let feed_forward = 4 * width;
    GptConfig { vocabulary, block, width, heads, layers, feed_forward, bias: false, ..GptConfig::default() }
}

/// Checks that a GPT of these sizes exists.
pub(super) fn check(sizes: [u32; 6]) -> Result<()> {
    config(sizes).check()
}

/// Trainer with the recorded plan of a step.
pub(in crate::bench) fn planned(gpu: &Gpu, shape: &BenchShape) -> Result<GptTrainer> {
    let sizes: [u32; 6] = shape.sizes()?;
    let [windows, block, .., vocabulary] = sizes;
    let tokens = RandomTokens { windows: windows as usize, block: block as usize, vocabulary };
    GptTrainer::new(gpu, &config(sizes), GptTrainConfig::default(), Box::new(tokens))
}

/// Measures the step, whole and by parts.
pub(super) fn run(session: &mut Bench<'_>, shape: &BenchShape) -> Result<()> {
    let [windows, block, ..]: [u32; 6] = shape.sizes()?;
    let subject = Subject::StepGpt;
    let Some((trainer, seconds)) = step_rows(session, subject, shape, |gpu| planned(gpu, shape))? else {
        return Ok(());
    };
    let tokens = f64::from(windows) * f64::from(block) / seconds;
    session.notes.push(format!(
        "{} {} parameters, {:.1} MiB; {tokens:.0} tokens/s",
        described(subject, shape, trainer.plan()),
        trainer.gpt().parameters(),
        trainer.gpu().allocated() as f64 / f64::from(1 << 20)
    ));
    Ok(())
}
