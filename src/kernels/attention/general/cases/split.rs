//! Test cases of [`crate::kernels::attention::general::split`].

use super::forward::recorded;
use super::{GeneralCase, MANY, Sizes, general_cases, option_cases, plain, shape_of};
use crate::gpu::{Gpu, Plan};
use crate::kernels::attention::cases::narrow;
use crate::kernels::attention::general::split::{MERGE, SPLIT, Splits};
use crate::kernels::attention::general::{FORWARD_SELECTOR, GeneralForward, GeneralShape, Layout, Layouts, Strides};
use crate::kernels::case::wide;
use crate::kernels::variant::Variant;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, Values};

pub(crate) const SPLIT_ENTRY: Entry = Entry {
    kernel: &SPLIT,
    summary: "attention of few queries over many keys: sums over splits of the keys",
    cases: split_cases,
};

pub(crate) const MERGE_ENTRY: Entry = Entry {
    kernel: &MERGE,
    summary: "sum of the splits, and the logarithm of the sum of exponentials",
    cases: merge_cases,
};

/// Sizes around the ends of splits of 128 keys, rounds of 64 and tiles of 4 rows: 1 to 4 queries, groups of 1, 3 and 8
/// heads, all numbers of columns of a lane, and more splits than the merge adds at a time.
const SIZES: &[Sizes] = &[
    [1, 1, 521, 8, 2, 64, 64],
    [2, 3, 257, 3, 1, 80, 67],
    [1, 1, 127, 3, 3, 1, 1],
    [1, 2, 128, 8, 1, 3, 5],
    [2, 1, 129, 8, 1, 128, 128],
    [1, 4, 1031, 6, 2, 128, 130],
    [3, 1, 383, 4, 4, 64, 32],
    [1, 2, 700, 4, 2, 256, 256],
    [1, 1, 193, 2, 1, 67, 191],
    [1, 1, 8_300, 2, 2, 4, 3],
];

fn split_cases(gpu: &Gpu) -> Vec<Case> {
    let of_options = option_cases(gpu, SIZES).into_iter().chain(windows()).chain([plain(shape_of(LONG))]);
    let of_variants = |of: GeneralCase| {
        let variants = FORWARD_SELECTOR.of_kernel(gpu, &SPLIT, &of.shape, true, 0);
        variants.into_iter().map(move |variant| split_case(&of, &variant))
    };
    of_options.chain(general_cases(gpu)).flat_map(of_variants).collect()
}

/// More keys than a loop has iterations on CPU drivers.
const LONG: Sizes = [1, 1, 70_001, 2, 1, 4, 5];

/// Windows around the ends of splits, far from the first key, past the last one, of a number of keys per sample, and with
/// one key per query, which a bias may exclude.
fn windows() -> Vec<GeneralCase> {
    let shape = shape_of([2, 3, 1000, 4, 2, 8, 8]);
    let window =
        |before, after, past| GeneralShape { keys_before: Some(before), keys_after: Some(after), past, ..shape };
    let of_past = [(50, 0, 990), (125, 0, 500), (126, 0, 500), (124, 2, 500), (300, 5, 0), (2, 0, 2000), (0, 0, 999)];
    let mut cases: Vec<GeneralCase> =
        of_past.into_iter().map(|(before, after, past)| plain(window(before, after, past))).collect();
    for (before, after) in [(0, 0), (40, 0), (126, 0), (400, 1)] {
        cases.push(GeneralCase { counted: true, ..plain(window(before, after, 0)) });
        cases.push(GeneralCase { biased: true, ..plain(window(before, after, 600)) });
    }
    cases
}

/// Scratch that no split writes stays NaN.
fn split_case(of: &GeneralCase, variant: &Variant) -> Case {
    let shape = of.shape;
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        GeneralForward::from_case(buffers)?.record_splits(plan, &shape, &Splits::from_case(buffers)?)
    };
    let mut case = recorded(of, Box::new(record)).of_variant(variant);
    case.inputs.extend(poisoned(shape.split_elements(of.counted)));
    case
}

