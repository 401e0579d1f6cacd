//! Passes of a recurrent wave function on a device: the cell, position by position of its sequences, then the head.
//!
//! A sample is one sequence, or several consecutive ones that each start in a conditioning, the state before their
//! first patch. All sequences of a teacher-forced pass, and of a suffix batch, advance together.

use super::cell::{RecurrentCell, RnnSizes};
use super::row_order::KnownOrder;
use super::training::RnnTraining;
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::GradientInto;
use crate::kernels::nn::recurrent::{Before, RecurrentLinks, RecurrentStep, StepRows, Strided};
use crate::model::layers::categorical_head::OutcomeBuffers;
use crate::model::layers::transformer::InferenceRows;
use crate::model::layers::transformer_layers::RowLayout;
use crate::model::wave_function::no_room;
use crate::model::{Autoregressive, Capacity, Outcomes, Parameters, SuffixBatch};

/// Words of a link.
const LINK: u64 = 4;

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
    cell: RecurrentCell,
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
        let training = (capacity.training_samples > 0)
            .then(|| RnnTraining::new(gpu, &sizes, parameters, capacity.training_samples));
        Ok(Self {
            cell: RecurrentCell::new(gpu, sizes, parameters, prefix)?,
            samples: capacity.samples,
            states: buffer("decode.states", samples * t * c)?,
            hidden: buffer("decode.hidden", samples * c)?,
            decoded: OutcomeBuffers::new(gpu, "decode", samples * t, &sizes.head())?,
            move_states: buffer("moves.states", rows * c)?,
            move_hidden: buffer("moves.hidden", rows * c)?,
            moved: OutcomeBuffers::new(gpu, "moves", rows, &sizes.head())?,
            links: buffer("moves.links", rows * LINK)?,
            order: KnownOrder::default(),
            training: training.transpose()?,
            gpu: gpu.clone(),
        })
    }

    fn training(&self) -> Result<&RnnTraining> {
        self.training.as_ref().ok_or_else(no_room)
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
        let starts = t.is_multiple_of(self.cell.sizes.sequence);
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
        let step = self.cell.step(row_meta, &self.cell.parameters.sampled.state.weight, &self.states, conditioning);
        step.record(plan, &self.cell.shape(&rows, step_rows, false))?;
        let elements = u64::from(self.samples) * u64::from(self.cell.sizes.width);
        let x = self.states.range("ketformer.decode.states", u64::from(t) * elements, elements)?;
        let place = RowLayout { stride: self.cell.sizes.patches, first: t };
        let decoded = InferenceRows { x, scratch: self.hidden.view() };
        self.cell.head.record(plan, &decoded, &self.decoded.views(), &rows, place)
    }

    /// As [`Autoregressive::connected`]; sequences start in `conditionings`, or in zeros.
    pub(crate) fn connected_from(
        &self,
        plan: &mut Plan,
        packed: &SuffixBatch,
        conditionings: Option<&MoveConditionings<'_>>,
    ) -> Result<Outcomes> {
        let sizes = [self.cell.sizes.sequence, self.samples];
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
        let weight = &self.cell.parameters.sampled.state.weight;
        let step = RecurrentStep {
            base: Some(self.states.view()),
            ..self.cell.step(&self.links, weight, &self.move_states, conditioning)
        };
        for place in &order.steps {
            let rows = StepRows::Linked { per_item, first: place.first, count: place.count, sources: place.sources };
            step.record(plan, &self.cell.shape(&packed.items, rows, false))?;
        }
        let rows = packed.items.times(per_item);
        let moved = InferenceRows { x: self.move_states.view(), scratch: self.move_hidden.view() };
        let outcomes = self.moved.views();
        self.cell.head.record(plan, &moved, &outcomes, &rows, RowLayout::SAME)?;
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
        self.training()?.forward(&self.cell, plan, row_meta, rows, conditionings)
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
        self.training()?.backward(&self.cell, plan, row_meta, (rows, into), d_conditionings)
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
