//! Attention as training steps use it, at a shape (B, H, T, D): causal, forward and forward with backward, one decoding
//! step, suffixes. Benchmarks of linear attention and of suffixes, and races of variants for `ketformer tune`; softmax
//! attention of separate queries, keys and values is benchmarked by [`crate::arena`].

use crate::bench::gate;
use crate::bench::gate::{REFERENCE_WORK, near, wide, words};
use crate::bench::key::RowKey;
use crate::bench::session::{Bench, checked};
use crate::bench::shape::BenchShape;
use crate::error::Result;
use crate::gpu::{Gpu, Plan, View};
use crate::kernels::Comparison;
use crate::kernels::attention::{
    self, AttentionBackward, AttentionForward, AttentionShape, AttentionSuffix, SuffixShape, linear,
};
use crate::model::Attention;

/// Scale of the inputs: scores of a few units, so that the softmax is neither flat nor dominated by one key.
const QKV_SCALE: f32 = 3.0;

/// Reference of whole sequences or windows of their queries: output rows, and one value per row and head.
type Reference = fn(&[f64], &AttentionShape) -> (Vec<f64>, Vec<f64>);
/// Reference of the backward pass: gradient of the rows [q | k | v], and one value per row and head.
type BackwardReference = fn(&[f64], &[f64], &AttentionShape) -> (Vec<f64>, Vec<f64>);
/// Reference of the rows of changed suffixes.
type SuffixReference = fn(&[f64], &[f64], &[u32], &[[u32; 2]], &SuffixShape) -> Vec<f64>;

impl Attention {
    fn forward_reference(self) -> Reference {
        match self {
            Self::Softmax => attention::forward_reference,
            Self::Linear => linear::forward_reference,
        }
    }

    fn backward_reference(self) -> BackwardReference {
        match self {
            Self::Softmax => attention::backward_reference,
            Self::Linear => linear::backward_reference,
        }
    }

    fn suffix_reference(self) -> SuffixReference {
        match self {
            Self::Softmax => attention::suffix_reference,
            Self::Linear => linear::suffix_reference,
        }
    }

    /// States of whole sequences, which attention of a position or a suffix reads. Without states a view of `qkv`,
    /// which is not read as states.
    fn measured_states(self, session: &mut Bench<'_>, qkv: &View, shape: &AttentionShape) -> Result<View> {
        match self {
            Self::Softmax => Ok(qkv.clone()),
            Self::Linear => linear_states(session, qkv, shape),
        }
    }
}

fn linear_states(session: &mut Bench<'_>, qkv: &View, shape: &AttentionShape) -> Result<View> {
    let whole = AttentionShape { query_positions: None, ..shape.clone() };
    let (b, counts) = (u64::from(shape.b.capacity), Counts::of(&whole));
    let states = session.output("states", b * linear::states_of_sample(shape))?;
    let (out, sum) = (session.output("out", counts.out)?, session.output("sum", counts.lse)?);
    let mut plan = Plan::new(session.gpu);
    let forward = linear::LinearForward { qkv: qkv.clone(), states: states.view(), out: out.view(), sum: sum.view() };
    forward.record(&mut plan, &whole)?;
    plan.run()?;
    Ok(states.view())
}

/// Causal attention of a shape, and that of its last position.
fn causal_shapes(shape: &BenchShape) -> Result<[AttentionShape; 2]> {
    let [b, h, t, d] = shape.sizes()?;
    let causal = AttentionShape { b: b.into(), t, h, d, causal: true, ..Default::default() };
    let decode = AttentionShape { query_positions: Some(t - 1..t), ..causal.clone() };
    Ok([causal, decode])
}

/// Measures linear attention of one shape.
pub(super) fn run_linear(session: &mut Bench<'_>, shape: &BenchShape) -> Result<()> {
    let ([causal, decode], linear) = (causal_shapes(shape)?, Attention::Linear);
    forward(session, RowKey::new("linear_attention_forward", "causal", shape), linear, &causal)?;
    backward(session, RowKey::new("linear_attention_forward_backward", "causal", shape), linear, &causal)?;
    forward(session, RowKey::new("linear_attention_forward", "decode", shape), linear, &decode)?;
    if causal.t > 1 { suffix(session, linear, shape) } else { Ok(()) }
}

