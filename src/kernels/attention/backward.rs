//! Gradients of attention with respect to its queries, keys and values.

use std::ops::Range;

use super::{
    AttentionShape, LANES, TEAM, choose, forward_reference, narrow, part, random_qkv, scale, team, team_tile, tile,
    wide, window,
};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, Param, Plan, View};
use crate::kernels::linear::Variant;
use crate::kernels::{Case, Entry, Expected, Named, RandomInputs, kernel};

static BACKWARD_QUERY: Kernel = kernel!("attention_backward_query");
static BACKWARD_QUERY_PRIVATE: Kernel = kernel!("attention_backward_query_private");
static BACKWARD_KEY: Kernel = kernel!("attention_backward_key");
static BACKWARD_KEY_PRIVATE: Kernel = kernel!("attention_backward_key_private");
static BACKWARD_SHORT: Kernel = kernel!("attention_backward_short");

pub(in crate::kernels) const BACKWARD_QUERY_ENTRY: Entry =
    Entry { kernel: &BACKWARD_QUERY, summary: "d_q = p ∘ (d_out vᵀ − δ) k / √D", cases: backward_query_cases };
pub(in crate::kernels) const BACKWARD_QUERY_PRIVATE_ENTRY: Entry = Entry {
    kernel: &BACKWARD_QUERY_PRIVATE,
    summary: "the same for any width of heads, without subgroups",
    cases: backward_query_private_cases,
};
pub(in crate::kernels) const BACKWARD_KEY_ENTRY: Entry = Entry {
    kernel: &BACKWARD_KEY,
    summary: "d_k = (p ∘ (d_out vᵀ − δ))ᵀ q / √D, d_v = pᵀ d_out",
    cases: backward_key_cases,
};
pub(in crate::kernels) const BACKWARD_KEY_PRIVATE_ENTRY: Entry = Entry {
    kernel: &BACKWARD_KEY_PRIVATE,
    summary: "the same for any width of heads, without subgroups",
    cases: backward_key_private_cases,
};
pub(in crate::kernels) const BACKWARD_SHORT_ENTRY: Entry = Entry {
    kernel: &BACKWARD_SHORT,
    summary: "d_q, d_k and d_v in one pass, for short sequences",
    cases: backward_short_cases,
};

/// Positions up to which one team goes through a whole sequence in a backward pass; longer ones are shared among teams.
const SHORT: u32 = 256;

/// Whether the backward pass is one kernel: for heads whose gradients fit into registers, where teams pay off.
fn is_short(gpu: &Gpu, shape: &AttentionShape) -> bool {
    (TEAM..=SHORT).contains(&shape.t) && shape.d <= 32 && matches!(choose(gpu, shape), Variant::Subgroup(_))
}

/// Attention backward, see the module's page: `attention_backward_short`, or for long sequences and wide heads
/// `attention_backward_query` and then `attention_backward_key`.
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

