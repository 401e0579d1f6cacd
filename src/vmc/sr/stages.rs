//! Stages of a step of stochastic reconfiguration after sampling and local energies: work of the device and of the host
//! in turns. Blocking steps and those within frames go through the same stages.

use web_time::Instant;

use super::gram::{Solution, right_side};
use super::reconfiguration::Reconfiguration;
use super::report::{ReconfigurationCost, ReconfigurationReport};
use super::reweighting::{Reweighted, Reweighting};
use super::sampling_power::{self, PowerSamples};
use super::step_control::StepControl;
use super::system::{LinearSystem, Sampled, Solved};
use crate::error::Result;
use crate::gpu::{Plan, View};
use crate::kernels::vmc::energy::Column;
use crate::vmc::step::buffers::{StepInputs, sums_of_rows};
use crate::vmc::step::local_energy::LocalEnergyPipeline;

/// Stage of a step: what the device does next.
pub(crate) enum Stage {
    /// Values of the samples are read.
    Samples { inputs: StepInputs, begun: Instant },
    /// Passes over the layers: G and X φ.
    Products(Sampled),
    /// The direction Xᵀ v + μ φ and its norm.
    Direction(Solved, Solution),
    /// The parameter update. `solved` is when the system was solved.
    Update { outcome: Outcome, length: f32, control: StepControl, power: f32, solved: Instant },
    /// Half of the last update is taken back, because it raised the energy.
    Shortening { outcome: Outcome, length: f32, control: StepControl },
    /// A direction that is not finite is forgotten.
    Rejection(Outcome),
}

/// What follows a stage.
pub(crate) enum Next {
    Stage(Stage),
    /// The host solves a linear system, which may take long; [`Solved::next`] continues.
    Solve(LinearSystem),
    Done(Outcome),
}

/// Outcome of a step.
pub(crate) struct Outcome {
    /// Norm of the gradient of the energy.
    pub gradient_norm: f64,
    /// `None` if the step was rejected, or shortened the previous one.
    pub report: Option<ReconfigurationReport>,
    /// Whether the step shortened the previous one.
    pub is_shortening: bool,
    /// `None` if all samples have equal weights.
    pub reweighted: Option<Reweighted>,
    /// When the step's sampling had ended.
    pub begun: Instant,
}

impl Outcome {
    /// Outcome of a rejected step.
    fn rejected(sampled: &Sampled, gradient_norm: f64) -> Self {
        Self { gradient_norm, report: None, is_shortening: false, reweighted: sampled.reweighted, begun: sampled.begun }
    }
}

/// What the device needs before the plans of a stage.
#[derive(Default)]
pub(crate) struct StageInputs {
    /// Views that are set to zero.
    pub zeros: Vec<View>,
    pub writes: Vec<(View, Vec<u32>)>,
}

impl Stage {
    /// First stage of a step.
    pub(crate) fn first(inputs: StepInputs) -> Self {
        Self::Samples { inputs, begun: Instant::now() }
    }
}

impl Solved {
    /// What follows the solution.
    pub(crate) fn next(mut self) -> Next {
        match self.solution.take() {
            Some(solution) => Next::Stage(Stage::Direction(self, solution)),
            None => Next::Done(Outcome::rejected(&self.sampled, self.gradient_norm)),
        }
    }
}

impl Reconfiguration {
    /// What the device needs before the plans of `stage`.
    ///
    /// # Errors
    /// As [`View::range`].
    pub(crate) fn inputs(&self, stage: &Stage) -> Result<StageInputs> {
        match stage {
            Stage::Samples { .. } => Ok(StageInputs::default()),
            Stage::Products(sampled) => {
                Ok(StageInputs { zeros: self.products.zeros(), writes: self.products.writes(&sampled.root)? })
            }
            Stage::Direction(solved, solution) => {
                let writes = self.products.combination(&solution.values, &solved.sampled.root)?;
                Ok(StageInputs { writes, ..StageInputs::default() })
            }
            Stage::Update { length, .. } | Stage::Shortening { length, .. } => {
                let words = vec![0, 0, 0, length.to_bits()];
                Ok(StageInputs { writes: vec![(self.words.clone(), words)], ..StageInputs::default() })
            }
            Stage::Rejection(_) => Ok(StageInputs { zeros: vec![self.direction().clone()], ..StageInputs::default() }),
        }
    }

