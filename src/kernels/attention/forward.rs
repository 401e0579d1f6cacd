//! Attention forward pass, out = softmax(q kᵀ / √D) v, for all queries of a sequence or a window of them.

use super::{
    AttentionShape, CLUSTER, VARIANTS, attend, choose, class, groups, head_requirement, part, random_qkv, scale, taken,
    wide,
};
use crate::error::Result;
use crate::gpu::{Cost, DType, Gpu, Kernel, Launch, Plan, View, bind};
use crate::kernels::linear::Strategy;
use crate::kernels::nn::cast_f16::{has_half, stored};
use crate::kernels::variant::{Variant, VariantSelector, Variants};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static FORWARD: Kernel = kernel!("attention", "attention_forward");
static FORWARD_SCALAR: Kernel = kernel!("attention", "attention_forward_scalar");

pub(crate) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "out = softmax(q kᵀ / √D) v", cases: forward_cases };
pub(crate) const FORWARD_SCALAR_ENTRY: Entry = Entry {
    kernel: &FORWARD_SCALAR,
    summary: "the same for any width of heads, without subgroups",
    cases: forward_scalar_cases,
};

pub(crate) static FORWARD_SELECTOR: VariantSelector<AttentionShape> = VariantSelector {
    variants: Variants { kernel: "attention_forward", least_lanes: CLUSTER, all: FORMS_FORWARD },
    class: |shape| {
        let queries = if shape.queries == 1 { "one query of" } else { "" };
        format!("{queries} {}", class(shape.t, shape.d)).trim().into()
    },
    rule: |gpu, shape| match choose(gpu, shape) {
        // The kernel needs few arrays, so software adapters have room for four queries.
        Strategy::Subgroup if gpu.is_software() && shape.d <= 64 && shape.queries >= 4 * CLUSTER => {
            (Strategy::Subgroup, 4, 1)
        }
        strategy => taken(gpu, strategy, [3, 2], shape.d, shape.queries),
    },
    requirement: |_, shape, variant| head_requirement(shape.d, variant),
};

/// Variants of the other kernels, plus four queries per lane of a cluster.
const FORMS_FORWARD: &[Variant] =
    &[VARIANTS[0], VARIANTS[1], Variant::subgroup("cluster4", 4, 1), VARIANTS[2], VARIANTS[3], VARIANTS[4]];

record! {
    /// Attention forward pass; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct AttentionForward {
        /// (B·T, 3C), or more rows with a stride, f32 or f16
        pub qkv: View,
        /// (B·n, C)
        pub out: View,
        /// (B·n, H): natural logarithm of the sum of exponentials, for the backward pass
        pub lse: View,
    }
}

impl AttentionForward {
    /// Records the kernel in the variant selected for its shape.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for heads wider than 128 or queries outside the positions; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        shape.check(&FORWARD)?;
        let variant = FORWARD_SELECTOR.take(plan.gpu(), shape)?;
        self.record_variant(plan, shape, variant)
    }

    fn record_variant(&self, plan: &mut Plan, shape: &AttentionShape, variant: &Variant) -> Result<()> {
        let (rows, query_rows, width) = (shape.rows(), shape.query_rows(), shape.width());
        let heads = u64::from(shape.h);
        let mut bindings = Vec::from(bind!(
            self.qkv[shape.buffer_rows() * 3 * width],
            self.out[query_rows * width],
            self.lse[query_rows * heads]
        ));
        let kernel = match variant.strategy {
            Strategy::Subgroup => &FORWARD,
            Strategy::Scalar | Strategy::Tiled | Strategy::Panel => {
                bindings.extend(bind!(qkv4 = self.qkv[shape.buffer_rows() * 3 * width]));
                &FORWARD_SCALAR
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("QUERIES", variant.tile), ("CACHE_BITS", self.qkv.storage().bits())],
            bindings: &bindings,
            params: &[
                ("samples", shape.b.capacity.into()),
                ("tokens", shape.t.into()),
                ("heads", shape.h.into()),
                ("first", shape.first.into()),
                ("queries", shape.queries.into()),
                ("causal", u32::from(shape.causal).into()),
                ("scale", scale(shape.d)),
                ("stride", shape.stride.into()),
                ("offset", shape.offset.into()),
            ],
            groups: groups(&shape.b, shape.queries, shape.h, variant),
            cost: Cost {
                flops: 4.0 * shape.pairs() * f64::from(shape.d),
                bytes: (self.qkv.storage().bytes() * (2 * rows + query_rows) * width + 4 * query_rows * (width + heads))
                    as f64,
            },
            shape: shape.text(),
        })
    }
}

