//! Factored attention: weights that depend only on the relative position of two patches, not on their contents.
//!
//! ```text
//! forward            out[b, i, m, d] = Σ_j A[m, r(i, j)] v[b, j, m, d]
//! value gradient     d_v[b, j, m, d] = Σ_i A[m, r(i, j)] d_out[b, i, m, d]
//! weight gradient    d_A[m, r]       = Σ_b Σ_i Σ_d d_out[b, i, m, d] v[b, j(i, r), m, d]
//! ```
//!
//! Patch i of the Tx × Ty grid is at X = ⌊i / Ty⌋, Y = i mod Ty. The relative position is r(i, j) = ((X_j − X_i) mod
//! Tx)·Ty + (Y_j − Y_i) mod Ty, and j(i, r) is the patch with r(i, j) = r. Head m has columns m·D..(m+1)·D. Shifting
//! all patches shifts the outputs. Source: Rende et al., arXiv:2310.05715.

use super::class;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Cost, Gpu, Groups, Kernel, Launch, Param, Plan, Rows, View, bind};
use crate::kernels::linear::{Columns, GradientSums, Parts, block_rows, block_rows_of};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::{Variant, VariantSelector, Variants};
use crate::kernels::{kernel, record};

pub(super) static FORWARD: Kernel = kernel!("attention", "attention_factored");
pub(super) static FORWARD_SCALAR: Kernel = kernel!("attention", "attention_factored_scalar");
pub(super) static GRADIENT: Kernel = kernel!("attention", "attention_factored_gradient");
pub(super) static GRADIENT_SCALAR: Kernel = kernel!("attention", "attention_factored_gradient_scalar");

/// Shape of factored attention.
#[derive(Debug, Clone)]
pub struct FactoredShape {
    /// B·T rows, whole samples.
    pub rows: Rows,
    /// Tx, Ty
    pub grid: [u32; 2],
    /// Number of heads H.
    pub h: u32,
    /// Head width D, at most [`FactoredShape::MOST_WIDTH`].
    pub d: u32,
}

/// Direction of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orientation {
    /// Forward product, out from v.
    Forward = 0,
    /// Reverse product, d_v from d_out.
    Reversed = 1,
}

/// Maximum number of queries per subgroup.
const MOST_QUERIES: u32 = 16;
/// Maximum number of loop iterations of an invocation, below the 65,535 after which some drivers silently end a shader.
const MOST_ITERATIONS: u64 = 60_000;

impl FactoredShape {
    /// Maximum head width, for which a block of 512 rows stays below the number of loop iterations that every driver
    /// runs.
    pub const MOST_WIDTH: u32 = 64;
    /// Maximum number of patches of a sample. A block of the gradient has whole samples and at most 512 rows.
    pub const MOST_PATCHES: u32 = 512;

    /// Number of patches T.
    pub fn tokens(&self) -> u32 {
        self.grid[0] * self.grid[1]
    }

    fn samples(&self) -> Rows {
        self.rows.items(self.tokens())
    }

    fn elements(&self) -> u64 {
        u64::from(self.rows.capacity) * u64::from(self.h * self.d)
    }

    fn weights(&self) -> u64 {
        u64::from(self.h) * u64::from(self.tokens())
    }

    /// Number of samples per block of the gradient.
    fn block_samples(&self) -> u32 {
        (block_rows_of(&self.rows) / self.tokens()).max(1)
    }

    fn blocks(&self) -> u32 {
        self.samples().capacity.div_ceil(self.block_samples())
    }

    /// Rows with the same number of blocks. Fixed rows do not store the number of rows per sample and would give a
    /// different number of blocks.
    fn block_rows(&self) -> Rows {
        if self.rows.live.is_some() { self.rows.clone() } else { Rows::from(self.blocks() * block_rows(1)) }
    }

    /// Number of scratch floats that [`FactoredGradient`] needs.
    pub fn part_elements(&self) -> u64 {
        u64::from(self.blocks()) * self.weights()
    }

    /// Number of queries per subgroup: all, or equal parts of them.
    fn queries(&self) -> u32 {
        let tokens = self.tokens();
        tokens.div_ceil(tokens.div_ceil(MOST_QUERIES))
    }

