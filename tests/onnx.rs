//! ONNX's own test cases of attention nodes, through the public interface of general attention. Needs Python with onnx,
//! which `.ci/run` installs. To run by hand: `pip install onnx && cargo test --release --test onnx -- --ignored`.

use std::collections::BTreeMap;
use std::process::Command;

use ketformer::gpu::{DType, Gpu, Plan, View};
use ketformer::kernels::attention::general::{
    BiasStrides, GeneralForward, GeneralScores, GeneralShape, Layout, ScoresOf,
};
use ketformer::wgpu;
use serde_json::Value;

/// Largest difference, relative to the expected element.
const RELATIVE: f32 = 1e-3;

/// The same in addition, as ONNX's own runner allows.
const ABSOLUTE: f32 = 1e-7;

/// A tensor of a case; f16 is wide.
struct Tensor {
    dtype: String,
    shape: Vec<u32>,
    values: Vec<f32>,
}

impl Tensor {
    fn new(json: &Value) -> Self {
        let numbers = |key: &str| json[key].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u32);
        Self {
            dtype: json["type"].as_str().unwrap().into(),
            shape: numbers("shape").collect(),
            values: numbers("bits").map(f32::from_bits).collect(),
        }
    }

    /// Samples, heads, positions and width of a tensor (B, H, T, D), or (B, T, H·D) with `heads` heads.
    fn sizes(&self, heads: Option<u32>) -> [u32; 4] {
        match (self.shape.as_slice(), heads) {
            (&[b, h, t, d], _) => [b, h, t, d],
            (&[b, t, c], Some(h)) => [b, h, t, c / h],
            _ => panic!("a tensor of shape {:?}", self.shape),
        }
    }

    fn is_half(&self) -> bool {
        self.dtype == "float16"
    }

    fn upload(&self, gpu: &Gpu, label: &str) -> View {
        if !self.is_half() {
            return gpu.upload(label, &self.values).unwrap().view();
        }
        let halves: Vec<u16> = self.values.iter().map(|value| half::f16::from_f32(*value).to_bits()).collect();
        gpu.upload(label, &halves).unwrap().view().stored_as(DType::F16)
    }
}

/// Elements of `past` followed by those of `new`, for each sample and head: (B, H, T, D), or `new` (B, T, H·D).
fn appended(past: &Tensor, new: &Tensor, heads: Option<u32>) -> Tensor {
    let ([b, h, t, d], before) = (new.sizes(heads), past.shape[2]);
    let mut values = Vec::new();
    for (sample, head) in (0..b).flat_map(|sample| (0..h).map(move |head| (sample, head))) {
        let rows = before * d;
        let first = ((sample * h + head) * rows) as usize;
        values.extend(&past.values[first..first + rows as usize]);
        for position in 0..t {
            let row =
                if heads.is_some() { (sample * t + position) * h + head } else { (sample * h + head) * t + position };
            values.extend(&new.values[(row * d) as usize..][..d as usize]);
        }
    }
    Tensor { dtype: new.dtype.clone(), shape: vec![b, h, before + t, d], values }
}

/// What a case is about: its row in the table.
fn kind(case: &Value) -> &'static str {
    let (inputs, attributes) = (&case["inputs"], &case["attributes"]);
    let has = |name: &str| attributes.get(name).is_some();
    match case["operator"].as_str().unwrap() {
        "LinearAttention" => return "another operator: LinearAttention",
        "FlexAttention" if has("prob_mod") => return "a function of the probabilities (`prob_mod`)",
        "FlexAttention" if has("score_mod") => return "a function of the scores (`score_mod`): causal, softcap, bias",
        _ => {}
    }
    match inputs["0"]["type"].as_str().unwrap() {
        "bfloat16" => return "bfloat16",
        "float64" => return "float64",
        _ => {}
    }
    let grouped = {
        let of = |at: &str| inputs[at]["shape"][1].as_u64();
        attributes.get("q_num_heads") != attributes.get("kv_num_heads")
            || inputs["0"]["shape"].as_array().unwrap().len() == 4 && of("0") != of("1")
    };
    match () {
        () if case["outputs"].get("3").is_some() => "scores or probabilities as an output (`qk_matmul_output`)",
        () if inputs.get("4").is_some() => "past and present keys and values",
        () if inputs.get("6").is_some() => "numbers of keys per sample (`nonpad_kv_seqlen`)",
        () if has("left_window_size") || has("right_window_size") => "sliding window",
        () if inputs.get("3").is_some() => "float or boolean mask, broadcast",
        () if has("softcap") => "softcap",
        () if has("is_causal") => "causal",
        () if grouped => "grouped heads",
        () => "plain, scaled, other widths of values",
    }
}

/// A case as a launch: the shape and the operands.
struct Launch {
    shape: GeneralShape,
    operands: [Tensor; 3],
    bias: Option<Vec<f32>>,
    key_counts: Option<Vec<u32>>,
}

