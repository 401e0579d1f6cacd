//! Stochastic reconfiguration: buffers and plans of its steps, and the blocking form of their stages.

use std::cell::Cell;

use super::gram::{GramSamples, LayerList, ProductBuffers, Products};
use super::report::ReconfigurationCost;
use super::reweighting::SampleDistribution;
use super::stages::{Next, Outcome, Stage};
use super::step_control::StepControl;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::gram::{DirectionStep, DirectionUpdate};
use crate::kernels::nn::adam::{Adam, record_square};
use crate::model::{Layout, Parameters, Tensor, Weights};
use crate::vmc::step::buffers::StepInputs;
use crate::vmc::step::local_energy::LocalEnergyPipeline;
use crate::vmc::train::checkpoint::{named, of_prefix};
use crate::vmc::train::optimizer::{SamplingPower, StochasticReconfiguration};
use crate::vmc::train::replay::Replay;

/// Prefix of the names of the direction's tensors in a checkpoint.
const DIRECTION: &str = "sr.direction.";
/// Names of the tensors of the step control and of the sampling power in a checkpoint.
const CONTROL: &str = "sr.control";
const POWER: &str = "sr.sampling_power";

/// Buffers of stochastic reconfiguration in addition to those of the local-energy pipeline.
pub(crate) struct ReconfigurationBuffers {
    /// φ
    direction: Buffer,
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
        parameters: &Parameters,
        panels: u64,
    ) -> Result<Self> {
        let (gpu, elements) = (&pipeline.gpu, parameters.layout().elements());
        let buffer = |name: &str, elements: u64| gpu.buffer(&format!("ketformer.{name}"), elements);
        Ok(Self {
            direction: buffer("direction", elements)?,
            part: buffer("direction.part", Adam::part_elements(elements as u32))?,
            state: buffer("reconfiguration.state", 8)?,
            products: ProductBuffers::new(gpu, layer_list, pipeline.sizes.training, panels)?,
        })
    }
}

/// Buffers and plans of stochastic reconfiguration in addition to those of the local-energy pipeline.
pub(crate) struct Reconfiguration {
    gpu: Gpu,
    pub(super) settings: StochasticReconfiguration,
    /// Maximum norm of a step.
    pub(super) clip: Option<f64>,
    /// Distribution of the samples.
    pub(super) distribution: SampleDistribution,
    pub(super) products: Products,
    /// φ
    direction: View,
    pub(super) part: Buffer,
    pub(super) blocks: usize,
    /// θ ← θ + length · φ
    pub(super) step: Plan,
    pub(super) words: View,
    /// (8) zeros, in place of the state of Adam.
    pub state: Buffer,
    pub(super) cost: Cell<ReconfigurationCost>,
    pub(super) control: Cell<StepControl>,
    /// p of the next step.
    pub(super) power: Cell<f32>,
}

impl Reconfiguration {
    /// Records the passes.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the samples do not fit into a single span; as [`Products::new`].
    pub(crate) fn new(
        layer_list: &LayerList,
        (settings, clip, distribution): (StochasticReconfiguration, Option<f64>, SampleDistribution),
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
        let direction = direction.view();
        let momentum = (settings.momentum > 0.0).then_some(&direction);
        let mut products = Products::new(layer_list, &samples, products, momentum)?;
        let count = parameters.layout().elements() as u32;
        let plan = products.combine();
        plan.scope("update");
        plan.keep_together();
        DirectionUpdate { gradient: parameters.gradient(), direction: direction.clone() }.record(
            plan,
            count,
            settings.momentum as f32,
        )?;
        record_square(plan, [&direction, &part], count)?;
        let mut step = Plan::new(gpu);
        step.scope("update");
        let words = pipeline.step.view();
        DirectionStep { direction: direction.clone(), step: words.clone(), parameters: parameters.values() }
            .record(&mut step, count)?;
        let (passes, gram, apply) = products.cost();
        let (parameters, additions) = (parameters.layout().parameters(), layer_list.additions());
        let cost = ReconfigurationCost { parameters, passes, additions, gram, apply, ..ReconfigurationCost::default() };
        Ok(Self {
            cost: Cell::new(cost),
            control: Cell::default(),
            power: Cell::new(settings.sampling_power.first()),
            gpu: gpu.clone(),
            settings,
            clip,
            distribution,
            products,
            direction,
            blocks: Adam::part_elements(count) as usize,
            part,
            step,
            words,
            state,
        })
    }

