//! Tiles in workgroup memory: what GPUs need for them, and the tiles of products and weight gradients.
//!
//! The tiles follow the usual rules for GPUs: every value is fetched once per tile, neighboring invocations fetch
//! neighboring values, and each value read from workgroup memory is used in enough arithmetic in registers. GPUs use
//! them for all widths that are multiples of 4. Large tiles have the densest arithmetic, small ones give more
//! workgroups; the choice follows from an estimate of the GPU's size. Registers, spills and the density of the inner
//! loops were read from the output of compilers. No time has been measured on a GPU. On a software adapter, where they
//! are four times slower than subgroups, they are only tested.
//!
//! The inputs of a product are divided into slices, so that few rows and columns still fill a GPU. Their number, and
//! thus the order of the sums, depends on the widths and not on the number of rows, the tile or the device. Gradients
//! add rows in the same order as the other kernels.

use crate::gpu::Gpu;

/// Invocations per workgroup.
const THREADS: u32 = 256;

/// Bytes of workgroup memory that kernels of [`super::strategy::Strategy::Tiled`] may use, which every adapter has.
const WORKGROUP_BYTES: u32 = 16 << 10;

/// Whether tiled kernels are the default of the adapter: on GPUs.
pub(super) fn is_default(gpu: &Gpu) -> bool {
    !gpu.is_software() && unsupported_reason(gpu).is_none()
}

/// Whether tiled kernels for these widths are the default: on GPUs, if the widths are multiples of 4.
pub(super) fn is_default_of(gpu: &Gpu, widths: &[u32]) -> bool {
    is_default(gpu) && widths.iter().all(|width| width.is_multiple_of(4))
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

/// Tile of a product: [`ProductTile::slices`] groups of `row_threads` × `column_threads` invocations share the inputs,
/// and each invocation holds `thread_rows` × 4·`thread_columns4` sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProductTile {
    pub slices: u32,
    row_threads: u32,
    column_threads: u32,
    thread_rows: u32,
    thread_columns4: u32,
    /// Share of multiply-adds among the instructions, in percent, counted in the code that Mesa generates for RDNA 2.
    density: u32,
}

impl ProductTile {
    const fn new(slices: u32, threads: [u32; 2], sums: [u32; 2], density: u32) -> Self {
        let [row_threads, column_threads] = threads;
        let [thread_rows, thread_columns4] = sums;
        Self { slices, row_threads, column_threads, thread_rows, thread_columns4, density }
    }

    pub(super) fn rows(self) -> u32 {
        self.row_threads * self.thread_rows
    }

    pub(super) fn columns(self) -> u32 {
        4 * self.column_threads * self.thread_columns4
    }

    /// Value of the shader's constant `TILE`.
    pub(super) fn code(self) -> u32 {
        let digits = [self.slices, self.row_threads, self.column_threads, self.thread_rows, self.thread_columns4];
        digits.iter().fold(0, |code, two| 100 * code + two)
    }

    /// Number of vectors of four inputs per step and slice, for `inner` inputs.
    pub(super) fn steps(self, inner: u32) -> u32 {
        // With 8 × 8 sums, half as many: prefetching more of them exceeds 128 registers.
        let parts = if self.is_large() { 2 } else { 1 };
        let most = WORKGROUP_BYTES / 16 / (parts * self.slices * (self.rows() + self.columns()));
        let most = [4, 2].into_iter().find(|step| *step <= most).unwrap_or(1);
        most.min(inner.div_ceil(4 * self.slices))
    }

    /// Whether an invocation holds 8 × 8 sums.
    fn is_large(self) -> bool {
        self.thread_rows * self.thread_columns4 > 8
    }
}

/// Tiles of products, in the order of their variants.
pub(super) const PRODUCT_TILES: [ProductTile; 11] = [
    ProductTile::new(1, [16, 16], [8, 2], 95),
    ProductTile::new(1, [16, 16], [8, 1], 90),
    ProductTile::new(1, [16, 16], [4, 1], 88),
    ProductTile::new(1, [32, 8], [4, 1], 83),
    ProductTile::new(1, [8, 8], [4, 1], 86),
    ProductTile::new(4, [8, 8], [8, 2], 92),
    ProductTile::new(4, [8, 8], [8, 1], 83),
    ProductTile::new(4, [8, 8], [4, 1], 77),
    ProductTile::new(4, [16, 4], [4, 1], 71),
    ProductTile::new(16, [2, 8], [8, 1], 77),
    ProductTile::new(16, [4, 4], [4, 1], 67),
];

/// Number of slices into which a product's inputs are divided, and thus the order of its sums. Few columns leave few
/// workgroups, unless several invocations share a sum.
pub(super) fn product_slices(inner: u32, columns: u32) -> u32 {
    match (inner, columns) {
        (..=32, _) | (..=128, 512..) => 1,
        (128.., ..=64) => 16,
        _ => 4,
    }
}

/// Workgroups per compute unit that hide its latencies.
const GROUPS: u64 = 4;

/// Estimated time of `groups` workgroups on tiles of these sizes, in arbitrary units. A GPU that they do not fill takes
/// about as long as a filled one.
fn time(groups: u64, sizes: [u32; 2], units: u32, density: u32) -> u64 {
    let filled = groups.max(GROUPS * u64::from(units));
    (16 * filled + groups) * u64::from(sizes[0] * sizes[1]) * 100 / u64::from(density)
}