    /// Number of keys per lane in the gradient.
    fn keys(&self, lanes: u32) -> u32 {
        [1, 2].into_iter().find(|keys| keys * lanes >= self.tokens()).unwrap_or(4)
    }

    /// Total number of loop iterations of an invocation of the subgroup gradient kernel.
    fn gradient_iterations(&self, lanes: u32) -> u64 {
        let [t, queries, keys] = [self.tokens(), self.queries(), self.keys(lanes)].map(u64::from);
        let (loads, offsets) = (queries.div_ceil(lanes.into()), t.div_ceil(lanes.into()));
        let terms = u64::from(Self::MOST_PATCHES) / t * u64::from(self.d);
        let term = 1 + loads + keys + queries * (1 + keys);
        let samples = u64::from(Self::MOST_PATCHES) / t;
        let tile = terms * term + samples + queries * (keys + 1 + offsets * (1 + keys)) + loads + keys;
        t.div_ceil(queries) * t.div_ceil(keys * u64::from(lanes)) * tile + 2 * offsets
    }

    fn check(&self, kernel: &Kernel) -> Result<()> {
        let (t, d, rows) = (self.tokens(), self.d, self.rows.capacity);
        let fits = (1..=Self::MOST_PATCHES).contains(&t) && (1..=Self::MOST_WIDTH).contains(&d) && self.h > 0;
        if fits && rows.is_multiple_of(t) {
            return Ok(());
        }
        let message = format!(
            "{}: expected 1 to {} patches, heads of width 1 to {} and rows of whole samples, got {t} patches, {} heads \
             of width {d} and {rows} rows",
            kernel.name,
            Self::MOST_PATCHES,
            Self::MOST_WIDTH,
            self.h
        );
        Err(Error::new(ErrorKind::Shape, message))
    }

    fn params(&self) -> Vec<(&'static str, Param)> {
        vec![
            ("samples", self.samples().capacity.into()),
            ("side_x", self.grid[0].into()),
            ("side_y", self.grid[1].into()),
            ("heads", self.h.into()),
            ("head_width", self.d.into()),
        ]
    }

    fn cost(&self, part: u64) -> Cost {
        let elements = self.elements();
        Cost { flops: 2.0 * (elements * u64::from(self.tokens())) as f64, bytes: 4.0 * (2 * elements + part) as f64 }
    }

    fn text(&self) -> String {
        format!("({}, {}, {}, {})", self.samples().capacity, self.tokens(), self.h, self.d)
    }
}

const VARIANTS: &[Variant] = &[
    Variant::subgroup("subgroups1", 1, 1),
    Variant::subgroup("subgroups2", 1, 2),
    Variant::subgroup("subgroups4", 1, 4),
    Variant::scalar("scalar", 1),
];

/// The scalar gradient adds queries in a different order if the keys do not fit into one tile.
const GRADIENT_VARIANTS: &[Variant] = &[VARIANTS[0], VARIANTS[1], VARIANTS[2], VARIANTS[3].reduction_order(1)];

pub(super) fn subgroups(gpu: &Gpu) -> u32 {
    if gpu.is_software() { 2 } else { 4 }
}

pub(crate) static FORWARD_SELECTOR: VariantSelector<FactoredShape> = VariantSelector {
    variants: Variants { kernel: "attention_factored", least_lanes: 4, all: VARIANTS },
    class: |shape| class(shape.tokens(), shape.d),
    rule: |gpu, _| match Strategy::lanes(gpu) {
        Some(_) => (Strategy::Subgroup, 1, subgroups(gpu)),
        None => (Strategy::Scalar, 1, 1),
    },
    requirement: |_, _, _| None,
};

