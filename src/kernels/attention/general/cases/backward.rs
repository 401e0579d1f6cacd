//! Test cases of [`crate::kernels::attention::general::backward`].

use super::{GeneralCase, Made, general_cases, variant_cases};
use crate::error::Result;
use crate::gpu::{Gpu, Kernel, Plan};
use crate::kernels::attention::cases::narrow;
use crate::kernels::attention::general::backward::{
    BACKWARD_KEY_SCALAR, BACKWARD_KEY_TILED, BACKWARD_QUERY_SCALAR, BACKWARD_QUERY_TILED, GeneralBackward, Of,
    STATISTICS,
};
use crate::kernels::attention::general::{
    BACKWARD_KEY_SELECTOR, BACKWARD_QUERY_SELECTOR, GeneralGradients, GeneralShape, Layout, general_backward_reference,
    general_forward_reference,
};
use crate::kernels::nn::cases::cast_f16::stored;
use crate::kernels::variant::Variant;
use crate::kernels::{Case, CaseBuffers, Entry, Expected};

pub(crate) const STATISTICS_ENTRY: Entry = Entry {
    kernel: &STATISTICS,
    summary: "lse_i and δ_i = d_out_i · out_i for the gradients of general attention",
    cases: |gpu| general_cases(gpu).into_iter().map(statistics_case).collect(),
};

pub(crate) const BACKWARD_QUERY_SCALAR_ENTRY: Entry = Entry {
    kernel: &BACKWARD_QUERY_SCALAR,
    summary: "gradient of general attention with respect to queries",
    cases: |gpu| variant_cases(gpu, &BACKWARD_QUERY_SELECTOR, &BACKWARD_QUERY_SCALAR, query_case),
};

pub(crate) const BACKWARD_QUERY_TILED_ENTRY: Entry = Entry {
    kernel: &BACKWARD_QUERY_TILED,
    summary: "the same in workgroup memory, for GPUs and wide heads",
    cases: |gpu| variant_cases(gpu, &BACKWARD_QUERY_SELECTOR, &BACKWARD_QUERY_TILED, query_case),
};

pub(crate) const BACKWARD_KEY_SCALAR_ENTRY: Entry = Entry {
    kernel: &BACKWARD_KEY_SCALAR,
    summary: "gradient of general attention with respect to keys or values",
    cases: |gpu| key_cases(gpu, &BACKWARD_KEY_SCALAR),
};

pub(crate) const BACKWARD_KEY_TILED_ENTRY: Entry = Entry {
    kernel: &BACKWARD_KEY_TILED,
    summary: "the same in workgroup memory, for GPUs and wide heads",
    cases: |gpu| key_cases(gpu, &BACKWARD_KEY_TILED),
};

fn key_cases(gpu: &Gpu, kernel: &'static Kernel) -> Vec<Case> {
    let of =
        |of: Of| variant_cases(gpu, &BACKWARD_KEY_SELECTOR, kernel, move |case, variant| key_case(case, variant, of));
    of(Of::Keys).into_iter().zip(of(Of::Values)).flat_map(|(keys, values)| [keys, values]).collect()
}

type Record = Box<dyn Fn(&GeneralBackward, &mut Plan, &GeneralShape) -> Result<()>>;

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
        record: recorded(case.shape, Box::new(GeneralBackward::record_statistics)),
    }
}

fn query_case(case: GeneralCase, variant: Variant) -> Case {
    let record: Record = Box::new(move |backward, plan, shape| backward.record_query(plan, shape, &variant));
    pair_case(case, "d_q", |made| made.d_q, record).of_variant(&variant)
}

fn key_case(case: GeneralCase, variant: Variant, of: Of) -> Case {
    let record: Record = Box::new(move |backward, plan, shape| backward.record_key(plan, shape, &variant, of));
    let made = match of {
        Of::Keys => pair_case(case, "d_k", |made| made.d_k, record),
        Of::Values => pair_case(case, "d_v", |made| made.d_v, record),
    };
    made.of_variant(&variant)
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
