//! Copy of a range of columns.

use crate::error::Result;
use crate::gpu::{Cost, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static TAKE: Kernel = kernel!("gram", "columns_take");

pub(crate) const TAKE_ENTRY: Entry = Entry { kernel: &TAKE, summary: "copies a range of columns", cases: take_cases };

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

fn take_cases(_: &Gpu) -> Vec<Case> {
    let case = |(rows, first, width, stride): (u32, u32, u32, u32)| {
        let x = RandomInputs::new(u64::from(rows + width)).floats((rows * stride) as usize);
        let chosen = |row: &[f32]| row[first as usize..(first + width) as usize].to_vec();
        let values = x.chunks(stride as usize).flat_map(chosen).map(|v| v.to_bits()).collect();
        let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
            let take = ColumnsTake::from_case(buffers)?;
            take.record(plan, &rows.into(), [first, width, stride])
        };
        Case {
            name: format!("({rows}, {first}..{} of {stride})", first + width),
            inputs: vec![("x", x.into())],
            outputs: vec![("y", Expected::Exactly(values))],
            record: Box::new(record),
        }
    };
    [(1, 0, 1, 1), (13, 3, 5, 11), (64, 0, 64, 64), (70_000, 1, 2, 3)].into_iter().map(case).collect()
}
