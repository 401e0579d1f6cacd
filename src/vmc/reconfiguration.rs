//! Steps of stochastic reconfiguration: the small problem of a step's samples, solved, and the step from it.

use std::cell::Cell;
use std::time::Instant;

use super::checkpoint::{named, of_prefix};
use super::estimator::Estimator;
use super::evaluate::sample_values;
use super::geometry::{Outline, Products, Samples, Solution, right_side};
use super::metrics::StepNumbers;
use super::optimizer::StochasticReconfiguration;
use super::reweighting::{Reweighted, Reweighting};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Cost, Gpu, Plan, View};
use crate::kernels::energy::IMAGINARY;
use crate::kernels::geometry::{DirectionStep, DirectionUpdate};
use crate::kernels::optimizer::{Adam, record_square};
use crate::model::{Layout, Parameters, Weights};

/// Before the names of a direction's tensors in a checkpoint.
const DIRECTION: &str = "sr.direction.";

/// What a step of stochastic reconfiguration says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReconfigurationReport {
    /// About the largest over the smallest eigenvalue of G + λ.
    pub condition: f64,
    /// How far the solution is from solving (G + λ) v = f, relative to f.
    pub residual: f64,
    /// λ; where G + λ could not be factorised, the smallest eigenvalue that was not cut off.
    pub lambda: f64,
    /// Norm of the step in the parameters.
    pub update_norm: f64,
    /// Samples of |ψ|² that those drawn are worth: fewer than drawn where they are of another power of |ψ|.
    pub effective_samples: f64,
}

/// What the last step of stochastic reconfiguration took, after its samples and their energies.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ReconfigurationCost {
    /// Numbers that are trained.
    pub parameters: u64,
    /// Passes over the samples, each for some of the layers.
    pub passes: usize,
    /// Additions to the Gram matrix that are of pairs of rows, and of columns of the Jacobian.
    pub forms: [usize; 2],
    /// Rows of the small problem.
    pub rows: usize,
    /// Those passes with the products of gradients; of all samples, as if none were equal.
    pub gram: Cost,
    /// Wall time of reading energies, of the passes and of reading the matrix.
    pub gram_seconds: f64,
    /// Wall time of the small problem on the host.
    pub solve_seconds: f64,
    /// The pass that makes the step from the solution.
    pub apply: Cost,
    /// Its wall time, with that of the step.
    pub apply_seconds: f64,
}

/// What became of a step.
pub(super) struct Outcome {
    /// Norm of the gradient of the energy.
    pub gradient_norm: f64,
    /// `None` where the step was rejected.
    pub report: Option<ReconfigurationReport>,
    /// `None` where all samples weigh the same.
    pub reweighted: Option<Reweighted>,
}

/// The distinct samples of a step, as the host sees them.
struct Drawn {
    /// Roots of the samples' weights.
    root: Vec<f64>,
    /// −2 √w (E − Ē): real parts, then imaginary ones.
    right: Vec<f64>,
}

/// Buffers and plans of stochastic reconfiguration beside those of the estimator.
pub(super) struct Reconfiguration {
    gpu: Gpu,
    settings: StochasticReconfiguration,
    products: Products,
    /// φ, where it has momentum.
    direction: Option<Buffer>,
    part: Buffer,
    blocks: usize,
    /// θ ← θ + length · φ
    step: Plan,
    words: View,
    /// Stands where Adam's state does.
    pub state: Buffer,
    cost: Cell<ReconfigurationCost>,
}

impl Reconfiguration {
    /// Elements of its buffers, panels excepted.
    pub fn elements(outline: &Outline, settings: &StochasticReconfiguration, parameters: &Parameters) -> u64 {
        let elements = parameters.layout().elements();
        let direction = if settings.momentum > 0.0 { elements } else { 0 };
        8 + direction + Adam::part_elements(elements as u32) + outline.fixed()
    }

