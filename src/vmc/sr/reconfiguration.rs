//! Steps of stochastic reconfiguration: linear system in the space of samples, its solution, and the parameter update.

use std::cell::Cell;

use web_time::Instant;

use super::gram::{GramSamples, LayerList, ProductBuffers, Products, Solution, right_side};
use super::report::{ReconfigurationCost, ReconfigurationReport};
use super::reweighting::{Reweighted, Reweighting};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::gram::{DirectionStep, DirectionUpdate};
use crate::kernels::nn::adam::{Adam, record_square};
use crate::kernels::vmc::energy::Column;
use crate::model::{Layout, Parameters, Weights};
use crate::vmc::step::local_energy::LocalEnergyPipeline;
use crate::vmc::train::checkpoint::{named, of_prefix};
use crate::vmc::train::metrics::StepNumbers;
use crate::vmc::train::optimizer::StochasticReconfiguration;
use crate::vmc::train::replay::Replay;

/// Prefix of the names of the direction's tensors in a checkpoint.
const DIRECTION: &str = "sr.direction.";

/// Outcome of a step.
pub(crate) struct Outcome {
    /// Norm of the gradient of the energy.
    pub gradient_norm: f64,
    /// `None` if the step was rejected.
    pub report: Option<ReconfigurationReport>,
    /// `None` if all samples have equal weights.
    pub reweighted: Option<Reweighted>,
}

/// Weights and energies of the deduplicated samples of a step on the host.
struct Drawn {
    /// Square roots of the weights.
    root: Vec<f64>,
    /// −2 √w (E − Ē): real parts, then imaginary parts.
    right: Vec<f64>,
}

/// Buffers of stochastic reconfiguration in addition to those of the local-energy pipeline.
pub(crate) struct ReconfigurationBuffers {
    /// φ, with momentum only.
    direction: Option<Buffer>,
    /// Partial sums of the squared norm of the direction.
    part: Buffer,
    /// (8) zeros, in place of the state of Adam.
    state: Buffer,
    products: ProductBuffers,
}

impl ReconfigurationBuffers {
    /// Creates the buffers, with panels of `panels` floats in total.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn new(
        pipeline: &LocalEnergyPipeline,
        layer_list: &LayerList,
        settings: &StochasticReconfiguration,
        parameters: &Parameters,
        panels: u64,
    ) -> Result<Self> {
        let (gpu, elements) = (&pipeline.gpu, parameters.layout().elements());
        let buffer = |name: &str, elements: u64| gpu.buffer(&format!("ketformer.{name}"), elements);
        Ok(Self {
            direction: (settings.momentum > 0.0).then(|| buffer("direction", elements)).transpose()?,
            part: buffer("direction.part", Adam::part_elements(elements as u32))?,
            state: buffer("reconfiguration.state", 8)?,
            products: ProductBuffers::new(gpu, layer_list, pipeline.sizes.training, panels)?,
        })
    }
}

/// Buffers and plans of stochastic reconfiguration in addition to those of the local-energy pipeline.
pub(crate) struct Reconfiguration {
    gpu: Gpu,
    settings: StochasticReconfiguration,
    products: Products,
    /// φ, with momentum only.
    direction: Option<Buffer>,
    part: Buffer,
    blocks: usize,
    /// θ ← θ + length · φ
    step: Plan,
    words: View,
    /// (8) zeros, in place of the state of Adam.
    pub state: Buffer,
    cost: Cell<ReconfigurationCost>,
}

