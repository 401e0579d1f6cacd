//! Trainer of a GPT: replays the plans of the gradient of a batch and of the update.

use std::collections::VecDeque;

use super::config::GptTrainConfig;
use super::readback::{Readback, StepResults};
use super::source::{Source, StepBatches, WeightedBatch};
use super::steps::GptSteps;
use super::tuning::{TuneConfig, Tuning};
use crate::error::{Error, ErrorKind, Result};
use crate::gpt::layout::GptLayout;
use crate::gpt::network::{Gpt, TrainingPass};
use crate::gpt::{Batches, GptConfig, GptReport, IGNORED, RewardReport};
use crate::gpu::{Buffer, Gpu, Plan};
use crate::host_memory;
use crate::kernels::nn::adam::AdamRates;
use crate::model::Weights;
use crate::vmc::Checkpoint;
use crate::vmc::step::buffers::{INPUT_WORDS, StepInputs};
use crate::vmc::train::adam::{AdamBuffers, AdamInputs};
use crate::vmc::train::known_state::{KnownState, check_at_rest};
use crate::vmc::train::replay::Replay;

/// Mean cross-entropy.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Loss {
    /// Mean in nats per token.
    pub mean: f64,
    /// Standard error of the mean, for independent tokens.
    pub error: f64,
    /// Number of tokens.
    pub tokens: u64,
}

impl Loss {
    /// Mean of the cross-entropies of the positions that have a target, in f64.
    pub(crate) fn of_targets(losses: &[f32], targets: &[u32]) -> Self {
        let (mut tokens, mut sum, mut squares) = (0u64, 0.0, 0.0);
        for (loss, _) in losses.iter().zip(targets).filter(|(_, target)| **target != IGNORED) {
            let loss = f64::from(*loss);
            tokens += 1;
            sum += loss;
            squares += loss * loss;
        }
        let count = tokens as f64;
        let mean = sum / count;
        let variance = (squares / count - mean * mean).max(0.0) * count / (count - 1.0);
        Self { mean, error: (variance / count).sqrt(), tokens }
    }
}

/// Plans of a step.
struct Plans {
    /// Gradient of the first batch, and the update if there is only one batch.
    first: Plan,
    /// Gradient of a further batch, added to that of the earlier ones, and the update.
    further: Option<(Plan, Plan)>,
    /// Cross-entropy of a batch.
    loss: Plan,
}

/// Trainer of a GPT.
pub struct GptTrainer {
    gpt: Gpt,
    config: GptTrainConfig,
    source: Source,
    pass: TrainingPass,
    adam: AdamBuffers,
    step: Buffer,
    plans: Plans,
    readback: Readback,
    replay: Replay,
    /// Targets and rewards of each step in flight.
    steps: VecDeque<(Vec<u32>, Option<RewardReport>)>,
    submitted: u64,
    /// Newest state that the host knows.
    known: KnownState,
    /// Error of the data or the reward of the step after the last submitted one.
    source_fault: Option<Error>,
}

/// Checks that the buffers of training `sequences` windows fit into the budget, before any of them is allocated; with
/// `is_tuned`, also those of sampling and of the GPT before tuning.
fn check_memory(
    gpu: &Gpu,
    gpt: &GptConfig,
    config: &GptTrainConfig,
    (sequences, is_tuned): (usize, bool),
) -> Result<()> {
    let layout = GptLayout::new(gpt);
    let budget = config.memory.unwrap_or(gpu.default_memory());
    let needed = gpu.dry_run(|gpu| {
        let gpt = Gpt::without_values(gpu, gpt)?;
        TrainingPass::new(&gpt, sequences as u32, config.dropout)?;
        AdamBuffers::new(gpu, layout.device.elements())?;
        if is_tuned {
            Tuning::dry_run(&gpt, sequences)?;
        }
        Readback::new(gpu, sequences * gpt.config.block, config.accumulate as usize)
    })?;
    if needed.excess > 0
        && let Some((label, bytes)) = needed.largest
    {
        let message = format!(
            "gpt: buffer `{label}` needs {} MiB, more than this adapter allows; give a batch of fewer windows",
            bytes >> 20
        );
        return Err(Error::new(ErrorKind::Memory, message));
    }
    let remedy = match is_tuned {
        true => "fewer prompts in a step",
        false => "smaller batches and a larger GptTrainConfig::accumulate",
    };
    if needed.bytes > budget {
        let of_parameters = 16 * layout.device.elements();
        let message = format!(
            "gpt: training {sequences} windows of {} tokens needs {} MiB, {} MiB of them for parameters, gradient and \
             moments, and the budget is {} MiB; give GptTrainConfig::memory={}MiB, or {remedy}",
            gpt.block,
            needed.bytes.div_ceil(1 << 20),
            of_parameters >> 20,
            budget >> 20,
            needed.bytes.div_ceil(1 << 20)
        );
        return Err(Error::new(ErrorKind::Memory, message));
    }
    host_memory::check("the initial parameters", 8 * layout.device.elements(), "use a smaller model")
}

