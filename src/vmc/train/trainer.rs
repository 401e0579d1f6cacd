//! Trainer: replays one plan that contains a whole step. With stochastic reconfiguration, this plan ends with the local
//! energies, and the host and the plans of `reconfiguration` complete the step.

use super::adam::{AdamBuffers, AdamInputs};
use super::advance::PartialStep;
use super::checkpoint::Checkpoint;
use super::known_state::KnownState;
use super::metrics::{ArrivedStep, Magnetization, MetricsRing, StepReport, StepResults};
use super::optimizer::{Optimizer, Sampling, SamplingPower};
use super::replay::Replay;
use super::schedule::{Annealing, Schedule};
use super::shared_views::SharedBuffers;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, Slices, View};
use crate::host_memory;
use crate::kernels::nn::adam::AdamRates;
use crate::kernels::vmc::energy::Column;
use crate::model::{AttentionLayers, Layout, Model, Parameters, Precision, Weights};
use crate::physics::{Hamiltonian, Lattice};
use crate::vmc::sr::frames::Transfers;
use crate::vmc::sr::gram::{CHUNK, LayerList};
use crate::vmc::sr::reconfiguration::{Reconfiguration, ReconfigurationBuffers};
use crate::vmc::sr::report::ReconfigurationCost;
use crate::vmc::sr::reweighting::SampleDistribution;
use crate::vmc::sr::stages::Outcome;
use crate::vmc::step::budget::StepPartition;
use crate::vmc::step::buffers::{SampleSource, StepInputs};
use crate::vmc::step::enumeration::Enumeration;
use crate::vmc::step::gradient::EnergyGradient;
use crate::vmc::step::kind::Draws;
use crate::vmc::step::local_energy::{LocalEnergyConfig, LocalEnergyPipeline, PipelineBuilder};
use crate::vmc::step::tables::{SMALL, TableLimits, check_pairs};

/// Settings of a [`Trainer`].
#[derive(Debug, Clone, PartialEq)]
pub struct TrainConfig {
    /// Samples per step, B, at least 2; not used by a full sum.
    pub samples: usize,
    /// Origin of the samples.
    pub sampling: Sampling,
    /// Optimizer.
    pub optimizer: Optimizer,
    /// Learning rate of Adam, or τ of stochastic reconfiguration.
    pub learning_rate: f64,
    /// Schedule of the learning rate.
    pub schedule: Schedule,
    /// Number of initial steps over which the learning rate rises linearly.
    pub warmup: u64,
    /// Temperature of the free energy that is minimized; zero for the energy.
    pub annealing: Annealing,
    /// Maximum norm of the gradient, to which larger gradients are scaled. With stochastic reconfiguration, maximum
    /// norm of the parameter update.
    pub clip: Option<f64>,
    /// Seed of the initial weights and of the samples.
    pub seed: u64,
    /// Maximum GPU memory in bytes; `None` for [`Gpu::default_memory`].
    pub memory: Option<u64>,
    /// Whether equal samples are deduplicated. Does not change estimates, and changes gradients only by rounding.
    pub unique: bool,
    /// Storage precision of sampling and of connected configurations. Gradients and weights are always f32.
    pub precision: Precision,
}

impl Default for TrainConfig {
    /// Settings of the public PyTorch code: 256 samples, Adam with a learning rate of 5e-4, no clipping.
    fn default() -> Self {
        Self {
            samples: 256,
            sampling: Sampling::default(),
            optimizer: Optimizer::Adam,
            learning_rate: 5e-4,
            schedule: Schedule::Constant,
            warmup: 0,
            annealing: Annealing::default(),
            clip: None,
            seed: 0,
            memory: None,
            unique: true,
            precision: Precision::Single,
        }
    }
}

/// Maximum number of samples per step. Deduplication compares their configurations pair by pair.
const MAX_SAMPLES: usize = 1 << 17;

