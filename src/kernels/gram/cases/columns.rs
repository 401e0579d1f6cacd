//! Test cases of [`crate::kernels::gram::columns`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::gram::columns::{ColumnsTake, TAKE};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const TAKE_ENTRY: Entry = Entry { kernel: &TAKE, summary: "copies a range of columns", cases: take_cases };

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
