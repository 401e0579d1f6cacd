//! nano-gpt of the LLM Visualization: intermediate tensors and sorting. The test reads the folder `KETFORMER_NANO_GPT`
//! with `gpt-nano-sort-model.json` and `gpt-nano-sort-t0-partials.json` of <https://github.com/bbycroft/llm-viz>.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::network::{Gpt, TrainingPass};
use super::{GptSampler, IGNORED, LoadedGpt, SamplingSettings, TokenBatch};
use crate::gpu::{Gpu, Plan, View};
use crate::kernels::linear::Activation;
use crate::model::Tensor;

const SEQUENCES: usize = 3;

/// Largest difference of `found` from `expected`, relative to the largest value. Masked scores are −∞ in both.
fn difference(found: &[f64], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let finite = || found.iter().zip(expected).filter(|(_, e)| e.is_finite());
    assert!(found.iter().zip(expected).all(|(f, e)| e.is_finite() || *f == f64::from(*e)));
    let largest = finite().fold(0f64, |most, (_, e)| most.max(f64::from(*e).abs()));
    finite().fold(0f64, |most, (f, e)| most.max((f - f64::from(*e)).abs())) / largest
}

/// Values of `view`.
fn read(gpu: &Gpu, view: &View, count: usize) -> Vec<f64> {
    view.read::<f32>(gpu, count).unwrap().into_iter().map(f64::from).collect()
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

#[test]
#[ignore = "reads the folder KETFORMER_NANO_GPT, which is not part of this repository"]
fn nano_gpt_has_its_published_tensors_and_sorts_every_input() {
    let folder = PathBuf::from(std::env::var("KETFORMER_NANO_GPT").expect("KETFORMER_NANO_GPT is not set"));
    let LoadedGpt { config, weights, .. } = LoadedGpt::load(folder.join("gpt-nano-sort-model.json"), None).unwrap();
    let expected: BTreeMap<String, Tensor> =
        super::weights::tensors_of_json(&folder.join("gpt-nano-sort-t0-partials.json")).unwrap();
    let expected = |name: &str| &expected[name].values;
    let gpu = Gpu::new().unwrap();
    let gpt = Gpt::new(&gpu, &config, &weights).unwrap();
    let pass = TrainingPass::new(&gpt, SEQUENCES as u32, 0.0).unwrap();
    let tokens: Vec<u32> = expected("idx").iter().map(|token| *token as u32).collect();
    pass.load(&TokenBatch { tokens: tokens.clone(), targets: vec![IGNORED; tokens.len()] }, 0.0).unwrap();
    let (rows, c, h) = (tokens.len(), config.width, config.heads);
    let (t, d) = (config.block, c / h);
    let logits = gpu.buffer("logits", (rows * config.padded_vocabulary()) as u64).unwrap();
    let mut plan = Plan::new(&gpu);
    pass.record_logits(&mut plan, &logits).unwrap();
    plan.run().unwrap();

    let mut checked = 0;
    let mut check = |name: &str, found: &[f64]| {
        let difference = difference(found, expected(name));
        assert!(difference < 2e-5, "{name}: {difference:e}");
        checked += 1;
    };
    let kept = pass.kept();
    let layer = |k: usize, part: &str, width: usize| read(&gpu, &kept[k].view(part), rows * width);
    let table = |name: &str| weights.tensors[name].values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
    check("idx", &tokens.iter().map(|token| f64::from(*token)).collect::<Vec<_>>());
    let (wte, wpe) = (table("wte.weight"), table("wpe.weight"));
    check("tok_emb", &tokens.iter().flat_map(|v| wte[*v as usize * c..][..c].to_vec()).collect::<Vec<_>>());
    check("pos_emb", &wpe);
    let (x, qkv, sum, ln2) = (layer(0, "x", c), layer(0, "qkv", 3 * c), layer(0, "sum1", c), layer(0, "normed", c));
    check("x", &x);
    check("ln1", &layer(0, "other", c));
    check("qkv", &qkv);
    let heads = |third: usize| {
        let at = move |s: usize, head: usize, p: usize, i: usize| (s * t + p) * 3 * c + third * c + head * d + i;
        let all = (0..SEQUENCES).flat_map(|s| (0..h).map(move |head| (s, head)));
        all.flat_map(|(s, head)| (0..t * d).map(move |e| at(s, head, e / d, e % d)))
            .map(|at| qkv[at])
            .collect::<Vec<_>>()
    };
    let (q, k) = (heads(0), heads(1));
    check("q", &q);
    check("k", &k);
    check("v", &heads(2));
    let score = |e: usize| {
        let (head, i, j) = (e / (t * t), e / t % t, e % t);
        let dot: f64 = (0..d).map(|n| q[(head * t + i) * d + n] * k[(head * t + j) * d + n]).sum();
        if j > i { f64::NEG_INFINITY } else { dot / (d as f64).sqrt() }
    };
    let scores: Vec<f64> = (0..SEQUENCES * h * t * t).map(score).collect();
    check("att", &scores);
    // The kernel of attention gives out_i = Σ_j p_ij v_j and lse_i.
    let lse = layer(0, "total", h);
    let weight = |e: usize| {
        let (s, head, i) = (e / (h * t * t), e / (t * t) % h, e / t % t);
        (scores[e] - lse[(s * t + i) * h + head]).exp()
    };
    check("attSm", &(0..scores.len()).map(weight).collect::<Vec<_>>());
    check("y", &layer(0, "attention", c));
    check("yProj", &minus(&sum, &x));
    check("attnResid", &sum);
    check("ln2", &ln2);
    let hidden = layer(0, "hidden", config.feed_forward);
    check("fc", &hidden);
    check("gelu", &hidden.iter().map(|v| Activation::Gelu.value(*v)).collect::<Vec<_>>());
    let blocks = [layer(1, "x", c), layer(2, "x", c), read(&gpu, &pass.last(), rows * c)];
    check("mlp", &minus(&blocks[0], &sum));
    check("mlpResid", &blocks[0]);
    for (name, block) in ["block0", "block1", "block2"].iter().zip(&blocks) {
        check(name, block);
    }
    check("ln_f", &read(&gpu, &pass.top(), rows * c));
    let stored: Vec<f32> = logits.read(&gpu, rows * config.padded_vocabulary()).unwrap();
    let rows_of = stored.chunks(config.padded_vocabulary()).flat_map(|row| &row[..config.vocabulary]);
    let logits: Vec<f64> = rows_of.copied().map(f64::from).collect();
    check("lm_head", &logits);
    let softmax = |row: &[f64]| {
        let sum: f64 = row.iter().map(|l| l.exp()).sum();
        row.iter().map(|l| l.exp() / sum).collect::<Vec<_>>()
    };
    check("probs", &logits.chunks(config.vocabulary).flat_map(softmax).collect::<Vec<_>>());
    assert_eq!(checked, 25);
    let inputs: Vec<Vec<u32>> = (0..729u32).map(|n| (0..6).map(|i| n / 3u32.pow(i) % 3).collect()).collect();
    let mut sampler = GptSampler::new(&gpu, &config, &weights, inputs.len()).unwrap();
    let settings = SamplingSettings { new_tokens: 6, greedy: true, ..SamplingSettings::default() };
    let outputs = sampler.sample(&inputs, &settings, |_| true).unwrap();
    let is_sorted = |(input, output): (&Vec<u32>, &super::Continuation)| {
        let mut sorted = input.clone();
        sorted.sort_unstable();
        output.tokens == sorted
    };
    let count = inputs.iter().zip(&outputs).filter(|pair| is_sorted(*pair)).count();
    assert_eq!(count, 729);
}