impl TrainConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] with the remedy if a setting is invalid.
    pub fn check(&self) -> Result<()> {
        let error = |message: String| Err(Error::new(ErrorKind::Settings, message));
        if !(2..=MAX_SAMPLES).contains(&self.samples) {
            return error(format!("{} samples in a step; give 2 to {MAX_SAMPLES}", self.samples));
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0 && self.learning_rate < 1e3) {
            return error(format!("learning rate {}; give a positive number such as 5e-4", self.learning_rate));
        }
        match (&self.optimizer, self.sampling) {
            (Optimizer::StochasticReconfiguration(settings), Sampling::FullSum)
                if settings.sampling_power != SamplingPower::default() =>
            {
                return error("sampling_power: a full sum draws no samples; leave sampling_power out".into());
            }
            (Optimizer::StochasticReconfiguration(settings), _) => settings.check()?,
            (Optimizer::Adam, Sampling::FullSum) => {
                return error("a full sum requires stochastic reconfiguration; give that optimizer".into());
            }
            (Optimizer::Adam, Sampling::Own | Sampling::Exact) => {}
        }
        self.annealing.check()?;
        match self.clip {
            Some(clip) if !(clip.is_finite() && clip > 0.0) => {
                error(format!("clip {clip}; give a positive number such as 1"))
            }
            _ => Ok(()),
        }
    }
}

/// Maximum number of steps in flight before the trainer waits for the oldest one.
const STEPS_AHEAD: usize = 2;
/// Maximum number of steps in flight of [`Trainer::advance`], which waits for none.
const STEPS_IN_FRAMES: usize = 8;

/// Checks that parameters and their gradient fit into a budget of `memory` bytes on the device and into the memory of
/// this machine, before they are initialized. Small ones pass, because the memory plan of the step counts all buffers.
fn check_parameters(layout: &Layout, memory: u64) -> Result<()> {
    let needed = layout.elements().saturating_mul(8);
    if needed > memory.max(SMALL) {
        let (allowed, needed) = (memory >> 20, needed.div_ceil(1 << 20));
        let message = format!(
            "a memory budget of {allowed} MiB is too small for {} parameters and their gradient, which alone \
             take {needed} MiB; give more than TrainConfig::memory={needed}MiB, or use a smaller model",
            layout.parameters()
        );
        return Err(Error::new(ErrorKind::Memory, message));
    }
    host_memory::check("the initial parameters", needed, "use a smaller model")
}

/// Trainer of a wave function.
pub struct Trainer {
    pub(super) gpu: Gpu,
    pub(super) config: TrainConfig,
    pub(super) parameters: Parameters,
    pub(super) pipeline: LocalEnergyPipeline,
    pub(super) method: Method,
    pub(super) plan: Plan,
    /// Number of deduplicated samples of each span.
    pub(super) counters: View,
    pub(super) ring: MetricsRing,
    pub(super) submitted: u64,
    /// Whether Markov chains restart before the next step.
    pub(super) begins: bool,
    pub(super) replay: Replay,
    /// Markov chains before the step in flight, if it can be stopped.
    before: ChainsBefore,
    /// Newest state that the host knows.
    pub(super) known: KnownState,
    /// Whether a step was submitted, whose samples are then on the device.
    pub(super) has_samples: bool,
    /// Step that [`Trainer::advance`] recorded in part.
    pub(super) partial: Option<PartialStep>,
    /// Times of the launches of plans, for [`Trainer::advance`].
    pub(super) slices: Option<Slices>,
    /// Attention layers of the wave function.
    pub(super) attention: Option<AttentionLayers>,
    /// Buffers of [`Trainer::share`].
    pub(super) shared: Option<SharedBuffers>,
    /// Staging buffers of stochastic reconfiguration, for [`Trainer::advance`].
    pub(super) transfers: Option<Transfers>,
    /// Report of a step of stochastic reconfiguration that [`Trainer::advance`] recorded, until it is taken.
    pub(super) finished: Option<StepReport>,
}

/// Markov chains before a step.
enum ChainsBefore {
    /// There are none, or the step cannot be stopped.
    Unchanged,
    /// They started in this step.
    Started,
    /// Their configurations.
    Configurations(Vec<u32>),
}

/// Buffers and plans of the optimizer.
pub(super) enum Method {
    Adam(Box<AdamBuffers>),
    Reconfiguration(Box<Reconfiguration>),
}

impl Method {
    /// State of Adam after a step, (8); zeros with stochastic reconfiguration.
    pub(super) fn state(&self) -> &Buffer {
        match self {
            Self::Adam(buffers) => &buffers.state,
            Self::Reconfiguration(method) => &method.state,
        }
    }
}

