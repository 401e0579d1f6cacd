//! The passes of the large-patched transformer on a device: the transformer over large patches, and in each of them the
//! sub-sampler.

use std::sync::Arc;

use super::affine::Reversed;
use super::embedding::{Embedding, EmbeddingSizes};
use super::network::LargeRows;
use super::subsampler::{SubNetwork, SubSizes};
use super::transformer::{Transformer, TransformerSizes};
use super::{Capacity, Needs, Network, Outcomes, Packed, ParameterSpec, Parameters, Precision};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::{self, GradientInto};
use crate::kernels::nested::{LargeTables, LargeWindow, NestedShape, RowsLarge, Samples};

/// The sizes of an LPTF on a lattice.
#[derive(Debug, Clone, Copy)]
pub(super) struct LptfSizes {
    pub embedding: EmbeddingSizes,
    /// Over L large patches.
    pub transformer: TransformerSizes,
    pub nested: NestedShape,
    pub sub: SubSizes,
}

/// Tables of the host that a network holds.
pub(super) struct LptfTables {
    /// (L, C)
    pub position: Vec<f32>,
    /// (S, C') of a PTF
    pub sub_position: Vec<f32>,
    /// (p): place s·P + j of each element of a large patch.
    pub places: Vec<u32>,
}

/// Room for the pass with gradient.
struct Training {
    /// (samples · L) descriptions of rows of large patches
    rows: Buffer,
    /// Blocks of the gradients over those rows.
    part: Buffer,
}

/// The large-patched transformer on a device.
pub(super) struct LptfNetwork {
    nested: NestedShape,
    embedding: Embedding,
    transformer: Transformer,
    sub: Box<dyn SubNetwork>,
    samples: u32,
    /// (p) u32
    places: Buffer,
    /// (L) of four u32: entries that look at samples alone.
    of_samples: Buffer,
    /// Those of a whole configuration.
    whole: Arc<LargeRows>,
    /// (samples) u32: 0, 1, …
    numbers: Buffer,
    /// (samples, stride)
    decode_rows: Buffer,
    /// (large rows of moves, stride)
    move_rows: Buffer,
    training: Option<Training>,
}

impl LptfSizes {
    fn width(&self) -> u32 {
        self.transformer.width
    }

    pub fn specs(&self) -> Vec<ParameterSpec> {
        let c = self.width() as usize;
        [Embedding::specs(&self.embedding), Transformer::specs(&self.transformer), self.sub.specs(c)].concat()
    }

    /// Elements of a block of the widest gradient over rows of large patches.
    fn part_width(&self, gpu: &Gpu, precision: Precision) -> u64 {
        Transformer::needs(gpu, &self.transformer, precision)
            .training_block
            .max(Embedding::part_width(&self.embedding))
            .max(self.sub.part_width(self.width()))
    }

    pub fn needs(&self, gpu: &Gpu, precision: Precision) -> Needs {
        let large = Transformer::needs(gpu, &self.transformer, precision);
        let sub = self.sub.needs(gpu, &self.nested, self.width(), precision);
        let [l, s, stride, p, t] = [
            self.nested.large_patches(),
            self.nested.sub_patches,
            self.nested.stride(),
            self.nested.sites(),
            self.nested.patches,
        ]
        .map(u64::from);
        let with = |[all, widest]: [u64; 2], [more, wide]: [u64; 2]| [all + more, widest.max(wide)];
        let large_row = [large.move_row[0] + stride, large.move_row[1].max(stride)];
        let tables = p + 4 * l + LargeRows::elements(l, t) + Embedding::fixed(&self.embedding);
        Needs {
            sample: with(with(sub.sample, large.sample), [stride + 1, stride]),
            // At most one row in S is that of a large patch; but there is one.
            move_row: with(sub.move_row, large_row.map(|elements| elements.div_ceil(s))),
            hidden_row: sub.hidden_row + large.hidden_row,
            training_sample: with(with(sub.training_sample, large.training_sample), [l * stride; 2]),
            training_block: sub.training_block + self.part_width(gpu, precision),
            fixed: sub.fixed + large.fixed + tables + large_row[0],
        }
    }
}

