//! Tiles in workgroup memory for products and weight gradients, and the shapes that use them.
//!
//! The tiles follow the usual rules for GPUs: every value is fetched once per tile, neighboring invocations fetch
//! neighboring values, and each value read from workgroup memory is used in enough arithmetic in registers. They were
//! tested on a software adapter, where they are four times slower than subgroups and never selected. GPUs use them for
//! shapes that fill tiles. This rule follows from reasoning: which kernel is fastest on a GPU has not been measured.
//!
//! Sums run in the same order as in the other kernels, so the selection does not change any bit if compilers agree on
//! fused multiply-adds.

use crate::gpu::Gpu;

/// Invocations per workgroup.
const THREADS: u32 = 256;

/// Bytes of workgroup memory of the largest tile: 128 rows of 20 floats, and 16 blocks of 4 columns of 16 floats with 4
/// floats of padding each.
const WORKGROUP_BYTES: u32 = 4 * (128 * 20 + 16 * 68);

/// Number of rows below which most of a tile would be beyond the edge.
const ROWS: u32 = 128;

/// Width below which a tile has too little arithmetic for the values it fetches.
const WIDTH: u32 = 32;

/// Whether a product or a gradient of this shape uses workgroup memory: on GPUs, if it fills tiles.
pub(super) fn pays(gpu: &Gpu, rows: u32, widths: [u32; 2]) -> bool {
    !gpu.is_software() && rows >= ROWS && widths.iter().all(|width| *width >= WIDTH) && runs(gpu, widths)
}

/// Whether the widths are multiples of 4 and the adapter has room for a tile.
fn runs(gpu: &Gpu, widths: [u32; 2]) -> bool {
    unsupported_reason(gpu).is_none() && widths.iter().all(|width| width.is_multiple_of(4))
}

/// Adapter limit that is too small for a tile, if any.
pub(super) fn unsupported_reason(gpu: &Gpu) -> Option<String> {
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

/// Tile of a product: number of invocations along the columns, each with four columns, and number of rows per
/// invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProductTile {
    pub column_threads: u32,
    pub thread_rows: u32,
}

/// Tiles of products: 128 × 32, 128 × 64, 64 × 64.
pub(super) const PRODUCT_TILES: [ProductTile; 3] = [
    ProductTile { column_threads: 8, thread_rows: 4 },
    ProductTile { column_threads: 16, thread_rows: 8 },
    ProductTile { column_threads: 16, thread_rows: 4 },
];

/// Index of the tile for a product: the first for narrow products, the second if it leaves enough workgroups for a
/// large GPU, otherwise the third.
pub(super) fn product_tile(rows: u32, columns: u32) -> u32 {
    match (columns, rows) {
        (..=32, _) => 0,
        (_, 2048..) => 1,
        _ => 2,
    }
}

impl ProductTile {
    pub(super) fn rows(self) -> u32 {
        THREADS / self.column_threads * self.thread_rows
    }

    pub(super) fn columns(self) -> u32 {
        4 * self.column_threads
    }
}

/// Invocations of a gradient's tile along the inputs, each with four inputs, and along the outputs: 64 × 64, or 32 ×
/// 128 if one side is narrow.
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
            // Per row, four vectors of inputs and one of padding; per block, the vectors of four columns and one of
            // padding.
            let vectors = 5 * tile.rows() + 17 * tile.column_threads;
            assert!(16 * vectors <= WORKGROUP_BYTES, "{tile:?}");
        }
        for (inputs, outputs) in [(4, 4), (2048, 32), (32, 2048), (512, 512)] {
            let [inputs, outputs] = gradient_threads(inputs, outputs);
            assert!(16 * 16 * (inputs + outputs) <= WORKGROUP_BYTES);
        }
    }
}
