//! Test cases of [`crate::kernels::attention::general::forward`].

use super::{GeneralCase, Made, general_cases};
use crate::gpu::{Gpu, Plan};
use crate::kernels::attention::general::forward::{FORWARD, GeneralForward};
use crate::kernels::attention::general::general_forward_reference;
use crate::kernels::{Case, CaseBuffers, Entry, Expected};

pub(crate) const FORWARD_ENTRY: Entry = Entry {
    kernel: &FORWARD,
    summary: "attention of queries over keys in buffers of their own, with strides, groups, window and bias",
    cases,
};

fn cases(gpu: &Gpu) -> Vec<Case> {
    general_cases(gpu).into_iter().map(case).collect()
}

fn case(case: GeneralCase) -> Case {
    let made = Made::new(&case);
    let (out, lse) = general_forward_reference(&made.inputs(), &case.shape);
    let outputs = vec![("out", case.expected(out, 1e-5)), ("lse", Expected::Near { values: lse, tolerance: 1e-5 })];
    let (name, shape) = (case.name(), case.shape);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| GeneralForward::from_case(buffers)?.record(plan, &shape);
    Case { name, inputs: made.buffers, outputs, record: Box::new(record) }
}
