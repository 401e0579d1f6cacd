//! Passes of the patched transformer on a device: embedding, transformer, categorical head.

use super::decoding::{Decoding, parameters_at};
use super::sizes::Sizes;
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear;
use crate::kernels::linear::{GradientInto, GradientSums};
use crate::model::layers::affine::BackwardContext;
use crate::model::layers::categorical_head::{CategoricalHead, HeadTraining, OutcomeBuffers};
use crate::model::layers::embedding::Embedding;
use crate::model::layers::sequence_decoder::{DecoderOutputs, SequenceDecoder};
use crate::model::layers::transformer::Transformer;
use crate::model::layers::transformer_layers::{RowLayout, TransformerLayers};
use crate::model::layers::transformer_training::TransformerTraining;
use crate::model::wave_function::no_room;
use crate::model::{Autoregressive, Capacity, Outcomes, ParameterSpec, Parameters, SuffixBatch};

/// Buffers of the training pass, except those of the transformer.
struct Training {
    head: HeadTraining,
    /// Blocks of the gradients of parameters.
    part: Buffer,
}

/// Patched transformer on a device.
pub(crate) struct PtfNetwork {
    sizes: Sizes,
    embedding: Embedding,
    transformer: Transformer,
    head: CategoricalHead,
    samples: u32,
    decoded: OutcomeBuffers,
    decoder: Option<SequenceDecoder>,
    moved: OutcomeBuffers,
    training: Option<Training>,
}

impl PtfNetwork {
    pub(crate) fn specs(sizes: &Sizes) -> Vec<ParameterSpec> {
        [Embedding::specs(&sizes.embedding), TransformerLayers::specs(&sizes.transformer), sizes.head().specs()]
            .concat()
    }

    pub(crate) fn new(
        gpu: &Gpu,
        sizes: Sizes,
        position: &[f32],
        parameters: &Parameters,
        prefix: &str,
        capacity: Capacity,
        decoding: Decoding,
    ) -> Result<Self> {
        let decoder_sizes = decoding.of_sequences(gpu, &sizes);
        let training = || {
            let (samples, patches) = (capacity.training_samples, sizes.patches());
            let widths = parameters.gradient_widths(sizes.part_width());
            let part = linear::scratch_of_items(gpu, samples, patches, &widths);
            Ok(Training {
                head: HeadTraining::new(gpu, &sizes.head(), samples * patches)?,
                part: gpu.buffer("ketformer.part", part)?,
            })
        };
        let decoded_rows = u64::from(capacity.samples) * u64::from(sizes.patches());
        let layer_cache = decoder_sizes.map(|decoder| decoder.layer_cache(capacity.samples));
        let embedding = Embedding::new(gpu, parameters, prefix, position, sizes.embedding)?;
        let layers = TransformerLayers::new(parameters, prefix, sizes.transformer)?;
        let transformer = Transformer::new(gpu, layers, parameters.precision(), capacity, layer_cache)?;
        let head = CategoricalHead::new(parameters, prefix, sizes.head())?;
        let decoded = OutcomeBuffers::new(gpu, "decode", decoded_rows, &sizes.head())?;
        let decoder = |sizes| {
            let layers = &transformer.layers.parameters.values;
            let at = parameters_at(&embedding.parameters.values, layers, &head.parameters.values);
            let outputs = DecoderOutputs { outcomes: decoded.whole(), cache: transformer.whole_cache() };
            let places = (&at, &embedding.position);
            SequenceDecoder::new(gpu, (sizes, capacity.samples), parameters, places, outputs)
        };
        Ok(Self {
            decoder: decoder_sizes.map(decoder).transpose()?,
            embedding,
            transformer,
            head,
            samples: capacity.samples,
            decoded,
            moved: OutcomeBuffers::new(gpu, "moves", capacity.move_rows.max(1).into(), &sizes.head())?,
            training: (capacity.training_samples > 0).then(training).transpose()?,
            sizes,
        })
    }

    fn training(&self) -> Result<(&TransformerTraining, &Training)> {
        let transformer = self.transformer.training()?;
        // Either all parts have room for training or none has.
        self.training.as_ref().map(|training| (transformer, training)).ok_or_else(no_room)
    }
}