/// The bias of a mask, which is broadcast by strides. A shorter last axis is padded with −∞.
fn bias_of(mask: &Tensor, keys: u32) -> (Vec<f32>, BiasStrides) {
    let own = *mask.shape.last().unwrap();
    let of_bool = |value: f32| if value == 0.0 { f32::NEG_INFINITY } else { 0.0 };
    let value = |value: &f32| if mask.dtype == "bool" { of_bool(*value) } else { *value };
    let row = |row: &[f32]| {
        let padding = vec![f32::NEG_INFINITY; (keys - own) as usize];
        row.iter().map(value).chain(padding).collect::<Vec<f32>>()
    };
    let values = mask.values.chunks(own as usize).flat_map(row).collect();
    // Axes from the last but one: queries, heads, samples.
    let mut axes = mask.shape.iter().rev().skip(1);
    let mut step = keys;
    let mut stride = || {
        let size = axes.next().copied().unwrap_or(1);
        step *= size;
        if size == 1 { 0 } else { step / size }
    };
    (values, BiasStrides { query: stride(), head: stride(), sample: stride() })
}

impl Launch {
    fn new(case: &Value) -> Self {
        let attributes = &case["attributes"];
        let number = |name: &str| attributes.get(name).map(|value| value.as_f64().unwrap());
        let input = |at: &str| case["inputs"].get(at).map(Tensor::new);
        let [q, mut k, mut v] = ["0", "1", "2"].map(|at| input(at).unwrap());
        let (q_heads, kv_heads) = (number("q_num_heads").map(|n| n as u32), number("kv_num_heads").map(|n| n as u32));
        let layout = if q.shape.len() == 3 { Layout::BatchFirst } else { Layout::HeadFirst };
        let mut shape = GeneralShape { layouts: layout.into(), ..Default::default() };
        if let (Some(past_k), Some(past_v)) = (input("4"), input("5")) {
            (k, v) = (appended(&past_k, &k, kv_heads), appended(&past_v, &v, kv_heads));
            (shape.layouts.k, shape.layouts.v) = (Layout::HeadFirst, Layout::HeadFirst);
            shape.past = past_k.shape[2];
        }
        let ([b, h, tq, d], [_, hk, tk, _], [.., dv]) = (q.sizes(q_heads), k.sizes(kv_heads), v.sizes(kv_heads));
        (shape.samples, shape.queries, shape.keys, shape.heads, shape.width) = (b, tq, tk, h, d);
        (shape.key_heads, shape.value_width) = (Some(hk), Some(dv));
        shape.scale = number("scale").map(|scale| scale as f32);
        shape.softcap = number("softcap").filter(|cap| *cap > 0.0).map(|cap| cap as f32);
        let window = |name: &str| number(name).filter(|keys| *keys >= 0.0).map(|keys| keys as u32);
        (shape.keys_before, shape.keys_after) = (window("left_window_size"), window("right_window_size"));
        if number("is_causal") == Some(1.0) {
            shape.keys_after = Some(0);
        }
        let key_counts = input("6").map(|counts| counts.values.iter().map(|n| *n as u32).collect());
        let mut bias = input("3").map(|mask| bias_of(&mask, tk));
        if let Some(score_mod) = attributes.get("score_mod") {
            let constant = score_mod["constants"][0].as_f64().unwrap() as f32;
            let by_distance = (0..tq).flat_map(|i| (0..tk).map(move |j| i as f32 - j as f32)).collect();
            match score_mod["graph"].as_str().unwrap() {
                "score_mod_causal_mask" => shape.keys_after = Some(0),
                "score_mod_soft_cap" => shape.softcap = Some(constant),
                "score_mod_bias" => bias = Some((vec![constant; tk as usize], BiasStrides::default())),
                "score_mod_relative_positional" => {
                    bias = Some((by_distance, BiasStrides { query: tk, ..Default::default() }));
                }
                other => panic!("unknown function {other}"),
            }
        }
        shape.bias = bias.as_ref().map_or(BiasStrides::default(), |(_, strides)| *strides);
        Self { shape, operands: [q, k, v], bias: bias.map(|(values, _)| values), key_counts }
    }

    /// Runs the launch and returns Y, and scores if there are some.
    fn run(&self, gpu: &Gpu, scores: Option<ScoresOf>) -> ketformer::Result<[Vec<f32>; 2]> {
        let [q, k, v] = &self.operands;
        let (half, elements) = (q.is_half(), self.shape.elements()[3]);
        let attention = GeneralForward {
            q: q.upload(gpu, "q"),
            k: k.upload(gpu, "k"),
            v: v.upload(gpu, "v"),
            bias: self.bias.as_ref().map(|bias| gpu.upload("bias", bias)).transpose()?.map(|bias| bias.view()),
            key_counts: self.key_counts.as_ref().map(|n| gpu.upload("counts", n)).transpose()?.map(|n| n.view()),
            out: gpu.buffer_of("out", elements, if half { DType::F16 } else { DType::F32 })?.view(),
            lse: gpu.buffer("lse", self.shape.rows())?.view(),
        };
        let mut plan = Plan::new(gpu);
        attention.record(&mut plan, &self.shape)?;
        let pairs = self.shape.rows() * u64::from(self.shape.keys);
        let score = gpu.buffer("score", pairs)?.view();
        if let Some(of) = scores {
            let GeneralForward { q, k, bias, key_counts, lse, .. } = attention.clone();
            GeneralScores { q, k, bias, key_counts, lse, score: score.clone() }.record(&mut plan, &self.shape, of)?;
        }
        plan.run()?;
        // ONNX has −∞ where this crate has −10³⁰.
        let excluded = |score: f32| if score <= -1e30 { f32::NEG_INFINITY } else { score };
        let scores = score.read::<f32>(gpu, if scores.is_some() { pairs as usize } else { 0 })?;
        let scores = scores.into_iter().map(excluded).collect();
        if !half {
            return Ok([attention.out.read(gpu, elements as usize)?, scores]);
        }
        let words: Vec<u16> = attention.out.read(gpu, elements as usize)?;
        Ok([words.into_iter().map(|bits| half::f16::from_bits(bits).to_f32()).collect(), scores])
    }
}

