//! When and in which tiles products and weight gradients go through workgroup memory.
//!
//! The tiles follow the rule for real GPUs: every value fetched once for a tile, neighbours fetching neighbours, enough
//! arithmetic in registers for each value that comes out of workgroup memory. They were checked on a software adapter,
//! where they are slower than subgroups and never chosen; which of the kernels a real GPU likes best is not measured.
//!
//! Sums run in the same order as in the other kernels, so that the choice changes no bit where compilers agree on what
//! a fused multiply-add is.

use crate::gpu::Gpu;

/// Invocations of a workgroup.
const THREADS: u32 = 256;

/// Bytes of workgroup memory that the largest tile takes: 128 rows of 20 floats and 16 blocks of 4 columns of 16 floats
/// with 4 to pad each.
const WORKGROUP_BYTES: u32 = 4 * (128 * 20 + 16 * 68);

/// Rows below which most of a tile would lie past the edge.
const ROWS: u32 = 128;

/// Widths below which a tile has too little to do with what it fetches.
const WIDTH: u32 = 32;

/// Whether a product or a gradient of this shape goes through workgroup memory: on GPUs, where it fills tiles.
pub(super) fn pays(gpu: &Gpu, rows: u32, widths: [u32; 2]) -> bool {
    !gpu.is_software() && rows >= ROWS && widths.iter().all(|width| *width >= WIDTH) && runs(gpu, widths)
}

/// Whether widths are whole vectors and the adapter has room for a tile.
fn runs(gpu: &Gpu, widths: [u32; 2]) -> bool {
    obstacle(gpu).is_none() && widths.iter().all(|width| width.is_multiple_of(4))
}

/// Why the adapter has no room for a tile.
pub(in crate::kernels) fn obstacle(gpu: &Gpu) -> Option<String> {
    let limits = gpu.limits();
    let lacks = |needed: u32, name: &str, has: u32| {
        (has < needed).then(|| format!("{needed} of {name}, this adapter has {has}"))
    };
    lacks(THREADS, "max_compute_invocations_per_workgroup", limits.max_compute_invocations_per_workgroup)
        .or_else(|| lacks(THREADS, "max_compute_workgroup_size_x", limits.max_compute_workgroup_size_x))
        .or_else(|| {
            lacks(WORKGROUP_BYTES, "max_compute_workgroup_storage_size", limits.max_compute_workgroup_storage_size)
        })
}

/// The tile of a product: invocations side by side, each with four columns, and rows of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProductTile {
    pub column_threads: u32,
    pub thread_rows: u32,
}

/// The tiles of products: 128 × 32, 128 × 64, 64 × 64.
pub(super) const PRODUCT_TILES: [ProductTile; 3] = [
    ProductTile { column_threads: 8, thread_rows: 4 },
    ProductTile { column_threads: 16, thread_rows: 8 },
    ProductTile { column_threads: 16, thread_rows: 4 },
];

/// The number of the tile for a product: the first for narrow ones, the second where that leaves enough workgroups for a
/// large GPU, else the third.
pub(super) fn product_tile(rows: u32, columns: u32) -> u32 {
    match (columns, rows) {
        (..=32, _) => 0,
        (_, 2048..) => 1,
        _ => 2,
    }
}

impl ProductTile {
    pub fn rows(self) -> u32 {
        THREADS / self.column_threads * self.thread_rows
    }

    pub fn columns(self) -> u32 {
        4 * self.column_threads
    }
}

/// Invocations of a gradient's tile side by side along the inputs, each with four, and along the outputs: 64 × 64, or
/// 32 × 128 where one side is narrow.
pub(super) fn gradient_threads(inputs: u32, outputs: u32) -> [u32; 2] {
    let along_inputs = match (inputs, outputs) {
        (..=32, _) => 8,
        (_, ..=32) => 32,
        _ => 16,
    };
    [along_inputs, THREADS / along_inputs]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_fits_into_the_memory_that_every_adapter_has() {
        const { assert!(WORKGROUP_BYTES <= 16 << 10) };
        assert_eq!(PRODUCT_TILES.map(|tile| [tile.rows(), tile.columns()]), [[128, 32], [128, 64], [64, 64]]);
        for (rows, columns) in [(1, 4), (2048, 32), (1, 36), (2047, 512), (2048, 36)] {
            let tile = PRODUCT_TILES[product_tile(rows, columns) as usize];
            // Four vectors of inputs and one of padding a row; four columns' and one of padding a block.
            let vectors = 5 * tile.rows() + 17 * tile.column_threads;
            assert!(16 * vectors <= WORKGROUP_BYTES, "{tile:?}");
        }
        for (inputs, outputs) in [(4, 4), (2048, 32), (32, 2048), (512, 512)] {
            let [inputs, outputs] = gradient_threads(inputs, outputs);
            assert!(16 * 16 * (inputs + outputs) <= WORKGROUP_BYTES);
        }
    }
}
