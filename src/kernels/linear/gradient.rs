//! Gradients of a product, d_W = d_yᵀ x and d_b = Σ d_y, in blocks of rows that are added in order.

use super::shared::{self, gradient_threads};
use super::{Blocks, Columns, GradientInto, Strategy};
use crate::error::Result;
use crate::gpu::{Cost, DynamicRows, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::variant::{Variant, VariantSelector, Variants, rows_class, width_class};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, panel, record};

static GRADIENT: Kernel = kernel!("linear", "linear_gradient");
static GRADIENT_SCALAR: Kernel = kernel!("linear", "linear_gradient_scalar");
static GRADIENT_TILED: Kernel = kernel!("linear", "linear_gradient_tiled");
static GRADIENT_PANEL: Kernel = kernel!("linear", "linear_gradient_panel");
static GRADIENT_SUM: Kernel = kernel!("linear", "linear_gradient_sum");

pub(crate) const GRADIENT_ENTRY: Entry =
    Entry { kernel: &GRADIENT, summary: "d_W = d_yᵀ x, d_b = Σ d_y, by blocks of rows", cases: gradient_cases };
pub(crate) const GRADIENT_SCALAR_ENTRY: Entry = Entry {
    kernel: &GRADIENT_SCALAR,
    summary: "the same for any shape, without subgroups",
    cases: gradient_scalar_cases,
};
pub(crate) const GRADIENT_TILED_ENTRY: Entry = Entry {
    kernel: &GRADIENT_TILED,
    summary: "the same by tiles in workgroup memory, for GPUs",
    cases: gradient_tiled_cases,
};
pub(crate) const GRADIENT_PANEL_ENTRY: Entry =
    Entry { kernel: &GRADIENT_PANEL, summary: "the same by tiles of vec4s, for the CPU", cases: gradient_panel_cases };
pub(crate) const GRADIENT_SUM_ENTRY: Entry =
    Entry { kernel: &GRADIENT_SUM, summary: "adds the blocks of a weight gradient", cases: gradient_sum_cases };

record! {
    /// Gradients d_W and d_b of a product; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct LinearGradient {
        /// (rows, inputs)
        pub x: View,
        /// (rows, outputs)
        pub d_y: View,
        /// Scratch of [`GradientShape::part_elements`] floats.
        pub part: View,
        /// (outputs, inputs)
        pub d_weight: View,
        /// (outputs)
        pub d_bias: View,
    }
}

/// Shape of a [`LinearGradient`].
#[derive(Debug, Clone)]
pub struct GradientShape {
    /// Rows of `x` and `d_y`.
    pub rows: Rows,
    /// Width of `x`.
    pub inputs: u32,
    /// Width of `d_y`.
    pub outputs: u32,
}

/// Maximum number of rows that one invocation adds before the fixed sum over blocks. It is part of the definition of
/// the result, so it does not depend on the adapter.
pub(crate) const BLOCK_ROWS: u32 = 512;
/// Minimum number of rows of the equal blocks into which items longer than a block are split.
const LEAST_BLOCK_ROWS: u32 = 64;

/// Number of rows per block for items of `rows_per_item` rows: whole items, or an equal part of one. One pass over many
/// items and several passes over fewer, each a multiple of [`block_items`], then add the same blocks in the same order
/// and give the same bits.
pub(crate) fn block_rows(rows_per_item: u32) -> u32 {
    if rows_per_item <= BLOCK_ROWS {
        return BLOCK_ROWS / rows_per_item * rows_per_item;
    }
    let parts = (LEAST_BLOCK_ROWS..=BLOCK_ROWS).rev().find(|rows| rows_per_item.is_multiple_of(*rows));
    parts.unwrap_or(BLOCK_ROWS)
}

/// Number of items per block; 1 if an item is longer than a block.
pub(crate) fn block_items(rows_per_item: u32) -> u32 {
    (BLOCK_ROWS / rows_per_item).max(1)
}

/// Number of rows per block for items with `rows_per_item` rows and `finest_per_item` finer rows. A block contains as
/// many items as a block of the finer rows, so that passes can be split at the same items for both.
fn block_rows_within(rows_per_item: u32, finest_per_item: u32) -> u32 {
    let rows = u64::from(block_items(finest_per_item)) * u64::from(rows_per_item);
    if rows_per_item == finest_per_item || rows > u64::from(BLOCK_ROWS) {
        block_rows(rows_per_item)
    } else {
        rows as u32
    }
}

