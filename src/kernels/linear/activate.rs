//! Activation y = act(x), for cases where the epilogue of the product must not apply it.

use super::Activation;
use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static ACTIVATE: Kernel = kernel!("linear", "activation_forward");

record! {
    /// Activation whose slope needs its input: gelu in passes with gradient.
    #[derive(Debug, Clone)]
    pub struct Activate {
        /// (rows, width)
        pub x: View,
        /// (rows, width)
        pub y: View,
    }
}

impl Activate {
    /// Records the kernel; `width` is a multiple of 4.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &Rows, width: u32, activation: Activation) -> Result<()> {
        let elements = u64::from(rows.capacity) * u64::from(width);
        plan.launch(&Launch {
            kernel: &ACTIVATE,
            spec: &[("ACTIVATION", activation as u32)],
            bindings: &bind!(self.x[elements], self.y[elements]),
            params: &[("rows", rows.capacity.into()), ("width", width.into())],
            groups: rows.times(width / 4).groups(64, 1),
            cost: Cost { flops: 10.0 * elements as f64, bytes: 8.0 * elements as f64 },
            shape: format!("({}, {width})", rows.capacity),
        })
    }
}