    /// Plans of `stage`, with the number of plans before them among [`Reconfiguration::plans`].
    pub(crate) fn plans_of(&self, stage: &Stage) -> (usize, &[Plan]) {
        let passes = self.products.passes();
        match stage {
            Stage::Samples { .. } | Stage::Rejection(_) => (0, &[]),
            Stage::Products(_) => (0, passes),
            Stage::Direction(..) => (passes.len(), std::slice::from_ref(self.products.combined())),
            Stage::Update { .. } | Stage::Shortening { .. } => (passes.len() + 1, std::slice::from_ref(&self.step)),
        }
    }

    /// Views that the host reads after the plans of `stage`, with their numbers of words.
    ///
    /// # Errors
    /// As [`View::range`].
    pub(crate) fn outputs(&self, pipeline: &LocalEnergyPipeline, stage: &Stage) -> Result<Vec<(View, usize)>> {
        match stage {
            Stage::Samples { inputs, .. } => {
                let (spans, samples) = (pipeline.spans(), pipeline.samples as usize);
                let [values, dedup_of] = pipeline.values_to_read();
                let of_span = [(spans.count.view(), samples), (spans.sample_of.view(), samples)];
                let unique = (spans.counter(&pipeline.live, 0)?, 1);
                let log_p = (pipeline.log_p.view(), samples * pipeline.columns as usize);
                let is_reweighted = self.distribution.is_reweighted(inputs.sampling_power);
                let needs_log_p = is_reweighted || self.adapts_power() || inputs.temperature != 0.0;
                let all = [values, dedup_of, unique].into_iter().chain(of_span);
                Ok(all.chain(needs_log_p.then_some(log_p)).collect())
            }
            Stage::Products(sampled) => Ok(self.products.to_read(sampled.root.len())),
            Stage::Direction(..) => Ok(vec![(self.part.view(), self.blocks)]),
            Stage::Update { .. } | Stage::Shortening { .. } | Stage::Rejection(_) => Ok(Vec::new()),
        }
    }

    /// Maximum numbers of words of the inputs and of the outputs of a stage.
    ///
    /// # Errors
    /// As [`View::range`].
    pub(crate) fn transferred_words(&self, pipeline: &LocalEnergyPipeline) -> Result<[u64; 2]> {
        let samples = pipeline.samples as usize;
        let writes = self.products.writes(&vec![0.0; samples])?;
        let total = |outputs: Vec<(View, usize)>| outputs.iter().map(|(_, words)| *words as u64).sum::<u64>();
        let values = total(self.outputs(pipeline, &Stage::first(StepInputs::default()))?);
        let inputs = writes.iter().map(|(_, words)| words.len() as u64).sum::<u64>().max(4);
        Ok([inputs, values.max(total(self.products.to_read(samples)))])
    }

    /// Work of the host after `stage`, whose [`Reconfiguration::outputs`] are `words`.
    pub(crate) fn after(&self, pipeline: &LocalEnergyPipeline, stage: Stage, words: Vec<Vec<u32>>) -> Next {
        match stage {
            Stage::Samples { inputs, begun } => {
                let mut sampled = self.sampled(pipeline, (inputs, begun), &words);
                if !sampled.right.iter().all(|f| f.is_finite()) {
                    return Next::Done(Outcome::rejected(&sampled, f64::NAN));
                }
                let [energy, error] = sampled.energy;
                match sampled.control.judge(energy, error) {
                    Some(length) => {
                        let outcome = Outcome { is_shortening: true, ..Outcome::rejected(&sampled, f64::NAN) };
                        Next::Stage(Stage::Shortening { outcome, length, control: sampled.control })
                    }
                    None => Next::Stage(Stage::Products(sampled)),
                }
            }
            Stage::Products(sampled) => {
                let products = self.products.words(words);
                let lambda = self.settings.lambda_of(sampled.inputs.step);
                Next::Solve(LinearSystem { sampled, products, lambda, momentum: self.settings.momentum })
            }
            Stage::Direction(solved, solution) => {
                let squares: &[f32] = bytemuck::cast_slice(&words[0]);
                let norm = squares.iter().map(|square| f64::from(*square)).sum::<f64>().sqrt();
                Next::Stage(self.update(&solved, &solution, norm))
            }
            Stage::Update { outcome, control, power, solved, .. } => {
                let apply_seconds = solved.elapsed().as_secs_f64();
                self.cost.set(ReconfigurationCost { apply_seconds, ..self.cost.get() });
                self.control.set(control);
                self.power.set(power);
                Next::Done(outcome)
            }
            Stage::Shortening { outcome, control, .. } => {
                self.control.set(control);
                Next::Done(outcome)
            }
            Stage::Rejection(outcome) => Next::Done(outcome),
        }
    }