/// Where the results of a step are on the device.
pub(super) fn results<'a>(
    pipeline: &'a LocalEnergyPipeline,
    method: &'a Method,
    counters: &'a View,
) -> StepResults<'a> {
    let acceptance = pipeline.sampler.chains().map(|(chains, _)| chains.acceptance());
    StepResults { statistics: &pipeline.statistics, state: method.state(), counters, acceptance }
}

impl Trainer {
    /// Records the plan of a step and writes the initial weights.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for invalid or incompatible settings, [`ErrorKind::Memory`] if the budget or an adapter
    /// limit is too small, [`ErrorKind::Adapter`] for [`Precision::Mixed`] if the adapter does not support f16.
    pub fn new(
        gpu: &Gpu,
        lattice: &Lattice,
        hamiltonian: &dyn Hamiltonian,
        model: &dyn Model,
        mut config: TrainConfig,
    ) -> Result<Self> {
        config.check()?;
        if model.chains().is_none() {
            let name = model.name();
            let message = if config.optimizer.sampling_power() != SamplingPower::default() {
                format!("sampling_power: {name} is sampled exactly from |psi|^2; leave sampling_power out")
            } else if config.sampling == Sampling::Exact {
                format!("sampler: the own sampler of {name} is exact; leave sampler out")
            } else {
                String::new()
            };
            if !message.is_empty() {
                return Err(Error::new(ErrorKind::Settings, message));
            }
        }
        model.check(lattice)?;
        let (layout, memory) = (model.layout(lattice)?, config.memory.unwrap_or(gpu.default_memory()));
        check_parameters(&layout, memory)?;
        check_pairs(hamiltonian, lattice, TableLimits::new(gpu, memory))?;
        let terms = hamiltonian.terms(lattice)?;
        let enumeration = match config.sampling {
            Sampling::Own => None,
            Sampling::FullSum | Sampling::Exact => Some(Enumeration::new(model, lattice, &terms)?),
        };
        let draws = match config.sampling {
            Sampling::Own => Draws::Own,
            Sampling::FullSum => Draws::None,
            Sampling::Exact => Draws::Enumerated,
        };
        let all = enumeration.as_ref().filter(|_| config.sampling == Sampling::FullSum);
        if let Some(all) = all {
            config.samples = all.members.len();
        }
        let initial = layout.initial(config.seed);
        let parameters = Parameters::new(gpu, layout, config.precision)?;
        parameters.write(gpu, &initial)?;
        let elements = parameters.layout().elements();
        let pipeline_config = LocalEnergyConfig {
            samples: config.samples as u32,
            training: true,
            unique: config.unique && all.is_none(),
            memory,
            draws,
            least_chunk: if config.optimizer == Optimizer::Adam { 1 } else { CHUNK },
        };
        let samples = (pipeline_config, enumeration.as_ref());
        let builder = PipelineBuilder::new(gpu, lattice, &terms, model, &parameters, samples)?;
        let ring = |pipeline: &LocalEnergyPipeline, ahead| {
            MetricsRing::of_steps(&pipeline.gpu, ahead, pipeline.spans().parts())
        };
        let has_temperature = !config.annealing.is_zero();
        let mut plan = Plan::new(gpu);
        let (pipeline, method, ring) = match config.optimizer {
            Optimizer::Adam => {
                let (sizes, _) = builder.fit(0, |pipeline| {
                    AdamBuffers::new(&pipeline.gpu, elements)?;
                    EnergyGradient::new(pipeline, has_temperature)?;
                    ring(pipeline, STEPS_IN_FRAMES)
                })?;
                let pipeline = builder.build(sizes)?;
                let adam = AdamBuffers::new(gpu, elements)?;
                pipeline.record(&mut plan, SampleSource::Drawn)?;
                EnergyGradient::new(&pipeline, has_temperature)?.record(&mut plan)?;
                plan.scope("update");
                plan.keep_together();
                let clip = config.clip.map(|clip| clip as f32);
                let inputs = AdamInputs { finite: pipeline.statistics.view(), step: pipeline.step.view() };
                adam.record(&mut plan, &parameters, inputs, clip, AdamRates::default())?;
                let ring = ring(&pipeline, STEPS_IN_FRAMES)?;
                (pipeline, Method::Adam(Box::new(adam)), ring)
            }
            Optimizer::StochasticReconfiguration(settings) => {
                let samples = (config.samples as u32, settings.momentum > 0.0);
                let layer_list = LayerList::new(gpu, lattice, model, &parameters, samples)?;
                let [least, most] = layer_list.panels();
                let buffers = |pipeline: &LocalEnergyPipeline, panels: u64| {
                    ReconfigurationBuffers::new(pipeline, &layer_list, &parameters, panels)
                };
                let fit = |panels: u64| {
                    let fitted = builder.fit(4 * layer_list.tables(panels), |pipeline| {
                        pipeline.sampler.gradient_pass(pipeline)?;
                        ring(pipeline, 1)?;
                        buffers(pipeline, panels)
                    });
                    fitted.map(|(sizes, spare)| (sizes, panels + spare / 4))
                };
                // Half of the memory if the rest of the step fits into the other half, otherwise the minimum.
                let half = (memory / 8).clamp(least, most);
                let (sizes, panels) = fit(half).or_else(|error: Error| match error.kind() {
                    ErrorKind::Memory if half > least => fit(least),
                    _ => Err(error),
                })?;
                let pipeline = builder.build(sizes)?;
                let (source, distribution) = match all {
                    Some(all) => {
                        pipeline.write_configurations(&all.configurations)?;
                        (SampleSource::Fixed, SampleDistribution::orbits(&all.members))
                    }
                    None => (SampleSource::Drawn, SampleDistribution::Power),
                };
                pipeline.record(&mut plan, source)?;
                pipeline.record_own_spans(&mut plan)?;
                let buffers = buffers(&pipeline, panels.min(most))?;
                let settings = (settings, config.clip, distribution);
                let method = Reconfiguration::new(&layer_list, settings, &pipeline, &parameters, buffers)?;
                let ring = ring(&pipeline, 1)?;
                (pipeline, Method::Reconfiguration(Box::new(method)), ring)
            }
        };
        gpu.flush()?;
        let counters = pipeline.spans().counters(&pipeline.live)?;
        let gpu = gpu.clone();
        Ok(Self {
            gpu,
            config,
            parameters,
            pipeline,
            method,
            plan,
            counters,
            ring,
            submitted: 0,
            begins: true,
            replay: Replay::default(),
            before: ChainsBefore::Unchanged,
            known: KnownState::new("Trainer"),
            has_samples: false,
            partial: None,
            slices: None,
            attention: model.attention(lattice)?,
            shared: None,
            transfers: None,
            finished: None,
        })
    }

