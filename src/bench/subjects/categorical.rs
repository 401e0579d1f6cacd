//! Benchmarks of the categorical head at a shape (rows, V): log-probabilities, sampling, gradient of the logits.

use crate::bench::gate::{near, rows_of, words};
use crate::bench::key::RowKey;
use crate::bench::session::{Bench, checked};
use crate::bench::shape::BenchShape;
use crate::error::Result;
use crate::kernels::Comparison;
use crate::kernels::nn::cases::embed::random_rows;
use crate::kernels::nn::categorical::{
    CategoricalBackward, CategoricalForward, CategoricalSample, CategoricalSampleShape, CategoricalShape,
    forward_reference, log_sum_exp, philox,
};

/// Seed (2 words), step number and learning rate of a training step.
const STEP: [u32; 4] = [0x2545_f491, 0x4f6c_dd1d, 17, 0];

/// Measures all rows of one shape.
pub(super) fn run(session: &mut Bench<'_>, shape: &BenchShape) -> Result<()> {
    let [rows, outcomes] = shape.sizes()?;
    let head = CategoricalShape { outcomes, patches: 1, excitations: None };
    let (count, v) = (u64::from(rows), outcomes as usize);
    let elements = count * u64::from(outcomes);
    let (logits, logits_buffer) = session.input("logits", elements, 3.0)?;
    let row_meta = random_rows(&mut session.random, rows as usize, 4, outcomes.ilog2());
    let rows_buffer = session.gpu.upload("bench.rows", &row_meta)?;
    let some = checked(rows as usize, 8 * u64::from(outcomes));
    let (some_logits, some_rows) = (rows_of(&logits, v, &some), rows_of(&row_meta, 4, &some));
    let (expected_log_p, expected_lse) = forward_reference(&some_rows, &some_logits, &head);

    let (log_p, lse) = (session.output("log_p", count)?, session.output("lse", count)?);
    let forward = CategoricalForward {
        rows: rows_buffer.view(),
        logits: logits_buffer.view(),
        log_p: log_p.view(),
        lse: lse.view(),
    };
    session.measure(
        RowKey::new("categorical_forward", "", shape),
        None,
        |plan| forward.record(plan, &rows.into(), &head),
        |gpu| {
            let (got_p, got_lse) = (words(gpu, &log_p, count)?, words(gpu, &lse, count)?);
            let (got_p, got_lse) = (rows_of(&got_p, 1, &some), rows_of(&got_lse, 1, &some));
            let tolerance = 5e-6;
            Ok(vec![
                near("log_p", &got_p, expected_log_p.clone(), tolerance),
                near("lse", &got_lse, expected_lse.clone(), tolerance),
            ])
        },
    )?;

    let step = session.gpu.upload("bench.step", &STEP)?;
    let (tokens, drawn_log_p) = (session.output("tokens", count)?, session.output("drawn_log_p", count)?);
    let next_rows = session.output("next_rows", 4 * count)?;
    let sample = CategoricalSample {
        logits: logits_buffer.view(),
        step: step.view(),
        tokens: tokens.view(),
        log_p: drawn_log_p.view(),
        rows: next_rows.view(),
    };
    let form = CategoricalSampleShape { samples: rows, head, patch: 0, first_sample: 0, given: false };
    session.measure(
        RowKey::new("categorical_sample", "", shape),
        None,
        |plan| sample.record(plan, &form),
        |gpu| {
            let (got_tokens, got_log_p) = (words(gpu, &tokens, count)?, words(gpu, &drawn_log_p, count)?);
            let mut log_p = Vec::new();
            let mut outside = 0f64;
            for row in &some {
                let (row_logits, token) = (&logits[row * v..(row + 1) * v], got_tokens[*row] as usize);
                let (slip, probability) = drawn(row_logits, token, uniform(*row as u32));
                outside = outside.max(slip);
                log_p.push(probability);
            }
            let tokens = Comparison { output: "tokens", error: outside, tolerance: 1e-5 };
            Ok(vec![tokens, near("log_p", &rows_of(&got_log_p, 1, &some), log_p, 5e-6)])
        },
    )?;

    let (slopes, d_log_p) = session.input("d_log_p", count, 1.0)?;
    let all_lse: Vec<f32> = logits.chunks(v).map(|row| log_sum_exp(row) as f32).collect();
    let lse = session.gpu.upload("bench.lse", &all_lse)?;
    let backward = CategoricalBackward {
        rows: rows_buffer.view(),
        lse: lse.view(),
        d_log_p: d_log_p.view(),
        logits: logits_buffer.view(),
    };
    session.measure(
        RowKey::new("categorical_backward", "", shape),
        None,
        |plan| backward.record(plan, &rows.into(), &head, 0),
        |gpu| {
            let entry = |row: usize, outcome: usize| {
                let p = (f64::from(logits[row * v + outcome]) - f64::from(all_lse[row])).exp();
                let target = f64::from(u8::from(row_meta[4 * row + 2] as usize == outcome));
                f64::from(slopes[row]) * (target - p)
            };
            let expected = some.iter().flat_map(|row| (0..v).map(move |outcome| (*row, outcome)));
            let expected = expected.map(|(row, outcome)| entry(row, outcome)).collect();
            let got = rows_of(&words(gpu, &logits_buffer, elements)?, v, &some);
            Ok(vec![near("logits", &got, expected, 5e-6)])
        },
    )
}

/// Uniform random number of sample `sample` at the first patch.
fn uniform(sample: u32) -> f64 {
    let word = philox([sample, 0, STEP[2], 0], [STEP[0], STEP[1]])[0];
    f64::from(word >> 8) / f64::from(1 << 24)
}

/// Distance of `u` from the subinterval of [0, 1) of outcome `token`, and the log-probability of the outcome. A draw at
/// the boundary of two subintervals may go to either because of rounding.
fn drawn(logits: &[f32], token: usize, u: f64) -> (f64, f64) {
    let Some(logit) = logits.get(token) else { return (f64::INFINITY, f64::NAN) };
    let lse = log_sum_exp(logits);
    let before: f64 = logits[..token].iter().map(|l| (f64::from(*l) - lse).exp()).sum();
    let log_p = f64::from(*logit) - lse;
    ((before - u).max(u - before - log_p.exp()).max(0.0), log_p)
}

#[cfg(test)]
mod tests {
    use super::drawn;

    #[test]
    fn a_draw_belongs_to_its_part_of_the_unit_interval() {
        let even = [0.0f32; 4];
        assert_eq!(drawn(&even, 1, 0.3).0, 0.0);
        assert!((drawn(&even, 1, 0.6).0 - 0.1).abs() < 1e-12 && (drawn(&even, 3, 0.6).0 - 0.15).abs() < 1e-12);
        assert!(drawn(&even, 4, 0.6).0.is_infinite());
        assert!((drawn(&even, 2, 0.6).1 - 0.25f64.ln()).abs() < 1e-12);
    }
}
