//! The f64 references: each backward pass against finite differences of its forward pass. Needs no adapter.

use ketformer::kernels::RandomInputs;
use ketformer::kernels::attention::general::{
    self, BiasStrides, GeneralInputs, GeneralShape, Layout, Layouts, Strides,
};
use ketformer::kernels::attention::{self, AttentionMask, AttentionShape, factored, linear};
use ketformer::kernels::nn::recurrent::{Cell, CellReference};
use ketformer::kernels::nn::rotary::{self, RotaryShape};
use ketformer::kernels::nn::{complex_head, large_patch, norm, phase};
use ketformer::kernels::rbm::amplitude;
use ketformer::kernels::token::{cross_entropy, embed, gradient};
use ketformer::kernels::vmc::spins;

/// Arrays: the inputs of a reference, or their gradients.
type Arrays = Vec<Vec<f64>>;

/// Forward reference, its backward, and the sizes of inputs and output.
struct Check {
    name: &'static str,
    /// Lengths of the inputs.
    inputs: &'static [usize],
    /// Number of elements of the output.
    outputs: usize,
    forward: fn(&Arrays) -> Vec<f64>,
    /// Gradients of the inputs, from the inputs and the gradient of the output.
    backward: fn(&Arrays, &[f64]) -> Arrays,
}

/// Dropout of the probabilities of attention.
const MASK: AttentionMask = AttentionMask { step: [1, 2, 3, 0], rate: 0.4, site: 1, first_sample: 0 };

/// Rows of two heads of width 6 at positions 2, 3, 4, 2, 3, 4, rotated.
fn rotated(qkv: &[f64], reverse: bool) -> Vec<f64> {
    let shape =
        RotaryShape { rows: 6.into(), heads: 2, head_width: 6, period: 3, first: 2, stride: 1, offset: 0, reverse };
    let mut rotated = qkv.to_vec();
    rotary::rotary_reference(&mut rotated, &rotary::rotary_table(5, 6), &shape);
    rotated
}

fn full_shape() -> AttentionShape {
    AttentionShape { b: 2.into(), t: 4, h: 2, d: 3, ..Default::default() }
}

/// Heads of width `d`.
fn causal_shape(d: u32) -> AttentionShape {
    AttentionShape { b: 2.into(), t: 5, h: 2, d, causal: true, ..Default::default() }
}

/// More keys than queries, and wider values.
fn cross_shape() -> GeneralShape {
    let sizes = GeneralShape { samples: 2, queries: 3, keys: 5, heads: 2, width: 3, ..Default::default() };
    GeneralShape { value_width: Some(4), layouts: Layout::HeadFirst.into(), ..sizes }
}

/// Four heads that share two of keys; some queries see no key.
fn grouped_shape() -> GeneralShape {
    let sizes = GeneralShape { samples: 1, queries: 6, keys: 5, heads: 4, width: 3, ..Default::default() };
    let grouped = GeneralShape { key_heads: Some(2), keys_before: Some(1), keys_after: Some(1), ..sizes };
    GeneralShape {
        softcap: Some(0.8),
        scale: Some(1.3),
        past: 1,
        bias: BiasStrides { query: 5, ..Default::default() },
        ..grouped
    }
}

/// A bias for [`grouped_shape`], which excludes pairs of the first query.
const BIAS: [f64; 30] = {
    let mut bias = [0.5; 30];
    (bias[0], bias[1], bias[7], bias[13]) = (-1e31, f64::NEG_INFINITY, -1.0, 2.0);
    bias
};

/// One head of causal attention whose keys and values are in rows of 7.
fn strided_shape() -> GeneralShape {
    let sizes = GeneralShape { samples: 3, queries: 3, keys: 6, heads: 1, width: 2, ..Default::default() };
    let row = Layout::Strided(Strides { offset: 3, sample: 6 * 7, position: 7, head: 0 });
    GeneralShape { keys_after: Some(0), layouts: Layouts { k: row, v: row, ..Layouts::default() }, ..sizes }
}

fn general_inputs<'a>(at: &'a Arrays, bias: Option<&'a [f64]>, key_counts: Option<&'a [u32]>) -> GeneralInputs<'a> {
    GeneralInputs { q: &at[0], k: &at[1], v: &at[2], bias, key_counts }
}

fn general_forward(at: &Arrays, shape: &GeneralShape, bias: Option<&[f64]>, counts: Option<&[u32]>) -> Vec<f64> {
    general::general_forward_reference(&general_inputs(at, bias, counts), shape).0
}

