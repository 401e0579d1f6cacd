//! Trainer of a GPT: replays the plans of the gradient of a batch and of the update.

use super::config::GptTrainConfig;
use super::in_flight::{ArrivedItem, Begun, Item, ItemRing, ItemSizes, STATE_WORDS};
use super::source::{Source, StepBatches, WeightedBatch};
use super::steps::GptSteps;
use super::tuning::{TuneConfig, Tuning};
use crate::error::{Error, ErrorKind, Result};
use crate::gpt::layout::GptLayout;
use crate::gpt::network::{DropoutKey, Gpt, TrainingPass};
use crate::gpt::{Batches, GptConfig, GptReport, IGNORED, RewardReport};
use crate::gpu::{Buffer, Gpu, Plan, Position, Slices};
use crate::host_memory;
use crate::kernels::nn::adam::AdamRates;
use crate::model::Weights;
use crate::vmc::Checkpoint;
use crate::vmc::step::buffers::{INPUT_WORDS, StepInputs};
use crate::vmc::train::adam::{AdamBuffers, AdamInputs};
use crate::vmc::train::known_state::KnownState;
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

/// Maximum number of items in flight before the trainer waits for the oldest one.
const ITEMS_AHEAD: usize = 2;

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
    pub(super) source: Source,
    pass: TrainingPass,
    adam: AdamBuffers,
    step: Buffer,
    plans: Plans,
    sizes: ItemSizes,
    pub(super) ring: ItemRing,
    replay: Replay,
    submitted: u64,
    /// Next batch of held-out data, while it is evaluated after the last submitted step.
    pub(super) validation: Option<u64>,
    /// Evaluation whose batches have not all arrived.
    evaluation: Option<Evaluation>,
    /// Newest state that the host knows.
    pub(super) known: KnownState,
    /// Error of the data or the reward of the step after the last submitted one.
    source_fault: Option<Error>,
    /// Item that [`GptTrainer::advance`] recorded in part.
    pub(super) partial: Option<Begun>,
    /// Times of the launches of the plans, for [`GptTrainer::advance`].
    pub(super) slices: Option<Slices>,
}

/// Evaluation of held-out data after a step.
struct Evaluation {
    /// Report of the step without the evaluation.
    report: GptReport,
    losses: Vec<f32>,
    targets: Vec<u32>,
}

