//! Projection to the vocabulary with the cross-entropy of the next token.
//!
//! ```text
//! loss_r = log Σ_v exp(x_r · W_v) − x_r · W_target(r)        d_logits[r, v] = weight_r (softmax(x_r · W)_v − [v = target(r)])
//! ```
//!
//! Rows are processed in windows and the vocabulary in chunks, so that the logits of all rows are never stored at once.
//! The sizes of both depend only on the vocabulary and the adapter, and the memory budget changes no bit.

use super::GptConfig;
use super::embedding::token_ranges;
use super::layout::{HEAD, TOKENS};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::{
    Extra, GradientInto, GradientShape, GradientSums, LinearGradient, LinearProduct, LinearShape,
};
use crate::kernels::token::cross_entropy::{CrossEntropyGradient, CrossEntropyShape, CrossEntropyStatistics};
use crate::model::Parameters;

/// Maximum number of logits that are stored at once, unless 64 rows have more.
const MOST_LOGITS: u32 = 1 << 24;
/// Maximum number of rows of a window.
const MOST_ROWS: u32 = 8192;

/// Chunk of the vocabulary.
#[derive(Debug, Clone)]
struct Chunk {
    first: u32,
    /// Rows of the weight, with padding.
    columns: u32,
    /// Tokens of the vocabulary among them.
    tokens: u32,
    value: View,
    gradient: View,
}

impl Chunk {
    fn product(&self, x: &View, logits: &View) -> LinearProduct {
        let (weight, y) = (self.value.clone(), logits.clone());
        LinearProduct { x: x.clone(), weight, bias: None, extra: Extra::None, y }
    }

    /// Logits (rows, columns) of this chunk among those of `rows` rows.
    fn logits_of(&self, logits: &View, rows: u32) -> Result<View> {
        let [first, columns, rows] = [self.first, self.columns, rows].map(u64::from);
        logits.range(logits.label(), rows * first, rows * columns)
    }
}

/// Projection to the vocabulary on a device.
pub(super) struct VocabularyHead {
    width: u32,
    /// Padded size of the vocabulary.
    pub columns: u32,
    chunks: Vec<Chunk>,
}

impl VocabularyHead {
    pub(super) fn new(parameters: &Parameters, config: &GptConfig) -> Result<Self> {
        let (width, columns) = (config.width as u32, config.padded_vocabulary() as u32);
        let name = if config.tied { TOKENS } else { HEAD };
        let (value, gradient) = (parameters.value(name)?, parameters.gradient_of(name)?);
        let chunk = |(first, columns): (u32, u32)| {
            let range = |view: &View| view.range(name, u64::from(first * width), u64::from(columns * width));
            let tokens = columns.min(config.vocabulary as u32 - first);
            Ok(Chunk { first, columns, tokens, value: range(&value)?, gradient: range(&gradient)? })
        };
        let chunks = token_ranges(columns, columns / config.vocabulary_chunks() as u32).map(chunk);
        let chunks = chunks.collect::<Result<_>>()?;
        Ok(Self { width, columns, chunks })
    }

    /// Number of rows of a window.
    fn window(&self) -> u32 {
        (MOST_LOGITS / self.columns / 64 * 64).clamp(64, MOST_ROWS)
    }

    /// Elements of a gradient block of the widest chunk.
    pub(super) fn part_width(&self) -> u64 {
        let widest = self.chunks.iter().map(|chunk| chunk.columns).max().unwrap_or(0);
        u64::from(widest) * u64::from(self.width + 1)
    }

    /// Records the logits (rows, columns) of `rows` rows of `x` (rows, C). The chunks of a row follow one another.
    pub(super) fn record(&self, plan: &mut Plan, x: &View, logits: &View, rows: u32) -> Result<()> {
        let y_stride = self.chunks.len() as u32;
        self.chunks.iter().zip(0..).try_for_each(|(chunk, y_first)| {
            let shape = LinearShape { y_stride, y_first, ..LinearShape::forward(rows, self.width, chunk.columns) };
            chunk.product(x, logits).record(plan, &shape)
        })
    }

    /// Records the logits as [`VocabularyHead::record`], but chunk after chunk (rows, columns of the chunk).
    fn record_chunks(&self, plan: &mut Plan, x: &View, logits: &View, rows: u32) -> Result<()> {
        self.chunks.iter().try_for_each(|chunk| {
            let shape = LinearShape::forward(rows, self.width, chunk.columns);
            chunk.product(x, &chunk.logits_of(logits, rows)?).record(plan, &shape)
        })
    }
}

