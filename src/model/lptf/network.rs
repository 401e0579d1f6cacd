//! Passes of the large-patched transformer on a device: the transformer over large patches, and the sub-sampler within
//! each of them.

use std::sync::Arc;

use super::subsampler::{SubNetwork, SubSizes};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear;
use crate::kernels::linear::{GradientInto, GradientSums};
use crate::kernels::nn::large_patch::{LargePatchSamples, LargePatchShape, LargeTables, LargeWindow, RowsLarge};
use crate::model::layers::affine::BackwardContext;
use crate::model::layers::embedding::{Embedding, EmbeddingSizes};
use crate::model::layers::transformer::Transformer;
use crate::model::layers::transformer_layers::{TransformerLayers, TransformerSizes};
use crate::model::wave_function::{LargeRows, no_room};
use crate::model::{Autoregressive, Capacity, Outcomes, ParameterSpec, Parameters, SuffixBatch};

/// Sizes of an LPTF on a lattice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LptfSizes {
    pub embedding: EmbeddingSizes,
    /// Transformer over L large patches.
    pub transformer: TransformerSizes,
    pub large_patch: LargePatchShape,
    pub sub: SubSizes,
}

/// Tables of a network, on the host.
pub(crate) struct LptfTables {
    /// (L, C)
    pub position: Vec<f32>,
    /// (S, C'), for a PTF as sub-sampler
    pub sub_position: Vec<f32>,
    /// (p): position s·P + j of each element of a large patch
    pub places: Vec<u32>,
}

/// Buffers of the training pass.
struct Training {
    /// (samples · L): metadata of the rows of large patches
    rows: Buffer,
    /// Blocks of the gradients over those rows.
    part: Buffer,
}

/// Large-patched transformer on a device.
pub(crate) struct LptfNetwork {
    large_patch: LargePatchShape,
    embedding: Embedding,
    transformer: Transformer,
    sub: Box<dyn SubNetwork>,
    samples: u32,
    /// (p) u32
    places: Buffer,
    /// (L) of four u32: table entries that read only samples, no suffix rows
    of_samples: Buffer,
    /// Rows of large patches of a whole configuration.
    whole: Arc<LargeRows>,
    /// (samples) u32: 0, 1, …
    numbers: Buffer,
    /// (samples, stride)
    decode_rows: Buffer,
    /// (rows of large patches in a suffix batch, stride)
    move_rows: Buffer,
    training: Option<Training>,
}

impl LptfSizes {
    fn width(&self) -> u32 {
        self.transformer.width
    }

    pub(crate) fn specs(&self) -> Vec<ParameterSpec> {
        let c = self.width() as usize;
        [Embedding::specs(&self.embedding), TransformerLayers::specs(&self.transformer), self.sub.specs(c)].concat()
    }

    /// Elements of a block of the widest gradient over rows of large patches.
    fn part_width(&self) -> u64 {
        Transformer::part_width(&self.transformer)
            .max(Embedding::part_width(&self.embedding))
            .max(self.sub.part_width(self.width()))
    }
}

impl LptfNetwork {
    pub(crate) fn new(
        gpu: &Gpu,
        sizes: LptfSizes,
        tables: &LptfTables,
        parameters: &Parameters,
        capacity: Capacity,
    ) -> Result<Self> {
        let LptfSizes { embedding, transformer, large_patch, sub } = sizes;
        let (l, stride) = (large_patch.large_patches(), large_patch.stride());
        let large_rows = Capacity { move_rows: (capacity.move_rows / large_patch.sub_patches).max(1), ..capacity };
        let buffer =
            |name: &str, rows: u32| gpu.buffer(&format!("ketformer.large.{name}"), u64::from(rows) * u64::from(stride));
        let training = || {
            let (samples, widths) = (capacity.training_samples, parameters.gradient_widths(sizes.part_width()));
            let part = linear::scratch_within(gpu, samples, l, large_patch.patches, &widths);
            let part = gpu.buffer("ketformer.large.part", part)?;
            Ok(Training { rows: buffer("training", capacity.training_samples * l)?, part })
        };
        let whole = Arc::new(LargeRows::new(gpu, &LargeTables::whole(large_patch.patches, large_patch.sub_patches))?);
        let layer = (large_patch, transformer.width);
        let numbers: Vec<u32> = (0..capacity.samples).collect();
        Ok(Self {
            embedding: Embedding::new(gpu, parameters, "", &tables.position, embedding)?,
            transformer: Transformer::new(gpu, parameters, "", transformer, large_rows)?,
            sub: sub.network(gpu, parameters, layer, &tables.sub_position, whole.clone(), capacity)?,
            places: gpu.upload("ketformer.large.places", &tables.places)?,
            of_samples: gpu.upload("ketformer.large.of_samples", &LargeTables::of_samples(l))?,
            numbers: gpu.upload("ketformer.large.numbers", &numbers)?,
            decode_rows: buffer("decode", capacity.samples)?,
            move_rows: buffer("moves", large_rows.move_rows)?,
            training: (capacity.training_samples > 0).then(training).transpose()?,
            samples: capacity.samples,
            whole,
            large_patch,
        })
    }