/// Sizes of the inputs and results of a step.
fn item_sizes(pass: &TrainingPass, config: &GptTrainConfig) -> ItemSizes {
    let of_batch = pass.inputs().map(|(_, words)| words).sum();
    ItemSizes { rows: pass.rows().into(), batches: config.accumulate, inputs: [INPUT_WORDS, of_batch] }
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
        let pass = TrainingPass::new(&gpt, sequences as u32, config.dropout)?;
        AdamBuffers::new(gpu, layout.device.elements())?;
        if is_tuned {
            Tuning::dry_run(&gpt, sequences)?;
        }
        ItemRing::of_items(gpu, item_sizes(&pass, config))
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
        let (sequences, _) = source.shape(gpt.config.block);
        let pass = TrainingPass::new(&gpt, sequences as u32, config.dropout)?;
        let adam = AdamBuffers::new(gpu, gpt.layout.device.elements())?;
        let step = gpu.buffer("ketformer.step", INPUT_WORDS)?;
        let plans = Self::plans(&gpt, &pass, &adam, &step, &config)?;
        let sizes = item_sizes(&pass, &config);
        let ring = ItemRing::of_items(gpu, sizes)?;
        gpu.flush()?;
        Ok(Self {
            gpt,
            config,
            source,
            pass,
            adam,
            step,
            plans,
            sizes,
            ring,
            replay: Replay::default(),
            submitted: 0,
            validation: None,
            evaluation: None,
            known: KnownState::new("GptTrainer"),
            source_fault: None,
            partial: None,
            slices: None,
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
        if self.ring.is_empty() {
            self.ring.restart_clock();
        }
        GptSteps { trainer: self, left: steps, failed: false }
    }

    /// Whether another item can be submitted. Those that run in pieces are submitted one at a time.
    pub(super) fn has_room(&self) -> bool {
        self.ring.in_flight() < if self.replay.is_in_pieces() { 1 } else { ITEMS_AHEAD }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.replay.is_stopped()
    }

    /// Begins the next item: writes its inputs and encodes what precedes its first plan. Returns `None` if there is a
    /// [`Self::source_fault`].
    pub(super) fn begin(&mut self, encoder: &mut wgpu::CommandEncoder) -> Result<Option<Begun>> {
        let item = match self.validation {
            Some(index) => self.begin_validation(index)?,
            None => match self.begin_step()? {
                Some(item) => item,
                None => return Ok(None),
            },
        };
        let begun = Begun { item, complete: 0, position: Position::default() };
        self.open(encoder, &begun);
        Ok(Some(begun))
    }

    fn begin_validation(&mut self, index: u64) -> Result<Item> {
        let batch = self.source.validation(index);
        let words = self.pass.words(&batch, &batch.weights(1.0), DropoutKey::default());
        self.ring.begin(&[&[0; INPUT_WORDS as usize], &words])?;
        let is_last = index + 1 == self.evaluated_batches(self.config.eval_batches);
        Ok(Item::Validation { index, targets: batch.targets, is_last })
    }

    fn begin_step(&mut self) -> Result<Option<Item>> {
        let (step, count) = (self.submitted + 1, self.config.accumulate);
        let StepBatches { batches, reward } = match self.source.step(step, count) {
            Ok(batches) => batches,
            Err(error) if self.gpt.gpu.is_lost() => return Err(error),
            Err(error) => {
                self.source_fault = Some(error);
                return Ok(None);
            }
        };
        let (seed, learning_rate) = (self.config.seed, self.config.rate(step));
        let mut words = StepInputs { seed, step, learning_rate, temperature: 0.0 }.words().to_vec();
        for (at, WeightedBatch { batch, weights }) in batches.iter().enumerate() {
            let dropout = DropoutKey { seed, batch: (step - 1) * count + at as u64 };
            words.extend(self.pass.words(batch, weights, dropout));
        }
        self.ring.begin(&[&words])?;
        let targets = batches.iter().flat_map(|weighted| weighted.batch.targets.iter().copied()).collect();
        Ok(Some(Item::Step { step, targets, reward }))
    }

    /// The present plan of an item, with the key of its times.
    pub(super) fn plan_of(&self, begun: &Begun) -> (usize, &Plan) {
        match (&begun.item, &self.plans.further) {
            (Item::Validation { .. }, _) => (3, &self.plans.loss),
            (Item::Step { .. }, Some((_, update))) if begun.complete == self.sizes.batches as usize => (2, update),
            (Item::Step { .. }, Some((further, _))) if begun.complete > 0 => (1, further),
            (Item::Step { .. }, _) => (0, &self.plans.first),
        }
    }

    /// Encodes what precedes the present plan of an item: the copy of the inputs of its batch.
    fn open(&self, encoder: &mut wgpu::CommandEncoder, begun: &Begun) {
        let batch = begun.complete as u64;
        if batch == 0 && matches!(begun.item, Item::Step { .. }) {
            self.ring.copy_input(encoder, 0, INPUT_WORDS, &self.step);
            self.pass.clear(encoder);
        }
        if batch < self.sizes.batches {
            let mut at = self.sizes.inputs_at(batch);
            for (view, words) in self.pass.inputs() {
                self.ring.copy_input(encoder, at, words, view);
                at += words;
            }
        }
    }

    /// Encodes what follows the present plan of an item: the copy of the results of its batch, then what precedes the
    /// next plan, or the end of the item. Returns the item if it has a next plan.
    pub(super) fn next(&mut self, encoder: &mut wgpu::CommandEncoder, begun: Begun) -> Option<Begun> {
        let batch = begun.complete as u64;
        if batch < self.sizes.batches {
            let [losses, entropies] = self.sizes.results_at(batch);
            self.ring.copy_result(encoder, &self.pass.head_rows.loss, losses, self.sizes.rows);
            self.ring.copy_result(encoder, &self.pass.head_rows.entropy, entropies, self.sizes.rows);
        }
        let plans = match (&begun.item, &self.plans.further) {
            (Item::Step { .. }, Some(_)) => self.sizes.batches as usize + 1,
            _ => 1,
        };
        if begun.complete + 1 < plans {
            let next = Begun { complete: begun.complete + 1, position: Position::default(), ..begun };
            self.open(encoder, &next);
            return Some(next);
        }
        match begun.item {
            Item::Step { step, .. } => {
                self.ring.copy_result(encoder, &self.adam.state, 0, STATE_WORDS);
                self.submitted = step;
                self.validation = self.evaluates_after(step).then_some(0);
            }
            Item::Validation { index, is_last, .. } => self.validation = (!is_last).then_some(index + 1),
        }
        self.ring.end(encoder, begun.item);
        None
    }

    /// Submits the next item. Returns `false` if it was stopped and discarded, or if there is a [`Self::source_fault`].
    pub(super) fn submit(&mut self) -> Result<bool> {
        let new_encoder = |gpu: &Gpu| gpu.device().create_command_encoder(&Default::default());
        let mut encoder = new_encoder(self.gpu());
        let mut next = self.begin(&mut encoder)?;
        if next.is_none() {
            return Ok(false);
        }
        while let Some(begun) = next {
            let (_, plan) = self.plan_of(&begun);
            if self.replay.is_in_pieces() {
                self.gpu().queue().submit([encoder.finish()]);
                let ran = match begun.item {
                    Item::Step { .. } => self.replay.run(plan)?,
                    Item::Validation { .. } => plan.run().map(|()| true)?,
                };
                if !ran {
                    self.ring.discard()?;
                    return Ok(false);
                }
                encoder = new_encoder(self.gpu());
            } else {
                plan.encode_pass(&mut encoder);
            }
            next = self.next(&mut encoder, begun);
        }
        self.ring.submit(encoder);
        Ok(true)
    }

    /// Waits for the oldest item in flight. Returns a report if it was the last one of a step.
    pub(super) fn receive(&mut self) -> Result<Option<GptReport>> {
        Ok(self.ring.receive_item()?.and_then(|arrived| self.take(arrived)))
    }

    /// Takes the results of an item into account. Returns the report of its step if it was the last one.
    pub(super) fn take(&mut self, arrived: ArrivedItem) -> Option<GptReport> {
        let ArrivedItem { step: item, results, seconds } = arrived;
        let (step, targets, reward) = match item {
            Item::Step { step, targets, reward } => (step, targets, reward),
            Item::Validation { targets, is_last, .. } => {
                let evaluation = self.evaluation.as_mut()?;
                evaluation.losses.extend(&results.losses[..targets.len()]);
                evaluation.targets.extend(targets);
                if !is_last {
                    return None;
                }
                let Evaluation { report, losses, targets } = self.evaluation.take()?;
                self.ring.restart_clock();
                return Some(GptReport { validation_loss: Some(Loss::of_targets(&losses, &targets).mean), ..report });
            }
        };
        // Rows without target have no entropy.
        let sequences = (targets.len() / self.gpt.config.block) as f64;
        let entropy = results.entropies.iter().map(|entropy| f64::from(*entropy)).sum::<f64>() / sequences;
        let loss = Loss::of_targets(&results.losses, &targets);
        self.replay.took(seconds);
        self.known.report(step);
        let report = GptReport {
            step,
            loss: loss.mean,
            loss_error: loss.error,
            validation_loss: None,
            gradient_norm: f64::from(results.state[4]),
            learning_rate: self.config.rate(step),
            tokens: loss.tokens,
            accepted: results.state[3] == 1.0,
            reward: reward.map(|reward| RewardReport { entropy, ..reward }),
            seconds,
        };
        if self.evaluates_after(step) {
            self.evaluation = Some(Evaluation { report, losses: Vec::new(), targets: Vec::new() });
            return None;
        }
        Some(report)
    }

    /// Mean cross-entropy of the first `batches` validation batches, or of all if 0, without dropout.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if there is no held-out data; [`ErrorKind::Device`] if the device was lost.
    pub fn evaluate(&self, batches: u64) -> Result<Loss> {
        self.gpt.gpu.block_on(self.evaluate_async(batches))
    }

    /// As [`GptTrainer::evaluate`], without blocking.
    ///
    /// # Errors
    /// As [`GptTrainer::evaluate`].
    pub async fn evaluate_async(&self, batches: u64) -> Result<Loss> {
        let count = self.evaluated_batches(batches);
        if count == 0 {
            let message = "gpt: there is no held-out data to evaluate; give a validation fraction above 0";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let (mut losses, mut targets) = (Vec::<f32>::new(), Vec::new());
        for index in 0..count {
            let batch = self.source.validation(index);
            self.pass.load(&batch, 1.0)?;
            self.plans.loss.run_async().await?;
            losses.extend(self.pass.head_rows.loss.read_async::<f32>(&self.gpt.gpu, batch.targets.len()).await?);
            targets.extend(batch.targets);
        }
        Ok(Loss::of_targets(&losses, &targets))
    }

    /// Whether held-out data is evaluated after step `step`.
    fn evaluates_after(&self, step: u64) -> bool {
        self.config.evaluates_after(step) && self.source.validation_batches() > 0
    }

    /// Number of batches of held-out data of an evaluation of `batches`, or of all if 0.
    fn evaluated_batches(&self, batches: u64) -> u64 {
        let all = self.source.validation_batches();
        if batches == 0 { all } else { batches.min(all) }
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

    /// Replaces the weights and resets the state of the optimizer. A step that [`GptTrainer::advance`] recorded in part
    /// begins again.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if they do not fit the GPT, in which case nothing is changed.
    pub fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        self.gpt.write(weights)?;
        if self.partial.take().is_some() {
            self.ring.discard()?;
        }
        self.known.forget();
        self.adam.forget(&self.gpt.gpu)
    }

    /// Whether no step is in flight or recorded in part.
    pub fn is_at_rest(&self) -> bool {
        self.ring.is_empty() && self.partial.is_none() && self.validation.is_none() && self.evaluation.is_none()
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
        self.gpt.gpu.block_on(self.checkpoint_async())
    }

    /// As [`GptTrainer::checkpoint`], without blocking.
    ///
    /// # Errors
    /// As [`GptTrainer::checkpoint`].
    pub async fn checkpoint_async(&self) -> Result<Checkpoint> {
        self.known.checkpoint(&self.gpt.gpu, self.is_at_rest(), self.read_checkpoint()).await
    }

    async fn read_checkpoint(&self) -> Result<Checkpoint> {
        let optimizer = self.adam.keep(&self.gpt.gpu, &self.gpt.layout.device).await?;
        let weights = self.weights_async().await?;
        Ok(Checkpoint { step: self.submitted, weights, optimizer, chains: Vec::new() })
    }

    /// Resumes after the step of `checkpoint`. Steps in flight, and one that [`GptTrainer::advance`] recorded in part, are
    /// discarded.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if it does not fit the GPT, in which case nothing is changed; [`ErrorKind::Device`] if the
    /// device was lost.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.gpt.config.check_weights(&checkpoint.weights)?;
        self.adam.restore(&self.gpt.gpu, &self.gpt.layout.device, &checkpoint.optimizer)?;
        self.gpt.write(&checkpoint.weights)?;
        if self.known.has_failed() || !self.is_at_rest() {
            self.gpt.gpu.poll_once()?;
            self.ring.reset()?;
            (self.partial, self.validation, self.evaluation) = (None, None, None);
        }
        self.submitted = checkpoint.step;
        self.known.restored(checkpoint);
        Ok(())
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