/// Number of rows per block of a pass over `rows`.
pub(crate) fn block_rows_of(rows: &Rows) -> u32 {
    let within = |live: &DynamicRows| match live.apart {
        true => live.rows_per_item,
        false => block_rows_within(live.rows_per_item, live.finest_per_item),
    };
    rows.live.as_ref().map_or(BLOCK_ROWS, within)
}

/// Maximum number of blocks of rows of a gradient over `items` items of `rows_per_item` rows. A pass over fixed rows,
/// which are not grouped into items, has no more.
pub(crate) fn blocks_of_items(items: u32, rows_per_item: u32) -> u32 {
    (items * rows_per_item).div_ceil(block_rows(rows_per_item))
}

/// Same as [`blocks_of_items`], for rows that are a coarser division of items of `finest_per_item` rows.
pub(crate) fn blocks_within(items: u32, rows_per_item: u32, finest_per_item: u32) -> u32 {
    (items * rows_per_item).div_ceil(block_rows_within(rows_per_item, finest_per_item))
}

/// Number of blocks of rows of a gradient.
pub(crate) fn blocks(rows: &Rows) -> u32 {
    rows.capacity.div_ceil(block_rows_of(rows))
}

impl GradientShape {
    fn blocks(&self) -> u32 {
        blocks(&self.rows)
    }

    /// Whether the subgroup kernel passes x by shuffles and holds d_y in registers. The wider operand is passed, and
    /// the width of the held one must be a multiple of 4. The order of the sums does not depend on it.
    fn passes_x(&self) -> bool {
        self.outputs.is_multiple_of(4) && (self.inputs > self.outputs || !self.inputs.is_multiple_of(4))
    }

    /// Widths of the passed and of the held operand.
    fn passed_and_held(&self) -> (u32, u32) {
        if self.passes_x() { (self.inputs, self.outputs) } else { (self.outputs, self.inputs) }
    }

    /// Number of scratch floats that the gradient needs.
    pub fn part_elements(&self) -> u64 {
        u64::from(self.blocks()) * u64::from(self.inputs + 1) * u64::from(self.outputs)
    }
}

/// Whether the panel kernel, which loads both operands as vec4s, pays off: if they fill its tiles.
fn panel_pays(gpu: &Gpu, shape: &GradientShape) -> bool {
    let whole = (shape.inputs | shape.outputs).is_multiple_of(4);
    panel::lanes(gpu).is_some()
        && whole
        && block_rows_of(&shape.rows) >= 64
        && shape.inputs >= 16
        && shape.outputs >= 16
}

pub(crate) static GRADIENT_SELECTOR: VariantSelector<GradientShape> = VariantSelector {
    variants: Variants {
        kernel: "linear_gradient",
        least_lanes: 4,
        all: &[
            Variant::subgroup("columns16x1", 16, 1),
            Variant::subgroup("columns16x2", 16, 2),
            Variant::subgroup("columns16x4", 16, 4),
            Variant::scalar("scalar", 4),
            Variant::tiled("tiled", 0),
            Variant::panel("panel", 1),
        ],
    },
    class: |shape| {
        let [k, n] = [shape.inputs, shape.outputs].map(width_class);
        format!("{n} x {k}, {}", rows_class(&shape.rows))
    },
    rule: |gpu, shape| {
        let (_, held) = shape.passed_and_held();
        match Strategy::choose(gpu, &[held]) {
            _ if shared::pays(gpu, shape.rows.capacity, [shape.inputs, shape.outputs]) => (Strategy::Tiled, 0, 1),
            Strategy::Subgroup if panel_pays(gpu, shape) => (Strategy::Panel, 1, 1),
            Strategy::Subgroup => (Strategy::Subgroup, 16, Strategy::subgroups(gpu)),
            _ => (Strategy::Scalar, 4, 1),
        }
    },
    requirement: |_, shape, variant| {
        let (which, whole) = match variant.strategy {
            Strategy::Scalar => return None,
            Strategy::Subgroup => ("one of the widths to be a multiple", shape.passed_and_held().1.is_multiple_of(4)),
            Strategy::Tiled | Strategy::Panel => {
                ("widths that are multiples", (shape.inputs | shape.outputs).is_multiple_of(4))
            }
        };
        (!whole).then(|| format!("{which} of 4, got {} and {}", shape.inputs, shape.outputs))
    },
};

