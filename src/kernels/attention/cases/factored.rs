//! Test cases of [`crate::kernels::attention::factored`].

use crate::gpu::{DType, DynamicRows, Gpu, Plan, Rows, View};
use crate::kernels::attention::factored::{
    FORWARD, FORWARD_SCALAR, FORWARD_SELECTOR, FactoredAttention, FactoredGradient, FactoredShape, GRADIENT,
    GRADIENT_SCALAR, GRADIENT_SELECTOR, Orientation, factored_backward_reference, factored_reference,
};
use crate::kernels::case::wide;
use crate::kernels::linear::block_rows;
use crate::kernels::nn::cases::cast_f16::{has_half, stored};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::Variant;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const FORWARD_ENTRY: Entry = Entry {
    kernel: &FORWARD,
    summary: "out_i = Σ_j A[r(i, j)] v_j, and d_v",
    cases: |gpu| forward_cases(gpu, Strategy::Subgroup),
};
pub(crate) const FORWARD_SCALAR_ENTRY: Entry = Entry {
    kernel: &FORWARD_SCALAR,
    summary: "the same, without subgroups",
    cases: |gpu| forward_cases(gpu, Strategy::Scalar),
};
pub(crate) const GRADIENT_ENTRY: Entry = Entry {
    kernel: &GRADIENT,
    summary: "d_A[r] = Σ d_out_i v_j(i, r), by blocks of samples",
    cases: |gpu| gradient_cases(gpu, Strategy::Subgroup),
};
pub(crate) const GRADIENT_SCALAR_ENTRY: Entry = Entry {
    kernel: &GRADIENT_SCALAR,
    summary: "the same, without subgroups",
    cases: |gpu| gradient_cases(gpu, Strategy::Scalar),
};

/// Samples, Tx, Ty, heads, head width.
pub(crate) type FactoredCase = [u32; 5];

pub(crate) const CASES: [FactoredCase; 9] = [
    [1, 1, 1, 1, 1],
    [3, 2, 2, 2, 4],
    [7, 3, 3, 3, 6],
    [41, 5, 5, 2, 6],
    [5, 2, 3, 1, 17],
    [2, 6, 7, 1, 3],
    [19, 1, 31, 1, 5],
    [2, 8, 9, 2, 2],
    [66_000, 1, 2, 1, 1],
];

pub(crate) fn shape_of([b, tx, ty, h, d]: FactoredCase) -> FactoredShape {
    FactoredShape { rows: Rows::from(b * tx * ty), grid: [tx, ty], h, d }
}

/// Dynamic rows of a case: samples counted on the GPU, without the first two.
fn live_rows(live: View, [b, tx, ty, ..]: FactoredCase) -> DynamicRows {
    DynamicRows::new(live, 2, b, tx * ty)
}

fn forward_cases(gpu: &Gpu, strategy: Strategy) -> Vec<Case> {
    let cases = |(turn, case): (usize, &FactoredCase)| {
        let variants = FORWARD_SELECTOR.of_case(gpu, strategy, &shape_of(*case), case[0] < 1000, turn);
        let looks = [Orientation::Forward, Orientation::Reversed];
        let of = |variant| looks.map(|orientation| forward_case(*case, orientation, variant, DType::F32));
        variants.into_iter().flat_map(of).collect::<Vec<_>>()
    };
    let mut all: Vec<Case> = CASES.iter().enumerate().flat_map(cases).collect();
    if has_half(gpu) {
        let variants = FORWARD_SELECTOR.of_case(gpu, strategy, &shape_of(CASES[2]), true, 0);
        all.extend(
            variants.into_iter().map(|variant| forward_case(CASES[2], Orientation::Forward, variant, DType::F16)),
        );
    }
    all
}

fn forward_case(case: FactoredCase, orientation: Orientation, variant: Variant, storage: DType) -> Case {
    let [b, tx, ty, h, d] = case;
    let mut random = RandomInputs::new(u64::from(b * 13 + tx * 7 + ty * 3 + d));
    let v = random.floats((b * tx * ty * h * d) as usize);
    let (relative, buffer) = stored(random.floats((h * tx * ty) as usize), storage);
    let out = match orientation {
        Orientation::Forward => factored_reference(&wide(&v), &wide(&relative), &shape_of(case)),
        Orientation::Reversed => factored_backward_reference(&wide(&v), &wide(&relative), &wide(&v), &shape_of(case)).0,
    };
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let rows = live_rows(buffers.view("live")?, case);
        plan.write_indirect_args(&rows.live)?;
        let shape = FactoredShape { rows: rows.into(), ..shape_of(case) };
        let attention = FactoredAttention::from_case(buffers)?;
        attention.record_variant(plan, &shape, orientation, &variant)
    };
    Case {
        name: format!("({b}, {tx} x {ty}, {h}, {d}) {orientation:?}, {storage:?}"),
        inputs: vec![("v", v.into()), ("relative", buffer), ("live", vec![b + 2].into())],
        outputs: vec![("out", Expected::Near { values: out, tolerance: 2e-6 })],
        record: Box::new(record),
    }
    .of_variant(&variant)
}

fn gradient_cases(gpu: &Gpu, strategy: Strategy) -> Vec<Case> {
    let cases = |(turn, case): (usize, &FactoredCase)| {
        let variants = GRADIENT_SELECTOR.of_case(gpu, strategy, &shape_of(*case), case[0] < 1000, turn);
        variants.into_iter().map(|variant| gradient_case(*case, variant)).collect::<Vec<_>>()
    };
    CASES.iter().enumerate().flat_map(cases).collect()
}

/// Case of the blocks of a gradient whose last samples are beyond the dynamic count and must not be added.
fn gradient_case(case: FactoredCase, variant: Variant) -> Case {
    let [b, tx, ty, h, d] = case;
    let (counted, sample) = (b - b / 3, (tx * ty * h * d) as usize);
    let mut random = RandomInputs::new(u64::from(b * 17 + tx * 5 + ty * 3 + d));
    let [v, d_out] = [(); 2].map(|()| random.floats(b as usize * sample));
    let of_block = block_rows(tx * ty) / (tx * ty);
    let relative = vec![0.0; (h * tx * ty) as usize];
    let block = |first: u32| {
        let range = first.min(counted) as usize * sample..(first + of_block).min(counted) as usize * sample;
        let (v, d_out) = (wide(&v[range.clone()]), wide(&d_out[range]));
        factored_backward_reference(&v, &relative, &d_out, &shape_of(case)).1
    };
    let part = (0..b).step_by(of_block as usize).flat_map(block).collect();
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let rows = live_rows(buffers.view("live")?, case);
        plan.write_indirect_args(&rows.live)?;
        let shape = FactoredShape { rows: rows.into(), ..shape_of(case) };
        let gradient = FactoredGradient::from_case(&buffers.standing_in("part")?)?;
        gradient.record_blocks(plan, &shape, &variant, &buffers.view("part")?)
    };
    Case {
        name: format!("({b}, {tx} x {ty}, {h}, {d}), {counted} live samples"),
        inputs: vec![("v", v.into()), ("d_out", d_out.into()), ("live", vec![counted + 2].into())],
        outputs: vec![("part", Expected::Near { values: part, tolerance: 4e-6 })],
        record: Box::new(record),
    }
    .of_variant(&variant)
}
