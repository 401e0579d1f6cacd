//! Matrix products of a batch of rows with a weight, forward and backward.
//!
//! ```text
//! forward            y[r, n]   = act( Σ_k x[r, k] W[n, k] + b[n] ) + extra[r, n]
//! input gradient     d_x[r, k] = Σ_n d_y[r, n] W[n, k] · act'(saved[r, k])   or   + extra[r, k]
//! weight gradient    d_W[n, k] = Σ_r d_y[r, n] x[r, k]        d_b[n] = Σ_r d_y[r, n]
//! ```
//!
//! Weights are stored (outputs, inputs), as PyTorch's `nn.Linear` has them.

use super::{Case, Entry, Expected, Named, RandomInputs, kernel};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, LiveRows, Plan, Rows, View};

static PRODUCT: Kernel = kernel!("linear_product");
static PRODUCT_PRIVATE: Kernel = kernel!("linear_product_private");
static GRADIENT: Kernel = kernel!("linear_gradient");
static GRADIENT_PRIVATE: Kernel = kernel!("linear_gradient_private");
static GRADIENT_SUM: Kernel = kernel!("linear_gradient_sum");

pub(super) const PRODUCT_ENTRY: Entry =
    Entry { kernel: &PRODUCT, summary: "y = act(x Wᵀ + b) + e, or d_x = d_y W ∘ act'", cases: product_cases };
pub(super) const PRODUCT_PRIVATE_ENTRY: Entry = Entry {
    kernel: &PRODUCT_PRIVATE,
    summary: "the same for any shape, without subgroups",
    cases: product_private_cases,
};
pub(super) const GRADIENT_ENTRY: Entry =
    Entry { kernel: &GRADIENT, summary: "d_W = d_yᵀ x, d_b = Σ d_y, by blocks of rows", cases: gradient_cases };
pub(super) const GRADIENT_PRIVATE_ENTRY: Entry = Entry {
    kernel: &GRADIENT_PRIVATE,
    summary: "the same for any shape, without subgroups",
    cases: gradient_private_cases,
};
pub(super) const GRADIENT_SUM_ENTRY: Entry =
    Entry { kernel: &GRADIENT_SUM, summary: "adds the blocks of a weight gradient", cases: gradient_sum_cases };

/// Activation of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// f(x) = x
    None = 0,
    /// f(x) = max(x, 0)
    Relu = 1,
    /// f(x) = tanh x
    Tanh = 2,
    /// f(x) = x/2 (1 + tanh(√(2/π)(x + 0.044715 x³))), the tanh form of arXiv:1606.08415
    Gelu = 3,
}

impl Activation {
    /// f(x).
    pub fn value(self, x: f64) -> f64 {
        match self {
            Self::None => x,
            Self::Relu => x.max(0.0),
            Self::Tanh => x.tanh(),
            Self::Gelu => 0.5 * x * (1.0 + gelu_inner(x).tanh()),
        }
    }

    /// f'(x) from what the forward pass saved: f(x) for relu and tanh, x for gelu.
    pub fn slope(self, saved: f64) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Relu => f64::from(saved > 0.0),
            Self::Tanh => 1.0 - saved * saved,
            Self::Gelu => {
                let t = gelu_inner(saved).tanh();
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044715 * saved * saved);
                0.5 * (1.0 + t) + 0.5 * saved * (1.0 - t * t) * inner
            }
        }
    }
}

fn gelu_inner(x: f64) -> f64 {
    (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)
}

/// What multiplies the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `weight` is (columns, inner), the forward product.
    Forward,
    /// `weight` is (inner, columns), the gradient of the inputs.
    Backward,
}

/// The third operand of a product.
#[derive(Debug, Clone)]
pub enum Extra {
    /// Nothing.
    None,
    /// (rows, columns), added after the activation: a residual or another gradient.
    Add(View),
    /// (rows, columns), what the forward pass saved: the sum is multiplied by the activation's slope there.
    Slope(View),
}

/// Which kernel computes a product or a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Subgroups of this many lanes; every width is a multiple of 4.
    Subgroup(u32),
    /// Private tiles, any shape, any adapter.
    Private,
}

impl Variant {
    /// The faster one that the adapter and the widths allow.
    pub fn choose(gpu: &Gpu, widths: &[u32]) -> Self {
        match gpu.subgroup_size() {
            Some(lanes @ (4 | 8 | 16 | 32 | 64)) if widths.iter().all(|w| w.is_multiple_of(4)) => Self::Subgroup(lanes),
            _ => Self::Private,
        }
    }

