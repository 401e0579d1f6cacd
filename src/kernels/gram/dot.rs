//! Inner products of the rows of samples with other rows, such as X · direction.

use super::SampleRows;
use crate::error::Result;
use crate::gpu::{Cost, Gpu, Groups, Kernel, Launch, Plan, View, bind};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static DOT: Kernel = kernel!("gram", "rows_dot");

pub(crate) const DOT_ENTRY: Entry =
    Entry { kernel: &DOT, summary: "y += inner products of rows, compensated", cases: dot_cases };

record! {
    /// Inner products of the rows of samples.
    #[derive(Debug, Clone)]
    pub struct RowsDot {
        /// (samples·T, u_stride)
        pub u: View,
        /// (samples·T, width), or one row for all
        pub v: View,
        /// (samples, 2): high, low
        pub y: View,
    }
}

/// Shape of a [`RowsDot`].
#[derive(Debug, Clone)]
pub struct DotShape {
    /// The samples.
    pub samples: SampleRows,
    /// T, rows of a sample.
    pub tokens: u32,
    /// Columns that are multiplied.
    pub width: u32,
    /// First of these columns in `u`.
    pub first: u32,
    /// Elements from one row of `u` to the next.
    pub u_stride: u32,
    /// Start in `v` of the single row used for all; `None` if `v` has a row for each.
    pub one_at: Option<u32>,
    /// Number of samples before these, which `samples.live` also counts.
    pub first_sample: u32,
    /// Adds to the pairs instead of replacing them.
    pub keep: bool,
}

impl RowsDot {
    /// Records the inner products.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &DotShape) -> Result<()> {
        let samples = u64::from(shape.samples.rows());
        let rows = samples * u64::from(shape.tokens);
        let width = u64::from(shape.width);
        let last = rows.saturating_sub(1) * u64::from(shape.u_stride) + u64::from(shape.first) + width;
        let v_elements = shape.one_at.map_or(rows * width, |at| u64::from(at) + width);
        plan.launch(&Launch {
            kernel: &DOT,
            spec: &[],
            bindings: &bind!(self.u[last], self.v[v_elements], shape.samples.live[1], self.y[2 * samples]),
            params: &[
                ("rows", shape.samples.rows().into()),
                ("part_rows", shape.samples.part_rows.into()),
                ("first_sample", shape.first_sample.into()),
                ("tokens", shape.tokens.into()),
                ("width", shape.width.into()),
                ("first", shape.first.into()),
                ("u_stride", shape.u_stride.into()),
                ("v_first", shape.one_at.unwrap_or(0).into()),
                ("v_stride", if shape.one_at.is_some() { 0 } else { shape.width }.into()),
                ("keep", u32::from(shape.keep).into()),
                ("zero", 0u32.into()),
            ],
            groups: Groups::Fixed(samples),
            cost: Cost { flops: 2.0 * (rows * width) as f64, bytes: 8.0 * (rows * width) as f64 },
            shape: format!("({samples}, {}, {width})", shape.tokens),
        })
    }
}

fn dot_cases(_: &Gpu) -> Vec<Case> {
    let cases = [
        ([64, 1, 1], [1, 1, 0, 1], Some(0), false),
        ([64, 1, 33], [1, 129, 3, 140], Some(65), true),
        ([64, 2, 61], [5, 7, 0, 7], None, false),
        ([64, 1, 64], [3, 70, 0, 70], None, true),
        ([65_600, 1, 65_590], [1, 2, 1, 3], Some(1), false),
    ];
    cases.into_iter().map(dot_case).collect()
}

/// Case with two samples before the window.
fn dot_case(
    ([part_rows, parts, live], [tokens, width, first, u_stride], one_at, keep): ([u32; 3], [u32; 4], Option<u32>, bool),
) -> Case {
    let mut random = RandomInputs::new(u64::from(width * 3 + live));
    let rows = parts * part_rows;
    let u = random.floats((rows * tokens * u_stride) as usize);
    let v = random.floats(one_at.map_or(rows * tokens * width, |at| at + width) as usize);
    let before = random.floats(2 * rows as usize);
    let mut values: Vec<f64> = before.iter().copied().map(f64::from).collect();
    for sample in (0..rows).filter(|sample| sample % part_rows < live) {
        let of_row = |row: u32| -> f64 {
            let at = |c: u32| f64::from(u[(row * u_stride + first + c) as usize]);
            let with = |c: u32| f64::from(v[one_at.map_or(row * width + c, |at| at + c) as usize]);
            (0..width).map(|c| at(c) * with(c)).sum()
        };
        let sum: f64 = (sample * tokens..(sample + 1) * tokens).map(of_row).sum();
        let pair = 2 * sample as usize;
        values[pair] = sum + if keep { values[pair] } else { 0.0 };
        values[pair + 1] = if keep { values[pair + 1] } else { 0.0 };
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let samples = SampleRows { live: buffers.view("live")?, part_rows, parts };
        let shape = DotShape { samples, first_sample: 2, tokens, width, first, u_stride, one_at, keep };
        RowsDot::from_case(buffers)?.record(plan, &shape)
    };
    Case {
        name: format!("({rows}, {tokens}, {width}), one row at {one_at:?}, keep {keep}, {live} samples"),
        inputs: vec![("u", u.into()), ("v", v.into()), ("live", vec![live + 2].into()), ("y", before.into())],
        outputs: vec![("y", Expected::Near { values, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}
