//! y = act(x Wᵀ + b) + e, and the gradient of the inputs.

use super::cooperative;
use super::shared::{self, PRODUCT_TILES};
use super::{Activation, Variant};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Groups, Kernel, Launch, Param, Plan, Rows, Storage, View};
use crate::kernels::choice::{Choice, Form, Forms, rows_class, width_class};
use crate::kernels::narrow::{has_half, near_half, stored};
use crate::kernels::{Case, Entry, Expected, Named, RandomInputs, kernel, panel};

static PRODUCT: Kernel = kernel!("linear_product");
static PRODUCT_PRIVATE: Kernel = kernel!("linear_product_private");
static PRODUCT_SHARED: Kernel = kernel!("linear_product_shared");
static PRODUCT_PANEL: Kernel = kernel!("linear_product_panel");

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

pub(in crate::kernels) const PRODUCT_PANEL_ENTRY: Entry = Entry {
    kernel: &PRODUCT_PANEL,
    summary: "the same with blocks of the weight at constant places, for the CPU",
    cases: product_panel_cases,
};

pub(in crate::kernels) static PRODUCT_CHOICE: Choice<LinearShape> = Choice {
    forms: Forms {
        kernel: "linear_product",
        least_lanes: 4,
        all: &[
            Form::subgroup("subgroup1", 16, 1),
            Form::subgroup("subgroup2", 16, 2),
            Form::subgroup("subgroup4", 16, 4),
            Form::private("private", 8),
            Form::shared("shared128x32", 0),
            Form::shared("shared128x64", 1),
            Form::shared("shared64x64", 2),
            Form::panel("panel1", 1),
            Form::panel("panel2", 2),
            Form::panel("panel4", 4),
        ],
    },
    class: |shape| {
        let [k, n] = [shape.inner, shape.columns].map(width_class);
        format!("{:?} {k} x {n}, {}", shape.direction, rows_class(&shape.rows)).to_lowercase()
    },
    rule: |gpu, shape| match Variant::choose(gpu, &[shape.inner, shape.columns]) {
        _ if shared::pays(gpu, shape.rows.most, [shape.inner, shape.columns]) => {
            (Variant::Shared, shared::product_tile(shape.rows.most, shape.columns), 1)
        }
        Variant::Subgroup if panel_pays(gpu, shape) => (Variant::Panel, panels(gpu, shape), 1),
        Variant::Subgroup => (Variant::Subgroup, 16, Variant::subgroups(gpu)),
        _ => (Variant::Private, 8, 1),
    },
    needs: |gpu, shape, form| {
        if form.variant == Variant::Panel && shape.y_storage == Storage::Half {
            let most = 4 * block(shape, form.tile, Variant::lanes(gpu)?);
            if shape.inner > most {
                return Some(format!("an output of f32, or at most {most} inputs"));
            }
        }
        let whole = shape.inner.is_multiple_of(4) && shape.columns.is_multiple_of(4);
        (form.variant != Variant::Private && !whole)
            .then(|| format!("widths that are multiples of 4, got {} and {}", shape.inner, shape.columns))
    },
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
    /// (columns, inner) forward, (inner, columns) backward; of f32 or f16
    pub weight: View,
    /// (columns)
    pub bias: Option<View>,
    /// The third operand.
    pub extra: Extra,
    /// (rows, columns), in rows of `y_stride`; of f32 or f16, which holds ±65504 at most
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
    /// How `y` is stored; set where the product is recorded.
    pub(crate) y_storage: Storage,
}

impl LinearShape {
    /// A forward product without activation.
    pub fn forward(rows: impl Into<Rows>, inner: u32, columns: u32) -> Self {
        let (direction, activation) = (Direction::Forward, Activation::None);
        Self {
            rows: rows.into(),
            inner,
            columns,
            direction,
            activation,
            y_stride: 1,
            y_first: 0,
            y_storage: Storage::Word,
        }
    }

    /// The gradient of the inputs of a forward product: `inner` outputs back to `columns` inputs.
    pub fn backward(rows: impl Into<Rows>, inner: u32, columns: u32) -> Self {
        Self { direction: Direction::Backward, ..Self::forward(rows, inner, columns) }
    }

