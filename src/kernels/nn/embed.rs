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
use crate::gpu::{Cost, DynamicRows, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, linear, record};

static FORWARD: Kernel = kernel!("nn", "embed_forward");
static GRADIENT: Kernel = kernel!("nn", "embed_gradient");
static TABLE: Kernel = kernel!("nn", "embed_table_gradient");

pub(crate) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "x = tanh(W patch + b) + position", cases: forward_cases };
pub(crate) const GRADIENT_ENTRY: Entry =
    Entry { kernel: &GRADIENT, summary: "d_W, d_b of the embedding, by blocks of rows", cases: gradient_cases };
pub(crate) const TABLE_ENTRY: Entry =
    Entry { kernel: &TABLE, summary: "gradient of a position table, by blocks of rows", cases: table_cases };

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
    /// Scratch of [`EmbedShape::part_elements`] floats.
    pub part: View,
    /// (C, P)
    pub d_weight: View,
    /// (C)
    pub d_bias: View,
}

impl EmbedShape {
    /// Number of scratch floats that the gradient needs.
    pub fn part_elements(&self) -> u64 {
        u64::from(linear::blocks(&self.rows)) * u64::from(self.width) * u64::from(self.sites_per_patch + 1)
    }
}

impl EmbedGradient {
    /// Records the gradient.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &EmbedShape, into: linear::GradientInto<'_>) -> Result<()> {
        let sum = linear::GradientSum {
            part: self.part.clone(),
            d_weight: self.d_weight.clone(),
            d_bias: self.d_bias.clone(),
        };
        let elements = [shape.width * shape.sites_per_patch, shape.width];
        sum.record(plan, (&shape.rows, elements), into, &|plan, part| self.record_blocks(plan, shape, part))
    }

    fn record_blocks(&self, plan: &mut Plan, shape: &EmbedShape, part: &View) -> Result<()> {
        let (rows, c, p) = (u64::from(shape.rows.capacity), u64::from(shape.width), u64::from(shape.sites_per_patch));
        let (counter, first_item, rows_per_item) = shape.rows.counter(plan.gpu())?;
        let blocks = linear::blocks(&shape.rows);
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
                part[shape.part_elements()]
            ),
            params: &[
                ("rows", shape.rows.capacity.into()),
                ("width", shape.width.into()),
                ("sites", shape.sites_per_patch.into()),
                ("stride", shape.stride.into()),
                ("d_stride", self.d_stride.into()),
                ("patches", shape.patches.into()),
                ("blocks", blocks.into()),
                ("block_rows", linear::block_rows_of(&shape.rows).into()),
                ("first_item", first_item.into()),
                ("rows_per_item", rows_per_item.into()),
            ],
            groups: shape.rows.groups_of_all((u64::from(blocks) * parts * c).div_ceil(64)),
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
        /// Scratch of `table`·C floats per block of rows.
        pub part: View,
        /// (table, C)
        pub d_table: View,
    }
}

