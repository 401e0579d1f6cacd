//! Patch embedding: the patch before each position through a tanh layer, plus the position.
//!
//! ```text
//! x[r, c] = tanh( Σ_j bit_j(token_r) W[c, j] + b[c] ) + position[p_r, c]
//! ```
//!
//! A start that is trained stands in place of the tanh at position 0. A table of positions may be trained as well.
//!
//! Every pass (decoding, teacher-forced, moves) describes its rows as (token before, position, target token, 0), so
//! that one kernel embeds them all. Source: the tokeniser of arXiv:2306.03921's public code.

use super::{Case, Entry, Expected, Named, RandomInputs, kernel, linear};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, LiveRows, Plan, Rows, View};

static FORWARD: Kernel = kernel!("embed_forward");
static GRADIENT: Kernel = kernel!("embed_gradient");
static TABLE: Kernel = kernel!("embed_table_gradient");

pub(super) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "x = tanh(W patch + b) + position", cases: forward_cases };
pub(super) const GRADIENT_ENTRY: Entry =
    Entry { kernel: &GRADIENT, summary: "d_W, d_b of the embedding, by blocks of rows", cases: gradient_cases };
pub(super) const TABLE_ENTRY: Entry =
    Entry { kernel: &TABLE, summary: "gradient of a table by positions, by blocks of rows", cases: table_cases };

/// Shape of the embedding.
#[derive(Debug, Clone)]
pub struct EmbedShape {
    /// Rows to embed.
    pub rows: Rows,
    /// Width C.
    pub width: u32,
    /// Sites per patch P.
    pub sites_per_patch: u32,
    /// Patches T, the rows of the position table.
    pub patches: u32,
}

/// The embedding, see the module's page.
#[derive(Debug, Clone)]
pub struct EmbedForward {
    /// (rows) of four u32: token, position, target, 0
    pub rows: View,
    /// (C, P)
    pub weight: View,
    /// (C)
    pub bias: View,
    /// (T, C)
    pub position: View,
    /// (C), what stands at position 0 in place of the embedding, where there is such
    pub start: Option<View>,
    /// (rows, C)
    pub x: View,
}

impl EmbedForward {
    /// Records the embedding.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &EmbedShape) -> Result<()> {
        let (rows, c, p) = (u64::from(shape.rows.most), u64::from(shape.width), u64::from(shape.sites_per_patch));
        // ⌈rows / 8⌉ · C invocations: 64 blocks of 8 rows make C whole workgroups.
        let groups = match shape.rows.live {
            None => crate::gpu::Groups::Fixed((rows.div_ceil(8) * c).div_ceil(64)),
            Some(_) => shape.rows.groups(8, c.div_ceil(64)),
        };
        plan.launch(&Launch {
            kernel: &FORWARD,
            spec: &[("PATCH", shape.sites_per_patch), ("START", self.start.is_some().into())],
            bindings: &[
                Bind { name: "rows", view: &self.rows, elements: rows * 4 },
                Bind { name: "weight", view: &self.weight, elements: c * p },
                Bind { name: "bias", view: &self.bias, elements: c },
                Bind { name: "position", view: &self.position, elements: u64::from(shape.patches) * c },
                Bind { name: "start", view: self.start.as_ref().unwrap_or(&self.bias), elements: c },
                Bind { name: "x", view: &self.x, elements: rows * c },
            ],
            params: &[("rows", shape.rows.most.into()), ("width", shape.width.into())],
            groups,
            cost: Cost { flops: (rows * c * (p + 2)) as f64, bytes: 4.0 * (rows * (c + 4)) as f64 },
            shape: format!("({rows}, {c}, {p})"),
        })
    }
}

/// The gradient of the embedding's weight and bias.
#[derive(Debug, Clone)]
pub struct EmbedGradient {
    /// (rows) of four u32: token, position, target, 0
    pub rows: View,
    /// (C, P)
    pub weight: View,
    /// (C)
    pub bias: View,
    /// Whether something else stands at position 0, where this has no gradient then.
    pub has_start: bool,
    /// (rows, C)
    pub d_x: View,
    /// Scratch of [`EmbedShape::part_elements`] floats.
    pub part: View,
    /// (C, P)
    pub d_weight: View,
    /// (C)
    pub d_bias: View,
}

