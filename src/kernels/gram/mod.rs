//! Gram matrix (neural tangent kernel) of a wave function on fixed samples: products of rows of its Jacobian, and
//! parameter steps from them.
//!
//! ```text
//! O_ak = ∂ log ψ(σ_a)/∂θ_k        s_a = √(weight of sample a), Σ s² = 1
//! Y_a = s_a O_a − s_a Σ_b s_b (s_b O_b)        X = [Re Y; Im Y]        G = X Xᵀ
//! of a linear layer   ⟨O_a, O_b⟩ = Σ_{t,u} (δ_at · δ_bu)(x_at · x_bu + 1)
//! ```
//!
//! The full Jacobian is never in memory. It is computed in panels of some columns for all samples, and the products of
//! each panel are added to G. For a linear layer, G can be computed from the layer's inputs and the gradients of its
//! outputs, without columns of the Jacobian. G is stored as pairs high + low of floats, its lower triangle in bands of
//! 64 rows.
//!
//! Source: Rende, Viteritti, Bardone, Becca & Goldt, arXiv:2310.05715.

pub(crate) mod cases;
mod center;
mod columns;
mod direction;
mod dot;
mod pairs;
mod product;

use super::strategy::Strategy;
use super::variant::{Selection, Variant};
use crate::error::Result;
use crate::gpu::{Gpu, View};
use crate::kernels::record;
pub use center::{JacobianCenter, center_reference};
pub use columns::ColumnsTake;
pub use direction::{DirectionStep, DirectionUpdate};
pub use dot::{DotShape, RowsDot};
pub(super) use pairs::PAIRS_SELECTOR;
pub use pairs::{GramPairs, PairsShape, pairs_reference};
pub(super) use product::PRODUCT_SELECTOR;
pub use product::{GramProduct, GramShape, product_reference};

/// Number of rows per band of the triangle.
pub const BAND: u32 = 64;

/// Samples that the rows of a Jacobian belong to.
#[derive(Debug, Clone)]
pub struct SampleRows {
    /// Number of samples: one u32 written earlier by a kernel or the host.
    pub live: View,
    /// Number of rows for samples, the capacity; a multiple of [`BAND`].
    pub part_rows: u32,
    /// 1, or 2 if the rows of real parts are followed by as many rows of imaginary parts.
    pub parts: u32,
}

impl SampleRows {
    /// Number of rows of all parts.
    pub fn rows(&self) -> u32 {
        self.parts * self.part_rows
    }
}

/// Default variant of a Gram matrix kernel: tiles of `rows` rows in subgroups on software adapters, of half as many
/// elsewhere.
fn tile_rule(gpu: &Gpu, widths: [u32; 2], rows: u32) -> Selection {
    match Strategy::choose(gpu, &widths) {
        Strategy::Subgroup if gpu.is_software() => (Strategy::Subgroup, rows, 2),
        Strategy::Subgroup => (Strategy::Subgroup, rows / 2, 4),
        _ => (Strategy::Scalar, rows / 2, 1),
    }
}

/// Constants and number of workgroups of a subgroup variant for a Gram matrix of `rows` rows. A tile has the variant's
/// rows × four columns per lane.
fn subgroup_tiles(gpu: &Gpu, kernel: &str, variant: &Variant, rows: u32) -> Result<(Vec<(&'static str, u32)>, u32)> {
    let lanes = variant.lanes(gpu, kernel)?;
    let tiles = rows.div_ceil(variant.tile) * rows.div_ceil(4 * lanes);
    Ok((
        vec![("LANES", lanes), ("SUBGROUPS", variant.subgroups), ("ROWS", variant.tile)],
        tiles.div_ceil(variant.subgroups),
    ))
}

record! {
    /// Gram matrix as pairs of floats, the lower triangle of each in bands.
    #[derive(Debug, Clone)]
    pub struct Triangle {
        /// [`Triangle::elements`] floats
        pub high: View,
        /// As many floats: the rounding errors of `high`.
        pub low: View,
    }
}

impl Triangle {
    /// Number of floats of the lower triangle of a matrix with `rows` rows, in bands.
    pub fn elements(rows: u32) -> u64 {
        let bands = u64::from(rows.div_ceil(BAND));
        u64::from(BAND * BAND / 2) * bands * (bands + 1)
    }

    /// Index of the element at `row` and `column`, which must not be in a later band.
    pub fn at(row: usize, column: usize) -> usize {
        let side = BAND as usize;
        let band = row / side;
        side * side / 2 * band * (band + 1) + row % side * side * (band + 1) + column
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_rows_are_a_prefix() {
        let mut end = 0;
        for row in 0..200usize {
            let width = (row / 64 + 1) * 64;
            assert_eq!(Triangle::at(row, 0), end);
            end += width;
            if row % 64 == 63 {
                assert_eq!(Triangle::elements(row as u32 + 1), end as u64);
            }
        }
    }
}
