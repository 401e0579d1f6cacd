//! Product y = act(x Wᵀ + b) + e, and the gradient of the inputs.

use super::Activation;
use super::cooperative::{Fragment, fragment};
use crate::error::Result;
use crate::gpu::{Cost, DType, Gpu, Groups, Kernel, Launch, Param, Plan, Rows, View, bind};
use crate::kernels::strategy::Strategy;
use crate::kernels::tiled::{self, PRODUCT_TILES, product_slices, product_tile};
use crate::kernels::variant::{Variant, VariantSelector, Variants, rows_class, width_class};
use crate::kernels::{kernel, panel};

pub(super) static PRODUCT: Kernel = kernel!("linear", "linear_product");
pub(super) static PRODUCT_SCALAR: Kernel = kernel!("linear", "linear_product_scalar");
pub(super) static PRODUCT_TILED: Kernel = kernel!("linear", "linear_product_tiled");
pub(super) static PRODUCT_PANEL: Kernel = kernel!("linear", "linear_product_panel");

pub(crate) static PRODUCT_SELECTOR: VariantSelector<LinearShape> = VariantSelector {
    variants: Variants {
        kernel: "linear_product",
        least_lanes: 4,
        all: &[
            Variant::subgroup("subgroup1", 16, 1),
            Variant::subgroup("subgroup2", 16, 2),
            Variant::subgroup("subgroup4", 16, 4),
            Variant::scalar("scalar", 8),
            Variant::tiled("tiled128x128", 0).reduction_order(1),
            Variant::tiled("tiled128x64", 1).reduction_order(1),
            Variant::tiled("tiled64x64", 2).reduction_order(1),
            Variant::tiled("tiled128x32", 3).reduction_order(1),
            Variant::tiled("tiled32x32", 4).reduction_order(1),
            Variant::tiled("tiled64x64s4", 5).reduction_order(1),
            Variant::tiled("tiled64x32s4", 6).reduction_order(1),
            Variant::tiled("tiled32x32s4", 7).reduction_order(1),
            Variant::tiled("tiled64x16s4", 8).reduction_order(1),
            Variant::tiled("tiled16x32s16", 9).reduction_order(1),
            Variant::tiled("tiled16x16s16", 10).reduction_order(1),
            Variant::panel("panel1", 1),
            Variant::panel("panel2", 2),
            Variant::panel("panel4", 4),
        ],
    },
    class: |shape| {
        let [k, n] = [shape.inner, shape.columns].map(width_class);
        format!("{:?} {k} x {n}, {}", shape.direction, rows_class(&shape.rows)).to_lowercase()
    },
    rule: |gpu, shape| match Strategy::choose(gpu, &[shape.inner, shape.columns]) {
        _ if tiled::is_default_of(gpu, &[shape.inner, shape.columns]) => {
            let sizes = [shape.rows.capacity, shape.inner, shape.columns];
            (Strategy::Tiled, product_tile(sizes, gpu.compute_units(), gpu.has_many_registers()), 1)
        }
        Strategy::Subgroup if panel_pays(gpu, shape) => (Strategy::Panel, panels(gpu, shape), 1),
        Strategy::Subgroup => (Strategy::Subgroup, 16, Strategy::subgroups(gpu)),
        _ => (Strategy::Scalar, 8, 1),
    },
    requirement: |gpu, shape, variant| {
        if variant.strategy == Strategy::Panel && shape.y_storage == DType::F16 {
            let most = 4 * block(shape, variant.tile, Strategy::lanes(gpu)?);
            if shape.inner > most {
                return Some(format!("an output of f32, or at most {most} inputs"));
            }
        }
        if variant.strategy == Strategy::Tiled {
            let slices = product_slices(shape.inner, shape.columns);
            let of_tile = PRODUCT_TILES[variant.tile as usize].slices;
            if slices != of_tile {
                return Some(format!("widths whose sums have {of_tile} slices, these have {slices}"));
            }
        }
        let whole = shape.inner.is_multiple_of(4) && shape.columns.is_multiple_of(4);
        (variant.strategy != Strategy::Scalar && !whole)
            .then(|| format!("widths that are multiples of 4, got {} and {}", shape.inner, shape.columns))
    },
};