    /// The direction of the previous step.
    pub(super) fn direction(&self) -> &View {
        &self.direction
    }

    /// p: the samples of the next step are drawn from |ψ|^p.
    pub(crate) fn sampling_power(&self) -> f64 {
        self.power.get().into()
    }

    /// Whether p changes with the steps.
    pub(super) fn adapts_power(&self) -> bool {
        self.settings.sampling_power == SamplingPower::Adaptive
    }

    /// Forgets the energies of the previous steps, with which the next ones are not to be compared.
    pub(crate) fn forget_energies(&self) {
        let mut control = self.control.get();
        control.judge(f64::NAN, f64::NAN);
        control.updated(0.0);
        self.control.set(control);
    }

    /// Forgets the previous steps.
    pub(crate) fn forget(&self) -> Result<()> {
        self.control.take();
        self.power.set(self.settings.sampling_power.first());
        self.clear(&self.direction)
    }

    fn clear(&self, view: &View) -> Result<()> {
        view.write(&self.gpu, &vec![0u32; view.bytes() as usize / 4])
    }

    /// Returns the state that later steps depend on.
    pub(crate) async fn keep(&self, layout: &Layout) -> Result<Weights> {
        let flat = self.direction.read_async(&self.gpu, layout.elements() as usize).await?;
        let mut tensors = named(DIRECTION, layout.unflatten(&flat));
        tensors.insert(CONTROL.into(), self.control.get().tensor());
        if self.adapts_power() {
            tensors.insert(POWER.into(), Tensor { shape: vec![1], values: vec![self.power.get()] });
        }
        Ok(Weights { tensors })
    }

    /// Restores the state returned by [`Reconfiguration::keep`].
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if `kept` is not a state of stochastic reconfiguration or is of another model.
    pub(crate) fn restore(&self, layout: &Layout, kept: &Weights) -> Result<()> {
        let missing = |name: &str| {
            let message = format!("the checkpoint has no `{name}` of optimizer=sr; give the settings of its run");
            Error::new(ErrorKind::Weights, message)
        };
        let direction = layout.flatten(&of_prefix(DIRECTION, kept))?;
        let control = kept.tensors.get(CONTROL).and_then(StepControl::of_tensor).ok_or_else(|| missing(CONTROL))?;
        if self.adapts_power() {
            let power = kept.tensors.get(POWER).and_then(|tensor| tensor.values.first().copied());
            self.power.set(power.ok_or_else(|| missing(POWER))?);
        }
        self.control.set(control);
        self.direction.write(&self.gpu, &direction)
    }

    /// Solves the linear system of the last batch and updates the parameters, unless a number is not finite. At a
    /// temperature above zero, the free energy replaces the energy. Returns `None` if `replay` was stopped, in which case
    /// nothing is changed.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if the device was lost.
    pub(crate) fn take(
        &self,
        pipeline: &LocalEnergyPipeline,
        inputs: StepInputs,
        replay: &Replay,
    ) -> Result<Option<Outcome>> {
        let mut next = Next::Stage(Stage::first(inputs));
        loop {
            next = match next {
                Next::Stage(stage) => match self.run(pipeline, &stage, replay)? {
                    Some(words) => self.after(pipeline, stage, words),
                    None => return Ok(None),
                },
                Next::Solve(_) if replay.stops_within_steps() && replay.is_stopped() => return Ok(None),
                Next::Solve(system) => system.solve()?.next(),
                Next::Done(outcome) => return Ok(Some(outcome)),
            };
        }
    }

    /// Runs `stage` on the device and returns its outputs; `None` if `replay` was stopped.
    fn run(&self, pipeline: &LocalEnergyPipeline, stage: &Stage, replay: &Replay) -> Result<Option<Vec<Vec<u32>>>> {
        let inputs = self.inputs(stage)?;
        inputs.zeros.iter().try_for_each(|view| self.clear(view))?;
        inputs.writes.iter().try_for_each(|(view, words)| view.write(&self.gpu, words))?;
        let (_, plans) = self.plans_of(stage);
        for plan in plans {
            // The update is complete or was not begun.
            let is_complete = match stage {
                Stage::Update { .. } | Stage::Shortening { .. } => plan.run().map(|()| true)?,
                _ => replay.run(plan)?,
            };
            if !is_complete {
                return Ok(None);
            }
        }
        self.gpu.read_ranges(self.outputs(pipeline, stage)?).map(Some)
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
