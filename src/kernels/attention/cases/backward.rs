//! Test cases of [`crate::kernels::attention::backward`].

use crate::error::Result;
use crate::gpu::{Gpu, Plan};
use crate::kernels::attention::backward::{
    AttentionBackward, BACKWARD_KEY, BACKWARD_KEY_SCALAR, BACKWARD_KEY_SELECTOR, BACKWARD_KEY_TILED, BACKWARD_QUERY,
    BACKWARD_QUERY_SCALAR, BACKWARD_QUERY_SELECTOR, BACKWARD_QUERY_TILED, BACKWARD_SHORT, BACKWARD_SHORT_SELECTOR,
    BACKWARD_SHORT_TILED, masked_backward_reference,
};
use crate::kernels::attention::cases::{
    DROPOUT_SHAPES, MASK, dropped, has_dropout, narrow, random_qkv, window, with_dropout,
};
use crate::kernels::attention::{AttentionMask, AttentionShape, masked_forward_reference};
use crate::kernels::case::wide;
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::{Variant, VariantSelector};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};
use std::ops::Range;

pub(crate) const BACKWARD_QUERY_ENTRY: Entry =
    Entry { kernel: &BACKWARD_QUERY, summary: "d_q = p ∘ (d_out vᵀ − δ) k / √D", cases: backward_query_cases };
pub(crate) const BACKWARD_QUERY_SCALAR_ENTRY: Entry = Entry {
    kernel: &BACKWARD_QUERY_SCALAR,
    summary: "the same for any width of heads, without subgroups",
    cases: backward_query_scalar_cases,
};
pub(crate) const BACKWARD_KEY_ENTRY: Entry = Entry {
    kernel: &BACKWARD_KEY,
    summary: "d_k = (p ∘ (d_out vᵀ − δ))ᵀ q / √D, d_v = pᵀ d_out",
    cases: backward_key_cases,
};
pub(crate) const BACKWARD_KEY_SCALAR_ENTRY: Entry = Entry {
    kernel: &BACKWARD_KEY_SCALAR,
    summary: "the same for any width of heads, without subgroups",
    cases: backward_key_scalar_cases,
};
pub(crate) const BACKWARD_QUERY_TILED_ENTRY: Entry = Entry {
    kernel: &BACKWARD_QUERY_TILED,
    summary: "the same in workgroup memory, without subgroups",
    cases: backward_query_tiled_cases,
};
pub(crate) const BACKWARD_KEY_TILED_ENTRY: Entry = Entry {
    kernel: &BACKWARD_KEY_TILED,
    summary: "the same in workgroup memory, without subgroups",
    cases: backward_key_tiled_cases,
};
pub(crate) const BACKWARD_SHORT_ENTRY: Entry = Entry {
    kernel: &BACKWARD_SHORT,
    summary: "d_q, d_k and d_v in one pass, for short sequences",
    cases: backward_short_cases,
};

pub(crate) const BACKWARD_SHORT_TILED_ENTRY: Entry = Entry {
    kernel: &BACKWARD_SHORT_TILED,
    summary: "the same in workgroup memory, without subgroups",
    cases: backward_short_tiled_cases,
};

const CLUSTER_SHAPES: [[u32; 4]; 7] =
    [[1, 1, 1, 4], [2, 17, 3, 8], [4, 16, 2, 16], [1, 67, 2, 20], [3, 8, 3, 8], [1, 8192, 1, 4], [66_000, 1, 1, 4]];
