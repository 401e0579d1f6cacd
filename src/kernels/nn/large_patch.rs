//! Large patches: row metadata from their sub-patches, and conditioning of sub-patches on large patches.
//!
//! A configuration of T sub-patches has L = T/S large patches; sub-patch t lies in large patch ⌊t/S⌋. A suffix batch of
//! sub-patch rows has a large-patch row at each position p with p mod S = 0, where a large patch begins. Earlier
//! changes affect the input of a large patch only at these positions. [`LargeTables`] lists the rows.

use super::embed;
use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static ROWS: Kernel = kernel!("nn", "rows_large_patch");
pub(super) static ADD: Kernel = kernel!("nn", "conditioning_add");
pub(super) static SUM: Kernel = kernel!("nn", "conditioning_sum");

/// Marker for no large-patch row: the conditioning of the sample applies.
pub const NONE: u32 = u32::MAX;

/// Large-patch rows of a suffix batch of sub-patch rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LargeTables {
    /// (R_L) of four u32: position l, first sub-patch whose preceding token may have changed, suffix row of sub-patch
    /// l·S, 0
    pub rows: Vec<[u32; 4]>,
    /// (R_L) of two u32: first large patch whose input may have changed, position
    pub row_table: Vec<[u32; 2]>,
    /// (R): large-patch row of each suffix row, or [`NONE`]
    pub conditioning_of: Vec<u32>,
}

impl LargeTables {
    /// Returns the tables of suffix rows (first changed position, position), with S sub-patches per large patch.
    pub fn new(row_table: &[[u32; 2]], sub_patches: u32) -> Self {
        let mut tables = Self::default();
        let mut current = NONE;
        for (k, [start, position]) in row_table.iter().enumerate() {
            if start == position {
                current = NONE;
            }
            if position.is_multiple_of(sub_patches) {
                current = tables.rows.len() as u32;
                let large = position / sub_patches;
                tables.rows.push([large, *start, k as u32, 0]);
                tables.row_table.push([start.div_ceil(sub_patches), large]);
            }
            tables.conditioning_of.push(current);
        }
        tables
    }

    /// Returns the tables of one complete configuration, without a prefix from a sample.
    pub fn whole(patches: u32, sub_patches: u32) -> Self {
        let row_table: Vec<[u32; 2]> = (0..patches).map(|position| [0, position]).collect();
        Self::new(&row_table, sub_patches)
    }

    /// Returns entries for large patches whose preceding sub-patches all belong to a sample.
    pub fn of_samples(large_patches: u32) -> Vec<[u32; 4]> {
        (0..large_patches).map(|large| [large, u32::MAX, 0, 0]).collect()
    }
}

/// Division of a configuration into large patches and sub-patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargePatchShape {
    /// T, sub-patches per configuration
    pub patches: u32,
    /// S, sub-patches per large patch
    pub sub_patches: u32,
    /// P, sites per sub-patch
    pub sub_sites: u32,
}

impl LargePatchShape {
    /// L, large patches per configuration.
    pub fn large_patches(&self) -> u32 {
        self.patches / self.sub_patches
    }

    /// Sites per large patch.
    pub fn sites(&self) -> u32 {
        self.sub_patches * self.sub_sites
    }

    /// u32 words per row of metadata of a large patch.
    pub fn stride(&self) -> u32 {
        embed::words(self.sites()) + 1
    }
}

/// Window of large-patch rows.
#[derive(Debug, Clone)]
pub struct LargeWindow {
    /// Items of `per_item` rows each. Dynamic rows must count one row per item.
    pub items: Rows,
    /// Index of item 0 in `sample_of`.
    pub first_item: u32,
    /// Large-patch rows per item.
    pub per_item: u32,
    /// Index of their first entry in the table.
    pub first_entry: u32,
    /// Suffix rows of sub-patches per item.
    pub packed_per_item: u32,
}

/// Values of complete samples.
#[derive(Debug, Clone)]
pub struct LargePatchSamples {
    /// (B) u32: sample of each item
    pub sample_of: View,
    /// Tokens (B, T) u32 or conditionings (B·L, C)
    pub values: View,
    /// B
    pub count: u32,
}

