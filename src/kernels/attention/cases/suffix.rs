//! Test cases of [`crate::kernels::attention::suffix`].

use crate::gpu::{DType, Gpu, Kernel, Plan};
use crate::kernels::attention::cases::{random_qkv, window};
use crate::kernels::attention::suffix::{
    AttentionSuffix, SUFFIX, SUFFIX_SCALAR, SUFFIX_SELECTOR, SUFFIX_TILED, SUFFIX_WIDE, SuffixShape, suffix_reference,
};
use crate::kernels::case::wide;
use crate::kernels::nn::cases::cast_f16::{has_half, stored};
use crate::kernels::variant::Variant;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, Values};

pub(crate) const SUFFIX_ENTRY: Entry =
    Entry { kernel: &SUFFIX, summary: "attention of changed suffixes over a shared prefix", cases: suffix_cases };
pub(crate) const SUFFIX_SCALAR_ENTRY: Entry = Entry {
    kernel: &SUFFIX_SCALAR,
    summary: "the same for any width of heads, without subgroups",
    cases: suffix_scalar_cases,
};

pub(crate) const SUFFIX_TILED_ENTRY: Entry = Entry {
    kernel: &SUFFIX_TILED,
    summary: "the same in workgroup memory, for GPUs and narrow heads",
    cases: suffix_tiled_cases,
};

pub(crate) const SUFFIX_WIDE_ENTRY: Entry = Entry {
    kernel: &SUFFIX_WIDE,
    summary: "the same by register blocks, for GPUs and wide heads",
    cases: suffix_wide_cases,
};

/// First changed position and number of changed rows of each sequence, for samples of up to 1, 5, 5, 16 and 70
/// positions.
pub(crate) const TABLES: [&[[u32; 2]]; 5] = [
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
    suffix_cases_of(gpu, &SUFFIX, &shapes)
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
    suffix_cases_of(gpu, &SUFFIX_SCALAR, &shapes)
}

fn suffix_tiled_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [
        ([1, 1, 4], 1, 0),
        ([5, 2, 4], 7, 1),
        ([5, 3, 8], 5, 2),
        ([16, 2, 16], 9, 3),
        ([16, 3, 12], 2, 3),
        ([16, 5, 32], 2, 3),
        ([70, 2, 16], 3, 4),
        ([70, 1, 28], 2, 4),
        ([5, 1, 4], 30_000, 1),
    ];
    suffix_cases_of(gpu, &SUFFIX_TILED, &shapes)
}

fn suffix_wide_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [
        ([1, 1, 4], 1, 0),
        ([5, 2, 8], 7, 1),
        ([16, 2, 36], 9, 3),
        ([16, 1, 64], 2, 3),
        ([70, 2, 64], 3, 4),
        ([70, 1, 128], 2, 4),
        ([70, 1, 100], 1, 4),
        ([5, 1, 4], 10_000, 1),
    ];
    suffix_cases_of(gpu, &SUFFIX_WIDE, &shapes)
}

/// (T, H, D), number of items and index of the table of sequences.
pub(crate) type SuffixCase = ([u32; 3], u32, usize);

/// Inputs of a suffix kernel's test case.
pub(crate) struct SuffixInputs {
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
    pub(crate) fn new([t, h, d]: [u32; 3], items: u32, sequences: &[[u32; 2]], period: u32, storage: DType) -> Self {
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
pub(crate) fn storages(gpu: &Gpu) -> impl Iterator<Item = DType> + Clone {
    let half = has_half(gpu);
    [DType::F32, DType::F16].into_iter().filter(move |storage| *storage == DType::F32 || half)
}

/// Cases with few items run in every variant that launches the kernel, cases with many in one variant each, cycling through
/// them; in all supported storage types.
fn suffix_cases_of(gpu: &Gpu, kernel: &'static Kernel, shapes: &[SuffixCase]) -> Vec<Case> {
    let cases = |(i, case): (usize, &SuffixCase)| {
        let ([t, h, d], items, _) = *case;
        let shape = SuffixShape { items: items.into(), per_item: 1, first_item: 0, b: 1, t, period: t, h, d };
        let variants = SUFFIX_SELECTOR.of_kernel(gpu, kernel, &shape, items < 100, i);
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
