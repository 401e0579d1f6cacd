//! Test cases of [`crate::kernels::attention::general::forward`].

use super::{GeneralCase, Made, variant_cases};
use crate::gpu::Plan;
use crate::kernels::attention::general::forward::{FORWARD, FORWARD_SCALAR, FORWARD_TILED, GeneralForward};
use crate::kernels::attention::general::{FORWARD_SELECTOR, general_forward_reference};
use crate::kernels::case::Record;
use crate::kernels::variant::Variant;
use crate::kernels::{Case, CaseBuffers, Entry, Expected};

pub(crate) const FORWARD_ENTRY: Entry = Entry {
    kernel: &FORWARD,
    summary: "attention of queries over keys in buffers of their own, with strides, groups, window and bias",
    cases: |gpu| variant_cases(gpu, &FORWARD_SELECTOR, &FORWARD, case),
};

pub(crate) const FORWARD_SCALAR_ENTRY: Entry = Entry {
    kernel: &FORWARD_SCALAR,
    summary: "the same with one query per invocation",
    cases: |gpu| variant_cases(gpu, &FORWARD_SELECTOR, &FORWARD_SCALAR, case),
};

pub(crate) const FORWARD_TILED_ENTRY: Entry = Entry {
    kernel: &FORWARD_TILED,
    summary: "the same in workgroup memory, for GPUs and wide heads",
    cases: |gpu| variant_cases(gpu, &FORWARD_SELECTOR, &FORWARD_TILED, case),
};

fn case(case: GeneralCase, variant: Variant) -> Case {
    let shape = case.shape;
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        GeneralForward::from_case(buffers)?.record_variant(plan, &shape, &variant)
    };
    recorded(&case, Box::new(record)).of_variant(&variant)
}

/// A case of a variant that `record` records.
pub(super) fn recorded(case: &GeneralCase, record: Record) -> Case {
    let made = Made::new(case);
    let (out, lse) = general_forward_reference(&made.inputs(), &case.shape);
    let outputs = vec![("out", case.expected(out, 1e-5)), ("lse", Expected::Near { values: lse, tolerance: 1e-5 })];
    Case { name: case.name(), inputs: made.buffers, outputs, record }
}
