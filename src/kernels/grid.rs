//! Grids of launches whose rows only the GPU knows: `grid_resolve`, which belongs to [`crate::gpu::Plan`].

use super::{Case, Entry, Expected, Named};
use crate::gpu::{Bind, Cost, GRID_RESOLVE, Gpu, Groups, Launch, Plan};

pub(super) const RESOLVE_ENTRY: Entry =
    Entry { kernel: &GRID_RESOLVE, summary: "grids = ⌈rows / block⌉ · groups, folded", cases };

/// Description of a launch: first, most, rows per item, rows per block, groups per block.
type Description = [u32; 5];

/// Workgroups (x, y, 1) of a launch whose counter reads `live`, folded at `limit` in x.
pub fn resolve_reference(
    live: u32,
    [first, most, rows_per_item, rows_per_block, per_block]: Description,
    limit: u32,
) -> [u32; 3] {
    let rows = live.saturating_sub(first).min(most) * rows_per_item;
    let groups = rows.div_ceil(rows_per_block) * per_block;
    let y = groups.div_ceil(limit);
    [groups.div_ceil(y.max(1)), y, 1]
}

fn cases(_: &Gpu) -> Vec<Case> {
    [0, 1, 7, 64, 100_000].into_iter().map(case).collect()
}

fn case(live: u32) -> Case {
    let limit = 1000;
    let launches: Vec<Description> =
        vec![[0, 8, 4, 16, 1], [8, 8, 4, 16, 3], [0, 200_000, 1, 64, 1], [0, 64, 1, u32::MAX, 77], [5, 1, 3, 1, 2]];
    let grids = launches.iter().flat_map(|d| {
        let [x, y, z] = resolve_reference(live, *d, limit);
        [x, y, z, 0]
    });
    let descriptions: Vec<u32> = launches.iter().flat_map(|d| [d[0], d[1], d[2], d[3], d[4], 0, 0, 0]).collect();
    let count = launches.len() as u64;
    let record = move |plan: &mut Plan, named: &Named| {
        plan.launch(&Launch {
            kernel: &GRID_RESOLVE,
            spec: &[],
            bindings: &[
                Bind { name: "live", view: &named.view("live")?, elements: 1 },
                Bind { name: "descriptions", view: &named.view("descriptions")?, elements: count * 8 },
                Bind { name: "grids", view: &named.view("grids")?, elements: count * 4 },
            ],
            params: &[("launches", (count as u32).into()), ("limit", limit.into())],
            groups: Groups::Fixed(1),
            cost: Cost::default(),
            shape: format!("({count})"),
        })
    };
    Case {
        name: format!("live {live}"),
        outputs: vec![("grids", Expected::Exactly(grids.collect()))],
        inputs: vec![("live", vec![live].into()), ("descriptions", descriptions.into())],
        record: Box::new(record),
    }
}