impl LinearGradient {
    /// Records the gradient in the variant selected for its shape.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &GradientShape, into: GradientInto<'_>) -> Result<()> {
        let keep = match into {
            GradientInto::Sum { keep } => keep,
            GradientInto::Samples(samples) => return samples.linear(plan, self, shape),
        };
        self.record_rows(plan, shape)?;
        let sum = GradientSum { part: self.part.clone(), d_weight: self.d_weight.clone(), d_bias: self.d_bias.clone() };
        sum.record_sum(plan, &shape.rows, [shape.inputs * shape.outputs, shape.outputs], keep)
    }

    /// Records only the sums over blocks of rows, into `part`.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record_rows(&self, plan: &mut Plan, shape: &GradientShape) -> Result<()> {
        let variant = GRADIENT_SELECTOR.take(plan.gpu(), shape)?;
        self.record_blocks(plan, shape, variant)
    }

    fn record_blocks(&self, plan: &mut Plan, shape: &GradientShape, variant: &Variant) -> Result<()> {
        let (rows, k, n) = (u64::from(shape.rows.capacity), u64::from(shape.inputs), u64::from(shape.outputs));
        let (counter, first_item, rows_per_item) = shape.rows.counter(plan.gpu())?;
        let part_elements = shape.part_elements();
        let operands = || bind!(self.x[rows * k], self.d_y[rows * n], live = counter[1], self.part[part_elements]);
        let mut params = vec![
            ("rows", shape.rows.capacity.into()),
            ("blocks", shape.blocks().into()),
            ("block_rows", block_rows_of(&shape.rows).into()),
            ("first_item", first_item.into()),
            ("rows_per_item", rows_per_item.into()),
        ];
        let blocks = u64::from(shape.blocks());
        let (kernel, spec, bindings, groups) = match variant.strategy {
            Strategy::Subgroup => {
                let (lanes, tile, subgroups) =
                    (variant.lanes(plan.gpu(), GRADIENT.name)?, variant.tile, variant.subgroups);
                let passed_is_x = shape.passes_x();
                let (passed, held) = shape.passed_and_held();
                let tiles = blocks * u64::from(passed.div_ceil(tile)) * u64::from(held.div_ceil(4 * lanes));
                let spec = vec![("LANES", lanes), ("SUBGROUPS", subgroups), ("PASSED_IS_X", passed_is_x.into())];
                params.extend([("passed_width", passed.into()), ("held_width", held.into())]);
                let [passed_elements, held_elements] = [passed, held].map(|width| rows * u64::from(width));
                let [passed, held] = if passed_is_x { [&self.x, &self.d_y] } else { [&self.d_y, &self.x] };
                let bindings =
                    bind!(passed[passed_elements], held[held_elements], live = counter[1], self.part[part_elements]);
                (&GRADIENT, spec, bindings, tiles.div_ceil(u64::from(subgroups)))
            }
            Strategy::Scalar => {
                params.extend([("inner", shape.inputs.into()), ("columns", shape.outputs.into())]);
                let groups = (blocks * n.div_ceil(4) * k.div_ceil(4)).div_ceil(64);
                (&GRADIENT_SCALAR, Vec::new(), operands(), groups)
            }
            Strategy::Tiled => {
                params.extend([("inner", shape.inputs.into()), ("columns", shape.outputs.into())]);
                let threads = gradient_threads(shape.inputs, shape.outputs);
                let [k_tile, n_tile] = threads.map(|threads| u64::from(4 * threads));
                let groups = blocks * n.div_ceil(n_tile) * k.div_ceil(k_tile);
                (&GRADIENT_TILED, vec![("K_THREADS", threads[0])], operands(), groups)
            }
            Strategy::Panel => {
                let lanes = variant.lanes(plan.gpu(), GRADIENT_PANEL.name)?;
                let tiles = u64::from(shape.outputs.div_ceil(4 * lanes) * shape.inputs.div_ceil(4 * lanes));
                params.extend([("inputs", shape.inputs.into()), ("outputs", shape.outputs.into())]);
                (&GRADIENT_PANEL, vec![("LANES", lanes)], operands(), blocks * tiles)
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bindings,
            params: &params,
            groups: shape.rows.groups_of_all(groups),
            cost: Cost {
                flops: 2.0 * (rows * k * n) as f64,
                bytes: 4.0 * (rows * k + rows * n + shape.part_elements()) as f64,
            },
            shape: format!("({n}, {rows}) x ({rows}, {k})"),
        })
    }
}