const SHORT_SHAPES: [[u32; 4]; 16] = [
    [1, 1, 1, 4],
    [3, 2, 3, 4],
    [2, 7, 3, 8],
    [4, 8, 2, 16],
    [3, 9, 3, 4],
    [2, 15, 3, 16],
    [5, 16, 2, 16],
    [2, 17, 3, 8],
    [1, 33, 3, 4],
    [1, 64, 2, 16],
    [1, 67, 2, 20],
    [2, 21, 1, 12],
    [1, 26, 2, 32],
    [2, 13, 1, 28],
    [1, 144, 1, 8],
    [66_000, 1, 1, 4],
];
const SHORT_TILED_SHAPES: [[u32; 4]; 29] = [
    [1, 1, 1, 4],
    [3, 1, 1, 16],
    [2, 7, 3, 8],
    [3, 7, 5, 12],
    [5, 16, 2, 16],
    [4, 15, 3, 4],
    [1, 16, 3, 32],
    [3, 13, 2, 28],
    [2, 16, 1, 20],
    [1, 10, 2, 24],
    [2, 17, 3, 8],
    [1, 31, 2, 12],
    [2, 32, 1, 4],
    [1, 33, 3, 4],
    [1, 63, 2, 20],
    [2, 64, 2, 16],
    [1, 65, 1, 32],
    [1, 50, 1, 28],
    [1, 144, 1, 8],
    [1, 144, 2, 16],
    [3, 1, 1, 36],
    [2, 7, 3, 64],
    [5, 16, 2, 36],
    [1, 15, 2, 128],
    [2, 17, 2, 68],
    [1, 64, 1, 64],
    [1, 65, 2, 40],
    [4200, 16, 1, 4],
    [1, 145, 1, 16],
];
const TILED_SHAPES: [[u32; 4]; 21] = [
    [1, 1, 1, 4],
    [2, 7, 3, 1],
    [3, 17, 2, 3],
    [2, 65, 3, 6],
    [1, 33, 3, 30],
    [2, 66, 1, 77],
    [3, 1, 2, 64],
    [2, 7, 3, 36],
    [2, 17, 3, 8],
    [1, 31, 2, 128],
    [2, 32, 1, 32],
    [1, 33, 1, 68],
    [1, 63, 2, 20],
    [1, 64, 2, 64],
    [1, 65, 1, 16],
    [1, 97, 1, 12],
    [1, 144, 2, 4],
    [1, 145, 1, 48],
    [1, 129, 1, 128],
    [4200, 16, 1, 4],
    [1, 700, 1, 8],
];
const SCALAR_SHAPES: [[u32; 4]; 6] =
    [[1, 1, 1, 1], [3, 5, 2, 4], [2, 17, 3, 8], [1, 37, 2, 20], [2, 13, 5, 3], [66_000, 1, 1, 4]];

fn backward_query_cases(gpu: &Gpu) -> Vec<Case> {
    backward_cases(
        gpu,
        &BACKWARD_QUERY_SELECTOR,
        Strategy::Subgroup,
        &CLUSTER_SHAPES,
        AttentionBackward::record_query,
        0..1,
    )
}

fn backward_query_scalar_cases(gpu: &Gpu) -> Vec<Case> {
    let record = AttentionBackward::record_query;
    backward_cases(gpu, &BACKWARD_QUERY_SELECTOR, Strategy::Scalar, &SCALAR_SHAPES, record, 0..1)
}

fn backward_key_cases(gpu: &Gpu) -> Vec<Case> {
    backward_cases(
        gpu,
        &BACKWARD_KEY_SELECTOR,
        Strategy::Subgroup,
        &CLUSTER_SHAPES,
        AttentionBackward::record_key,
        1..3,
    )
}

fn backward_key_scalar_cases(gpu: &Gpu) -> Vec<Case> {
    backward_cases(gpu, &BACKWARD_KEY_SELECTOR, Strategy::Scalar, &SCALAR_SHAPES, AttentionBackward::record_key, 1..3)
}

fn backward_query_tiled_cases(gpu: &Gpu) -> Vec<Case> {
    let record = AttentionBackward::record_query;
    backward_cases(gpu, &BACKWARD_QUERY_SELECTOR, Strategy::Tiled, &TILED_SHAPES, record, 0..1)
}

fn backward_key_tiled_cases(gpu: &Gpu) -> Vec<Case> {
    backward_cases(gpu, &BACKWARD_KEY_SELECTOR, Strategy::Tiled, &TILED_SHAPES, AttentionBackward::record_key, 1..3)
}

fn backward_short_cases(gpu: &Gpu) -> Vec<Case> {
    backward_cases(
        gpu,
        &BACKWARD_SHORT_SELECTOR,
        Strategy::Subgroup,
        &SHORT_SHAPES,
        AttentionBackward::record_short,
        0..3,
    )
}

fn backward_short_tiled_cases(gpu: &Gpu) -> Vec<Case> {
    backward_cases(
        gpu,
        &BACKWARD_SHORT_SELECTOR,
        Strategy::Tiled,
        &SHORT_TILED_SHAPES,
        AttentionBackward::record_short,
        0..3,
    )
}

type RecordBackward = fn(&AttentionBackward, &mut Plan, &AttentionShape, &Variant) -> Result<()>;