    /// Ends [`Steps`] early if `stop` returns true. It is called before each step, and several times within a step that
    /// takes longer than a second. A step that it stops is discarded: the trainer is then in the state after the
    /// last reported step, from which it continues to the same bits.
    pub fn stop_when(&mut self, stop: impl Fn() -> bool + Send + 'static) {
        self.replay = Replay::stopped_by(stop);
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Returns an iterator over the reports of the next `steps` steps. A step is submitted when its report or that of
    /// the previous step is requested.
    ///
    /// If the iterator is dropped early, the next call returns the reports of steps in flight first. [`Steps::stop`]
    /// ends the iterator after these reports.
    pub fn steps(&mut self, steps: u64) -> Steps<'_> {
        if self.ring.is_empty() {
            self.ring.restart_clock();
        }
        Steps { trainer: self, left: steps, failed: false }
    }

    /// Whether another step can be submitted. Steps that run in pieces are submitted one at a time.
    fn has_room(&self) -> bool {
        let ahead = match (&self.method, self.replay.is_in_pieces()) {
            (Method::Adam(_), false) => STEPS_AHEAD,
            _ => 1,
        };
        self.ring.in_flight() < ahead
    }

    /// Inputs of step `step`.
    pub(super) fn inputs_of(&self, step: u64) -> StepInputs {
        let learning_rate = self.config.schedule.rate(self.config.learning_rate, self.config.warmup, step);
        let temperature = self.config.annealing.temperature(step);
        let sampling_power = match &self.method {
            Method::Adam(_) => 2.0,
            Method::Reconfiguration(method) => method.sampling_power(),
        };
        StepInputs { seed: self.config.seed, step, learning_rate, temperature, sampling_power }
    }

