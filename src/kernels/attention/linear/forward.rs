//! Linear attention forward pass, out = Sᵀ φ(q) / (z · φ(q)), for all queries of a sequence or a window of them.

use super::states::{self, tolerance};
use super::{AttentionShape, TILES, check, chunk, dot, features, lanes, rows_of_lane, slots};
use crate::error::Result;
use crate::gpu::{Cost, DType, Gpu, Kernel, Launch, Plan, View, bind};
use crate::kernels::attention::{part, random_qkv, wide};
use crate::kernels::nn::cast_f16::{has_half, stored};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static FORWARD: Kernel = kernel!("attention", "linear_attention_forward");

pub(crate) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "out = Sᵀ φ(q) / z · φ(q), linear attention", cases };

record! {
    /// Linear attention forward pass; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct LinearForward {
        /// (B·T, 3C), f32 or f16
        pub qkv: View,
        /// [`super::states_of_sample`] floats per sample: the states after all chunks but the last
        pub states: View,
        /// (B·n, C)
        pub out: View,
        /// (B·n, H): denominators, for the backward pass
        pub sum: View,
    }
}

impl LinearForward {
    /// Records the states after the chunks that end in the window of queries, then the queries. Windows that share a
    /// buffer of states must follow each other, starting at position 0.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for heads wider than 128, queries outside the positions, a shape that is not causal,
    /// or more than [`super::most_positions`] positions; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        check(&FORWARD, shape)?;
        let chunk = chunk(shape.d);
        let first = shape.first / chunk;
        let end = ((shape.first + shape.queries) / chunk).min(slots(shape.t, shape.d));
        if first < end {
            states::record(plan, [&self.qkv, &self.states], shape, [first, end - first])?;
        }
        let queries = rows_of_lane(plan.gpu(), 2, shape.d, shape.queries);
        self.record_queries(plan, shape, queries)
    }

    fn record_queries(&self, plan: &mut Plan, shape: &AttentionShape, queries: u32) -> Result<()> {
        let (rows, query_rows, width) = (shape.rows(), shape.query_rows(), shape.width());
        let heads = u64::from(shape.h);
        let tiles = (shape.first + shape.queries - 1) / queries - shape.first / queries + 1;
        let (d, window) = (f64::from(shape.d), f64::from(chunk(shape.d).min(shape.t)));
        let state = if shape.t > chunk(shape.d) { d + 1.0 } else { 0.0 };
        plan.launch(&Launch {
            kernel: &FORWARD,
            spec: &[("HEAD_DIM", shape.d), ("QUERIES", queries), ("CACHE_BITS", self.qkv.storage().bits())],
            bindings: &bind!(
                self.qkv[rows * 3 * width],
                qkv4 = self.qkv[rows * 3 * width],
                self.states[states::elements(shape)],
                self.out[query_rows * width],
                self.sum[query_rows * heads]
            ),
            params: &[
                ("samples", shape.b.capacity.into()),
                ("tokens", shape.t.into()),
                ("heads", shape.h.into()),
                ("chunk", chunk(shape.d).into()),
                ("first", shape.first.into()),
                ("queries", shape.queries.into()),
                ("parts", shape.d.div_ceil(4).into()),
            ],
            groups: lanes(&shape.b, tiles * shape.h),
            cost: Cost {
                flops: (query_rows * width) as f64 * (2.0 * state + 2.0 * (window + 1.0)),
                bytes: (self.qkv.storage().bytes() * 3 * query_rows * width
                    + 4 * (query_rows * (width + heads) + states::elements(shape))) as f64,
            },
            shape: shape.text(),
        })
    }
}

/// Reference in f64: out (B·n, C) and its denominators (B·n, H).
pub fn forward_reference(qkv: &[f64], shape: &AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let mapped = features(qkv);
    let (mut out, mut sum) = (Vec::new(), Vec::new());
    for sample in 0..shape.b.capacity as usize {
        for position in shape.first as usize..(shape.first + shape.queries) as usize {
            for head in 0..h {
                let at = |values, j: usize, third| part(values, sample * t + j, third, head, h, d);
                let keys = (0..=position).map(|j| (at(&mapped, j, 1), at(qkv, j, 2)));
                let (row, total) = attend(at(&mapped, position, 0), keys);
                out.extend(row);
                sum.push(total);
            }
        }
    }
    (out, sum)
}

