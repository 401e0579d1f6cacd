//! Attention of suffixes changed by connected configurations, over the prefix that they share with their sample.

use super::{
    CLUSTER, attend, check_heads, class, cluster, compiles_long, groups, head_requirement, part, random_qkv, scale,
    taken, variants, wide, window,
};
use crate::error::Result;
use crate::gpu::{Cost, DType, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::linear::Strategy;
use crate::kernels::nn::cast_f16::{has_half, stored};
use crate::kernels::variant::{Variant, VariantSelector};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, Values, kernel, record};

static SUFFIX: Kernel = kernel!("attention", "attention_suffix");
static SUFFIX_SCALAR: Kernel = kernel!("attention", "attention_suffix_scalar");

pub(crate) const SUFFIX_ENTRY: Entry =
    Entry { kernel: &SUFFIX, summary: "attention of changed suffixes over a shared prefix", cases: suffix_cases };
pub(crate) const SUFFIX_SCALAR_ENTRY: Entry = Entry {
    kernel: &SUFFIX_SCALAR,
    summary: "the same for any width of heads, without subgroups",
    cases: suffix_scalar_cases,
};

/// Faster strategy for suffixes, whose clusters also process rows of other sequences.
fn choose_suffix(gpu: &Gpu, shape: &SuffixShape) -> Strategy {
    let pays = shape.t >= 2 * CLUSTER && shape.d >= 8 || compiles_long(gpu, shape.d);
    if pays { cluster(gpu, shape.d) } else { Strategy::Scalar }
}

pub(crate) static SUFFIX_SELECTOR: VariantSelector<SuffixShape> = VariantSelector {
    variants: variants("attention_suffix"),
    class: |shape| class(shape.t, shape.d),
    rule: |gpu, shape| taken(gpu, choose_suffix(gpu, shape), [3, 2], shape.d, shape.per_item),
    requirement: |_, shape, variant| head_requirement(shape.d, variant),
};

record! {
    /// Attention of changed suffixes of sequences over the unchanged prefix of their base sample.
    ///
    /// Row r = u·per_item + k of the suffix batch belongs to item u. For each k, `row_table` contains the first changed
    /// position s and the position p ≥ s of the row. The rows of a sequence are consecutive and start with p = s. Keys
    /// and values for j < s come from the base sample, those for s ≤ j ≤ p from the suffix batch. Only keys of the
    /// row's own part of `period` positions count: j ≥ p − p mod period.
    #[derive(Debug, Clone)]
    pub struct AttentionSuffix {
        /// (B·T, 3C) of the base samples, f32 or f16
        pub base_qkv: View,
        /// (items·per_item, 3C), of the same type as `base_qkv`
        pub qkv: View,
        /// Base sample of item `first_item` + u, u32 (first_item + items)
        pub base: View,
        /// (per_item, 2), u32: s, p
        pub row_table: View,
        /// (items·per_item, C)
        pub out: View,
    }
}

/// Shape of an [`AttentionSuffix`].
#[derive(Debug, Clone)]
pub struct SuffixShape {
    /// Items of this launch, each with `per_item` rows of the suffix batch. Dynamic rows must have one row per item.
    pub items: Rows,
    /// Number of rows of the suffix batch per item.
    pub per_item: u32,
    /// Index in `base` of the first item of this launch.
    pub first_item: u32,
    /// Number of base samples B.
    pub b: u32,
    /// Number of positions T of a sample.
    pub t: u32,
    /// Number of positions of a part that is an independent sequence; T if the whole sample is one sequence.
    pub period: u32,
    /// Number of heads H.
    pub h: u32,
    /// Head width D, 1 to 128.
    pub d: u32,
}