    /// The same with an activation.
    pub fn activated(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    fn cost(&self, weight: Storage, y: Storage) -> Cost {
        let (rows, k, n) = (f64::from(self.rows.most), f64::from(self.inner), f64::from(self.columns));
        let [weight, y] = [weight, y].map(|storage| storage.bytes() as f64);
        Cost { flops: 2.0 * rows * k * n, bytes: 4.0 * rows * k + weight * k * n + y * rows * n }
    }
}

impl LinearProduct {
    /// Records the product, in the form that is best for its shape; from 16-bit weights by cooperative matrices where the
    /// device was opened with them.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &LinearShape) -> Result<()> {
        let mixed = self.weight.storage() == Storage::Half && self.y.storage() == Storage::Word;
        if mixed && let Some(fragment) = cooperative::fragment(plan.gpu(), [shape.inner, shape.columns]) {
            return cooperative::record(self, plan, shape, fragment);
        }
        let shape = LinearShape { y_storage: self.y.storage(), ..shape.clone() };
        let form = PRODUCT_CHOICE.take(plan.gpu(), &shape)?;
        self.record_form(plan, &shape, form)
    }

    fn record_form(&self, plan: &mut Plan, shape: &LinearShape, form: &Form) -> Result<()> {
        let mut spec = vec![("WEIGHT_BITS", self.weight.storage().bits()), ("CACHE_BITS", self.y.storage().bits())];
        let mut params = Vec::new();
        let (kernel, groups) = match form.variant {
            Variant::Subgroup => {
                let lanes = form.lanes(plan.gpu(), PRODUCT.name)?;
                spec.extend([("LANES", lanes), ("SUBGROUPS", form.subgroups)]);
                let tiles = shape.columns.div_ceil(4 * lanes);
                (&PRODUCT, shape.rows.groups(form.tile * form.subgroups, tiles.into()))
            }
            Variant::Private => (&PRODUCT_PRIVATE, shape.rows.groups(form.tile * 64, shape.columns.div_ceil(4).into())),
            Variant::Shared => {
                let tile = PRODUCT_TILES[form.tile as usize];
                spec.extend([("COLUMN_THREADS", tile.column_threads), ("THREAD_ROWS", tile.thread_rows)]);
                (&PRODUCT_SHARED, shape.rows.groups(tile.rows(), shape.columns.div_ceil(tile.columns()).into()))
            }
            Variant::Panel => {
                let lanes = form.lanes(plan.gpu(), PRODUCT_PANEL.name)?;
                let panels = shape.columns.div_ceil(4 * lanes * form.tile);
                let block = block(shape, form.tile, lanes);
                let passes = shape.inner.div_ceil(4 * block);
                let tile = panel::tile_rows(shape.rows.most, panels, passes);
                spec.extend([
                    ("LANES", lanes),
                    ("PANELS", form.tile),
                    ("BLOCK", block),
                    ("WHOLE", u32::from(passes == 1)),
                ]);
                params.push(("tile_rows", tile.into()));
                (&PRODUCT_PANEL, shape.rows.groups(tile, panels.into()))
            }
        };
        self.launch(plan, shape, kernel, groups, spec, params)
    }