/// Index of the tile for a product: the one that is estimated to be fastest on a GPU with so many compute units.
pub(super) fn product_tile([rows, inner, columns]: [u32; 3], units: u32, many_registers: bool) -> u32 {
    let slices = product_slices(inner, columns);
    let time = |tile: &ProductTile| {
        let groups = u64::from(rows.div_ceil(tile.rows())) * u64::from(columns.div_ceil(tile.columns()));
        time(groups, [tile.rows(), tile.columns()], units, tile.density)
    };
    let runs = |tile: &ProductTile| tile.slices == slices && (many_registers || !tile.is_large());
    let tiles = (0..).zip(&PRODUCT_TILES).filter(|(_, tile)| runs(tile));
    tiles.min_by_key(|(_, tile)| time(tile)).map_or(0, |(index, _)| index)
}

/// Tile of a gradient: `threads` invocations along the outputs and the inputs, which hold 4·`vectors` each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GradientTile {
    threads: [u32; 2],
    vectors: [u32; 2],
    /// See [`ProductTile::density`].
    density: u32,
}

impl GradientTile {
    const fn new(threads: [u32; 2], vectors: [u32; 2], density: u32) -> Self {
        Self { threads, vectors, density }
    }

    /// Outputs and inputs of the tile.
    pub(super) fn sizes(self) -> [u32; 2] {
        [0, 1].map(|side| 4 * self.threads[side] * self.vectors[side])
    }

    /// Value of the shader's constant `TILE`.
    pub(super) fn code(self) -> u32 {
        [self.threads, self.vectors].as_flattened().iter().fold(0, |code, two| 100 * code + two)
    }

    /// Number of rows per step.
    pub(super) fn step(self) -> u32 {
        if self.sizes().iter().sum::<u32>() <= 128 { 16 } else { 8 }
    }
}

/// Tiles of gradients, in the order of their variants.
pub(super) const GRADIENT_TILES: [GradientTile; 6] = [
    GradientTile::new([16, 16], [2, 2], 89),
    GradientTile::new([16, 16], [2, 1], 85),
    GradientTile::new([16, 16], [1, 1], 74),
    GradientTile::new([8, 8], [1, 1], 74),
    GradientTile::new([4, 16], [1, 1], 74),
    GradientTile::new([16, 4], [1, 1], 74),
];

/// Index of the tile for a gradient of these outputs and inputs over `blocks` blocks of rows, as [`product_tile`].
pub(super) fn gradient_tile(blocks: u32, widths: [u32; 2], units: u32) -> u32 {
    let time = |tile: &GradientTile| {
        let sizes = tile.sizes();
        let tiles = [0, 1].map(|side| u64::from(widths[side].div_ceil(sizes[side])));
        time(u64::from(blocks) * tiles[0] * tiles[1], sizes, units, tile.density)
    };
    (0..).zip(&GRADIENT_TILES).min_by_key(|(_, tile)| time(tile)).map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fill_the_gpu_and_keep_the_order_of_sums() {
        let sizes = |shape: [u32; 3], units| {
            let tile = PRODUCT_TILES[product_tile(shape, units, true) as usize];
            let groups = shape[0].div_ceil(tile.rows()) * shape[2].div_ceil(tile.columns());
            (tile.slices, [tile.rows(), tile.columns()], groups)
        };
        for (shape, small, large) in [
            ([256, 2048, 32], (16, [16, 16], 32), (16, [16, 16], 32)),
            ([6144, 2048, 32], (16, [16, 32], 384), (16, [16, 32], 384)),
            ([1024, 2048, 128], (4, [64, 32], 64), (4, [32, 32], 128)),
            ([1024, 128, 16], (16, [16, 16], 64), (16, [16, 16], 64)),
            ([49152, 128, 2048], (1, [128, 128], 6144), (1, [128, 128], 6144)),
        ] {
            assert_eq!([sizes(shape, 16), sizes(shape, 64)], [small, large], "{shape:?}");
        }
        for (inner, columns) in [(4, 4), (32, 36), (36, 32), (128, 64), (128, 68), (128, 512), (132, 512)] {
            for rows in [1, 64, 5000] {
                for (units, many_registers) in [(1, false), (16, true), (200, true)] {
                    let tile = product_tile([rows, inner, columns], units, many_registers) as usize;
                    assert_eq!(PRODUCT_TILES[tile].slices, product_slices(inner, columns));
                    assert!(many_registers || !PRODUCT_TILES[tile].is_large());
                }
            }
        }
    }

    #[test]
    fn every_tile_fits_into_the_memory_that_every_adapter_has() {
        for tile in PRODUCT_TILES {
            // Per vector of inputs, the rows and columns, padded by at most eight vectors each if they do not fill it.
            let step = tile.slices * tile.steps(u32::MAX);
            let vectors = step * (tile.rows() + tile.columns());
            assert!(vectors == 1024 || vectors + 2 * step.max(8) <= 1024, "{tile:?}");
            assert!(tile.slices * tile.row_threads * tile.column_threads <= THREADS, "{tile:?}");
        }
        for tile in GRADIENT_TILES {
            let vectors = tile.step() * tile.sizes().iter().sum::<u32>() / 4;
            assert!(vectors <= 1024, "{tile:?}");
        }
    }

    #[test]
    fn gradients_take_large_tiles_if_they_leave_enough_workgroups() {
        for (blocks, widths, small, large) in [
            (96, [2048, 128], [128, 128], [128, 128]),
            (2, [128, 2048], [128, 64], [32, 32]),
            (2, [32, 32], [32, 32], [32, 32]),
            (2, [16, 128], [16, 64], [16, 64]),
            (2, [128, 4], [64, 16], [64, 16]),
        ] {
            let sizes = [16, 64].map(|units| GRADIENT_TILES[gradient_tile(blocks, widths, units) as usize].sizes());
            assert_eq!(sizes, [small, large], "{widths:?}");
        }
    }
}
