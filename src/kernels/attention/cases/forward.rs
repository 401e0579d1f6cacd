//! Test cases of [`crate::kernels::attention::forward`].

use crate::gpu::{DType, Gpu, Kernel, Plan};
use crate::kernels::attention::cases::{DROPOUT_SHAPES, MASK, dropped, has_dropout, random_qkv, with_dropout};
use crate::kernels::attention::forward::{
    AttentionForward, FORWARD, FORWARD_DECODE, FORWARD_SCALAR, FORWARD_SELECTOR, FORWARD_TILED, FORWARD_WIDE,
    masked_forward_reference,
};
use crate::kernels::attention::{AttentionMask, AttentionShape, SampleRows};
use crate::kernels::case::wide;
use crate::kernels::nn::cases::cast_f16::{has_half, stored};
use crate::kernels::variant::Variant;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "out = softmax(q kᵀ / √D) v", cases: forward_cases };
pub(crate) const FORWARD_SCALAR_ENTRY: Entry = Entry {
    kernel: &FORWARD_SCALAR,
    summary: "the same for any width of heads, without subgroups",
    cases: forward_scalar_cases,
};

pub(crate) const FORWARD_TILED_ENTRY: Entry = Entry {
    kernel: &FORWARD_TILED,
    summary: "the same in workgroup memory, for GPUs and narrow heads",
    cases: forward_tiled_cases,
};

pub(crate) const FORWARD_WIDE_ENTRY: Entry = Entry {
    kernel: &FORWARD_WIDE,
    summary: "the same by register blocks, for GPUs and wide heads",
    cases: forward_wide_cases,
};

pub(crate) const FORWARD_DECODE_ENTRY: Entry = Entry {
    kernel: &FORWARD_DECODE,
    summary: "the same for one query, whose keys lanes share, for GPUs",
    cases: forward_decode_cases,
};

type ForwardCase = ([u32; 4], u32, u32);

fn forward_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes: [ForwardCase; 10] = [
        ([3, 5, 2, 4], 0, 5),
        ([2, 17, 3, 8], 0, 17),
        ([5, 16, 2, 16], 0, 16),
        ([2, 33, 1, 20], 0, 33),
        ([1, 70, 2, 64], 0, 70),
        ([3, 23, 3, 4], 2, 19),
        ([65, 16, 4, 8], 15, 1),
        ([3, 8, 3, 8], 0, 8),
        ([1, 8192, 1, 4], 8170, 22),
        ([70_000, 2, 1, 4], 0, 2),
    ];
    both_masks(gpu, &FORWARD, &shapes)
}

fn forward_scalar_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes: [ForwardCase; 12] = [
        ([1, 1, 1, 1], 0, 1),
        ([3, 5, 2, 4], 0, 5),
        ([2, 17, 3, 8], 0, 17),
        ([5, 16, 2, 16], 0, 16),
        ([1, 70, 2, 20], 0, 70),
        ([1, 9, 1, 66], 0, 9),
        ([2, 13, 5, 3], 0, 13),
        ([3, 7, 3, 6], 2, 3),
        ([65, 16, 4, 8], 15, 1),
        ([3, 16, 4, 8], 0, 1),
        ([1, 8192, 1, 4], 8170, 22),
        ([70_000, 2, 1, 4], 0, 2),
    ];
    both_masks(gpu, &FORWARD_SCALAR, &shapes)
}

fn forward_tiled_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes: [ForwardCase; 20] = [
        ([1, 1, 1, 4], 0, 1),
        ([3, 5, 2, 4], 0, 5),
        ([3, 16, 3, 64], 0, 16),
        ([2, 13, 2, 48], 0, 13),
        ([1, 40, 3, 64], 3, 37),
        ([3, 11, 3, 24], 0, 11),
        ([2, 7, 3, 8], 0, 7),
        ([3, 8, 3, 8], 0, 8),
        ([2, 9, 3, 12], 0, 9),
        ([5, 16, 2, 16], 0, 16),
        ([2, 17, 3, 8], 0, 17),
        ([2, 33, 1, 20], 0, 33),
        ([3, 16, 5, 32], 0, 16),
        ([3, 23, 3, 4], 2, 19),
        ([2, 31, 2, 16], 9, 13),
        ([65, 16, 4, 8], 15, 1),
        ([1, 70, 3, 28], 0, 70),
        ([1, 67, 2, 32], 1, 66),
        ([1, 8192, 1, 4], 8170, 22),
        ([70_000, 2, 1, 4], 0, 2),
    ];
    with_dropout(both_masks(gpu, &FORWARD_TILED, &shapes), dropout_cases(gpu, &FORWARD_TILED))
}

fn forward_wide_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes: [ForwardCase; 11] = [
        ([1, 1, 1, 4], 0, 1),
        ([2, 31, 2, 64], 0, 31),
        ([1, 33, 3, 32], 0, 33),
        ([3, 9, 1, 36], 0, 9),
        ([1, 65, 2, 40], 0, 65),
        ([2, 70, 1, 128], 1, 67),
        ([1, 129, 1, 100], 60, 69),
        ([1, 64, 2, 24], 0, 64),
        ([5, 16, 4, 64], 15, 1),
        ([1, 4096, 1, 8], 4074, 22),
        ([33_000, 1, 2, 4], 0, 1),
    ];
    with_dropout(both_masks(gpu, &FORWARD_WIDE, &shapes), dropout_cases(gpu, &FORWARD_WIDE))
}