    /// Submits the next step. Returns `false` if it was stopped and discarded.
    fn submit_step(&mut self) -> Result<bool> {
        let step = self.submitted + 1;
        let inputs = self.inputs_of(step);
        self.before = match self.pipeline.sampler.chains() {
            Some(_) if self.begins => ChainsBefore::Started,
            Some((chains, _)) if self.replay.stops_within_steps() => {
                ChainsBefore::Configurations(self.gpu.block_on(chains.keep(&self.gpu))?)
            }
            _ => ChainsBefore::Unchanged,
        };
        if self.begins {
            let burn_in = self.pipeline.burn_in(inputs, false)?;
            if !burn_in.map_or(Ok(true), |plan| self.replay.run(&plan))? {
                self.pipeline.sampler.reset(&self.gpu)?;
                return Ok(false);
            }
            self.begins = false;
        }
        let results = results(&self.pipeline, &self.method, &self.counters);
        let plan = (&self.plan, &self.replay);
        let is_submitted = self.ring.submit_step(plan, inputs, &self.pipeline.step, results)?;
        self.submitted = step;
        self.has_samples = true;
        if !is_submitted {
            self.discard()?;
        }
        Ok(is_submitted)
    }

    /// Returns to the state before the last step, which was stopped.
    fn discard(&mut self) -> Result<()> {
        self.submitted -= 1;
        self.pipeline.sampler.reset(&self.gpu)?;
        match (&self.before, self.pipeline.sampler.chains()) {
            (ChainsBefore::Started, _) => self.begins = true,
            (ChainsBefore::Configurations(places), Some((chains, _))) => chains.restore(&self.gpu, places)?,
            _ => {}
        }
        self.ring.discard()
    }

    /// Completes a step from its results and returns its report; `None` if it was stopped and discarded.
    fn finish(&mut self, arrived: ArrivedStep) -> Result<Option<StepReport>> {
        let Method::Reconfiguration(method) = &self.method else { return Ok(Some(self.report(&arrived))) };
        let Some(outcome) = method.take(&self.pipeline, arrived.step, &self.replay)? else {
            self.discard()?;
            return Ok(None);
        };
        Ok(Some(self.report_of_outcome(arrived, &outcome)))
    }

    /// Report of a step of stochastic reconfiguration.
    pub(super) fn report_of_outcome(&mut self, mut arrived: ArrivedStep, outcome: &Outcome) -> StepReport {
        if let Some(reweighted) = &outcome.reweighted {
            arrived.results.statistics = reweighted.statistics;
        }
        let report = self.report(&arrived);
        self.ring.restart_clock();
        StepReport {
            gradient_norm: outcome.gradient_norm,
            accepted: outcome.report.is_some() || outcome.is_shortening,
            is_shortening: outcome.is_shortening,
            reconfiguration: outcome.report,
            energy_error: outcome.reweighted.map_or(report.energy_error, |of| of.energy_error),
            seconds: report.seconds + outcome.begun.elapsed().as_secs_f64(),
            ..report
        }
    }

    /// Takes a report that is returned into account.
    pub(super) fn reported(&mut self, report: &StepReport) {
        self.replay.took(report.seconds);
        self.known.report(report.step);
    }

