//! Centering of a panel of the Jacobian: subtracts the mean over samples.

use super::SampleRows;
use crate::error::Result;
use crate::gpu::{Cost, Gpu, Groups, Kernel, Launch, Plan, View, bind};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static CENTER: Kernel = kernel!("gram", "jacobian_center");

pub(crate) const CENTER_ENTRY: Entry =
    Entry { kernel: &CENTER, summary: "subtracts the mean of each column of a panel", cases: center_cases };

record! {
    /// Subtraction of the weighted mean from every column of a panel.
    #[derive(Debug, Clone)]
    pub struct JacobianCenter {
        /// (part_rows): square roots of the samples' weights
        pub root: View,
        /// (rows, columns), in place
        pub panel: View,
    }
}

impl JacobianCenter {
    /// Records the kernel.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, samples: &SampleRows, columns: u32) -> Result<()> {
        let elements = u64::from(samples.rows()) * u64::from(columns);
        plan.launch(&Launch {
            kernel: &CENTER,
            spec: &[],
            bindings: &bind!(self.root[samples.part_rows.into()], samples.live[1], self.panel[elements]),
            params: &[
                ("parts", samples.parts.into()),
                ("part_rows", samples.part_rows.into()),
                ("columns", columns.into()),
            ],
            groups: Groups::Fixed((u64::from(samples.parts) * u64::from(columns)).div_ceil(64)),
            cost: Cost { flops: 4.0 * elements as f64, bytes: 12.0 * elements as f64 },
            shape: format!("({}, {columns})", samples.rows()),
        })
    }
}

/// Reference in f64: the panel (rows, columns) after subtracting the mean of the first `live` rows of each part. A part
/// has as many rows as `root`.
pub fn center_reference(panel: &[f32], root: &[f32], columns: usize, live: usize) -> Vec<f64> {
    let mut centered: Vec<f64> = panel.iter().copied().map(f64::from).collect();
    for part in centered.chunks_mut(root.len() * columns) {
        for k in 0..columns {
            let mean: f64 = (0..live).map(|r| f64::from(root[r]) * part[r * columns + k]).sum();
            (0..live).for_each(|r| part[r * columns + k] -= f64::from(root[r]) * mean);
        }
    }
    centered
}

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
