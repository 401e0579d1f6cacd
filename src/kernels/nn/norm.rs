//! Layer normalization over rows of width C, forward and backward.
//!
//! ```text
//! forward           y[r, c]   = x̂[r, c] γ[c] + β[c]       x̂[r, c] = (x[r, c] − mean_r) · rstd_r
//!                   mean_r    = Σ_c x[r, c] / C            rstd_r  = ( Σ_c (x[r, c] − mean_r)² / C + 1e-5 )^(−1/2)
//! input gradient    d_x[r, c] = rstd_r ( g_c − Σ_j g_j / C − x̂[r, c] Σ_j g_j x̂[r, j] / C ) + extra[r, c]
//!                   g_c       = d_y[r, c] γ[c]
//! scale and shift   d_γ[c]    = Σ_r d_y[r, c] x̂[r, c]     d_β[c]  = Σ_r d_y[r, c]
//! ```
//!
//! Ba, Kiros & Hinton, arXiv:1607.06450, with PyTorch's biased variance and ε.
//!
//! Passes without gradient use the same kernels, except that [`super::feed_forward_slices`] includes a norm that follows.
//! In the epilogue of the preceding product, where a row fits into a subgroup, a norm of (6144, 32) costs 0.1 instead of
//! 0.8 ms of processor time after the projection of attention, and nothing is gained after the feed-forward part (65.2
//! and 64.9 ms). That is about 0.6 % of a step of 16 sites and 256 samples on lavapipe, for a second reduction order. It
//! has not been measured on a GPU.

use crate::error::Result;
use crate::gpu::{Cost, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::linear::{Columns, GradientSums, Parts};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::{Variant, VariantSelector, Variants, rows_class, width_class};
use crate::kernels::{kernel, record, tiled};

pub(super) static FORWARD: Kernel = kernel!("nn", "norm_forward");
pub(super) static FORWARD_SCALAR: Kernel = kernel!("nn", "norm_forward_scalar");
pub(super) static FORWARD_TILED: Kernel = kernel!("nn", "norm_forward_tiled");
pub(super) static BACKWARD: Kernel = kernel!("nn", "norm_backward");
pub(super) static BACKWARD_SCALAR: Kernel = kernel!("nn", "norm_backward_scalar");
pub(super) static BACKWARD_TILED: Kernel = kernel!("nn", "norm_backward_tiled");
pub(super) static GRADIENT: Kernel = kernel!("nn", "norm_gradient");

/// Added to the variance to keep 1/√variance finite; PyTorch's default.
pub const EPSILON: f64 = 1e-5;

/// Shape of every kernel of this family.
#[derive(Debug, Clone)]
pub struct NormShape {
    /// Number of rows.
    pub rows: Rows,
    /// Width C of a row, at least 1.
    pub width: u32,
}

impl NormShape {
    /// Creates the shape of `rows` rows of width `width`.
    pub fn new(rows: impl Into<Rows>, width: u32) -> Self {
        Self { rows: rows.into(), width }
    }

    fn parts(&self, gpu: &Gpu) -> Parts {
        Parts::new(gpu, &self.rows, 2 * u64::from(self.width))
    }

    /// Number of scratch floats that [`NormGradient`] needs.
    pub fn part_elements(&self, gpu: &Gpu) -> u64 {
        2 * u64::from(self.parts(gpu).count) * u64::from(self.width)
    }

    fn elements(&self) -> u64 {
        u64::from(self.rows.capacity) * u64::from(self.width)
    }

    fn params(&self) -> [(&'static str, crate::gpu::Param); 2] {
        [("rows", self.rows.capacity.into()), ("width", self.width.into())]
    }

    fn cost(&self, flops: f64, arrays: u64) -> Cost {
        let extra = 2 * u64::from(self.rows.capacity) + 2 * u64::from(self.width);
        Cost { flops: flops * self.elements() as f64, bytes: 4.0 * (arrays * self.elements() + extra) as f64 }
    }

    fn text(&self) -> String {
        format!("({}, {})", self.rows.capacity, self.width)
    }
}

/// Rows per cluster of four lanes. More rows save loads of the scale; fewer rows keep a GPU occupied. The reduction
/// order is the same.
fn cluster_rows(gpu: &Gpu) -> u32 {
    if gpu.is_software() { 4 } else { 1 }
}

const CLUSTERS_PER_WORKGROUP: u32 = 16;

/// Lanes of a cluster, which shares its rows.
const CLUSTER: u32 = 4;

/// Lanes of a cluster exchange sums by subgroup operations, or through workgroup memory (`tiled`). The scalar variant has
/// a different reduction order.
const VARIANTS: &[Variant] = &[
    Variant::cluster("rows1", 1),
    Variant::cluster("rows4", 4),
    Variant::tiled("tiled", 1),
    Variant::scalar("scalar", 1).reduction_order(1),
];

pub(super) const fn selector(kernel: &'static str) -> VariantSelector<NormShape> {
    VariantSelector {
        variants: Variants { kernel, least_lanes: CLUSTER, all: VARIANTS },
        class: |shape| format!("{}, {}", width_class(shape.width), rows_class(&shape.rows)),
        rule: |gpu, shape| match shape.width.is_multiple_of(4) {
            true if gpu.least_subgroup_lanes().is_some_and(|lanes| lanes >= CLUSTER) => {
                (Strategy::Subgroup, cluster_rows(gpu), 1)
            }
            true if tiled::is_default(gpu) => (Strategy::Tiled, 1, 1),
            _ => (Strategy::Scalar, 1, 1),
        },
        requirement: |_, shape, variant| {
            (variant.strategy != Strategy::Scalar && !shape.width.is_multiple_of(4))
                .then(|| format!("a width that is a multiple of 4, got {}", shape.width))
        },
    }
}

pub(crate) static FORWARD_SELECTOR: VariantSelector<NormShape> = selector("norm_forward");
pub(crate) static BACKWARD_SELECTOR: VariantSelector<NormShape> = selector("norm_backward");

record! {
    /// y = norm(x), see the module documentation. `x` already includes the residual.
    #[derive(Debug, Clone)]
    pub struct NormForward {
        /// (rows, C)
        pub x: View,
        /// γ (C)
        pub gamma: View,
        /// β (C)
        pub beta: View,
        /// (rows, C)
        pub y: View,
        /// (rows, 2): mean and 1/√(variance + ε), for the backward kernels
        pub stats: View,
    }
}

impl NormForward {
    /// Records the kernel in the variant selected for its shape.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &NormShape) -> Result<()> {
        let variant = FORWARD_SELECTOR.take(plan.gpu(), shape)?;
        self.record_variant(plan, shape, variant)
    }

    pub(super) fn record_variant(&self, plan: &mut Plan, shape: &NormShape, variant: &Variant) -> Result<()> {
        let width = u64::from(shape.width);
        let (kernel, spec, groups) = match variant.strategy {
            Strategy::Subgroup | Strategy::Tiled => {
                let kernel = if variant.strategy == Strategy::Tiled { &FORWARD_TILED } else { &FORWARD };
                (kernel, vec![("ROWS", variant.tile)], shape.rows.groups(CLUSTERS_PER_WORKGROUP * variant.tile, 1))
            }
            Strategy::Scalar | Strategy::Panel => (&FORWARD_SCALAR, Vec::new(), shape.rows.groups(64, 1)),
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bind!(
                self.x[shape.elements()],
                self.gamma[width],
                self.beta[width],
                self.y[shape.elements()],
                self.stats[2 * u64::from(shape.rows.capacity)]
            ),
            params: &shape.params(),
            groups,
            cost: shape.cost(8.0, 2),
            shape: shape.text(),
        })
    }
}

