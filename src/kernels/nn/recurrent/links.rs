//! Links from rows of connected configurations to their previous states.

use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static LINKS: Kernel = kernel!("nn", "recurrent_links");

/// Location of the previous state of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The previous state is zero.
    Zero = 0,
    /// Row u·R + offset of the states: the same item u.
    Item = 1,
    /// Row `sample_of[first_item + u]` + offset of another buffer: the sample that the configurations are connected to.
    Base = 2,
    /// Row u·conditioning_stride + offset of the conditionings of the item.
    Conditioning = 4,
}

record! {
    /// Links of the rows of a suffix batch, in the order of a table. See `shaders/nn/recurrent_links.wgsl`.
    #[derive(Debug, Clone)]
    pub struct RecurrentLinks {
        /// (items·R) of four u32: preceding token, position, target, occupied
        pub rows: View,
        /// (R) of four u32: row of the item, [`Link`], offset, 0 if the preceding token is ignored, otherwise 1
        pub table: View,
        /// (B) u32: sample index of each deduplicated sample
        pub sample_of: View,
        /// (items·R) of four u32: preceding token, row of the item, [`Link`], row of the previous state
        pub links: View,
    }
}

impl RecurrentLinks {
    /// Records the links of `items` items of `rows_per_item` rows. Item 0 is entry `first_item` of `sample_of`.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(
        &self,
        plan: &mut Plan,
        items: &Rows,
        rows_per_item: u32,
        first_item: u32,
        conditioning_stride: u32,
    ) -> Result<()> {
        let rows = items.times(rows_per_item);
        let count = u64::from(rows.capacity);
        plan.launch(&Launch {
            kernel: &LINKS,
            spec: &[],
            bindings: &bind!(
                self.rows[4 * count],
                self.table[4 * u64::from(rows_per_item)],
                self.sample_of[u64::from(first_item + items.capacity)],
                self.links[4 * count]
            ),
            params: &[
                ("rows", rows.capacity.into()),
                ("rows_per_item", rows_per_item.into()),
                ("first_item", first_item.into()),
                ("conditioning_stride", conditioning_stride.into()),
            ],
            groups: rows.groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 32.0 * count as f64 },
            shape: format!("({}, {rows_per_item})", items.capacity),
        })
    }
}

/// Links of `rows`, (items·R) of four u32.
pub fn links_reference(
    rows: &[u32],
    table: &[[u32; 4]],
    sample_of: &[u32],
    first_item: u32,
    conditioning_stride: u32,
) -> Vec<u32> {
    let per_item = table.len();
    let link = |u: usize, [k, source, offset, counts]: [u32; 4]| {
        let before = match source {
            2 => sample_of[first_item as usize + u] + offset,
            4 => u as u32 * conditioning_stride + offset,
            _ => (u * per_item) as u32 + offset,
        };
        [rows[4 * (u * per_item + k as usize)] * counts, k, source, before]
    };
    let items = rows.len() / 4 / per_item;
    (0..items).flat_map(|u| table.iter().flat_map(move |entry| link(u, *entry))).collect()
}
