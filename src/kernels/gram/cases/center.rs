//! Test cases of [`crate::kernels::gram::center`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::gram::SampleRows;
use crate::kernels::gram::center::{CENTER, JacobianCenter, center_reference};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const CENTER_ENTRY: Entry =
    Entry { kernel: &CENTER, summary: "subtracts the mean of each column of a panel", cases: center_cases };

fn center_cases(_: &Gpu) -> Vec<Case> {
    [(64, 1, 1, 1), (64, 1, 7, 64), (192, 2, 65, 131), (64, 2, 70_001, 3), (8192, 1, 3, 8111)]
        .into_iter()
        .map(center_case)
        .collect()
}

fn center_case((part_rows, parts, columns, live): (u32, u32, u32, u32)) -> Case {
    let mut random = RandomInputs::new(u64::from(columns + live));
    let panel = random.floats((parts * part_rows * columns) as usize);
    let root: Vec<f32> = random.floats(part_rows as usize).iter().map(|r| r / (live as f32).sqrt()).collect();
    let values = center_reference(&panel, &root, columns as usize, live as usize);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let samples = SampleRows { live: buffers.view("live")?, part_rows, parts };
        JacobianCenter::from_case(buffers)?.record(plan, &samples, columns)
    };
    Case {
        name: format!("{parts} of ({part_rows}, {columns}), {live} samples"),
        inputs: vec![("root", root.into()), ("live", vec![live].into()), ("panel", panel.into())],
        outputs: vec![("panel", Expected::Near { values, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}
