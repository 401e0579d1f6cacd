//! Row metadata of a pass: (preceding token, position, target token, occupied).
//!
//! `occupied` is the number of occupied sites in the patches before the row's, which a categorical head needs if
//! configurations are restricted to a sector ([`crate::kernels::nn::categorical::CategoricalShape`]). It is counted if
//! `counts` is set, otherwise 0.
//!
//! The teacher-forced pass has one row per patch of every deduplicated sample. A pass over connected configurations has
//! rows only for the patches after the first changed patch: all earlier rows, and the logits of the changed patch, are
//! those of the sample.
//!
//! The rows of all connected configurations of many samples form one suffix batch. Row k of a sample always belongs to
//! the same off-diagonal term and position, so the tables of the batch are static.

use crate::error::Result;
use crate::gpu::{Cost, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel};

static SAMPLES: Kernel = kernel!("vmc", "rows_samples");
static MOVES: Kernel = kernel!("vmc", "rows_connected");

pub(crate) const SAMPLES_ENTRY: Entry =
    Entry { kernel: &SAMPLES, summary: "row metadata of the teacher-forced pass", cases: samples_cases };
pub(crate) const MOVES_ENTRY: Entry =
    Entry { kernel: &MOVES, summary: "row metadata of connected configurations", cases: moves_cases };

/// Window of deduplicated samples.
#[derive(Debug, Clone)]
pub struct Window {
    /// Deduplicated samples of the window: `first .. first + capacity` of those counted.
    pub items: Rows,
    /// Index of the first deduplicated sample of the window.
    pub first: u32,
    /// Maximum number of items.
    pub capacity: u32,
    /// B, the number of samples drawn.
    pub samples: u32,
    /// T
    pub patches: u32,
}

/// Rows of the teacher-forced pass.
#[derive(Debug, Clone)]
pub struct RowsSamples {
    /// (B, T) u32
    pub tokens: View,
    /// (B) u32
    pub sample_of: View,
    /// (items·T) of four u32
    pub rows: View,
    /// Whether the occupied sites of preceding patches are counted.
    pub counts: bool,
}

impl RowsSamples {
    /// Records the rows of a window.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, window: &Window) -> Result<()> {
        let rows = window.items.times(window.patches);
        let (b, t, count) = (u64::from(window.samples), u64::from(window.patches), u64::from(rows.capacity));
        plan.launch(&Launch {
            kernel: &SAMPLES,
            spec: &[],
            bindings: &bind!(self.tokens[b * t], self.sample_of[b], self.rows[4 * count]),
            params: &[
                ("rows", rows.capacity.into()),
                ("patches", window.patches.into()),
                ("first", window.first.into()),
                ("samples", window.samples.into()),
                ("counts", u32::from(self.counts).into()),
            ],
            groups: rows.groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 24.0 * count as f64 },
            shape: format!("({count})"),
        })
    }
}

/// Rows of connected configurations.
#[derive(Debug, Clone)]
pub struct RowsConnected {
    /// (B, T) u32
    pub tokens: View,
    /// (B) u32
    pub sample_of: View,
    /// (R) of four u32: start, position, move, 0
    pub table: View,
    /// (M) of four u32: first patch, mask, second patch, mask
    pub moves: View,
    /// (items·R) of four u32
    pub rows: View,
    /// Whether the occupied sites of preceding patches are counted.
    pub counts: bool,
}

impl RowsConnected {
    /// Records the rows of a window, `rows_per_item` = R per deduplicated sample, for `moves` = M off-diagonal terms.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, window: &Window, rows_per_item: u32, moves: u32) -> Result<()> {
        let rows = window.items.times(rows_per_item);
        let (b, t, count) = (u64::from(window.samples), u64::from(window.patches), u64::from(rows.capacity));
        plan.launch(&Launch {
            kernel: &MOVES,
            spec: &[],
            bindings: &bind!(
                self.tokens[b * t],
                self.sample_of[b],
                self.table[4 * u64::from(rows_per_item)],
                self.moves[4 * u64::from(moves)],
                self.rows[4 * count]
            ),
            params: &[
                ("rows", rows.capacity.into()),
                ("rows_per_item", rows_per_item.into()),
                ("patches", window.patches.into()),
                ("first", window.first.into()),
                ("samples", window.samples.into()),
                ("counts", u32::from(self.counts).into()),
            ],
            groups: rows.groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 40.0 * count as f64 },
            shape: format!("({count})"),
        })
    }
}

