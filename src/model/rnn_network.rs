//! The passes of a recurrent wave function on a device: the cell place after place of its sequences, then the head.
//!
//! A sample is one sequence, or several one after the other that each begin in a condition: the states before their first
//! patch. All sequences of a teacher-forced pass, and of moves, go on together.

use super::affine::{Affine, Places};
use super::outcome_head::{HeadSizes, OutcomeBuffers, OutcomeHead};
use super::rnn_order::KnownOrder;
use super::rnn_training::RnnTraining;
use super::transformer::{Place, Transformer};
use super::{Capacity, Initial, Needs, Network, Outcomes, Packed, ParameterSpec, Parameters};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::GradientInto;
use crate::kernels::recurrent::{
    Before, Cell, InputWeights, RecurrentLinks, RecurrentShape, RecurrentStep, StepRows, Strided,
};

/// The sizes of a recurrent wave function, as shaders count them.
#[derive(Debug, Clone, Copy)]
pub(super) struct RnnSizes {
    /// T
    pub patches: u32,
    /// S, patches of a sequence; T where all of a sample is one.
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
    pub fn head(&self) -> HeadSizes {
        HeadSizes { width: self.width, outcomes: self.outcomes, complex: self.complex }
    }

    /// G·C
    pub fn gates(&self) -> u32 {
        self.cell.gates() * self.width
    }

    /// The parameters; what the input is multiplied by and both biases stand one after the other.
    pub fn specs(&self) -> Vec<ParameterSpec> {
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

    pub fn needs(&self) -> Needs {
        let [c, t, g, p] = [self.width, self.patches, self.gates(), self.sites_per_patch].map(u64::from);
        let ([outcomes, v], head) = (self.head().outcome_needs(), self.head().training_needs());
        let [training, widest] = RnnTraining::needs(self);
        Needs {
            sample: [t * c + c + t * outcomes, t * c.max(v)],
            move_row: [2 * c + outcomes + LINK, c.max(v).max(LINK)],
            hidden_row: 0,
            training_sample: [t * (training + head[0]), t * widest.max(head[1])],
            training_block: self.head().part_width().max((c.max(p) + 1) * g),
            fixed: 8,
        }
    }
}

const WEIGHT_INPUT: &str = "rnn.weight_ih_l0";
const WEIGHT_STATE: &str = "rnn.weight_hh_l0";
const BIAS_INPUT: &str = "rnn.bias_ih_l0";
const BIAS_STATE: &str = "rnn.bias_hh_l0";
/// Words of a link.
const LINK: u64 = 4;

/// What the input and what the state before is multiplied by.
#[derive(Debug, Clone)]
pub(super) struct CellViews {
    pub input: Affine,
    pub state: Affine,
}

/// Rows of conditions for packed rows.
pub(super) struct MoveConditions<'a> {
    /// (items·per_item, C)
    pub rows: &'a View,
    /// Those of an item.
    pub per_item: u32,
}

/// The recurrent wave function on a device.
pub(super) struct RnnNetwork {
    gpu: Gpu,
    pub(super) sizes: RnnSizes,
    pub(super) places: Places<CellViews>,
    pub(super) head: OutcomeHead,
    input: InputWeights,
    samples: u32,
    /// (T, B, C), which moves go on from
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
    /// Bound where a kernel writes nothing.
    pub(super) absent: [Buffer; 2],
    training: Option<RnnTraining>,
}

