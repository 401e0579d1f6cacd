//! Reference of sampled rows in 64-bit floats, from inputs that are drawn again on the host.

use super::problem::{AttentionProblem, Pass};
use crate::kernels::RandomInputs;
use crate::kernels::attention::inputs::{DrawnInputs, DrawnTensor};

/// Multiply-adds of the reference of a check.
const WORK: u64 = 1 << 26;
/// Largest number of sampled rows of queries, and of keys, of a head.
const ROWS: usize = 16;
/// Largest number of sampled heads.
const HEADS: u64 = 16;
/// Tries to find a row with a property.
const TRIES: usize = 64;

/// Sampled rows of a head of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sampled {
    pub sample: u32,
    pub key_head: u32,
    /// Heads of queries and positions.
    pub queries: Vec<[u32; 2]>,
    /// Positions of keys whose gradients are compared.
    pub keys: Vec<u32>,
}

/// Expected values of sampled rows, concatenated.
#[derive(Debug, Clone, Default)]
pub(super) struct ExpectedRows {
    pub o: Vec<f64>,
    pub lse: Vec<f64>,
    pub d_q: Vec<f64>,
    pub d_k: Vec<f64>,
    pub d_v: Vec<f64>,
}

/// Draws rows to compare: as many heads as the work allows; of each the first and the last query, queries most of whose
/// probability is on the last key that they see, and others; of keys the first, the last and others.
pub(super) fn sample(problem: &AttentionProblem, inputs: &DrawnInputs, random: &mut RandomInputs) -> Vec<Sampled> {
    let group = problem.heads / problem.key_heads;
    let pairs = u64::from(problem.keys) * u64::from(problem.width);
    let of_head = match problem.pass {
        // Rows of the head, and its keys and values.
        Pass::Forward => pairs * (2 * ROWS as u64 + 8),
        Pass::ForwardBackward => pairs * (4 * u64::from(group) * u64::from(problem.queries) + 8),
    };
    let all = u64::from(problem.samples) * u64::from(problem.key_heads);
    let heads = (WORK / of_head).clamp(1, HEADS.min(all));
    (0..heads).map(|_| sampled_head(problem, inputs, random)).collect()
}

fn sampled_head(problem: &AttentionProblem, inputs: &DrawnInputs, random: &mut RandomInputs) -> Sampled {
    let mut below = |end: u32| random.integers(1, end)[0];
    let group = problem.heads / problem.key_heads;
    let (sample, key_head) = (below(problem.samples), below(problem.key_heads));
    let last = problem.queries - 1;
    let mut queries = vec![[key_head * group, 0], [key_head * group + below(group), last]];
    while queries.len() < ROWS {
        let wants_last = queries.len() % 2 == 0;
        let mut row = [0; 2];
        for _ in 0..TRIES {
            let position = if queries.len() % 4 == 0 { last } else { below(problem.queries) };
            row = [key_head * group + below(group), position];
            let flat = (sample * problem.heads + row[0]) * problem.queries + row[1];
            let key = inputs.planted_key(flat).map(|key| key % problem.keys);
            if !wants_last || key == Some(inputs.seen(row[1]) - 1) {
                break;
            }
        }
        queries.push(row);
    }
    let mut keys = vec![0, problem.keys - 1];
    while keys.len() < ROWS {
        keys.push(below(problem.keys));
    }
    queries.sort_unstable();
    queries.dedup();
    keys.sort_unstable();
    keys.dedup();
    Sampled { sample, key_head, queries, keys }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(sums: &mut [f64], factor: f64, values: &[f64]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
}

/// Keys and values of a head.
struct Head<'a> {
    inputs: &'a DrawnInputs,
    width: usize,
    k: Vec<f64>,
    v: Vec<f64>,
}

impl Head<'_> {
    fn key<'a>(&self, rows: &'a [f64], key: usize) -> &'a [f64] {
        &rows[key * self.width..][..self.width]
    }

    /// Probabilities of the keys that a query sees, and the logarithm of the sum of exponentials.
    fn attend(&self, q: &[f64], position: u32) -> (Vec<f64>, f64) {
        let scale = 1.0 / (self.width as f64).sqrt();
        let seen = self.inputs.seen(position) as usize;
        let scores: Vec<f64> = (0..seen).map(|key| scale * dot(q, self.key(&self.k, key))).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lse = largest + scores.iter().map(|score| (score - largest).exp()).sum::<f64>().ln();
        (scores.iter().map(|score| (score - lse).exp()).collect(), lse)
    }
}

