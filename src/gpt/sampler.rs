//! Sampling of continuations, token by token, with the keys and values of earlier positions in a cache.

use std::collections::HashMap;

use super::embedding::TokenEmbedding;
use super::head::VocabularyHead;
use super::network::Gpt;
use super::{GptConfig, SamplingSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, Rows};
use crate::kernels::token::embed::RowPositions;
use crate::kernels::token::sample::{TokenSample, TokenSampleShape};
use crate::model::layers::transformer::Transformer;
use crate::model::{Capacity, Precision, Weights};

/// Maximum number of launches that are kept for positions that recur.
const KEPT_LAUNCHES: usize = 20_000;

/// Sampled tokens and their log-probabilities.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Continuation {
    /// Tokens after the prompt.
    pub tokens: Vec<u32>,
    /// Log-probability of each token under the distribution that it was drawn from.
    pub log_p: Vec<f32>,
}

/// Sampler of continuations of several prompts at once.
pub struct GptSampler {
    gpu: Gpu,
    config: GptConfig,
    sequences: usize,
    embedding: TokenEmbedding,
    transformer: Transformer,
    head: VocabularyHead,
    tokens: Buffer,
    logits: Buffer,
    drawn: Buffer,
    log_p: Buffer,
    step: Buffer,
    plans: HashMap<(u32, bool), Plan>,
    kept: usize,
    settings: SamplingSettings,
    /// Owner of the parameters; `None` if a trainer owns them.
    _gpt: Option<Gpt>,
}

impl GptSampler {
    /// Creates a sampler of `sequences` sequences with its own parameters.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for invalid sizes, [`ErrorKind::Weights`] if the weights do not fit them,
    /// [`ErrorKind::Memory`] if a limit of the adapter is too small.
    pub fn new(gpu: &Gpu, config: &GptConfig, weights: &Weights, sequences: usize) -> Result<Self> {
        let gpt = Gpt::new(gpu, config, weights)?;
        let sampler = Self::of(&gpt, sequences)?;
        Ok(Self { _gpt: Some(gpt), ..sampler })
    }

    /// Creates a sampler of `sequences` sequences with the present and later parameters of `gpt`.
    pub(crate) fn of(gpt: &Gpt, sequences: usize) -> Result<Self> {
        let (gpu, config) = (&gpt.gpu, &gpt.config);
        let capacity =
            Capacity { samples: sequences as u32, move_rows: 1, hidden_rows: sequences as u32, training_samples: 0 };
        let head = VocabularyHead::new(&gpt.parameters, config)?;
        let buffer = |name: &str, elements: usize| gpu.buffer(&format!("ketformer.sampler.{name}"), elements as u64);
        let logits = sequences * config.padded_vocabulary();
        let sampler = Self {
            gpu: gpu.clone(),
            config: config.clone(),
            sequences,
            embedding: TokenEmbedding::new(gpu, &gpt.parameters, config)?,
            transformer: Transformer::of_layers(gpu, gpt.layers()?, Precision::Single, capacity, None)?,
            tokens: buffer("tokens", sequences)?,
            logits: buffer("logits", logits)?,
            drawn: buffer("drawn", sequences)?,
            log_p: buffer("log_p", sequences)?,
            step: buffer("step", 4)?,
            head,
            plans: HashMap::new(),
            kept: 0,
            settings: SamplingSettings::default(),
            _gpt: None,
        };
        gpu.flush()?;
        Ok(sampler)
    }

