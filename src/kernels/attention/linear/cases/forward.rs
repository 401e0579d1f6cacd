//! Test cases of [`crate::kernels::attention::linear::forward`].

use crate::gpu::{DType, Gpu, Plan};
use crate::kernels::attention::cases::random_qkv;
use crate::kernels::attention::linear::cases::TILES;
use crate::kernels::attention::linear::cases::states::tolerance;
use crate::kernels::attention::linear::forward::{FORWARD, LinearForward, forward_reference};
use crate::kernels::attention::linear::states;
use crate::kernels::attention::linear::{AttentionShape, slots};
use crate::kernels::case::wide;
use crate::kernels::nn::cases::cast_f16::{has_half, stored};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "out = Sᵀ φ(q) / z · φ(q), linear attention", cases };

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
    let shape = AttentionShape {
        b: b.into(),
        t,
        h,
        d,
        causal: true,
        query_positions: Some(first..first + queries),
        ..Default::default()
    };
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
