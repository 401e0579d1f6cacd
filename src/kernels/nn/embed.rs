//! Patch embedding: a tanh layer on the preceding patch plus a positional encoding.
//!
//! ```text
//! x[r, c] = tanh( Σ_j bit_j(row r) W[c, j] + b[c] ) + position[p_r, c]
//! ```
//!
//! All passes (decoding, teacher-forced, connected configurations) use the same row metadata, so that one kernel embeds
//! all rows: the bits of the preceding patch, 32 per u32, and the position. A patch that fits into one token has
//! (preceding token, position, target token, occupied). Positions are taken modulo T, for sequences of T patches. At
//! the start of a sequence the preceding patch counts as empty; an optional trained start vector replaces the tanh
//! there. The position table may be trained too. Source: the tokenizer in the public code of arXiv:2306.03921.

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Cost, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::linear::{self, Columns, GradientSums};
use crate::kernels::{kernel, record};

pub(super) static FORWARD: Kernel = kernel!("nn", "embed_forward");
pub(super) static GRADIENT: Kernel = kernel!("nn", "embed_gradient");
pub(super) static TABLE: Kernel = kernel!("nn", "embed_table_gradient");

/// Shape of the embedding.
#[derive(Debug, Clone)]
pub struct EmbedShape {
    /// Rows to embed.
    pub rows: Rows,
    /// Width C.
    pub width: u32,
    /// Sites per patch P.
    pub sites_per_patch: u32,
    /// Patches per sequence T, the number of rows of the position table. Positions are taken modulo T.
    pub patches: u32,
    /// u32 words per row of metadata, at least those of the bits and of the position.
    pub stride: u32,
}

/// Number of u32 words that hold the bits of a patch.
pub fn words(sites_per_patch: u32) -> u32 {
    sites_per_patch.div_ceil(32)
}

/// Maximum number of bits per invocation of the gradient.
const MOST_BITS: u32 = 16;

record! {
    /// Forward pass of the embedding, see the module documentation.
    #[derive(Debug, Clone)]
    pub struct EmbedForward {
        /// (rows, stride) u32: bits, position
        pub rows: View,
        /// (C, P)
        pub weight: View,
        /// (C)
        pub bias: View,
        /// (T, C)
        pub position: View,
        /// (C): optional replacement for the tanh layer at position 0
        pub start: Option<View>,
        /// (rows, C)
        pub x: View,
    }
}

impl EmbedForward {
    /// Records the embedding.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if the width is not a positive multiple of 4; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &EmbedShape) -> Result<()> {
        let (rows, c, p) = (u64::from(shape.rows.capacity), u64::from(shape.width), u64::from(shape.sites_per_patch));
        if !c.is_multiple_of(4) || c == 0 {
            let message = format!("{}: expected a width that is a multiple of 4, got {c}", FORWARD.name);
            return Err(Error::new(ErrorKind::Shape, message));
        }
        // More rows per invocation save weight loads, which are expensive on software adapters. GPUs need many
        // invocations.
        let tile = if plan.gpu().is_software() { 4 } else { 2 };
        let columns = c / 4;
        let groups = match shape.rows.live {
            None => crate::gpu::Groups::Fixed((rows.div_ceil(tile) * columns).div_ceil(64)),
            Some(_) if columns <= 64 => shape.rows.groups((tile * (64 / columns)) as u32, 1),
            Some(_) => shape.rows.groups(tile as u32, columns.div_ceil(64)),
        };
        let start = self.start.as_ref().unwrap_or(&self.bias);
        plan.launch(&Launch {
            kernel: &FORWARD,
            spec: &[("START", self.start.is_some().into()), ("ROWS", tile as u32)],
            bindings: &bind!(
                self.rows[rows * u64::from(shape.stride)],
                self.weight[c * p],
                self.bias[c],
                self.position[u64::from(shape.patches) * c],
                start[c],
                self.x[rows * c]
            ),
            params: &[
                ("rows", shape.rows.capacity.into()),
                ("width", shape.width.into()),
                ("sites", shape.sites_per_patch.into()),
                ("stride", shape.stride.into()),
                ("patches", shape.patches.into()),
            ],
            groups,
            cost: Cost { flops: (rows * c * (p + 2)) as f64, bytes: 4.0 * (rows * (c + 4)) as f64 },
            shape: format!("({rows}, {c}, {p})"),
        })
    }
}

