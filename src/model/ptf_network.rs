//! The passes of the patched transformer on a device: embedding, transformer, head.

use super::affine::Reversed;
use super::embedding::Embedding;
use super::outcome_head::{HeadTraining, OutcomeBuffers, OutcomeHead};
use super::ptf::Sizes;
use super::transformer::{Place, Transformer};
use super::transformer_training::TransformerTraining;
use super::{Capacity, Needs, Network, Outcomes, Packed, ParameterSpec, Parameters, Precision};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::{self, GradientInto};

/// Room for the pass with gradient.
struct Training {
    head: HeadTraining,
    /// Blocks of the gradients of parameters.
    part: Buffer,
}

/// The patched transformer on a device.
pub(super) struct PtfNetwork {
    sizes: Sizes,
    embedding: Embedding,
    transformer: Transformer,
    head: OutcomeHead,
    samples: u32,
    decoded: OutcomeBuffers,
    moved: OutcomeBuffers,
    training: Option<Training>,
}

impl PtfNetwork {
    pub fn specs(sizes: &Sizes) -> Vec<ParameterSpec> {
        [Embedding::specs(&sizes.embedding), Transformer::specs(&sizes.transformer), sizes.head().specs()].concat()
    }

    pub fn needs(gpu: &Gpu, sizes: &Sizes, precision: Precision) -> Needs {
        let needs = Transformer::needs(gpu, &sizes.transformer, precision);
        let (t, head) = (u64::from(sizes.patches()), sizes.head());
        let blocks = [head.part_width(), Embedding::part_width(&sizes.embedding)];
        let with = |[all, widest]: [u64; 2], [more, wide]: [u64; 2]| [all + more, widest.max(wide)];
        Needs {
            sample: with(needs.sample, head.outcome_needs().map(|elements| t * elements)),
            move_row: with(needs.move_row, head.outcome_needs()),
            training_sample: with(needs.training_sample, head.training_needs().map(|elements| t * elements)),
            training_block: blocks.into_iter().fold(needs.training_block, u64::max),
            fixed: needs.fixed + Embedding::fixed(&sizes.embedding),
            ..needs
        }
    }

    pub fn new(
        gpu: &Gpu,
        sizes: Sizes,
        position: &[f32],
        parameters: &Parameters,
        prefix: &str,
        capacity: Capacity,
    ) -> Result<Self> {
        let training = || {
            let (samples, patches) = (capacity.training_samples, sizes.patches());
            let blocks = u64::from(linear::blocks_of_items(samples, patches));
            let block = Self::needs(gpu, &sizes, parameters.precision()).training_block;
            Ok(Training {
                head: HeadTraining::new(gpu, &sizes.head(), samples * patches)?,
                part: gpu.buffer("ketformer.part", blocks * block)?,
            })
        };
        let decoded_rows = u64::from(capacity.samples) * u64::from(sizes.patches());
        Ok(Self {
            embedding: Embedding::new(gpu, parameters, prefix, position, sizes.embedding)?,
            transformer: Transformer::new(gpu, parameters, prefix, sizes.transformer, capacity)?,
            head: OutcomeHead::new(parameters, prefix, sizes.head())?,
            samples: capacity.samples,
            decoded: OutcomeBuffers::new(gpu, "decode", decoded_rows, &sizes.head())?,
            moved: OutcomeBuffers::new(gpu, "moves", capacity.move_rows.max(1).into(), &sizes.head())?,
            training: (capacity.training_samples > 0).then(training).transpose()?,
            sizes,
        })
    }

    fn training(&self) -> Result<(&TransformerTraining, &Training)> {
        let transformer = self.transformer.training()?;
        // The parts get room for training together.
        self.training.as_ref().map(|training| (transformer, training)).ok_or_else(Transformer::no_room)
    }
}

/// What happens between the embedding and the transformer: `between` is given the embedded rows, or their gradient.
impl PtfNetwork {
    pub fn decode_with(
        &self,
        plan: &mut Plan,
        descriptions: &View,
        t: u32,
        between: impl FnOnce(&mut Plan, &View) -> Result<()>,
    ) -> Result<()> {
        let rows = Rows::from(self.samples);
        let [x, hidden] = self.transformer.decode_rows();
        self.embedding.record(plan, descriptions, &rows, &x)?;
        between(plan, &x)?;
        self.transformer.decode(plan, t)?;
        let place = Place { stride: self.sizes.patches(), first: t };
        self.head.record(plan, &self.head.places.sampled, [&x, &hidden], &self.decoded.views(), &rows, place)
    }

    pub fn moves_with(
        &self,
        plan: &mut Plan,
        packed: &Packed,
        between: impl FnOnce(&mut Plan, &View) -> Result<()>,
    ) -> Result<Outcomes> {
        let rows = packed.items.times(packed.rows_per_item);
        let [x, hidden] = self.transformer.move_rows();
        self.embedding.record(plan, &packed.descriptions, &rows, &x)?;
        between(plan, &x)?;
        self.transformer.moves(plan, packed)?;
        let outcomes = self.moved.views();
        self.head.record(plan, &self.head.places.sampled, [&x, &hidden], &outcomes, &rows, Place::SAME)?;
        Ok(outcomes)
    }

    pub fn forward_with(
        &self,
        plan: &mut Plan,
        descriptions: &View,
        rows: &Rows,
        between: impl FnOnce(&mut Plan, &View) -> Result<()>,
    ) -> Result<Outcomes> {
        let (transformer, Training { head, .. }) = self.training()?;
        let x = transformer.embedded();
        self.embedding.record(plan, descriptions, rows, &x)?;
        between(plan, &x)?;
        transformer.forward(&self.transformer, plan, rows)?;
        head.forward(&self.head, plan, &transformer.top(), rows)
    }

    pub fn backward_with(
        &self,
        plan: &mut Plan,
        descriptions: &View,
        rows: &Rows,
        into: GradientInto<'_>,
        between: impl FnOnce(&mut Plan, &View) -> Result<()>,
    ) -> Result<()> {
        let (transformer, Training { head, part }) = self.training()?;
        let reversed = Reversed { rows, part: part.view(), into };
        let through = [&transformer.top(), &transformer.d_scratch(), &transformer.d_top()];
        head.backward(&self.head, plan, &reversed, through)?;
        transformer.backward(&self.transformer, plan, &reversed)?;
        let d_embedded = transformer.d_embedded();
        between(plan, &d_embedded)?;
        self.embedding.backward(plan, descriptions, &d_embedded, &reversed)
    }
}

impl Network for PtfNetwork {
    fn decode(&self, plan: &mut Plan, descriptions: &View, _tokens: &View, t: u32) -> Result<()> {
        self.decode_with(plan, descriptions, t, |_, _| Ok(()))
    }

    fn decoded(&self) -> Outcomes {
        self.decoded.views()
    }

    fn moves(&self, plan: &mut Plan, packed: &Packed) -> Result<Outcomes> {
        self.moves_with(plan, packed, |_, _| Ok(()))
    }

    fn forward(&self, plan: &mut Plan, descriptions: &View, rows: &Rows) -> Result<Outcomes> {
        self.forward_with(plan, descriptions, rows, |_, _| Ok(()))
    }

    fn backward(&self, plan: &mut Plan, descriptions: &View, rows: &Rows, into: GradientInto<'_>) -> Result<()> {
        self.backward_with(plan, descriptions, rows, into, |_, _| Ok(()))
    }

    fn attention(&self, plan: &mut Plan, samples: u32, layers: &[View]) -> Result<()> {
        self.training()?.0.attention_weights(&self.transformer, plan, samples, layers)
    }
}
