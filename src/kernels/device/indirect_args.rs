//! Grids of launches with dynamic rows: `write_indirect_args`, the kernel used by [`crate::gpu::Plan`].

/// Row metadata of a launch: first, capacity, rows per item, rows per block, groups per block, counter, skip, limit.
pub(super) type Description = [u32; 8];

/// Reference: workgroups (x, y, 1) of a launch whose counter contains `live`, folded at `limit_x` in x.
pub(super) fn resolve_reference(live: u32, descriptions: Description, limit_x: u32) -> [u32; 3] {
    let [first, most, rows_per_item, rows_per_block, per_block, _, skip, limit] = descriptions;
    let items = live.saturating_sub(first).min(most);
    let rows = (items * rows_per_item).saturating_sub(skip).min(limit);
    let groups = rows.div_ceil(rows_per_block) * per_block;
    let y = groups.div_ceil(limit_x);
    [groups.div_ceil(y.max(1)), y, 1]
}
