//! Training: one plan that holds a whole step, replayed; with stochastic reconfiguration one up to the energies, and then
//! what the host and the plans of `reconfiguration` make of them.

use std::time::Instant;

use super::adam::AdamBuffers;
use super::budget::StepSizes;
use super::chains::Chains;
use super::checkpoint::Checkpoint;
use super::estimator::{Estimator, EstimatorConfig, Source};
use super::geometry::{CHUNK, Outline};
use super::gradient::record_gradient;
use super::metrics::{Magnetisation, MetricsRing, StepInputs, StepNumbers, StepReport};
use super::optimizer::Optimizer;
use super::reconfiguration::{Reconfiguration, ReconfigurationCost};
use super::schedule::Schedule;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::energy::IMAGINARY;
use crate::model::{Model, Parameters, Precision, Weights};
use crate::physics::{Hamiltonian, Lattice};

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainConfig {
    /// Samples of a step, B; at least 2.
    pub samples: usize,
    /// How a step follows from its samples.
    pub optimizer: Optimizer,
    /// Adam's learning rate; the length τ of a step of stochastic reconfiguration.
    pub learning_rate: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Steps over which the learning rate rises linearly at the beginning.
    pub warmup: u64,
    /// Largest norm of the gradient; a longer one is scaled to it. With stochastic reconfiguration that of a step in the
    /// parameters.
    pub clip: Option<f64>,
    /// Seed of the initial weights and of the samples.
    pub seed: u64,
    /// Bytes of GPU memory at most; `None`: [`Gpu::default_memory`].
    pub memory: Option<u64>,
    /// Treat equal samples as one with a count. Changes no estimate; gradients only by rounding.
    pub unique: bool,
    /// What drawing and moves store. Gradients and weights are f32 either way.
    pub precision: Precision,
}

impl Default for TrainConfig {
    /// The public PyTorch code's: 256 samples, Adam at 5e-4, no clipping.
    fn default() -> Self {
        Self {
            samples: 256,
            optimizer: Optimizer::Adam,
            learning_rate: 5e-4,
            schedule: Schedule::Constant,
            warmup: 0,
            clip: None,
            seed: 0,
            memory: None,
            unique: true,
            precision: Precision::Single,
        }
    }
}

/// Samples of a step at most: their configurations are compared pair by pair.
const MAX_SAMPLES: usize = 1 << 17;

impl TrainConfig {
    /// Whether the settings make sense.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`], with what to change.
    pub fn check(&self) -> Result<()> {
        let error = |message: String| Err(Error::new(ErrorKind::Settings, message));
        if !(2..=MAX_SAMPLES).contains(&self.samples) {
            return error(format!("{} samples in a step; give 2 to {MAX_SAMPLES}", self.samples));
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0 && self.learning_rate < 1e3) {
            return error(format!("learning rate {}; give a positive number such as 5e-4", self.learning_rate));
        }
        if let Optimizer::StochasticReconfiguration(settings) = &self.optimizer {
            settings.check()?;
        }
        match self.clip {
            Some(clip) if !(clip.is_finite() && clip > 0.0) => {
                error(format!("clip {clip}; give a positive number such as 1"))
            }
            _ => Ok(()),
        }
    }
}

/// Steps that may be under way before the oldest one's numbers are waited for.
const STEPS_AHEAD: usize = 2;

/// A wave function in training.
pub struct Trainer {
    gpu: Gpu,
    config: TrainConfig,
    parameters: Parameters,
    estimator: Estimator,
    method: Method,
    plan: Plan,
    /// How many distinct samples there are in each span.
    counters: View,
    ring: MetricsRing,
    submitted: u64,
    /// Whether Markov chains must begin anew before the next step.
    begins: bool,
}

/// What an optimiser keeps.
enum Method {
    Adam(Box<AdamBuffers>),
    Reconfiguration(Box<Reconfiguration>),
}