/// Cases with few samples run in every variant of the strategy, cases with many in one variant each, cycling through
/// them. References of long sequences take seconds, so those run in one variant with one mask.
fn backward_cases(
    gpu: &Gpu,
    selector: &VariantSelector<AttentionShape>,
    strategy: Strategy,
    shapes: &[[u32; 4]],
    record: RecordBackward,
    thirds: Range<usize>,
) -> Vec<Case> {
    let cases = |(i, [b, t, h, d]): (usize, &[u32; 4])| {
        let variants = selector.of_case(
            gpu,
            strategy,
            &AttentionShape { b: (*b).into(), t: *t, h: *h, d: *d, ..Default::default() },
            *b < 1000 && *t < 1000,
            i,
        );
        let (masks, thirds) = (if *t > 1024 { &[true][..] } else { &[true, false] }, thirds.clone());
        let masked = move |variant| {
            let thirds = thirds.clone();
            let dropout = has_dropout(&selector.variants.launched(&variant), [*b, *t, *d]);
            let masks = masks.iter().flat_map(move |causal| {
                [Some(None), dropout.then_some(Some(MASK))].into_iter().flatten().map(|mask| (*causal, mask))
            });
            masks.map(move |mask| backward_case([*b, *t, *h, *d], mask, variant, record, thirds.clone()))
        };
        variants.into_iter().flat_map(masked).collect::<Vec<_>>()
    };
    let dropout_shapes = if strategy == Strategy::Tiled { &DROPOUT_SHAPES[..] } else { &[] };
    let dropout_cases = |(i, [b, t, h, d]): (usize, &[u32; 4])| {
        let variants = selector.of_case(
            gpu,
            strategy,
            &AttentionShape { b: (*b).into(), t: *t, h: *h, d: *d, ..Default::default() },
            false,
            i,
        );
        let masks = |variant| [true, false].map(|causal| (variant, causal));
        let case =
            |(variant, causal)| backward_case([*b, *t, *h, *d], (causal, Some(MASK)), variant, record, thirds.clone());
        variants.into_iter().flat_map(masks).map(case).collect::<Vec<_>>()
    };
    let of_shapes = shapes.iter().enumerate().flat_map(cases).collect();
    with_dropout(of_shapes, dropout_shapes.iter().enumerate().flat_map(dropout_cases).collect())
}

/// Case of a kernel on a window of samples counted on the GPU. The kernel writes `thirds` of the rows of d_qkv and must
/// leave the others unchanged. The kernel that writes the first third also writes delta.
fn backward_case(
    [b, t, h, d]: [u32; 4],
    (causal, mask): (bool, Option<AttentionMask>),
    variant: Variant,
    record: RecordBackward,
    thirds: Range<usize>,
) -> Case {
    let shape = AttentionShape { causal, b: b.into(), t, h, d, ..Default::default() };
    let mut random = RandomInputs::new(u64::from(b * 31 + t * 7 + h * 3 + d));
    let qkv = random_qkv(&mut random, (b * t * 3 * h * d) as usize);
    let d_out = random.floats((b * t * h * d) as usize);
    let (out, lse) = masked_forward_reference(&wide(&qkv), &shape, mask.as_ref());
    let (mut d_qkv, delta) = masked_backward_reference(&wide(&qkv), &wide(&d_out), &shape, mask.as_ref());
    let before = random.floats(d_qkv.len());
    let width = (h * d) as usize;
    for (at, value) in d_qkv.iter_mut().enumerate() {
        if !thirds.contains(&(at % (3 * width) / width)) {
            *value = f64::from(before[at]);
        }
    }
    // Rounding errors of the running sums grow with the number of keys.
    let near = |values| Expected::Near { values, tolerance: 1e-5 * (1.0 + f64::from(t) / 2048.0) };
    let mut inputs = vec![
        ("qkv", qkv.into()),
        ("out", narrow(&out).into()),
        ("lse", narrow(&lse).into()),
        ("d_out", d_out.into()),
        ("d_qkv", before.into()),
        ("live", vec![b + 3].into()),
    ];
    inputs.extend(mask.map(|mask| ("step", mask.step.to_vec().into())));
    let mut outputs = vec![("d_qkv", near(d_qkv))];
    if thirds.start == 0 {
        outputs.push(("delta", near(delta)));
    } else {
        inputs.push(("delta", narrow(&delta).into()));
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let attention = AttentionBackward::from_case(buffers)?;
        let live = window(buffers.view("live")?, b);
        plan.write_indirect_args(&live.live)?;
        let shape = AttentionShape { b: live.into(), ..shape.clone() };
        record(&attention, plan, &dropped(shape, mask, buffers)?, &variant)
    };
    let dropout = if mask.is_some() { " dropout" } else { "" };
    Case { name: format!("({b}, {t}, {h}, {d}) causal {causal}{dropout}"), inputs, outputs, record: Box::new(record) }
        .of_variant(&variant)
}
