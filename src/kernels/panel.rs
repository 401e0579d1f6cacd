//! Panel kernels: a block of one operand is held in values with constant indices, and the other operand is streamed
//! through it.
//!
//! They are meant for Mesa's driver on the CPU, where a texel load costs as much as fifty multiply-adds and a value
//! with a constant index costs nothing. With loads from storage buffers instead of texels they would take seconds to
//! compile.
//!
//! Lanes pass the streamed rows to each other by shuffles. The partial sums of a long sum are stored in the output
//! between blocks. Sums have the order of the other variants.

use super::device::probe::MOST_ITERATIONS;
use crate::gpu::Gpu;
use crate::host_threads;
use crate::kernels::strategy::Strategy;

/// Number of rows that share a block. Every workgroup loads the block, so tiles are as large as possible while each
/// core still has a few workgroups.
const TILE_ROWS: std::ops::RangeInclusive<u32> = 16..=256;
/// Workgroups per core.
const GROUPS: u32 = 4;

/// Number of lanes of a subgroup, if `gpu` supports panel kernels.
pub(super) fn lanes(gpu: &Gpu) -> Option<u32> {
    Strategy::lanes(gpu).filter(|lanes| gpu.reads_texels() && *lanes <= 16)
}

/// Requirement of panel kernels that `gpu` does not meet, if any.
pub(super) fn unsupported_reason(gpu: &Gpu) -> Option<String> {
    lanes(gpu)
        .is_none()
        .then(|| "buffers read as textures (Mesa's driver on the CPU) and subgroups of 4, 8 or 16 lanes".into())
}

/// Number of rows of a tile, for `rows` rows, `panels` blocks of columns and `passes` passes over the rows. No result
/// depends on it.
pub(super) fn tile_rows(rows: u32, panels: u32, passes: u32) -> u32 {
    let cores = host_threads::cores() as u32;
    let tile = u64::from(rows) * u64::from(panels) / u64::from(GROUPS * cores);
    let most = (MOST_ITERATIONS / (passes + 1)).min(*TILE_ROWS.end()) & !3;
    tile.min(u64::from(most)).max(u64::from(*TILE_ROWS.start())).next_multiple_of(4) as u32
}
