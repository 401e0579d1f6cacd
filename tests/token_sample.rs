//! Sampling of tokens on this machine's adapter: frequencies, independence of the batch, rows without a largest logit,
//! and settings out of range.

#[path = "wave_functions/chi_squared.rs"]
mod chi_squared;

use ketformer::gpu::{Gpu, Plan};
use ketformer::kernels::RandomInputs;
use ketformer::kernels::token::sample::{TokenSample, TokenSampleShape, probabilities_reference};
use ketformer::{Error, ErrorKind, Result};

const ROWS: u32 = 20_000;

/// `rows` draws from all `tokens` tokens at temperature 1.
fn plain(rows: u32, tokens: u32) -> TokenSampleShape {
    TokenSampleShape {
        rows,
        columns: tokens.next_multiple_of(4),
        tokens,
        first_row: 0,
        position: 3,
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        greedy: false,
    }
}

/// Tokens drawn in step `step` and their log P, from rows of V logits.
fn drawn(gpu: &Gpu, logits: &[f32], shape: &TokenSampleShape, step: u32) -> Result<(Vec<u32>, Vec<f32>)> {
    let (v, rows) = (shape.tokens as usize, shape.rows as usize);
    let padded: Vec<f32> = logits
        .chunks(v)
        .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(9.0, shape.columns as usize - v)))
        .collect();
    let logits = gpu.upload("logits", &padded)?;
    let step = gpu.upload("step", &[11u32, 12, step, 0])?;
    let (tokens, log_p) = (gpu.buffer("tokens", rows as u64)?, gpu.buffer("log_p", rows as u64)?);
    let mut plan = Plan::new(gpu);
    let sample = TokenSample { logits: logits.view(), step: step.view(), tokens: tokens.view(), log_p: log_p.view() };
    sample.record(&mut plan, shape)?;
    plan.run()?;
    Ok((tokens.read(gpu, rows)?, log_p.read(gpu, rows)?))
}

/// Random logits of a row.
fn row(tokens: u32) -> Vec<f32> {
    RandomInputs::new(u64::from(tokens)).floats(tokens as usize).iter().map(|x| 3.0 * x).collect()
}

#[test]
fn frequencies_are_those_of_the_truncated_distribution() {
    let gpu = Gpu::new().unwrap();
    let tied: Vec<f32> = row(65).iter().map(|x| x.round()).collect();
    let cases = [
        (row(3), plain(ROWS, 3)),
        (row(65), plain(ROWS, 65)),
        (row(65), TokenSampleShape { temperature: 0.5, top_k: 7, ..plain(ROWS, 65) }),
        (row(65), TokenSampleShape { temperature: 10.0, top_p: 0.9, ..plain(ROWS, 65) }),
        (row(257), TokenSampleShape { temperature: 1.5, top_k: 40, top_p: 0.8, ..plain(ROWS, 257) }),
        (row(3000), TokenSampleShape { temperature: 0.3, top_p: 0.5, ..plain(2000, 3000) }),
        (tied.clone(), TokenSampleShape { top_k: 3, ..plain(ROWS, 65) }),
        (tied, TokenSampleShape { top_p: 0.4, ..plain(ROWS, 65) }),
    ];
    for (row, shape) in cases {
        let p = probabilities_reference(&row, &shape);
        let (tokens, log_p) = drawn(&gpu, &row.repeat(shape.rows as usize), &shape, 1).unwrap();
        let mut counts = vec![0; p.len()];
        for (token, log_p) in tokens.iter().zip(log_p) {
            counts[*token as usize] += 1;
            assert!((f64::from(log_p) - p[*token as usize].ln()).abs() < 1e-5, "{shape:?} {token}: {log_p}");
        }
        assert!(p.iter().zip(&counts).all(|(p, count)| *p > 0.0 || *count == 0), "{shape:?}: an excluded token");
        let chance = chi_squared::chance(&counts, &p);
        assert!(chance > 1e-3, "{shape:?}: chance {chance}");
    }
}

#[test]
fn a_draw_depends_on_sequence_position_and_step_and_on_no_other_row() {
    let gpu = Gpu::new().unwrap();
    let shape = TokenSampleShape { top_p: 0.95, ..plain(50, 65) };
    let logits = row(50 * 65);
    let (whole, whole_log_p) = drawn(&gpu, &logits, &shape, 1).unwrap();
    let part = TokenSampleShape { rows: 7, first_row: 20, ..shape };
    let (tokens, log_p) = drawn(&gpu, &logits[20 * 65..27 * 65], &part, 1).unwrap();
    assert_eq!((&tokens[..], &log_p[..]), (&whole[20..27], &whole_log_p[20..27]));
    for (other, step) in [(shape, 2), (TokenSampleShape { position: 4, ..shape }, 1)] {
        assert_ne!(drawn(&gpu, &logits, &other, step).unwrap().0, whole);
    }
}

#[test]
fn masked_tokens_are_never_drawn_and_a_row_without_a_largest_logit_has_no_log_p() {
    let gpu = Gpu::new().unwrap();
    let mut masked = [f32::NEG_INFINITY; 5];
    (masked[1], masked[3]) = (0.5, -1.0);
    let (tokens, log_p) = drawn(&gpu, &masked.repeat(500), &plain(500, 5), 1).unwrap();
    assert!(tokens.iter().all(|token| [1, 3].contains(token)) && tokens.contains(&1) && tokens.contains(&3));
    assert!(log_p.iter().all(|log_p| log_p.is_finite()));
    let rows =
        [[0.0, f32::NAN, 1.0], [-f32::NAN, 0.0, 1.0], [f32::NAN; 3], [f32::NEG_INFINITY; 3], [0.0, 1.0, f32::INFINITY]];
    for greedy in [false, true] {
        let shape = TokenSampleShape { top_k: 2, top_p: 0.5, greedy, ..plain(5, 3) };
        let (tokens, log_p) = drawn(&gpu, &rows.concat(), &shape, 1).unwrap();
        assert!(tokens.iter().all(|token| *token < 3), "{tokens:?}");
        assert!(log_p.iter().all(|log_p| log_p.is_nan()), "{log_p:?}");
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let gpu = Gpu::new().unwrap();
    let refusal = |shape: TokenSampleShape| -> Error { drawn(&gpu, &row(8), &shape, 1).unwrap_err() };
    for temperature in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-45] {
        let error = refusal(TokenSampleShape { temperature, ..plain(1, 8) });
        assert_eq!(error.kind(), ErrorKind::Settings);
        assert!(error.to_string().contains("expected a finite temperature above 0"), "{error}");
    }
    for top_p in [0.0, -0.5, 1.5, f32::NAN] {
        let error = refusal(TokenSampleShape { top_p, ..plain(1, 8) });
        assert_eq!(error.kind(), ErrorKind::Settings);
        assert!(error.to_string().contains("expected top_p above 0 and at most 1"), "{error}");
    }
    for (tokens, columns) in [(8, 9), (8, 4), (0, 8)] {
        let shape = TokenSampleShape { tokens, columns, ..plain(1, 8) };
        let sample = |view: &ketformer::gpu::Buffer| TokenSample {
            logits: view.view(),
            step: view.view(),
            tokens: view.view(),
            log_p: view.view(),
        };
        let buffer = gpu.buffer("any", 16).unwrap();
        let error = sample(&buffer).record(&mut Plan::new(&gpu), &shape).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape, "{error}");
    }
}