pub(crate) static GRADIENT_SELECTOR: VariantSelector<FactoredShape> = VariantSelector {
    variants: Variants { kernel: "attention_factored_gradient", least_lanes: 4, all: GRADIENT_VARIANTS },
    class: |shape| class(shape.tokens(), shape.d),
    rule: |gpu, _| match Strategy::lanes(gpu) {
        Some(_) => (Strategy::Subgroup, 1, subgroups(gpu)),
        None => (Strategy::Scalar, 1, 1),
    },
    requirement: |gpu, shape, variant| {
        let lanes = Strategy::lanes(gpu).filter(|_| variant.strategy == Strategy::Subgroup)?;
        let iterations = shape.gradient_iterations(lanes);
        (iterations > MOST_ITERATIONS).then(|| {
            format!(
                "at most {MOST_ITERATIONS} loop iterations, {} needs {iterations} (more heads are narrower)",
                shape.text()
            )
        })
    },
};

record! {
    /// Factored attention, out or d_v; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct FactoredAttention {
        /// (B·T, C): v or d_out
        pub v: View,
        /// (H, T): A, f32 or f16
        pub relative: View,
        /// (B·T, C): out or d_v
        pub out: View,
    }
}

impl FactoredAttention {
    /// Records the kernel in the variant selected for its shape.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for heads or samples beyond the limits of [`FactoredShape`]; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &FactoredShape, orientation: Orientation) -> Result<()> {
        shape.check(&FORWARD)?;
        let variant = FORWARD_SELECTOR.take(plan.gpu(), shape)?;
        self.record_variant(plan, shape, orientation, variant)
    }

    pub(super) fn record_variant(
        &self,
        plan: &mut Plan,
        shape: &FactoredShape,
        orientation: Orientation,
        variant: &Variant,
    ) -> Result<()> {
        let mut spec = vec![("REVERSED", orientation as u32), ("WEIGHT_BITS", self.relative.storage().bits())];
        let columns = shape.samples().times(shape.d);
        let (kernel, groups): (_, Groups) = match variant.strategy {
            Strategy::Subgroup => {
                let (lanes, queries) = (variant.lanes(plan.gpu(), FORWARD.name)?, shape.queries());
                spec.extend([("LANES", lanes), ("SUBGROUPS", variant.subgroups), ("QUERIES", queries)]);
                let tiles = u64::from(shape.h * shape.tokens().div_ceil(queries));
                (&FORWARD, columns.groups(4 * lanes * variant.subgroups, tiles))
            }
            Strategy::Scalar | Strategy::Tiled | Strategy::Panel => {
                (&FORWARD_SCALAR, columns.groups(256, u64::from(shape.h * shape.tokens().div_ceil(4))))
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bind!(self.v[shape.elements()], self.relative[shape.weights()], self.out[shape.elements()]),
            params: &shape.params(),
            groups,
            cost: shape.cost(shape.weights()),
            shape: shape.text(),
        })
    }
}

record! {
    /// Gradient d_A of the weights; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct FactoredGradient {
        /// (B·T, C)
        pub d_out: View,
        /// (B·T, C)
        pub v: View,
        /// (H, T)
        pub d_relative: View,
    }
}

impl FactoredGradient {
    /// Records the gradient in the variant selected for its shape. The scratch of `sums` must hold
    /// [`FactoredShape::part_elements`] floats.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for heads or samples beyond the limits of [`FactoredShape`]; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &FactoredShape, sums: &GradientSums<'_>) -> Result<()> {
        shape.check(&GRADIENT)?;
        let variant = GRADIENT_SELECTOR.take(plan.gpu(), shape)?;
        let rows = shape.block_rows();
        let elements = [shape.weights() as u32, 0];
        let columns = Columns { rows: &rows, into: [Some(&self.d_relative), None], elements };
        sums.record(plan, &columns, Parts::whole(&rows), &|plan, part| self.record_blocks(plan, shape, variant, part))
    }

    pub(super) fn record_blocks(
        &self,
        plan: &mut Plan,
        shape: &FactoredShape,
        variant: &Variant,
        part: &View,
    ) -> Result<()> {
        let (live, first_item, _) = shape.rows.counter(plan.gpu())?;
        let (blocks, tokens) = (shape.blocks(), shape.tokens());
        let heads = u64::from(blocks) * u64::from(shape.h);
        let (kernel, spec, groups) = match variant.strategy {
            Strategy::Subgroup => {
                let lanes = variant.lanes(plan.gpu(), GRADIENT.name)?;
                let spec = vec![
                    ("LANES", lanes),
                    ("SUBGROUPS", variant.subgroups),
                    ("QUERIES", shape.queries()),
                    ("KEYS", shape.keys(lanes)),
                    ("OFFSETS", tokens.div_ceil(lanes)),
                ];
                (&GRADIENT, spec, heads.div_ceil(variant.subgroups.into()))
            }
            Strategy::Scalar | Strategy::Tiled | Strategy::Panel => {
                (&GRADIENT_SCALAR, Vec::new(), (heads * u64::from(tokens.div_ceil(4))).div_ceil(64))
            }
        };
        let mut params = shape.params();
        params.extend([
            ("blocks", blocks.into()),
            ("block_samples", shape.block_samples().into()),
            ("first_item", first_item.into()),
        ]);
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bind!(
                self.d_out[shape.elements()],
                self.v[shape.elements()],
                live[1],
                part[shape.part_elements()]
            ),
            params: &params,
            groups: shape.rows.groups_of_all(groups),
            cost: shape.cost(shape.part_elements()),
            shape: shape.text(),
        })
    }
}

