//! Passes of a GPT on a device: embedding, transformer, projection to the vocabulary.

use super::embedding::{TokenEmbedding, TokenIndex};
use super::head::{HeadGradient, HeadTraining, VocabularyHead};
use super::layout::{FINAL_NORM, GptLayout, layer_name};
use super::{GptConfig, TokenBatch, TokenPositions};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear;
use crate::kernels::linear::{GradientInto, GradientSums};
use crate::kernels::nn::rotary::rotary_table;
use crate::kernels::token::embed::RowPositions;
use crate::kernels::token::gradient::token_index;
use crate::model::layers::affine::{Affine, BackwardContext, Find, ParameterViews};
use crate::model::layers::residual_dropout::ResidualDropout;
use crate::model::layers::transformer_layers::{LayerViews, TransformerLayers, TransformerViews};
#[cfg(test)]
use crate::model::layers::transformer_training::LayerActivations;
use crate::model::layers::transformer_training::TransformerTraining;
use crate::model::{Parameters, Precision, Weights};

/// GPT on a device, without buffers for rows.
pub(crate) struct Gpt {
    pub gpu: Gpu,
    pub config: GptConfig,
    pub layout: GptLayout,
    pub parameters: Parameters,
}

fn layer_views(find: &Find<'_>, layer: u32) -> Result<LayerViews> {
    let affine = |part: &str| Affine::find(find, &layer_name(layer, part));
    Ok(LayerViews {
        qkv: affine("attn.c_attn")?,
        out: affine("attn.c_proj")?,
        linear1: affine("mlp.c_fc")?,
        linear2: affine("mlp.c_proj")?,
        norm1: affine("ln_1")?,
        norm2: affine("ln_2")?,
    })
}

impl Gpt {
    /// Creates the parameters with the values of `weights`.
    pub(crate) fn new(gpu: &Gpu, config: &GptConfig, weights: &Weights) -> Result<Self> {
        config.check()?;
        let gpt = Self::without_values(gpu, config)?;
        gpt.write(weights)?;
        Ok(gpt)
    }

    /// Creates the parameters, all zero.
    pub(super) fn without_values(gpu: &Gpu, config: &GptConfig) -> Result<Self> {
        let layout = GptLayout::new(config);
        let parameters = Parameters::new(gpu, layout.device.clone(), Precision::Single)?;
        Ok(Self { gpu: gpu.clone(), config: config.clone(), layout, parameters })
    }

    /// Writes `weights`.
    ///
    /// # Errors
    /// As [`GptConfig::check_weights`].
    pub(crate) fn write(&self, weights: &Weights) -> Result<()> {
        self.parameters.write(&self.gpu, &self.layout.padded(weights)?)
    }

    /// Reads the weights back.
    pub(crate) async fn read_async(&self) -> Result<Weights> {
        Ok(self.layout.cut(&self.parameters.read_async(&self.gpu).await?))
    }

    /// Layers of the transformer.
    pub(super) fn layers(&self) -> Result<TransformerLayers> {
        let (config, sizes) = (&self.config, self.config.transformer_sizes());
        let views = |find: &Find<'_>| {
            let layers = (0..sizes.layers).map(|layer| layer_views(find, layer)).collect::<Result<_>>()?;
            Ok(TransformerViews { layers, norm: Some(Affine::find(find, FINAL_NORM)?) })
        };
        let parameters = ParameterViews::new(&self.parameters, "", views)?;
        let table = || self.gpu.upload("ketformer.rotary", &rotary_table(config.block, config.width / config.heads));
        let rotary = (config.position == TokenPositions::Rotary).then(table).transpose()?;
        Ok(TransformerLayers { sizes, parameters, rotary: rotary.map(|table| table.view()) })
    }
}

/// Key of the random numbers of the dropout of a batch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DropoutKey {
    pub seed: u64,
    /// Number of the batch.
    pub batch: u64,
}

/// Teacher-forced pass over windows of T tokens, and its gradient.
pub(super) struct TrainingPass {
    gpu: Gpu,
    layers: TransformerLayers,
    transformer: TransformerTraining,
    embedding: TokenEmbedding,
    pub head: VocabularyHead,
    pub head_rows: HeadTraining,
    /// (rows) u32
    tokens: Buffer,
    index: TokenIndex,
    /// Blocks of the gradients of parameters.
    part: Buffer,
    dropout: Option<ResidualDropout>,
    sequences: u32,
}