/// Gradient of the weight and bias of the embedding.
#[derive(Debug, Clone)]
pub struct EmbedGradient {
    /// (rows, stride) u32: bits, position
    pub rows: View,
    /// Weight (C, P) and bias (C) of the layer; `None` for a layer without tanh, x = W patch + b.
    pub tanh_of: Option<[View; 2]>,
    /// Whether a start vector replaces the layer at the start of a sequence. These rows then have no gradient.
    pub has_start: bool,
    /// (rows, C), with a row stride of `d_stride`
    pub d_x: View,
    /// Row stride of `d_x` in elements.
    pub d_stride: u32,
    /// (C, P)
    pub d_weight: View,
    /// (C)
    pub d_bias: View,
}

impl EmbedShape {
    /// Number of scratch floats that the gradient needs.
    pub fn part_elements(&self, gpu: &Gpu) -> u64 {
        u64::from(self.parts(gpu).count) * self.floats()
    }

    /// Number of floats of the gradient.
    fn floats(&self) -> u64 {
        u64::from(self.width) * u64::from(self.sites_per_patch + 1)
    }

    fn parts(&self, gpu: &Gpu) -> linear::Parts {
        linear::Parts::new(gpu, &self.rows, self.floats())
    }
}

impl EmbedGradient {
    /// Records the gradient. The scratch of `sums` must hold [`EmbedShape::part_elements`] floats.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &EmbedShape, sums: &GradientSums<'_>) -> Result<()> {
        let columns = Columns {
            rows: &shape.rows,
            into: [Some(&self.d_weight), Some(&self.d_bias)],
            elements: [shape.width * shape.sites_per_patch, shape.width],
        };
        let parts = shape.parts(plan.gpu());
        sums.record(plan, &columns, parts, &|plan, part| self.record_blocks(plan, shape, parts, part))
    }

    pub(super) fn record_blocks(
        &self,
        plan: &mut Plan,
        shape: &EmbedShape,
        divided: linear::Parts,
        part: &View,
    ) -> Result<()> {
        let (rows, c, p) = (u64::from(shape.rows.capacity), u64::from(shape.width), u64::from(shape.sites_per_patch));
        let (counter, first_item, rows_per_item) = shape.rows.counter(plan.gpu())?;
        let bits = shape.sites_per_patch.min(MOST_BITS);
        let parts = u64::from(shape.sites_per_patch.div_ceil(bits));
        let d_elements = rows.saturating_sub(1) * u64::from(self.d_stride) + c;
        // Placeholder for an absent binding.
        let (weight, bias, weights) = match &self.tanh_of {
            Some([weight, bias]) => (weight, bias, [c * p, c]),
            None => (&self.d_x, &self.d_x, [4.min(d_elements); 2]),
        };
        plan.launch(&Launch {
            kernel: &GRADIENT,
            spec: &[("BITS", bits), ("TANH", self.tanh_of.is_some().into()), ("START", self.has_start.into())],
            bindings: &bind!(
                self.rows[rows * u64::from(shape.stride)],
                weight[weights[0]],
                bias[weights[1]],
                self.d_x[d_elements],
                live = counter[1],
                part[u64::from(divided.count) * shape.floats()]
            ),
            params: &[
                ("rows", shape.rows.capacity.into()),
                ("width", shape.width.into()),
                ("sites", shape.sites_per_patch.into()),
                ("stride", shape.stride.into()),
                ("d_stride", self.d_stride.into()),
                ("patches", shape.patches.into()),
                ("blocks", divided.count.into()),
                ("block_rows", divided.rows.into()),
                ("first_item", first_item.into()),
                ("rows_per_item", rows_per_item.into()),
            ],
            groups: shape.rows.groups_of_all((u64::from(divided.count) * parts * c).div_ceil(64)),
            cost: Cost { flops: (rows * c * (2 * p + 4)) as f64, bytes: 4.0 * (rows * (c + 4)) as f64 },
            shape: format!("({rows}, {c}, {p})"),
        })
    }
}

record! {
    /// Gradient of a table that is added to embedded rows by position, or of its first row only. Row r has position r
    /// mod T.
    #[derive(Debug, Clone)]
    pub struct TableGradient {
        /// (rows, C)
        pub d_x: View,
        /// (table, C)
        pub d_table: View,
    }
}

