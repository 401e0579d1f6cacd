//! Training: one plan that holds a whole step, replayed.

use super::budget::StepSizes;
use super::chains::Chains;
use super::estimator::{Estimator, EstimatorConfig, Source};
use super::gradient::record_gradient;
use super::metrics::{MetricsRing, StepInputs, StepNumbers, StepReport};
use super::schedule::Schedule;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::energy::IMAGINARY;
use crate::kernels::optimizer::{Adam, AdamRates};
use crate::model::{Model, Parameters, Precision, Weights};
use crate::physics::{Hamiltonian, Lattice};

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainConfig {
    /// Samples of a step, B; at least 2.
    pub samples: usize,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Steps over which the learning rate rises linearly at the beginning.
    pub warmup: u64,
    /// Largest norm of the gradient; a longer one is scaled to it.
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
    optimizer: Optimizer,
    plan: Plan,
    /// How many distinct samples there are in each span.
    counters: View,
    ring: MetricsRing,
    submitted: u64,
    /// Whether Markov chains must begin anew before the next step.
    begins: bool,
}

/// Adam's buffers.
struct Optimizer {
    first: Buffer,
    second: Buffer,
    state: Buffer,
    part: Buffer,
}

impl Optimizer {
    /// Elements of its buffers beside the two moments.
    fn own_elements(parameters: &Parameters) -> u64 {
        8 + Adam::part_elements(parameters.layout().elements() as u32)
    }

    fn new(gpu: &Gpu, elements: u64) -> Result<Self> {
        Ok(Self {
            first: gpu.buffer("ketformer.adam.first", elements)?,
            second: gpu.buffer("ketformer.adam.second", elements)?,
            state: gpu.upload("ketformer.adam.state", &[1f32, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])?,
            part: gpu.buffer("ketformer.adam.part", Adam::part_elements(elements as u32))?,
        })
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
        model.check(lattice)?;
        let terms = hamiltonian.terms(lattice)?;
        let layout = model.layout(lattice)?;
        let initial = layout.initial(config.seed);
        let parameters = Parameters::new(gpu, layout, config.precision)?;
        parameters.write(gpu, &initial)?;
        let estimator_config = EstimatorConfig {
            samples: config.samples as u32,
            training: true,
            unique: config.unique,
            memory: config.memory.unwrap_or(gpu.default_memory()),
            fixed: 4 * parameters.layout().elements() + Optimizer::own_elements(&parameters),
        };
        let estimator = Estimator::new(gpu, lattice, &terms, model, &parameters, estimator_config)?;
        let optimizer = Optimizer::new(gpu, parameters.layout().elements())?;
        let mut plan = Plan::new(gpu);
        estimator.record(&mut plan, Source::Drawn)?;
        record_gradient(&mut plan, &estimator)?;
        plan.scope("update");
        let adam = Adam {
            gradient: parameters.gradient(),
            part: optimizer.part.view(),
            statistics: estimator.statistics.view(),
            state: optimizer.state.view(),
            step: estimator.step.view(),
            parameters: parameters.values(),
            first: optimizer.first.view(),
            second: optimizer.second.view(),
        };
        let clip = config.clip.map(|clip| clip as f32);
        adam.record(&mut plan, parameters.layout().elements() as u32, clip, AdamRates::default())?;
        gpu.flush()?;
        let counters = estimator.spans().counters(&estimator.live)?;
        let ring = MetricsRing::new(gpu, STEPS_AHEAD, estimator.spans().parts())?;
        let gpu = gpu.clone();
        Ok(Self { gpu, config, parameters, estimator, optimizer, plan, counters, ring, submitted: 0, begins: true })
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
            self.estimator.restart(self.config.seed, step)?;
            self.begins = false;
        }
        let views = [&*self.estimator.statistics, &*self.optimizer.state, &self.counters];
        let acceptance = self.estimator.sampler.chains().map(Chains::acceptance);
        self.ring.submit(&self.plan, inputs, &self.estimator.step, views, acceptance.as_ref())?;
        self.submitted = step;
        Ok(())
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
            gradient_norm: f64::from(numbers.state[4]),
            learning_rate: numbers.learning_rate,
            unique: numbers.unique,
            acceptance: self.estimator.sampler.chains().map(|_| f64::from(numbers.acceptance)),
            accepted: numbers.state[3] == 1.0,
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
        let zeros = vec![0f32; self.parameters.layout().elements() as usize];
        self.begins = true;
        self.optimizer.first.write(&self.gpu, &zeros)?;
        self.optimizer.second.write(&self.gpu, &zeros)?;
        self.optimizer.state.write(&self.gpu, &[1f32, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> usize {
        self.parameters.layout().parameters() as usize
    }

    /// Bytes of this crate's buffers on the trainer's device, other trainers' included.
    pub fn memory(&self) -> u64 {
        self.gpu.allocated()
    }

    /// The plan of a step, for profiles. Running it is a step with the numbers of the last one.
    pub fn plan(&self) -> &Plan {
        &self.plan
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
        let numbers = (|| {
            while self.left > 0 && !trainer.ring.is_full() {
                trainer.submit_step()?;
                self.left -= 1;
            }
            trainer.ring.receive()
        })();
        match numbers {
            Ok(numbers) => numbers.map(|numbers| Ok(trainer.report(&numbers))),
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}