impl AttentionSuffix {
    /// Records the kernel in the variant selected for its shape.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for heads wider than 128; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &SuffixShape) -> Result<()> {
        check_heads(&SUFFIX, shape.h, shape.d)?;
        let variant = SUFFIX_SELECTOR.take(plan.gpu(), shape)?;
        self.record_variant(plan, shape, variant)
    }

    fn record_variant(&self, plan: &mut Plan, shape: &SuffixShape, variant: &Variant) -> Result<()> {
        let width = u64::from(shape.h) * u64::from(shape.d);
        let base_elements = u64::from(shape.b) * u64::from(shape.t) * 3 * width;
        let rows = u64::from(shape.items.capacity) * u64::from(shape.per_item);
        let items = u64::from(shape.first_item) + u64::from(shape.items.capacity);
        let mut bindings = Vec::from(bind!(
            self.base_qkv[base_elements],
            self.qkv[rows * 3 * width],
            self.base[items],
            self.row_table[2 * u64::from(shape.per_item)],
            self.out[rows * width]
        ));
        let kernel = match variant.strategy {
            Strategy::Subgroup => &SUFFIX,
            Strategy::Scalar | Strategy::Tiled | Strategy::Panel => {
                bindings.extend(bind!(base_qkv4 = self.base_qkv[base_elements], qkv4 = self.qkv[rows * 3 * width]));
                &SUFFIX_SCALAR
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("QUERIES", variant.tile), ("CACHE_BITS", self.qkv.storage().bits())],
            bindings: &bindings,
            params: &[
                ("items", shape.items.capacity.into()),
                ("per_item", shape.per_item.into()),
                ("first_item", shape.first_item.into()),
                ("tokens", shape.t.into()),
                ("period", shape.period.into()),
                ("heads", shape.h.into()),
                ("scale", scale(shape.d)),
            ],
            groups: groups(&shape.items, shape.per_item, shape.h, variant),
            // The table is on the GPU; the cost assumes that every row is in the middle of its sequence.
            cost: Cost {
                flops: 2.0 * (rows * width) as f64 * f64::from(shape.period),
                bytes: (self.qkv.storage().bytes() * (base_elements + rows * 3 * width) + 4 * rows * width) as f64,
            },
            shape: format!("({}, {}, {}, {}, {})", shape.items.capacity, shape.per_item, shape.t, shape.h, shape.d),
        })
    }
}
/// Reference in f64: out (items·per_item, C) of an [`AttentionSuffix`]. `base` starts at the first item of the launch.
pub fn suffix_reference(
    base_qkv: &[f64],
    qkv: &[f64],
    base: &[u32],
    row_table: &[[u32; 2]],
    shape: &SuffixShape,
) -> Vec<f64> {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let mut out = Vec::new();
    for row in 0..(shape.items.capacity * shape.per_item) as usize {
        let (item, k) = (row / shape.per_item as usize, row % shape.per_item as usize);
        let [start, position] = row_table[k].map(|v| v as usize);
        for head in 0..h {
            let at = |j: usize, third| {
                if j < start {
                    part(base_qkv, base[item] as usize * t + j, third, head, h, d)
                } else {
                    part(qkv, row - (position - j), third, head, h, d)
                }
            };
            let first = position - position % shape.period as usize;
            let keys: Vec<_> = (first..=position).map(|j| (at(j, 1), at(j, 2))).collect();
            out.extend(attend(at(position, 0), &keys).0);
        }
    }
    out
}

/// First changed position and number of changed rows of each sequence, for samples of up to 1, 5, 5, 16 and 70
/// positions.
pub(super) const TABLES: [&[[u32; 2]]; 5] = [
    &[[0, 1]],
    &[[1, 4], [2, 3], [4, 1], [0, 5]],
    &[[0, 3], [3, 2], [4, 1], [4, 1], [4, 1], [3, 1], [1, 2], [2, 3]],
    &[[5, 11], [0, 16], [15, 1], [15, 1], [7, 2], [9, 4], [8, 8]],
    &[[20, 50], [64, 6], [69, 1], [0, 70], [32, 3]],
];

fn suffix_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [
        ([1, 1, 4], 1, 0),
        ([5, 2, 4], 7, 1),
        ([5, 3, 8], 5, 2),
        ([16, 2, 16], 9, 3),
        ([16, 3, 8], 2, 3),
        ([5, 1, 4], 30_000, 1),
    ];
    suffix_cases_of(gpu, Strategy::Subgroup, &shapes)
}

fn suffix_scalar_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [
        ([1, 1, 1], 1, 0),
        ([5, 2, 4], 7, 1),
        ([5, 3, 6], 5, 2),
        ([16, 2, 8], 9, 3),
        ([5, 3, 8], 5, 2),
        ([16, 3, 8], 2, 3),
        ([16, 1, 20], 2, 3),
        ([5, 1, 4], 30_000, 1),
    ];
    suffix_cases_of(gpu, Strategy::Scalar, &shapes)
}

/// (T, H, D), number of items and index of the table of sequences.
pub(super) type SuffixCase = ([u32; 3], u32, usize);

