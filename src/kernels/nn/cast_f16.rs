//! Cast of weights to f16, for passes that store weights as f16 and compute in f32.
//!
//! ```text
//! halves[i] = values[i] rounded to the nearest f16, ties to even, and clamped to ±65504
//! ```

use crate::error::Result;
use crate::gpu::{Cost, DType, Groups, Kernel, Launch, Plan, View, bind};
use crate::kernels::{kernel, record};

pub(super) static CAST_F16: Kernel = kernel!("nn", "weights_cast_f16");

/// Largest finite f16.
pub const LARGEST: f32 = 65504.0;

record! {
    /// Cast of a flat buffer to f16, see the module documentation.
    #[derive(Debug, Clone)]
    pub struct WeightsCastF16 {
        /// (elements)
        pub values: View,
        /// (elements) of [`DType::F16`]
        pub halves: View,
    }
}

impl WeightsCastF16 {
    /// Records the kernel.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, elements: u64) -> Result<()> {
        let words = self.halves.clone().stored_as(DType::F32);
        plan.launch(&Launch {
            kernel: &CAST_F16,
            spec: &[],
            bindings: &bind!(self.values[elements], halves = words[elements.div_ceil(2)]),
            params: &[("elements", (elements as u32).into())],
            groups: Groups::Fixed(elements.div_ceil(4 * 64)),
            cost: Cost { flops: 0.0, bytes: 6.0 * elements as f64 },
            shape: format!("({elements})"),
        })
    }
}

/// Casts each value to f16, clamped to ±[`LARGEST`]. NaN stays NaN.
pub fn cast_f16_reference(values: &[f32]) -> Vec<half::f16> {
    let halves =
        |value: &f32| half::f16::from_f32(if value.is_nan() { *value } else { value.clamp(-LARGEST, LARGEST) });
    values.iter().map(halves).collect()
}
