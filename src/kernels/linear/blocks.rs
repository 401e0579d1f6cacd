//! Blocks of rows whose sums are added in order.
//!
//! On GPUs, the blocks of small gradients consist of equal parts, which are added in order first: a gradient of few
//! columns would otherwise have few workgroups.

use super::sums::SCRATCH_ALIGNMENT;
use crate::gpu::{DynamicRows, Gpu, Rows};

/// Maximum number of rows that one invocation adds before the fixed sum over blocks. It is part of the definition of
/// the result, so it does not depend on the adapter.
pub(crate) const BLOCK_ROWS: u32 = 512;
/// Minimum number of rows of the equal blocks into which items longer than a block are split.
const LEAST_BLOCK_ROWS: u32 = 64;

/// Maximum number of rows of the parts of a block.
const PART_ROWS: u32 = 64;
/// Maximum number of parts of a block.
const MOST_PARTS: u32 = 32;
/// Maximum number of columns of the gradients whose blocks are divided into parts: a weight (128, 128) and its bias.
const PART_COLUMNS: u64 = 128 * 129;
/// Maximum number of floats of a scratch for several gradients, unless a single one needs more.
const MOST_SCRATCH: u64 = 1 << 22;

/// Number of rows per block for items of `rows_per_item` rows: whole items, or an equal part of one. One pass over many
/// items and several passes over fewer, each a multiple of [`block_items`], then add the same blocks in the same order
/// and give the same bits.
pub(crate) fn block_rows(rows_per_item: u32) -> u32 {
    if rows_per_item <= BLOCK_ROWS {
        return BLOCK_ROWS / rows_per_item * rows_per_item;
    }
    let parts = (LEAST_BLOCK_ROWS..=BLOCK_ROWS).rev().find(|rows| rows_per_item.is_multiple_of(*rows));
    parts.unwrap_or(BLOCK_ROWS)
}

/// Number of items per block; 1 if an item is longer than a block.
pub(crate) fn block_items(rows_per_item: u32) -> u32 {
    (BLOCK_ROWS / rows_per_item).max(1)
}

/// Number of rows per block for items with `rows_per_item` rows and `finest_per_item` finer rows. A block contains as
/// many items as a block of the finer rows, so that passes can be split at the same items for both.
fn block_rows_within(rows_per_item: u32, finest_per_item: u32) -> u32 {
    let rows = u64::from(block_items(finest_per_item)) * u64::from(rows_per_item);
    if rows_per_item == finest_per_item || rows > u64::from(BLOCK_ROWS) {
        block_rows(rows_per_item)
    } else {
        rows as u32
    }
}

/// Number of rows per block of a pass over `rows`.
pub(crate) fn block_rows_of(rows: &Rows) -> u32 {
    let within = |live: &DynamicRows| match live.apart {
        true => live.rows_per_item,
        false => block_rows_within(live.rows_per_item, live.finest_per_item),
    };
    rows.live.as_ref().map_or(BLOCK_ROWS, within)
}

/// Maximum number of blocks of rows of a gradient over `items` items of `rows_per_item` rows. A pass over fixed rows,
/// which are not grouped into items, has no more.
fn blocks_of_items(items: u32, rows_per_item: u32) -> u32 {
    (items * rows_per_item).div_ceil(block_rows(rows_per_item))
}

/// Same as [`blocks_of_items`], for rows that are a coarser division of items of `finest_per_item` rows.
fn blocks_within(items: u32, rows_per_item: u32, finest_per_item: u32) -> u32 {
    (items * rows_per_item).div_ceil(block_rows_within(rows_per_item, finest_per_item))
}

/// Division of the rows of a gradient into parts of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Number of rows per part.
    pub rows: u32,
    /// Number of parts.
    pub count: u32,
    /// Number of parts per block.
    pub per_block: u32,
}