impl TrainingPass {
    /// Buffers for `sequences` windows, with dropout of this rate.
    pub(super) fn new(gpt: &Gpt, sequences: u32, dropout: f64) -> Result<Self> {
        let (gpu, config) = (&gpt.gpu, &gpt.config);
        let (layers, block) = (gpt.layers()?, config.block as u32);
        let rows = sequences * block;
        let head = VocabularyHead::new(&gpt.parameters, config)?;
        let widest = TransformerTraining::part_width(&layers.sizes).max(head.part_width());
        let widths = gpt.parameters.gradient_widths(widest);
        let residual_dropout = || {
            let (step, elements) = (gpu.buffer("ketformer.dropout.step", 4)?, rows as usize * config.width);
            ResidualDropout::new(gpu, dropout as f32, step.view(), elements as u64)
        };
        Ok(Self {
            gpu: gpu.clone(),
            transformer: TransformerTraining::new(gpu, &layers.sizes, sequences)?,
            embedding: TokenEmbedding::new(gpu, &gpt.parameters, config)?,
            head_rows: HeadTraining::new(gpu, &head, rows)?,
            tokens: gpu.buffer("ketformer.tokens", rows.into())?,
            index: TokenIndex::new(gpu, rows as usize, block)?,
            part: gpu.buffer("ketformer.part", linear::scratch_of_rows(gpu, rows, &widths))?,
            dropout: (dropout > 0.0).then(residual_dropout).transpose()?,
            sequences,
            layers,
            head,
        })
    }

    /// Inputs of a batch on the device with their numbers of words, in the order of [`TrainingPass::words`].
    pub(super) fn inputs(&self) -> impl Iterator<Item = (&View, u64)> {
        let rows = u64::from(self.rows());
        let of_rows = [(&self.tokens, rows), (self.index.tokens(), 3 * rows + 2)];
        let of_head = [(&self.head_rows.targets, rows), (&self.head_rows.weight, rows)];
        let of_dropout = self.dropout.as_ref().map(|dropout| (&dropout.step, 4));
        let of_buffers = of_rows.into_iter().chain(of_head).map(|(buffer, words)| (&**buffer, words));
        of_buffers.chain(of_dropout)
    }

    /// Words of a batch with the weight of each row in the loss.
    pub(super) fn words(&self, batch: &TokenBatch, weights: &[f32], dropout: DropoutKey) -> Vec<u32> {
        let mut words = batch.tokens.clone();
        words.extend(token_index(&batch.tokens, self.rows() as usize));
        words.extend(&batch.targets);
        words.extend(weights.iter().map(|weight| weight.to_bits()));
        let DropoutKey { seed, batch } = dropout;
        words.extend(self.dropout.iter().flat_map(|_| [seed as u32, (seed >> 32) as u32, batch as u32, 0]));
        words
    }

    /// Writes a batch; `weight` is that of a target in the loss.
    pub(super) fn load(&self, batch: &TokenBatch, weight: f32) -> Result<()> {
        self.load_weighted(batch, &batch.weights(weight), DropoutKey::default())
    }

    /// Writes [`TrainingPass::words`].
    pub(super) fn load_weighted(&self, batch: &TokenBatch, weights: &[f32], dropout: DropoutKey) -> Result<()> {
        let words = self.words(batch, weights, dropout);
        let mut rest = &words[..];
        self.inputs().try_for_each(|(view, count)| {
            let (these, after) = rest.split_at(count as usize);
            rest = after;
            view.write(&self.gpu, these)
        })
    }

    /// Number of rows of all windows, B·T.
    pub(super) fn rows(&self) -> u32 {
        self.sequences * self.layers.sizes.positions
    }

    /// Records the forward pass up to the input of the head.
    fn encoder(&self, plan: &mut Plan, dropout: Option<&ResidualDropout>) -> Result<()> {
        let (rows, period) = (Rows::from(self.rows()), self.layers.sizes.positions);
        plan.scope("forward");
        let positions = RowPositions { period, first: 0 };
        let x = self.transformer.embedded();
        self.embedding.record(plan, &self.tokens, &x, (&rows, positions))?;
        dropout.map_or(Ok(()), |dropout| dropout.embedded(plan, &x))?;
        self.transformer.forward(&self.layers, plan, &rows, dropout)
    }

    /// Records the cross-entropy of all rows, without dropout.
    pub(super) fn record_loss(&self, plan: &mut Plan) -> Result<()> {
        self.encoder(plan, None)?;
        plan.scope("head");
        self.head_rows.record(&self.head, plan, &self.transformer.top(), None)
    }

