//! Takes the mean over samples out of a panel of the Jacobian.

use super::SampleRows;
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Groups, Kernel, Launch, Plan, View};
use crate::kernels::{Case, Entry, Expected, Named, RandomInputs, kernel};

static CENTRE: Kernel = kernel!("jacobian_centre");

pub(in crate::kernels) const CENTRE_ENTRY: Entry =
    Entry { kernel: &CENTRE, summary: "takes the mean of a panel's columns out", cases: centre_cases };

/// The weighted mean of every column of a panel, taken out of it.
#[derive(Debug, Clone)]
pub struct JacobianCentre {
    /// (part_rows): roots of the samples' weights
    pub root: View,
    /// (rows, columns), in place
    pub panel: View,
}

impl JacobianCentre {
    /// Records the kernel.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, samples: &SampleRows, columns: u32) -> Result<()> {
        let elements = u64::from(samples.rows()) * u64::from(columns);
        plan.launch(&Launch {
            kernel: &CENTRE,
            spec: &[],
            bindings: &[
                Bind { name: "root", view: &self.root, elements: samples.part_rows.into() },
                samples.live(),
                Bind { name: "panel", view: &self.panel, elements },
            ],
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

/// The panel (rows, columns) in f64 without the means of its first `live` rows of each part of `root`'s length.
pub fn centre_reference(panel: &[f32], root: &[f32], columns: usize, live: usize) -> Vec<f64> {
    let mut centred: Vec<f64> = panel.iter().copied().map(f64::from).collect();
    for part in centred.chunks_mut(root.len() * columns) {
        for k in 0..columns {
            let mean: f64 = (0..live).map(|r| f64::from(root[r]) * part[r * columns + k]).sum();
            (0..live).for_each(|r| part[r * columns + k] -= f64::from(root[r]) * mean);
        }
    }
    centred
}

fn centre_cases(_: &Gpu) -> Vec<Case> {
    [(64, 1, 1, 1), (64, 1, 7, 64), (192, 2, 65, 131), (64, 2, 70_001, 3), (8192, 1, 3, 8111)]
        .into_iter()
        .map(centre_case)
        .collect()
}

fn centre_case((part_rows, parts, columns, live): (u32, u32, u32, u32)) -> Case {
    let mut random = RandomInputs::new(u64::from(columns + live));
    let panel = random.floats((parts * part_rows * columns) as usize);
    let root: Vec<f32> = random.floats(part_rows as usize).iter().map(|r| r / (live as f32).sqrt()).collect();
    let values = centre_reference(&panel, &root, columns as usize, live as usize);
    let record = move |plan: &mut Plan, named: &Named| {
        let samples = SampleRows { live: named.view("live")?, part_rows, parts };
        JacobianCentre { root: named.view("root")?, panel: named.view("panel")? }.record(plan, &samples, columns)
    };
    Case {
        name: format!("{parts} of ({part_rows}, {columns}), {live} samples"),
        inputs: vec![("root", root.into()), ("live", vec![live].into()), ("panel", panel.into())],
        outputs: vec![("panel", Expected::Near { values, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}