    /// Weights and energies, or free energies at a temperature above zero, of the deduplicated samples.
    fn sampled(
        &self,
        pipeline: &LocalEnergyPipeline,
        (inputs, begun): (StepInputs, Instant),
        words: &[Vec<u32>],
    ) -> Sampled {
        let [values, dedup_of, unique, count, sample_of] = std::array::from_fn(|at| &words[at][..]);
        let values = pipeline.rows_of_values(bytemuck::cast_slice(values), dedup_of);
        let log_p = words.get(5).map(|log_p| sums_of_rows(bytemuck::cast_slice(log_p), pipeline.columns));
        let log_p = log_p.unwrap_or_default();
        let reweighting = self.distribution.reweighting(&log_p, inputs.sampling_power);
        let unique = unique[0] as usize;
        let even = 1.0 / f64::from(pipeline.samples);
        let weight = |sample: u32| reweighting.as_ref().map_or(even, |of| of.weight(sample as usize));
        let (count, sample_of) = (&count[..unique], &sample_of[..unique]);
        let weights = count.iter().zip(sample_of).map(|(count, sample)| f64::from(*count) * weight(*sample));
        let root: Vec<f64> = weights.map(f64::sqrt).collect();
        let power = self.adapts_power().then(|| PowerSamples {
            counts: count.iter().map(|count| f64::from(*count)).collect(),
            log_amplitudes: sample_of.iter().map(|sample| 0.5 * log_p[*sample as usize]).collect(),
        });
        let StepInputs { temperature, .. } = inputs;
        let entropy = |sample: u32| match temperature == 0.0 {
            true => 0.0,
            false => temperature * log_p[sample as usize],
        };
        let (mut right, mut mean) = (Vec::new(), f64::NAN);
        for column in [Column::Energy, Column::ImaginaryEnergy].into_iter().take(pipeline.parts as usize) {
            let entropy = |sample: u32| if column == Column::Energy { entropy(sample) } else { 0.0 };
            let energy = |sample: &u32| column.of(&values[*sample as usize]) + entropy(*sample);
            let energies: Vec<f64> = sample_of.iter().map(energy).collect();
            if column == Column::Energy {
                mean = root.iter().zip(&energies).map(|(root, energy)| root * root * energy).sum();
            }
            right.extend(right_side(&energies, &root));
        }
        // f² = 4 w² / weight · (E − Ē)², where a weight w of `count` draws has the error of `count` terms.
        let squares =
            right.iter().zip(&root).zip(count).map(|((f, root), count)| (f * root).powi(2) / f64::from(*count));
        let is_complete = reweighting.as_ref().is_some_and(Reweighting::is_complete);
        let error = if is_complete { 0.0 } else { 0.5 * squares.sum::<f64>().sqrt() };
        // Free energies of different temperatures are not compared.
        let energy = if temperature == 0.0 { [mean, error] } else { [f64::NAN; 2] };
        let reweighted = reweighting.as_ref().map(|of| of.statistics(&values));
        let effective_samples = reweighting.as_ref().map_or(pipeline.samples.into(), Reweighting::effective_samples);
        let control = self.control.get();
        Sampled { inputs, root, right, reweighted, effective_samples, energy, control, power, begun }
    }

    /// The update along a direction of norm `norm`, which the maximum norm of an update shortens.
    fn update(&self, solved: &Solved, solution: &Solution, norm: f64) -> Stage {
        let Solved { sampled, gradient_norm, change, power_slope, gram_seconds, solve_seconds, .. } = solved;
        if !norm.is_finite() {
            return Stage::Rejection(Outcome::rejected(sampled, *gradient_norm));
        }
        let mut control = sampled.control;
        let rate = control.rate(sampled.inputs.learning_rate, *change);
        let length = self.clip.map_or(rate, |clip| rate.min(clip / norm.max(f64::MIN_POSITIVE)));
        control.updated(length as f32);
        let power = self.power.get();
        let power = power_slope.map_or(power, |slope| sampling_power::next(power, slope));
        self.cost.set(ReconfigurationCost {
            rows: sampled.right.len(),
            gram_seconds: *gram_seconds,
            solve_seconds: *solve_seconds,
            ..self.cost.get()
        });
        let Solution { condition, residual, lambda, .. } = *solution;
        let (update_norm, effective_samples) = (length * norm, sampled.effective_samples);
        let report = ReconfigurationReport { condition, residual, lambda, update_norm, effective_samples };
        let outcome = Outcome { report: Some(report), ..Outcome::rejected(sampled, *gradient_norm) };
        Stage::Update { outcome, length: length as f32, control, power, solved: solved.end }
    }
}