impl LptfNetwork {
    pub fn new(
        gpu: &Gpu,
        sizes: LptfSizes,
        tables: &LptfTables,
        parameters: &Parameters,
        capacity: Capacity,
    ) -> Result<Self> {
        let LptfSizes { embedding, transformer, nested, sub } = sizes;
        let (l, stride) = (nested.large_patches(), nested.stride());
        let large_rows = Capacity { move_rows: (capacity.move_rows / nested.sub_patches).max(1), ..capacity };
        let buffer =
            |name: &str, rows: u32| gpu.buffer(&format!("ketformer.large.{name}"), u64::from(rows) * u64::from(stride));
        let training = || {
            let blocks = u64::from(linear::blocks_within(capacity.training_samples, l, nested.patches));
            let part = gpu.buffer("ketformer.large.part", blocks * sizes.part_width(gpu, parameters.precision()))?;
            Ok(Training { rows: buffer("training", capacity.training_samples * l)?, part })
        };
        let whole = Arc::new(LargeRows::new(gpu, &LargeTables::whole(nested.patches, nested.sub_patches))?);
        let told = (nested, transformer.width);
        let numbers: Vec<u32> = (0..capacity.samples).collect();
        Ok(Self {
            embedding: Embedding::new(gpu, parameters, "", &tables.position, embedding)?,
            transformer: Transformer::new(gpu, parameters, "", transformer, large_rows)?,
            sub: sub.network(gpu, parameters, told, &tables.sub_position, whole.clone(), capacity)?,
            places: gpu.upload("ketformer.large.places", &tables.places)?,
            of_samples: gpu.upload("ketformer.large.of_samples", &LargeTables::of_samples(l))?,
            numbers: gpu.upload("ketformer.large.numbers", &numbers)?,
            decode_rows: buffer("decode", capacity.samples)?,
            move_rows: buffer("moves", large_rows.move_rows)?,
            training: (capacity.training_samples > 0).then(training).transpose()?,
            samples: capacity.samples,
            whole,
            nested,
        })
    }

    fn training(&self) -> Result<&Training> {
        self.training.as_ref().ok_or_else(Transformer::no_room)
    }

    /// Samples with the tokens drawn.
    fn samples(&self, sample_of: View, tokens: &View) -> Option<Samples> {
        Some(Samples { sample_of, values: tokens.clone(), count: self.samples })
    }

    /// The embedded large patches of `window`; `packed` are the rows of sub-patches that they are made of.
    fn embed(
        &self,
        plan: &mut Plan,
        (samples, packed): (Option<Samples>, Option<&View>),
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
        large.record(plan, window, &self.nested)?;
        self.embedding.record(plan, rows, &window.items.times(window.per_item), x)
    }
}

impl Network for LptfNetwork {
    fn decode(&self, plan: &mut Plan, rows: &View, tokens: &View, t: u32) -> Result<()> {
        let [x, _] = self.transformer.decode_rows();
        if t.is_multiple_of(self.nested.sub_patches) {
            let large = t / self.nested.sub_patches;
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

    fn moves(&self, plan: &mut Plan, packed: &Packed) -> Result<Outcomes> {
        let large = packed.large.as_ref().ok_or_else(|| {
            let message = "packed rows of sub-patches come without those of their large patches; give both";
            Error::new(ErrorKind::Shape, message)
        })?;
        let [x, _] = self.transformer.move_rows();
        if large.per_item > 0 {
            let window = LargeWindow {
                items: packed.items.clone(),
                first_item: packed.first_item,
                per_item: large.per_item,
                first_entry: 0,
                packed_per_item: packed.rows_per_item,
            };
            let samples = self.samples(packed.sample_of.clone(), &packed.tokens);
            let from = (samples, Some(&packed.descriptions));
            self.embed(plan, from, (&large.rows, &window), [&self.move_rows, &x])?;
            let rows = Packed {
                descriptions: self.move_rows.view(),
                rows_per_item: large.per_item,
                row_table: large.row_table.view(),
                large: None,
                ..packed.clone()
            };
            self.transformer.moves(plan, &rows)?;
        }
        self.sub.moves(plan, packed, large, &x)
    }

    fn forward(&self, plan: &mut Plan, descriptions: &View, rows: &Rows) -> Result<Outcomes> {
        let (transformer, Training { rows: large, .. }) = (self.transformer.training()?, self.training()?);
        let window = LargeWindow {
            items: rows.items(self.nested.patches),
            first_item: 0,
            per_item: self.nested.large_patches(),
            first_entry: 0,
            packed_per_item: self.nested.patches,
        };
        let from = (None, Some(descriptions));
        self.embed(plan, from, (&self.whole.rows, &window), [large, &transformer.embedded()])?;
        transformer.forward(&self.transformer, plan, &rows.items(self.nested.sub_patches))?;
        self.sub.forward(plan, descriptions, rows, &transformer.top())
    }

    fn backward(&self, plan: &mut Plan, descriptions: &View, rows: &Rows, into: GradientInto<'_>) -> Result<()> {
        let (transformer, Training { rows: large, part }) = (self.transformer.training()?, self.training()?);
        let large_rows = rows.items(self.nested.sub_patches);
        let reversed = Reversed { rows: &large_rows, part: part.view(), into };
        let conditions = [&transformer.top(), &transformer.d_top()];
        self.sub.backward(plan, descriptions, rows, &reversed, conditions)?;
        transformer.backward(&self.transformer, plan, &reversed)?;
        self.embedding.backward(plan, large, &transformer.d_embedded(), &reversed)
    }

    fn attention(&self, plan: &mut Plan, samples: u32, layers: &[View]) -> Result<()> {
        self.transformer.training()?.attention_weights(&self.transformer, plan, samples, layers)
    }
}