record! {
    /// Sum over the blocks of a gradient, the last step of every weight gradient.
    #[derive(Debug, Clone)]
    pub(crate) struct GradientSum {
        /// (blocks, weights + columns)
        pub part: View,
        /// (weights)
        pub d_weight: View,
        /// (columns)
        pub d_bias: View,
    }
}

impl GradientSum {
    /// Records `blocks` into scratch and their sum, or passes them to the receiver of per-sample gradients.
    pub(crate) fn record(
        &self,
        plan: &mut Plan,
        (rows, elements): (&Rows, [u32; 2]),
        into: GradientInto<'_>,
        blocks: &Blocks<'_>,
    ) -> Result<()> {
        match into {
            GradientInto::Sum { keep } => {
                blocks(plan, &self.part)?;
                self.record_sum(plan, rows, elements, keep)
            }
            GradientInto::Samples(samples) => {
                samples.other(plan, &Columns { rows, into: [&self.d_weight, &self.d_bias], elements }, blocks)
            }
        }
    }

    fn record_sum(&self, plan: &mut Plan, rows: &Rows, [weights, columns]: [u32; 2], keep: bool) -> Result<()> {
        let (w, n) = (u64::from(weights), u64::from(columns));
        let part = u64::from(blocks(rows)) * (w + n);
        plan.launch(&Launch {
            kernel: &GRADIENT_SUM,
            spec: &[],
            bindings: &bind!(self.part[part], self.d_weight[w], self.d_bias[n]),
            params: &[
                ("weights", weights.into()),
                ("columns", columns.into()),
                ("blocks", blocks(rows).into()),
                ("keep", u32::from(keep).into()),
            ],
            groups: rows.groups_of_all((w + n).div_ceil(64)),
            cost: Cost { flops: part as f64, bytes: 4.0 * (part + w + n) as f64 },
            shape: format!("({} blocks, {w} + {n})", blocks(rows)),
        })
    }
}
/// Reference in f64 over the first `rows` rows: weight gradient (N, K) and bias gradient (N).
pub fn gradient_reference(x: &[f32], d_y: &[f32], rows: usize, inputs: usize, outputs: usize) -> (Vec<f64>, Vec<f64>) {
    let mut d_weight = vec![0.0; outputs * inputs];
    let mut d_bias = vec![0.0; outputs];
    for row in 0..rows {
        for n in 0..outputs {
            let slope = f64::from(d_y[row * outputs + n]);
            d_bias[n] += slope;
            for k in 0..inputs {
                d_weight[n * inputs + k] += slope * f64::from(x[row * inputs + k]);
            }
        }
    }
    (d_weight, d_bias)
}

fn gradient_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [
        (1, 4, 1),
        (16, 32, 16),
        (513, 36, 17),
        (1025, 8, 5),
        (700, 132, 33),
        (515, 132, 36),
        (9, 7, 4),
        (70_000, 4, 1),
    ];
    gradient_cases_of(gpu, Strategy::Subgroup, &shapes)
}

fn gradient_scalar_cases(gpu: &Gpu) -> Vec<Case> {
    gradient_cases_of(
        gpu,
        Strategy::Scalar,
        &[(1, 1, 1), (3, 5, 7), (513, 36, 17), (9, 7, 4), (513, 6, 9), (70_000, 3, 2)],
    )
}

