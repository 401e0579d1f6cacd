//! Sampling of whole sequences from a transformer in one launch ([`TransformerDecode`]).

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::nn::categorical::CategoricalShape;
use crate::kernels::nn::transformer_decode::{
    DecodeLayout, DecodeShape, DecodeSizes, TransformerAt, TransformerDecode,
};
use crate::kernels::nn::weights_pack::WeightsPack;
use crate::model::Parameters;

/// Buffers over all samples that a decoder fills.
pub(crate) struct DecoderOutputs {
    /// Logits and phases at the distance of [`DecodeSizes::part_outcomes`].
    pub outcomes: View,
    /// Layers at the distance of [`DecodeSizes::layer_cache`].
    pub cache: View,
}

/// Decoder of whole sequences.
pub struct SequenceDecoder {
    sizes: DecodeSizes,
    samples: u32,
    layout: DecodeLayout,
    segments: Buffer,
    packed: Buffer,
    values: View,
    matrices: View,
    position: View,
    outputs: DecoderOutputs,
}

impl SequenceDecoder {
    /// Creates the decoder of `samples` samples, with a buffer for the packed parameters. `position` (T, C) is not read
    /// if it is among the parameters.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn new(
        gpu: &Gpu,
        (sizes, samples): (DecodeSizes, u32),
        parameters: &Parameters,
        (at, position): (&TransformerAt, &View),
        outputs: DecoderOutputs,
    ) -> Result<Self> {
        let layout = DecodeLayout::new(&sizes, at);
        Ok(Self {
            segments: gpu.upload("ketformer.decode.segments", layout.packed.segments())?,
            packed: gpu.buffer("ketformer.decode.weights", 4 * u64::from(layout.packed.end()))?,
            values: parameters.values(),
            matrices: parameters.all_sampled(),
            position: position.clone(),
            sizes,
            samples,
            layout,
            outputs,
        })
    }

    /// Packs the parameters. Required after each change of the parameters, before [`SequenceDecoder::record`].
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub(crate) fn record_pack(&self, plan: &mut Plan) -> Result<()> {
        let pack = WeightsPack {
            segments: self.segments.view(),
            values: self.values.clone(),
            matrices: self.matrices.clone(),
            table: self.position.clone(),
            packed: self.packed.view(),
        };
        pack.record(plan, &self.layout.packed)
    }

    /// Samples every patch of all samples from the outcomes of `head`, or uses the fixed ones in `tokens` if `given`. The
    /// index of the first sample selects the random numbers.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub(crate) fn record(
        &self,
        plan: &mut Plan,
        [step, tokens, log_p]: [&View; 3],
        (head, first_sample, given): (CategoricalShape, u32, bool),
    ) -> Result<()> {
        let decode = TransformerDecode {
            packed: self.packed.view(),
            step: step.clone(),
            tokens: tokens.clone(),
            log_p: log_p.clone(),
            outcomes: self.outputs.outcomes.clone(),
            cache: self.outputs.cache.clone(),
        };
        let sizes = DecodeSizes { head, ..self.sizes };
        decode.record(plan, &DecodeShape { sizes, samples: self.samples, first_sample, given }, &self.layout)
    }
}
