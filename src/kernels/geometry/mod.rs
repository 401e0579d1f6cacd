//! The geometry of a wave function around given samples: products of rows of its Jacobian, and steps from them.
//!
//! ```text
//! O_ak = ∂ log ψ(σ_a)/∂θ_k        s_a = √(weight of sample a), Σ s² = 1
//! Y_a = s_a O_a − s_a Σ_b s_b (s_b O_b)        X = [Re Y; Im Y]        G = X Xᵀ
//! of a linear layer   ⟨O_a, O_b⟩ = Σ_{t,u} (δ_at · δ_bu)(x_at · x_bu + 1)
//! ```
//!
//! The Jacobian never stands in memory as a whole. It is made in panels, some columns for all samples, whose products are
//! added to G; or, of a linear layer, G is made from what the layer read and the gradients of what it made, without any of
//! its columns. G is kept as pairs high + low of floats, its lower triangle in bands of 64 rows.
//!
//! Source: Rende, Viteritti, Bardone, Becca & Goldt, arXiv:2310.05715.

mod centre;
mod columns;
mod direction;
mod dot;
mod pairs;
mod product;

use crate::error::Result;
use crate::gpu::{Bind, Gpu, View};
use crate::kernels::choice::Form;

pub(super) use centre::CENTRE_ENTRY;
pub use centre::{JacobianCentre, centre_reference};
pub use columns::ColumnsTake;
pub(super) use columns::TAKE_ENTRY;
pub use direction::{DirectionStep, DirectionUpdate};
pub(super) use direction::{STEP_ENTRY, UPDATE_ENTRY};
pub(super) use dot::DOT_ENTRY;
pub use dot::{DotShape, RowsDot};
pub(super) use pairs::PAIRS_CHOICE;
pub use pairs::{GramPairs, PairsShape, pairs_reference};
pub(super) use pairs::{PAIRS_ENTRY, PAIRS_PRIVATE_ENTRY};
pub(super) use product::PRODUCT_CHOICE;
pub use product::{GramProduct, GramShape, product_reference};
pub(super) use product::{PRODUCT_ENTRY, PRODUCT_PRIVATE_ENTRY};

/// Rows of a band of the triangle.
pub const BAND: u32 = 64;

/// The samples that the rows of a Jacobian belong to.
#[derive(Debug, Clone)]
pub struct SampleRows {
    /// How many samples there are, one u32 that a kernel or the host wrote before.
    pub live: View,
    /// Rows for samples, as many as there can be; a multiple of [`BAND`].
    pub part_rows: u32,
    /// 1, or 2 where rows of real parts come before as many of imaginary ones.
    pub parts: u32,
}

impl SampleRows {
    /// Rows of all parts.
    pub fn rows(&self) -> u32 {
        self.parts * self.part_rows
    }

    fn live(&self) -> Bind<'_> {
        Bind { name: "live", view: &self.live, elements: 1 }
    }
}

/// Constants and workgroups of a subgroup form over the tiles of a Gram matrix of `rows` rows: its rows × four columns a
/// lane.
fn subgroup_tiles(gpu: &Gpu, kernel: &str, form: &Form, rows: u32) -> Result<(Vec<(&'static str, u32)>, u32)> {
    let lanes = form.lanes(gpu, kernel)?;
    let tiles = rows.div_ceil(form.tile) * rows.div_ceil(4 * lanes);
    Ok((vec![("LANES", lanes), ("SUBGROUPS", form.subgroups), ("ROWS", form.tile)], tiles.div_ceil(form.subgroups)))
}

/// A Gram matrix as pairs of floats, the lower triangle of each in bands.
#[derive(Debug, Clone)]
pub struct Triangle {
    /// [`Triangle::elements`] floats
    pub high: View,
    /// As many, what rounding took from `high`.
    pub low: View,
}

impl Triangle {
    /// Floats of the lower triangle of a matrix of `rows` rows, in bands.
    pub fn elements(rows: u32) -> u64 {
        let bands = u64::from(rows.div_ceil(BAND));
        u64::from(BAND * BAND / 2) * bands * (bands + 1)
    }

    /// Where the element of `row` and `column`, which is not in a later band, stands.
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
