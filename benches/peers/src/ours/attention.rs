//! Attention by both families of kernels: over rows [q | k | v], and over queries, keys and values of their own.

use ketformer::arena::{Mask, Pass};
use ketformer::gpu::Gpu;
use ketformer::kernels::attention::general::{GeneralBackward, GeneralForward, GeneralShape, Layout};
use ketformer::kernels::attention::{AttentionBackward, AttentionForward, AttentionShape};

use super::{Ours, poisoned};
use crate::engine::{Form, Prepared, Result};
use crate::sizes::Sizes;
use crate::work::AttentionInputs;

/// All variants that compute the problem.
pub fn forms(gpu: &Gpu, s: &Sizes, pass: Pass, inputs: &AttentionInputs) -> Vec<Prepared> {
    let named = |name: &str, form: Result<Ours>| {
        let name = form.as_ref().map_or_else(|_| name.to_string(), |form| format!("{name}: {}", form.name()));
        (name, form.map(|form| Box::new(form) as Box<dyn Form>))
    };
    let mut forms = Vec::new();
    if s.d <= 128 && s.h == s.hk && s.s == s.sk {
        forms.push(named("rows", rows(gpu, s, pass, inputs)));
    }
    forms.push(named("general", general(gpu, s, pass, inputs)));
    forms
}

/// Rows [q | k | v] of one sequence, as a linear layer leaves them.
fn rows(gpu: &Gpu, s: &Sizes, pass: Pass, inputs: &AttentionInputs) -> Result<Ours> {
    let shape = AttentionShape {
        b: (s.b as u32).into(),
        t: s.s as u32,
        h: s.h as u32,
        d: s.d as u32,
        causal: s.mask == Mask::Causal,
        ..Default::default()
    };
    let (s, elements, heads) = (*s, s.query_elements(), s.query_elements() / s.d);
    let qkv = gpu.upload("peers.qkv", &to_rows(&[&inputs.q, &inputs.k, &inputs.v], &s))?;
    let out = poisoned(gpu, "peers.out", elements)?;
    let lse = poisoned(gpu, "peers.lse", heads)?;
    let forward = AttentionForward { qkv: qkv.view(), out: out.view(), lse: lse.view() };
    if pass == Pass::Forward {
        let record = move |plan: &mut _| forward.record(plan, &shape);
        return Ours::new(gpu, record, vec![(out, elements)], move |read| from_rows(&read[0], &s, 1));
    }
    let d_out = gpu.upload("peers.d_out", &vec![1f32; elements])?;
    let delta = poisoned(gpu, "peers.delta", heads)?;
    let d_qkv = poisoned(gpu, "peers.d_qkv", 3 * elements)?;
    let backward = AttentionBackward {
        qkv: qkv.view(),
        out: out.view(),
        lse: lse.view(),
        d_out: d_out.view(),
        delta: delta.view(),
        d_qkv: d_qkv.view(),
    };
    let record = move |plan: &mut _| {
        forward.record(plan, &shape)?;
        backward.record(plan, &shape)
    };
    Ours::new(gpu, record, vec![(out, elements), (d_qkv, 3 * elements)], move |read| {
        let mut made = from_rows(&read[0], &s, 1);
        made.extend(from_rows(&read[1], &s, 3));
        made
    })
}