/// Scratch of NaN.
fn poisoned([part, part_sum]: [u64; 2]) -> [(&'static str, Values); 2] {
    let nan = |elements: u64| vec![f32::NAN; elements as usize].into();
    [("part", nan(part)), ("part_sum", nan(part_sum))]
}

/// Numbers of splits around that of a block and of shares, with strides, and many rows.
fn merge_cases(_: &Gpu) -> Vec<Case> {
    let cases = [
        ([1, 1, 0, 8, 8, 64, 64], 5),
        ([2, 3, 0, 5, 1, 1, 17], 67),
        ([1, 1, 0, 1, 1, 1, 1], 1),
        ([2, 2, 0, 3, 3, 1, 15], 64),
        ([1, 4, 0, 2, 2, 1, 130], 4),
        ([1, 1, 0, 2, 1, 1, 256], 130),
        ([MANY[0], 1, 0, 2, 1, 4, 3], 3),
    ];
    cases.map(|(sizes, splits)| merge_case(shape_of(sizes), splits)).into()
}

/// A third of the splits sees no key, and none of the first row's does.
fn merge_case(shape: GeneralShape, splits: u32) -> Case {
    let (rows, width) = (shape.rows() as usize, shape.value_width() as usize);
    let strides = Strides { offset: 2, sample: 0, position: 0, head: shape.value_width() + 1 };
    let position = shape.heads * strides.head;
    let strides = Strides { position, sample: shape.queries * position, ..strides };
    let shape = GeneralShape { layouts: Layouts { out: Layout::Strided(strides), ..Layouts::default() }, ..shape };
    let mut random = RandomInputs::new(u64::from(splits) + rows as u64);
    let mut part = random.floats(rows * splits as usize * width);
    let mut part_sum = random.floats(2 * rows * splits as usize);
    for (split, pair) in part_sum.chunks_mut(2).enumerate() {
        let is_seen = split >= splits as usize && !split.is_multiple_of(3);
        (pair[0], pair[1]) = if is_seen { (9.0 * pair[0], 1.0 + pair[1].abs()) } else { (-1e30, 0.0) };
        if !is_seen {
            part[split * width..][..width].fill(f32::NAN);
        }
    }
    let (mut out, mut lse) = (vec![0.0; shape.elements()[3] as usize], Vec::new());
    for (row, of_row) in wide(&part_sum).chunks(2 * splits as usize).enumerate() {
        let largest = of_row.chunks(2).map(|pair| pair[0]).fold(-1e30, f64::max);
        let weights = of_row.chunks(2).map(|pair| if pair[1] == 0.0 { 0.0 } else { (pair[0] - largest).exp2() });
        let weights: Vec<f64> = weights.collect();
        let sum: f64 = weights.iter().zip(of_row.chunks(2)).map(|(weight, pair)| weight * pair[1]).sum();
        lse.push(if sum == 0.0 { -1e30 } else { largest * std::f64::consts::LN_2 + sum.ln() });
        let (query, head) = (row as u32 % shape.queries, row as u32 / shape.queries % shape.heads);
        let to = strides.at(row as u32 / shape.queries / shape.heads, query, head);
        for (s, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            let part = &part[(row * splits as usize + s) * width..][..width];
            out[to..to + width].iter_mut().zip(part).for_each(|(out, part)| *out += weight * f64::from(*part) / sum);
        }
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let forward = GeneralForward::from_case(&buffers.standing_in("part")?)?;
        forward.record_merge(plan, &shape, &Splits::from_case(buffers)?, splits)
    };
    Case {
        name: format!("{} in {splits} splits", shape.text()),
        inputs: vec![("part", part.into()), ("part_sum", part_sum.into()), ("out", vec![0f32; out.len()].into())],
        outputs: vec![
            ("out", Expected::Near { values: wide(&narrow(&out)), tolerance: 1e-5 }),
            ("lse", Expected::Near { values: lse, tolerance: 1e-5 }),
        ],
        record: Box::new(record),
    }
}