    /// Independent subgroups in a workgroup: more give a GPU more to hide latency with.
    pub(crate) fn subgroups(gpu: &Gpu) -> u32 {
        if gpu.is_software() { 2 } else { 4 }
    }
}

/// y = act(x · M + bias) + extra, see the module's page.
#[derive(Debug, Clone)]
pub struct LinearProduct {
    /// (rows, inner)
    pub x: View,
    /// (columns, inner) forward, (inner, columns) backward
    pub weight: View,
    /// (columns)
    pub bias: Option<View>,
    /// The third operand.
    pub extra: Extra,
    /// (rows, columns), in rows of `y_stride`
    pub y: View,
}

/// Shape of a [`LinearProduct`].
#[derive(Debug, Clone)]
pub struct LinearShape {
    /// Rows of `x` and `y`.
    pub rows: Rows,
    /// Width of `x`.
    pub inner: u32,
    /// Width of `y`.
    pub columns: u32,
    /// Forward or backward.
    pub direction: Direction,
    /// Activation, or with [`Extra::Slope`] the one whose slope multiplies.
    pub activation: Activation,
    /// Row r goes to row r·y_stride + y_first of `y`.
    pub y_stride: u32,
    /// See `y_stride`.
    pub y_first: u32,
}

impl LinearShape {
    /// A forward product without activation.
    pub fn forward(rows: impl Into<Rows>, inner: u32, columns: u32) -> Self {
        let (direction, activation) = (Direction::Forward, Activation::None);
        Self { rows: rows.into(), inner, columns, direction, activation, y_stride: 1, y_first: 0 }
    }

    /// The gradient of the inputs of a forward product: `inner` outputs back to `columns` inputs.
    pub fn backward(rows: impl Into<Rows>, inner: u32, columns: u32) -> Self {
        Self { direction: Direction::Backward, ..Self::forward(rows, inner, columns) }
    }

    /// The same with an activation.
    pub fn activated(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    fn cost(&self) -> Cost {
        let (rows, k, n) = (f64::from(self.rows.most), f64::from(self.inner), f64::from(self.columns));
        Cost { flops: 2.0 * rows * k * n, bytes: 4.0 * (rows * k + k * n + rows * n) }
    }
}

impl LinearProduct {
    /// Records the product, by subgroups where that is possible.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &LinearShape) -> Result<()> {
        let variant = Variant::choose(plan.gpu(), &[shape.inner, shape.columns]);
        self.record_variant(plan, shape, variant)
    }

    /// Records the product with a given kernel.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record_variant(&self, plan: &mut Plan, shape: &LinearShape, variant: Variant) -> Result<()> {
        let (rows, k, n) = (u64::from(shape.rows.most), u64::from(shape.inner), u64::from(shape.columns));
        let (extra_kind, extra, extra_elements) = match &self.extra {
            Extra::None => (0, &self.weight, 4),
            Extra::Add(view) => (1, view, rows * n),
            Extra::Slope(view) => (2, view, rows * n),
        };
        let (bias, bias_elements) = self.bias.as_ref().map_or((&self.weight, 4.min(k * n)), |bias| (bias, n));
        let last = rows.saturating_sub(1) * u64::from(shape.y_stride) + u64::from(shape.y_first) + 1;
        let bindings = [
            Bind { name: "x", view: &self.x, elements: rows * k },
            Bind { name: "weight", view: &self.weight, elements: k * n },
            Bind { name: "bias", view: bias, elements: bias_elements },
            Bind { name: "extra", view: extra, elements: extra_elements.min(rows * n) },
            Bind { name: "y", view: &self.y, elements: last * n },
        ];
        let params = [
            ("rows", shape.rows.most.into()),
            ("inner", shape.inner.into()),
            ("columns", shape.columns.into()),
            ("y_stride", shape.y_stride.into()),
            ("y_first", shape.y_first.into()),
        ];
        let mut spec = vec![
            ("WEIGHT_OUT_IN", u32::from(shape.direction == Direction::Forward)),
            ("BIAS", u32::from(self.bias.is_some())),
            ("EXTRA", extra_kind),
            ("ACTIVATION", shape.activation as u32),
        ];
        let (kernel, groups) = match variant {
            Variant::Subgroup(lanes) => {
                let subgroups = Variant::subgroups(plan.gpu());
                spec.extend([("LANES", lanes), ("SUBGROUPS", subgroups)]);
                let tiles = n.div_ceil(4 * u64::from(lanes));
                (&PRODUCT, shape.rows.groups(16 * subgroups, tiles))
            }
            Variant::Private => (&PRODUCT_PRIVATE, shape.rows.groups(8 * 64, n.div_ceil(4))),
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bindings,
            params: &params,
            groups,
            cost: shape.cost(),
            shape: format!("({rows}, {k}) x ({k}, {n})"),
        })
    }
}