/// Measures softmax attention of changed suffixes.
pub(super) fn run_suffix(session: &mut Bench<'_>, shape: &BenchShape) -> Result<()> {
    suffix(session, Attention::Softmax, shape)
}

/// Numbers of elements of a shape.
struct Counts {
    qkv: u64,
    out: u64,
    lse: u64,
}

impl Counts {
    fn of(shape: &AttentionShape) -> Self {
        let [b, t, h, d, n] = [shape.b.capacity, shape.t, shape.h, shape.d, shape.queries()].map(u64::from);
        Self { qkv: 3 * b * t * h * d, out: b * n * h * d, lse: b * n * h }
    }
}

/// Tolerance: rounding errors of sequential sums over T keys grow as √T.
fn tolerance(t: u32) -> f64 {
    5e-6 * (1.0 + f64::from(t).sqrt() / 16.0)
}

pub(crate) fn forward(session: &mut Bench<'_>, title: RowKey, kind: Attention, shape: &AttentionShape) -> Result<()> {
    let counts = Counts::of(shape);
    let (values, qkv) = session.input("qkv", counts.qkv, QKV_SCALE)?;
    let (out, lse) = (session.output("out", counts.out)?, session.output("lse", counts.lse)?);
    let states = kind.measured_states(session, &qkv, shape)?;
    session.measure(
        title,
        None,
        |plan| record_forward(plan, kind, [&qkv, &states, &out, &lse], shape),
        |gpu| check_forward(gpu, kind, &values, &out, &lse, shape),
    )
}

fn record_forward(plan: &mut Plan, kind: Attention, views: [&View; 4], shape: &AttentionShape) -> Result<()> {
    let [qkv, states, out, total] = views.map(View::clone);
    match kind {
        Attention::Softmax => AttentionForward { qkv, out, lse: total }.record(plan, shape),
        Attention::Linear => linear::LinearForward { qkv, states, out, sum: total }.record(plan, shape),
    }
}

pub(crate) fn backward(session: &mut Bench<'_>, title: RowKey, kind: Attention, shape: &AttentionShape) -> Result<()> {
    let counts = Counts::of(shape);
    let (values, qkv) = session.input("qkv", counts.qkv, QKV_SCALE)?;
    let (slopes, d_out) = session.input("d_out", counts.out, 1.0)?;
    let (out, lse) = (session.output("out", counts.out)?, session.output("lse", counts.lse)?);
    let (delta, d_qkv) = (session.output("delta", counts.lse)?, session.output("d_qkv", counts.qkv)?);
    let states = kind.measured_states(session, &qkv, shape)?;
    // Operations of the mathematics: variants that recompute scores do not count them twice.
    let mut forward = Plan::new(session.gpu);
    let flops = match kind {
        Attention::Softmax => {
            record_forward(&mut forward, kind, [&qkv, &states, &out, &lse], shape)?;
            Some(3.5 * forward.cost().flops)
        }
        Attention::Linear => None,
    };
    session.measure(
        title,
        flops,
        |plan| {
            record_forward(plan, kind, [&qkv, &states, &out, &lse], shape)?;
            let [qkv, states, out, total] = [&qkv, &states, &out, &lse].map(View::clone);
            let [d_out, delta, d_qkv] = [d_out.view(), delta.view(), d_qkv.view()];
            match kind {
                Attention::Softmax => {
                    AttentionBackward { qkv, out, lse: total, d_out, delta, d_qkv }.record(plan, shape)
                }
                Attention::Linear => {
                    let sum = total;
                    linear::LinearBackward { qkv, out, sum, d_out, delta, states, d_qkv }.record(plan, shape)
                }
            }
        },
        |gpu| {
            let mut measured = check_forward(gpu, kind, &values, &out, &lse, shape)?;
            measured.push(check_backward(gpu, kind, &values, &slopes, &d_qkv, shape)?);
            Ok(measured)
        },
    )
}

/// Extracts head `head` from rows of `thirds` times `h` heads of width `d`, as rows of one head.
fn head_of<T: Copy>(
    values: &[T],
    thirds: usize,
    rows: std::ops::Range<usize>,
    head: usize,
    [h, d]: [usize; 2],
) -> Vec<T> {
    rows.flat_map(|row| (0..thirds).map(move |third| ((row * thirds + third) * h + head) * d))
        .flat_map(|at| values[at..at + d].iter().copied())
        .collect()
}