/// What a case has as its fourth output.
fn scores_of(case: &Value) -> Option<ScoresOf> {
    case["outputs"].get("3")?;
    let mode = case["attributes"].get("qk_matmul_output_mode").map_or(0, |mode| mode.as_u64().unwrap());
    Some([ScoresOf::Products, ScoresOf::Capped, ScoresOf::Scores, ScoresOf::Probabilities][mode as usize])
}

/// Whether each element is within the tolerance. NaN is not, and infinities are equal.
fn agrees(found: &[f32], expected: &[f32]) -> bool {
    let near = |(a, b): (&f32, &f32)| a == b || b.is_finite() && (a - b).abs() <= ABSOLUTE + RELATIVE * b.abs();
    found.len() == expected.len() && found.iter().zip(expected).all(near)
}

/// What general attention does not express, see [`kind`].
const UNCOVERED: [&str; 4] =
    ["bfloat16", "float64", "a function of the probabilities (`prob_mod`)", "another operator: LinearAttention"];

/// The table of docs/embedding.md.
fn table(counts: &BTreeMap<&str, [usize; 4]>) -> String {
    let mut lines = vec!["| kind | covered | 4-D float32 | 4-D float16 | 3-D float32 | others |".to_string()];
    lines.push("|---|---|---|---|---|---|".into());
    let rows = |covered: bool| counts.iter().filter(move |(kind, _)| UNCOVERED.contains(kind) != covered);
    for covered in [true, false] {
        for (kind, [a, b, c, d]) in rows(covered) {
            lines.push(format!("| {kind} | {} | {a} | {b} | {c} | {d} |", if covered { "yes" } else { "no" }));
        }
        let sum = |column: usize| rows(covered).map(|(_, counts)| counts[column]).sum::<usize>();
        let [a, b, c, d] = [0, 1, 2, 3].map(sum);
        lines.push(format!(
            "| all {} | {} | {a} | {b} | {c} | {d} |",
            a + b + c + d,
            if covered { "yes" } else { "no" }
        ));
    }
    lines.join("\n")
}

#[test]
#[ignore = "needs Python with onnx; .ci/run installs it and runs it"]
fn the_cases_of_onnx_that_the_table_lists_pass() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/onnx_attention.py");
    let python = std::env::var("KETFORMER_PYTHON").unwrap_or("python3".into());
    let output = Command::new(python).arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let cases: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let gpu = Gpu::new().unwrap();
    assert!(gpu.features().contains(wgpu::Features::SHADER_F16), "the cases of float16 need an adapter with f16");
    let (mut counts, mut failures) = (BTreeMap::new(), Vec::new());
    for case in &cases {
        let (kind, inputs) = (kind(case), &case["inputs"]);
        let column = match (inputs["0"]["shape"].as_array().unwrap().len(), inputs["0"]["type"].as_str().unwrap()) {
            (4, "float32") => 0,
            (4, "float16") => 1,
            (3, "float32") => 2,
            _ => 3,
        };
        counts.entry(kind).or_insert([0; 4])[column] += 1;
        if UNCOVERED.contains(&kind) {
            continue;
        }
        let launch = Launch::new(case);
        let found = launch.run(&gpu, scores_of(case));
        let [y, scores] = found.unwrap_or_else(|e| panic!("{}: {e}", case["name"]));
        let output = |at: &str| case["outputs"].get(at).map_or(Vec::new(), |output| Tensor::new(output).values);
        // The present keys and values are the buffers that the launch reads.
        let [_, k, v] = &launch.operands;
        let is_present = |of: &Tensor, at: &str| output(at).is_empty() || of.values == output(at);
        let present = is_present(k, "1") && is_present(v, "2");
        if !present || !agrees(&y, &output("0")) || !agrees(&scores, &output("3")) {
            failures.push(case["name"].to_string());
        }
    }
    println!("{}", table(&counts));
    assert!(failures.is_empty(), "{} of {}: {failures:?}", failures.len(), cases.len());
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/embedding.md")).unwrap();
    assert!(document.contains(&table(&counts)), "docs/embedding.md does not contain\n{}", table(&counts));
}