    /// Records the passes, with panels in `floats` floats.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] where the samples cannot be told apart all together; as [`Products::new`].
    pub fn new(
        outline: &Outline,
        settings: StochasticReconfiguration,
        estimator: &Estimator,
        parameters: &Parameters,
        floats: u64,
    ) -> Result<Self> {
        let (gpu, spans) = (&estimator.gpu, estimator.spans());
        if spans.parts() > 1 {
            let message = format!(
                "stochastic reconfiguration takes all samples of a step together, {} at most; give fewer samples",
                spans.part
            );
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let elements = parameters.layout().elements();
        let direction = (settings.momentum > 0.0).then(|| gpu.buffer("ketformer.direction", elements)).transpose()?;
        let pass = estimator.sampler.gradient_pass(estimator)?;
        let samples = Samples {
            gpu,
            pass: &*pass,
            counters: &estimator.live,
            live: spans.counter(&estimator.live, 0)?,
            tokens: spans.of_part(&estimator.tokens, 0, estimator.patches())?,
            sample_of: spans.of_part(&spans.sample_of, 0, 1)?,
            samples: estimator.samples,
            patches: estimator.patches(),
            chunk: estimator.sizes.training,
        };
        let view = direction.as_ref().map(Buffer::view);
        let mut products = Products::new(outline, &samples, floats, view.as_ref())?;
        let count = elements as u32;
        let part = gpu.buffer("ketformer.direction.part", Adam::part_elements(count))?;
        let along = view.unwrap_or(parameters.gradient());
        let plan = products.combine();
        plan.scope("update");
        if let Some(direction) = &direction {
            let update = DirectionUpdate { gradient: parameters.gradient(), direction: direction.view() };
            update.record(plan, count, settings.momentum as f32)?;
        }
        record_square(plan, [&along, &part], count)?;
        let mut step = Plan::new(gpu);
        step.scope("update");
        let words = estimator.step.view();
        DirectionStep { direction: along, step: words.clone(), parameters: parameters.values() }
            .record(&mut step, count)?;
        let (passes, gram, apply) = products.cost();
        let (parameters, forms) = (parameters.layout().parameters(), outline.forms());
        let cost = ReconfigurationCost { parameters, passes, forms, gram, apply, ..ReconfigurationCost::default() };
        Ok(Self {
            cost: Cell::new(cost),
            gpu: gpu.clone(),
            settings,
            products,
            direction,
            blocks: Adam::part_elements(count) as usize,
            part,
            step,
            words,
            state: gpu.buffer("ketformer.reconfiguration.state", 8)?,
        })
    }

    /// Forgets the direction of the step before.
    pub fn forget(&self) -> Result<()> {
        let Some(direction) = &self.direction else { return Ok(()) };
        direction.write(&self.gpu, &vec![0f32; direction.bytes() as usize / 4])
    }

    /// What later steps depend on.
    pub fn keep(&self, layout: &Layout) -> Result<Weights> {
        let Some(direction) = &self.direction else { return Ok(Weights::default()) };
        let flat = direction.read(&self.gpu, layout.elements() as usize)?;
        Ok(Weights { tensors: named(DIRECTION, layout.unflatten(&flat)) })
    }

    /// Goes on from what was kept.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] when it is not of momentum or of another model.
    pub fn restore(&self, layout: &Layout, kept: &Weights) -> Result<()> {
        let Some(direction) = &self.direction else { return Ok(()) };
        direction.write(&self.gpu, &layout.flatten(&of_prefix(DIRECTION, kept))?)
    }

    /// Weights and energies of the distinct samples of the step that has just run, from `values` of all samples.
    fn drawn(
        &self,
        estimator: &Estimator,
        values: &[Vec<f32>],
        distinct: usize,
        reweighting: Option<&Reweighting>,
    ) -> Result<Drawn> {
        let (gpu, spans) = (&self.gpu, estimator.spans());
        let count: Vec<u32> = spans.count.read(gpu, distinct)?;
        let sample_of: Vec<u32> = spans.sample_of.read(gpu, distinct)?;
        let even = 1.0 / f64::from(estimator.samples);
        let weight = |sample: u32| reweighting.map_or(even, |of| of.weight(sample as usize));
        let weights = count.iter().zip(&sample_of).map(|(count, sample)| f64::from(*count) * weight(*sample));
        let root: Vec<f64> = weights.map(f64::sqrt).collect();
        let mut right = Vec::new();
        for column in [0, IMAGINARY].into_iter().take(estimator.parts as usize) {
            let energy = |sample: &u32| f64::from(values[*sample as usize][column]);
            right.extend(right_side(&sample_of.iter().map(energy).collect::<Vec<_>>(), &root));
        }
        Ok(Drawn { root, right })
    }

    /// Solves the problem of the samples that were just drawn, and takes the step unless something is not finite. The
    /// step is no longer than `clip`.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] when the device was lost.
    pub fn take(&self, estimator: &Estimator, numbers: &StepNumbers, clip: Option<f64>) -> Result<Outcome> {
        let begun = Instant::now();
        let power = self.settings.power;
        let reweighting = (power != 2.0).then(|| Reweighting::new(estimator, power)).transpose()?;
        let reweighting = reweighting.as_ref();
        let values = sample_values(estimator)?;
        let reweighted = reweighting.map(|of| of.statistics(&values));
        let rejected = |gradient_norm: f64| Ok(Outcome { gradient_norm, report: None, reweighted });
        let Drawn { root, right } = self.drawn(estimator, &values, numbers.unique as usize, reweighting)?;
        if right.iter().any(|f| !f.is_finite()) {
            return rejected(f64::NAN);
        }
        self.products.run(&root)?;
        let gram = self.products.gram(&root)?;
        let squared: f64 = gram.product(&right).iter().zip(&right).map(|(g, f)| g * f).sum();
        // Rounding may leave less than nothing.
        let gradient_norm = if squared.is_finite() { squared.max(0.0).sqrt() } else { f64::NAN };
        let along = self.products.along(&root)?;
        let summed = Instant::now();
        let momentum = self.settings.momentum;
        let right: Vec<f64> = right.iter().zip(&along).map(|(f, along)| f - momentum * along).collect();
        let Some(solution) = gram.solve(&right, self.settings.lambda_of(numbers.step)) else {
            return rejected(gradient_norm);
        };
        let solved = Instant::now();
        let norm = self.direct(&solution, &root)?;
        if !norm.is_finite() {
            self.forget()?;
            return rejected(gradient_norm);
        }
        let rate = numbers.learning_rate;
        let length = clip.map_or(rate, |clip| rate.min(clip / norm.max(f64::MIN_POSITIVE)));
        self.words.write(&self.gpu, &[0, 0, 0, (length as f32).to_bits()])?;
        self.step.run()?;
        self.cost.set(ReconfigurationCost {
            rows: right.len(),
            gram_seconds: (summed - begun).as_secs_f64(),
            solve_seconds: (solved - summed).as_secs_f64(),
            apply_seconds: solved.elapsed().as_secs_f64(),
            ..self.cost.get()
        });
        let Solution { condition, residual, lambda, .. } = solution;
        let effective_samples = reweighting.map_or(estimator.samples.into(), Reweighting::effective_samples);
        let update_norm = length * norm;
        let report = ReconfigurationReport { condition, residual, lambda, update_norm, effective_samples };
        Ok(Outcome { gradient_norm, report: Some(report), reweighted })
    }

    /// Makes the direction Xᵀ v + μ φ and returns its norm.
    fn direct(&self, solution: &Solution, root: &[f64]) -> Result<f64> {
        self.products.weigh_combination(&solution.values, root)?;
        self.products.combined().run()?;
        let squares: Vec<f32> = self.part.read(&self.gpu, self.blocks)?;
        Ok(squares.iter().map(|square| f64::from(*square)).sum::<f64>().sqrt())
    }

    /// What a step replays after its samples and energies.
    pub fn plans(&self) -> Vec<&Plan> {
        self.products.plans().chain([&self.step]).collect()
    }

    /// What the last step that was taken took.
    pub fn cost(&self) -> ReconfigurationCost {
        self.cost.get()
    }
}