/// Checks some heads of some samples; for long sequences only some positions.
fn check_forward(
    gpu: &Gpu,
    kind: Attention,
    qkv: &[f32],
    out: &View,
    lse: &View,
    shape: &AttentionShape,
) -> Result<Vec<Comparison>> {
    let [b, t, h, d] = [shape.b.capacity, shape.t, shape.h, shape.d].map(|size| size as usize);
    let [first, n] = [shape.first(), shape.queries()].map(|size| size as usize);
    let counts = Counts::of(shape);
    let (got_out, got_lse) = (words(gpu, out, counts.out)?, words(gpu, lse, counts.lse)?);
    let position = 2 * (t * d) as u64;
    let whole = position * n as u64;
    let (picks, windows) = if whole <= REFERENCE_WORK {
        (checked(b * h, whole), vec![(first, n)])
    } else {
        let positions = checked(n, 2 * position);
        (gate::spread(b * h, 2), positions.into_iter().map(|p| (first + p, 1)).collect())
    };
    let mut got = (Vec::new(), Vec::new());
    let mut expected = (Vec::new(), Vec::new());
    for (sample, head) in picks.iter().map(|pick| (pick / h, pick % h)) {
        let x = wide(&head_of(qkv, 3, sample * t..(sample + 1) * t, head, [h, d]));
        for &(position, count) in &windows {
            let query_positions = Some(position as u32..(position + count) as u32);
            let window = AttentionShape { b: 1.into(), h: 1, query_positions, ..shape.clone() };
            let (out, lse) = kind.forward_reference()(&x, &window);
            expected.0.extend(out);
            expected.1.extend(lse);
            let row = sample * n + position - first;
            got.0.extend(head_of(&got_out, 1, row..row + count, head, [h, d]));
            got.1.extend(head_of(&got_lse, 1, row..row + count, head, [h, 1]));
        }
    }
    let tolerance = tolerance(shape.t);
    Ok(vec![near("out", &got.0, expected.0, tolerance), near("lse", &got.1, expected.1, tolerance)])
}

/// Checks some heads of some samples over the whole sequence.
fn check_backward(
    gpu: &Gpu,
    kind: Attention,
    qkv: &[f32],
    d_out: &[f32],
    d_qkv: &View,
    shape: &AttentionShape,
) -> Result<Comparison> {
    let [b, t, h, d] = [shape.b.capacity, shape.t, shape.h, shape.d].map(|size| size as usize);
    let got_all = words(gpu, d_qkv, Counts::of(shape).qkv)?;
    let one = AttentionShape { b: 1.into(), h: 1, ..shape.clone() };
    let (mut got, mut expected) = (Vec::new(), Vec::new());
    for pick in checked(b * h, 8 * (t * t * d) as u64) {
        let (rows, head) = (pick / h * t..(pick / h + 1) * t, pick % h);
        let x = wide(&head_of(qkv, 3, rows.clone(), head, [h, d]));
        let slopes = wide(&head_of(d_out, 1, rows.clone(), head, [h, d]));
        expected.extend(kind.backward_reference()(&x, &slopes, &one).0);
        got.extend(head_of(&got_all, 3, rows, head, [h, d]));
    }
    Ok(near("d_qkv", &got, expected, 2.0 * tolerance(shape.t)))
}

/// Row table (start, position) of suffixes whose first changed positions are evenly spaced over the sequence. All
/// starts are included if they need at most `most` rows.
fn suffix_table(t: u32, most: u64) -> Vec<[u32; 2]> {
    let mut stride = 1;
    loop {
        let starts = (stride..t).step_by(stride as usize);
        let rows: u64 = starts.clone().map(|start| u64::from(t - start)).sum();
        if rows <= most || 2 * stride >= t {
            return starts.flat_map(|start| (start..t).map(move |position| [start, position])).collect();
        }
        stride *= 2;
    }
}