/// Reference in f64: out (B·n, C) and lse (B·n, H).
pub fn forward_reference(qkv: &[f64], shape: &AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let (mut out, mut lse) = (Vec::new(), Vec::new());
    for sample in 0..shape.b.capacity as usize {
        for position in shape.first as usize..(shape.first + shape.queries) as usize {
            let keys = if shape.causal { position + 1 } else { t };
            for head in 0..h {
                let row = |j: usize| sample * shape.stride as usize + shape.offset as usize + j;
                let at = |j: usize, third| part(qkv, row(j), third, head, h, d);
                let keys: Vec<_> = (0..keys).map(|j| (at(j, 1), at(j, 2))).collect();
                let (row, total) = attend(at(position, 0), &keys);
                out.extend(row);
                lse.push(total);
            }
        }
    }
    (out, lse)
}

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
    both_masks(gpu, Strategy::Subgroup, &shapes)
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
    both_masks(gpu, Strategy::Scalar, &shapes)
}

/// Cases with both masks, causal also with f16. Small shapes run in every variant of the strategy, large shapes in one
/// variant each, cycling through them.
fn both_masks(gpu: &Gpu, strategy: Strategy, shapes: &[ForwardCase]) -> Vec<Case> {
    let cases = |(i, shape): (usize, &ForwardCase)| {
        let [b, t, h, d] = shape.0;
        let variants = FORWARD_SELECTOR.of_case(
            gpu,
            strategy,
            &AttentionShape::full(b, t, h, d),
            b * t * d < 20_000 && d <= 20,
            i,
        );
        let of_variant = |variant: Variant| {
            let words = [true, false].map(|causal| forward_case(variant, *shape, causal, DType::F32, 0));
            // Short samples also run as parts of longer ones.
            let part = (t < 10).then(|| forward_case(variant, *shape, true, DType::F32, 3));
            let half = has_half(gpu).then(|| forward_case(variant, *shape, true, DType::F16, 0));
            words.into_iter().chain(part).chain(half)
        };
        variants.into_iter().flat_map(of_variant).collect::<Vec<_>>()
    };
    shapes.iter().enumerate().flat_map(cases).collect()
}

/// Case with `around` unused rows before and after each sample.
fn forward_case(
    variant: Variant,
    ([b, t, h, d], first, queries): ForwardCase,
    causal: bool,
    storage: DType,
    around: u32,
) -> Case {
    let shape = AttentionShape { causal, first, queries, ..AttentionShape::full(b, t, h, d) };
    let shape = shape.within(t + 2 * around, around);
    let mut random = RandomInputs::new(u64::from(b * 31 + t * 7 + h * 3 + d));
    let (qkv, stored_qkv) = stored(random_qkv(&mut random, (b * shape.stride * 3 * h * d) as usize), storage);
    let (out, lse) = forward_reference(&wide(&qkv), &shape);
    let half = if storage == DType::F16 { " f16 qkv" } else { "" };
    let name = format!("({b}, {t}, {h}, {d}) queries {first} + {queries} causal {causal}{half}, {around} around");
    // Rounding errors of the running sums grow with the number of keys.
    let tolerance = 3e-6 * (1.0 + f64::from(t) / 2048.0);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let attention = AttentionForward::from_case(buffers)?;
        attention.record_variant(plan, &shape, &variant)
    };
    Case {
        name,
        inputs: vec![("qkv", stored_qkv)],
        outputs: vec![
            ("out", Expected::Near { values: out, tolerance }),
            ("lse", Expected::Near { values: lse, tolerance }),
        ],
        record: Box::new(record),
    }
    .of_variant(&variant)
}