/// Logits of a window, and results of all rows.
pub(super) struct HeadTraining {
    logits: Buffer,
    statistics: Buffer,
    /// (rows): cross-entropy of the target in nats
    pub loss: Buffer,
    /// (rows): entropy of the distribution of the next token in nats
    pub entropy: Buffer,
    /// (rows) u32
    pub targets: Buffer,
    /// (rows): weight of a row's cross-entropy in the loss
    pub weight: Buffer,
    rows: u32,
}

/// Gradients of the head.
pub(super) struct HeadGradient<'a> {
    /// (rows, C): gradient of its input
    pub d_x: &'a View,
    /// (rows, C): scratch
    pub scratch: &'a View,
    /// Scratch of the sums of parameter gradients.
    pub part: &'a View,
    /// Whether the gradient of the weight is added to its present value.
    pub keep: bool,
}

impl HeadTraining {
    pub(super) fn new(gpu: &Gpu, head: &VocabularyHead, rows: u32) -> Result<Self> {
        let buffer =
            |name: &str, width: u32| gpu.buffer(&format!("ketformer.head.{name}"), u64::from(rows) * u64::from(width));
        let logits = u64::from(head.window().min(rows)) * u64::from(head.columns);
        Ok(Self {
            logits: gpu.buffer("ketformer.head.logits", logits)?,
            statistics: buffer("statistics", 4)?,
            // The acceptance of a step reads two elements.
            loss: gpu.buffer("ketformer.head.loss", u64::from(rows.max(2)))?,
            entropy: buffer("entropy", 1)?,
            targets: buffer("targets", 1)?,
            weight: buffer("weight", 1)?,
            rows,
        })
    }

    /// Records the cross-entropy of all rows of `x` (rows, C), and its gradients if `backward` is given.
    pub(super) fn record(
        &self,
        head: &VocabularyHead,
        plan: &mut Plan,
        x: &View,
        backward: Option<&HeadGradient<'_>>,
    ) -> Result<()> {
        let mut first_row = 0;
        while first_row < self.rows {
            let rows = head.window().min(self.rows - first_row);
            self.window(head, plan, x, (first_row, rows), backward)?;
            first_row += rows;
        }
        Ok(())
    }

    fn window(
        &self,
        head: &VocabularyHead,
        plan: &mut Plan,
        x: &View,
        (first_row, rows): (u32, u32),
        backward: Option<&HeadGradient<'_>>,
    ) -> Result<()> {
        let width = u64::from(head.width);
        let part = |view: &View| view.range(view.label(), u64::from(first_row) * width, u64::from(rows) * width);
        let x = part(x)?;
        let shape = |chunk: &Chunk| CrossEntropyShape {
            rows: Rows::from(rows),
            first_token: chunk.first,
            columns: chunk.columns,
            tokens: chunk.tokens,
            first_row,
        };
        head.record_chunks(plan, &x, &self.logits, rows)?;
        for chunk in &head.chunks {
            let logits = chunk.logits_of(&self.logits, rows)?;
            let (targets, statistics) = (self.targets.view(), self.statistics.view());
            CrossEntropyStatistics { logits, targets, statistics }.record(plan, &shape(chunk))?;
        }
        // Without a gradient, one chunk writes the losses.
        let needed = if backward.is_some() { head.chunks.len() } else { 1 };
        for chunk in &head.chunks[..needed] {
            let gradient = CrossEntropyGradient {
                logits: chunk.logits_of(&self.logits, rows)?,
                targets: self.targets.view(),
                weight: self.weight.view(),
                statistics: self.statistics.view(),
                loss: self.loss.view(),
                entropy: self.entropy.view(),
            };
            gradient.record(plan, &shape(chunk))?;
        }
        let Some(HeadGradient { d_x, scratch, part: sums, keep }) = backward else { return Ok(()) };
        let keep = *keep || first_row > 0;
        let sums = GradientSums::new((*sums).clone(), GradientInto::Sum { keep });
        let mut into = [part(d_x)?, part(scratch)?];
        // The sums over chunks alternate between two buffers and end in the first.
        if head.chunks.len().is_multiple_of(2) {
            into.reverse();
        }
        let mut extra = Extra::None;
        for chunk in &head.chunks {
            let d_logits = chunk.logits_of(&self.logits, rows)?;
            let gradient =
                LinearGradient { x: x.clone(), d_y: d_logits.clone(), d_weight: chunk.gradient.clone(), d_bias: None };
            let shape = GradientShape { rows: rows.into(), inputs: head.width, outputs: chunk.columns };
            gradient.record(plan, &shape, &sums)?;
            let (weight, y) = (chunk.value.clone(), into[0].clone());
            let product = LinearProduct { x: d_logits, weight, bias: None, extra, y };
            product.record(plan, &LinearShape::backward(rows, chunk.columns, head.width))?;
            extra = Extra::Add(into[0].clone());
            into.reverse();
        }
        sums.finish(plan)
    }
}
