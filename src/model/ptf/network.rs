//! Passes of the patched transformer on a device: embedding, transformer, categorical head.

use super::decoding::{Decoding, parameters_at};
use super::sizes::Sizes;
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::{GradientInto, GradientSums};
use crate::model::layers::affine::BackwardContext;
use crate::model::layers::categorical_head::{CategoricalHead, HeadTraining, OutcomeBuffers};
use crate::model::layers::embedding::Embedding;
use crate::model::layers::sequence_decoder::{DecoderOutputs, SequenceDecoder};
use crate::model::layers::transformer::Transformer;
use crate::model::layers::transformer_layers::{RowLayout, TransformerLayers};
use crate::model::wave_function::no_room;
use crate::model::{Autoregressive, Capacity, Outcomes, ParameterSpec, Parameters, SampleRows, SuffixBatch};

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
            let rows = SampleRows { samples: capacity.training_samples, rows_per_sample: sizes.patches() };
            Ok(Training {
                head: HeadTraining::new(gpu, &sizes.head(), rows.samples * rows.rows_per_sample)?,
                part: parameters.gradient_scratch(gpu, sizes.part_width(), rows)?,
            })
        };
        let decoded_rows = u64::from(capacity.samples) * u64::from(sizes.patches());
        let layer_cache = decoder_sizes.map(|decoder| decoder.layer_cache(capacity.samples));
        let embedding = Embedding::new(gpu, parameters, prefix, position, sizes.embedding)?;
        let layers = TransformerLayers::new(parameters, prefix, sizes.transformer)?;
        let transformer = Transformer::of_layers(gpu, layers, parameters.precision(), capacity, layer_cache)?;
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

    fn training(&self) -> Result<&Training> {
        self.training.as_ref().ok_or_else(no_room)
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
        let decoded = self.transformer.decode_rows();
        self.embedding.record(plan, row_meta, &rows, &decoded.x)?;
        between(plan, &decoded.x)?;
        self.transformer.decode(plan, t)?;
        let place = RowLayout { stride: self.sizes.patches(), first: t };
        self.head.record(plan, &decoded, &self.decoded.views(), &rows, place)
    }

    pub(crate) fn connected_with(
        &self,
        plan: &mut Plan,
        packed: &SuffixBatch,
        between: impl FnOnce(&mut Plan, &View) -> Result<()>,
    ) -> Result<Outcomes> {
        let rows = packed.items.times(packed.rows_per_item);
        let moved = self.transformer.connected_rows();
        self.embedding.record(plan, &packed.row_meta, &rows, &moved.x)?;
        between(plan, &moved.x)?;
        self.transformer.connected(plan, packed)?;
        let outcomes = self.moved.views();
        self.head.record(plan, &moved, &outcomes, &rows, RowLayout::SAME)?;
        Ok(outcomes)
    }

    pub(crate) fn forward_with(
        &self,
        plan: &mut Plan,
        row_meta: &View,
        rows: &Rows,
        between: impl FnOnce(&mut Plan, &View) -> Result<()>,
    ) -> Result<Outcomes> {
        let kept = self.transformer.training_rows()?;
        self.embedding.record(plan, row_meta, rows, &kept.embedded)?;
        between(plan, &kept.embedded)?;
        self.transformer.forward(plan, rows)?;
        self.training()?.head.forward(&self.head, plan, &kept.top, rows)
    }

    pub(crate) fn backward_with(
        &self,
        plan: &mut Plan,
        row_meta: &View,
        rows: &Rows,
        into: GradientInto<'_>,
        between: impl FnOnce(&mut Plan, &View) -> Result<()>,
    ) -> Result<()> {
        let (kept, Training { head, part }) = (self.transformer.training_rows()?, self.training()?);
        let sums = GradientSums::new(part.view(), into);
        let reversed = BackwardContext { rows, sums: &sums };
        head.backward(&self.head, plan, &reversed, &kept.of_head())?;
        self.transformer.backward(plan, &reversed)?;
        between(plan, &kept.d_embedded)?;
        self.embedding.backward(plan, row_meta, &kept.d_embedded, &reversed)?;
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
        self.transformer.attention_weights(plan, samples, layers)
    }
}
