//! Centering of a panel of the Jacobian: subtracts the mean over samples.

use super::SampleRows;
use crate::error::Result;
use crate::gpu::{Cost, Groups, Kernel, Launch, Plan, View, bind};
use crate::kernels::{kernel, record};

pub(super) static CENTER: Kernel = kernel!("gram", "jacobian_center");

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