record! {
    /// d_x of a norm, see the module documentation.
    #[derive(Debug, Clone)]
    pub struct NormBackward {
        /// (rows, C): input of the forward pass
        pub x: View,
        /// (rows, 2) from the forward pass
        pub stats: View,
        /// γ (C)
        pub gamma: View,
        /// (rows, C)
        pub d_y: View,
        /// (rows, C): gradient of the residual connection, added to d_x
        pub extra: Option<View>,
        /// (rows, C)
        pub d_x: View,
    }
}

impl NormBackward {
    /// Records the kernel in the variant selected for its shape.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &NormShape) -> Result<()> {
        let variant = BACKWARD_SELECTOR.take(plan.gpu(), shape)?;
        self.record_variant(plan, shape, variant)
    }

    pub(super) fn record_variant(&self, plan: &mut Plan, shape: &NormShape, variant: &Variant) -> Result<()> {
        let mut spec = vec![("EXTRA", u32::from(self.extra.is_some()))];
        let (kernel, groups) = match variant.strategy {
            Strategy::Subgroup | Strategy::Tiled => {
                spec.push(("ROWS", variant.tile));
                let kernel = if variant.strategy == Strategy::Tiled { &BACKWARD_TILED } else { &BACKWARD };
                (kernel, shape.rows.groups(CLUSTERS_PER_WORKGROUP * variant.tile, 1))
            }
            Strategy::Scalar | Strategy::Panel => (&BACKWARD_SCALAR, shape.rows.groups(64, 1)),
        };
        let extra = self.extra.as_ref().unwrap_or(&self.x);
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bind!(
                self.x[shape.elements()],
                self.stats[2 * u64::from(shape.rows.capacity)],
                self.gamma[u64::from(shape.width)],
                self.d_y[shape.elements()],
                extra[shape.elements()],
                self.d_x[shape.elements()]
            ),
            params: &shape.params(),
            groups,
            cost: shape.cost(14.0, 3 + u64::from(self.extra.is_some())),
            shape: shape.text(),
        })
    }
}

