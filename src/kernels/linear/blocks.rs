//! Blocks of rows whose sums are added in order.

use crate::gpu::{DynamicRows, Rows};

/// Maximum number of rows that one invocation adds before the fixed sum over blocks. It is part of the definition of
/// the result, so it does not depend on the adapter.
pub(crate) const BLOCK_ROWS: u32 = 512;
/// Minimum number of rows of the equal blocks into which items longer than a block are split.
const LEAST_BLOCK_ROWS: u32 = 64;

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
pub(crate) fn blocks_of_items(items: u32, rows_per_item: u32) -> u32 {
    (items * rows_per_item).div_ceil(block_rows(rows_per_item))
}

/// Same as [`blocks_of_items`], for rows that are a coarser division of items of `finest_per_item` rows.
pub(crate) fn blocks_within(items: u32, rows_per_item: u32, finest_per_item: u32) -> u32 {
    (items * rows_per_item).div_ceil(block_rows_within(rows_per_item, finest_per_item))
}

/// Number of blocks of rows of a gradient.
pub(crate) fn blocks(rows: &Rows) -> u32 {
    rows.capacity.div_ceil(block_rows_of(rows))
}