impl GptTrainer {
    /// Records the plans of a step and writes the initial weights for the seed.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for invalid settings or batches of another block, [`ErrorKind::Memory`] if the budget or an
    /// adapter limit is too small.
    pub fn new(gpu: &Gpu, gpt: &GptConfig, config: GptTrainConfig, batches: Box<dyn Batches>) -> Result<Self> {
        gpt.check()?;
        config.check()?;
        let (sequences, block) = batches.shape();
        if block != gpt.block || sequences == 0 {
            let message = format!(
                "gpt: batches of {sequences} windows of {block} tokens for a block of {}; give batches of the same block",
                gpt.block
            );
            return Err(Error::new(ErrorKind::Settings, message));
        }
        check_memory(gpu, gpt, &config, (sequences, false))?;
        let gpt = Gpt::new(gpu, gpt, &gpt.initial(config.seed))?;
        Self::of(gpt, config, Source::Data(batches))
    }

    /// Trainer that maximizes the expected reward of continuations, from the weights `start`. Steps have one batch, no
    /// dropout and no evaluation.
    ///
    /// # Errors
    /// As [`GptTrainer::new`]; [`ErrorKind::Weights`] if the weights do not fit the GPT; [`ErrorKind::Settings`] for
    /// fewer than two prompts, or prompts and continuations longer than the block.
    pub fn tuning(
        gpu: &Gpu,
        gpt: &GptConfig,
        config: GptTrainConfig,
        start: &Weights,
        tune: TuneConfig,
    ) -> Result<Self> {
        gpt.check()?;
        config.check()?;
        let config = GptTrainConfig { accumulate: 1, dropout: 0.0, eval_interval: 0, ..config };
        check_memory(gpu, gpt, &config, (tune.prompts.prompts(1).len(), true))?;
        let gpt = Gpt::new(gpu, gpt, start)?;
        let tuning = Tuning::new(&gpt, start, config.seed, tune)?;
        Self::of(gpt, config, Source::Reward(Box::new(tuning)))
    }

    fn of(gpt: Gpt, config: GptTrainConfig, source: Source) -> Result<Self> {
        let gpu = &gpt.gpu.clone();
        let (sequences, block) = source.shape(gpt.config.block);
        let pass = TrainingPass::new(&gpt, sequences as u32, config.dropout)?;
        let adam = AdamBuffers::new(gpu, gpt.layout.device.elements())?;
        let step = gpu.buffer("ketformer.step", INPUT_WORDS)?;
        let plans = Self::plans(&gpt, &pass, &adam, &step, &config)?;
        let readback = Readback::new(gpu, sequences * block, config.accumulate as usize)?;
        gpu.flush()?;
        Ok(Self {
            gpt,
            config,
            source,
            pass,
            adam,
            step,
            plans,
            readback,
            replay: Replay::default(),
            steps: VecDeque::new(),
            submitted: 0,
            known: KnownState::new("GptTrainer"),
            source_fault: None,
        })
    }

    fn plans(
        gpt: &Gpt,
        pass: &TrainingPass,
        adam: &AdamBuffers,
        step: &Buffer,
        config: &GptTrainConfig,
    ) -> Result<Plans> {
        let gpu = &gpt.gpu;
        let update = |plan: &mut Plan| {
            plan.scope("update");
            plan.keep_together();
            let rates = AdamRates {
                beta1: config.betas.0 as f32,
                beta2: config.betas.1 as f32,
                decay: config.weight_decay as f32,
                decayed: gpt.layout.decayed as u32,
                ..AdamRates::default()
            };
            let inputs = AdamInputs { finite: pass.head_rows.loss.view(), step: step.view() };
            adam.record(plan, &gpt.parameters, inputs, config.clip.map(|clip| clip as f32), rates)
        };
        let (mut first, mut loss) = (Plan::new(gpu), Plan::new(gpu));
        pass.record_gradient(&mut first, false)?;
        pass.record_loss(&mut loss)?;
        let further = match config.accumulate {
            1 => {
                update(&mut first)?;
                None
            }
            _ => {
                let (mut further, mut end) = (Plan::new(gpu), Plan::new(gpu));
                pass.record_gradient(&mut further, true)?;
                update(&mut end)?;
                Some((further, end))
            }
        };
        Ok(Plans { first, further, loss })
    }

