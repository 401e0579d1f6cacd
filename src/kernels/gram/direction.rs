//! Direction with momentum and the parameter step along it.
//!
//! ```text
//! φ ← g + μ φ        θ ← θ + length · φ
//! ```
//!
//! Source: Goldshlager, Abrahamsen & Lin, arXiv:2401.10190 (SPRING).

use crate::error::Result;
use crate::gpu::{Cost, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static UPDATE: Kernel = kernel!("gram", "direction_update");
static STEP: Kernel = kernel!("gram", "direction_step");

pub(crate) const UPDATE_ENTRY: Entry =
    Entry { kernel: &UPDATE, summary: "direction of a step with momentum", cases: update_cases };
pub(crate) const STEP_ENTRY: Entry = Entry { kernel: &STEP, summary: "a step along a direction", cases: step_cases };

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

/// Numbers of elements of the cases: one, a prime, whole workgroups, many workgroups.
const LENGTHS: [u32; 4] = [1, 67, 128, 70_001];

fn update_cases(_: &Gpu) -> Vec<Case> {
    let case = |elements: u32| {
        let mut random = RandomInputs::new(u64::from(elements));
        let (gradient, direction) = (random.floats(elements as usize), random.floats(elements as usize));
        let momentum = 0.75f32;
        let next = |(g, d): (&f32, &f32)| f64::from(*g) + f64::from(momentum) * f64::from(*d);
        let values = gradient.iter().zip(&direction).map(next).collect();
        let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
            let update = DirectionUpdate::from_case(buffers)?;
            update.record(plan, elements, momentum)
        };
        Case {
            name: format!("({elements})"),
            inputs: vec![("gradient", gradient.into()), ("direction", direction.into())],
            outputs: vec![("direction", Expected::Near { values, tolerance: 1e-6 })],
            record: Box::new(record),
        }
    };
    LENGTHS.into_iter().map(case).collect()
}

fn step_cases(_: &Gpu) -> Vec<Case> {
    let case = |elements: u32| {
        let mut random = RandomInputs::new(u64::from(elements));
        let (direction, parameters) = (random.floats(elements as usize), random.floats(elements as usize));
        let length = 0.3f32;
        let next = |(d, p): (&f32, &f32)| f64::from(*p) + f64::from(length) * f64::from(*d);
        let values = direction.iter().zip(&parameters).map(next).collect();
        let record =
            move |plan: &mut Plan, buffers: &CaseBuffers| DirectionStep::from_case(buffers)?.record(plan, elements);
        Case {
            name: format!("({elements})"),
            inputs: vec![
                ("direction", direction.into()),
                ("step", vec![0, 0, 0, length.to_bits()].into()),
                ("parameters", parameters.into()),
            ],
            outputs: vec![("parameters", Expected::Near { values, tolerance: 1e-6 })],
            record: Box::new(record),
        }
    };
    LENGTHS.into_iter().map(case).collect()
}
