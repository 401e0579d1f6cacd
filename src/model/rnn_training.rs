//! The teacher-forced pass of a recurrent wave function with its states and gates kept, and the same calls reversed.

use super::Outcomes;
use super::affine::{Places, Reversed};
use super::network::DESCRIPTION;
use super::outcome_head::HeadTraining;
use super::rnn_network::{RnnNetwork, RnnSizes};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::embed::{EmbedGradient, EmbedShape};
use crate::kernels::linear::{self, GradientInto};
use crate::kernels::recurrent::{
    Before, Cell, RecurrentBackward, RecurrentBackwardShape, RecurrentStep, StepRows, Strided,
};

/// What the forward pass keeps, and the scratch of its gradient, over rows of whole samples.
pub(super) struct RnnTraining {
    /// (rows, C)
    states: Buffer,
    /// (rows, C): states before, what W_hh was multiplied by
    previous: Buffer,
    /// (rows, 4C): r, z, n, q of a GRU, then the gradients of r, z, n
    gates: Option<Buffer>,
    /// (rows, C)
    d_states: Buffer,
    /// (rows, G·C): the gradient of W_hh h + b_hh; before that scratch of the head
    d_hidden: Buffer,
    head: HeadTraining,
    /// Blocks of the gradients of parameters.
    part: Buffer,
}

impl RnnTraining {
    /// Elements for each row but those of the head, and of the widest buffer among them.
    pub fn needs(sizes: &RnnSizes) -> [u64; 2] {
        let [c, g] = [sizes.width, sizes.gates()].map(u64::from);
        let gates = Self::gates(sizes);
        [3 * c + gates + g, gates.max(g)]
    }

    /// Elements of a row of gates that are kept.
    fn gates(sizes: &RnnSizes) -> u64 {
        if sizes.cell == Cell::Gru { 4 * u64::from(sizes.width) } else { 0 }
    }

    pub fn new(gpu: &Gpu, sizes: &RnnSizes, samples: u32) -> Result<Self> {
        let rows = samples * sizes.patches;
        let buffer = |name: &str, width: u64| gpu.buffer(&format!("ketformer.rnn.{name}"), u64::from(rows) * width);
        let [c, g] = [sizes.width, sizes.gates()].map(u64::from);
        let gates = Self::gates(sizes);
        let blocks = u64::from(linear::blocks_of_items(samples, sizes.patches));
        Ok(Self {
            states: buffer("states", c)?,
            previous: buffer("previous", c)?,
            gates: (gates > 0).then(|| buffer("gates", gates)).transpose()?,
            d_states: buffer("d_states", c)?,
            d_hidden: buffer("d_hidden", g)?,
            head: HeadTraining::new(gpu, &sizes.head(), rows)?,
            part: gpu.buffer("ketformer.part", blocks * sizes.needs().training_block)?,
        })
    }

    /// Gates, or what is bound for them where there are none.
    fn gates_view(&self, network: &RnnNetwork) -> View {
        self.gates.as_ref().unwrap_or(&network.absent[0]).view()
    }

    pub fn forward(
        &self,
        network: &RnnNetwork,
        plan: &mut Plan,
        descriptions: &View,
        rows: &Rows,
        conditions: Option<&View>,
    ) -> Result<Outcomes> {
        let sequence = network.sizes.sequence;
        let step = RecurrentStep {
            gates: self.gates_view(network),
            previous: self.previous.view(),
            ..network.step(descriptions, &network.places.values.state.weight, &self.states, conditions)
        };
        for place in 0..sequence {
            let row = Strided { stride: sequence, first: place };
            let before = match conditions {
                _ if place > 0 => Before::Back(1),
                Some(_) => Before::Condition(Strided { stride: 1, first: 0 }),
                None => Before::Zero,
            };
            let step_rows = StepRows::Described { row, state: row, before, starts: place == 0 };
            step.record(plan, &network.shape(&rows.items(sequence), step_rows, true))?;
        }
        self.head.forward(&network.head, plan, &self.states, rows)
    }

    pub fn backward(
        &self,
        network: &RnnNetwork,
        plan: &mut Plan,
        descriptions: &View,
        (rows, into): (&Rows, GradientInto<'_>),
        d_conditions: Option<&View>,
    ) -> Result<()> {
        let RnnSizes { sequence, sites_per_patch, width, cell, .. } = network.sizes;
        let Places { values, gradients, .. } = &network.places;
        let reversed = Reversed { rows, part: self.part.view(), into };
        let (d_states, d_hidden) = (self.d_states.view(), self.d_hidden.view());
        self.head.backward(&network.head, plan, &reversed, [&self.states, &d_hidden, &d_states])?;

        let step = RecurrentBackward {
            weight: values.state.weight.clone(),
            saved: if cell == Cell::Gru { self.previous.view() } else { self.states.view() },
            gates: self.gates_view(network),
            d_states,
            d_hidden: d_hidden.clone(),
            d_condition: d_conditions.cloned().unwrap_or_else(|| network.absent[1].view()),
        };
        let places = (0..sequence).rev().map(Some).chain(d_conditions.map(|_| None));
        for place in places {
            let sequences = rows.items(sequence);
            step.record(plan, &RecurrentBackwardShape { sequences, places: sequence, place, cell, width })?;
        }
        let outputs = network.sizes.gates();
        reversed.gradient(plan, &self.previous, &d_hidden, [width, outputs], &gradients.state)?;
        // Before r is multiplied to it, the gradient of the candidate is that of its input.
        let (d_x, d_stride) = match &self.gates {
            Some(gates) => (gates.view(), 4 * width),
            None => (d_hidden, outputs),
        };
        let input = EmbedGradient {
            rows: descriptions.clone(),
            tanh_of: None,
            has_start: false,
            d_x,
            d_stride,
            part: self.part.view(),
            d_weight: gradients.input.weight.clone(),
            d_bias: gradients.input.bias.clone(),
        };
        let shape =
            EmbedShape { rows: rows.clone(), width: outputs, sites_per_patch, patches: sequence, stride: DESCRIPTION };
        input.record(plan, &shape, into)
    }
}