impl TableGradient {
    /// Records the gradient of the first `table` positions.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(
        &self,
        plan: &mut Plan,
        shape: &EmbedShape,
        table: u32,
        into: linear::GradientInto<'_>,
    ) -> Result<()> {
        // The table has no bias; the buffer bound for it is not written.
        let (part, d_weight, d_bias) = (self.part.clone(), self.d_table.clone(), self.d_x.clone());
        let blocks = |plan: &mut Plan, part: &View| self.record_blocks(plan, shape, table, part);
        let elements = [table * shape.width, 0];
        linear::GradientSum { part, d_weight, d_bias }.record(plan, (&shape.rows, elements), into, &blocks)
    }

    fn record_blocks(&self, plan: &mut Plan, shape: &EmbedShape, table: u32, part: &View) -> Result<()> {
        let (rows, c) = (u64::from(shape.rows.capacity), u64::from(shape.width));
        let (counter, first_item, rows_per_item) = shape.rows.counter(plan.gpu())?;
        let blocks = linear::blocks(&shape.rows);
        let elements = u64::from(blocks) * u64::from(table) * c;
        plan.launch(&Launch {
            kernel: &TABLE,
            spec: &[],
            bindings: &bind!(self.d_x[rows * c], live = counter[1], part[elements]),
            params: &[
                ("rows", shape.rows.capacity.into()),
                ("width", shape.width.into()),
                ("blocks", blocks.into()),
                ("block_rows", linear::block_rows_of(&shape.rows).into()),
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

/// Random metadata of `count` rows over `patches` positions and 2^P tokens.
pub(crate) fn random_rows(random: &mut RandomInputs, count: usize, patches: u32, sites_per_patch: u32) -> Vec<u32> {
    let tokens = random.integers(count, 1 << sites_per_patch);
    let positions = random.integers(count, patches);
    let targets = random.integers(count, 1 << sites_per_patch);
    (0..count).flat_map(|r| [tokens[r], positions[r], targets[r], 0]).collect()
}

/// Random row metadata for patches of any size, and its stride. Patches of at most 12 sites are stored as tokens.
fn random_descriptions(random: &mut RandomInputs, count: u32, patches: u32, sites_per_patch: u32) -> (Vec<u32>, u32) {
    let words = words(sites_per_patch);
    if sites_per_patch <= 12 {
        return (random_rows(random, count as usize, patches, sites_per_patch), 4);
    }
    let bits: Vec<u32> = (0..words)
        .map(|word| if sites_per_patch >= 32 * (word + 1) { u32::MAX } else { (1 << (sites_per_patch % 32)) - 1 })
        .collect();
    let positions = random.integers(count as usize, patches);
    let row = |p: u32| bits.iter().map(|mask| random.integers(1, u32::MAX)[0] & mask).chain([p]).collect::<Vec<_>>();
    (positions.into_iter().flat_map(row).collect(), words + 1)
}

/// Rows, C, P, T.
const SHAPES: [(u32, u32, u32, u32); 10] = [
    (1, 4, 1, 1),
    (8, 32, 4, 4),
    (7, 20, 3, 5),
    (1025, 36, 4, 9),
    (130, 128, 12, 16),
    (70_000, 4, 2, 3),
    (9, 12, 16, 4),
    (33, 8, 37, 3),
    (600, 4, 64, 2),
    (600, 4, 256, 1),
];

/// Cases of every shape without and with a start vector.
fn both(case: fn((u32, u32, u32, u32), bool) -> Case) -> Vec<Case> {
    SHAPES.into_iter().flat_map(|shape| [false, true].map(|has_start| case(shape, has_start))).collect()
}

fn forward_cases(_: &Gpu) -> Vec<Case> {
    both(forward_case)
}

fn forward_case((rows, width, p, patches): (u32, u32, u32, u32), has_start: bool) -> Case {
    let mut random = RandomInputs::new(u64::from(rows + width));
    // Positions of two sequences.
    let (row_meta, stride) = random_descriptions(&mut random, rows, 2 * patches, p);
    let (weight, bias) = (random.floats((width * p) as usize), random.floats(width as usize));
    let position = random.floats((patches * width) as usize);
    let start = random.floats(width as usize);
    let sizes = [p as usize, stride as usize];
    let x = forward_reference(&row_meta, &weight, &bias, &position, has_start.then_some(&start[..]), sizes);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let mut embed = EmbedForward::from_case(buffers)?;
        embed.start = embed.start.filter(|_| has_start);
        embed.record(plan, &EmbedShape { rows: rows.into(), width, sites_per_patch: p, patches, stride })
    };
    Case {
        name: format!("({rows}, {width}, {p}) start {has_start}"),
        inputs: vec![
            ("start", start.into()),
            ("rows", row_meta.into()),
            ("weight", weight.into()),
            ("bias", bias.into()),
            ("position", position.into()),
        ],
        outputs: vec![("x", Expected::Near { values: x, tolerance: 1e-6 * (1.0 + f64::from(p) / 64.0) })],
        record: Box::new(record),
    }
}

fn gradient_cases(_: &Gpu) -> Vec<Case> {
    let of = |tanh, has_start| SHAPES.into_iter().map(move |shape| gradient_case(shape, tanh, has_start));
    of(true, false).chain(of(true, true)).chain(of(false, false)).collect()
}

/// Gradient case. Without tanh, rows of d_x have three elements of padding.
fn gradient_case((rows, width, p, patches): (u32, u32, u32, u32), tanh: bool, has_start: bool) -> Case {
    let d_stride = if tanh { width } else { width + 3 };
    let live = rows - rows / 3;
    let mut random = RandomInputs::new(u64::from(rows + width));
    // Positions of two sequences.
    let (row_meta, stride) = random_descriptions(&mut random, rows, 2 * patches, p);
    let (weight, bias) = (random.floats((width * p) as usize), random.floats(width as usize));
    let d_x = random.floats((rows * d_stride) as usize);
    let dense: Vec<f32> = d_x.chunks(d_stride as usize).flat_map(|row| &row[..width as usize]).copied().collect();
    let mut part = Vec::new();
    let block_rows = linear::block_rows(1);
    for block in 0..rows.div_ceil(block_rows) {
        let first = (block * block_rows).min(live) as usize;
        let end = ((block + 1) * block_rows).min(live) as usize;
        let words = stride as usize;
        let (rows, d_x) = (&row_meta[words * first..words * end], &dense[first * width as usize..]);
        let tanh_of = tanh.then_some([&weight[..], &bias[..]]);
        let sizes = [p as usize, words, patches as usize];
        let (d_weight, d_bias) = gradient_reference(rows, tanh_of, has_start, d_x, width as usize, sizes);
        part.extend(d_weight);
        part.extend(d_bias);
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let [rows_view, d_x, part] = buffers.views(["rows", "d_x", "part"])?;
        let window = DynamicRows::new(buffers.view("live")?, 2, rows, 1);
        plan.write_indirect_args(&window.live)?;
        let gradient = EmbedGradient {
            rows: rows_view,
            tanh_of: tanh.then(|| buffers.views(["weight", "bias"])).transpose()?,
            has_start,
            d_x,
            d_stride,
            part: part.clone(),
            d_weight: part.clone(),
            d_bias: part.clone(),
        };
        let shape = EmbedShape { rows: window.into(), width, sites_per_patch: p, patches, stride };
        gradient.record_blocks(plan, &shape, &part)
    };
    Case {
        name: format!("({rows}, {width}, {p}) tanh {tanh}, start {has_start}, {live} live rows"),
        inputs: vec![
            ("rows", row_meta.into()),
            ("weight", weight.into()),
            ("bias", bias.into()),
            ("d_x", d_x.into()),
            ("live", vec![live + 2].into()),
        ],
        outputs: vec![("part", Expected::Near { values: part, tolerance: 3e-6 })],
        record: Box::new(record),
    }
}

fn table_cases(_: &Gpu) -> Vec<Case> {
    let shapes =
        [(1, 4, 1, 1), (64, 8, 16, 16), (35, 20, 5, 1), (1040, 36, 13, 13), (2000, 4, 1000, 1000), (70_000, 4, 2, 1)];
    shapes.into_iter().map(table_case).collect()
}

/// Table gradient of complete samples. A third of the samples is beyond the dynamic count, and some blocks begin within
/// a sample.
fn table_case((rows, width, patches, table): (u32, u32, u32, u32)) -> Case {
    let items = rows / patches;
    let live = items - items / 3;
    let d_x = RandomInputs::new(u64::from(rows + width)).floats((rows * width) as usize);
    let block_rows = linear::block_rows(patches);
    let blocks = rows.div_ceil(block_rows);
    let mut part = vec![0.0; (blocks * table * width) as usize];
    for row in (0..live * patches).filter(|row| row % patches < table) {
        for c in 0..width {
            let at = (row / block_rows * table + row % patches) * width + c;
            part[at as usize] += f64::from(d_x[(row * width + c) as usize]);
        }
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let window = DynamicRows::new(buffers.view("live")?, 2, items, patches);
        plan.write_indirect_args(&window.live)?;
        let gradient = TableGradient::from_case(&buffers.standing_in("part")?)?;
        let shape = EmbedShape { rows: window.into(), width, sites_per_patch: 1, patches, stride: 4 };
        gradient.record_blocks(plan, &shape, table, &gradient.part)
    };
    Case {
        name: format!("({rows}, {width}) of {patches} positions to {table}, {live} live samples"),
        inputs: vec![("d_x", d_x.into()), ("live", vec![live + 2].into())],
        outputs: vec![("part", Expected::Near { values: part, tolerance: 3e-6 })],
        record: Box::new(record),
    }
}
