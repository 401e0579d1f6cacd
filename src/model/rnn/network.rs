//! Passes of a recurrent wave function on a device: the cell, position by position of its sequences, then the head.
//!
//! A sample is one sequence, or several consecutive ones that each start in a conditioning, the state before their
//! first patch. All sequences of a teacher-forced pass, and of a suffix batch, advance together.

use super::row_order::KnownOrder;
use super::training::RnnTraining;
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::GradientInto;
use crate::kernels::nn::recurrent::{
    Before, Cell, InputWeights, RecurrentLinks, RecurrentShape, RecurrentStep, StepRows, Strided,
};
use crate::model::layers::affine::{Affine, ParameterViews};
use crate::model::layers::categorical_head::{CategoricalHead, HeadSizes, OutcomeBuffers};
use crate::model::layers::transformer::{RowLayout, Transformer};
use crate::model::{Autoregressive, Capacity, Initial, Outcomes, ParameterSpec, Parameters, SuffixBatch};

/// Sizes of a recurrent wave function, as `u32` for shaders.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RnnSizes {
    /// T
    pub patches: u32,
    /// S, patches of a sequence; T if a sample is one sequence.
    pub sequence: u32,
    /// P
    pub sites_per_patch: u32,
    /// V
    pub outcomes: u32,
    /// C
    pub width: u32,
    pub cell: Cell,
    /// Whether outcomes have phases.
    pub complex: bool,
}

impl RnnSizes {
    pub(crate) fn head(&self) -> HeadSizes {
        HeadSizes { width: self.width, outcomes: self.outcomes, complex: self.complex }
    }

    /// G·C
    pub(crate) fn gates(&self) -> u32 {
        self.cell.gates() * self.width
    }

    /// Elements of a gradient block of the widest weight with its bias.
    pub(crate) fn part_width(&self) -> u64 {
        let [c, g, p] = [self.width, self.gates(), self.sites_per_patch].map(u64::from);
        self.head().part_width().max((c.max(p) + 1) * g)
    }

    /// Parameters; the weight of the input and both biases are adjacent, in this order.
    pub(crate) fn specs(&self) -> Vec<ParameterSpec> {
        let [c, g, p] = [self.width, self.gates(), self.sites_per_patch].map(|size| size as usize);
        let initial = Initial::Uniform(1.0 / (c as f64).sqrt());
        let spec = |name: &str, shape: Vec<usize>| ParameterSpec { name: name.into(), shape, initial: initial.clone() };
        let cell = vec![
            spec(WEIGHT_INPUT, vec![g, p]),
            spec(BIAS_INPUT, vec![g]),
            spec(BIAS_STATE, vec![g]),
            spec(WEIGHT_STATE, vec![g, c]),
        ];
        [cell, self.head().specs()].concat()
    }
}

const WEIGHT_INPUT: &str = "rnn.weight_ih_l0";
const WEIGHT_STATE: &str = "rnn.weight_hh_l0";
const BIAS_INPUT: &str = "rnn.bias_ih_l0";
const BIAS_STATE: &str = "rnn.bias_hh_l0";
/// Words of a link.
const LINK: u64 = 4;

/// Weights and biases for the input and for the previous state.
#[derive(Debug, Clone)]
pub(crate) struct CellViews {
    pub input: Affine,
    pub state: Affine,
}

/// Conditionings of a suffix batch.
pub(crate) struct MoveConditionings<'a> {
    /// (items·per_item, C)
    pub rows: &'a View,
    /// Rows of each item.
    pub per_item: u32,
}

/// Recurrent wave function on a device.
pub(crate) struct RnnNetwork {
    gpu: Gpu,
    pub(crate) sizes: RnnSizes,
    pub(crate) places: ParameterViews<CellViews>,
    pub(crate) head: CategoricalHead,
    input: InputWeights,
    samples: u32,
    /// (T, B, C): states of decoding, from which suffix batches continue
    states: Buffer,
    /// (B, C)
    hidden: Buffer,
    decoded: OutcomeBuffers,
    /// (move rows, C)
    move_states: Buffer,
    move_hidden: Buffer,
    moved: OutcomeBuffers,
    /// (move rows) of four u32
    links: Buffer,
    order: KnownOrder,
    /// Placeholders for operands that a kernel does not write.
    pub(crate) absent: [Buffer; 2],
    training: Option<RnnTraining>,
}