/// Reference in f64 of one φ(q) over φ(k) and v: output and denominator.
pub(super) fn attend<'a>(q: &[f64], keys: impl Iterator<Item = (&'a [f64], &'a [f64])>) -> (Vec<f64>, f64) {
    let (mut out, mut sum) = (vec![0.0; q.len()], 0.0);
    for (k, v) in keys {
        let weight = dot(q, k);
        sum += weight;
        out.iter_mut().zip(v).for_each(|(out, v)| *out += weight * v);
    }
    out.iter_mut().for_each(|out| *out /= sum);
    (out, sum)
}

/// (B, T, H, D), first query and number of queries.
type ForwardCase = ([u32; 4], u32, u32);

fn cases(gpu: &Gpu) -> Vec<Case> {
    let shapes: [ForwardCase; 14] = [
        ([1, 1, 1, 1], 0, 1),
        ([3, 5, 2, 4], 0, 5),
        ([2, 17, 3, 8], 0, 17),
        ([5, 16, 2, 16], 0, 16),
        ([2, 33, 2, 16], 0, 33),
        ([1, 70, 2, 20], 0, 70),
        ([1, 150, 1, 66], 0, 150),
        ([2, 13, 5, 3], 0, 13),
        ([3, 7, 3, 6], 2, 3),
        ([65, 16, 4, 8], 15, 1),
        ([3, 16, 4, 8], 8, 1),
        ([3, 16, 4, 8], 0, 1),
        ([1, 5000, 1, 4], 4978, 22),
        ([70_000, 2, 1, 4], 0, 2),
    ];
    let storages = [DType::F32, DType::F16].into_iter().filter(|s| *s == DType::F32 || has_half(gpu));
    let of_storage = |storage| {
        shapes.into_iter().enumerate().flat_map(move |(i, shape)| {
            let [b, t, _, d] = shape.0;
            // Large shapes run with one number of queries each, cycling through them.
            let all = b * t * d < 20_000 && d <= 16;
            let tiles: Vec<u32> = if all { TILES.into() } else { vec![if d > 16 { 1 } else { TILES[i % 3] }] };
            tiles.into_iter().map(move |queries| case(shape, queries, storage))
        })
    };
    storages.flat_map(of_storage).collect()
}

/// Case of one window of queries; the states of all chunks are recorded before it.
fn case(([b, t, h, d], first, queries): ForwardCase, tile: u32, storage: DType) -> Case {
    let shape = AttentionShape { first, queries, ..AttentionShape::causal(b, t, h, d) };
    let mut random = RandomInputs::new(u64::from(b * 31 + t * 7 + h * 3 + d));
    let (qkv, stored_qkv) = stored(random_qkv(&mut random, (b * t * 3 * h * d) as usize), storage);
    let (out, sum) = forward_reference(&wide(&qkv), &shape);
    let half = if storage == DType::F16 { " f16 qkv" } else { "" };
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let states = plan.gpu().buffer("states", states::elements(&shape))?.view();
        let attention = LinearForward::from_case(&buffers.with("states", &states))?;
        let slots = slots(t, d);
        if slots > 0 {
            states::record(plan, [&attention.qkv, &states], &shape, [0, slots])?;
        }
        attention.record_queries(plan, &shape, tile)
    };
    Case {
        name: format!("({b}, {t}, {h}, {d}) queries {first} + {queries}, {tile} to a lane{half}"),
        inputs: vec![("qkv", stored_qkv)],
        outputs: vec![
            ("out", Expected::Near { values: out, tolerance: tolerance(t) }),
            ("sum", Expected::Near { values: sum, tolerance: tolerance(t) }),
        ],
        record: Box::new(record),
    }
}