/// d_W and d_b of a product, see the module's page.
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

/// Shape of a [`LinearGradient`].
#[derive(Debug, Clone)]
pub struct GradientShape {
    /// Rows of `x` and `d_y`.
    pub rows: Rows,
    /// Width of `x`.
    pub inputs: u32,
    /// Width of `d_y`.
    pub outputs: u32,
    /// Add to the gradient instead of replacing it.
    pub keep: bool,
}

/// Rows that one invocation adds up before the fixed sum over blocks. Part of the result's definition, so it never
/// depends on the adapter.
pub(crate) const BLOCK_ROWS: u32 = 512;

/// Blocks of rows of a gradient.
pub(crate) fn blocks(rows: &Rows) -> u32 {
    rows.most.div_ceil(BLOCK_ROWS)
}

impl GradientShape {
    fn blocks(&self) -> u32 {
        blocks(&self.rows)
    }

    /// Whether the subgroup kernel passes x round and holds d_y: the wider operand is passed, the held one needs a width
    /// that is a multiple of 4. No sum's order depends on it.
    fn passes_x(&self) -> bool {
        self.outputs.is_multiple_of(4) && (self.inputs > self.outputs || !self.inputs.is_multiple_of(4))
    }

    /// Floats of scratch that the gradient needs.
    pub fn part_elements(&self) -> u64 {
        u64::from(self.blocks()) * u64::from(self.inputs + 1) * u64::from(self.outputs)
    }
}

/// Columns of the passed operand that a subgroup owns: more of them save loads, which is what software drivers pay for; GPUs
/// have no registers for more than 16. No sum's order depends on it.
fn gradient_tile(gpu: &Gpu, passed: u32) -> u32 {
    if gpu.is_software() && passed > 16 { 32 } else { 16 }
}

