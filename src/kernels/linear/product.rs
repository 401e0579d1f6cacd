//! y = act(x Wᵀ + b) + e, and the gradient of the inputs.

use super::shared::{self, ProductTile};
use super::{Activation, Variant, subgroup_variants};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, Plan, Rows, View};
use crate::kernels::{Case, Entry, Expected, Named, RandomInputs, kernel};

static PRODUCT: Kernel = kernel!("linear_product");
static PRODUCT_PRIVATE: Kernel = kernel!("linear_product_private");
static PRODUCT_SHARED: Kernel = kernel!("linear_product_shared");

pub(in crate::kernels) const PRODUCT_ENTRY: Entry =
    Entry { kernel: &PRODUCT, summary: "y = act(x Wᵀ + b) + e, or d_x = d_y W ∘ act'", cases: product_cases };
pub(in crate::kernels) const PRODUCT_PRIVATE_ENTRY: Entry = Entry {
    kernel: &PRODUCT_PRIVATE,
    summary: "the same for any shape, without subgroups",
    cases: product_private_cases,
};
pub(in crate::kernels) const PRODUCT_SHARED_ENTRY: Entry = Entry {
    kernel: &PRODUCT_SHARED,
    summary: "the same by tiles in workgroup memory, for GPUs",
    cases: product_shared_cases,
};

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

    pub(super) fn cost(&self) -> Cost {
        let (rows, k, n) = (f64::from(self.rows.most), f64::from(self.inner), f64::from(self.columns));
        Cost { flops: 2.0 * rows * k * n, bytes: 4.0 * (rows * k + k * n + rows * n) }
    }
}

impl LinearProduct {
    /// Records the product, by subgroups where that is possible, on GPUs through workgroup memory where it fills tiles.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &LinearShape) -> Result<()> {
        let variant = Variant::choose_product(plan.gpu(), shape.rows.most, [shape.inner, shape.columns]);
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
            Variant::Shared => {
                let tile = ProductTile::choose(shape.rows.most, shape.columns);
                spec.extend([("COLUMN_THREADS", tile.column_threads), ("THREAD_ROWS", tile.thread_rows)]);
                (&PRODUCT_SHARED, shape.rows.groups(tile.rows(), n.div_ceil(u64::from(tile.columns()))))
            }
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

fn product_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [(1, 4, 4), (16, 32, 32), (15, 8, 36), (17, 36, 132), (131, 64, 16), (33, 2048, 32), (70_000, 4, 4)];
    subgroup_variants(gpu).into_iter().flat_map(|v| product_cases_of(v, &shapes)).collect()
}

fn product_private_cases(_: &Gpu) -> Vec<Case> {
    let shapes = [(1, 1, 1), (8, 4, 4), (7, 3, 2), (9, 13, 5), (131, 64, 17), (70_000, 3, 2)];
    product_cases_of(Variant::Private, &shapes)
}

fn product_shared_cases(gpu: &Gpu) -> Vec<Case> {
    if !shared::runs(gpu, [4, 4]) {
        return Vec::new();
    }
    // Every tile, with edges on each side and without.
    let shapes =
        [(1, 4, 4), (128, 16, 32), (129, 36, 28), (64, 32, 64), (131, 20, 132), (2049, 24, 68), (70_000, 4, 4)];
    product_cases_of(Variant::Shared, &shapes)
}

fn product_cases_of(variant: Variant, shapes: &[(u32, u32, u32)]) -> Vec<Case> {
    let mut cases = Vec::new();
    let activations = [Activation::None, Activation::Relu, Activation::Tanh, Activation::Gelu];
    for (i, (rows, inner, columns)) in shapes.iter().copied().enumerate() {
        for direction in [Direction::Forward, Direction::Backward] {
            for extra in 0..3 {
                // Every combination on small shapes; one each on the large.
                if rows > 10_000 && extra != 1 {
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
