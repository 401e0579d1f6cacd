//! Test cases of [`crate::kernels::gram::direction`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::gram::direction::{DirectionStep, DirectionUpdate, STEP, UPDATE};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const UPDATE_ENTRY: Entry =
    Entry { kernel: &UPDATE, summary: "direction of a step with momentum", cases: update_cases };
pub(crate) const STEP_ENTRY: Entry = Entry { kernel: &STEP, summary: "a step along a direction", cases: step_cases };

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