    /// Launches one of the product's kernels, which all bind the same operands; `spec` and `params` are what it has besides
    /// the constants and parameters of all.
    pub(super) fn launch(
        &self,
        plan: &mut Plan,
        shape: &LinearShape,
        kernel: &Kernel,
        groups: Groups,
        mut spec: Vec<(&'static str, u32)>,
        mut params: Vec<(&'static str, Param)>,
    ) -> Result<()> {
        let (rows, k, n) = (u64::from(shape.rows.most), u64::from(shape.inner), u64::from(shape.columns));
        // Something must be bound for what is not there.
        let absent = (&self.x, 4.min(rows * k));
        let (extra_kind, (extra, extra_elements)) = match &self.extra {
            Extra::None => (0, absent),
            Extra::Add(view) => (1, (view, rows * n)),
            Extra::Slope(view) => (2, (view, rows * n)),
        };
        let (bias, bias_elements) = self.bias.as_ref().map_or(absent, |bias| (bias, n));
        let last = rows.saturating_sub(1) * u64::from(shape.y_stride) + u64::from(shape.y_first) + 1;
        spec.extend([
            ("WEIGHT_OUT_IN", u32::from(shape.direction == Direction::Forward)),
            ("BIAS", u32::from(self.bias.is_some())),
            ("EXTRA", extra_kind),
            ("ACTIVATION", shape.activation as u32),
        ]);
        params.extend([
            ("rows", shape.rows.most.into()),
            ("inner", shape.inner.into()),
            ("columns", shape.columns.into()),
            ("y_stride", shape.y_stride.into()),
            ("y_first", shape.y_first.into()),
        ]);
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &[
                Bind { name: "x", view: &self.x, elements: rows * k },
                Bind { name: "weight", view: &self.weight, elements: k * n },
                Bind { name: "bias", view: bias, elements: bias_elements },
                Bind { name: "extra", view: extra, elements: extra_elements },
                Bind { name: "y", view: &self.y, elements: last * n },
            ],
            params: &params,
            groups,
            cost: shape.cost(self.weight.storage(), self.y.storage()),
            shape: format!("({rows}, {k}) x ({k}, {n})"),
        })
    }
}

/// Whether the weight is held in blocks at constant places: where enough rows share each of them.
fn panel_pays(gpu: &Gpu, shape: &LinearShape) -> bool {
    panel::lanes(gpu).is_some() && shape.rows.most >= 32 && shape.inner >= 16 && shape.columns >= 16
}

/// Vectors of columns that a lane of a panel owns: more of them where few inputs leave room.
fn panels(gpu: &Gpu, shape: &LinearShape) -> u32 {
    let vectors = shape.columns.div_ceil(4 * panel::lanes(gpu).unwrap_or(4));
    match (shape.inner, vectors) {
        (..=32, 4..) => 4,
        (..=64, 2..) => 2,
        _ => 1,
    }
}

/// Vectors of inputs in a block of a panel: one for each lane at least.
fn block(shape: &LinearShape, panels: u32, lanes: u32) -> u32 {
    let least = lanes.max(8);
    (shape.inner / 4).next_power_of_two().clamp(least, least.max(32 / panels))
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
    product_cases_of(gpu, Variant::Subgroup, &shapes)
}

fn product_private_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes =
        [(1, 4, 4), (7, 3, 2), (15, 8, 36), (17, 36, 132), (1, 1, 1), (9, 13, 5), (131, 64, 17), (70_000, 3, 2)];
    product_cases_of(gpu, Variant::Private, &shapes)
}

fn product_shared_cases(gpu: &Gpu) -> Vec<Case> {
    // Edges on each side and none.
    let shapes = [(1, 4, 4), (16, 32, 32), (17, 36, 132), (128, 16, 32), (129, 36, 28), (2049, 24, 68), (70_000, 4, 4)];
    product_cases_of(gpu, Variant::Shared, &shapes)
}

fn product_panel_cases(gpu: &Gpu) -> Vec<Case> {
    // Whole blocks and several, edges on each side and none.
    let shapes = [(1, 4, 4), (16, 32, 32), (17, 36, 132), (131, 132, 68), (33, 2048, 32), (70_000, 4, 4)];
    product_cases_of(gpu, Variant::Panel, &shapes)
}