    pub(super) fn report(&self, arrived: &ArrivedStep) -> StepReport {
        let (inputs, numbers) = (&arrived.step, &arrived.results);
        // Mean and variance.
        let statistics = |column: Column| {
            let at = 2 * column as usize;
            [numbers.statistics[at], numbers.statistics[at + 1]].map(f64::from)
        };
        let sites = self.pipeline.patching.sites() as f64;
        let [energy, real_variance] = statistics(Column::Energy);
        let [_, imaginary_variance] = statistics(Column::ImaginaryEnergy);
        let magnetization = Magnetization {
            mean: statistics(Column::Magnetization),
            absolute: statistics(Column::AbsMagnetization),
            squared: statistics(Column::SquaredMagnetization),
            staggered: statistics(Column::Staggered),
        };
        let [sigma_x, _] = statistics(Column::SigmaX);
        // All samples are one configuration: its local energy has no spread, whatever that of the wave function is.
        let flat = [Column::Energy, Column::ImaginaryEnergy, Column::Magnetization, Column::Staggered];
        let is_flat = flat.into_iter().all(|column| statistics(column)[1] == 0.0);
        let is_one = is_flat && (numbers.unique <= self.pipeline.spans().parts() || !self.config.unique);
        let known = |value: f64| if is_one && self.pipeline.tables.host.is_off_diagonal() { f64::NAN } else { value };
        let [staggered, _] = statistics(Column::AbsStaggered);
        StepReport {
            step: inputs.step,
            energy,
            energy_error: known((real_variance / f64::from(self.pipeline.samples)).sqrt()),
            variance: known(real_variance + imaginary_variance),
            density: 0.5 * (magnetization.mean[0] / sites + 1.0),
            sigma_x: if self.pipeline.tables.host.flips_every_site { sigma_x } else { f64::NAN },
            staggered,
            magnetization,
            gradient_norm: f64::from(numbers.state[4]),
            learning_rate: inputs.learning_rate,
            temperature: (!self.config.annealing.is_zero()).then_some(inputs.temperature),
            unique: numbers.unique,
            acceptance: self.pipeline.sampler.chains().map(|_| f64::from(numbers.acceptance)),
            accepted: numbers.state[3] == 1.0,
            sampling_power: match self.config.optimizer.sampling_power() {
                SamplingPower::Adaptive => Some(inputs.sampling_power),
                SamplingPower::Fixed(_) => None,
            },
            is_shortening: false,
            reconfiguration: None,
            seconds: arrived.seconds,
        }
    }

    /// Returns the first configuration of the last step, N occupations in site order; `None` if this trainer has made no
    /// step.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if the device was lost.
    pub fn last_configuration(&self) -> Result<Option<Vec<u8>>> {
        if !self.has_samples {
            return Ok(None);
        }
        let tokens: Vec<u32> = self.pipeline.tokens.read(&self.gpu, self.pipeline.patches() as usize)?;
        Ok(Some(self.pipeline.patching.config(&tokens)))
    }

    /// Returns the weights after the last submitted step.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if the device was lost.
    pub fn weights(&self) -> Result<Weights> {
        self.gpu.block_on(self.weights_async())
    }

    /// As [`Trainer::weights`], without blocking.
    ///
    /// # Errors
    /// As [`View::read_async`].
    pub async fn weights_async(&self) -> Result<Weights> {
        self.parameters.read_async(&self.gpu).await
    }

