//! Test cases of [`crate::kernels::gram::pairs`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::gram::cases::product::{integers, triangle_after, triangle_before, written};
use crate::kernels::gram::pairs::{GramPairs, PAIRS, PAIRS_SCALAR, PAIRS_SELECTOR, PairsShape, pairs_reference};
use crate::kernels::gram::{SampleRows, Triangle};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::Variant;
use crate::kernels::{Case, CaseBuffers, Entry, RandomInputs};

pub(crate) const PAIRS_ENTRY: Entry =
    Entry { kernel: &PAIRS, summary: "G += Σ_tu (δ_t·δ_u)(x_t·x_u + 1), compensated", cases: pairs_cases };
pub(crate) const PAIRS_SCALAR_ENTRY: Entry =
    Entry { kernel: &PAIRS_SCALAR, summary: "the same for any widths, without subgroups", cases: pairs_scalar_cases };

fn pairs_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [
        (64, 1, [4, 4, 1], 1),
        (64, 1, [36, 8, 3], 64),
        (128, 1, [8, 68, 2], 77),
        (128, 2, [12, 4, 5], 91),
        (64, 1, [512, 1024, 4], 5),
    ];
    cases_of(gpu, Strategy::Subgroup, &shapes)
}

fn pairs_scalar_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [
        (64, 1, [1, 1, 1], 1),
        (64, 1, [36, 8, 3], 64),
        (128, 1, [5, 67, 2], 77),
        (128, 2, [12, 4, 5], 91),
        (64, 1, [511, 1025, 4], 5),
    ];
    cases_of(gpu, Strategy::Scalar, &shapes)
}

fn cases_of(gpu: &Gpu, strategy: Strategy, shapes: &[(u32, u32, [u32; 3], u32)]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, (part_rows, parts, [outputs, inputs, tokens], live)) in shapes.iter().copied().enumerate() {
        for keep in [false, true] {
            let Ok(counter) = gpu.upload("ketformer.live", &[live]) else { continue };
            let samples = SampleRows { live: counter.view(), part_rows, parts };
            let shape = PairsShape { samples, outputs, inputs, tokens, bias: i % 2 == 0, keep };
            let variants = PAIRS_SELECTOR.of_case(gpu, strategy, &shape, i < 3, i);
            cases.extend(variants.into_iter().map(|variant| pairs_case(variant, &shape, live)));
        }
    }
    cases
}

/// Case with random numbers. With `keep`, integers are added to large ones, so that pairs are exact and the low parts
/// matter.
fn pairs_case(variant: Variant, shape: &PairsShape, live: u32) -> Case {
    let SampleRows { part_rows, parts, .. } = shape.samples;
    let PairsShape { outputs, inputs, tokens, keep, bias, .. } = *shape;
    let mut random = RandomInputs::new(u64::from(outputs * 7 + inputs + live));
    let mut values = |count: u32| match keep {
        true => integers(&mut random, count as usize, 1),
        false => random.floats(count as usize),
    };
    let signal = values(parts * part_rows * tokens * outputs);
    let input = values(part_rows * tokens * inputs);
    let before = triangle_before(&mut random, parts * part_rows, keep);
    let places: Vec<_> = written(part_rows, parts, live).collect();
    let sum = |at: &[usize; 2]| (Triangle::at(at[0], at[1]), pairs_reference(&signal, &input, *at, shape));
    let [high, low] = triangle_after(&before, keep, places.iter().map(sum), 2e-6);
    let [high_before, low_before] = before;
    let shape = shape.clone();
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let samples = SampleRows { live: buffers.view("live")?, ..shape.samples.clone() };
        let shape = PairsShape { samples, ..shape.clone() };
        let all = shape.tokens * shape.tokens;
        GramPairs::from_case(buffers)?.record_variant(plan, &shape, &variant, [0, all])
    };
    Case {
        name: format!(
            "{parts} of ({part_rows}, {tokens}, {inputs} to {outputs}), {live} samples, bias {bias}, keep {keep}"
        ),
        inputs: vec![
            ("signal", signal.into()),
            ("input", input.into()),
            ("live", vec![live].into()),
            ("high", high_before.into()),
            ("low", low_before.into()),
        ],
        outputs: vec![("high", high), ("low", low)],
        record: Box::new(record),
    }
    .of_variant(&variant)
}