impl Parts {
    /// Division for a gradient of `columns` floats. It does not depend on the number of rows.
    pub(crate) fn new(gpu: &Gpu, rows: &Rows, columns: u64) -> Self {
        let block = block_rows_of(rows);
        let apart = rows.live.as_ref().is_some_and(|live| live.apart);
        let per_block = if apart { 1 } else { parts_per_block(gpu, block, columns) };
        Self::of_rows(rows, block / per_block, per_block)
    }

    /// Undivided blocks.
    pub(crate) fn whole(rows: &Rows) -> Self {
        Self::of_rows(rows, block_rows_of(rows), 1)
    }

    pub(super) fn of_rows(rows: &Rows, part: u32, per_block: u32) -> Self {
        Self { rows: part, count: rows.capacity.div_ceil(part), per_block }
    }
}

/// Number of parts of a block of `block` rows: the smallest that divides it into parts of at most [`PART_ROWS`] rows.
fn parts_per_block(gpu: &Gpu, block: u32, columns: u64) -> u32 {
    if gpu.is_software() || columns > PART_COLUMNS { 1 } else { parts_of_block(block) }
}

fn parts_of_block(block: u32) -> u32 {
    let fits = |parts: &u32| block.is_multiple_of(*parts) && block / parts <= PART_ROWS;
    (1..=MOST_PARTS).find(fits).unwrap_or(1)
}

/// Number of floats of the gradients that share a scratch.
#[derive(Debug, Clone)]
pub(crate) struct GradientWidths {
    /// Maximum number of floats of the gradients of one kernel, for example of a weight and its bias.
    pub widest: u64,
    /// Number of floats of the gradient of each parameter.
    pub all: Vec<u64>,
}

/// Scratch floats for the gradients of `widths` over `blocks` blocks of `block` rows: those of any single gradient. On
/// GPUs those of all gradients, up to a limit, so that few launches add their blocks.
fn scratch(gpu: &Gpu, blocks: u32, block: u32, GradientWidths { widest, all }: &GradientWidths) -> u64 {
    let divided = u64::from(parts_per_block(gpu, block, 1)) * PART_COLUMNS.min(*widest);
    let of_any = u64::from(blocks) * divided.max(*widest);
    if gpu.is_software() {
        return of_any;
    }
    let of_one = |columns: &u64| u64::from(blocks) * u64::from(parts_per_block(gpu, block, *columns)) * columns;
    let of_all: u64 = all.iter().map(|columns| of_one(columns).next_multiple_of(SCRATCH_ALIGNMENT)).sum();
    of_any.max(of_all.min(MOST_SCRATCH))
}

/// Scratch floats for gradients over `rows` rows that are not grouped into items.
pub(crate) fn scratch_of_rows(gpu: &Gpu, rows: u32, widths: &GradientWidths) -> u64 {
    scratch(gpu, rows.div_ceil(BLOCK_ROWS), BLOCK_ROWS, widths)
}

/// Scratch floats for gradients over `items` items of `rows_per_item` rows.
pub(crate) fn scratch_of_items(gpu: &Gpu, items: u32, rows_per_item: u32, widths: &GradientWidths) -> u64 {
    scratch(gpu, blocks_of_items(items, rows_per_item), block_rows(rows_per_item), widths)
}

/// Same as [`scratch_of_items`], for rows that are a coarser division of items of `finest_per_item` rows.
pub(crate) fn scratch_within(
    gpu: &Gpu,
    items: u32,
    rows_per_item: u32,
    finest_per_item: u32,
    widths: &GradientWidths,
) -> u64 {
    let block = block_rows_within(rows_per_item, finest_per_item);
    scratch(gpu, blocks_within(items, rows_per_item, finest_per_item), block, widths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_divide_blocks() {
        for rows_per_item in 1..=700 {
            let block = block_rows(rows_per_item);
            let parts = parts_of_block(block);
            assert!(block.is_multiple_of(parts));
            assert!(
                parts <= MOST_PARTS && (parts == 1 || (9..=PART_ROWS).contains(&(block / parts))),
                "{block} {parts}"
            );
        }
        assert_eq!([512, 510, 500, 509, 64, 65].map(parts_of_block), [8, 10, 10, 1, 1, 5]);
    }
}