    fn training(&self) -> Result<&Training> {
        self.training.as_ref().ok_or_else(no_room)
    }

    /// Samples with their tokens.
    fn samples(&self, sample_of: View, tokens: &View) -> Option<LargePatchSamples> {
        Some(LargePatchSamples { sample_of, values: tokens.clone(), count: self.samples })
    }

    /// Records the embedding of the large patches of `window`; `packed` are the rows of their sub-patches.
    fn embed(
        &self,
        plan: &mut Plan,
        (samples, packed): (Option<LargePatchSamples>, Option<&View>),
        (table, window): (&Buffer, &LargeWindow),
        [rows, x]: [&View; 2],
    ) -> Result<()> {
        let large = RowsLarge {
            samples,
            packed: packed.cloned(),
            table: table.view(),
            places: self.places.view(),
            rows: rows.clone(),
        };
        large.record(plan, window, &self.large_patch)?;
        self.embedding.record(plan, rows, &window.items.times(window.per_item), x)
    }
}

impl Autoregressive for LptfNetwork {
    fn decode(&self, plan: &mut Plan, rows: &View, tokens: &View, t: u32) -> Result<()> {
        let x = self.transformer.decode_rows().x;
        if t.is_multiple_of(self.large_patch.sub_patches) {
            let large = t / self.large_patch.sub_patches;
            let samples = self.samples(self.numbers.view(), tokens);
            let items = Rows::from(self.samples);
            let window = LargeWindow { items, first_item: 0, per_item: 1, first_entry: large, packed_per_item: 0 };
            self.embed(plan, (samples, None), (&self.of_samples, &window), [&self.decode_rows, &x])?;
            self.transformer.decode(plan, large)?;
        }
        self.sub.decode(plan, rows, t, &x)
    }

    fn decoded(&self) -> Outcomes {
        self.sub.decoded()
    }

    fn connected(&self, plan: &mut Plan, packed: &SuffixBatch) -> Result<Outcomes> {
        let large = packed.large.as_ref().ok_or_else(|| {
            let message = "the suffix batch has rows of sub-patches but none of their large patches; give both";
            Error::new(ErrorKind::Shape, message)
        })?;
        let x = self.transformer.connected_rows().x;
        if large.per_item > 0 {
            let window = LargeWindow {
                items: packed.items.clone(),
                first_item: packed.first_item,
                per_item: large.per_item,
                first_entry: 0,
                packed_per_item: packed.rows_per_item,
            };
            let samples = self.samples(packed.sample_of.clone(), &packed.tokens);
            let from = (samples, Some(&packed.row_meta));
            self.embed(plan, from, (&large.rows, &window), [&self.move_rows, &x])?;
            let rows = SuffixBatch {
                row_meta: self.move_rows.view(),
                rows_per_item: large.per_item,
                row_table: large.row_table.view(),
                large: None,
                ..packed.clone()
            };
            self.transformer.connected(plan, &rows)?;
        }
        self.sub.connected(plan, packed, large, &x)
    }

    fn forward(&self, plan: &mut Plan, row_meta: &View, rows: &Rows) -> Result<Outcomes> {
        let (kept, Training { rows: large, .. }) = (self.transformer.training_rows()?, self.training()?);
        let window = LargeWindow {
            items: rows.items(self.large_patch.patches),
            first_item: 0,
            per_item: self.large_patch.large_patches(),
            first_entry: 0,
            packed_per_item: self.large_patch.patches,
        };
        let from = (None, Some(row_meta));
        self.embed(plan, from, (&self.whole.rows, &window), [large, &kept.embedded])?;
        self.transformer.forward(plan, &rows.items(self.large_patch.sub_patches))?;
        self.sub.forward(plan, row_meta, rows, &kept.top)
    }

    fn backward(&self, plan: &mut Plan, row_meta: &View, rows: &Rows, into: GradientInto<'_>) -> Result<()> {
        let (kept, Training { rows: large, part }) = (self.transformer.training_rows()?, self.training()?);
        let large_rows = rows.items(self.large_patch.sub_patches);
        let sums = GradientSums::new(part.view(), into);
        let reversed = BackwardContext { rows: &large_rows, sums: &sums };
        let conditionings = [&kept.top, &kept.d_top];
        self.sub.backward(plan, row_meta, rows, &reversed, conditionings)?;
        self.transformer.backward(plan, &reversed)?;
        self.embedding.backward(plan, large, &kept.d_embedded, &reversed)?;
        sums.finish(plan)
    }

    fn attention(&self, plan: &mut Plan, samples: u32, layers: &[View]) -> Result<()> {
        self.transformer.attention_weights(plan, samples, layers)
    }
}