fn forward_decode_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes: [ForwardCase; 12] = [
        ([1, 1, 1, 4], 0, 1),
        ([5, 7, 3, 4], 6, 1),
        ([3, 16, 8, 16], 15, 1),
        ([3, 16, 8, 16], 0, 1),
        ([4, 17, 5, 12], 16, 1),
        ([2, 33, 3, 20], 8, 1),
        ([3, 65, 3, 32], 64, 1),
        ([2, 129, 2, 64], 128, 1),
        ([1, 131, 1, 100], 97, 1),
        ([2, 100, 1, 128], 63, 1),
        ([1, 4099, 1, 8], 4097, 1),
        ([70_000, 2, 1, 4], 1, 1),
    ];
    both_masks(gpu, &FORWARD_DECODE, &shapes)
}

/// Cases with both masks, causal also with f16. Small shapes run in every variant that launches the kernel, large shapes in one
/// variant each, cycling through them.
fn both_masks(gpu: &Gpu, kernel: &'static Kernel, shapes: &[ForwardCase]) -> Vec<Case> {
    let cases = |(i, shape): (usize, &ForwardCase)| {
        let [b, t, h, d] = shape.0;
        let variants = FORWARD_SELECTOR.of_kernel(
            gpu,
            kernel,
            &AttentionShape { b: b.into(), t, h, d, ..Default::default() },
            b * t * d < 20_000 && (d <= 20 || kernel.name == FORWARD_TILED.name),
            i,
        );
        let of_variant = |variant: Variant| {
            let words = [true, false].map(|causal| forward_case(variant, *shape, causal, DType::F32, 0, None));
            // Short samples also run as parts of longer ones.
            let part = (t < 10).then(|| forward_case(variant, *shape, true, DType::F32, 3, None));
            let half = has_half(gpu).then(|| forward_case(variant, *shape, true, DType::F16, 0, None));
            let masks: &[bool] = if has_dropout(kernel.name, [b, t, d]) { &[true, false] } else { &[] };
            let masked = masks.iter().map(|causal| forward_case(variant, *shape, *causal, DType::F32, 0, Some(MASK)));
            words.into_iter().chain(part).chain(half).chain(masked).collect::<Vec<_>>()
        };
        variants.into_iter().flat_map(of_variant).collect::<Vec<_>>()
    };
    shapes.iter().enumerate().flat_map(cases).collect()
}

/// Cases with dropout, each in one variant that launches the kernel.
fn dropout_cases(gpu: &Gpu, kernel: &'static Kernel) -> Vec<Case> {
    let cases = |(i, [b, t, h, d]): (usize, &[u32; 4])| {
        let variants = FORWARD_SELECTOR.of_kernel(
            gpu,
            kernel,
            &AttentionShape { b: (*b).into(), t: *t, h: *h, d: *d, ..Default::default() },
            false,
            i,
        );
        let windows = [(true, 0), (true, t / 2), (false, 0)];
        let of_variant = move |variant: Variant| {
            windows.map(|(causal, first)| {
                forward_case(variant, ([*b, *t, *h, *d], first, t - first), causal, DType::F32, 0, Some(MASK))
            })
        };
        variants.into_iter().flat_map(of_variant).collect::<Vec<_>>()
    };
    DROPOUT_SHAPES.iter().enumerate().flat_map(cases).collect()
}

/// Case with `around` unused rows before and after each sample.
fn forward_case(
    variant: Variant,
    ([b, t, h, d], first, queries): ForwardCase,
    causal: bool,
    storage: DType,
    around: u32,
    mask: Option<AttentionMask>,
) -> Case {
    let shape = AttentionShape {
        b: b.into(),
        t,
        h,
        d,
        causal,
        query_positions: Some(first..first + queries),
        sample_rows: Some(SampleRows { stride: t + 2 * around, offset: around }),
        ..Default::default()
    };
    let mut random = RandomInputs::new(u64::from(b * 31 + t * 7 + h * 3 + d));
    let (qkv, stored_qkv) = stored(random_qkv(&mut random, (b * shape.stride() * 3 * h * d) as usize), storage);
    let (out, lse) = masked_forward_reference(&wide(&qkv), &shape, mask.as_ref());
    let half = if storage == DType::F16 { " f16 qkv" } else { "" };
    let dropout = if mask.is_some() { " dropout" } else { "" };
    let name =
        format!("({b}, {t}, {h}, {d}) queries {first} + {queries} causal {causal}{half}, {around} around{dropout}");
    // Rounding errors of the running sums grow with the number of keys.
    let tolerance = 3e-6 * (1.0 + f64::from(t) / 2048.0);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let attention = AttentionForward::from_case(buffers)?;
        attention.record_variant(plan, &dropped(shape.clone(), mask, buffers)?, &variant)
    };
    Case {
        name,
        inputs: std::iter::once(("qkv", stored_qkv))
            .chain(mask.map(|mask| ("step", mask.step.to_vec().into())))
            .collect(),
        outputs: vec![
            ("out", Expected::Near { values: out, tolerance }),
            ("lse", Expected::Near { values: lse, tolerance }),
        ],
        record: Box::new(record),
    }
    .of_variant(&variant)
}
