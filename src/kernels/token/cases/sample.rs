//! Test cases of [`crate::kernels::token::sample`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::token::sample::{SAMPLE, TokenSample, TokenSampleShape, sample_reference};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const ENTRY: Entry =
    Entry { kernel: &SAMPLE, summary: "samples a token by temperature, top-k and top-p", cases };

/// Words of the step.
const STEP: [u32; 4] = [0x1234_5678, 0x9abc_def0, 17, 0];

/// Smallest distance of a sum of probabilities from a threshold, which the errors of f32 must not cross.
const DISTANCE: f64 = 4e-6;

/// All tokens, at temperature 1.
const PLAIN: TokenSampleShape = TokenSampleShape {
    rows: 5,
    columns: 0,
    tokens: 65,
    first_row: 1000,
    position: 7,
    temperature: 1.0,
    top_k: 0,
    top_p: 1.0,
    greedy: false,
};

fn cases(_: &Gpu) -> Vec<Case> {
    let sizes = [(1, 65), (1, 1), (3, 3), (67, 257), (2, 50_257), (5, 2047), (5, 2049), (65_537, 3)];
    let sizes = sizes.map(|(rows, tokens)| TokenSampleShape { rows, tokens, ..PLAIN });
    let temperature = [0.1, 0.7, 10.0].map(|temperature| TokenSampleShape { temperature, ..PLAIN });
    let top_k = [1, 2, 17, 64, 65, 1000].map(|top_k| TokenSampleShape { top_k, ..PLAIN });
    let top_p = [1e-30, 0.1, 0.5, 0.9, 0.999].map(|top_p| TokenSampleShape { top_p, ..PLAIN });
    let vocabulary = TokenSampleShape { rows: 2, tokens: 50_257, ..PLAIN };
    let mixed = [
        TokenSampleShape { top_k: 9, top_p: 0.8, temperature: 1.7, ..PLAIN },
        TokenSampleShape { rows: 131, tokens: 4, top_k: 3, top_p: 0.6, temperature: 0.5, ..PLAIN },
        TokenSampleShape { top_k: 200, top_p: 0.9, temperature: 0.8, ..vocabulary },
        TokenSampleShape { top_p: 0.5, temperature: 0.5, ..vocabulary },
    ];
    let greedy = [PLAIN, TokenSampleShape { tokens: 1, ..PLAIN }, vocabulary];
    let greedy = greedy.map(|shape| TokenSampleShape { greedy: true, ..shape });
    let of_shapes = [&sizes[..], &temperature, &top_k, &top_p, &mixed, &greedy].concat();
    // Few values, so that ties decide; logits near the largest f32, far apart, and of both zeros.
    let tied = [
        PLAIN,
        TokenSampleShape { top_k: 5, ..PLAIN },
        TokenSampleShape { top_p: 0.4, ..PLAIN },
        TokenSampleShape { greedy: true, ..PLAIN },
        TokenSampleShape { top_k: 100, top_p: 0.3, tokens: 3001, ..PLAIN },
    ];
    let extreme = [
        PLAIN,
        TokenSampleShape { temperature: 0.1, top_k: 3, ..PLAIN },
        TokenSampleShape { temperature: 10.0, top_p: 0.9, ..PLAIN },
        TokenSampleShape { greedy: true, ..PLAIN },
    ];
    let of_shapes = of_shapes.into_iter().map(|shape| case(shape, "", |x| 4.0 * x));
    let tied = tied.into_iter().map(|shape| case(shape, "tied ", |x| (2.5 * x).round()));
    let zeros = case(PLAIN, "zeros ", |x| if x < 0.0 { -0.0 } else { 0.0 });
    let shifted = case(PLAIN, "shifted ", |x| 3e4 + 4.0 * x);
    let extreme = extreme.into_iter().map(|shape| case(shape, "extreme ", |x| if x < 0.5 { 3e38 * x } else { 1e38 }));
    of_shapes.chain(tied).chain([zeros, shifted]).chain(extreme).collect()
}

/// Case with the logits `of` of uniform numbers in [−1, 1).
fn case(shape: TokenSampleShape, name: &str, of: fn(f32) -> f32) -> Case {
    let shape = TokenSampleShape { columns: shape.tokens.next_multiple_of(4), ..shape };
    let mut random = RandomInputs::new(u64::from(shape.rows * 7 + shape.tokens + shape.top_k));
    let (mut logits, mut tokens, mut log_p) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..shape.rows {
        let (of_row, (token, log)) = (0..100)
            .find_map(|_| {
                let logits: Vec<f32> = random.floats(shape.tokens as usize).into_iter().map(of).collect();
                let (token, log, distance) = sample_reference(&logits, &shape, row, STEP);
                (distance > DISTANCE).then_some((logits, (token, log)))
            })
            .unwrap_or_else(|| panic!("{shape:?}: every row is close to a threshold"));
        logits.extend(of_row);
        // Columns after the tokens must not count, whatever they hold.
        logits.resize(logits.len().next_multiple_of(4), if row % 2 == 0 { f32::NAN } else { f32::MAX });
        tokens.push(token);
        log_p.push(log);
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| TokenSample::from_case(buffers)?.record(plan, &shape);
    let TokenSampleShape { rows, tokens: v, temperature, top_k, top_p, greedy, .. } = shape;
    let greedy = if greedy { " greedy" } else { "" };
    Case {
        name: format!("{name}({rows}, {v}) temperature {temperature} top_k {top_k} top_p {top_p}{greedy}"),
        inputs: vec![("logits", logits.into()), ("step", STEP.to_vec().into())],
        outputs: vec![
            ("tokens", Expected::Exactly(tokens)),
            ("log_p", Expected::Near { values: log_p, tolerance: 2e-6 }),
        ],
        record: Box::new(record),
    }
}