impl RnnNetwork {
    /// Creates the network; `prefix` is prepended to its parameter names.
    pub(crate) fn new(
        gpu: &Gpu,
        sizes: RnnSizes,
        parameters: &Parameters,
        prefix: &str,
        capacity: Capacity,
    ) -> Result<Self> {
        let [t, c] = [sizes.patches, sizes.width].map(u64::from);
        let (samples, rows) = (u64::from(capacity.samples), u64::from(capacity.move_rows.max(1)));
        let buffer = |name: &str, elements: u64| gpu.buffer(&format!("ketformer.{name}"), elements);
        let slot = |name: &str| parameters.layout().slot(&format!("{prefix}{name}"));
        let first = slot(WEIGHT_INPUT)?.first;
        let end = slot(BIAS_STATE)?.first + slot(BIAS_STATE)?.elements;
        let input = InputWeights {
            view: parameters.values().range(WEIGHT_INPUT, first, end - first)?,
            bias_input: (slot(BIAS_INPUT)?.first - first) as u32,
            bias_state: (slot(BIAS_STATE)?.first - first) as u32,
        };
        let training =
            (capacity.training_samples > 0).then(|| RnnTraining::new(gpu, &sizes, capacity.training_samples));
        Ok(Self {
            places: ParameterViews::new(parameters, prefix, |find| {
                Ok(CellViews {
                    input: Affine { weight: find(WEIGHT_INPUT)?, bias: find(BIAS_INPUT)? },
                    state: Affine { weight: find(WEIGHT_STATE)?, bias: find(BIAS_STATE)? },
                })
            })?,
            head: CategoricalHead::new(parameters, prefix, sizes.head())?,
            input,
            samples: capacity.samples,
            states: buffer("decode.states", samples * t * c)?,
            hidden: buffer("decode.hidden", samples * c)?,
            decoded: OutcomeBuffers::new(gpu, "decode", samples * t, &sizes.head())?,
            move_states: buffer("moves.states", rows * c)?,
            move_hidden: buffer("moves.hidden", rows * c)?,
            moved: OutcomeBuffers::new(gpu, "moves", rows, &sizes.head())?,
            links: buffer("moves.links", rows * LINK)?,
            order: KnownOrder::default(),
            absent: [buffer("absent", 4)?, buffer("absent", 4)?],
            training: training.transpose()?,
            gpu: gpu.clone(),
            sizes,
        })
    }

    fn training(&self) -> Result<&RnnTraining> {
        self.training.as_ref().ok_or_else(Transformer::no_room)
    }

    /// Returns a step with placeholders for `gates` and `previous`; `weight` is W_hh in the storage that the pass
    /// reads.
    pub(crate) fn step(&self, rows: &View, weight: &View, states: &View, conditioning: Option<&View>) -> RecurrentStep {
        RecurrentStep {
            rows: rows.clone(),
            input: self.input.clone(),
            weight: weight.clone(),
            base: None,
            conditioning: conditioning.cloned(),
            states: states.clone(),
            gates: self.absent[0].view(),
            previous: self.absent[1].view(),
        }
    }

    pub(crate) fn shape(&self, items: &Rows, rows: StepRows, keeps: bool) -> RecurrentShape {
        let RnnSizes { cell, width, sites_per_patch, .. } = self.sizes;
        RecurrentShape { items: items.clone(), rows, cell, width, sites_per_patch, keeps }
    }

