//! Teacher-forced pass of a recurrent wave function that keeps its states and gates, and the backward pass.

use super::cell::{RecurrentCell, RnnSizes};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::{GradientInto, GradientSums};
use crate::kernels::nn::embed::{EmbedGradient, EmbedShape};
use crate::kernels::nn::recurrent::{
    Before, Cell, RecurrentBackward, RecurrentBackwardShape, RecurrentStep, StepRows, Strided,
};
use crate::model::layers::affine::{BackwardContext, ParameterViews};
use crate::model::layers::categorical_head::{HeadGradientRows, HeadTraining};
use crate::model::wave_function::ROW_META;
use crate::model::{Outcomes, Parameters, SampleRows};

/// Activations that the forward pass keeps, and the scratch of its gradient, over rows of whole samples.
pub(crate) struct RnnTraining {
    /// (rows, C)
    states: Buffer,
    /// (rows, C): previous states, the input of W_hh
    previous: Buffer,
    /// (rows, 4C): r, z, n, q of a GRU, then the gradients of r, z, n
    gates: Option<Buffer>,
    /// (rows, C)
    d_states: Buffer,
    /// (rows, G·C): gradient of W_hh h + b_hh; used as scratch of the head before
    d_hidden: Buffer,
    head: HeadTraining,
    /// Blocks of parameter gradients.
    part: Buffer,
}

impl RnnTraining {
    /// Elements for the kept gates of a row.
    fn gates(sizes: &RnnSizes) -> u64 {
        if sizes.cell == Cell::Gru { 4 * u64::from(sizes.width) } else { 0 }
    }

    pub(crate) fn new(gpu: &Gpu, sizes: &RnnSizes, parameters: &Parameters, samples: u32) -> Result<Self> {
        let rows = samples * sizes.patches;
        let of_samples = SampleRows { samples, rows_per_sample: sizes.patches };
        let buffer = |name: &str, width: u64| gpu.buffer(&format!("ketformer.rnn.{name}"), u64::from(rows) * width);
        let [c, g] = [sizes.width, sizes.gates()].map(u64::from);
        let gates = Self::gates(sizes);
        Ok(Self {
            states: buffer("states", c)?,
            previous: buffer("previous", c)?,
            gates: (gates > 0).then(|| buffer("gates", gates)).transpose()?,
            d_states: buffer("d_states", c)?,
            d_hidden: buffer("d_hidden", g)?,
            head: HeadTraining::new(gpu, &sizes.head(), rows)?,
            part: parameters.gradient_scratch(gpu, sizes.part_width(), of_samples)?,
        })
    }

    /// Gates, or a placeholder if none are kept.
    fn gates_view(&self, cell: &RecurrentCell) -> View {
        self.gates.as_ref().unwrap_or(&cell.absent[0]).view()
    }

    pub(crate) fn forward(
        &self,
        cell: &RecurrentCell,
        plan: &mut Plan,
        row_meta: &View,
        rows: &Rows,
        conditionings: Option<&View>,
    ) -> Result<Outcomes> {
        let sequence = cell.sizes.sequence;
        let step = RecurrentStep {
            gates: self.gates_view(cell),
            previous: self.previous.view(),
            ..cell.step(row_meta, &cell.parameters.values.state.weight, &self.states, conditionings)
        };
        for place in 0..sequence {
            let row = Strided { stride: sequence, first: place };
            let before = match conditionings {
                _ if place > 0 => Before::Back(1),
                Some(_) => Before::Conditioning(Strided { stride: 1, first: 0 }),
                None => Before::Zero,
            };
            let step_rows = StepRows::Described { row, state: row, before, starts: place == 0 };
            step.record(plan, &cell.shape(&rows.items(sequence), step_rows, true))?;
        }
        self.head.forward(&cell.head, plan, &self.states, rows)
    }

    pub(crate) fn backward(
        &self,
        cell: &RecurrentCell,
        plan: &mut Plan,
        row_meta: &View,
        (rows, into): (&Rows, GradientInto<'_>),
        d_conditionings: Option<&View>,
    ) -> Result<()> {
        let RnnSizes { sequence, sites_per_patch, width, cell: kind, .. } = cell.sizes;
        let ParameterViews { values, gradients, .. } = &cell.parameters;
        let sums = GradientSums::new(self.part.view(), into);
        let reversed = BackwardContext { rows, sums: &sums };
        let (d_states, d_hidden) = (self.d_states.view(), self.d_hidden.view());
        let rows_of_head = HeadGradientRows { x: self.states.view(), scratch: d_hidden.clone(), d_x: d_states.clone() };
        self.head.backward(&cell.head, plan, &reversed, &rows_of_head)?;

        let step = RecurrentBackward {
            weight: values.state.weight.clone(),
            saved: if kind == Cell::Gru { self.previous.view() } else { self.states.view() },
            gates: self.gates_view(cell),
            d_states,
            d_hidden: d_hidden.clone(),
            d_conditioning: d_conditionings.cloned().unwrap_or_else(|| cell.absent[1].view()),
        };
        let places = (0..sequence).rev().map(Some).chain(d_conditionings.map(|_| None));
        for place in places {
            let sequences = rows.items(sequence);
            step.record(plan, &RecurrentBackwardShape { sequences, places: sequence, place, cell: kind, width })?;
        }
        let outputs = cell.sizes.gates();
        reversed.gradient(plan, &self.previous, &d_hidden, [width, outputs], &gradients.state)?;
        // The gradient of the candidate, before the multiplication by r, is that of its input part.
        let (d_x, d_stride) = match &self.gates {
            Some(gates) => (gates.view(), 4 * width),
            None => (d_hidden, outputs),
        };
        let input = EmbedGradient {
            rows: row_meta.clone(),
            tanh_of: None,
            has_start: false,
            d_x,
            d_stride,
            d_weight: gradients.input.weight.clone(),
            d_bias: gradients.input.bias.clone(),
        };
        let shape =
            EmbedShape { rows: rows.clone(), width: outputs, sites_per_patch, patches: sequence, stride: ROW_META };
        input.record(plan, &shape, &sums)?;
        sums.finish(plan)
    }
}