/// Passes with a hook between the embedding and the transformer: `between` receives the embedded rows, or their
/// gradient.
impl PtfNetwork {
    pub(crate) fn decode_with(
        &self,
        plan: &mut Plan,
        row_meta: &View,
        t: u32,
        between: impl FnOnce(&mut Plan, &View) -> Result<()>,
    ) -> Result<()> {
        let rows = Rows::from(self.samples);
        let [x, hidden] = self.transformer.decode_rows();
        self.embedding.record(plan, row_meta, &rows, &x)?;
        between(plan, &x)?;
        self.transformer.decode(plan, t)?;
        let place = RowLayout { stride: self.sizes.patches(), first: t };
        self.head.record(plan, &self.head.parameters.sampled, [&x, &hidden], &self.decoded.views(), &rows, place)
    }

    pub(crate) fn connected_with(
        &self,
        plan: &mut Plan,
        packed: &SuffixBatch,
        between: impl FnOnce(&mut Plan, &View) -> Result<()>,
    ) -> Result<Outcomes> {
        let rows = packed.items.times(packed.rows_per_item);
        let [x, hidden] = self.transformer.move_rows();
        self.embedding.record(plan, &packed.row_meta, &rows, &x)?;
        between(plan, &x)?;
        self.transformer.connected(plan, packed)?;
        let outcomes = self.moved.views();
        self.head.record(plan, &self.head.parameters.sampled, [&x, &hidden], &outcomes, &rows, RowLayout::SAME)?;
        Ok(outcomes)
    }

    pub(crate) fn forward_with(
        &self,
        plan: &mut Plan,
        row_meta: &View,
        rows: &Rows,
        between: impl FnOnce(&mut Plan, &View) -> Result<()>,
    ) -> Result<Outcomes> {
        let (transformer, Training { head, .. }) = self.training()?;
        let x = transformer.embedded();
        self.embedding.record(plan, row_meta, rows, &x)?;
        between(plan, &x)?;
        transformer.forward(&self.transformer.layers, plan, rows, None)?;
        head.forward(&self.head, plan, &transformer.top(), rows)
    }

    pub(crate) fn backward_with(
        &self,
        plan: &mut Plan,
        row_meta: &View,
        rows: &Rows,
        into: GradientInto<'_>,
        between: impl FnOnce(&mut Plan, &View) -> Result<()>,
    ) -> Result<()> {
        let (transformer, Training { head, part }) = self.training()?;
        let sums = GradientSums::new(part.view(), into);
        let reversed = BackwardContext { rows, sums: &sums };
        let through = [&transformer.top(), &transformer.d_scratch(), &transformer.d_top()];
        head.backward(&self.head, plan, &reversed, through)?;
        transformer.backward(&self.transformer.layers, plan, &reversed, None)?;
        let d_embedded = transformer.d_embedded();
        between(plan, &d_embedded)?;
        self.embedding.backward(plan, row_meta, &d_embedded, &reversed)?;
        sums.finish(plan)
    }
}

impl Autoregressive for PtfNetwork {
    fn sequence_decoder(&self) -> Option<&SequenceDecoder> {
        self.decoder.as_ref()
    }

    fn decode(&self, plan: &mut Plan, row_meta: &View, _tokens: &View, t: u32) -> Result<()> {
        self.decode_with(plan, row_meta, t, |_, _| Ok(()))
    }

    fn decoded(&self) -> Outcomes {
        self.decoded.views()
    }

    fn connected(&self, plan: &mut Plan, packed: &SuffixBatch) -> Result<Outcomes> {
        self.connected_with(plan, packed, |_, _| Ok(()))
    }

    fn forward(&self, plan: &mut Plan, row_meta: &View, rows: &Rows) -> Result<Outcomes> {
        self.forward_with(plan, row_meta, rows, |_, _| Ok(()))
    }

    fn backward(&self, plan: &mut Plan, row_meta: &View, rows: &Rows, into: GradientInto<'_>) -> Result<()> {
        self.backward_with(plan, row_meta, rows, into, |_, _| Ok(()))
    }

    fn attention(&self, plan: &mut Plan, samples: u32, layers: &[View]) -> Result<()> {
        self.training()?.0.attention_weights(&self.transformer.layers, plan, samples, layers)
    }
}
