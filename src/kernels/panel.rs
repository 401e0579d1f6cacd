//! Kernels that hold a block of one operand in values at constant places and stream the other through it: for Mesa's driver
//! on the CPU, where a texel costs as much as fifty multiply-adds and a value at a constant place nothing. With loads from
//! storage buffers in the place of texels they would take seconds to compile.

use super::linear::Variant;
use super::probe::MOST_ITERATIONS;
use crate::gpu::Gpu;

/// Rows that share a block: as many as leave every core a few workgroups, since each workgroup loads the block.
const TILE_ROWS: std::ops::RangeInclusive<u32> = 16..=256;
/// Workgroups for each core.
const GROUPS: u32 = 4;

/// Lanes of the subgroups that a panel is made for.
pub(super) fn lanes(gpu: &Gpu) -> Option<u32> {
    Variant::lanes(gpu).filter(|lanes| gpu.reads_texels() && *lanes <= 16)
}

/// Why `gpu` does not run such kernels.
pub(super) fn obstacle(gpu: &Gpu) -> Option<String> {
    lanes(gpu)
        .is_none()
        .then(|| "buffers read as textures (Mesa's driver on the CPU) and subgroups of 4, 8 or 16 lanes".into())
}

/// Rows of a tile where `rows` rows meet `panels` blocks of columns and are walked `passes` times. No result depends on it.
pub(super) fn tile_rows(rows: u32, panels: u32, passes: u32) -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    let tile = u64::from(rows) * u64::from(panels) / u64::from(GROUPS * cores);
    let most = (MOST_ITERATIONS / (passes + 1)).min(*TILE_ROWS.end()) & !3;
    tile.min(u64::from(most)).max(u64::from(*TILE_ROWS.start())).next_multiple_of(4) as u32
}