impl AttentionBackward {
    /// Records the one kernel for short sequences or both others, by subgroups where that is possible and faster.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for heads wider than 128 or a shape whose queries are not all positions; as
    /// [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        if is_short(plan.gpu(), shape) {
            return self.record_short(plan, shape);
        }
        let variant = choose(plan.gpu(), shape);
        self.record_variant(plan, shape, variant)
    }

    /// Records a given variant of the two kernels that go over sequences of any length.
    ///
    /// # Errors
    /// As [`AttentionBackward::record`].
    pub fn record_variant(&self, plan: &mut Plan, shape: &AttentionShape, variant: Variant) -> Result<()> {
        self.record_query(plan, shape, variant)?;
        self.record_key(plan, shape, variant)
    }

    fn params(shape: &AttentionShape) -> [(&'static str, Param); 5] {
        [
            ("samples", shape.b.most.into()),
            ("tokens", shape.t.into()),
            ("heads", shape.h.into()),
            ("causal", u32::from(shape.causal).into()),
            ("scale", scale(shape.d)),
        ]
    }

    fn record_short(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        shape.check_whole(&BACKWARD_SHORT)?;
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        // Two keys to a lane halve what is loaded, and are half idle in the first block of a causal sequence.
        let keys = if plan.gpu().is_software() && shape.t > 2 * TEAM { 2 } else { 1 };
        plan.launch(&Launch {
            kernel: &BACKWARD_SHORT,
            spec: &[("HEAD_DIM", shape.d), ("KEYS", keys)],
            bindings: &[
                Bind { name: "qkv", view: &self.qkv, elements: rows * 3 * width },
                Bind { name: "out", view: &self.out, elements: rows * width },
                Bind { name: "lse", view: &self.lse, elements: rows * heads },
                Bind { name: "d_out", view: &self.d_out, elements: rows * width },
                Bind { name: "d_qkv", view: &self.d_qkv, elements: rows * 3 * width },
                Bind { name: "delta", view: &self.delta, elements: rows * heads },
            ],
            params: &Self::params(shape),
            groups: shape.b.times(shape.h).groups(LANES / TEAM, 1),
            cost: Cost {
                flops: 10.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (8 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }

    fn record_query(&self, plan: &mut Plan, shape: &AttentionShape, variant: Variant) -> Result<()> {
        shape.check_whole(&BACKWARD_QUERY)?;
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        let mut bindings = vec![
            Bind { name: "qkv", view: &self.qkv, elements: rows * 3 * width },
            Bind { name: "out", view: &self.out, elements: rows * width },
            Bind { name: "lse", view: &self.lse, elements: rows * heads },
            Bind { name: "d_out", view: &self.d_out, elements: rows * width },
            Bind { name: "d_qkv", view: &self.d_qkv, elements: rows * 3 * width },
            Bind { name: "delta", view: &self.delta, elements: rows * heads },
        ];
        let (kernel, queries, groups) = match variant {
            Variant::Subgroup(_) => {
                let queries = team_tile(plan.gpu(), 5, shape.d, shape.t);
                let teams = shape.t.div_ceil(TEAM * queries) * shape.h;
                (&BACKWARD_QUERY, queries, shape.b.times(teams).groups(LANES / TEAM, 1))
            }
            Variant::Private | Variant::Shared => {
                bindings.push(Bind { name: "qkv4", view: &self.qkv, elements: rows * 3 * width });
                let queries = tile(3, shape.d, shape.t);
                let lanes = shape.t.div_ceil(queries) * shape.h;
                (&BACKWARD_QUERY_PRIVATE, queries, shape.b.times(lanes).groups(LANES, 1))
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("QUERIES", queries)],
            bindings: &bindings,
            params: &Self::params(shape),
            groups,
            cost: Cost {
                flops: 6.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (6 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }

    fn record_key(&self, plan: &mut Plan, shape: &AttentionShape, variant: Variant) -> Result<()> {
        shape.check_whole(&BACKWARD_KEY)?;
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        let mut bindings = vec![
            Bind { name: "qkv", view: &self.qkv, elements: rows * 3 * width },
            Bind { name: "d_out", view: &self.d_out, elements: rows * width },
            Bind { name: "lse", view: &self.lse, elements: rows * heads },
            Bind { name: "delta", view: &self.delta, elements: rows * heads },
            Bind { name: "d_qkv", view: &self.d_qkv, elements: rows * 3 * width },
        ];
        let (kernel, keys, groups) = match variant {
            Variant::Subgroup(_) => {
                let keys = team_tile(plan.gpu(), 6, shape.d, shape.t);
                let teams = shape.t.div_ceil(TEAM * keys) * shape.h;
                (&BACKWARD_KEY, keys, shape.b.times(teams).groups(LANES / TEAM, 1))
            }
            Variant::Private | Variant::Shared => {
                bindings.push(Bind { name: "qkv4", view: &self.qkv, elements: rows * 3 * width });
                bindings.push(Bind { name: "d_out4", view: &self.d_out, elements: rows * width });
                let keys = tile(4, shape.d, shape.t);
                let lanes = shape.t.div_ceil(keys) * shape.h;
                (&BACKWARD_KEY_PRIVATE, keys, shape.b.times(lanes).groups(LANES, 1))
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("KEYS", keys)],
            bindings: &bindings,
            params: &Self::params(shape),
            groups,
            cost: Cost {
                flops: 8.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (6 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }
}

/// d_qkv (B·T, 3C) and delta (B·T, H) in f64.
pub fn backward_reference(qkv: &[f64], d_out: &[f64], shape: &AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let (out, lse) = forward_reference(qkv, shape);
    let scale = 1.0 / (d as f64).sqrt();
    let mut d_qkv = vec![0.0; qkv.len()];
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let head_of = |values: &'_ [f64], row: usize, head: usize| values[(row * h + head) * d..][..d].to_vec();
    let mut delta = Vec::new();
    for row in 0..shape.b.most as usize * t {
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

const TEAM_SHAPES: [[u32; 4]; 6] =
    [[1, 1, 1, 4], [2, 17, 3, 8], [4, 16, 2, 16], [1, 67, 2, 20], [3, 8, 3, 8], [66_000, 1, 1, 4]];
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
const PRIVATE_SHAPES: [[u32; 4]; 6] =
    [[1, 1, 1, 1], [3, 5, 2, 4], [2, 17, 3, 8], [1, 37, 2, 20], [2, 13, 5, 3], [66_000, 1, 1, 4]];

fn backward_query_cases(gpu: &Gpu) -> Vec<Case> {
    team_cases(gpu, &TEAM_SHAPES, AttentionBackward::record_query, 0..1)
}

fn backward_query_private_cases(_: &Gpu) -> Vec<Case> {
    backward_cases(&PRIVATE_SHAPES, Variant::Private, AttentionBackward::record_query, 0..1)
}

fn backward_key_cases(gpu: &Gpu) -> Vec<Case> {
    team_cases(gpu, &TEAM_SHAPES, AttentionBackward::record_key, 1..3)
}

fn backward_key_private_cases(_: &Gpu) -> Vec<Case> {
    backward_cases(&PRIVATE_SHAPES, Variant::Private, AttentionBackward::record_key, 1..3)
}

fn backward_short_cases(gpu: &Gpu) -> Vec<Case> {
    team_cases(gpu, &SHORT_SHAPES, |attention, plan, shape, _| attention.record_short(plan, shape), 0..3)
}

type RecordBackward = fn(&AttentionBackward, &mut Plan, &AttentionShape, Variant) -> Result<()>;

fn team_cases(gpu: &Gpu, shapes: &[[u32; 4]], record: RecordBackward, thirds: Range<usize>) -> Vec<Case> {
    match team(gpu, 4) {
        Variant::Private => Vec::new(),
        variant => backward_cases(shapes, variant, record, thirds),
    }
}

fn backward_cases(shapes: &[[u32; 4]], variant: Variant, record: RecordBackward, thirds: Range<usize>) -> Vec<Case> {
    let both =
        |shape: &[u32; 4]| [true, false].map(|causal| backward_case(*shape, causal, variant, record, thirds.clone()));
    shapes.iter().flat_map(both).collect()
}

/// A kernel on a window of samples that the GPU counts. It makes some thirds of the rows of d_qkv and must leave the
/// others as they were; the one that makes the first also makes delta.
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
    let near = |values| Expected::Near { values, tolerance: 1e-5 };
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
    let record = move |plan: &mut Plan, named: &Named| {
        let attention = AttentionBackward {
            qkv: named.view("qkv")?,
            out: named.view("out")?,
            lse: named.view("lse")?,
            d_out: named.view("d_out")?,
            delta: named.view("delta")?,
            d_qkv: named.view("d_qkv")?,
        };
        let live = window(named.view("live")?, b);
        plan.resolve_grids(&live.live)?;
        record(&attention, plan, &AttentionShape { b: live.into(), ..shape.clone() }, variant)
    };
    Case { name: format!("({b}, {t}, {h}, {d}) causal {causal}"), inputs, outputs, record: Box::new(record) }
}
