//! Gradients of attention with respect to queries, keys and values.
//!
//! Sequences of 8 to 256 positions with heads of width up to 32 take a single kernel, `attention_backward_short`, which
//! keeps p and the gradient of the scores in registers. Longer sequences and wider heads take one kernel over queries
//! and one over keys.

use std::ops::Range;

use super::{
    AttentionShape, CLUSTER, LANES, choose, class, forward_reference, groups, head_requirement, narrow, part,
    random_qkv, scale, taken, variants, wide, window,
};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, Param, Plan, View, bind};
use crate::kernels::linear::Strategy;
use crate::kernels::variant::{Variant, VariantSelector, Variants};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static BACKWARD_QUERY: Kernel = kernel!("attention", "attention_backward_query");
static BACKWARD_QUERY_SCALAR: Kernel = kernel!("attention", "attention_backward_query_scalar");
static BACKWARD_KEY: Kernel = kernel!("attention", "attention_backward_key");
static BACKWARD_KEY_SCALAR: Kernel = kernel!("attention", "attention_backward_key_scalar");
static BACKWARD_SHORT: Kernel = kernel!("attention", "attention_backward_short");

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
pub(crate) const BACKWARD_SHORT_ENTRY: Entry = Entry {
    kernel: &BACKWARD_SHORT,
    summary: "d_q, d_k and d_v in one pass, for short sequences",
    cases: backward_short_cases,
};

/// Maximum number of positions of a sequence that one cluster processes in a backward pass. Longer sequences are split
/// among clusters.
const SHORT: u32 = 256;

/// Maximum width of heads whose gradients fit into registers.
const SHORT_WIDTH: u32 = 32;

/// Whether the backward pass is a single kernel: for heads whose gradients fit into registers, if clusters pay off. Its
/// reduction order differs from that of the other two kernels, so it is not subject to tuning. Forcing a variant of
/// either decides.
fn is_short(gpu: &Gpu, shape: &AttentionShape) -> bool {
    if BACKWARD_SHORT_SELECTOR.is_forced(gpu) || BACKWARD_QUERY_SELECTOR.is_forced(gpu) {
        return BACKWARD_SHORT_SELECTOR.is_forced(gpu);
    }
    (CLUSTER..=SHORT).contains(&shape.t) && shape.d <= SHORT_WIDTH && choose(gpu, shape) == Strategy::Subgroup
}

pub(crate) static BACKWARD_QUERY_SELECTOR: VariantSelector<AttentionShape> = VariantSelector {
    variants: variants("attention_backward_query"),
    class: |shape| class(shape.t, shape.d),
    rule: |gpu, shape| taken(gpu, choose(gpu, shape), [5, 3], shape.d, shape.t),
    requirement: |_, shape, variant| head_requirement(shape.d, variant),
};
pub(crate) static BACKWARD_KEY_SELECTOR: VariantSelector<AttentionShape> = VariantSelector {
    variants: variants("attention_backward_key"),
    class: |shape| class(shape.t, shape.d),
    rule: |gpu, shape| taken(gpu, choose(gpu, shape), [6, 4], shape.d, shape.t),
    requirement: |_, shape, variant| head_requirement(shape.d, variant),
};
/// Selector of the number of keys per lane, which determines the reduction order of a query's gradient.
pub(crate) static BACKWARD_SHORT_SELECTOR: VariantSelector<AttentionShape> = VariantSelector {
    variants: Variants {
        kernel: "attention_backward_short",
        least_lanes: CLUSTER,
        all: &[Variant::subgroup("short1", 1, 1), Variant::subgroup("short2", 2, 1).reduction_order(1)],
    },
    class: |shape| class(shape.t, shape.d),
    // Two keys per lane halve the loads, but are half idle in the first block of a causal sequence.
    rule: |gpu, shape| (Strategy::Subgroup, if gpu.is_software() && shape.t > CLUSTER { 2 } else { 1 }, 1),
    requirement: |_, shape, variant| {
        let wide = shape.d > SHORT_WIDTH;
        if wide {
            Some(format!("heads of width {SHORT_WIDTH} at most, got {}", shape.d))
        } else {
            head_requirement(shape.d, variant)
        }
    },
};