fn general_backward(
    at: &Arrays,
    d_out: &[f64],
    shape: &GeneralShape,
    bias: Option<&[f64]>,
    counts: Option<&[u32]>,
) -> Arrays {
    let made = general::general_backward_reference(&general_inputs(at, bias, counts), d_out, shape);
    vec![made.d_q, made.d_k, made.d_v]
}

/// Two samples of 2 × 3 patches.
fn factored_shape() -> factored::FactoredShape {
    factored::FactoredShape { rows: 12.into(), grid: [2, 3], h: 2, d: 2 }
}

const CHECKS: &[Check] = &[
    Check {
        name: "phases of targets",
        inputs: &[4 * 8],
        outputs: 4,
        forward: |at| phase::forward_reference(&[3, 0, 7, 3], &at[0]),
        backward: |_, d_phase| vec![phase::backward_reference(&[3, 0, 7, 3], d_phase, 8)],
    },
    Check {
        name: "norm of width 5",
        inputs: &[3 * 5, 5, 5],
        outputs: 3 * 5,
        forward: |at| norm::forward_reference(&at[0], &at[1], &at[2]).0,
        backward: norm_backward,
    },
    Check {
        name: "norm of width 1",
        inputs: &[4, 1, 1],
        outputs: 4,
        forward: |at| norm::forward_reference(&at[0], &at[1], &at[2]).0,
        backward: norm_backward,
    },
    Check {
        name: "full attention",
        inputs: &[2 * 4 * 3 * 6],
        outputs: 2 * 4 * 6,
        forward: |at| attention::forward_reference(&at[0], &full_shape()).0,
        backward: |at, d_out| vec![attention::backward_reference(&at[0], d_out, &full_shape()).0],
    },
    Check {
        name: "causal attention",
        inputs: &[2 * 5 * 3 * 8],
        outputs: 2 * 5 * 8,
        forward: |at| attention::forward_reference(&at[0], &causal_shape(4)).0,
        backward: |at, d_out| vec![attention::backward_reference(&at[0], d_out, &causal_shape(4)).0],
    },
    Check {
        name: "causal attention with dropout",
        inputs: &[2 * 5 * 3 * 8],
        outputs: 2 * 5 * 8,
        forward: |at| attention::masked_forward_reference(&at[0], &causal_shape(4), Some(&MASK)).0,
        backward: |at, d_out| {
            let shape = causal_shape(4);
            vec![attention::masked_backward_reference(&at[0], d_out, &shape, Some(&MASK)).0]
        },
    },
    Check {
        name: "general attention to other keys",
        inputs: &[2 * 3 * 2 * 3, 2 * 5 * 2 * 3, 2 * 5 * 2 * 4],
        outputs: 2 * 3 * 2 * 4,
        forward: |at| general_forward(at, &cross_shape(), None, None),
        backward: |at, d_out| general_backward(at, d_out, &cross_shape(), None, None),
    },
    Check {
        name: "general attention of grouped heads with a window, a softcap and a bias",
        inputs: &[6 * 4 * 3, 5 * 2 * 3, 5 * 2 * 3],
        outputs: 6 * 4 * 3,
        forward: |at| general_forward(at, &grouped_shape(), Some(&BIAS), None),
        backward: |at, d_out| general_backward(at, d_out, &grouped_shape(), Some(&BIAS), None),
    },
    Check {
        name: "general attention of numbers of keys in strided rows",
        inputs: &[3 * 3 * 2, 3 * 6 * 7, 3 * 6 * 7],
        outputs: 3 * 3 * 2,
        forward: |at| general_forward(at, &strided_shape(), None, Some(&[6, 2, 0])),
        backward: |at, d_out| general_backward(at, d_out, &strided_shape(), None, Some(&[6, 2, 0])),
    },
    Check {
        name: "rotation of queries and keys",
        inputs: &[6 * 3 * 2 * 6],
        outputs: 6 * 3 * 2 * 6,
        forward: |at| rotated(&at[0], false),
        backward: |_, d| vec![rotated(d, true)],
    },
    Check {
        name: "rows of large patches added to those of their sub-patches",
        inputs: &[6 * 4, 2 * 4],
        outputs: 6 * 4,
        forward: |at| large_patch::add_reference(&at[0], &at[1], &[0, 0, 0, 1, 1, 1], 4),
        backward: |_, d_x| vec![d_x.to_vec(), large_patch::sum_reference(d_x, 3, 4)],
    },
    Check {
        name: "restricted Boltzmann machine of 4 sites and 3 hidden units",
        inputs: &[4, 4 * 3, 3],
        outputs: 5,
        forward: |at| amplitude::amplitude_reference(&machine_spins(), &machine_theta(at), &at[0]),
        backward: |at, d_log_p| amplitude::gradient_reference(&machine_spins(), &machine_theta(at), d_log_p).into(),
    },
    Check {
        name: "factored attention",
        inputs: &[2 * 6 * 4, 2 * 6],
        outputs: 2 * 6 * 4,
        forward: |at| factored::factored_reference(&at[0], &at[1], &factored_shape()),
        backward: |at, d_out| {
            let (d_v, d_relative) = factored::factored_backward_reference(&at[0], &at[1], d_out, &factored_shape());
            vec![d_v, d_relative]
        },
    },
    Check {
        name: "complex head of 3 units",
        inputs: &[4 * 3, 4 * 3],
        outputs: 8,
        forward: |at| {
            let (log_p, phase) = complex_head::forward_reference(&at[0], &at[1], 3);
            [log_p, phase].concat()
        },
        backward: |at, d| {
            let (d_real, d_imag) = complex_head::backward_reference(&at[0], &at[1], &d[..4], &d[4..]);
            vec![d_real, d_imag]
        },
    },
    Check {
        name: "linear attention",
        inputs: &[2 * 5 * 3 * 6],
        outputs: 2 * 5 * 6,
        forward: |at| linear::forward_reference(&at[0], &causal_shape(3)).0,
        backward: |at, d_out| vec![linear::backward_reference(&at[0], d_out, &causal_shape(3)).0],
    },
    Check {
        name: "token embedding",
        inputs: &[5 * 4],
        outputs: 7 * 4,
        forward: |at| embed::embed_reference(&OF_ROWS, &at[0], None, &[0.0; 7 * 4], [4, 2]),
        backward: |_, d_x| vec![gradient::gradient_reference(&OF_ROWS, d_x, &[0.0; 5 * 4], [4, 2])],
    },
    Check {
        name: "cross-entropy over 5 tokens",
        inputs: &[3 * 5],
        outputs: 3,
        forward: |at| cross_entropy::loss_reference(&at[0], &TARGETS, 5).0,
        backward: |at, d_loss| vec![cross_entropy::gradient_reference(&at[0], &TARGETS, d_loss, 5)],
    },
    Check {
        name: "step of a GRU",
        inputs: &[3 * 4, 12 * 2, 12, 12 * 4, 12],
        outputs: 3 * 4,
        forward: |at| cell(Cell::Gru, at).forward(&TOKENS, &at[0]).0,
        backward: |at, d_states| cell_backward(Cell::Gru, at, d_states),
    },
    Check {
        name: "step of Elman's cell",
        inputs: &[3 * 4, 4 * 2, 4, 4 * 4, 4],
        outputs: 3 * 4,
        forward: |at| cell(Cell::Elman, at).forward(&TOKENS, &at[0]).0,
        backward: |at, d_states| cell_backward(Cell::Elman, at, d_states),
    },
];

