//! Test cases of [`crate::kernels::nn::recurrent::links`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::nn::recurrent::links::{LINKS, RecurrentLinks, links_reference};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const LINKS_ENTRY: Entry =
    Entry { kernel: &LINKS, summary: "links from connected configurations to previous states", cases };

fn cases(_: &Gpu) -> Vec<Case> {
    [(1, 1, 0), (3, 7, 2), (13, 11, 5), (64, 64, 0), (10_007, 7, 1)].into_iter().map(case).collect()
}

fn case((items, per_item, first_item): (u32, u32, u32)) -> Case {
    const CONDITIONING_STRIDE: u32 = 3;
    let mut random = RandomInputs::new(u64::from(items + per_item));
    let rows = random.integers((4 * items * per_item) as usize, 4096);
    let [sources, offsets, counts] = [4, 50, 2].map(|end| random.integers(per_item as usize, end));
    let entry = |i: usize| {
        let k = (i as u32 * 5 + 3) % per_item;
        [k, [0, 1, 2, 4][sources[i] as usize], offsets[i], counts[i]]
    };
    let table: Vec<[u32; 4]> = (0..per_item as usize).map(entry).collect();
    let sample_of = random.integers((first_item + items) as usize, 1000);
    let links = links_reference(&rows, &table, &sample_of, first_item, CONDITIONING_STRIDE);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let links = RecurrentLinks::from_case(buffers)?;
        links.record(plan, &items.into(), per_item, first_item, CONDITIONING_STRIDE)
    };
    Case {
        name: format!("({items}, {per_item}), first {first_item}"),
        inputs: vec![("rows", rows.into()), ("table", table.concat().into()), ("sample_of", sample_of.into())],
        outputs: vec![("links", Expected::Exactly(links))],
        record: Box::new(record),
    }
}