/// Direction of a product, which determines the layout of the weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `weight` is (columns, inner), the forward product.
    Forward,
    /// `weight` is (inner, columns), the gradient of the inputs.
    Backward,
}

/// Third operand of a product.
#[derive(Debug, Clone)]
pub enum Extra {
    /// No third operand.
    None,
    /// (rows, columns), added after the activation: a residual or another gradient.
    Add(View),
    /// (rows, columns), saved by the forward pass: the sum is multiplied by the slope of the activation at this value.
    Slope(View),
}

/// Product y = act(x · M + bias) + extra; see the module documentation.
#[derive(Debug, Clone)]
pub struct LinearProduct {
    /// (rows, inner)
    pub x: View,
    /// (columns, inner) forward, (inner, columns) backward; f32 or f16
    pub weight: View,
    /// (columns)
    pub bias: Option<View>,
    /// Third operand.
    pub extra: Extra,
    /// (rows, columns), in rows of `y_stride`; f32 or f16, which is limited to ±65504
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
    /// Activation; with [`Extra::Slope`], the activation whose slope multiplies the sum.
    pub activation: Activation,
    /// Row r is stored at row r·y_stride + y_first of `y`.
    pub y_stride: u32,
    /// See `y_stride`.
    pub y_first: u32,
    /// Storage type of `y`; set when the product is recorded.
    pub(crate) y_storage: DType,
}

impl LinearShape {
    /// Creates the shape of a forward product without activation.
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
            y_storage: DType::F32,
        }
    }

    /// Creates the shape of the input gradient of a forward product: `inner` outputs back to `columns` inputs.
    pub fn backward(rows: impl Into<Rows>, inner: u32, columns: u32) -> Self {
        Self { direction: Direction::Backward, ..Self::forward(rows, inner, columns) }
    }

    /// Returns the same shape with an activation.
    pub fn activated(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    fn cost(&self, weight: DType, y: DType) -> Cost {
        let (rows, k, n) = (f64::from(self.rows.capacity), f64::from(self.inner), f64::from(self.columns));
        let [weight, y] = [weight, y].map(|storage| storage.bytes() as f64);
        Cost { flops: 2.0 * rows * k * n, bytes: 4.0 * rows * k + weight * k * n + y * rows * n }
    }
}

