//! Activation y = act(x), for cases where the epilogue of the product must not apply it.

use super::Activation;
use crate::error::Result;
use crate::gpu::{Cost, DynamicRows, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static ACTIVATE: Kernel = kernel!("linear", "activation_forward");

pub(crate) const ACTIVATE_ENTRY: Entry = Entry { kernel: &ACTIVATE, summary: "y = act(x)", cases: activate_cases };

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
