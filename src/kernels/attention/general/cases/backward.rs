//! Test cases of [`crate::kernels::attention::general::backward`].

use super::{GeneralCase, Made, general_cases};
use crate::error::Result;
use crate::gpu::{Gpu, Plan};
use crate::kernels::attention::cases::narrow;
use crate::kernels::attention::general::backward::{BACKWARD_KEY, BACKWARD_QUERY, GeneralBackward, Of, STATISTICS};
use crate::kernels::attention::general::{
    GeneralGradients, GeneralShape, Layout, general_backward_reference, general_forward_reference,
};
use crate::kernels::nn::cases::cast_f16::stored;
use crate::kernels::{Case, CaseBuffers, Entry, Expected};

pub(crate) const STATISTICS_ENTRY: Entry = Entry {
    kernel: &STATISTICS,
    summary: "lse_i and δ_i = d_out_i · out_i for the gradients of general attention",
    cases: |gpu| cases(gpu, statistics_case),
};

pub(crate) const BACKWARD_QUERY_ENTRY: Entry = Entry {
    kernel: &BACKWARD_QUERY,
    summary: "gradient of general attention with respect to queries",
    cases: |gpu| cases(gpu, query_case),
};

pub(crate) const BACKWARD_KEY_ENTRY: Entry = Entry {
    kernel: &BACKWARD_KEY,
    summary: "gradient of general attention with respect to keys or values",
    cases: |gpu| {
        let keys = cases(gpu, |case| key_case(case, Of::Keys)).into_iter();
        let values = cases(gpu, |case| key_case(case, Of::Values)).into_iter();
        keys.zip(values).flat_map(|(keys, values)| [keys, values]).collect()
    },
};

fn cases(gpu: &Gpu, case: impl Fn(GeneralCase) -> Case) -> Vec<Case> {
    general_cases(gpu).into_iter().map(case).collect()
}

type Record = fn(&GeneralBackward, &mut Plan, &GeneralShape) -> Result<()>;

fn recorded(shape: GeneralShape, record: Record) -> crate::kernels::case::Record {
    Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
        record(&GeneralBackward::from_case(&buffers.standing_in("statistics")?)?, plan, &shape)
    })
}

/// Buffers that a kernel does not use are stood in for.
fn statistics_case(case: GeneralCase) -> Case {
    let made = Made::new(&case);
    let (out, lse) = general_forward_reference(&made.inputs(), &case.shape);
    let (rounded, stored_out) = stored(narrow(&out), case.storage);
    let values = made.statistics(&rounded, &lse, &case.shape);
    Case {
        name: case.name(),
        inputs: vec![("out", stored_out), ("d_out", made.stored_d_out), ("lse", narrow(&lse).into())],
        outputs: vec![("statistics", Expected::Near { values, tolerance: 1e-5 })],
        record: recorded(case.shape, GeneralBackward::record_statistics),
    }
}

fn query_case(case: GeneralCase) -> Case {
    let gradients = |gradients: GeneralGradients| gradients.d_q;
    pair_case(case, "d_q", gradients, GeneralBackward::record_query)
}

fn key_case(case: GeneralCase, of: Of) -> Case {
    match of {
        Of::Keys => pair_case(case, "d_k", |made| made.d_k, |b, plan, shape| b.record_key(plan, shape, Of::Keys)),
        Of::Values => pair_case(case, "d_v", |made| made.d_v, |b, plan, shape| b.record_key(plan, shape, Of::Values)),
    }
}

/// Case of the kernel that writes the gradient called `output`. Elements between its rows must stay zero.
fn pair_case(
    case: GeneralCase,
    output: &'static str,
    of: impl Fn(GeneralGradients) -> Vec<f64>,
    record: Record,
) -> Case {
    let made = Made::new(&case);
    let gradients = general_backward_reference(&made.inputs(), made.d_out(), &case.shape);
    let statistics = narrow(&gradients.statistics);
    let values = of(gradients);
    let mut inputs = made.buffers;
    inputs.extend([("d_out", made.stored_d_out), ("statistics", statistics.into())]);
    if matches!(case.shape.layouts.k, Layout::Strided(_)) && output != "d_q" {
        inputs.push((output, vec![0f32; values.len()].into()));
    }
    Case {
        name: format!("{output} {}", case.name()),
        inputs,
        outputs: vec![(output, case.expected(values, 2e-5))],
        record: recorded(case.shape, record),
    }
}