/// Small shapes in every form of the variant, large ones and further activations in each by turns.
fn product_cases_of(gpu: &Gpu, variant: Variant, shapes: &[(u32, u32, u32)]) -> Vec<Case> {
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
                let shape = shape.activated(activation);
                let all = rows < 100 && extra == i % 3;
                let forms = PRODUCT_CHOICE.of_case(gpu, variant, &shape, all, i + extra);
                let of_form = |form| product_case(form, &shape, extra, i % 3 != 1, [Storage::Word; 2]);
                cases.extend(forms.into_iter().map(of_form));
            }
        }
    }
    let halves = [[Storage::Half, Storage::Word], [Storage::Half; 2], [Storage::Word, Storage::Half]];
    for (i, (rows, inner, columns)) in shapes.iter().copied().enumerate().filter(|_| has_half(gpu)) {
        for direction in [Direction::Forward, Direction::Backward] {
            let storages = halves.iter().filter(|[weight, _]| rows < 1000 || *weight == Storage::Half);
            for (turn, storage) in storages.enumerate() {
                let y_storage = storage[1];
                let shape = LinearShape { direction, y_storage, ..LinearShape::forward(rows, inner, columns) };
                let forms = PRODUCT_CHOICE.of_case(gpu, variant, &shape, false, i + turn);
                cases.extend(forms.into_iter().map(|form| product_case(form, &shape, i % 2, i % 3 != 1, *storage)));
            }
        }
    }
    cases
}

/// What a case expects of sums with its third operand, which is `extra`: 0 nothing, 1 added, 2 a saved activation.
pub(super) fn with_epilogue(sums: Vec<f64>, third: &[f32], extra: usize, activation: Activation) -> Vec<f64> {
    let finished = |(sum, third): (f64, &f32)| match extra {
        0 => activation.value(sum),
        1 => activation.value(sum) + f64::from(*third),
        _ => sum * activation.slope(f64::from(*third)),
    };
    sums.into_iter().zip(third).map(finished).collect()
}

impl LinearProduct {
    /// The product of a case's buffers.
    pub(super) fn of_case(named: &Named, with_bias: bool, extra: usize) -> Result<Self> {
        Ok(Self {
            x: named.view("x")?,
            weight: named.view("weight")?,
            bias: with_bias.then(|| named.view("bias")).transpose()?,
            extra: match extra {
                0 => Extra::None,
                1 => Extra::Add(named.view("extra")?),
                _ => Extra::Slope(named.view("extra")?),
            },
            y: named.view("y")?,
        })
    }
}

fn product_case(
    form: Form,
    shape: &LinearShape,
    extra: usize,
    with_bias: bool,
    [weight_storage, y_storage]: [Storage; 2],
) -> Case {
    let (rows, k, n) = (shape.rows.most as usize, shape.inner as usize, shape.columns as usize);
    let mut random = RandomInputs::new((rows * 31 + k * 7 + n) as u64);
    let (mut x, weight) = (random.floats(rows * k), random.floats(n * k));
    if [weight_storage, y_storage] == [Storage::Word, Storage::Half] {
        // Beyond what f16 holds in most places.
        x.iter_mut().for_each(|x| *x *= 3e5);
    }
    let (weight, stored_weight) = stored(weight, weight_storage);
    let (bias, third) = (random.floats(n), random.floats(rows * n));
    let sums = product_reference(&x, &weight, with_bias.then_some(&bias), shape);
    let expected = with_epilogue(sums, &third, extra, shape.activation);
    let spec = (shape.direction, shape.activation);
    let mut name = format!("({rows}, {k}, {n}) {spec:?} bias {with_bias} extra {extra}");
    for (what, storage) in [("weight", weight_storage), ("y", y_storage)] {
        name += &if storage == Storage::Half { format!(" f16 {what}") } else { String::new() };
    }
    // Rounding errors of a sum of K terms in order grow like √K.
    let tolerance = 1e-6 * (1.0 + (k as f64).sqrt() / 4.0);
    let expected = match y_storage {
        Storage::Word => Expected::Near { values: expected, tolerance },
        Storage::Half => near_half(expected, tolerance),
    };
    let shape = shape.clone();
    let record = move |plan: &mut Plan, named: &Named| {
        LinearProduct::of_case(named, with_bias, extra)?.record_form(plan, &shape, &form)
    };
    Case {
        name,
        inputs: vec![("x", x.into()), ("weight", stored_weight), ("bias", bias.into()), ("extra", third.into())],
        outputs: vec![("y", expected)],
        record: Box::new(record),
    }
    .of_form(&form)
}
