//! Trainer of a GPT: replays the plans of the gradient of a batch and of the update.

use super::config::GptTrainConfig;
use super::evaluation::Evaluation;
use super::in_flight::{Begun, ItemRing, ItemSizes};
use super::source::Source;
use super::steps::GptSteps;
use super::tuning::{TuneConfig, Tuning};
use crate::error::{Error, ErrorKind, Result};
use crate::gpt::layout::GptLayout;
use crate::gpt::network::{Gpt, TrainingPass};
use crate::gpt::{Batches, GptConfig};
use crate::gpu::{Buffer, Gpu, Plan, Slices};
use crate::host_memory;
use crate::kernels::nn::adam::AdamRates;
use crate::model::Weights;
use crate::vmc::Checkpoint;
use crate::vmc::step::buffers::INPUT_WORDS;
use crate::vmc::train::adam::{AdamBuffers, AdamInputs};
use crate::vmc::train::known_state::KnownState;
use crate::vmc::train::replay::Replay;

/// Plans of a step.
pub(super) struct Plans {
    /// Gradient of the first batch, and the update if there is only one batch.
    pub first: Plan,
    /// Gradient of a further batch, added to that of the earlier ones, and the update.
    pub further: Option<(Plan, Plan)>,
    /// Cross-entropy of a batch.
    pub loss: Plan,
}

/// Trainer of a GPT.
pub struct GptTrainer {
    pub(super) gpt: Gpt,
    pub(super) config: GptTrainConfig,
    pub(super) source: Source,
    pub(super) pass: TrainingPass,
    pub(super) adam: AdamBuffers,
    pub(super) step: Buffer,
    pub(super) plans: Plans,
    pub(super) sizes: ItemSizes,
    pub(super) ring: ItemRing,
    pub(super) replay: Replay,
    pub(super) submitted: u64,
    /// Next batch of held-out data, while it is evaluated after the last submitted step.
    pub(super) validation: Option<u64>,
    /// Evaluation whose batches have not all arrived.
    pub(super) evaluation: Option<Evaluation>,
    /// Newest state that the host knows.
    pub(super) known: KnownState,
    /// Error of the data or the reward of the step after the last submitted one.
    pub(super) source_fault: Option<Error>,
    /// Item that [`GptTrainer::advance`] recorded in part.
    pub(super) partial: Option<Begun>,
    /// Times of the launches of the plans, for [`GptTrainer::advance`].
    pub(super) slices: Option<Slices>,
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