pub(crate) fn suffix(session: &mut Bench<'_>, kind: Attention, shape: &BenchShape) -> Result<()> {
    let [b, h, t, d] = shape.sizes()?;
    let width = u64::from(h) * u64::from(d);
    let limits = session.gpu.limits();
    let bindable = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let table = suffix_table(t, (8 * u64::from(t)).min(bindable / (12 * width * u64::from(b))));
    let per_item = table.len() as u64;
    let rows = u64::from(b) * per_item;
    let (base_values, base_qkv) = session.input("base_qkv", 3 * u64::from(b) * u64::from(t) * width, QKV_SCALE)?;
    let (values, qkv) = session.input("qkv", 3 * rows * width, QKV_SCALE)?;
    let base = session.gpu.upload("bench.base", &(0..b).collect::<Vec<u32>>())?;
    let row_table = session.gpu.upload("bench.row_table", &table.concat())?;
    let out = session.output("out", rows * width)?;
    let states = kind.measured_states(
        session,
        &base_qkv,
        &AttentionShape { b: b.into(), t, h, d, causal: true, ..Default::default() },
    )?;
    let suffix = SuffixShape { items: b.into(), per_item: per_item as u32, first_item: 0, b, t, period: t, h, d };
    let keys: f64 = table.iter().map(|[_, position]| f64::from(position + 1)).sum();
    let (name, work) = match kind {
        // The number of keys depends on the table, so the kernel's own count is an estimate.
        Attention::Softmax => ("attention_suffix", Some(4.0 * f64::from(b) * keys * width as f64)),
        Attention::Linear => ("linear_attention_suffix", None),
    };
    session.measure(
        RowKey::new(name, format!("{per_item} rows"), shape),
        work,
        |plan| {
            let [base_qkv, states, qkv, out] = [&base_qkv, &states, &qkv, &out].map(View::clone);
            let [base, row_table] = [base.view(), row_table.view()];
            match kind {
                Attention::Softmax => AttentionSuffix { base_qkv, qkv, base, row_table, out }.record(plan, &suffix),
                Attention::Linear => {
                    linear::LinearSuffix { base_qkv, states, qkv, base, row_table, out }.record(plan, &suffix)
                }
            }
        },
        |gpu| {
            let got_all = words(gpu, &out, rows * width)?;
            let one = SuffixShape { items: 1.into(), b: 1, h: 1, ..suffix };
            let [h, d, t, per_item] = [h, d, t, suffix.per_item].map(|size| size as usize);
            let (mut got, mut expected) = (Vec::new(), Vec::new());
            for pick in checked(b as usize * h, 2 * keys as u64 * d as u64) {
                let (item, head) = (pick / h, pick % h);
                let packed = item * per_item..(item + 1) * per_item;
                let base = wide(&head_of(&base_values, 3, item * t..(item + 1) * t, head, [h, d]));
                let x = wide(&head_of(&values, 3, packed.clone(), head, [h, d]));
                expected.extend(kind.suffix_reference()(&base, &x, &[0], &table, &one));
                got.extend(head_of(&got_all, 1, packed, head, [h, d]));
            }
            Ok(vec![near("out", &got, expected, tolerance(suffix.t))])
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_whole_and_fit() {
        assert_eq!(suffix_table(3, 100), vec![[1, 1], [1, 2], [2, 2]]);
        for (t, most) in [(2, 1), (16, 128), (64, 512), (256, 300), (100, 100), (257, 0)] {
            let table = suffix_table(t, most);
            assert!(
                !table.is_empty() && (table.len() as u64 <= most || table.len() as u32 <= t),
                "{t}: {}",
                table.len()
            );
            // Each suffix runs from its start to the last position.
            for pair in table.windows(2) {
                let follows = pair[1] == [pair[0][0], pair[0][1] + 1];
                assert!(follows || pair[0][1] == t - 1 && pair[1][0] == pair[1][1], "{pair:?}");
            }
        }
    }

    #[test]
    fn a_head_is_cut_out_of_its_rows() {
        // Two rows of one third with two heads of width 2.
        let values: Vec<u32> = (0..8).collect();
        assert_eq!(head_of(&values, 1, 0..2, 1, [2, 2]), vec![2, 3, 6, 7]);
        // One row of three thirds with one head of width 2 is returned unchanged.
        assert_eq!(head_of(&values, 3, 0..1, 0, [1, 2]), values[..6]);
    }
}
