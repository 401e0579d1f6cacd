//! Inner products of the rows of samples with other rows, such as X · direction.

use super::SampleRows;
use crate::error::Result;
use crate::gpu::{Cost, Groups, Kernel, Launch, Plan, View, bind};
use crate::kernels::{kernel, record};

pub(super) static DOT: Kernel = kernel!("gram", "rows_dot");

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
