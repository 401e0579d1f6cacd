//! out = softmax(q kᵀ / √D) v of whole sequences or a window of their queries.

use super::{AttentionShape, LANES, TEAM, attend, choose, part, random_qkv, scale, team, team_tile, tile, wide};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, Plan, View};
use crate::kernels::linear::Variant;
use crate::kernels::{Case, Entry, Expected, Named, RandomInputs, kernel};

static FORWARD: Kernel = kernel!("attention_forward");
static FORWARD_PRIVATE: Kernel = kernel!("attention_forward_private");

pub(in crate::kernels) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "out = softmax(q kᵀ / √D) v", cases: forward_cases };
pub(in crate::kernels) const FORWARD_PRIVATE_ENTRY: Entry = Entry {
    kernel: &FORWARD_PRIVATE,
    summary: "the same for any width of heads, without subgroups",
    cases: forward_private_cases,
};

/// Attention forward, see the module's page.
#[derive(Debug, Clone)]
pub struct AttentionForward {
    /// (B·T, 3C)
    pub qkv: View,
    /// (B·n, C)
    pub out: View,
    /// (B·n, H), natural logarithm of the sum of exponentials, for the backward pass
    pub lse: View,
}

impl AttentionForward {
    /// Records the kernel, by subgroups where that is possible and faster.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for heads wider than 128 or queries outside the positions; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        let variant = choose(plan.gpu(), shape);
        self.record_variant(plan, shape, variant)
    }

    /// Records a given variant.
    ///
    /// # Errors
    /// As [`AttentionForward::record`].
    pub fn record_variant(&self, plan: &mut Plan, shape: &AttentionShape, variant: Variant) -> Result<()> {
        shape.check(&FORWARD)?;
        let (rows, query_rows, width) = (shape.rows(), shape.query_rows(), shape.width());
        let heads = u64::from(shape.h);
        let mut bindings = vec![
            Bind { name: "qkv", view: &self.qkv, elements: rows * 3 * width },
            Bind { name: "out", view: &self.out, elements: query_rows * width },
            Bind { name: "lse", view: &self.lse, elements: query_rows * heads },
        ];
        let (kernel, queries, groups) = match variant {
            Variant::Subgroup(_) => {
                let queries = team_tile(plan.gpu(), 3, shape.d, shape.queries);
                let teams = shape.queries.div_ceil(TEAM * queries) * shape.h;
                (&FORWARD, queries, shape.b.times(teams).groups(LANES / TEAM, 1))
            }
            Variant::Private | Variant::Shared => {
                bindings.push(Bind { name: "qkv4", view: &self.qkv, elements: rows * 3 * width });
                let queries = tile(2, shape.d, shape.queries);
                let lanes = shape.queries.div_ceil(queries) * shape.h;
                (&FORWARD_PRIVATE, queries, shape.b.times(lanes).groups(LANES, 1))
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("QUERIES", queries)],
            bindings: &bindings,
            params: &[
                ("samples", shape.b.most.into()),
                ("tokens", shape.t.into()),
                ("heads", shape.h.into()),
                ("first", shape.first.into()),
                ("queries", shape.queries.into()),
                ("causal", u32::from(shape.causal).into()),
                ("scale", scale(shape.d)),
            ],
            groups,
            cost: Cost {
                flops: 4.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (2 * rows * width + query_rows * (2 * width + heads)) as f64,
            },
            shape: shape.text(),
        })
    }
}

/// out (B·n, C) and lse (B·n, H) in f64.
pub fn forward_reference(qkv: &[f64], shape: &AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let (mut out, mut lse) = (Vec::new(), Vec::new());
    for sample in 0..shape.b.most as usize {
        for position in shape.first as usize..(shape.first + shape.queries) as usize {
            let keys = if shape.causal { position + 1 } else { t };
            for head in 0..h {
                let at = |j: usize, third| part(qkv, sample * t + j, third, head, h, d);
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
    let shapes: [ForwardCase; 9] = [
        ([3, 5, 2, 4], 0, 5),
        ([2, 17, 3, 8], 0, 17),
        ([5, 16, 2, 16], 0, 16),
        ([2, 33, 1, 20], 0, 33),
        ([1, 70, 2, 64], 0, 70),
        ([3, 23, 3, 4], 2, 19),
        ([65, 16, 4, 8], 15, 1),
        ([3, 8, 3, 8], 0, 8),
        ([70_000, 2, 1, 4], 0, 2),
    ];
    match team(gpu, 4) {
        Variant::Private => Vec::new(),
        variant => both_masks(variant, &shapes),
    }
}

fn forward_private_cases(_: &Gpu) -> Vec<Case> {
    let shapes: [ForwardCase; 11] = [
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
        ([70_000, 2, 1, 4], 0, 2),
    ];
    both_masks(Variant::Private, &shapes)
}

fn both_masks(variant: Variant, shapes: &[ForwardCase]) -> Vec<Case> {
    shapes.iter().flat_map(|shape| [true, false].map(|causal| forward_case(variant, *shape, causal))).collect()
}

fn forward_case(variant: Variant, ([b, t, h, d], first, queries): ForwardCase, causal: bool) -> Case {
    let shape = AttentionShape { causal, first, queries, ..AttentionShape::full(b, t, h, d) };
    let mut random = RandomInputs::new(u64::from(b * 31 + t * 7 + h * 3 + d));
    let qkv = random_qkv(&mut random, (b * t * 3 * h * d) as usize);
    let (out, lse) = forward_reference(&wide(&qkv), &shape);
    let name = format!("({b}, {t}, {h}, {d}) queries {first} + {queries} causal {causal}");
    let record = move |plan: &mut Plan, named: &Named| {
        let attention = AttentionForward { qkv: named.view("qkv")?, out: named.view("out")?, lse: named.view("lse")? };
        attention.record_variant(plan, &shape, variant)
    };
    Case {
        name,
        inputs: vec![("qkv", qkv.into())],
        outputs: vec![
            ("out", Expected::Near { values: out, tolerance: 3e-6 }),
            ("lse", Expected::Near { values: lse, tolerance: 3e-6 }),
        ],
        record: Box::new(record),
    }
}
