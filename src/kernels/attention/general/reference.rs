//! References of general attention in f64.

use super::{GeneralShape, ScoresOf};

/// Inputs of a reference, in the layouts of the shape.
#[derive(Debug, Clone, Copy)]
pub struct GeneralInputs<'a> {
    /// Queries.
    pub q: &'a [f64],
    /// Keys.
    pub k: &'a [f64],
    /// Values.
    pub v: &'a [f64],
    /// Added to the scores.
    pub bias: Option<&'a [f64]>,
    /// Number of keys of each sample.
    pub key_counts: Option<&'a [u32]>,
}

/// Gradients of a reference, in the layouts of the shape.
#[derive(Debug, Clone)]
pub struct GeneralGradients {
    /// Gradient of the queries.
    pub d_q: Vec<f64>,
    /// Gradient of the keys.
    pub d_k: Vec<f64>,
    /// Gradient of the values.
    pub d_v: Vec<f64>,
    /// (B, H, Tq, 2): lse and δ.
    pub statistics: Vec<f64>,
}

/// Bias below which a pair does not count, and lse of a query that sees no key.
const SMALLEST: f64 = -1e30;

/// A query with the keys that it sees.
struct Row {
    sample: u32,
    query: u32,
    head: u32,
    /// Keys, scores, and derivatives of the scores by the product of query and key.
    seen: Vec<(u32, f64, f64)>,
}

/// Every query of `shape`, in the order of `lse`.
fn rows<'a>(inputs: &'a GeneralInputs<'_>, shape: &'a GeneralShape) -> impl Iterator<Item = Row> + 'a {
    let heads = (0..shape.samples).flat_map(|sample| (0..shape.heads).map(move |head| (sample, head)));
    heads.flat_map(|(sample, head)| (0..shape.queries).map(move |query| (sample, head, query))).map(
        move |(sample, head, query)| {
            let count = inputs.key_counts.map(|counts| counts[sample as usize].min(shape.keys));
            let position = count.map_or(shape.past.into(), |count| i64::from(count) - i64::from(shape.queries));
            let score = |key: u32| {
                let (score, slope) = capped(shape, scaled(inputs, shape, [sample, head, query, key]));
                let strides = shape.bias;
                let at = sample * strides.sample + head * strides.head + query * strides.query + key;
                let bias = inputs.bias.map_or(0.0, |bias| bias[at as usize]);
                (bias > SMALLEST).then_some((key, score + bias, slope))
            };
            let seen = shape.seen(query, count.unwrap_or(shape.keys), position).filter_map(score).collect();
            Row { sample, query, head, seen }
        },
    )
}

/// Scaled product of a query and a key.
fn scaled(inputs: &GeneralInputs<'_>, shape: &GeneralShape, [sample, head, query, key]: [u32; 4]) -> f64 {
    let ([q, k, ..], width) = (shape.strides(), shape.width as usize);
    let q = &inputs.q[q.at(sample, query, head)..][..width];
    let k = &inputs.k[k.at(sample, key, kv_head(shape, head))..][..width];
    f64::from(shape.scale()) * q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>()
}

/// Score of a scaled product without the bias, and its derivative by the product.
fn capped(shape: &GeneralShape, scaled: f64) -> (f64, f64) {
    let scale = f64::from(shape.scale());
    match shape.softcap.map(f64::from) {
        None => (scaled, scale),
        Some(cap) => (cap * (scaled / cap).tanh(), scale * (1.0 - (scaled / cap).tanh().powi(2))),
    }
}

/// Head of keys and values that a head of queries reads.
fn kv_head(shape: &GeneralShape, head: u32) -> u32 {
    head / (shape.heads / shape.key_heads())
}

/// Reference in f64: out in its layout, with zeros between rows, and lse (B, H, Tq).
pub fn general_forward_reference(inputs: &GeneralInputs<'_>, shape: &GeneralShape) -> (Vec<f64>, Vec<f64>) {
    let [.., v_at, out_at] = shape.strides();
    let (mut out, mut lse) = (vec![0.0; shape.elements()[3] as usize], Vec::new());
    for row in rows(inputs, shape) {
        let largest = row.seen.iter().map(|(_, score, _)| *score).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.seen.iter().map(|(_, score, _)| (score - largest).exp()).sum();
        let total = if row.seen.is_empty() { SMALLEST } else { largest + sum.ln() };
        lse.push(total);
        let to = out_at.at(row.sample, row.query, row.head);
        for (key, score, _) in &row.seen {
            let v = v_at.at(row.sample, *key, kv_head(shape, row.head));
            for e in 0..shape.value_width() as usize {
                out[to + e] += (score - total).exp() * inputs.v[v + e];
            }
        }
    }
    (out, lse)
}

/// Reference in f64 of the gradients, from that of the output in its layout. Zeros are between rows.
pub fn general_backward_reference(inputs: &GeneralInputs<'_>, d_out: &[f64], shape: &GeneralShape) -> GeneralGradients {
    let [q_at, k_at, v_at, out_at] = shape.strides();
    let (out, lse) = general_forward_reference(inputs, shape);
    let (mut d_q, mut d_k, mut d_v) = (vec![0.0; inputs.q.len()], vec![0.0; inputs.k.len()], vec![0.0; inputs.v.len()]);
    let mut statistics = Vec::new();
    let (width, value_width) = (shape.width as usize, shape.value_width() as usize);
    for (row, lse) in rows(inputs, shape).zip(lse) {
        let at = out_at.at(row.sample, row.query, row.head);
        let slope = &d_out[at..][..value_width];
        let delta: f64 = slope.iter().zip(&out[at..]).map(|(d, out)| d * out).sum();
        statistics.extend([lse, delta]);
        let q = q_at.at(row.sample, row.query, row.head);
        for (key, score, derivative) in &row.seen {
            let kv = kv_head(shape, row.head);
            let (k, v) = (k_at.at(row.sample, *key, kv), v_at.at(row.sample, *key, kv));
            let p = (score - lse).exp();
            let d_p: f64 = slope.iter().zip(&inputs.v[v..]).map(|(d, v)| d * v).sum();
            let d_product = p * (d_p - delta) * derivative;
            for e in 0..width {
                d_q[q + e] += d_product * inputs.k[k + e];
                d_k[k + e] += d_product * inputs.q[q + e];
            }
            (0..value_width).for_each(|e| d_v[v + e] += p * slope[e]);
        }
    }
    GeneralGradients { d_q, d_k, d_v, statistics }
}

/// Reference in f64 of scores or probabilities (B, H, Tq, Tk).
pub fn general_scores_reference(inputs: &GeneralInputs<'_>, shape: &GeneralShape, of: ScoresOf) -> Vec<f64> {
    let mut scores = Vec::new();
    for (row, lse) in rows(inputs, shape).zip(general_forward_reference(inputs, shape).1) {
        let excluded = if of == ScoresOf::Scores { SMALLEST } else { 0.0 };
        let mut of_row = vec![excluded; shape.keys as usize];
        match of {
            ScoresOf::Products | ScoresOf::Capped => {
                for (key, score) in (0..).zip(&mut of_row) {
                    let scaled = scaled(inputs, shape, [row.sample, row.head, row.query, key]);
                    *score = if of == ScoresOf::Capped { capped(shape, scaled).0 } else { scaled };
                }
            }
            ScoresOf::Scores => row.seen.iter().for_each(|(key, score, _)| of_row[*key as usize] = *score),
            ScoresOf::Probabilities => {
                row.seen.iter().for_each(|(key, score, _)| of_row[*key as usize] = (score - lse).exp());
            }
        }
        scores.extend(of_row);
    }
    scores
}
