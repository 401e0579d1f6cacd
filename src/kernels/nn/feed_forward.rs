//! Fused feed-forward layers of a transformer block, for passes without gradient.
//!
//! ```text
//! y[r] = residual[r] + W2 · act(W1 · x[r] + b1) + b2
//! ```
//!
//! The hidden layer of width F is never written to memory. With the usual F = 2048 it would be most of the memory
//! traffic and memory use of a pass.
//!
//! There is no scalar variant. Where the kernel cannot run ([`lanes`]), two matrix products over windows of rows
//! replace it.

use crate::error::Result;
use crate::gpu::{Cost, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::device::probe::MOST_ITERATIONS;
use crate::kernels::linear::{Activation, Direction, LinearShape, product_reference};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::{Variant, VariantSelector, Variants, rows_class, width_class};
use crate::kernels::{kernel, panel, record};

pub(super) static FEED_FORWARD: Kernel = kernel!("nn", "feed_forward");
pub(super) static FEED_FORWARD_PANEL: Kernel = kernel!("nn", "feed_forward_panel");

record! {
    /// Fused feed-forward layers, see the module documentation.
    #[derive(Debug, Clone)]
    pub struct FeedForward {
        /// (rows, C)
        pub x: View,
        /// (rows, C); may be `x`
        pub residual: View,
        /// (F, C), of f32 or f16
        pub weight1: View,
        /// (F)
        pub bias1: View,
        /// (C, F), of the same type
        pub weight2: View,
        /// (C)
        pub bias2: View,
        /// (rows, C)
        pub y: View,
    }
}

/// Shape of a [`FeedForward`].
#[derive(Debug, Clone)]
pub struct FeedForwardShape {
    /// Rows of `x` and `y`.
    pub rows: Rows,
    /// C, a multiple of 4.
    pub width: u32,
    /// F, a multiple of 4.
    pub hidden: u32,
    /// Activation of the hidden layer.
    pub activation: Activation,
}

/// Maximum number of vec4 accumulators of a lane per row. Wider models would not fit into registers.
const MAX_TILES: u32 = 4;

/// Lanes of the adapter's subgroups, or `None` if two products are to be used. The kernel requires subgroups and a width
/// that fills at least half of a subgroup's columns, fits into its registers and keeps its loops short enough.
///
/// GPUs use two products. Those whose subgroups have one size would run this kernel badly: NVIDIA's with 223 registers
/// and an array in memory, AMD's with one subgroup per SIMD, by Mesa's compilers.
pub fn lanes(gpu: &Gpu, width: u32, hidden: u32) -> Option<u32> {
    let whole = gpu.is_software() && Strategy::choose(gpu, &[width, hidden]) == Strategy::Subgroup;
    match Strategy::lanes(gpu).filter(|_| whole) {
        Some(lanes) if width >= 2 * lanes && width <= MAX_TILES * 4 * lanes => {
            let blocks = u64::from(hidden.div_ceil(4 * lanes));
            let iterations = blocks * (1 + u64::from(width.div_ceil(4)) + u64::from(lanes));
            (iterations <= MOST_ITERATIONS.into()).then_some(lanes)
        }
        _ => None,
    }
}

/// Number of tiles of 4·lanes columns that hold a row, rounded up to a power of two.
fn tiles(width: u32, lanes: u32) -> u32 {
    width.div_ceil(4 * lanes).next_power_of_two()
}

pub(crate) static SELECTOR: VariantSelector<FeedForwardShape> = VariantSelector {
    variants: Variants {
        kernel: "feed_forward",
        least_lanes: 4,
        all: &[
            Variant::subgroup("rows8x1", 8, 1),
            Variant::subgroup("rows8x2", 8, 2),
            Variant::subgroup("rows8x4", 8, 4),
            Variant::subgroup("rows16x1", 16, 1),
            Variant::subgroup("rows16x2", 16, 2),
            Variant::subgroup("rows16x4", 16, 4),
            Variant::panel("units1", 1),
            Variant::panel("units2", 2),
            Variant::panel("units4", 4),
        ],
    },
    class: |shape| {
        let [c, f] = [shape.width, shape.hidden].map(width_class);
        format!("{c} x {f}, {}", rows_class(&shape.rows))
    },
    rule: |gpu, shape| {
        if let Some(lanes) = panel::lanes(gpu).filter(|_| shape.rows.capacity >= 32)
            && shape.hidden.is_multiple_of(4 * lanes)
        {
            let most = 4 / tiles(shape.width, lanes).min(4);
            let fits = |units: &u32| shape.hidden.is_multiple_of(4 * lanes * units);
            return (Strategy::Panel, [4, 2, 1].into_iter().filter(|units| *units <= most).find(fits).unwrap_or(1), 1);
        }
        (Strategy::Subgroup, 16, 1)
    },
    requirement: |gpu, shape, variant| {
        if variant.strategy == Strategy::Panel {
            let block = 4 * Strategy::lanes(gpu)? * variant.tile;
            let whole = shape.hidden.is_multiple_of(block);
            return (!whole).then(|| format!("a hidden width that is a multiple of {block}, got {}", shape.hidden));
        }
        let most = 4 * Strategy::lanes(gpu).unwrap_or(0) * MAX_TILES;
        (shape.width > most).then(|| format!("a width of at most {most}, got {}", shape.width))
    },
};

impl FeedForward {
    /// Records the kernel with subgroups of `lanes` lanes, see [`lanes`].
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &FeedForwardShape, lanes: u32) -> Result<()> {
        let variant = SELECTOR.take(plan.gpu(), shape)?;
        self.record_variant(plan, shape, lanes, variant)
    }

    pub(super) fn record_variant(
        &self,
        plan: &mut Plan,
        shape: &FeedForwardShape,
        lanes: u32,
        variant: &Variant,
    ) -> Result<()> {
        let (rows, c, f) = (u64::from(shape.rows.capacity), u64::from(shape.width), u64::from(shape.hidden));
        let mut spec = vec![
            ("LANES", lanes),
            ("ACTIVATION", shape.activation as u32),
            ("WEIGHT_BITS", self.weight1.storage().bits()),
        ];
        let mut params = vec![("rows", shape.rows.capacity.into()), ("hidden", shape.hidden.into())];
        let (kernel, groups) = if variant.strategy == Strategy::Panel {
            let tile = panel::tile_rows(shape.rows.capacity, 1, shape.hidden / (4 * lanes * variant.tile) + 1);
            spec.extend([("WIDTH4", shape.width / 4), ("UNITS", variant.tile)]);
            params.push(("tile_rows", tile.into()));
            (&FEED_FORWARD_PANEL, shape.rows.groups(tile, 1))
        } else {
            spec.extend([
                ("SUBGROUPS", variant.subgroups),
                ("ROWS", variant.tile),
                ("TILES", tiles(shape.width, lanes)),
            ]);
            params.push(("width", shape.width.into()));
            (&FEED_FORWARD, shape.rows.groups(variant.tile * variant.subgroups, 1))
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bind!(
                self.x[rows * c],
                self.residual[rows * c],
                self.weight1[f * c],
                self.bias1[f],
                self.weight2[c * f],
                self.bias2[c],
                self.y[rows * c]
            ),
            params: &params,
            groups,
            cost: Cost {
                flops: (4 * rows * c * f) as f64,
                bytes: (12 * rows * c + self.weight1.storage().bytes() * 2 * c * f) as f64,
            },
            shape: format!("({rows}, {c}, {f})"),
        })
    }
}

/// y (rows, C) in f64.
pub fn reference(
    x: &[f32],
    residual: &[f32],
    [weight1, bias1, weight2, bias2]: [&[f32]; 4],
    activation: Activation,
) -> Vec<f64> {
    let (c, f) = (bias2.len() as u32, bias1.len() as u32);
    let rows = x.len() as u32 / c;
    let shape =
        |inner, columns| LinearShape { direction: Direction::Forward, ..LinearShape::forward(rows, inner, columns) };
    let hidden = product_reference(x, weight1, Some(bias1), &shape(c, f));
    let hidden: Vec<f32> = hidden.iter().map(|h| activation.value(*h) as f32).collect();
    let out = product_reference(&hidden, weight2, Some(bias2), &shape(f, c));
    out.iter().zip(residual).map(|(y, residual)| y + f64::from(*residual)).collect()
}
