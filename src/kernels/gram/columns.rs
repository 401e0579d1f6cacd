//! Copy of a range of columns.

use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static TAKE: Kernel = kernel!("gram", "columns_take");

record! {
    /// Copy of consecutive columns of each row.
    #[derive(Debug, Clone)]
    pub struct ColumnsTake {
        /// (rows, stride)
        pub x: View,
        /// (rows, width)
        pub y: View,
    }
}

impl ColumnsTake {
    /// Records the copy of `width` of the `stride` columns, starting at column `first`.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &Rows, [first, width, stride]: [u32; 3]) -> Result<()> {
        let [most, of_y, of_x] = [rows.capacity, width, stride].map(u64::from);
        plan.launch(&Launch {
            kernel: &TAKE,
            spec: &[],
            bindings: &bind!(self.x[most * of_x], self.y[most * of_y]),
            params: &[
                ("rows", rows.capacity.into()),
                ("width", width.into()),
                ("first", first.into()),
                ("stride", stride.into()),
            ],
            groups: rows.times(width).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 8.0 * (most * of_y) as f64 },
            shape: format!("({most}, {width} of {stride})"),
        })
    }
}