impl TableGradient {
    /// Records the gradient of the first `table` positions. The scratch of `sums` must hold `table`·C floats per block
    /// of rows, or part of a block.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &EmbedShape, table: u32, sums: &GradientSums<'_>) -> Result<()> {
        let elements = [table * shape.width, 0];
        let columns = Columns { rows: &shape.rows, into: [Some(&self.d_table), None], elements };
        let parts = linear::Parts::new(plan.gpu(), &shape.rows, elements[0].into());
        sums.record(plan, &columns, parts, &|plan, part| self.record_blocks(plan, shape, table, parts, part))
    }

    pub(super) fn record_blocks(
        &self,
        plan: &mut Plan,
        shape: &EmbedShape,
        table: u32,
        parts: linear::Parts,
        part: &View,
    ) -> Result<()> {
        let (rows, c) = (u64::from(shape.rows.capacity), u64::from(shape.width));
        let (counter, first_item, rows_per_item) = shape.rows.counter(plan.gpu())?;
        let elements = u64::from(parts.count) * u64::from(table) * c;
        plan.launch(&Launch {
            kernel: &TABLE,
            spec: &[],
            bindings: &bind!(self.d_x[rows * c], live = counter[1], part[elements]),
            params: &[
                ("rows", shape.rows.capacity.into()),
                ("width", shape.width.into()),
                ("blocks", parts.count.into()),
                ("block_rows", parts.rows.into()),
                ("first_item", first_item.into()),
                ("rows_per_item", rows_per_item.into()),
                ("patches", shape.patches.into()),
                ("table", table.into()),
            ],
            groups: shape.rows.groups_of_all(elements.div_ceil(64)),
            cost: Cost { flops: (rows * c) as f64, bytes: 4.0 * (rows * c + elements) as f64 },
            shape: format!("({rows}, {c}) to {table}"),
        })
    }
}

/// x (rows, C) in f64. Rows have `stride` words; sequences have as many patches as `position` has rows.
pub fn forward_reference(
    rows: &[u32],
    weight: &[f32],
    bias: &[f32],
    position: &[f32],
    start: Option<&[f32]>,
    [sites_per_patch, stride]: [usize; 2],
) -> Vec<f64> {
    let c = bias.len();
    let patches = position.len() / c;
    let embed = |row: &[u32], channel: usize| {
        let (row, p) = placed(row, sites_per_patch, patches);
        let value = match start {
            Some(start) if p == 0 => f64::from(start[channel]),
            _ => embedded(&row, weight, bias, sites_per_patch, channel),
        };
        value + f64::from(position[p * c + channel])
    };
    rows.chunks(stride).flat_map(|row| (0..c).map(move |channel| embed(row, channel))).collect()
}

/// Returns the bits of a row and its position within its sequence. All bits are 0 at position 0.
fn placed(row: &[u32], sites_per_patch: usize, patches: usize) -> (Vec<u32>, usize) {
    let at = words(sites_per_patch as u32) as usize;
    let p = row[at] as usize % patches;
    (row[..at].iter().map(|bits| if p == 0 { 0 } else { *bits }).collect(), p)
}

fn bit(row: &[u32], j: usize) -> bool {
    row[j / 32] >> (j % 32) & 1 == 1
}

fn embedded(row: &[u32], weight: &[f32], bias: &[f32], sites_per_patch: usize, channel: usize) -> f64 {
    let set = (0..sites_per_patch).filter(|j| bit(row, *j));
    let sum: f64 = set.map(|j| f64::from(weight[channel * sites_per_patch + j])).sum();
    (sum + f64::from(bias[channel])).tanh()
}

/// d_W (C, P) and d_b (C) in f64, summed over all rows. Rows have `stride` words and sequences have `patches` patches.
/// With `has_start`, rows at the start of a sequence are skipped. `tanh_of` is `None` for a layer without tanh. `d_x`
/// is (rows, `c`).
pub fn gradient_reference(
    rows: &[u32],
    tanh_of: Option<[&[f32]; 2]>,
    has_start: bool,
    d_x: &[f32],
    c: usize,
    [sites_per_patch, stride, patches]: [usize; 3],
) -> (Vec<f64>, Vec<f64>) {
    let (mut d_weight, mut d_bias) = (vec![0.0; c * sites_per_patch], vec![0.0; c]);
    for (r, row) in rows.chunks(stride).enumerate() {
        let (row, p) = placed(row, sites_per_patch, patches);
        if has_start && p == 0 {
            continue;
        }
        for channel in 0..c {
            let value = tanh_of.map(|[weight, bias]| embedded(&row, weight, bias, sites_per_patch, channel));
            let dz = f64::from(d_x[r * c + channel]) * value.map_or(1.0, |value| 1.0 - value * value);
            d_bias[channel] += dz;
            for j in (0..sites_per_patch).filter(|j| bit(&row, *j)) {
                d_weight[channel * sites_per_patch + j] += dz;
            }
        }
    }
    (d_weight, d_bias)
}