/// Row metadata of large patches.
#[derive(Debug, Clone)]
pub struct RowsLarge {
    /// Samples with their tokens, if entries of the table refer to them.
    pub samples: Option<LargePatchSamples>,
    /// (items·R) of four u32: preceding token, position, target, occupied; if entries of the table refer to them
    pub packed: Option<View>,
    /// (entries) of four u32, see [`LargeTables::rows`]
    pub table: View,
    /// (p) u32: position s·P + j of each element of a large patch among the bits of its sub-patches
    pub places: View,
    /// (rows, ⌈p / 32⌉ + 1) u32: bits, position
    pub rows: View,
}

impl RowsLarge {
    /// Records the row metadata.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, window: &LargeWindow, shape: &LargePatchShape) -> Result<()> {
        let rows = window.items.times(window.per_item);
        let (count, per_item) = (u64::from(rows.capacity), u64::from(window.per_item));
        let samples = self.samples.as_ref().map_or(0, |samples| samples.count);
        let packed = u64::from(window.items.capacity) * u64::from(window.packed_per_item);
        let of = |view: Option<&View>| view.unwrap_or(&self.table).clone();
        let tokens = of(self.samples.as_ref().map(|samples| &samples.values));
        let sample_of = of(self.samples.as_ref().map(|samples| &samples.sample_of));
        let packed_elements = self.packed.as_ref().map_or(4, |_| 4 * packed);
        let packed = of(self.packed.as_ref());
        plan.launch(&Launch {
            kernel: &ROWS,
            spec: &[],
            bindings: &bind!(
                tokens[u64::from(samples * shape.patches).max(1)],
                sample_of[u64::from(samples).max(1)],
                packed[packed_elements],
                self.table[4 * (u64::from(window.first_entry) + per_item)],
                self.places[shape.sites().into()],
                self.rows[count * u64::from(shape.stride())]
            ),
            params: &[
                ("rows", rows.capacity.into()),
                ("per_item", window.per_item.into()),
                ("first_entry", window.first_entry.into()),
                ("packed_per_item", window.packed_per_item.into()),
                ("first_item", window.first_item.into()),
                ("samples", samples.into()),
                ("patches", shape.patches.into()),
                ("sub_patches", shape.sub_patches.into()),
                ("sub_sites", shape.sub_sites.into()),
                ("sites", shape.sites().into()),
            ],
            groups: rows.groups(64, 1),
            cost: Cost { flops: 0.0, bytes: (4 * count * u64::from(shape.sub_patches + shape.stride() + 4)) as f64 },
            shape: format!("({count}, {})", shape.sites()),
        })
    }
}

/// Addition of large-patch rows to the rows of their sub-patches.
#[derive(Debug, Clone)]
pub struct ConditioningAdd {
    /// (items·R_L, C)
    pub own: View,
    /// Samples with the rows of their large patches (B·L, C), and (R) of two u32: s, p. Required if entries of the
    /// table are [`NONE`].
    pub samples: Option<(LargePatchSamples, View)>,
    /// (entries) u32, see [`LargeTables::conditioning_of`]
    pub table: View,
    /// (items·R, C)
    pub x: View,
}

impl ConditioningAdd {
    /// Records the addition for `packed_per_item` rows of each item, with entries from `first_entry`. `per_item` is the
    /// number of large-patch rows per item. `width` is C, a multiple of 4.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, window: &LargeWindow, shape: &LargePatchShape, width: u32) -> Result<()> {
        let rows = window.items.times(window.packed_per_item);
        let (count, c, items) = (u64::from(rows.capacity), u64::from(width), u64::from(window.items.capacity));
        let samples = self.samples.as_ref().map_or(0, |(samples, _)| samples.count);
        let (base, sample_of, row_table) = match &self.samples {
            Some((samples, row_table)) => (&samples.values, &samples.sample_of, row_table),
            None => (&self.own, &self.table, &self.table),
        };
        let of_samples = |elements: u64, least: u64| if samples > 0 { elements } else { least };
        let base_rows = u64::from(samples) * u64::from(shape.large_patches());
        let row_elements = 2 * u64::from(window.packed_per_item);
        plan.launch(&Launch {
            kernel: &ADD,
            spec: &[],
            bindings: &bind!(
                self.own[(items * u64::from(window.per_item)).max(1) * c],
                base[of_samples(base_rows * c, 4)],
                sample_of[of_samples(samples.into(), 1)],
                self.table[u64::from(window.first_entry) + u64::from(window.packed_per_item)],
                row_table[of_samples(row_elements, 2)],
                self.x[count * c]
            ),
            params: &[
                ("rows", rows.capacity.into()),
                ("width4", (width / 4).into()),
                ("per_item", window.packed_per_item.into()),
                ("first_entry", window.first_entry.into()),
                ("own_per_item", window.per_item.into()),
                ("first_item", window.first_item.into()),
                ("samples", samples.into()),
                ("base_per_sample", shape.large_patches().into()),
                ("sub_patches", shape.sub_patches.into()),
            ],
            groups: rows.times(width / 4).groups(64, 1),
            cost: Cost { flops: (count * c) as f64, bytes: 12.0 * (count * c) as f64 },
            shape: format!("({count}, {c})"),
        })
    }
}