/// Relative position r(i, j) on a grid [Tx, Ty].
pub(crate) fn offset(i: usize, j: usize, [tx, ty]: [u32; 2]) -> usize {
    let (tx, ty) = (tx as usize, ty as usize);
    (j / ty + tx - i / ty) % tx * ty + (j % ty + ty - i % ty) % ty
}

/// Iterates over (row i, row j, first column of head m, m·T + r) for `rows` rows.
fn pairs(rows: usize, grid: [u32; 2], h: usize, d: usize) -> impl Iterator<Item = [usize; 4]> {
    let t = (grid[0] * grid[1]) as usize;
    (0..rows).flat_map(move |i| {
        let (first, i_in) = (i / t * t, i % t);
        (0..t).flat_map(move |j| (0..h).map(move |m| [i, first + j, m * d, m * t + offset(i_in, j, grid)]))
    })
}

/// Reference in f64: out (B·T, C) from v (B·T, C) and A (H, T).
pub fn factored_reference(v: &[f64], relative: &[f64], shape: &FactoredShape) -> Vec<f64> {
    let (h, d) = (shape.h as usize, shape.d as usize);
    let (c, mut out) = (h * d, vec![0.0; v.len()]);
    for [i, j, column, weight] in pairs(v.len() / c, shape.grid, h, d) {
        (column..column + d).for_each(|e| out[i * c + e] += relative[weight] * v[j * c + e]);
    }
    out
}

/// Reference in f64: d_v (B·T, C) and d_A (H, T).
pub fn factored_backward_reference(
    v: &[f64],
    relative: &[f64],
    d_out: &[f64],
    shape: &FactoredShape,
) -> (Vec<f64>, Vec<f64>) {
    let (h, d) = (shape.h as usize, shape.d as usize);
    let c = h * d;
    let (mut d_v, mut d_relative) = (vec![0.0; v.len()], vec![0.0; relative.len()]);
    for [i, j, column, weight] in pairs(v.len() / c, shape.grid, h, d) {
        for e in column..column + d {
            d_v[j * c + e] += relative[weight] * d_out[i * c + e];
            d_relative[weight] += d_out[i * c + e] * v[j * c + e];
        }
    }
    (d_v, d_relative)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::attention::cases::factored::{CASES, shape_of};

    #[test]
    fn queries_are_cut_into_equal_parts() {
        for (grid, queries) in [([2, 2], 4), ([3, 3], 9), ([5, 5], 13), ([6, 6], 12), ([8, 8], 16)] {
            assert_eq!(FactoredShape { grid, ..shape_of(CASES[0]) }.queries(), queries, "{grid:?}");
        }
    }

    #[test]
    fn shapes_without_meaning_are_refused() {
        for (shape, word) in [([1, 30, 20, 1, 1], "600 patches"), ([1, 2, 2, 1, 65], "width 65")] {
            let message = shape_of(shape).check(&FORWARD).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }
}