    /// The same sampler with settings for [`GptSampler::sample_step`].
    pub(crate) fn with_settings(self, settings: SamplingSettings) -> Self {
        Self { settings, plans: HashMap::new(), kept: 0, ..self }
    }

    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.sequences
    }

    /// Samples continuations of `prompts`, one per sequence. The text of sequence s depends on its prompt, the settings and
    /// s, not on the number of sequences. When a sequence has filled the block, its context restarts from its last half.
    ///
    /// `on_token` receives the continuations so far after each new token, which are empty for sequences whose prompt is
    /// longer; sampling ends early if it returns `false`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for invalid settings, an empty prompt, one longer than the block, tokens outside the
    /// vocabulary, or another number of prompts; as [`Plan::launch`].
    pub fn sample(
        &mut self,
        prompts: &[Vec<u32>],
        settings: &SamplingSettings,
        on_token: impl FnMut(&[Continuation]) -> bool,
    ) -> Result<Vec<Continuation>> {
        self.gpu.clone().block_on(self.sample_async(prompts, settings, on_token))
    }

    /// As [`GptSampler::sample`], without blocking.
    ///
    /// # Errors
    /// As [`GptSampler::sample`].
    pub async fn sample_async(
        &mut self,
        prompts: &[Vec<u32>],
        settings: &SamplingSettings,
        on_token: impl FnMut(&[Continuation]) -> bool,
    ) -> Result<Vec<Continuation>> {
        settings.check()?;
        self.check_prompts(prompts)?;
        if self.settings != *settings {
            self.settings = *settings;
            self.plans.clear();
            self.kept = 0;
        }
        self.sample_step(prompts, 0, on_token).await
    }

    /// Samples as [`GptSampler::sample`] with the settings of the last call; `step` selects the random numbers.
    pub(crate) async fn sample_step(
        &mut self,
        prompts: &[Vec<u32>],
        step: u32,
        mut on_token: impl FnMut(&[Continuation]) -> bool,
    ) -> Result<Vec<Continuation>> {
        let block = self.config.block;
        let mut texts = prompts.to_vec();
        let mut made = vec![Continuation::default(); prompts.len()];
        // First token of each context, and passes of the block so far.
        let (mut first, mut passes) = (0, 0);
        let shortest = prompts.iter().map(Vec::len).min().unwrap_or(0);
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        let end = longest + self.settings.new_tokens;
        let mut position = 0;
        while first + position + 1 < end {
            if position == block {
                // All sequences have more than half a block of tokens.
                first += block - block / 2;
                position = 0;
                passes += 1;
                continue;
            }
            let at = first + position;
            let is_drawn = at + 1 >= shortest && texts.iter().any(|text| text.len() == at + 1);
            self.advance(&texts, at, (position as u32, is_drawn), step + passes)?;
            position += 1;
            if !is_drawn {
                continue;
            }
            let drawn: Vec<u32> = self.drawn.read_async(&self.gpu, self.sequences).await?;
            let log_p: Vec<f32> = self.log_p.read_async(&self.gpu, self.sequences).await?;
            for (s, text) in texts.iter_mut().enumerate() {
                if text.len() == at + 1 && made[s].tokens.len() < self.settings.new_tokens {
                    text.push(drawn[s]);
                    made[s].tokens.push(drawn[s]);
                    made[s].log_p.push(log_p[s]);
                }
            }
            if !on_token(&made) {
                break;
            }
        }
        Ok(made)
    }

    /// Processes token `at` of all sequences at position `position` of the block, and draws the next one.
    fn advance(&mut self, texts: &[Vec<u32>], at: usize, (position, is_drawn): (u32, bool), step: u32) -> Result<()> {
        // Sequences that have ended repeat their last token.
        let token = |text: &Vec<u32>| text.get(at).or(text.last()).copied().unwrap_or(0);
        let tokens: Vec<u32> = texts.iter().map(token).collect();
        self.tokens.write(&self.gpu, &tokens)?;
        let seed = self.settings.seed;
        self.step.write(&self.gpu, &[seed as u32, (seed >> 32) as u32, step, 0])?;
        if let Some(plan) = self.plans.get(&(position, is_drawn)) {
            plan.submit();
            return Ok(());
        }
        let mut plan = Plan::new(&self.gpu);
        self.record(&mut plan, position, is_drawn)?;
        plan.submit();
        if self.kept + plan.len() <= KEPT_LAUNCHES {
            self.kept += plan.len();
            self.plans.insert((position, is_drawn), plan);
        }
        Ok(())
    }

    fn record(&self, plan: &mut Plan, position: u32, is_drawn: bool) -> Result<()> {
        let rows = Rows::from(self.sequences as u32);
        let x = self.transformer.decode_rows().x;
        let positions = RowPositions { period: 1, first: position };
        self.embedding.record(plan, &self.tokens, &x, (&rows, positions))?;
        self.transformer.decode(plan, position)?;
        if !is_drawn {
            return Ok(());
        }
        self.head.record(plan, &x, &self.logits, rows.capacity)?;
        let sample = TokenSample {
            logits: self.logits.view(),
            step: self.step.view(),
            tokens: self.drawn.view(),
            log_p: self.log_p.view(),
        };
        let SamplingSettings { temperature, top_k, top_p, greedy, .. } = self.settings;
        let shape = TokenSampleShape {
            rows: rows.capacity,
            columns: self.head.columns,
            tokens: self.config.vocabulary as u32,
            first_row: 0,
            position,
            temperature: temperature as f32,
            top_k: top_k.unwrap_or(0) as u32,
            top_p: top_p as f32,
            greedy,
        };
        sample.record(plan, &shape)
    }

    fn check_prompts(&self, prompts: &[Vec<u32>]) -> Result<()> {
        let error = |message: String| Err(Error::new(ErrorKind::Settings, format!("gpt: {message}")));
        if prompts.len() != self.sequences {
            return error(format!("{} prompts for {} sequences; give one for each", prompts.len(), self.sequences));
        }
        for prompt in prompts {
            if prompt.is_empty() {
                return error("an empty prompt; give at least one token".into());
            }
            if prompt.len() > self.config.block {
                return error(format!(
                    "a prompt of {} tokens for a block of {}; give a shorter one",
                    prompt.len(),
                    self.config.block
                ));
            }
            self.config.check_tokens(prompt)?;
        }
        Ok(())
    }
}