    /// Ends [`GptSteps`] early if `stop` returns true. It is called before each step, and several times within a step
    /// that takes longer than a second. A step that it stops is discarded.
    pub fn stop_when(&mut self, stop: impl Fn() -> bool + Send + 'static) {
        self.replay = Replay::stopped_by(stop);
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpt.gpu
    }

    /// Sizes and options of the GPT.
    pub fn gpt(&self) -> &GptConfig {
        &self.gpt.config
    }

    /// Returns an iterator over the reports of the next `steps` steps. A step is submitted when its report or that of
    /// the previous step is requested.
    ///
    /// If the iterator is dropped early, the next call returns the reports of steps in flight first.
    pub fn steps(&mut self, steps: u64) -> GptSteps<'_> {
        if self.readback.is_empty() {
            self.readback.restart_clock();
        }
        GptSteps { trainer: self, left: steps, failed: false }
    }

    /// Whether another step can be submitted. Steps that run in pieces, or after which held-out data is evaluated, have
    /// no step after them in flight.
    pub(super) fn has_room(&self) -> bool {
        let is_alone = self.replay.is_in_pieces() || self.config.evaluates_after(self.submitted);
        !self.readback.is_full() && (self.readback.is_empty() || !is_alone)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.replay.is_stopped()
    }

    /// Runs `plan`, in pieces if steps take long. Returns `false` if it was stopped.
    fn run(&self, plan: &Plan) -> Result<bool> {
        if self.replay.is_in_pieces() {
            return self.replay.run(plan);
        }
        plan.submit();
        Ok(true)
    }

    /// Submits the next step. Returns `false` if it was stopped and discarded, or if there is a [`Self::source_fault`].
    pub(super) fn submit_step(&mut self) -> Result<bool> {
        let step = self.submitted + 1;
        let count = self.config.accumulate;
        let StepBatches { batches, reward } = match self.source.step(step, count) {
            Ok(batches) => batches,
            Err(error) if self.gpt.gpu.is_lost() => return Err(error),
            Err(error) => {
                self.source_fault = Some(error);
                return Ok(false);
            }
        };
        let targets = batches.iter().flat_map(|weighted| weighted.batch.targets.iter().copied()).collect();
        let learning_rate = self.config.rate(step);
        let inputs = StepInputs { seed: self.config.seed, step, learning_rate, temperature: 0.0 };
        self.step.write(&self.gpt.gpu, &inputs.words())?;
        self.pass.clear();
        for (at, WeightedBatch { batch, weights }) in batches.iter().enumerate() {
            self.pass.load_weighted(batch, weights)?;
            self.pass.set_batch(self.config.seed, (step - 1) * count + at as u64)?;
            let plan = match &self.plans.further {
                Some((further, _)) if at > 0 => further,
                _ => &self.plans.first,
            };
            if !self.run(plan)? {
                return Ok(false);
            }
            self.readback.copy_batch(at, [&self.pass.head_rows.loss, &self.pass.head_rows.entropy]);
        }
        if let Some((_, update)) = &self.plans.further {
            self.run(update)?;
        }
        self.readback.complete(step, &self.adam.state);
        self.steps.push_back((targets, reward));
        self.submitted = step;
        Ok(true)
    }

    /// Waits for the oldest step in flight and returns its report; `None` if there is none.
    pub(super) fn receive(&mut self) -> Result<Option<GptReport>> {
        let Some(StepResults { step, state, loss, entropy, seconds }) = self.readback.receive()? else {
            return Ok(None);
        };
        let (targets, reward) = self.steps.pop_front().unwrap_or_default();
        // Rows without target have no entropy.
        let (rows, block) = (targets.len(), self.gpt.config.block);
        let entropy = entropy.iter().map(|entropy| f64::from(*entropy)).sum::<f64>() / (rows / block) as f64;
        let reward = reward.map(|reward| RewardReport { entropy, ..reward });
        let loss = Loss::of_targets(&loss, &targets);
        let validation_loss = match self.config.evaluates_after(step) && self.source.validation_batches() > 0 {
            true => Some(self.evaluate(self.config.eval_batches)?.mean),
            false => None,
        };
        self.replay.took(seconds);
        self.known.report(step);
        if validation_loss.is_some() {
            self.readback.restart_clock();
        }
        Ok(Some(GptReport {
            step,
            loss: loss.mean,
            loss_error: loss.error,
            validation_loss,
            gradient_norm: f64::from(state[4]),
            learning_rate: self.config.rate(step),
            tokens: loss.tokens,
            accepted: state[3] == 1.0,
            reward,
            seconds,
        }))
    }

    /// Mean cross-entropy of the first `batches` validation batches, or of all if 0, without dropout.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if there is no held-out data; [`ErrorKind::Device`] if the device was lost.
    pub fn evaluate(&self, batches: u64) -> Result<Loss> {
        let all = self.source.validation_batches();
        if all == 0 {
            let message = "gpt: there is no held-out data to evaluate; give a validation fraction above 0";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let count = if batches == 0 { all } else { batches.min(all) };
        let (mut losses, mut targets) = (Vec::<f32>::new(), Vec::new());
        for index in 0..count {
            let batch = self.source.validation(index);
            self.pass.load(&batch, 1.0)?;
            self.plans.loss.run()?;
            losses.extend(self.pass.head_rows.loss.read::<f32>(&self.gpt.gpu, batch.targets.len())?);
            targets.extend(batch.targets);
        }
        Ok(Loss::of_targets(&losses, &targets))
    }

    /// Returns the weights after the last submitted step.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if the device was lost.
    pub fn weights(&self) -> Result<Weights> {
        self.gpt.gpu.block_on(self.weights_async())
    }

    /// As [`GptTrainer::weights`], without blocking.
    ///
    /// # Errors
    /// As [`crate::gpu::View::read_async`].
    pub async fn weights_async(&self) -> Result<Weights> {
        self.gpt.read_async().await
    }

    /// Replaces the weights and resets the state of the optimizer.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if they do not fit the GPT, in which case nothing is changed.
    pub fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        self.gpt.write(weights)?;
        self.known.forget();
        self.adam.forget(&self.gpt.gpu)
    }

    /// Returns the state that later steps depend on, in addition to the settings and the data. A trainer with the same
    /// ones that is [restored](Self::restore) from it continues bit for bit on the same adapter.
    ///
    /// After the device was lost or a step failed, the result is the newest state that the host knows: that of the last
    /// call of this function or of [`GptTrainer::restore`].
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] while steps are in flight; [`ErrorKind::Device`] if the device was lost or a step failed,
    /// and no state is known.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        self.known.checkpoint(&self.gpt.gpu, self.readback.is_empty(), || self.read_checkpoint())
    }

    fn read_checkpoint(&self) -> Result<Checkpoint> {
        let optimizer = self.adam.keep(&self.gpt.gpu, &self.gpt.layout.device)?;
        Ok(Checkpoint { step: self.submitted, weights: self.weights()?, optimizer, chains: Vec::new() })
    }

    /// Resumes after the step of `checkpoint`.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if it does not fit the GPT, in which case nothing is changed; [`ErrorKind::Settings`] while
    /// steps are in flight; [`ErrorKind::Device`] if the device was lost.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        if self.known.has_failed() {
            self.gpt.gpu.wait(None)?;
            self.readback.reset()?;
            self.steps.clear();
        }
        check_at_rest(self.readback.is_empty())?;
        self.gpt.config.check_weights(&checkpoint.weights)?;
        self.adam.restore(&self.gpt.gpu, &self.gpt.layout.device, &checkpoint.optimizer)?;
        self.gpt.write(&checkpoint.weights)?;
        self.submitted = checkpoint.step;
        self.known.restored(checkpoint);
        Ok(())
    }

    /// Checks that no step failed, after which the state on the device is unknown.
    pub(super) fn check_known(&self) -> Result<()> {
        self.known.check()
    }

    /// Error of the data or the reward of the next step, once. The state after the last step is known.
    pub(super) fn source_fault(&mut self) -> Option<Error> {
        self.source_fault.take()
    }

    /// Error of a step that failed.
    pub(super) fn fail(&mut self, error: Error) -> Error {
        self.known.fail(&self.gpt.gpu, error)
    }

    /// Number of trained parameters.
    pub fn parameters(&self) -> usize {
        self.gpt.layout.public.parameters() as usize
    }

    /// Bytes of this crate's buffers on the trainer's device, including those of other trainers.
    pub fn memory(&self) -> u64 {
        self.gpt.gpu.allocated()
    }

    /// Returns the plan of the gradient of a batch, for profiles.
    pub fn plan(&self) -> &Plan {
        &self.plans.first
    }
}
