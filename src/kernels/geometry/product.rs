//! G += P Pᵀ of a panel P of the Jacobian.

use super::{BAND, SampleRows, Triangle, subgroup_tiles};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Groups, Kernel, Launch, Plan, View};
use crate::kernels::choice::{Choice, Form, Forms, width_class};
use crate::kernels::linear::Variant;
use crate::kernels::{Case, Entry, Expected, Named, RandomInputs, kernel};

static PRODUCT: Kernel = kernel!("gram_product");
static PRODUCT_PRIVATE: Kernel = kernel!("gram_product_private");

pub(in crate::kernels) const PRODUCT_ENTRY: Entry =
    Entry { kernel: &PRODUCT, summary: "G += P Pᵀ, lower triangle, compensated", cases: product_cases };
pub(in crate::kernels) const PRODUCT_PRIVATE_ENTRY: Entry = Entry {
    kernel: &PRODUCT_PRIVATE,
    summary: "the same for any width, without subgroups",
    cases: product_private_cases,
};

/// The product of the rows of a panel with each other, see the module's page.
#[derive(Debug, Clone)]
pub struct GramProduct {
    /// (rows, stride)
    pub panel: View,
    /// What it is added to.
    pub gram: Triangle,
}

/// Shape of a [`GramProduct`].
#[derive(Debug, Clone)]
pub struct GramShape {
    /// The rows.
    pub samples: SampleRows,
    /// Columns that count, the first of each row; up to 65,000.
    pub columns: u32,
    /// Elements from one row to the next.
    pub stride: u32,
    /// Add to the matrix instead of replacing it.
    pub keep: bool,
}

impl GramShape {
    fn cost(&self) -> Cost {
        let (rows, columns) = (f64::from(self.samples.rows()), f64::from(self.columns));
        let triangle = Triangle::elements(self.samples.rows()) as f64;
        // Half of the products.
        Cost { flops: rows * rows * columns, bytes: 4.0 * (rows * columns + 4.0 * triangle) }
    }
}

pub(in crate::kernels) static PRODUCT_CHOICE: Choice<GramShape> = Choice {
    forms: Forms {
        kernel: "gram_product",
        least_lanes: 4,
        all: &[
            Form::subgroup("samples16x1", 16, 1),
            Form::subgroup("samples16x2", 16, 2),
            Form::subgroup("samples16x4", 16, 4),
            Form::subgroup("samples8x2", 8, 2),
            Form::subgroup("samples8x4", 8, 4),
            Form::private("private", 8),
        ],
    },
    class: |shape| format!("{} columns", width_class(shape.columns)),
    rule: |gpu, shape| match Variant::choose(gpu, &[shape.columns, shape.stride]) {
        Variant::Subgroup if gpu.is_software() => (Variant::Subgroup, 16, 2),
        Variant::Subgroup => (Variant::Subgroup, 8, 4),
        _ => (Variant::Private, 8, 1),
    },
    needs: |_, shape, form| {
        let whole = shape.columns.is_multiple_of(4) && shape.stride.is_multiple_of(4);
        (form.variant != Variant::Private && !whole)
            .then(|| format!("columns in multiples of 4, got {} of {}", shape.columns, shape.stride))
    },
};

impl GramProduct {
    /// Records the product, in the form that is best for its shape.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &GramShape) -> Result<()> {
        let form = PRODUCT_CHOICE.take(plan.gpu(), shape)?;
        self.record_form(plan, shape, form)
    }

    fn record_form(&self, plan: &mut Plan, shape: &GramShape, form: &Form) -> Result<()> {
        let rows = shape.samples.rows();
        let (kernel, spec, groups) = match form.variant {
            Variant::Subgroup => {
                let (spec, groups) = subgroup_tiles(plan.gpu(), PRODUCT.name, form, rows)?;
                (&PRODUCT, spec, groups)
            }
            _ => (&PRODUCT_PRIVATE, Vec::new(), (rows / 8 * (rows / 4)).div_ceil(64)),
        };
        let triangle = Triangle::elements(rows);
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &[
                Bind { name: "panel", view: &self.panel, elements: u64::from(rows) * u64::from(shape.stride) },
                shape.samples.live(),
                Bind { name: "high", view: &self.gram.high, elements: triangle },
                Bind { name: "low", view: &self.gram.low, elements: triangle },
            ],
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

/// Element (r, n) of the product in f64: rows `r` and `n` of `panel`.
pub fn product_reference(panel: &[f32], [r, n]: [usize; 2], columns: usize, stride: usize) -> f64 {
    let [a, b] = [r, n].map(|row| &panel[row * stride..row * stride + columns]);
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// Rows and columns that kernels write: those of samples, and up to three columns after the last of them.
pub(super) fn written(part_rows: u32, parts: u32, live: u32) -> impl Iterator<Item = [usize; 2]> {
    let rows = parts * part_rows;
    let counts = move |row: u32| row % part_rows < live;
    let columns = move |row: u32| (0..(row / BAND + 1) * BAND).filter(move |n| counts(n - n % 4));
    let row = move |row: u32| columns(row).map(move |column| [row as usize, column as usize]);
    (0..rows).filter(move |row| counts(*row)).flat_map(row)
}

/// What the parts of a triangle hold before a case: large and small integers where something is added to them.
pub(super) fn triangle_before(random: &mut RandomInputs, rows: u32, keep: bool) -> [Vec<f32>; 2] {
    let elements = Triangle::elements(rows) as usize;
    if !keep {
        return [random.floats(elements), random.floats(elements)];
    }
    let high = integers(random, elements, 1 << 22).iter().map(|v| v + 16_777_216.0).collect();
    [high, integers(random, elements, 1000)]
}

/// The same after `sums` were added to some places, or replaced what stood there: exact where everything is an integer.
pub(super) fn triangle_after(
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

/// Integers within ±`most`.
pub(super) fn integers(random: &mut RandomInputs, count: usize, most: u32) -> Vec<f32> {
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
    cases_of(gpu, Variant::Subgroup, &shapes)
}

fn product_private_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [
        (64, 1, 4, 4, 1),
        (64, 1, 1, 1, 3),
        (128, 1, 37, 39, 77),
        (128, 2, 1028, 1028, 91),
        (64, 1, 16_384, 16_384, 9),
    ];
    cases_of(gpu, Variant::Private, &shapes)
}

fn cases_of(gpu: &Gpu, variant: Variant, shapes: &[(u32, u32, u32, u32, u32)]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, (part_rows, parts, columns, stride, live)) in shapes.iter().copied().enumerate() {
        for keep in [false, true] {
            let Ok(counter) = gpu.upload("ketformer.live", &[live]) else { continue };
            let samples = SampleRows { live: counter.view(), part_rows, parts };
            let shape = GramShape { samples, columns, stride, keep };
            let forms = PRODUCT_CHOICE.of_case(gpu, variant, &shape, i < 3, i);
            cases.extend(forms.into_iter().map(|form| product_case(form, &shape, live)));
        }
    }
    cases
}

/// Random numbers, or with `keep` integers added to large ones, so that pairs are exact and the low parts matter.
fn product_case(form: Form, shape: &GramShape, live: u32) -> Case {
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
    let record = move |plan: &mut Plan, named: &Named| {
        let samples = SampleRows { live: named.view("live")?, ..shape.samples.clone() };
        let gram = Triangle { high: named.view("high")?, low: named.view("low")? };
        let shape = GramShape { samples, ..shape.clone() };
        GramProduct { panel: named.view("panel")?, gram }.record_form(plan, &shape, &form)
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
    .of_form(&form)
}