impl Reconfiguration {
    /// Records the passes.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the samples do not fit into a single span; as [`Products::new`].
    pub(crate) fn new(
        layer_list: &LayerList,
        settings: StochasticReconfiguration,
        pipeline: &LocalEnergyPipeline,
        parameters: &Parameters,
        buffers: ReconfigurationBuffers,
    ) -> Result<Self> {
        let (gpu, spans) = (&pipeline.gpu, pipeline.spans());
        if spans.parts() > 1 {
            let message = format!(
                "stochastic reconfiguration takes all samples of a step together, {} at most; give fewer samples",
                spans.part
            );
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let ReconfigurationBuffers { direction, part, state, products } = buffers;
        let pass = pipeline.sampler.gradient_pass(pipeline)?;
        let samples = GramSamples {
            gpu,
            pass: &*pass,
            counters: &pipeline.live,
            live: spans.counter(&pipeline.live, 0)?,
            tokens: spans.of_part(&pipeline.tokens, 0, pipeline.patches())?,
            sample_of: spans.of_part(&spans.sample_of, 0, 1)?,
            samples: pipeline.samples,
            patches: pipeline.patches(),
            chunk: pipeline.sizes.training,
        };
        let view = direction.as_ref().map(Buffer::view);
        let mut products = Products::new(layer_list, &samples, products, view.as_ref())?;
        let count = parameters.layout().elements() as u32;
        let along = view.unwrap_or(parameters.gradient());
        let plan = products.combine();
        plan.scope("update");
        plan.keep_together();
        if let Some(direction) = &direction {
            let update = DirectionUpdate { gradient: parameters.gradient(), direction: direction.view() };
            update.record(plan, count, settings.momentum as f32)?;
        }
        record_square(plan, [&along, &part], count)?;
        let mut step = Plan::new(gpu);
        step.scope("update");
        let words = pipeline.step.view();
        DirectionStep { direction: along, step: words.clone(), parameters: parameters.values() }
            .record(&mut step, count)?;
        let (passes, gram, apply) = products.cost();
        let (parameters, additions) = (parameters.layout().parameters(), layer_list.additions());
        let cost = ReconfigurationCost { parameters, passes, additions, gram, apply, ..ReconfigurationCost::default() };
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
            state,
        })
    }

    /// Resets the direction of the previous step to zero.
    pub(crate) fn forget(&self) -> Result<()> {
        let Some(direction) = &self.direction else { return Ok(()) };
        direction.write(&self.gpu, &vec![0f32; direction.bytes() as usize / 4])
    }

    /// Returns the state that later steps depend on.
    pub(crate) fn keep(&self, layout: &Layout) -> Result<Weights> {
        let Some(direction) = &self.direction else { return Ok(Weights::default()) };
        let flat = direction.read(&self.gpu, layout.elements() as usize)?;
        Ok(Weights { tensors: named(DIRECTION, layout.unflatten(&flat)) })
    }

    /// Restores the state returned by [`Reconfiguration::keep`].
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if `kept` has no direction or is of another model.
    pub(crate) fn restore(&self, layout: &Layout, kept: &Weights) -> Result<()> {
        let Some(direction) = &self.direction else { return Ok(()) };
        direction.write(&self.gpu, &layout.flatten(&of_prefix(DIRECTION, kept))?)
    }

    /// Returns weights and energies, or free energies at `temperature`, of the deduplicated samples of the last batch,
    /// from the `values` of all samples.
    fn drawn(
        &self,
        pipeline: &LocalEnergyPipeline,
        values: &[Vec<f32>],
        distinct: usize,
        reweighting: Option<&Reweighting>,
        temperature: f64,
    ) -> Result<Drawn> {
        let (gpu, spans) = (&self.gpu, pipeline.spans());
        let count: Vec<u32> = spans.count.read(gpu, distinct)?;
        let sample_of: Vec<u32> = spans.sample_of.read(gpu, distinct)?;
        let even = 1.0 / f64::from(pipeline.samples);
        let weight = |sample: u32| reweighting.map_or(even, |of| of.weight(sample as usize));
        let weights = count.iter().zip(&sample_of).map(|(count, sample)| f64::from(*count) * weight(*sample));
        let root: Vec<f64> = weights.map(f64::sqrt).collect();
        let log_p = match temperature == 0.0 {
            true => Vec::new(),
            false => pipeline.read_log_p(pipeline.samples as usize)?,
        };
        let entropy = |sample: u32| log_p.get(sample as usize).map_or(0.0, |log_p| temperature * log_p);
        let mut right = Vec::new();
        for column in [Column::Energy, Column::ImaginaryEnergy].into_iter().take(pipeline.parts as usize) {
            let entropy = |sample: u32| if column == Column::Energy { entropy(sample) } else { 0.0 };
            let energy = |sample: &u32| column.of(&values[*sample as usize]) + entropy(*sample);
            right.extend(right_side(&sample_of.iter().map(energy).collect::<Vec<_>>(), &root));
        }
        Ok(Drawn { root, right })
    }

    /// Solves the linear system of the last batch and updates the parameters, unless a number is not finite. The norm
    /// of the step is at most `clip`. At a `temperature` above zero, the free energy replaces the energy. Returns `None`
    /// if `replay` was stopped, in which case nothing is changed.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if the device was lost.
    pub(crate) fn take(
        &self,
        pipeline: &LocalEnergyPipeline,
        numbers: &StepNumbers,
        clip: Option<f64>,
        temperature: f64,
        replay: &Replay,
    ) -> Result<Option<Outcome>> {
        let begun = Instant::now();
        let power = self.settings.sampling_power;
        let reweighting = (power != 2.0).then(|| Reweighting::new(pipeline, power)).transpose()?;
        let reweighting = reweighting.as_ref();
        let values = pipeline.read_values()?;
        let reweighted = reweighting.map(|of| of.statistics(&values));
        let rejected = |gradient_norm: f64| Ok(Some(Outcome { gradient_norm, report: None, reweighted }));
        let is_stopped = || replay.stops_within_steps() && replay.is_stopped();
        let distinct = numbers.unique as usize;
        let Drawn { root, right } = self.drawn(pipeline, &values, distinct, reweighting, temperature)?;
        if right.iter().any(|f| !f.is_finite()) {
            return rejected(f64::NAN);
        }
        if !self.products.run(&root, |plan| replay.run(plan))? {
            return Ok(None);
        }
        let gram = self.products.gram(&root)?;
        if is_stopped() {
            return Ok(None);
        }
        let squared: f64 = gram.product(&right).iter().zip(&right).map(|(g, f)| g * f).sum();
        // Rounding can make it negative.
        let gradient_norm = if squared.is_finite() { squared.max(0.0).sqrt() } else { f64::NAN };
        let along = self.products.along(&root)?;
        let summed = Instant::now();
        let momentum = self.settings.momentum;
        let right: Vec<f64> = right.iter().zip(&along).map(|(f, along)| f - momentum * along).collect();
        let Some(solution) = gram.solve(&right, self.settings.lambda_of(numbers.step)) else {
            return rejected(gradient_norm);
        };
        let solved = Instant::now();
        let Some(norm) = self.direct(&solution, &root, replay)? else { return Ok(None) };
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
        let effective_samples = reweighting.map_or(pipeline.samples.into(), Reweighting::effective_samples);
        let update_norm = length * norm;
        let report = ReconfigurationReport { condition, residual, lambda, update_norm, effective_samples };
        Ok(Some(Outcome { gradient_norm, report: Some(report), reweighted }))
    }

    /// Computes the direction Xᵀ v + μ φ and returns its norm; `None` if `replay` was stopped.
    fn direct(&self, solution: &Solution, root: &[f64], replay: &Replay) -> Result<Option<f64>> {
        self.products.weigh_combination(&solution.values, root)?;
        if !replay.run(self.products.combined())? {
            return Ok(None);
        }
        let squares: Vec<f32> = self.part.read(&self.gpu, self.blocks)?;
        Ok(Some(squares.iter().map(|square| f64::from(*square)).sum::<f64>().sqrt()))
    }

    /// Plans that a step replays after sampling and local energies.
    pub(crate) fn plans(&self) -> Vec<&Plan> {
        self.products.plans().chain([&self.step]).collect()
    }

    /// Cost of the last step that was not rejected.
    pub(crate) fn cost(&self) -> ReconfigurationCost {
        self.cost.get()
    }
}