impl Method {
    /// (8) words that a step leaves: those of Adam's decision.
    fn state(&self) -> &Buffer {
        match self {
            Self::Adam(buffers) => &buffers.state,
            Self::Reconfiguration(method) => &method.state,
        }
    }
}

impl Trainer {
    /// Builds the plan of a step and writes the initial weights.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for settings that make no sense together, [`ErrorKind::Memory`] where the budget or an
    /// adapter limit is too small, [`ErrorKind::Adapter`] for [`Precision::Mixed`] where the adapter has no f16.
    pub fn new(
        gpu: &Gpu,
        lattice: &Lattice,
        hamiltonian: &dyn Hamiltonian,
        model: &dyn Model,
        config: TrainConfig,
    ) -> Result<Self> {
        config.check()?;
        if config.optimizer.power() != 2.0 && model.chains().is_none() {
            let message = format!(
                "power {}: {} is sampled exactly, as |psi|^2 says; leave power out",
                config.optimizer.power(),
                model.name()
            );
            return Err(Error::new(ErrorKind::Settings, message));
        }
        model.check(lattice)?;
        let terms = hamiltonian.terms(lattice)?;
        let layout = model.layout(lattice)?;
        let initial = layout.initial(config.seed);
        let parameters = Parameters::new(gpu, layout, config.precision)?;
        parameters.write(gpu, &initial)?;
        let elements = parameters.layout().elements();
        let estimator_config = EstimatorConfig {
            samples: config.samples as u32,
            training: true,
            unique: config.unique,
            memory: config.memory.unwrap_or(gpu.default_memory()),
            fixed: 4 * elements + AdamBuffers::own_elements(&parameters),
            power: config.optimizer.power(),
            chunk: [0, 1],
        };
        let mut plan = Plan::new(gpu);
        let (estimator, method, ahead) = match config.optimizer {
            Optimizer::Adam => {
                let estimator = Estimator::new(gpu, lattice, &terms, model, &parameters, estimator_config)?;
                let adam = AdamBuffers::new(gpu, elements)?;
                estimator.record(&mut plan, Source::Drawn)?;
                record_gradient(&mut plan, &estimator)?;
                plan.scope("update");
                let clip = config.clip.map(|clip| clip as f32);
                adam.record(&mut plan, &parameters, &estimator, clip)?;
                (estimator, Method::Adam(Box::new(adam)), STEPS_AHEAD)
            }
            Optimizer::StochasticReconfiguration(settings) => {
                let told = (config.samples as u32, settings.momentum > 0.0);
                let outline = Outline::new(gpu, lattice, model, &parameters, told)?;
                let own = Reconfiguration::elements(&outline, &settings, &parameters);
                let [least, most] = outline.panels();
                let estimator = |panels: u64| {
                    let fixed = 2 * elements + own + panels + outline.tables(panels);
                    let config =
                        EstimatorConfig { fixed, chunk: [outline.per_sample(), CHUNK.into()], ..estimator_config };
                    let estimator = Estimator::new(gpu, lattice, &terms, model, &parameters, config)?;
                    Ok((estimator, panels))
                };
                // Half of the memory, where that leaves enough for the rest; else as little as will do.
                let half = (estimator_config.memory / 8).clamp(least, most);
                let (estimator, panels) = estimator(half).or_else(|error: Error| match error.kind() {
                    ErrorKind::Memory if half > least => estimator(least),
                    _ => Err(error),
                })?;
                estimator.record(&mut plan, Source::Drawn)?;
                estimator.record_own_spans(&mut plan)?;
                let panels = (panels + estimator.spare).min(most);
                let method = Reconfiguration::new(&outline, settings, &estimator, &parameters, panels)?;
                (estimator, Method::Reconfiguration(Box::new(method)), 1)
            }
        };
        gpu.flush()?;
        let counters = estimator.spans().counters(&estimator.live)?;
        let ring = MetricsRing::new(gpu, ahead, estimator.spans().parts())?;
        let gpu = gpu.clone();
        Ok(Self { gpu, config, parameters, estimator, method, plan, counters, ring, submitted: 0, begins: true })
    }