record! {
    /// Attention backward pass, see the module documentation: `attention_backward_short`, or for long sequences and
    /// wide heads `attention_backward_query` followed by `attention_backward_key`.
    #[derive(Debug, Clone)]
    pub struct AttentionBackward {
        /// (B·T, 3C)
        pub qkv: View,
        /// (B·T, C) from the forward pass
        pub out: View,
        /// (B·T, H) from the forward pass
        pub lse: View,
        /// (B·T, C)
        pub d_out: View,
        /// (B·T, H), scratch for δ
        pub delta: View,
        /// (B·T, 3C)
        pub d_qkv: View,
    }
}

impl AttentionBackward {
    /// Records the single kernel for short sequences, otherwise the other two, in the variants selected for the shape.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for heads wider than 128 or a shape whose queries are not all positions; as
    /// [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        if is_short(plan.gpu(), shape) {
            shape.check_whole(&BACKWARD_SHORT)?;
            let variant = BACKWARD_SHORT_SELECTOR.take(plan.gpu(), shape)?;
            return self.record_short(plan, shape, variant);
        }
        shape.check_whole(&BACKWARD_QUERY)?;
        let variant = BACKWARD_QUERY_SELECTOR.take(plan.gpu(), shape)?;
        self.record_query(plan, shape, variant)?;
        let variant = BACKWARD_KEY_SELECTOR.take(plan.gpu(), shape)?;
        self.record_key(plan, shape, variant)
    }

    fn params(shape: &AttentionShape) -> [(&'static str, Param); 5] {
        [
            ("samples", shape.b.capacity.into()),
            ("tokens", shape.t.into()),
            ("heads", shape.h.into()),
            ("causal", u32::from(shape.causal).into()),
            ("scale", scale(shape.d)),
        ]
    }

    /// Bindings of the kernels. The kernel over keys uses all but `out`.
    fn operands(&self, shape: &AttentionShape) -> Vec<Bind<'_>> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        Vec::from(bind!(
            self.qkv[rows * 3 * width],
            self.out[rows * width],
            self.lse[rows * heads],
            self.d_out[rows * width],
            self.d_qkv[rows * 3 * width],
            self.delta[rows * heads]
        ))
    }

    fn record_short(&self, plan: &mut Plan, shape: &AttentionShape, variant: &Variant) -> Result<()> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        plan.launch(&Launch {
            kernel: &BACKWARD_SHORT,
            spec: &[
                ("HEAD_DIM", shape.d),
                ("KEYS", variant.tile),
                ("WHOLE", (shape.t <= CLUSTER * variant.tile).into()),
            ],
            bindings: &self.operands(shape),
            params: &Self::params(shape),
            groups: shape.b.times(shape.h).groups(LANES / CLUSTER, 1),
            cost: Cost {
                flops: 10.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (8 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }

    fn record_query(&self, plan: &mut Plan, shape: &AttentionShape, variant: &Variant) -> Result<()> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        let mut bindings = self.operands(shape);
        let kernel = match variant.strategy {
            Strategy::Subgroup => &BACKWARD_QUERY,
            Strategy::Scalar | Strategy::Tiled | Strategy::Panel => {
                bindings.extend(bind!(qkv4 = self.qkv[rows * 3 * width]));
                &BACKWARD_QUERY_SCALAR
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("QUERIES", variant.tile)],
            bindings: &bindings,
            params: &Self::params(shape),
            groups: groups(&shape.b, shape.t, shape.h, variant),
            cost: Cost {
                flops: 6.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (6 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }

    fn record_key(&self, plan: &mut Plan, shape: &AttentionShape, variant: &Variant) -> Result<()> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        let mut bindings = self.operands(shape);
        bindings.retain(|bind| bind.name != "out");
        let kernel = match variant.strategy {
            Strategy::Subgroup => &BACKWARD_KEY,
            Strategy::Scalar | Strategy::Tiled | Strategy::Panel => {
                bindings.extend(bind!(qkv4 = self.qkv[rows * 3 * width], d_out4 = self.d_out[rows * width]));
                &BACKWARD_KEY_SCALAR
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("KEYS", variant.tile)],
            bindings: &bindings,
            params: &Self::params(shape),
            groups: groups(&shape.b, shape.t, shape.h, variant),
            cost: Cost {
                flops: 8.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (6 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }
}

/// Reference in f64: d_qkv (B·T, 3C) and delta (B·T, H).
pub fn backward_reference(qkv: &[f64], d_out: &[f64], shape: &AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let (out, lse) = forward_reference(qkv, shape);
    let scale = 1.0 / (d as f64).sqrt();
    let mut d_qkv = vec![0.0; qkv.len()];
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let head_of = |values: &'_ [f64], row: usize, head: usize| values[(row * h + head) * d..][..d].to_vec();
    let mut delta = Vec::new();
    for row in 0..shape.b.capacity as usize * t {
        let (first, position) = (row - row % t, row % t);
        let end = first + if shape.causal { position + 1 } else { t };
        for head in 0..h {
            let (q, slope) = (part(qkv, row, 0, head, h, d), head_of(d_out, row, head));
            let product = dot(&slope, &head_of(&out, row, head));
            delta.push(product);
            for key in first..end {
                let (k, v) = (part(qkv, key, 1, head, h, d), part(qkv, key, 2, head, h, d));
                let p = (scale * dot(q, k) - lse[row * h + head]).exp();
                let d_score = scale * p * (dot(&slope, v) - product);
                for c in 0..d {
                    d_qkv[(3 * row * h + head) * d + c] += d_score * k[c];
                    d_qkv[((3 * key + 1) * h + head) * d + c] += d_score * q[c];
                    d_qkv[((3 * key + 2) * h + head) * d + c] += p * slope[c];
                }
            }
        }
    }
    (d_qkv, delta)
}

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
        let variants =
            selector.of_case(gpu, strategy, &AttentionShape::full(*b, *t, *h, *d), *b < 1000 && *t < 1000, i);
        let (masks, thirds) = (if *t > 1024 { &[true][..] } else { &[true, false] }, thirds.clone());
        let masked = move |variant| {
            let thirds = thirds.clone();
            masks.iter().map(move |causal| backward_case([*b, *t, *h, *d], *causal, variant, record, thirds.clone()))
        };
        variants.into_iter().flat_map(masked).collect::<Vec<_>>()
    };
    shapes.iter().enumerate().flat_map(cases).collect()
}

/// Case of a kernel on a window of samples counted on the GPU. The kernel writes `thirds` of the rows of d_qkv and must
/// leave the others unchanged. The kernel that writes the first third also writes delta.
fn backward_case(
    [b, t, h, d]: [u32; 4],
    causal: bool,
    variant: Variant,
    record: RecordBackward,
    thirds: Range<usize>,
) -> Case {
    let shape = AttentionShape { causal, ..AttentionShape::full(b, t, h, d) };
    let mut random = RandomInputs::new(u64::from(b * 31 + t * 7 + h * 3 + d));
    let qkv = random_qkv(&mut random, (b * t * 3 * h * d) as usize);
    let d_out = random.floats((b * t * h * d) as usize);
    let (out, lse) = forward_reference(&wide(&qkv), &shape);
    let (mut d_qkv, delta) = backward_reference(&wide(&qkv), &wide(&d_out), &shape);
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
        record(&attention, plan, &AttentionShape { b: live.into(), ..shape.clone() }, &variant)
    };
    Case { name: format!("({b}, {t}, {h}, {d}) causal {causal}"), inputs, outputs, record: Box::new(record) }
        .of_variant(&variant)
}