    /// Records the cross-entropy of all rows and the gradient of its weighted sum. With `keep`, it is added to the
    /// present gradient. Otherwise it replaces it, after [`TrainingPass::clear`].
    pub(super) fn record_gradient(&self, plan: &mut Plan, keep: bool) -> Result<()> {
        let dropout = self.dropout.as_ref();
        self.encoder(plan, dropout)?;
        plan.scope("head");
        let (d_top, scratch) = (self.transformer.d_top(), self.transformer.d_scratch());
        let gradient = HeadGradient { d_x: &d_top, scratch: &scratch, part: &self.part, keep };
        self.head_rows.record(&self.head, plan, &self.transformer.top(), Some(&gradient))?;
        plan.scope("backward");
        let rows = Rows::from(self.rows());
        let sums = GradientSums::new(self.part.view(), GradientInto::Sum { keep });
        self.transformer.backward(&self.layers, plan, &BackwardContext { rows: &rows, sums: &sums }, dropout)?;
        sums.finish(plan)?;
        let d_x = self.transformer.d_embedded();
        dropout.map_or(Ok(()), |dropout| dropout.embedded(plan, &d_x))?;
        self.embedding.backward(plan, &d_x, rows.capacity, &self.index)
    }

    /// Encodes setting the gradients to zero that [`TrainingPass::record_gradient`] adds to in any case.
    pub(super) fn clear(&self, encoder: &mut wgpu::CommandEncoder) {
        self.embedding.added().for_each(|view| encoder.clear_buffer(view.wgpu(), view.offset(), Some(view.bytes())));
    }

    /// Submits [`TrainingPass::clear`].
    pub(super) fn submit_clear(&self) {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        self.clear(&mut encoder);
        self.gpu.queue().submit([encoder.finish()]);
    }

    /// Attention weights of every layer averaged over the windows of the last pass, (H, T, T) each.
    pub(super) fn record_attention(&self, plan: &mut Plan, layers: &[View]) -> Result<()> {
        self.transformer.attention_weights(&self.layers, plan, self.sequences, layers)
    }

    /// Logits of one window of rows, for tests and reports.
    pub(super) fn record_logits(&self, plan: &mut Plan, logits: &View) -> Result<()> {
        self.encoder(plan, None)?;
        self.head.record(plan, &self.transformer.top(), logits, self.rows())
    }
}

/// Kept activations, for tests.
#[cfg(test)]
impl TrainingPass {
    pub(super) fn kept(&self) -> &[LayerActivations] {
        &self.transformer.layers
    }

    /// Output of the last layer.
    pub(super) fn last(&self) -> View {
        self.transformer.output_before(self.layers.sizes.layers as usize)
    }

    pub(super) fn top(&self) -> View {
        self.transformer.top()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::RandomInputs;

    /// The mask of the backward pass is that of the forward pass at every place.
    #[test]
    fn gradients_with_dropout_are_directional_derivatives() {
        let config = GptConfig {
            vocabulary: 5,
            block: 6,
            width: 16,
            heads: 2,
            layers: 2,
            feed_forward: 32,
            ..GptConfig::default()
        };
        let (gpu, rows) = (Gpu::new().unwrap(), 2 * config.block);
        let mut random = RandomInputs::new(3);
        let mut center = config.initial(1);
        for tensor in center.tensors.values_mut() {
            let shifts = random.floats(tensor.values.len());
            tensor.values.iter_mut().zip(shifts).for_each(|(value, shift)| *value += 0.2 * shift);
        }
        let gpt = Gpt::new(&gpu, &config, &center).unwrap();
        let pass = TrainingPass::new(&gpt, 2, 0.3).unwrap();
        let [tokens, targets] = [(); 2].map(|()| random.integers(rows, 5));
        let batch = TokenBatch { tokens, targets };
        pass.load_weighted(&batch, &batch.weights(1.0), DropoutKey { seed: 7, batch: 4 }).unwrap();
        let mut plan = Plan::new(&gpu);
        pass.record_gradient(&mut plan, false).unwrap();
        let loss = |weights: &Weights| {
            gpt.write(weights).unwrap();
            pass.submit_clear();
            plan.run().unwrap();
            let losses: Vec<f32> = pass.head_rows.loss.read(&gpu, rows).unwrap();
            losses.iter().map(|loss| f64::from(*loss)).sum::<f64>()
        };
        loss(&center);
        let gradient = gpt.layout.cut(&gpt.parameters.read_gradient(&gpu).unwrap());
        for (name, tensor) in &center.tensors {
            let direction = random.floats(tensor.values.len());
            let moved = |step: f32| {
                let mut weights = center.clone();
                let values = &mut weights.tensors.get_mut(name).unwrap().values;
                values.iter_mut().zip(&direction).for_each(|(value, d)| *value += step * d);
                loss(&weights)
            };
            let step = 2e-3;
            let difference = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            let along: f64 = gradient.tensors[name].values.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
            assert!((difference - along).abs() < 5e-3 * along.abs().max(1.0), "{name}: {difference} {along}");
        }
    }
}