impl RnnNetwork {
    /// Names of its parameters stand behind `prefix`.
    pub fn new(gpu: &Gpu, sizes: RnnSizes, parameters: &Parameters, prefix: &str, capacity: Capacity) -> Result<Self> {
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
            places: Places::new(parameters, prefix, |find| {
                Ok(CellViews {
                    input: Affine { weight: find(WEIGHT_INPUT)?, bias: find(BIAS_INPUT)? },
                    state: Affine { weight: find(WEIGHT_STATE)?, bias: find(BIAS_STATE)? },
                })
            })?,
            head: OutcomeHead::new(parameters, prefix, sizes.head())?,
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

    /// A step with everything bound that not every step has; `weight` is W_hh as the pass reads it.
    pub(super) fn step(&self, rows: &View, weight: &View, states: &View, condition: Option<&View>) -> RecurrentStep {
        RecurrentStep {
            rows: rows.clone(),
            input: self.input.clone(),
            weight: weight.clone(),
            base: None,
            condition: condition.cloned(),
            states: states.clone(),
            gates: self.absent[0].view(),
            previous: self.absent[1].view(),
        }
    }

    pub(super) fn shape(&self, items: &Rows, rows: StepRows, keeps: bool) -> RecurrentShape {
        let RnnSizes { cell, width, sites_per_patch, .. } = self.sizes;
        RecurrentShape { items: items.clone(), rows, cell, width, sites_per_patch, keeps }
    }

    /// [`Network::decode`]; sequences begin in `condition`, (samples, C), or in zeros.
    pub fn decode_from(&self, plan: &mut Plan, descriptions: &View, t: u32, condition: Option<&View>) -> Result<()> {
        let rows = Rows::from(self.samples);
        let starts = t.is_multiple_of(self.sizes.sequence);
        let own = Strided { stride: 1, first: 0 };
        let step_rows = StepRows::Described {
            row: own,
            state: Strided { first: t * self.samples, ..own },
            before: match condition {
                Some(_) if starts => Before::Condition(own),
                None if starts => Before::Zero,
                _ => Before::Back(self.samples),
            },
            starts,
        };
        let step = self.step(descriptions, &self.places.sampled.state.weight, &self.states, condition);
        step.record(plan, &self.shape(&rows, step_rows, false))?;
        let elements = u64::from(self.samples) * u64::from(self.sizes.width);
        let x = self.states.range("ketformer.decode.states", u64::from(t) * elements, elements)?;
        let place = Place { stride: self.sizes.patches, first: t };
        self.head.record(plan, &self.head.places.sampled, [&x, &self.hidden], &self.decoded.views(), &rows, place)
    }

    /// [`Network::moves`]; sequences begin in `conditions`, or in zeros.
    pub fn moves_from(
        &self,
        plan: &mut Plan,
        packed: &Packed,
        conditions: Option<&MoveConditions<'_>>,
    ) -> Result<Outcomes> {
        let sizes = [self.sizes.sequence, self.samples];
        let order = self.order.of(&self.gpu, &packed.positions, sizes, conditions.is_some())?;
        let links = RecurrentLinks {
            rows: packed.descriptions.clone(),
            table: order.table.view(),
            sample_of: packed.sample_of.clone(),
            links: self.links.view(),
        };
        let (per_item, condition_stride) =
            (packed.rows_per_item, conditions.map_or(0, |conditions| conditions.per_item));
        links.record(plan, &packed.items, per_item, packed.first_item, condition_stride)?;
        let condition = conditions.map(|conditions| conditions.rows);
        let weight = &self.places.sampled.state.weight;
        let step = RecurrentStep {
            base: Some(self.states.view()),
            ..self.step(&self.links, weight, &self.move_states, condition)
        };
        for place in &order.steps {
            let rows = StepRows::Linked { per_item, first: place.first, count: place.count, sources: place.sources };
            step.record(plan, &self.shape(&packed.items, rows, false))?;
        }
        let rows = packed.items.times(per_item);
        let ([x, hidden], outcomes) = ([&self.move_states, &self.move_hidden].map(Buffer::view), self.moved.views());
        self.head.record(plan, &self.head.places.sampled, [&x, &hidden], &outcomes, &rows, Place::SAME)?;
        Ok(outcomes)
    }

    /// [`Network::forward`]; sequence q begins in row q of `conditions`, (items·T/S, C), or in zeros.
    pub fn forward_from(
        &self,
        plan: &mut Plan,
        descriptions: &View,
        rows: &Rows,
        conditions: Option<&View>,
    ) -> Result<Outcomes> {
        self.training()?.forward(self, plan, descriptions, rows, conditions)
    }

    /// [`Network::backward`], which also makes the gradient of the conditions where it is wanted.
    pub fn backward_to(
        &self,
        plan: &mut Plan,
        descriptions: &View,
        rows: &Rows,
        into: GradientInto<'_>,
        d_conditions: Option<&View>,
    ) -> Result<()> {
        self.training()?.backward(self, plan, descriptions, (rows, into), d_conditions)
    }
}

impl Network for RnnNetwork {
    fn decode(&self, plan: &mut Plan, descriptions: &View, _tokens: &View, t: u32) -> Result<()> {
        self.decode_from(plan, descriptions, t, None)
    }

    fn decoded(&self) -> Outcomes {
        self.decoded.views()
    }

    fn moves(&self, plan: &mut Plan, packed: &Packed) -> Result<Outcomes> {
        self.moves_from(plan, packed, None)
    }

    fn forward(&self, plan: &mut Plan, descriptions: &View, rows: &Rows) -> Result<Outcomes> {
        self.forward_from(plan, descriptions, rows, None)
    }

    fn backward(&self, plan: &mut Plan, descriptions: &View, rows: &Rows, into: GradientInto<'_>) -> Result<()> {
        self.backward_to(plan, descriptions, rows, into, None)
    }
}