    /// The next `steps` steps, each submitted when it or the one before it is asked for. Dropping the iterator early
    /// leaves the reports of steps under way to the next call; [`Steps::stop`] ends it after them.
    pub fn steps(&mut self, steps: u64) -> Steps<'_> {
        if self.ring.is_empty() {
            self.ring.restart_clock();
        }
        Steps { trainer: self, left: steps, failed: false }
    }

    fn submit_step(&mut self) -> Result<()> {
        let step = self.submitted + 1;
        let rate = self.config.schedule.rate(self.config.learning_rate, self.config.warmup, step);
        let inputs = StepInputs { seed: self.config.seed, step, learning_rate: rate };
        if self.begins {
            self.estimator.restart(self.config.seed, step, false)?;
            self.begins = false;
        }
        let views = [&*self.estimator.statistics, &**self.method.state(), &self.counters];
        let acceptance = self.estimator.sampler.chains().map(Chains::acceptance);
        self.ring.submit(&self.plan, inputs, &self.estimator.step, views, acceptance.as_ref())?;
        self.submitted = step;
        Ok(())
    }

    /// What is left to do for a step whose numbers are there, and what it says.
    fn finish(&mut self, mut numbers: StepNumbers) -> Result<StepReport> {
        let Method::Reconfiguration(method) = &self.method else { return Ok(self.report(&numbers)) };
        let begun = Instant::now();
        let outcome = method.take(&self.estimator, &numbers, self.config.clip)?;
        if let Some(reweighted) = &outcome.reweighted {
            numbers.statistics = reweighted.statistics;
        }
        let report = self.report(&numbers);
        self.ring.restart_clock();
        Ok(StepReport {
            gradient_norm: outcome.gradient_norm,
            accepted: outcome.report.is_some(),
            reconfiguration: outcome.report,
            energy_error: outcome.reweighted.map_or(report.energy_error, |of| of.energy_error),
            seconds: report.seconds + begun.elapsed().as_secs_f64(),
            ..report
        })
    }

    fn report(&self, numbers: &StepNumbers) -> StepReport {
        let column = |k: usize| (f64::from(numbers.statistics[2 * k]), f64::from(numbers.statistics[2 * k + 1]));
        let sites = self.estimator.patching.sites() as f64;
        let (energy, real_variance) = column(0);
        let variance = real_variance + column(IMAGINARY).1;
        let sigma_x = if self.estimator.tables.host.flips_every_site { column(7).0 } else { f64::NAN };
        StepReport {
            step: numbers.step,
            energy,
            energy_error: (real_variance / f64::from(self.estimator.samples)).sqrt(),
            variance,
            density: 0.5 * (column(1).0 / sites + 1.0),
            sigma_x,
            staggered: column(5).0,
            magnetisation: Magnetisation {
                mean: column(1).into(),
                absolute: column(2).into(),
                squared: column(3).into(),
                staggered: column(4).into(),
            },
            gradient_norm: f64::from(numbers.state[4]),
            learning_rate: numbers.learning_rate,
            unique: numbers.unique,
            acceptance: self.estimator.sampler.chains().map(|_| f64::from(numbers.acceptance)),
            accepted: numbers.state[3] == 1.0,
            reconfiguration: None,
            seconds: numbers.seconds,
        }
    }

    /// The weights after the last step submitted.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] when the device was lost.
    pub fn weights(&self) -> Result<Weights> {
        self.parameters.read(&self.gpu)
    }

    /// Goes on from other weights, with fresh moments and, where samples come from Markov chains, with fresh chains.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] when they do not fit the model; nothing is changed then.
    pub fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        self.parameters.write(&self.gpu, weights)?;
        self.begins = true;
        match &self.method {
            Method::Reconfiguration(method) => method.forget(),
            Method::Adam(adam) => adam.forget(&self.gpu),
        }
    }

    /// Everything that later steps depend on beside the settings. A trainer of the same settings that is
    /// [restored](Self::restore) from it goes on to the same bits on the same adapter.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] while steps are under way, [`ErrorKind::Device`] when the device was lost.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        self.check_at_rest()?;
        let layout = self.parameters.layout();
        let optimizer = match &self.method {
            Method::Adam(adam) => adam.keep(&self.gpu, layout)?,
            Method::Reconfiguration(method) => method.keep(layout)?,
        };
        let chains = match self.estimator.sampler.chains() {
            Some(chains) if !self.begins => chains.keep(&self.gpu)?,
            _ => Vec::new(),
        };
        Ok(Checkpoint { step: self.submitted, weights: self.weights()?, optimizer, chains })
    }

    /// Goes on after the step of `checkpoint`.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] when it is of other settings, in which case nothing is changed; [`ErrorKind::Settings`] while
    /// steps are under way; [`ErrorKind::Device`] when the device was lost.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.check_at_rest()?;
        let Checkpoint { step, weights, optimizer, chains: places } = checkpoint;
        let layout = self.parameters.layout();
        let weights = layout.flatten(weights)?;
        let chains = self.estimator.sampler.chains().filter(|_| !places.is_empty());
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
        self.begins = chains.is_none();
        self.submitted = *step;
        self.parameters.values().write(&self.gpu, &weights)
    }

    fn check_at_rest(&self) -> Result<()> {
        match self.ring.is_empty() {
            true => Ok(()),
            false => {
                let message = "checkpoint: steps are under way; take the reports of all steps first";
                Err(Error::new(ErrorKind::Settings, message))
            }
        }
    }

    /// What the last step of stochastic reconfiguration took; `None` with another optimiser.
    pub fn reconfiguration(&self) -> Option<ReconfigurationCost> {
        match &self.method {
            Method::Reconfiguration(method) => Some(method.cost()),
            Method::Adam(_) => None,
        }
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> usize {
        self.parameters.layout().parameters() as usize
    }

    /// Bytes of this crate's buffers on the trainer's device, other trainers' included.
    pub fn memory(&self) -> u64 {
        self.gpu.allocated()
    }

    /// The plan of a step, for profiles. Running it is a step with the numbers of the last one; with stochastic
    /// reconfiguration it holds what comes before that, samples and their energies.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Every plan that a step replays: [`Trainer::plan`], and what follows it.
    pub fn plans(&self) -> Vec<&Plan> {
        let after = match &self.method {
            Method::Reconfiguration(method) => method.plans(),
            Method::Adam(_) => Vec::new(),
        };
        std::iter::once(&self.plan).chain(after).collect()
    }

    /// How the step is cut: samples of a group, distinct samples in a pass over moves and in a pass with gradient.
    pub fn chunks(&self) -> [u32; 3] {
        let StepSizes { group, items, training, .. } = self.estimator.sizes;
        [group, items, training]
    }
}

/// The steps of [`Trainer::steps`].
pub struct Steps<'a> {
    trainer: &'a mut Trainer,
    left: u64,
    failed: bool,
}

impl Steps<'_> {
    /// Submits no further steps; those under way are still reported.
    pub fn stop(&mut self) {
        self.left = 0;
    }
}

impl Iterator for Steps<'_> {
    type Item = Result<StepReport>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let trainer = &mut *self.trainer;
        let report = (|| {
            while self.left > 0 && !trainer.ring.is_full() {
                trainer.submit_step()?;
                self.left -= 1;
            }
            trainer.ring.receive()?.map(|numbers| trainer.finish(numbers)).transpose()
        })();
        match report {
            Ok(report) => report.map(Ok),
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}