record! {
    /// Gradient of large-patch rows: the sum over their sub-patches.
    #[derive(Debug, Clone)]
    pub struct ConditioningSum {
        /// (rows·S, C)
        pub d_x: View,
        /// (rows, C)
        pub d_conditioning: View,
    }
}

impl ConditioningSum {
    /// Records the sums of `rows` large patches of `sub_patches` = S each. `width` is C, a multiple of 4.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &Rows, sub_patches: u32, width: u32) -> Result<()> {
        let (count, s, c) = (u64::from(rows.capacity), u64::from(sub_patches), u64::from(width));
        plan.launch(&Launch {
            kernel: &SUM,
            spec: &[],
            bindings: &bind!(self.d_x[count * s * c], self.d_conditioning[count * c]),
            params: &[
                ("rows", rows.capacity.into()),
                ("width4", (width / 4).into()),
                ("sub_patches", sub_patches.into()),
            ],
            groups: rows.times(width / 4).groups(64, 1),
            cost: Cost { flops: (count * s * c) as f64, bytes: 4.0 * (count * (s + 1) * c) as f64 },
            shape: format!("({count}, {s}, {c})"),
        })
    }
}

/// Row metadata of large patch `large` of a configuration, given as tokens of sub-patches.
pub(crate) fn large_row_reference(tokens: &[u32], large: u32, places: &[u32], shape: &LargePatchShape) -> Vec<u32> {
    let mut row = vec![0; shape.stride() as usize];
    row[shape.stride() as usize - 1] = large;
    for (element, place) in places.iter().enumerate().filter(|_| large > 0) {
        let token = tokens[((large - 1) * shape.sub_patches + place / shape.sub_sites) as usize];
        row[element / 32] |= (token >> (place % shape.sub_sites) & 1) << (element % 32);
    }
    row
}

/// x (rows, C) plus row `conditioning_of[r]` of `own` (large-patch rows, C) for each row r, in f64.
pub fn add_reference(x: &[f64], own: &[f64], conditioning_of: &[u32], width: usize) -> Vec<f64> {
    let term = |at: usize| own[conditioning_of[at / width] as usize * width + at % width];
    x.iter().enumerate().map(|(at, x)| x + term(at)).collect()
}

/// d_conditioning (rows, C) in f64.
pub fn sum_reference(d_x: &[f64], sub_patches: usize, width: usize) -> Vec<f64> {
    let sum = |rows: &[f64], c: usize| (0..sub_patches).map(|s| rows[s * width + c]).sum::<f64>();
    d_x.chunks(sub_patches * width).flat_map(|rows| (0..width).map(move |c| sum(rows, c))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::nn::cases::large_patch::sequences;

    #[test]
    fn a_large_row_stands_where_a_large_patch_begins() {
        // Changes of sub-patch 1 and of sub-patch 3, of 8 in large patches of 4.
        let tables = LargeTables::new(&sequences(8, &[2, 4]), 4);
        assert_eq!(tables.rows, [[1, 2, 2, 0], [1, 4, 6, 0]]);
        assert_eq!(tables.row_table, [[1, 1], [1, 1]]);
        assert_eq!(tables.conditioning_of, [NONE, NONE, 0, 0, 0, 0, 1, 1, 1, 1]);
        let whole = LargeTables::whole(6, 2);
        assert_eq!(whole.rows, [[0, 0, 0, 0], [1, 0, 2, 0], [2, 0, 4, 0]]);
        assert_eq!(whole.row_table, [[0, 0], [0, 1], [0, 2]]);
        assert_eq!(whole.conditioning_of, [0, 0, 1, 1, 2, 2]);
    }
}
