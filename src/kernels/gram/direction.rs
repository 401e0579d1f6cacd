//! Direction with momentum and the parameter step along it.
//!
//! ```text
//! φ ← g + μ φ        θ ← θ + length · φ
//! ```
//!
//! Source: Goldshlager, Abrahamsen & Lin, arXiv:2401.10190 (SPRING).

use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static UPDATE: Kernel = kernel!("gram", "direction_update");
pub(super) static STEP: Kernel = kernel!("gram", "direction_step");

record! {
    /// φ ← g + μ φ
    #[derive(Debug, Clone)]
    pub struct DirectionUpdate {
        /// (elements)
        pub gradient: View,
        /// (elements)
        pub direction: View,
    }
}

impl DirectionUpdate {
    /// Records the kernel.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, elements: u32, momentum: f32) -> Result<()> {
        plan.launch(&Launch {
            kernel: &UPDATE,
            spec: &[],
            bindings: &bind!(self.gradient[elements.into()], self.direction[elements.into()]),
            params: &[("elements", elements.into()), ("momentum", momentum.into())],
            groups: Rows::from(elements).groups(64, 1),
            cost: Cost { flops: 2.0 * f64::from(elements), bytes: 12.0 * f64::from(elements) },
            shape: format!("({elements})"),
        })
    }
}

record! {
    /// θ ← θ + length · φ
    #[derive(Debug, Clone)]
    pub struct DirectionStep {
        /// (elements)
        pub direction: View,
        /// (4) words: seed (2), step number, length (f32)
        pub step: View,
        /// (elements)
        pub parameters: View,
    }
}

impl DirectionStep {
    /// Records the kernel.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, elements: u32) -> Result<()> {
        plan.launch(&Launch {
            kernel: &STEP,
            spec: &[],
            bindings: &bind!(self.direction[elements.into()], self.step[4], self.parameters[elements.into()]),
            params: &[("elements", elements.into())],
            groups: Rows::from(elements).groups(64, 1),
            cost: Cost { flops: 2.0 * f64::from(elements), bytes: 12.0 * f64::from(elements) },
            shape: format!("({elements})"),
        })
    }
}