impl LinearGradient {
    /// Records the gradient, by subgroups where that is possible.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &GradientShape) -> Result<()> {
        // One of the widths must be a multiple of 4.
        let width = if shape.passes_x() { shape.outputs } else { shape.inputs };
        let variant = Variant::choose(plan.gpu(), &[width]);
        self.record_blocks(plan, shape, variant)?;
        let sum = GradientSum { part: self.part.clone(), d_weight: self.d_weight.clone(), d_bias: self.d_bias.clone() };
        sum.record(plan, &shape.rows, shape.inputs * shape.outputs, shape.outputs, shape.keep)
    }

    fn record_blocks(&self, plan: &mut Plan, shape: &GradientShape, variant: Variant) -> Result<()> {
        let (rows, k, n) = (u64::from(shape.rows.most), u64::from(shape.inputs), u64::from(shape.outputs));
        let (counter, first_item, rows_per_item) = shape.rows.counter(plan.gpu())?;
        let x = |name| Bind { name, view: &self.x, elements: rows * k };
        let d_y = |name| Bind { name, view: &self.d_y, elements: rows * n };
        let live = Bind { name: "live", view: &counter, elements: 1 };
        let part = Bind { name: "part", view: &self.part, elements: shape.part_elements() };
        let mut params = vec![
            ("rows", shape.rows.most.into()),
            ("blocks", shape.blocks().into()),
            ("block_rows", BLOCK_ROWS.into()),
            ("first_item", first_item.into()),
            ("rows_per_item", rows_per_item.into()),
        ];
        let blocks = u64::from(shape.blocks());
        let (kernel, spec, bindings, groups) = match variant {
            Variant::Subgroup(lanes) => {
                let subgroups = Variant::subgroups(plan.gpu());
                let passed_is_x = shape.passes_x();
                let (passed, held) =
                    if passed_is_x { (shape.inputs, shape.outputs) } else { (shape.outputs, shape.inputs) };
                let tile = gradient_tile(plan.gpu(), passed);
                let tiles = blocks * u64::from(passed.div_ceil(tile)) * u64::from(held.div_ceil(4 * lanes));
                let spec = vec![
                    ("LANES", lanes),
                    ("SUBGROUPS", subgroups),
                    ("PASSED", tile),
                    ("PASSED_IS_X", passed_is_x.into()),
                ];
                params.extend([("passed_width", passed.into()), ("held_width", held.into())]);
                let [passed, held] = if passed_is_x { [x("passed"), d_y("held")] } else { [d_y("passed"), x("held")] };
                (&GRADIENT, spec, [passed, held, live, part], tiles.div_ceil(u64::from(subgroups)))
            }
            Variant::Private => {
                params.extend([("inner", shape.inputs.into()), ("columns", shape.outputs.into())]);
                let groups = (blocks * n.div_ceil(4) * k.div_ceil(4)).div_ceil(64);
                (&GRADIENT_PRIVATE, Vec::new(), [x("x"), d_y("d_y"), live, part], groups)
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

/// Adds the blocks of a gradient; what every weight gradient ends with.
#[derive(Debug, Clone)]
pub(crate) struct GradientSum {
    /// (blocks, weights + columns)
    pub part: View,
    /// (weights)
    pub d_weight: View,
    /// (columns)
    pub d_bias: View,
}

impl GradientSum {
    pub(crate) fn record(&self, plan: &mut Plan, rows: &Rows, weights: u32, columns: u32, keep: bool) -> Result<()> {
        let (w, n) = (u64::from(weights), u64::from(columns));
        let part = u64::from(blocks(rows)) * (w + n);
        plan.launch(&Launch {
            kernel: &GRADIENT_SUM,
            spec: &[],
            bindings: &[
                Bind { name: "part", view: &self.part, elements: part },
                Bind { name: "d_weight", view: &self.d_weight, elements: w },
                Bind { name: "d_bias", view: &self.d_bias, elements: n },
            ],
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

/// The product in f64. `x` (rows, K); `weight` (N, K) forward or (K, N) backward; returns (rows, N) before `extra`
/// and the activation.
pub fn product_reference(x: &[f32], weight: &[f32], bias: Option<&[f32]>, shape: &LinearShape) -> Vec<f64> {
    let (k, n) = (shape.inner as usize, shape.columns as usize);
    let entry = |row: usize, column: usize| {
        let sum: f64 = (0..k)
            .map(|i| {
                let at = if shape.direction == Direction::Forward { column * k + i } else { i * n + column };
                f64::from(x[row * k + i]) * f64::from(weight[at])
            })
            .sum();
        sum + bias.map_or(0.0, |bias| f64::from(bias[column]))
    };
    (0..shape.rows.most as usize)
        .flat_map(|row| (0..n).map(move |column| (row, column)))
        .map(|(r, c)| entry(r, c))
        .collect()
}

/// The weight gradient (N, K) and bias gradient (N) in f64 over the first `rows` rows.
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

fn subgroup_variants(gpu: &Gpu) -> Vec<Variant> {
    match Variant::choose(gpu, &[]) {
        Variant::Private => Vec::new(),
        variant => vec![variant],
    }
}

fn product_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [(1, 4, 4), (16, 32, 32), (15, 8, 36), (17, 36, 132), (131, 64, 16), (33, 2048, 32), (70_000, 4, 4)];
    subgroup_variants(gpu).into_iter().flat_map(|v| product_cases_of(v, &shapes)).collect()
}

fn product_private_cases(_: &Gpu) -> Vec<Case> {
    let shapes = [(1, 1, 1), (8, 4, 4), (7, 3, 2), (9, 13, 5), (131, 64, 17), (70_000, 3, 2)];
    product_cases_of(Variant::Private, &shapes)
}

fn product_cases_of(variant: Variant, shapes: &[(u32, u32, u32)]) -> Vec<Case> {
    let mut cases = Vec::new();
    let activations = [Activation::None, Activation::Relu, Activation::Tanh, Activation::Gelu];
    for (i, (rows, inner, columns)) in shapes.iter().copied().enumerate() {
        for direction in [Direction::Forward, Direction::Backward] {
            for extra in 0..3 {
                // Every combination on small shapes; one each on the large.
                if rows > 1000 && extra != 1 {
                    continue;
                }
                let activation = activations[(i + extra) % 4];
                let shape = LinearShape { direction, ..LinearShape::forward(rows, inner, columns) };
                cases.push(product_case(variant, &shape.activated(activation), extra, i % 3 != 1));
            }
        }
    }
    cases
}

fn product_case(variant: Variant, shape: &LinearShape, extra: usize, with_bias: bool) -> Case {
    let (rows, k, n) = (shape.rows.most as usize, shape.inner as usize, shape.columns as usize);
    let mut random = RandomInputs::new((rows * 31 + k * 7 + n) as u64);
    let (x, weight) = (random.floats(rows * k), random.floats(n * k));
    let (bias, third) = (random.floats(n), random.floats(rows * n));
    let mut expected = product_reference(&x, &weight, with_bias.then_some(&bias), shape);
    for (value, third) in expected.iter_mut().zip(&third) {
        *value = match extra {
            0 => shape.activation.value(*value),
            1 => shape.activation.value(*value) + f64::from(*third),
            _ => *value * shape.activation.slope(f64::from(*third)),
        };
    }
    let spec = (shape.direction, shape.activation);
    let name = format!("({rows}, {k}, {n}) {spec:?} bias {with_bias} extra {extra}");
    let shape = shape.clone();
    let record = move |plan: &mut Plan, named: &Named| {
        let product = LinearProduct {
            x: named.view("x")?,
            weight: named.view("weight")?,
            bias: with_bias.then(|| named.view("bias")).transpose()?,
            extra: match extra {
                0 => Extra::None,
                1 => Extra::Add(named.view("extra")?),
                _ => Extra::Slope(named.view("extra")?),
            },
            y: named.view("y")?,
        };
        product.record_variant(plan, &shape, variant)
    };
    Case {
        name,
        inputs: vec![("x", x.into()), ("weight", weight.into()), ("bias", bias.into()), ("extra", third.into())],
        // Rounding errors of a sum of K terms in order grow like √K.
        outputs: vec![("y", Expected::Near { values: expected, tolerance: 1e-6 * (1.0 + (k as f64).sqrt() / 4.0) })],
        record: Box::new(record),
    }
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
    let all = |v| shapes.iter().map(move |shape| gradient_case(v, *shape));
    subgroup_variants(gpu).into_iter().flat_map(all).collect()
}

fn gradient_private_cases(_: &Gpu) -> Vec<Case> {
    let shapes = [(1, 1, 1), (3, 5, 7), (513, 6, 9), (70_000, 3, 2)];
    shapes.into_iter().map(|shape| gradient_case(Variant::Private, shape)).collect()
}

/// One gradient whose last rows are beyond the live count and must not be added.
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
    let record = move |plan: &mut Plan, named: &Named| {
        let part = named.view("part")?;
        let gradient = LinearGradient {
            x: named.view("x")?,
            d_y: named.view("d_y")?,
            part: part.clone(),
            d_weight: part.clone(),
            d_bias: part,
        };
        let window = LiveRows::new(named.view("live")?, 5, rows, 1);
        plan.resolve_grids(&window.live)?;
        gradient.record_blocks(plan, &GradientShape { rows: window.into(), inputs, outputs, keep: false }, variant)
    };
    Case {
        name: format!("({rows}, {inputs}, {outputs}), {live} live rows"),
        inputs: vec![("x", x.into()), ("d_y", d_y.into()), ("live", vec![live + 5].into())],
        outputs: vec![("part", Expected::Near { values: part, tolerance: 3e-6 })],
        record: Box::new(record),
    }
}

fn gradient_sum_cases(_: &Gpu) -> Vec<Case> {
    [(1, 4, 4, false), (1025, 3, 5, true), (5000, 8, 1, false)].into_iter().map(gradient_sum_case).collect()
}

fn gradient_sum_case((rows, inputs, outputs, keep): (u32, u32, u32, bool)) -> Case {
    let shape = GradientShape { rows: rows.into(), inputs, outputs, keep };
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
    let record = move |plan: &mut Plan, named: &Named| {
        let sum =
            GradientSum { part: named.view("part")?, d_weight: named.view("d_weight")?, d_bias: named.view("d_bias")? };
        sum.record(plan, &shape.rows, shape.inputs * shape.outputs, shape.outputs, shape.keep)
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
