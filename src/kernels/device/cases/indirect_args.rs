//! Test cases of [`crate::kernels::device::indirect_args`].

use crate::gpu::{Cost, Gpu, Groups, Launch, Plan, WRITE_INDIRECT_ARGS, bind};
use crate::kernels::device::indirect_args::{Description, resolve_reference};
use crate::kernels::{Case, CaseBuffers, Entry, Expected};

pub(crate) const RESOLVE_ENTRY: Entry =
    Entry { kernel: &WRITE_INDIRECT_ARGS, summary: "grids = ⌈rows / block⌉ · groups, folded", cases };

fn cases(_: &Gpu) -> Vec<Case> {
    [0, 1, 7, 64, 100_000].into_iter().map(case).collect()
}

fn case(live: u32) -> Case {
    let limit = 1000;
    const ALL: u32 = u32::MAX;
    let launches: Vec<Description> = vec![
        [0, 8, 4, 16, 1, 1, 0, ALL],
        [8, 8, 4, 16, 3, 1, 0, ALL],
        [0, 200_000, 1, 64, 1, 1, 0, ALL],
        [0, 64, 1, ALL, 77, 1, 0, ALL],
        [5, 1, 3, 1, 2, 1, 0, ALL],
        [0, 100, 7, 16, 2, 1, 30, 40],
        [0, 100, 7, 1, 1, 0, 5, ALL],
    ];
    let counters = [90, live];
    let grids = launches.iter().flat_map(|d| {
        let [x, y, z] = resolve_reference(counters[d[5] as usize], *d, limit);
        [x, y, z, 0]
    });
    let descriptions = launches.concat();
    let count = launches.len() as u64;
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let [live, descriptions, grids] = buffers.views(["live", "descriptions", "grids"])?;
        plan.launch(&Launch {
            kernel: &WRITE_INDIRECT_ARGS,
            spec: &[],
            bindings: &bind!(live[2], descriptions[count * 8], grids[count * 4]),
            params: &[("launches", (count as u32).into()), ("limit", limit.into())],
            groups: Groups::Fixed(1),
            cost: Cost::default(),
            shape: format!("({count})"),
        })
    };
    Case {
        name: format!("live {live}"),
        outputs: vec![("grids", Expected::Exactly(grids.collect()))],
        inputs: vec![("live", counters.to_vec().into()), ("descriptions", descriptions.into())],
        record: Box::new(record),
    }
}