fn gradient_cases_of(gpu: &Gpu, strategy: Strategy, shapes: &[(u32, u32, u32)]) -> Vec<Case> {
    let cases = |(i, shape): (usize, &(u32, u32, u32))| {
        let (rows, inputs, outputs) = *shape;
        let variant = GradientShape { rows: rows.into(), inputs, outputs };
        let variants = GRADIENT_SELECTOR.of_case(gpu, strategy, &variant, rows < 1000, i);
        variants.into_iter().map(|variant| gradient_case(variant, *shape)).collect::<Vec<_>>()
    };
    shapes.iter().enumerate().flat_map(cases).collect()
}

fn gradient_tiled_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes =
        [(1, 4, 4), (16, 32, 128), (513, 36, 16), (515, 132, 36), (1025, 132, 68), (700, 64, 64), (70_000, 4, 4)];
    gradient_cases_of(gpu, Strategy::Tiled, &shapes)
}

fn gradient_panel_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [(1, 4, 4), (16, 32, 128), (513, 36, 16), (515, 132, 36), (1025, 132, 68), (70_000, 4, 4)];
    gradient_cases_of(gpu, Strategy::Panel, &shapes)
}

/// Case of a gradient whose last rows are beyond the dynamic count and must not be added.
fn gradient_case(variant: Variant, (rows, inputs, outputs): (u32, u32, u32)) -> Case {
    let live = rows - rows / 3;
    let mut random = RandomInputs::new(u64::from(rows * 31 + inputs * 7 + outputs));
    let x = random.floats((rows * inputs) as usize);
    let d_y = random.floats((rows * outputs) as usize);
    let mut part = Vec::new();
    for block in 0..rows.div_ceil(BLOCK_ROWS) {
        let first = (block * BLOCK_ROWS).min(live) as usize;
        let count = ((block + 1) * BLOCK_ROWS).min(live) as usize - first;
        let (x, d_y) = (&x[first * inputs as usize..], &d_y[first * outputs as usize..]);
        let (d_weight, d_bias) = gradient_reference(x, d_y, count, inputs as usize, outputs as usize);
        part.extend(d_weight);
        part.extend(d_bias);
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let gradient = LinearGradient::from_case(&buffers.standing_in("part")?)?;
        let window = DynamicRows::new(buffers.view("live")?, 5, rows, 1);
        plan.write_indirect_args(&window.live)?;
        gradient.record_blocks(plan, &GradientShape { rows: window.into(), inputs, outputs }, &variant)
    };
    Case {
        name: format!("({rows}, {inputs}, {outputs}), {live} live rows"),
        inputs: vec![("x", x.into()), ("d_y", d_y.into()), ("live", vec![live + 5].into())],
        outputs: vec![("part", Expected::Near { values: part, tolerance: 3e-6 })],
        record: Box::new(record),
    }
    .of_variant(&variant)
}

fn gradient_sum_cases(_: &Gpu) -> Vec<Case> {
    [(1, 4, 4, false), (1025, 3, 5, true), (5000, 8, 1, false)].into_iter().map(gradient_sum_case).collect()
}

fn gradient_sum_case((rows, inputs, outputs, keep): (u32, u32, u32, bool)) -> Case {
    let shape = GradientShape { rows: rows.into(), inputs, outputs };
    let mut random = RandomInputs::new(u64::from(rows));
    let part = random.floats(shape.part_elements() as usize);
    let before = random.floats((outputs * (inputs + 1)) as usize);
    let mut sums: Vec<f64> = before.iter().map(|v| if keep { f64::from(*v) } else { 0.0 }).collect();
    for block in part.chunks(sums.len()) {
        sums.iter_mut().zip(block).for_each(|(sum, v)| *sum += f64::from(*v));
    }
    let weights = (outputs * inputs) as usize;
    let near = |values: &[f64]| Expected::Near { values: values.to_vec(), tolerance: 1e-6 };
    let outputs = vec![("d_weight", near(&sums[..weights])), ("d_bias", near(&sums[weights..]))];
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let sum = GradientSum::from_case(buffers)?;
        sum.record_sum(plan, &shape.rows, [shape.inputs * shape.outputs, shape.outputs], keep)
    };
    Case {
        name: format!("({rows}, {inputs}), keep {keep}"),
        inputs: vec![
            ("part", part.into()),
            ("d_weight", before[..weights].to_vec().into()),
            ("d_bias", before[weights..].to_vec().into()),
        ],
        outputs,
        record: Box::new(record),
    }
}