impl EmbedShape {
    /// Floats of scratch that the gradient needs.
    pub fn part_elements(&self) -> u64 {
        u64::from(linear::blocks(&self.rows)) * u64::from(self.width) * u64::from(self.sites_per_patch + 1)
    }
}

impl EmbedGradient {
    /// Records the gradient; `keep` adds it to what is there.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &EmbedShape, keep: bool) -> Result<()> {
        self.record_blocks(plan, shape)?;
        let sum = linear::GradientSum {
            part: self.part.clone(),
            d_weight: self.d_weight.clone(),
            d_bias: self.d_bias.clone(),
        };
        sum.record(plan, &shape.rows, shape.width * shape.sites_per_patch, shape.width, keep)
    }

    fn record_blocks(&self, plan: &mut Plan, shape: &EmbedShape) -> Result<()> {
        let (rows, c, p) = (u64::from(shape.rows.most), u64::from(shape.width), u64::from(shape.sites_per_patch));
        let (counter, first_item, rows_per_item) = shape.rows.counter(plan.gpu())?;
        let blocks = linear::blocks(&shape.rows);
        plan.launch(&Launch {
            kernel: &GRADIENT,
            spec: &[("PATCH", shape.sites_per_patch), ("START", self.has_start.into())],
            bindings: &[
                Bind { name: "rows", view: &self.rows, elements: rows * 4 },
                Bind { name: "weight", view: &self.weight, elements: c * p },
                Bind { name: "bias", view: &self.bias, elements: c },
                Bind { name: "d_x", view: &self.d_x, elements: rows * c },
                Bind { name: "live", view: &counter, elements: 1 },
                Bind { name: "part", view: &self.part, elements: shape.part_elements() },
            ],
            params: &[
                ("rows", shape.rows.most.into()),
                ("width", shape.width.into()),
                ("blocks", blocks.into()),
                ("block_rows", linear::block_rows_of(&shape.rows).into()),
                ("first_item", first_item.into()),
                ("rows_per_item", rows_per_item.into()),
            ],
            groups: shape.rows.groups_of_all((u64::from(blocks) * c).div_ceil(64)),
            cost: Cost { flops: (rows * c * (2 * p + 4)) as f64, bytes: 4.0 * (rows * (c + 4)) as f64 },
            shape: format!("({rows}, {c}, {p})"),
        })
    }
}

/// The gradient of a table that is added to embedded rows by their position, or of its first row alone. Row r is
/// position r mod T of its sample.
#[derive(Debug, Clone)]
pub struct TableGradient {
    /// (rows, C)
    pub d_x: View,
    /// Scratch of `table`·C floats for each block of rows.
    pub part: View,
    /// (table, C)
    pub d_table: View,
}

impl TableGradient {
    /// Records the gradient of `table` rows, which are the first positions; `keep` adds it to what is there.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &EmbedShape, table: u32, keep: bool) -> Result<()> {
        self.record_blocks(plan, shape, table)?;
        // There are no columns beside the table; what is bound for them stays as it is.
        let (part, d_weight, d_bias) = (self.part.clone(), self.d_table.clone(), self.d_x.clone());
        linear::GradientSum { part, d_weight, d_bias }.record(plan, &shape.rows, table * shape.width, 0, keep)
    }

    fn record_blocks(&self, plan: &mut Plan, shape: &EmbedShape, table: u32) -> Result<()> {
        let (rows, c) = (u64::from(shape.rows.most), u64::from(shape.width));
        let (counter, first_item, rows_per_item) = shape.rows.counter(plan.gpu())?;
        let blocks = linear::blocks(&shape.rows);
        let part = u64::from(blocks) * u64::from(table) * c;
        plan.launch(&Launch {
            kernel: &TABLE,
            spec: &[],
            bindings: &[
                Bind { name: "d_x", view: &self.d_x, elements: rows * c },
                Bind { name: "live", view: &counter, elements: 1 },
                Bind { name: "part", view: &self.part, elements: part },
            ],
            params: &[
                ("rows", shape.rows.most.into()),
                ("width", shape.width.into()),
                ("blocks", blocks.into()),
                ("block_rows", linear::block_rows_of(&shape.rows).into()),
                ("first_item", first_item.into()),
                ("rows_per_item", rows_per_item.into()),
                ("patches", shape.patches.into()),
                ("table", table.into()),
            ],
            groups: shape.rows.groups_of_all(part.div_ceil(64)),
            cost: Cost { flops: (rows * c) as f64, bytes: 4.0 * (rows * c + part) as f64 },
            shape: format!("({rows}, {c}) to {table}"),
        })
    }
}