    /// Replaces the weights, resets the state of the optimizer, and restarts Markov chains before the next step. A step
    /// that [`Trainer::advance`] recorded in part begins again.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if they do not fit the model, in which case nothing is changed.
    pub fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        self.parameters.write(&self.gpu, weights)?;
        self.discard_partial()?;
        self.begins = true;
        self.known.forget();
        match &self.method {
            Method::Reconfiguration(method) => method.forget(),
            Method::Adam(adam) => adam.forget(&self.gpu),
        }
    }

    /// Returns the state that later steps depend on, in addition to the settings. A trainer with the same settings that
    /// is [restored](Self::restore) from it continues bit for bit on the same adapter.
    ///
    /// After the device was lost or a step failed, the state on the device is unknown. The result is then the newest state
    /// that the host knows: that of the last call of this function or of [`Trainer::restore`]. It is kept in host memory
    /// for this purpose.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] while steps are in flight; [`ErrorKind::Device`] if the device was lost or a step failed,
    /// and neither function was called before, or not since [`Trainer::set_weights`].
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        self.gpu.block_on(self.checkpoint_async())
    }

    /// As [`Trainer::checkpoint`], without blocking.
    ///
    /// # Errors
    /// As [`Trainer::checkpoint`].
    pub async fn checkpoint_async(&self) -> Result<Checkpoint> {
        self.known.checkpoint(&self.gpu, self.is_at_rest(), self.read_checkpoint()).await
    }

    /// Whether no step is in flight or recorded in part.
    pub fn is_at_rest(&self) -> bool {
        self.ring.is_empty() && self.partial.is_none() && self.finished.is_none()
    }

    async fn read_checkpoint(&self) -> Result<Checkpoint> {
        let layout = self.parameters.layout();
        let optimizer = match &self.method {
            Method::Adam(adam) => adam.keep(&self.gpu, layout).await?,
            Method::Reconfiguration(method) => method.keep(layout).await?,
        };
        let chains = match self.pipeline.sampler.chains() {
            Some((chains, _)) if !self.begins => chains.keep(&self.gpu).await?,
            _ => Vec::new(),
        };
        Ok(Checkpoint { step: self.submitted, weights: self.weights_async().await?, optimizer, chains })
    }

    /// Resumes after the step of `checkpoint`. Steps in flight, and one that [`Trainer::advance`] recorded in part, are
    /// discarded.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if it does not fit the settings, in which case nothing is changed; [`ErrorKind::Device`] if
    /// the device was lost.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let Checkpoint { step, weights, optimizer, chains: places } = checkpoint;
        let layout = self.parameters.layout();
        let weights = layout.flatten(weights)?;
        let chains = self.pipeline.sampler.chains().filter(|_| !places.is_empty()).map(|(chains, _)| chains);
        if let Some(chains) = chains {
            chains.check(places)?;
        }
        match &self.method {
            Method::Adam(adam) => adam.restore(&self.gpu, layout, optimizer)?,
            Method::Reconfiguration(method) => method.restore(layout, optimizer)?,
        }
        if let Some(chains) = chains {
            chains.restore(&self.gpu, places)?;
        }
        if self.known.has_failed() || !self.is_at_rest() {
            self.gpu.poll_once()?;
            self.ring.reset()?;
            (self.partial, self.transfers, self.finished) = (None, None, None);
            self.pipeline.sampler.reset(&self.gpu)?;
        }
        self.begins = chains.is_none();
        self.submitted = *step;
        self.parameters.values().write(&self.gpu, &weights)?;
        self.known.restored(checkpoint);
        Ok(())
    }

    /// Returns the cost of the last step of stochastic reconfiguration; `None` with another optimizer.
    pub fn reconfiguration(&self) -> Option<ReconfigurationCost> {
        match &self.method {
            Method::Reconfiguration(method) => Some(method.cost()),
            Method::Adam(_) => None,
        }
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.parameters.layout().parameters() as usize
    }

    /// Bytes of this crate's buffers on the trainer's device, including those of other trainers.
    pub fn memory(&self) -> u64 {
        self.gpu.allocated()
    }

    /// Returns the plan of a step, for profiles. Running it repeats a step with the inputs of the last one. With
    /// stochastic reconfiguration, it only contains sampling and local energies.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns all plans that a step replays, [`Trainer::plan`] first.
    pub fn plans(&self) -> Vec<&Plan> {
        let after = match &self.method {
            Method::Reconfiguration(method) => method.plans(),
            Method::Adam(_) => Vec::new(),
        };
        std::iter::once(&self.plan).chain(after).collect()
    }

    /// Returns the partition of a step: samples per group, deduplicated samples per pass over connected configurations,
    /// and per gradient pass.
    pub fn chunks(&self) -> [u32; 3] {
        let StepPartition { group, items, training, .. } = self.pipeline.sizes;
        [group, items, training]
    }
}

/// Iterator of [`Trainer::steps`].
pub struct Steps<'a> {
    trainer: &'a mut Trainer,
    left: u64,
    failed: bool,
}

impl Steps<'_> {
    /// Stops submitting steps. Steps in flight are still reported.
    pub fn stop(&mut self) {
        self.left = 0;
    }

    fn next_report(&mut self) -> Result<Option<StepReport>> {
        let trainer = &mut *self.trainer;
        trainer.known.check()?;
        trainer.complete_partial()?;
        if let Some(report) = trainer.finished.take() {
            trainer.reported(&report);
            return Ok(Some(report));
        }
        while self.left > 0 && trainer.has_room() {
            if trainer.replay.is_stopped() || !trainer.submit_step()? {
                self.left = 0;
            } else {
                self.left -= 1;
            }
        }
        let Some(arrived) = trainer.ring.receive_step()? else { return Ok(None) };
        let Some(report) = trainer.finish(arrived)? else {
            // It was the only step in flight.
            self.left = 0;
            return Ok(None);
        };
        trainer.reported(&report);
        Ok(Some(report))
    }
}

impl Iterator for Steps<'_> {
    type Item = Result<StepReport>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.next_report() {
            Ok(report) => report.map(Ok),
            Err(error) => {
                self.failed = true;
                let Trainer { gpu, known, .. } = &mut *self.trainer;
                Some(Err(known.fail(gpu, error)))
            }
        }
    }
}
