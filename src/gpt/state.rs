//! GPT with given weights on a device: logits, losses, gradients and attention of whole windows.

use super::network::{DropoutKey, Gpt, TrainingPass};
use super::train::Loss;
use super::{GptConfig, IGNORED, TokenBatch};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan};
use crate::model::Weights;

/// GPT with given weights, for windows of T tokens.
pub struct GptState {
    gpt: Gpt,
    pass: TrainingPass,
    sequences: usize,
}

impl GptState {
    /// Creates the buffers for `sequences` windows.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for invalid sizes, [`ErrorKind::Weights`] if the weights do not fit them,
    /// [`ErrorKind::Memory`] if a limit of the adapter is too small.
    pub fn new(gpu: &Gpu, config: &GptConfig, weights: &Weights, sequences: usize) -> Result<Self> {
        let gpt = Gpt::new(gpu, config, weights)?;
        let pass = TrainingPass::new(&gpt, sequences as u32, 0.0)?;
        gpu.flush()?;
        Ok(Self { gpt, pass, sequences })
    }

    /// Allocates the buffers for `sequences` windows on the device of a dry run.
    pub(crate) fn dry_run(gpu: &Gpu, config: &GptConfig, sequences: usize) -> Result<()> {
        TrainingPass::new(&Gpt::without_values(gpu, config)?, sequences as u32, 0.0).map(|_| ())
    }

    /// Number of windows.
    pub fn sequences(&self) -> usize {
        self.sequences
    }

    /// Writes `batch`.
    fn load(&self, batch: &TokenBatch) -> Result<()> {
        self.check(batch)?;
        self.pass.load(batch, 0.0)
    }

    /// Checks the number of positions and that all tokens are in the vocabulary.
    fn check(&self, batch: &TokenBatch) -> Result<()> {
        let rows = self.sequences * self.gpt.config.block;
        if batch.tokens.len() != rows || batch.targets.len() != rows {
            let message = format!(
                "gpt: {} tokens and {} targets for {} windows of {} positions; give one of each per position",
                batch.tokens.len(),
                batch.targets.len(),
                self.sequences,
                self.gpt.config.block
            );
            return Err(Error::new(ErrorKind::Shape, message));
        }
        self.gpt.config.check_tokens(&batch.tokens)?;
        let targets: Vec<u32> = batch.targets.iter().copied().filter(|target| *target != IGNORED).collect();
        self.gpt.config.check_tokens(&targets)
    }

    fn run(&self, record: impl FnOnce(&mut Plan) -> Result<()>) -> Result<()> {
        let mut plan = Plan::new(&self.gpt.gpu);
        record(&mut plan)?;
        plan.run()
    }

    /// Batch of `tokens` without targets.
    fn untargeted(tokens: &[u32]) -> TokenBatch {
        TokenBatch { tokens: tokens.to_vec(), targets: vec![IGNORED; tokens.len()] }
    }

    /// Returns the logits (B, T, V) of `tokens` (B, T). Those of a position depend only on the tokens up to it.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for another number of tokens or tokens outside the vocabulary; as [`Plan::launch`].
    pub fn logits(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        self.load(&Self::untargeted(tokens))?;
        let columns = self.gpt.config.padded_vocabulary();
        let logits = self.gpt.gpu.large_buffer("ketformer.logits", (tokens.len() * columns) as u64)?;
        self.run(|plan| self.pass.record_logits(plan, &logits))?;
        let stored = logits.read(&self.gpt.gpu, tokens.len() * columns)?;
        Ok(stored.chunks(columns).flat_map(|row| &row[..self.gpt.config.vocabulary]).copied().collect())
    }

    /// Returns the cross-entropy of each position in nats, (B, T); 0 for [`IGNORED`] targets.
    ///
    /// # Errors
    /// As [`GptState::logits`].
    pub fn losses(&self, batch: &TokenBatch) -> Result<Vec<f32>> {
        self.load(batch)?;
        self.run(|plan| self.pass.record_loss(plan))?;
        self.pass.head_rows.loss.read(&self.gpt.gpu, batch.tokens.len())
    }

    /// Returns the mean cross-entropy over the targets, and its gradient by the names of the parameters.
    ///
    /// # Errors
    /// As [`GptState::logits`].
    pub fn gradient(&self, batch: &TokenBatch) -> Result<(Loss, Weights)> {
        let gradient = self.weighted_gradient(batch, &batch.weights(1.0 / batch.targeted() as f32))?;
        let losses: Vec<f32> = self.pass.head_rows.loss.read(&self.gpt.gpu, batch.tokens.len())?;
        Ok((Loss::of_targets(&losses, &batch.targets), gradient))
    }

    /// Returns the gradient of the sum of the cross-entropies of all positions, each times its weight (B, T).
    ///
    /// # Errors
    /// As [`GptState::logits`]; [`ErrorKind::Shape`] for another number of weights.
    pub fn weighted_gradient(&self, batch: &TokenBatch, weights: &[f32]) -> Result<Weights> {
        self.check(batch)?;
        if weights.len() != batch.tokens.len() {
            let message =
                format!("gpt: {} weights for {} positions; give one for each", weights.len(), batch.tokens.len());
            return Err(Error::new(ErrorKind::Shape, message));
        }
        self.pass.load_weighted(batch, weights, DropoutKey::default())?;
        self.pass.submit_clear();
        self.run(|plan| self.pass.record_gradient(plan, false))?;
        Ok(self.gpt.layout.cut(&self.gpt.parameters.read_gradient(&self.gpt.gpu)?))
    }

    /// Returns the attention weights of each layer, (H, T, T), averaged over the windows `tokens` (B, T). Rows are
    /// queries and sum to 1.
    ///
    /// # Errors
    /// As [`GptState::logits`].
    pub fn attention(&self, tokens: &[u32]) -> Result<Vec<Vec<f32>>> {
        self.load(&Self::untargeted(tokens))?;
        let GptConfig { heads, block, layers, .. } = self.gpt.config;
        let elements = heads * block * block;
        let buffers: Vec<Buffer> = (0..layers)
            .map(|_| self.gpt.gpu.buffer("ketformer.attention.weights", elements as u64))
            .collect::<Result<_>>()?;
        let views: Vec<_> = buffers.iter().map(|buffer| buffer.view()).collect();
        self.run(|plan| {
            self.pass.record_loss(plan)?;
            self.pass.record_attention(plan, &views)
        })?;
        buffers.iter().map(|buffer| buffer.read(&self.gpt.gpu, elements)).collect()
    }
}
