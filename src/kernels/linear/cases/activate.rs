//! Test cases of [`crate::kernels::linear::activate`].

use crate::gpu::{DynamicRows, Gpu, Plan, Rows};
use crate::kernels::linear::Activation;
use crate::kernels::linear::activate::{ACTIVATE, Activate};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const ACTIVATE_ENTRY: Entry = Entry { kernel: &ACTIVATE, summary: "y = act(x)", cases: activate_cases };

fn activate_cases(_: &Gpu) -> Vec<Case> {
    let shapes = [(1, 4), (67, 36), (1025, 8), (70_000, 4)];
    let activations = [Activation::Gelu, Activation::Relu, Activation::Tanh];
    let case = |(i, shape)| activate_case(shape, activations[i % activations.len()]);
    shapes.into_iter().enumerate().map(case).collect()
}

fn activate_case((rows, width): (u32, u32), activation: Activation) -> Case {
    let x: Vec<f32> = RandomInputs::new(u64::from(rows)).floats((rows * width) as usize);
    let x: Vec<f32> = x.into_iter().map(|x| 4.0 * x).collect();
    let values = x.iter().map(|x| activation.value(f64::from(*x))).collect();
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let live = DynamicRows::new(buffers.view("live")?, 2, rows, 1);
        plan.write_indirect_args(&live.live)?;
        // A window over all rows, as in the feed-forward block.
        let window = Rows::from(live).window(0, rows);
        Activate::from_case(buffers)?.record(plan, &window, width, activation)
    };
    Case {
        name: format!("({rows}, {width}) {activation:?}"),
        inputs: vec![("x", x.into()), ("live", vec![rows + 2].into())],
        outputs: vec![("y", Expected::Near { values, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}
