//! Where rows of moves take their state before from.

use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, Plan, Rows, View};
use crate::kernels::{Case, Entry, Expected, Named, RandomInputs, kernel};

static LINKS: Kernel = kernel!("recurrent_links");

pub(in crate::kernels) const LINKS_ENTRY: Entry =
    Entry { kernel: &LINKS, summary: "where rows of moves take their state before from", cases };

/// Where the state before a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Nowhere: it is zero.
    Zero = 0,
    /// In a row of the same item: row u·R + offset of the states.
    Item = 1,
    /// In the sample that the moves begin with: row `sample_of[first_item + u]` + offset of another buffer.
    Base = 2,
    /// In the conditions of the item: row u·condition_stride + offset.
    Condition = 4,
}

/// The links of packed rows, in the order of a table. See `shaders/recurrent_links.wgsl`.
#[derive(Debug, Clone)]
pub struct RecurrentLinks {
    /// (items·R) of four u32: token before, position, target, occupied
    pub rows: View,
    /// (R) of four u32: row of the item, [`Link`], offset, 0 where the token before does not count, else 1
    pub table: View,
    /// (B) u32: sample of each distinct sample
    pub sample_of: View,
    /// (items·R) of four u32: token before, row of the item, [`Link`], row there
    pub links: View,
}

impl RecurrentLinks {
    /// Records the links of `items` items of `rows_per_item` rows, of which the first is `first_item` in `sample_of`.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(
        &self,
        plan: &mut Plan,
        items: &Rows,
        rows_per_item: u32,
        first_item: u32,
        condition_stride: u32,
    ) -> Result<()> {
        let rows = items.times(rows_per_item);
        let count = u64::from(rows.most);
        plan.launch(&Launch {
            kernel: &LINKS,
            spec: &[],
            bindings: &[
                Bind { name: "rows", view: &self.rows, elements: 4 * count },
                Bind { name: "table", view: &self.table, elements: 4 * u64::from(rows_per_item) },
                Bind { name: "sample_of", view: &self.sample_of, elements: u64::from(first_item + items.most) },
                Bind { name: "links", view: &self.links, elements: 4 * count },
            ],
            params: &[
                ("rows", rows.most.into()),
                ("rows_per_item", rows_per_item.into()),
                ("first_item", first_item.into()),
                ("condition_stride", condition_stride.into()),
            ],
            groups: rows.groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 32.0 * count as f64 },
            shape: format!("({}, {rows_per_item})", items.most),
        })
    }
}

/// The links (items·R) of four u32 of `rows`.
pub fn links_reference(
    rows: &[u32],
    table: &[[u32; 4]],
    sample_of: &[u32],
    first_item: u32,
    condition_stride: u32,
) -> Vec<u32> {
    let per_item = table.len();
    let link = |u: usize, [k, source, offset, counts]: [u32; 4]| {
        let before = match source {
            2 => sample_of[first_item as usize + u] + offset,
            4 => u as u32 * condition_stride + offset,
            _ => (u * per_item) as u32 + offset,
        };
        [rows[4 * (u * per_item + k as usize)] * counts, k, source, before]
    };
    let items = rows.len() / 4 / per_item;
    (0..items).flat_map(|u| table.iter().flat_map(move |entry| link(u, *entry))).collect()
}

fn cases(_: &Gpu) -> Vec<Case> {
    [(1, 1, 0), (3, 7, 2), (13, 11, 5), (64, 64, 0), (10_007, 7, 1)].into_iter().map(case).collect()
}

fn case((items, per_item, first_item): (u32, u32, u32)) -> Case {
    const CONDITION_STRIDE: u32 = 3;
    let mut random = RandomInputs::new(u64::from(items + per_item));
    let rows = random.integers((4 * items * per_item) as usize, 4096);
    let [sources, offsets, counts] = [4, 50, 2].map(|end| random.integers(per_item as usize, end));
    let entry = |i: usize| {
        let k = (i as u32 * 5 + 3) % per_item;
        [k, [0, 1, 2, 4][sources[i] as usize], offsets[i], counts[i]]
    };
    let table: Vec<[u32; 4]> = (0..per_item as usize).map(entry).collect();
    let sample_of = random.integers((first_item + items) as usize, 1000);
    let links = links_reference(&rows, &table, &sample_of, first_item, CONDITION_STRIDE);
    let record = move |plan: &mut Plan, named: &Named| {
        let links = RecurrentLinks {
            rows: named.view("rows")?,
            table: named.view("table")?,
            sample_of: named.view("sample_of")?,
            links: named.view("links")?,
        };
        links.record(plan, &items.into(), per_item, first_item, CONDITION_STRIDE)
    };
    Case {
        name: format!("({items}, {per_item}), first {first_item}"),
        inputs: vec![("rows", rows.into()), ("table", table.concat().into()), ("sample_of", sample_of.into())],
        outputs: vec![("links", Expected::Exactly(links))],
        record: Box::new(record),
    }
}