/// x (rows, C) in f64.
pub fn forward_reference(
    rows: &[u32],
    weight: &[f32],
    bias: &[f32],
    position: &[f32],
    start: Option<&[f32]>,
    sites_per_patch: usize,
) -> Vec<f64> {
    let c = bias.len();
    let embed = |row: &[u32], channel: usize| {
        let value = match start {
            Some(start) if row[1] == 0 => f64::from(start[channel]),
            _ => embedded(row[0], weight, bias, sites_per_patch, channel),
        };
        value + f64::from(position[row[1] as usize * c + channel])
    };
    rows.chunks(4).flat_map(|row| (0..c).map(move |channel| embed(row, channel))).collect()
}

fn embedded(token: u32, weight: &[f32], bias: &[f32], sites_per_patch: usize, channel: usize) -> f64 {
    let set = (0..sites_per_patch).filter(|j| token >> j & 1 == 1);
    let sum: f64 = set.map(|j| f64::from(weight[channel * sites_per_patch + j])).sum();
    (sum + f64::from(bias[channel])).tanh()
}

/// (d_W (C, P), d_b (C)) in f64 over all rows given, those at position 0 only without a start.
pub fn gradient_reference(
    rows: &[u32],
    weight: &[f32],
    bias: &[f32],
    has_start: bool,
    d_x: &[f32],
    sites_per_patch: usize,
) -> (Vec<f64>, Vec<f64>) {
    let c = bias.len();
    let (mut d_weight, mut d_bias) = (vec![0.0; c * sites_per_patch], vec![0.0; c]);
    for (r, row) in rows.chunks(4).enumerate().filter(|(_, row)| !has_start || row[1] > 0) {
        for channel in 0..c {
            let value = embedded(row[0], weight, bias, sites_per_patch, channel);
            let dz = f64::from(d_x[r * c + channel]) * (1.0 - value * value);
            d_bias[channel] += dz;
            for j in (0..sites_per_patch).filter(|j| row[0] >> j & 1 == 1) {
                d_weight[channel * sites_per_patch + j] += dz;
            }
        }
    }
    (d_weight, d_bias)
}

/// Random descriptions of `count` rows over `patches` positions and 2^P tokens.
pub(crate) fn random_rows(random: &mut RandomInputs, count: usize, patches: u32, sites_per_patch: u32) -> Vec<u32> {
    let tokens = random.integers(count, 1 << sites_per_patch);
    let positions = random.integers(count, patches);
    let targets = random.integers(count, 1 << sites_per_patch);
    (0..count).flat_map(|r| [tokens[r], positions[r], targets[r], 0]).collect()
}

const SHAPES: [(u32, u32, u32, u32); 6] =
    [(1, 4, 1, 1), (8, 32, 4, 4), (7, 20, 3, 5), (1025, 36, 4, 9), (130, 128, 12, 16), (70_000, 4, 2, 3)];

/// Every shape without a start and with one.
fn both(case: fn((u32, u32, u32, u32), bool) -> Case) -> Vec<Case> {
    SHAPES.into_iter().flat_map(|shape| [false, true].map(|has_start| case(shape, has_start))).collect()
}

fn forward_cases(_: &Gpu) -> Vec<Case> {
    both(forward_case)
}