/// Inputs of a suffix kernel's test case.
pub(super) struct SuffixInputs {
    pub shape: SuffixShape,
    pub base_qkv: Vec<f64>,
    pub qkv: Vec<f64>,
    pub row_table: Vec<[u32; 2]>,
    /// Base samples, from the first item of the launch.
    pub base: Vec<u32>,
    /// Shape, number of items and rows, and storage type.
    pub name: String,
    pub inputs: Vec<(&'static str, Values)>,
}

impl SuffixInputs {
    /// Creates `items` items of shape (T, H, D), each with the changed rows of `sequences`.
    pub(super) fn new([t, h, d]: [u32; 3], items: u32, sequences: &[[u32; 2]], period: u32, storage: DType) -> Self {
        let row_table: Vec<[u32; 2]> =
            sequences.iter().flat_map(|[start, rows]| (0..*rows).map(move |i| [*start, start + i])).collect();
        let (b, per_item, first_item) = (items.min(11), row_table.len() as u32, 2);
        let mut random = RandomInputs::new(u64::from(items * 31 + t * 7 + h * 3 + d));
        let (base_qkv, stored_base) = stored(random_qkv(&mut random, (b * t * 3 * h * d) as usize), storage);
        let (qkv, stored_qkv) = stored(random_qkv(&mut random, (items * per_item * 3 * h * d) as usize), storage);
        let base = random.integers((first_item + items) as usize, b);
        let half = if storage == DType::F16 { " f16 qkv" } else { "" };
        Self {
            shape: SuffixShape { items: items.into(), per_item, first_item, b, t, period, h, d },
            base_qkv: wide(&base_qkv),
            qkv: wide(&qkv),
            base: base[first_item as usize..].to_vec(),
            name: format!("({t}, {h}, {d}), {items} items of {per_item} rows{half}"),
            inputs: vec![
                ("base_qkv", stored_base),
                ("qkv", stored_qkv),
                ("base", base.into()),
                ("row_table", row_table.concat().into()),
                ("live", vec![items + 3].into()),
            ],
            row_table,
        }
    }
}

/// Storage types that the adapter supports.
pub(super) fn storages(gpu: &Gpu) -> impl Iterator<Item = DType> + Clone {
    let half = has_half(gpu);
    [DType::F32, DType::F16].into_iter().filter(move |storage| *storage == DType::F32 || half)
}

/// Cases with few items run in every variant of the strategy, cases with many in one variant each, cycling through
/// them; in all supported storage types.
fn suffix_cases_of(gpu: &Gpu, strategy: Strategy, shapes: &[SuffixCase]) -> Vec<Case> {
    let cases = |(i, case): (usize, &SuffixCase)| {
        let ([t, h, d], items, _) = *case;
        let shape = SuffixShape { items: items.into(), per_item: 1, first_item: 0, b: 1, t, period: t, h, d };
        let variants = SUFFIX_SELECTOR.of_case(gpu, strategy, &shape, items < 100, i);
        let whole = storages(gpu).flat_map(|s| variants.iter().map(move |variant| suffix_case(*variant, *case, t, s)));
        // Parts that divide T; one is a single position.
        let periods = [1, t.div_ceil(4)].into_iter().filter(|period| items < 100 && *period < t && t % period == 0);
        let parts =
            periods.flat_map(|p| variants.iter().map(move |variant| suffix_case(*variant, *case, p, DType::F32)));
        parts.chain(whole).collect::<Vec<_>>()
    };
    shapes.iter().enumerate().flat_map(cases).collect()
}

fn suffix_case(variant: Variant, (sizes, items, table): SuffixCase, period: u32, storage: DType) -> Case {
    let case = SuffixInputs::new(sizes, items, TABLES[table], period, storage);
    let out = suffix_reference(&case.base_qkv, &case.qkv, &case.base, &case.row_table, &case.shape);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let attention = AttentionSuffix::from_case(buffers)?;
        let live = window(buffers.view("live")?, items);
        plan.write_indirect_args(&live.live)?;
        attention.record_variant(plan, &SuffixShape { items: live.into(), ..case.shape.clone() }, &variant)
    };
    Case {
        name: format!("{}, parts of {period}", case.name),
        inputs: case.inputs,
        outputs: vec![("out", Expected::Near { values: out, tolerance: 3e-6 })],
        record: Box::new(record),
    }
    .of_variant(&variant)
}
