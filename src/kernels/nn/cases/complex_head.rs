//! Test cases of [`crate::kernels::nn::complex_head`].

use crate::gpu::{DynamicRows, Gpu, Plan, Rows};
use crate::kernels::case::wide;
use crate::kernels::nn::complex_head::{
    BACKWARD, ComplexHeadBackward, ComplexHeadForward, FORWARD, backward_reference, forward_reference,
};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "2 Re and Im of Σ log cosh u, complex u", cases: forward_cases };
pub(crate) const BACKWARD_ENTRY: Entry =
    Entry { kernel: &BACKWARD, summary: "gradients with respect to Re u and Im u from tanh u", cases: backward_cases };

/// Random units with parts within ±`size`. Every seventh has a small real part, so that some are near zeros of cosh.
fn random_units(seed: u32, count: usize, size: f32) -> [Vec<f32>; 2] {
    let mut random = RandomInputs::new(seed.into());
    let mut real: Vec<f32> = random.floats(count).into_iter().map(|x| size * x).collect();
    let imag = random.floats(count).into_iter().map(|x| size * x).collect();
    real.iter_mut().step_by(7).for_each(|a| *a *= 0.02);
    [real, imag]
}

/// Rows, width, magnitude of the units.
const CASES: [(u32, u32, f32); 6] =
    [(1, 1, 1.0), (3, 5, 2.0), (65, 72, 4.0), (67, 8, 60.0), (7, 131, 0.3), (70_000, 2, 2.0)];

fn forward_cases(_: &Gpu) -> Vec<Case> {
    CASES.into_iter().map(forward_case).collect()
}

fn forward_case((rows, width, size): (u32, u32, f32)) -> Case {
    let [real, imag] = random_units(rows + width, (rows * width) as usize, size);
    let (log_p, phase) = forward_reference(&wide(&real), &wide(&imag), width as usize);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let live = DynamicRows::new(buffers.view("live")?, 2, rows, 1);
        plan.write_indirect_args(&live.live)?;
        ComplexHeadForward::from_case(buffers)?.record(plan, &live.into(), width)
    };
    // Logarithms near 0 have the same absolute error as those near 1.
    let near = |values| Expected::Near { values, tolerance: if size > 1.0 { 2e-6 } else { 2e-5 } };
    Case {
        name: format!("({rows}, {width}) up to {size}"),
        inputs: vec![("real", real.into()), ("imag", imag.into()), ("live", vec![rows + 2].into())],
        outputs: vec![("log_p", near(log_p)), ("phase", near(phase))],
        record: Box::new(record),
    }
}

fn backward_cases(_: &Gpu) -> Vec<Case> {
    CASES.into_iter().flat_map(|case| [true, false].map(|phase| backward_case(case, phase))).collect()
}

fn backward_case((rows, width, size): (u32, u32, f32), has_phase: bool) -> Case {
    let [real, imag] = random_units(rows + 2 * width, (rows * width) as usize, size);
    let (first, mut random) = (3, RandomInputs::new(u64::from(rows)));
    let [d_log_p, d_phase] = [(); 2].map(|()| random.floats((rows + first) as usize));
    let v: Vec<f64> = d_phase[first as usize..].iter().map(|v| if has_phase { f64::from(*v) } else { 0.0 }).collect();
    let (d_real, d_imag) = backward_reference(&wide(&real), &wide(&imag), &wide(&d_log_p[first as usize..]), &v);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let mut backward = ComplexHeadBackward::from_case(buffers)?;
        backward.d_phase = backward.d_phase.filter(|_| has_phase);
        backward.record(plan, &Rows::from(rows), width, first)
    };
    let near = |values| Expected::Near { values, tolerance: 5e-6 };
    Case {
        name: format!("({rows}, {width}) up to {size}, phase {has_phase}"),
        inputs: vec![
            ("real", real.into()),
            ("imag", imag.into()),
            ("d_log_p", d_log_p.into()),
            ("d_phase", d_phase.into()),
        ],
        outputs: vec![("d_real", near(d_real)), ("d_imag", near(d_imag))],
        record: Box::new(record),
    }
}