    /// As [`Autoregressive::decode`]; sequences start in `conditioning`, (samples, C), or in zeros.
    pub(crate) fn decode_from(
        &self,
        plan: &mut Plan,
        row_meta: &View,
        t: u32,
        conditioning: Option<&View>,
    ) -> Result<()> {
        let rows = Rows::from(self.samples);
        let starts = t.is_multiple_of(self.sizes.sequence);
        let own = Strided { stride: 1, first: 0 };
        let step_rows = StepRows::Described {
            row: own,
            state: Strided { first: t * self.samples, ..own },
            before: match conditioning {
                Some(_) if starts => Before::Conditioning(own),
                None if starts => Before::Zero,
                _ => Before::Back(self.samples),
            },
            starts,
        };
        let step = self.step(row_meta, &self.places.sampled.state.weight, &self.states, conditioning);
        step.record(plan, &self.shape(&rows, step_rows, false))?;
        let elements = u64::from(self.samples) * u64::from(self.sizes.width);
        let x = self.states.range("ketformer.decode.states", u64::from(t) * elements, elements)?;
        let place = RowLayout { stride: self.sizes.patches, first: t };
        self.head.record(plan, &self.head.places.sampled, [&x, &self.hidden], &self.decoded.views(), &rows, place)
    }

    /// As [`Autoregressive::connected`]; sequences start in `conditionings`, or in zeros.
    pub(crate) fn connected_from(
        &self,
        plan: &mut Plan,
        packed: &SuffixBatch,
        conditionings: Option<&MoveConditionings<'_>>,
    ) -> Result<Outcomes> {
        let sizes = [self.sizes.sequence, self.samples];
        let order = self.order.of(&self.gpu, &packed.positions, sizes, conditionings.is_some())?;
        let links = RecurrentLinks {
            rows: packed.row_meta.clone(),
            table: order.table.view(),
            sample_of: packed.sample_of.clone(),
            links: self.links.view(),
        };
        let (per_item, conditioning_stride) =
            (packed.rows_per_item, conditionings.map_or(0, |conditionings| conditionings.per_item));
        links.record(plan, &packed.items, per_item, packed.first_item, conditioning_stride)?;
        let conditioning = conditionings.map(|conditionings| conditionings.rows);
        let weight = &self.places.sampled.state.weight;
        let step = RecurrentStep {
            base: Some(self.states.view()),
            ..self.step(&self.links, weight, &self.move_states, conditioning)
        };
        for place in &order.steps {
            let rows = StepRows::Linked { per_item, first: place.first, count: place.count, sources: place.sources };
            step.record(plan, &self.shape(&packed.items, rows, false))?;
        }
        let rows = packed.items.times(per_item);
        let ([x, hidden], outcomes) = ([&self.move_states, &self.move_hidden].map(Buffer::view), self.moved.views());
        self.head.record(plan, &self.head.places.sampled, [&x, &hidden], &outcomes, &rows, RowLayout::SAME)?;
        Ok(outcomes)
    }

    /// As [`Autoregressive::forward`]; sequence q starts in row q of `conditionings`, (items·T/S, C), or in zeros.
    pub(crate) fn forward_from(
        &self,
        plan: &mut Plan,
        row_meta: &View,
        rows: &Rows,
        conditionings: Option<&View>,
    ) -> Result<Outcomes> {
        self.training()?.forward(self, plan, row_meta, rows, conditionings)
    }

    /// As [`Autoregressive::backward`]; also computes the gradient of the conditionings into `d_conditionings`, if
    /// given.
    pub(crate) fn backward_to(
        &self,
        plan: &mut Plan,
        row_meta: &View,
        rows: &Rows,
        into: GradientInto<'_>,
        d_conditionings: Option<&View>,
    ) -> Result<()> {
        self.training()?.backward(self, plan, row_meta, (rows, into), d_conditionings)
    }
}

impl Autoregressive for RnnNetwork {
    fn decode(&self, plan: &mut Plan, row_meta: &View, _tokens: &View, t: u32) -> Result<()> {
        self.decode_from(plan, row_meta, t, None)
    }

    fn decoded(&self) -> Outcomes {
        self.decoded.views()
    }

    fn connected(&self, plan: &mut Plan, packed: &SuffixBatch) -> Result<Outcomes> {
        self.connected_from(plan, packed, None)
    }

    fn forward(&self, plan: &mut Plan, row_meta: &View, rows: &Rows) -> Result<Outcomes> {
        self.forward_from(plan, row_meta, rows, None)
    }

    fn backward(&self, plan: &mut Plan, row_meta: &View, rows: &Rows, into: GradientInto<'_>) -> Result<()> {
        self.backward_to(plan, row_meta, rows, into, None)
    }
}
