//! Gradients of a product, d_W = d_yᵀ x and d_b = Σ d_y, in blocks of rows that are added in order.

use super::blocks::{Parts, block_rows_of};
use super::sums::{Columns, GradientInto, GradientSums};
use crate::error::Result;
use crate::gpu::{Cost, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::strategy::Strategy;
use crate::kernels::tiled::{self, GRADIENT_TILES, gradient_tile};
use crate::kernels::variant::{Variant, VariantSelector, Variants, rows_class, width_class};
use crate::kernels::{kernel, panel, record};

pub(super) static GRADIENT: Kernel = kernel!("linear", "linear_gradient");
pub(super) static GRADIENT_SCALAR: Kernel = kernel!("linear", "linear_gradient_scalar");
pub(super) static GRADIENT_TILED: Kernel = kernel!("linear", "linear_gradient_tiled");
pub(super) static GRADIENT_PANEL: Kernel = kernel!("linear", "linear_gradient_panel");

record! {
    /// Gradients d_W and d_b of a product; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct LinearGradient {
        /// (rows, inputs)
        pub x: View,
        /// (rows, outputs)
        pub d_y: View,
        /// (outputs, inputs)
        pub d_weight: View,
        /// (outputs): `None` for a product without bias
        pub d_bias: Option<View>,
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

impl GradientShape {
    /// Number of floats of the gradient.
    fn floats(&self) -> u64 {
        u64::from(self.inputs + 1) * u64::from(self.outputs)
    }

    fn parts(&self, gpu: &Gpu) -> Parts {
        Parts::new(gpu, &self.rows, self.floats())
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
    pub fn part_elements(&self, gpu: &Gpu) -> u64 {
        u64::from(self.parts(gpu).count) * self.floats()
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
            Variant::tiled("tiled128x128", 0),
            Variant::tiled("tiled128x64", 1),
            Variant::tiled("tiled64x64", 2),
            Variant::tiled("tiled32x32", 3),
            Variant::tiled("tiled16x64", 4),
            Variant::tiled("tiled64x16", 5),
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
            _ if tiled::is_default_of(gpu, &[shape.inputs, shape.outputs]) => (
                Strategy::Tiled,
                gradient_tile(shape.parts(gpu).count, [shape.outputs, shape.inputs], gpu.compute_units()),
                1,
            ),
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
    /// Records the gradient in the variant selected for its shape. The scratch of `sums` must hold
    /// [`GradientShape::part_elements`] floats.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &GradientShape, sums: &GradientSums<'_>) -> Result<()> {
        let keep = match sums.into() {
            GradientInto::Sum { keep } => keep,
            GradientInto::Samples(samples) => return samples.linear(plan, self, shape),
        };
        let columns = Columns {
            rows: &shape.rows,
            into: [Some(&self.d_weight), self.d_bias.as_ref()],
            elements: [shape.inputs * shape.outputs, shape.outputs],
        };
        let parts = shape.parts(plan.gpu());
        sums.record_sum(plan, &columns, parts, keep, &|plan, part| self.record_rows(plan, shape, part))
    }

    /// Records only the sums over blocks of rows, into `part` of [`GradientShape::part_elements`] floats.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record_rows(&self, plan: &mut Plan, shape: &GradientShape, part: &View) -> Result<()> {
        let variant = GRADIENT_SELECTOR.take(plan.gpu(), shape)?;
        self.record_parts(plan, shape, shape.parts(plan.gpu()), part, variant)
    }

    pub(super) fn record_parts(
        &self,
        plan: &mut Plan,
        shape: &GradientShape,
        parts: Parts,
        part: &View,
        variant: &Variant,
    ) -> Result<()> {
        let (rows, k, n) = (u64::from(shape.rows.capacity), u64::from(shape.inputs), u64::from(shape.outputs));
        let (counter, first_item, rows_per_item) = shape.rows.counter(plan.gpu())?;
        let part_elements = u64::from(parts.count) * shape.floats();
        let operands = || bind!(self.x[rows * k], self.d_y[rows * n], live = counter[1], part[part_elements]);
        let mut params = vec![
            ("rows", shape.rows.capacity.into()),
            ("blocks", parts.count.into()),
            ("block_rows", parts.rows.into()),
            ("first_item", first_item.into()),
            ("rows_per_item", rows_per_item.into()),
        ];
        let blocks = u64::from(parts.count);
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
                    bind!(passed[passed_elements], held[held_elements], live = counter[1], part[part_elements]);
                (&GRADIENT, spec, bindings, tiles.div_ceil(u64::from(subgroups)))
            }
            Strategy::Scalar => {
                params.extend([("inner", shape.inputs.into()), ("columns", shape.outputs.into())]);
                let groups = (blocks * n.div_ceil(4) * k.div_ceil(4)).div_ceil(64);
                (&GRADIENT_SCALAR, Vec::new(), operands(), groups)
            }
            Strategy::Tiled => {
                params.extend([("inner", shape.inputs.into()), ("columns", shape.outputs.into())]);
                let tile = GRADIENT_TILES[variant.tile as usize];
                params.push(("step", tile.step().into()));
                let [n_tile, k_tile] = tile.sizes().map(u64::from);
                let groups = blocks * n.div_ceil(n_tile) * k.div_ceil(k_tile);
                (&GRADIENT_TILED, vec![("TILE", tile.code())], operands(), groups)
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
                bytes: 4.0 * (rows * k + rows * n + part_elements) as f64,
            },
            shape: format!("({n}, {rows}) x ({rows}, {k})"),
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
