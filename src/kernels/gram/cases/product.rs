//! Test cases of [`crate::kernels::gram::product`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::gram::product::{
    GramProduct, GramShape, PRODUCT, PRODUCT_SCALAR, PRODUCT_SELECTOR, product_reference,
};
use crate::kernels::gram::{BAND, SampleRows, Triangle};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::Variant;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const PRODUCT_ENTRY: Entry =
    Entry { kernel: &PRODUCT, summary: "G += P Pᵀ, lower triangle, compensated", cases: product_cases };
pub(crate) const PRODUCT_SCALAR_ENTRY: Entry = Entry {
    kernel: &PRODUCT_SCALAR,
    summary: "the same for any width, without subgroups",
    cases: product_scalar_cases,
};

/// Rows and columns that kernels write: those of samples, and up to three columns after the last sample.
pub(crate) fn written(part_rows: u32, parts: u32, live: u32) -> impl Iterator<Item = [usize; 2]> {
    let rows = parts * part_rows;
    let counts = move |row: u32| row % part_rows < live;
    let columns = move |row: u32| (0..(row / BAND + 1) * BAND).filter(move |n| counts(n - n % 4));
    let row = move |row: u32| columns(row).map(move |column| [row as usize, column as usize]);
    (0..rows).filter(move |row| counts(*row)).flat_map(row)
}

/// Initial triangles of a case: random floats, or with `keep` large and small integers.
pub(crate) fn triangle_before(random: &mut RandomInputs, rows: u32, keep: bool) -> [Vec<f32>; 2] {
    let elements = Triangle::elements(rows) as usize;
    if !keep {
        return [random.floats(elements), random.floats(elements)];
    }
    let high = integers(random, elements, 1 << 22).iter().map(|v| v + 16_777_216.0).collect();
    [high, integers(random, elements, 1000)]
}

/// Expected triangles after `sums` are added to some elements or replace them. Exact if all values are integers.
pub(crate) fn triangle_after(
    before: &[Vec<f32>; 2],
    keep: bool,
    sums: impl Iterator<Item = (usize, f64)>,
    tolerance: f64,
) -> [Expected; 2] {
    let [mut high, mut low] = before.clone().map(|values| values.into_iter().map(f64::from).collect::<Vec<f64>>());
    for (at, sum) in sums {
        if keep {
            let total = high[at] + sum;
            high[at] = f64::from(total as f32);
            low[at] += total - high[at];
        } else {
            (high[at], low[at]) = (sum, 0.0);
        }
    }
    [high, low].map(|values| Expected::Near { values, tolerance: if keep { 1e-8 } else { tolerance } })
}

/// Random integers in −`most` to `most`.
pub(crate) fn integers(random: &mut RandomInputs, count: usize, most: u32) -> Vec<f32> {
    random.integers(count, 2 * most + 1).into_iter().map(|v| v as f32 - most as f32).collect()
}

fn product_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [
        (64, 1, 4, 4, 1),
        (64, 1, 260, 264, 64),
        (128, 1, 36, 36, 77),
        (128, 2, 1028, 1028, 91),
        (64, 1, 16_384, 16_384, 9),
    ];
    cases_of(gpu, Strategy::Subgroup, &shapes)
}

fn product_scalar_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [
        (64, 1, 4, 4, 1),
        (64, 1, 1, 1, 3),
        (128, 1, 37, 39, 77),
        (128, 2, 1028, 1028, 91),
        (64, 1, 16_384, 16_384, 9),
    ];
    cases_of(gpu, Strategy::Scalar, &shapes)
}

fn cases_of(gpu: &Gpu, strategy: Strategy, shapes: &[(u32, u32, u32, u32, u32)]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, (part_rows, parts, columns, stride, live)) in shapes.iter().copied().enumerate() {
        for keep in [false, true] {
            let Ok(counter) = gpu.upload("ketformer.live", &[live]) else { continue };
            let samples = SampleRows { live: counter.view(), part_rows, parts };
            let shape = GramShape { samples, columns, stride, keep };
            let variants = PRODUCT_SELECTOR.of_case(gpu, strategy, &shape, i < 3, i);
            cases.extend(variants.into_iter().map(|variant| product_case(variant, &shape, live)));
        }
    }
    cases
}

/// Case with random numbers. With `keep`, integers are added to large ones, so that pairs are exact and the low parts
/// matter.
fn product_case(variant: Variant, shape: &GramShape, live: u32) -> Case {
    let SampleRows { part_rows, parts, .. } = shape.samples;
    let (columns, stride, keep) = (shape.columns, shape.stride, shape.keep);
    let mut random = RandomInputs::new(u64::from(columns * 7 + live));
    let count = (parts * part_rows * stride) as usize;
    let panel = if keep { integers(&mut random, count, 9) } else { random.floats(count) };
    let before = triangle_before(&mut random, parts * part_rows, keep);
    let places: Vec<_> = written(part_rows, parts, live).collect();
    let sum = |at: &[usize; 2]| {
        (Triangle::at(at[0], at[1]), product_reference(&panel, *at, columns as usize, stride as usize))
    };
    let [high, low] = triangle_after(&before, keep, places.iter().map(sum), 1e-6);
    let [high_before, low_before] = before;
    let shape = shape.clone();
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let samples = SampleRows { live: buffers.view("live")?, ..shape.samples.clone() };
        let shape = GramShape { samples, ..shape.clone() };
        GramProduct::from_case(buffers)?.record_variant(plan, &shape, &variant)
    };
    Case {
        name: format!("{parts} of ({part_rows}, {columns} of {stride}), {live} samples, keep {keep}"),
        inputs: vec![
            ("panel", panel.into()),
            ("live", vec![live].into()),
            ("high", high_before.into()),
            ("low", low_before.into()),
        ],
        outputs: vec![("high", high), ("low", low)],
        record: Box::new(record),
    }
    .of_variant(&variant)
}
