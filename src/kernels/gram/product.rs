//! Update G += P Pᵀ of the Gram matrix for a panel P of the Jacobian.

use super::{BAND, SampleRows, Triangle, subgroup_tiles};
use crate::error::Result;
use crate::gpu::{Cost, Gpu, Groups, Kernel, Launch, Plan, View, bind};
use crate::kernels::linear::Strategy;
use crate::kernels::variant::{Variant, VariantSelector, Variants, width_class};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static PRODUCT: Kernel = kernel!("gram", "gram_product");
static PRODUCT_SCALAR: Kernel = kernel!("gram", "gram_product_scalar");

pub(crate) const PRODUCT_ENTRY: Entry =
    Entry { kernel: &PRODUCT, summary: "G += P Pᵀ, lower triangle, compensated", cases: product_cases };
pub(crate) const PRODUCT_SCALAR_ENTRY: Entry = Entry {
    kernel: &PRODUCT_SCALAR,
    summary: "the same for any width, without subgroups",
    cases: product_scalar_cases,
};

record! {
    /// Product of the rows of a panel with each other; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct GramProduct {
        /// (rows, stride)
        pub panel: View,
        /// Matrix that the product is added to.
        pub gram: Triangle,
    }
}

/// Shape of a [`GramProduct`].
#[derive(Debug, Clone)]
pub struct GramShape {
    /// The rows.
    pub samples: SampleRows,
    /// Number of columns used, from the start of each row; at most 65,000.
    pub columns: u32,
    /// Elements from one row to the next.
    pub stride: u32,
    /// Adds to the matrix instead of replacing it.
    pub keep: bool,
}

impl GramShape {
    fn cost(&self) -> Cost {
        let (rows, columns) = (f64::from(self.samples.rows()), f64::from(self.columns));
        let triangle = Triangle::elements(self.samples.rows()) as f64;
        // The lower triangle is half of the products.
        Cost { flops: rows * rows * columns, bytes: 4.0 * (rows * columns + 4.0 * triangle) }
    }
}

pub(crate) static PRODUCT_SELECTOR: VariantSelector<GramShape> = VariantSelector {
    variants: Variants {
        kernel: "gram_product",
        least_lanes: 4,
        all: &[
            Variant::subgroup("samples16x1", 16, 1),
            Variant::subgroup("samples16x2", 16, 2),
            Variant::subgroup("samples16x4", 16, 4),
            Variant::subgroup("samples8x2", 8, 2),
            Variant::subgroup("samples8x4", 8, 4),
            Variant::scalar("scalar", 8),
        ],
    },
    class: |shape| format!("{} columns", width_class(shape.columns)),
    rule: |gpu, shape| match Strategy::choose(gpu, &[shape.columns, shape.stride]) {
        Strategy::Subgroup if gpu.is_software() => (Strategy::Subgroup, 16, 2),
        Strategy::Subgroup => (Strategy::Subgroup, 8, 4),
        _ => (Strategy::Scalar, 8, 1),
    },
    requirement: |_, shape, variant| {
        let whole = shape.columns.is_multiple_of(4) && shape.stride.is_multiple_of(4);
        (variant.strategy != Strategy::Scalar && !whole)
            .then(|| format!("columns in multiples of 4, got {} of {}", shape.columns, shape.stride))
    },
};

impl GramProduct {
    /// Records the product in the variant selected for its shape.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &GramShape) -> Result<()> {
        let variant = PRODUCT_SELECTOR.take(plan.gpu(), shape)?;
        self.record_variant(plan, shape, variant)
    }

    fn record_variant(&self, plan: &mut Plan, shape: &GramShape, variant: &Variant) -> Result<()> {
        let rows = shape.samples.rows();
        let (kernel, spec, groups) = match variant.strategy {
            Strategy::Subgroup => {
                let (spec, groups) = subgroup_tiles(plan.gpu(), PRODUCT.name, variant, rows)?;
                (&PRODUCT, spec, groups)
            }
            _ => (&PRODUCT_SCALAR, Vec::new(), (rows / 8 * (rows / 4)).div_ceil(64)),
        };
        let triangle = Triangle::elements(rows);
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bind!(
                self.panel[u64::from(rows) * u64::from(shape.stride)],
                shape.samples.live[1],
                self.gram.high[triangle],
                self.gram.low[triangle]
            ),
            params: &[
                ("rows", rows.into()),
                ("part_rows", shape.samples.part_rows.into()),
                ("columns", shape.columns.into()),
                ("stride", shape.stride.into()),
                ("keep", u32::from(shape.keep).into()),
                ("zero", 0u32.into()),
            ],
            groups: Groups::Fixed(groups.into()),
            cost: shape.cost(),
            shape: format!("({rows}, {})", shape.columns),
        })
    }
}

/// Reference in f64: element (r, n) of the product, from rows `r` and `n` of `panel`.
pub fn product_reference(panel: &[f32], [r, n]: [usize; 2], columns: usize, stride: usize) -> f64 {
    let [a, b] = [r, n].map(|row| &panel[row * stride..row * stride + columns]);
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

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