/// Expected values of sampled rows.
pub(super) fn expected(problem: &AttentionProblem, inputs: &DrawnInputs, sampled: &Sampled) -> ExpectedRows {
    let (width, scale) = (problem.width as usize, 1.0 / f64::from(problem.width).sqrt());
    let first = (sampled.sample * problem.key_heads + sampled.key_head) * problem.keys;
    let rows = |tensor| (0..problem.keys).flat_map(|key| inputs.row(tensor, first + key)).collect();
    let head = Head { inputs, width, k: rows(DrawnTensor::K), v: rows(DrawnTensor::V) };
    let query_row = |[own, position]: [u32; 2]| (sampled.sample * problem.heads + own) * problem.queries + position;
    let mut made = ExpectedRows::default();
    for query in &sampled.queries {
        let (p, lse) = head.attend(&inputs.row(DrawnTensor::Q, query_row(*query)), query[1]);
        let mut o = vec![0.0; width];
        p.iter().enumerate().for_each(|(key, p)| add(&mut o, *p, head.key(&head.v, key)));
        made.o.extend(o);
        made.lse.push(lse);
    }
    if problem.pass == Pass::Forward {
        return made;
    }
    made.d_k = vec![0.0; sampled.keys.len() * width];
    made.d_v = made.d_k.clone();
    made.d_q = vec![0.0; sampled.queries.len() * width];
    let group = problem.heads / problem.key_heads;
    for own in sampled.key_head * group..(sampled.key_head + 1) * group {
        for position in 0..problem.queries {
            let row = query_row([own, position]);
            let (q, d_o) = (inputs.row(DrawnTensor::Q, row), inputs.row(DrawnTensor::DOut, row));
            let (p, _) = head.attend(&q, position);
            let d_p: Vec<f64> = (0..p.len()).map(|key| dot(&d_o, head.key(&head.v, key))).collect();
            let delta = dot(&p, &d_p);
            let d_score = |key: usize| p[key] * (d_p[key] - delta) * scale;
            for (at, key) in sampled.keys.iter().enumerate().filter(|(_, key)| (**key as usize) < p.len()) {
                let to = at * width..(at + 1) * width;
                add(&mut made.d_k[to.clone()], d_score(*key as usize), &q);
                add(&mut made.d_v[to], p[*key as usize], &d_o);
            }
            if let Ok(at) = sampled.queries.binary_search(&[own, position]) {
                let to = &mut made.d_q[at * width..(at + 1) * width];
                (0..p.len()).for_each(|key| add(to, d_score(key), head.key(&head.k, key)));
            }
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Mask;
    use crate::kernels::attention::general::{
        GeneralInputs, GeneralShape, Layout, general_backward_reference, general_forward_reference,
    };
    use crate::kernels::attention::inputs::draw_reference;

    #[test]
    fn sampled_rows_are_those_of_the_general_reference() {
        for (shape, mask) in [("2x6/2x5:9x3", Mask::Causal), ("1x2x4x8", Mask::Full), ("1x1x1x1", Mask::Causal)] {
            let problem =
                AttentionProblem { mask, pass: Pass::ForwardBackward, ..AttentionProblem::parse(shape).unwrap() };
            let inputs = problem.inputs(7);
            let general = GeneralShape {
                samples: problem.samples,
                queries: problem.queries,
                keys: problem.keys,
                heads: problem.heads,
                key_heads: Some(problem.key_heads),
                width: problem.width,
                layouts: Layout::HeadFirst.into(),
                keys_after: (mask == Mask::Causal).then_some(0),
                past: problem.keys - problem.queries,
                ..Default::default()
            };
            let drawn = |tensor, positions, heads| {
                let strides = Layout::HeadFirst.strides(positions, heads, problem.width);
                draw_reference(&inputs, tensor, &strides)
            };
            let q = drawn(DrawnTensor::Q, problem.queries, problem.heads);
            let k = drawn(DrawnTensor::K, problem.keys, problem.key_heads);
            let v = drawn(DrawnTensor::V, problem.keys, problem.key_heads);
            let d_o = drawn(DrawnTensor::DOut, problem.queries, problem.heads);
            let all = GeneralInputs { q: &q, k: &k, v: &v, bias: None, key_counts: None };
            let (o, lse) = general_forward_reference(&all, &general);
            let gradients = general_backward_reference(&all, &d_o, &general);
            let mut random = RandomInputs::new(3);
            for sampled in sample(&problem, &inputs, &mut random) {
                let made = expected(&problem, &inputs, &sampled);
                let near =
                    |a: &[f64], b: &[f64]| assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6), "{a:?} {b:?}");
                let width = problem.width as usize;
                for (at, [head, position]) in sampled.queries.iter().enumerate() {
                    let row = ((sampled.sample * problem.heads + head) * problem.queries + position) as usize;
                    near(&made.o[at * width..][..width], &o[row * width..][..width]);
                    near(&made.d_q[at * width..][..width], &gradients.d_q[row * width..][..width]);
                    near(&[made.lse[at]], &[lse[row]]);
                }
                for (at, key) in sampled.keys.iter().enumerate() {
                    let row = ((sampled.sample * problem.key_heads + sampled.key_head) * problem.keys + key) as usize;
                    near(&made.d_k[at * width..][..width], &gradients.d_k[row * width..][..width]);
                    near(&made.d_v[at * width..][..width], &gradients.d_v[row * width..][..width]);
                }
            }
        }
    }

    #[test]
    fn the_last_query_and_last_keys_are_among_the_rows() {
        let problem = AttentionProblem::parse("1x2x100x8").unwrap();
        let inputs = problem.inputs(1);
        let mut random = RandomInputs::new(5);
        for _ in 0..10 {
            let all = sample(&problem, &inputs, &mut random);
            assert!(all.iter().all(|head| head.queries.iter().any(|query| query[1] == 99)));
            assert!(all.iter().all(|head| head.keys.first() == Some(&0) && head.keys.last() == Some(&99)));
            let row = |[head, position]: [u32; 2]| head * 100 + position;
            let planted = |query: &&[u32; 2]| inputs.planted_key(row(**query)).is_some_and(|key| key % 100 == query[1]);
            assert!(all.iter().flat_map(|head| &head.queries).filter(planted).count() >= 2);
        }
    }
}