/// Tokens of embedded rows; two of them are not in the table of tokens 2 to 6.
const OF_ROWS: [u32; 7] = [2, 6, 3, 2, 7, 1, 2];

/// Targets of cross-entropy.
const TARGETS: [u32; 3] = [4, cross_entropy::IGNORED, 0];

/// Input tokens of the rows of a recurrent step, patches of two sites.
const TOKENS: [u32; 3] = [2, 0, 3];

/// Cell from the inputs `at`: previous states, W_ih, b_ih, W_hh, b_hh.
fn cell(cell: Cell, at: &Arrays) -> CellReference<'_> {
    CellReference { cell, weight_input: &at[1], bias_input: &at[2], weight_state: &at[3], bias_state: &at[4] }
}

fn cell_backward(kind: Cell, at: &Arrays, d_states: &[f64]) -> Arrays {
    let cell = cell(kind, at);
    let (states, gates) = cell.forward(&TOKENS, &at[0]);
    let saved = if kind == Cell::Gru { &at[0] } else { &states };
    let made = cell.backward(saved, &gates, d_states);
    let outputs = at[2].len();
    // Gradients of weights and biases are those of matrix products: Σ_r d_r ⊗ x_r and Σ_r d_r.
    let weight = |d: &[f64], x: &[f64], inputs: usize| {
        let entry = |at: usize| -> f64 {
            let (o, i) = (at / inputs, at % inputs);
            (0..TOKENS.len()).map(|row| d[row * outputs + o] * x[row * inputs + i]).sum()
        };
        (0..outputs * inputs).map(entry).collect()
    };
    let bias = |d: &[f64]| (0..outputs).map(|o| d.iter().skip(o).step_by(outputs).sum()).collect();
    let bits: Vec<f64> = TOKENS.iter().flat_map(|token| [token & 1, token >> 1]).map(f64::from).collect();
    vec![
        cell.before(&made.d_hidden, &made.carried),
        weight(&made.d_input, &bits, 2),
        bias(&made.d_input),
        weight(&made.d_hidden, &at[0], 4),
        bias(&made.d_hidden),
    ]
}