record! {
    /// d_γ and d_β of a norm, see the module documentation.
    #[derive(Debug, Clone)]
    pub struct NormGradient {
        /// (rows, C): input of the forward pass
        pub x: View,
        /// (rows, 2) from the forward pass
        pub stats: View,
        /// (rows, C)
        pub d_y: View,
        /// (C)
        pub d_gamma: View,
        /// (C)
        pub d_beta: View,
    }
}

impl NormGradient {
    /// Records the gradient. The scratch of `sums` must hold [`NormShape::part_elements`] floats.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &NormShape, sums: &GradientSums<'_>) -> Result<()> {
        let (rows, into) = (&shape.rows, [Some(&self.d_gamma), Some(&self.d_beta)]);
        let columns = Columns { rows, into, elements: [shape.width; 2] };
        let parts = shape.parts(plan.gpu());
        sums.record(plan, &columns, parts, &|plan, part| self.record_blocks(plan, shape, parts, part))
    }

    pub(super) fn record_blocks(&self, plan: &mut Plan, shape: &NormShape, parts: Parts, part: &View) -> Result<()> {
        let (counter, first_item, rows_per_item) = shape.rows.counter(plan.gpu())?;
        let [rows, width] = shape.params();
        let columns = u64::from(parts.count) * u64::from(shape.width);
        plan.launch(&Launch {
            kernel: &GRADIENT,
            spec: &[],
            bindings: &bind!(
                self.x[shape.elements()],
                self.stats[2 * u64::from(shape.rows.capacity)],
                self.d_y[shape.elements()],
                live = counter[1],
                part[2 * columns]
            ),
            params: &[
                rows,
                width,
                ("blocks", parts.count.into()),
                ("block_rows", parts.rows.into()),
                ("first_item", first_item.into()),
                ("rows_per_item", rows_per_item.into()),
            ],
            groups: shape.rows.groups_of_all(columns.div_ceil(64)),
            cost: shape.cost(5.0, 2),
            shape: shape.text(),
        })
    }
}

/// y (rows, C) and stats (rows, 2) in f64; C is the length of `gamma`.
pub fn forward_reference(x: &[f64], gamma: &[f64], beta: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let width = gamma.len();
    let (mut y, mut stats) = (Vec::with_capacity(x.len()), Vec::new());
    for row in x.chunks(width) {
        let mean = row.iter().sum::<f64>() / width as f64;
        let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
        let rstd = 1.0 / (variance + EPSILON).sqrt();
        y.extend(row.iter().zip(gamma).zip(beta).map(|((v, gamma), beta)| (v - mean) * rstd * gamma + beta));
        stats.extend([mean, rstd]);
    }
    (y, stats)
}

/// d_x (rows, C) in f64, without `extra`.
pub fn backward_reference(x: &[f64], stats: &[f64], gamma: &[f64], d_y: &[f64]) -> Vec<f64> {
    let width = gamma.len();
    let mut d_x = Vec::with_capacity(x.len());
    for ((row, stats), d_y) in x.chunks(width).zip(stats.chunks(2)).zip(d_y.chunks(width)) {
        let normal: Vec<f64> = row.iter().map(|v| (v - stats[0]) * stats[1]).collect();
        let g: Vec<f64> = d_y.iter().zip(gamma).map(|(d, gamma)| d * gamma).collect();
        let mean_g = g.iter().sum::<f64>() / width as f64;
        let mean_g_normal = g.iter().zip(&normal).map(|(g, n)| g * n).sum::<f64>() / width as f64;
        d_x.extend(g.iter().zip(&normal).map(|(g, n)| stats[1] * (g - mean_g - n * mean_g_normal)));
    }
    d_x
}

/// d_γ (C) and d_β (C) in f64 over all rows of `x`.
pub fn gradient_reference(x: &[f64], stats: &[f64], d_y: &[f64], width: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut d_gamma, mut d_beta) = (vec![0.0; width], vec![0.0; width]);
    for ((row, stats), d_y) in x.chunks(width).zip(stats.chunks(2)).zip(d_y.chunks(width)) {
        for c in 0..width {
            d_gamma[c] += d_y[c] * (row[c] - stats[0]) * stats[1];
            d_beta[c] += d_y[c];
        }
    }
    (d_gamma, d_beta)
}