/// Row metadata of one configuration at positions `from`..T: preceding token, position, target, occupied.
pub fn rows_reference(tokens: &[u32], from: usize, counts: bool) -> Vec<u32> {
    let occupied = |p: usize| if counts { tokens[..p].iter().map(|token| token.count_ones()).sum() } else { 0 };
    let row = |p: usize| [if p == 0 { 0 } else { tokens[p - 1] }, p as u32, tokens[p], occupied(p)];
    (from..tokens.len()).flat_map(row).collect()
}

fn samples_cases(_: &Gpu) -> Vec<Case> {
    let shapes = [(1, 1, 0, 1), (9, 4, 2, 5), (100, 7, 0, 100), (35_000, 2, 10, 34_990)];
    shapes.into_iter().flat_map(|shape| [false, true].map(|counts| samples_case(shape, counts))).collect()
}

fn samples_case((samples, patches, first, most): (u32, u32, u32, u32), counts: bool) -> Case {
    let mut random = RandomInputs::new(u64::from(samples));
    let tokens = random.integers((samples * patches) as usize, 16);
    let sample_of = random.integers(samples as usize, samples);
    let t = patches as usize;
    let of = |u: u32| sample_of[(first + u) as usize] as usize;
    let rows = (0..most).flat_map(|u| rows_reference(&tokens[of(u) * t..(of(u) + 1) * t], 0, counts)).collect();
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let [tokens, sample_of, rows] = buffers.views(["tokens", "sample_of", "rows"])?;
        let rows = RowsSamples { tokens, sample_of, rows, counts };
        rows.record(plan, &Window { items: most.into(), first, capacity: most, samples, patches })
    };
    Case {
        name: format!("({samples}, {patches}) from {first}, counts {counts}"),
        outputs: vec![("rows", Expected::Exactly(rows))],
        inputs: vec![("tokens", tokens.into()), ("sample_of", sample_of.into())],
        record: Box::new(record),
    }
}

fn moves_cases(_: &Gpu) -> Vec<Case> {
    let shapes = [(1, 2, 0, 1), (9, 4, 2, 5), (64, 7, 0, 64), (3000, 4, 1, 2990)];
    shapes.into_iter().flat_map(|shape| [false, true].map(|counts| moves_case(shape, counts))).collect()
}

fn moves_case((samples, patches, first, most): (u32, u32, u32, u32), counts: bool) -> Case {
    let mut random = RandomInputs::new(u64::from(samples));
    let tokens = random.integers((samples * patches) as usize, 16);
    let sample_of = random.integers(samples as usize, samples);
    let t = patches as usize;
    // Single flips in every patch, and double flips with the last patch.
    let moves: Vec<[u32; 4]> =
        (0..patches).flat_map(|i| [[i, 1 << (i % 4), u32::MAX, 0], [i, 2, patches - 1, 4]]).collect();
    let changed = |tokens: &[u32], m: &[u32; 4]| {
        let mut tokens = tokens.to_vec();
        tokens[m[0] as usize] ^= m[1];
        if m[2] < patches {
            tokens[m[2] as usize] ^= m[3];
        }
        tokens
    };
    let mut table = Vec::new();
    for (m, change) in moves.iter().enumerate() {
        (change[0] + 1..patches).for_each(|p| table.extend([change[0] + 1, p, m as u32, 0]));
    }
    let rows_per_item = table.len() as u32 / 4;
    let mut rows = Vec::new();
    for u in 0..most {
        let b = sample_of[(first + u) as usize] as usize;
        let own = &tokens[b * t..(b + 1) * t];
        moves.iter().for_each(|m| rows.extend(rows_reference(&changed(own, m), m[0] as usize + 1, counts)));
    }
    let count = moves.len() as u32;
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let [tokens, sample_of, rows] = buffers.views(["tokens", "sample_of", "rows"])?;
        let [table, moves] = buffers.views(["table", "moves"])?;
        let rows = RowsConnected { tokens, sample_of, table, moves, rows, counts };
        rows.record(plan, &Window { items: most.into(), first, capacity: most, samples, patches }, rows_per_item, count)
    };
    Case {
        name: format!("({samples}, {patches}) from {first}, counts {counts}"),
        outputs: vec![("rows", Expected::Exactly(rows))],
        inputs: vec![
            ("tokens", tokens.into()),
            ("sample_of", sample_of.into()),
            ("table", table.into()),
            ("moves", moves.concat().into()),
        ],
        record: Box::new(record),
    }
}