/// Five configurations of four sites.
fn machine_spins() -> Vec<f64> {
    spins::spins_reference(&[0, 15, 6, 9, 11], 4)
}

fn machine_theta(at: &Arrays) -> Vec<f64> {
    amplitude::theta_reference(&machine_spins(), &at[1], &at[2])
}

fn norm_backward(at: &Arrays, d_y: &[f64]) -> Arrays {
    let (_, stats) = norm::forward_reference(&at[0], &at[1], &at[2]);
    let d_x = norm::backward_reference(&at[0], &stats, &at[1], d_y);
    let (d_gamma, d_beta) = norm::gradient_reference(&at[0], &stats, d_y, at[1].len());
    vec![d_x, d_gamma, d_beta]
}

/// Largest difference between the backward and central differences of Σ weight · forward, relative to the largest
/// gradient.
fn disagreement(check: &Check, scale: f64) -> f64 {
    let mut random = RandomInputs::new(7);
    let mut floats = |count: usize| random.floats(count).into_iter().map(f64::from).collect::<Vec<f64>>();
    let mut at: Arrays = check.inputs.iter().map(|count| floats(*count)).collect();
    let weight = floats(check.outputs);
    let loss = |at: &Arrays| -> f64 {
        let output = (check.forward)(at);
        assert_eq!(output.len(), weight.len(), "{}", check.name);
        output.iter().zip(&weight).map(|(o, w)| o * w).sum()
    };
    let step = 1e-5;
    let gradients = (check.backward)(&at, &weight);
    assert_eq!(gradients.len(), at.len(), "{}", check.name);
    let (mut worst, mut largest) = (0.0f64, 0.0f64);
    for (input, gradient) in gradients.iter().enumerate() {
        assert_eq!(gradient.len(), at[input].len(), "{}: gradient {input}", check.name);
        for (element, slope) in gradient.iter().enumerate() {
            let here = at[input][element];
            at[input][element] = here + step;
            let above = loss(&at);
            at[input][element] = here - step;
            let below = loss(&at);
            at[input][element] = here;
            let difference = (above - below) / (2.0 * step);
            let error = (slope * scale - difference).abs();
            worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
            largest = largest.max(difference.abs());
        }
    }
    worst / largest
}

#[test]
fn every_backward_is_the_derivative_of_its_forward() {
    for check in CHECKS {
        let error = disagreement(check, 1.0);
        assert!(error < 1e-7, "{}: {error:e}", check.name);
    }
}

/// The same comparison rejects gradients that are a millionth too large.
#[test]
fn the_comparison_rejects_a_wrong_backward() {
    for check in CHECKS {
        let error = disagreement(check, 1.0 + 1e-6);
        assert!(error > 1e-7, "{} accepts a wrong gradient: {error:e}", check.name);
    }
}

/// A suffix computed over its base sample's prefix equals the end of the whole sequence.
#[test]
fn a_suffix_is_the_end_of_causal_attention() {
    let (t, h, d, start) = (6, 2, 3, 2);
    let row = 3 * h * d;
    let mut random = RandomInputs::new(5);
    let base: Vec<f64> = random.floats(2 * t * row).into_iter().map(f64::from).collect();
    let packed: Vec<f64> = random.floats((t - start) * row).into_iter().map(f64::from).collect();
    let whole = [&base[t * row..(t + start) * row], &packed].concat();
    let (h, d) = (h as u32, d as u32);
    let (expected, _) = attention::forward_reference(
        &whole,
        &AttentionShape { b: 1.into(), t: t as u32, h, d, causal: true, ..Default::default() },
    );
    let row_table: Vec<[u32; 2]> = (start..t).map(|p| [start as u32, p as u32]).collect();
    let per_item = (t - start) as u32;
    let shape =
        attention::SuffixShape { items: 1.into(), per_item, first_item: 0, b: 2, t: t as u32, period: t as u32, h, d };
    let suffix = attention::suffix_reference(&base, &packed, &[1], &row_table, &shape);
    assert_eq!(suffix, expected[start * (h * d) as usize..]);
    let (expected, _) = linear::forward_reference(
        &whole,
        &AttentionShape { b: 1.into(), t: t as u32, h, d, causal: true, ..Default::default() },
    );
    let suffix = linear::suffix_reference(&base, &packed, &[1], &row_table, &shape);
    assert_eq!(suffix, expected[start * (h * d) as usize..]);
}