fn forward_case((rows, width, p, patches): (u32, u32, u32, u32), has_start: bool) -> Case {
    let mut random = RandomInputs::new(u64::from(rows + width));
    let descriptions = random_rows(&mut random, rows as usize, patches, p);
    let (weight, bias) = (random.floats((width * p) as usize), random.floats(width as usize));
    let position = random.floats((patches * width) as usize);
    let start = random.floats(width as usize);
    let x = forward_reference(&descriptions, &weight, &bias, &position, has_start.then_some(&start[..]), p as usize);
    let record = move |plan: &mut Plan, named: &Named| {
        let embed = EmbedForward {
            rows: named.view("rows")?,
            weight: named.view("weight")?,
            bias: named.view("bias")?,
            position: named.view("position")?,
            start: has_start.then(|| named.view("start")).transpose()?,
            x: named.view("x")?,
        };
        embed.record(plan, &EmbedShape { rows: rows.into(), width, sites_per_patch: p, patches })
    };
    Case {
        name: format!("({rows}, {width}, {p}) start {has_start}"),
        inputs: vec![
            ("start", start.into()),
            ("rows", descriptions.into()),
            ("weight", weight.into()),
            ("bias", bias.into()),
            ("position", position.into()),
        ],
        outputs: vec![("x", Expected::Near { values: x, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}

fn gradient_cases(_: &Gpu) -> Vec<Case> {
    both(gradient_case)
}

fn gradient_case((rows, width, p, patches): (u32, u32, u32, u32), has_start: bool) -> Case {
    let live = rows - rows / 3;
    let mut random = RandomInputs::new(u64::from(rows + width));
    let descriptions = random_rows(&mut random, rows as usize, patches, p);
    let (weight, bias) = (random.floats((width * p) as usize), random.floats(width as usize));
    let d_x = random.floats((rows * width) as usize);
    let mut part = Vec::new();
    let block_rows = linear::block_rows(1);
    for block in 0..rows.div_ceil(block_rows) {
        let first = (block * block_rows).min(live) as usize;
        let end = ((block + 1) * block_rows).min(live) as usize;
        let (rows, d_x) = (&descriptions[4 * first..4 * end], &d_x[first * width as usize..]);
        let (d_weight, d_bias) = gradient_reference(rows, &weight, &bias, has_start, d_x, p as usize);
        part.extend(d_weight);
        part.extend(d_bias);
    }
    let record = move |plan: &mut Plan, named: &Named| {
        let part = named.view("part")?;
        let window = LiveRows::new(named.view("live")?, 2, rows, 1);
        plan.resolve_grids(&window.live)?;
        let gradient = EmbedGradient {
            rows: named.view("rows")?,
            weight: named.view("weight")?,
            bias: named.view("bias")?,
            has_start,
            d_x: named.view("d_x")?,
            part: part.clone(),
            d_weight: part.clone(),
            d_bias: part,
        };
        gradient.record_blocks(plan, &EmbedShape { rows: window.into(), width, sites_per_patch: p, patches })
    };
    Case {
        name: format!("({rows}, {width}, {p}) start {has_start}, {live} live rows"),
        inputs: vec![
            ("rows", descriptions.into()),
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

/// Whole samples, a third of which are beyond the live count; blocks that begin within a sample among them.
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
    let record = move |plan: &mut Plan, named: &Named| {
        let part = named.view("part")?;
        let window = LiveRows::new(named.view("live")?, 2, items, patches);
        plan.resolve_grids(&window.live)?;
        let gradient = TableGradient { d_x: named.view("d_x")?, part: part.clone(), d_table: part };
        let shape = EmbedShape { rows: window.into(), width, sites_per_patch: 1, patches };
        gradient.record_blocks(plan, &shape, table)
    };
    Case {
        name: format!("({rows}, {width}) of {patches} positions to {table}, {live} live samples"),
        inputs: vec![("d_x", d_x.into()), ("live", vec![live + 2].into())],
        outputs: vec![("part", Expected::Near { values: part, tolerance: 3e-6 })],
        record: Box::new(record),
    }
}