impl LinearProduct {
    /// Records the product in the variant selected for its shape. Products of f16 weights with f32 output use
    /// cooperative matrices if the device was opened with them.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &LinearShape) -> Result<()> {
        let mixed = self.weight.storage() == DType::F16 && self.y.storage() == DType::F32;
        if mixed && let Some(fragment) = fragment(plan.gpu(), [shape.inner, shape.columns]) {
            return self.record_cooperative(plan, shape, fragment, fragment.kernel());
        }
        let shape = LinearShape { y_storage: self.y.storage(), ..shape.clone() };
        let variant = PRODUCT_SELECTOR.take(plan.gpu(), &shape)?;
        self.record_variant(plan, &shape, variant)
    }

    pub(super) fn record_variant(&self, plan: &mut Plan, shape: &LinearShape, variant: &Variant) -> Result<()> {
        let mut spec = vec![("WEIGHT_BITS", self.weight.storage().bits()), ("CACHE_BITS", self.y.storage().bits())];
        let mut params = Vec::new();
        let (kernel, groups) = match variant.strategy {
            Strategy::Subgroup => {
                let lanes = variant.lanes(plan.gpu(), PRODUCT.name)?;
                spec.extend([("LANES", lanes), ("SUBGROUPS", variant.subgroups)]);
                let tiles = shape.columns.div_ceil(4 * lanes);
                (&PRODUCT, shape.rows.groups(variant.tile * variant.subgroups, tiles.into()))
            }
            Strategy::Scalar => {
                (&PRODUCT_SCALAR, shape.rows.groups(variant.tile * 64, shape.columns.div_ceil(4).into()))
            }
            Strategy::Tiled => {
                let tile = PRODUCT_TILES[variant.tile as usize];
                spec.push(("TILE", tile.code()));
                params.push(("steps", tile.steps(shape.inner).into()));
                (&PRODUCT_TILED, shape.rows.groups(tile.rows(), shape.columns.div_ceil(tile.columns()).into()))
            }
            Strategy::Panel => {
                let lanes = variant.lanes(plan.gpu(), PRODUCT_PANEL.name)?;
                let panels = shape.columns.div_ceil(4 * lanes * variant.tile);
                let block = block(shape, variant.tile, lanes);
                let passes = shape.inner.div_ceil(4 * block);
                let tile = panel::tile_rows(shape.rows.capacity, panels, passes);
                spec.extend([
                    ("LANES", lanes),
                    ("PANELS", variant.tile),
                    ("BLOCK", block),
                    ("WHOLE", u32::from(passes == 1)),
                ]);
                params.push(("tile_rows", tile.into()));
                (&PRODUCT_PANEL, shape.rows.groups(tile, panels.into()))
            }
        };
        self.launch(plan, shape, kernel, groups, spec, params)
    }

    /// Records the product with cooperative matrices, for weights in f16 and `y` in f32.
    pub(super) fn record_cooperative(
        &self,
        plan: &mut Plan,
        shape: &LinearShape,
        Fragment { size, lanes }: Fragment,
        kernel: &Kernel,
    ) -> Result<()> {
        let groups = shape.rows.groups(4 * size, shape.columns.div_ceil(4 * size).into());
        self.launch(plan, shape, kernel, groups, vec![("LANES", lanes)], Vec::new())
    }

    /// Launches one of the product kernels, which all bind the same operands. `spec` and `params` are its constants and
    /// parameters in addition to the common ones.
    fn launch(
        &self,
        plan: &mut Plan,
        shape: &LinearShape,
        kernel: &Kernel,
        groups: Groups,
        mut spec: Vec<(&'static str, u32)>,
        mut params: Vec<(&'static str, Param)>,
    ) -> Result<()> {
        let (rows, k, n) = (u64::from(shape.rows.capacity), u64::from(shape.inner), u64::from(shape.columns));
        // Absent operands still need a bound view.
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
            ("rows", shape.rows.capacity.into()),
            ("inner", shape.inner.into()),
            ("columns", shape.columns.into()),
            ("y_stride", shape.y_stride.into()),
            ("y_first", shape.y_first.into()),
        ]);
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bind!(
                self.x[rows * k],
                self.weight[k * n],
                bias[bias_elements],
                extra[extra_elements],
                self.y[last * n]
            ),
            params: &params,
            groups,
            cost: shape.cost(self.weight.storage(), self.y.storage()),
            shape: format!("({rows}, {k}) x ({k}, {n})"),
        })
    }
}

/// Whether the panel kernel pays off: if enough rows share each block of the weight.
fn panel_pays(gpu: &Gpu, shape: &LinearShape) -> bool {
    panel::lanes(gpu).is_some() && shape.rows.capacity >= 32 && shape.inner >= 16 && shape.columns >= 16
}

/// Number of vectors of columns per lane of a panel; more if few inputs leave room.
fn panels(gpu: &Gpu, shape: &LinearShape) -> u32 {
    let vectors = shape.columns.div_ceil(4 * panel::lanes(gpu).unwrap_or(4));
    match (shape.inner, vectors) {
        (..=32, 4..) => 4,
        (..=64, 2..) => 2,
        _ => 1,
    }
}

/// Number of vectors of inputs per block of a panel, at least one per lane.
fn block(shape: &LinearShape, panels: u32, lanes: u32) -> u32 {
    let least = lanes.max(8);
    (shape.inner / 4).next_power_of_two().clamp(least, least.max(32 / panels))
}

/// Reference in f64: `x` is (rows, K), `weight` is (N, K) forward or (K, N) backward. Returns (rows, N) before `extra`
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
    (0..shape.rows.capacity as usize)
        .flat_map(|row| (0..n).map(move |column| (row, column)))
        .map(|(r, c)| entry(r, c))
        .collect()
}