/// Queries (B, H, S, D), keys and values (B, HK, SK, D).
fn general(gpu: &Gpu, s: &Sizes, pass: Pass, inputs: &AttentionInputs) -> Result<Ours> {
    let shape = GeneralShape {
        samples: s.b as u32,
        queries: s.s as u32,
        keys: s.sk as u32,
        heads: s.h as u32,
        key_heads: Some(s.hk as u32),
        width: s.d as u32,
        layouts: Layout::HeadFirst.into(),
        keys_after: (s.mask == Mask::Causal).then_some(0),
        past: s.past() as u32,
        ..Default::default()
    };
    let (queries, keys) = (s.query_elements(), s.key_elements());
    let [q, k, v] = [("peers.q", &inputs.q), ("peers.k", &inputs.k), ("peers.v", &inputs.v)]
        .map(|(label, values)| gpu.upload(label, values));
    let (q, k, v) = (q?, k?, v?);
    let out = poisoned(gpu, "peers.out", queries)?;
    let lse = poisoned(gpu, "peers.lse", queries / s.d)?;
    let (out_view, lse_view) = (out.view(), lse.view());
    if pass == Pass::Forward {
        let forward = GeneralForward {
            q: q.view(),
            k: k.view(),
            v: v.view(),
            bias: None,
            key_counts: None,
            out: out_view,
            lse: lse_view,
        };
        return Ours::new(gpu, move |plan| forward.record(plan, &shape), vec![(out, queries)], |read| read);
    }
    let d_out = gpu.upload("peers.d_out", &vec![1f32; queries])?;
    let statistics = poisoned(gpu, "peers.statistics", 2 * queries / s.d)?;
    let d_q = poisoned(gpu, "peers.d_q", queries)?;
    let d_k = poisoned(gpu, "peers.d_k", keys)?;
    let d_v = poisoned(gpu, "peers.d_v", keys)?;
    let backward = GeneralBackward {
        q: q.view(),
        k: k.view(),
        v: v.view(),
        bias: None,
        key_counts: None,
        out: out_view,
        lse: lse_view,
        d_out: d_out.view(),
        statistics: statistics.view(),
        d_q: d_q.view(),
        d_k: d_k.view(),
        d_v: d_v.view(),
    };
    let record = move |plan: &mut _| {
        backward.forward().record(plan, &shape)?;
        backward.record(plan, &shape)
    };
    Ours::new(gpu, record, vec![(out, queries), (d_q, queries), (d_k, keys), (d_v, keys)], |read| read)
}

/// Index of the first element of a head in rows of `parts` parts, (B·S, parts·H·D).
fn row_at(s: &Sizes, parts: usize, part: usize, [sample, head, position]: [usize; 3]) -> usize {
    (((sample * s.s + position) * parts + part) * s.h + head) * s.d
}

/// Sample, head and position of every row of a tensor (B, H, S, D), in order.
fn places(s: &Sizes) -> impl Iterator<Item = [usize; 3]> + use<> {
    let Sizes { b, h, s, .. } = *s;
    let heads = (0..b).flat_map(move |sample| (0..h).map(move |head| [sample, head]));
    heads.flat_map(move |[sample, head]| (0..s).map(move |position| [sample, head, position]))
}

/// Tensors (B, H, S, D) as parts of rows (B·S, parts·H·D).
fn to_rows(tensors: &[&[f32]], s: &Sizes) -> Vec<f32> {
    let mut rows = vec![0.0; tensors.len() * s.query_elements()];
    for (part, tensor) in tensors.iter().enumerate() {
        for (place, values) in places(s).zip(tensor.chunks(s.d)) {
            rows[row_at(s, tensors.len(), part, place)..][..s.d].copy_from_slice(values);
        }
    }
    rows
}

/// Inverse of [`to_rows`].
fn from_rows(rows: &[f32], s: &Sizes, parts: usize) -> Vec<Vec<f32>> {
    let tensor = |part| places(s).flat_map(|place| rows[row_at(s, parts, part, place)..][..s.d].to_vec()).collect();
    (0..parts).map(tensor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_go_there_and_back() {
        let s = Sizes::of(&ketformer::arena::AttentionProblem::parse("2x3x4x5").unwrap());
        let tensors: Vec<Vec<f32>> =
            (0..3).map(|part| (0..s.query_elements()).map(|i| (1000 * part + i) as f32).collect()).collect();
        let rows = to_rows(&tensors.iter().map(Vec::as_slice).collect::<Vec<_>>(), &s);
        assert_eq!(from_rows(&rows, &s, 3), tensors);
        // Sample 1, head 2, position 3 of k, first element.
        assert_eq!(rows[(((4 + 3) * 3 + 1) * 3 + 2) * 5], tensors[1][((3 + 2) * 4 + 3) * 5]);
    }
}
