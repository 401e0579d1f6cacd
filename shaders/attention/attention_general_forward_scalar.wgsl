// Softmax attention of queries over keys and values in buffers of their own, with strides: scalar variant, for CPUs and
// narrow heads.
//
//   out_i = Σ_j p_ij v_j        p_ij = exp(s_ij − lse_i)        lse_i = log Σ_j exp(s_ij)
//   s_ij = cap · tanh(scale q_i · k_j / cap) + bias_ij
//
// Online softmax (Milakov & Gimelshein, arXiv:1805.02867). An invocation owns a query of a head. A query that sees no key
// has out = 0 and lse = −10³⁰.
//
// grid   B · H · Tq invocations, 64 to a workgroup
// reads  q (B, Tq, H, D) · k (B, Tk, Hk, D) · v (B, Tk, Hk, Dv), each with strides · bias · key_counts (B)
// makes  out (B, Tq, H, Dv) with strides · lse (B, H, Tq)
#import grid
#import cache
#import tanh
#import strided_rows
#import pair_score
const PARTS: u32 = 2u; // spec 1 4 16

struct Params {
    samples: u32, queries: u32, keys: u32, heads: u32, group: u32, width: u32, value_width: u32,
    q_offset: u32, q_sample: u32, q_position: u32, q_head: u32, k_offset: u32, k_sample: u32, k_position: u32, k_head: u32,
    v_offset: u32, v_sample: u32, v_position: u32, v_head: u32,
    out_offset: u32, out_sample: u32, out_position: u32, out_head: u32,
    scale: f32, softcap: f32, before: u32, after: u32, past: u32, counted: u32,
    biased: u32, bias_sample: u32, bias_head: u32, bias_query: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Cache>;
@group(0) @binding(2) var<storage, read> k: array<Cache>;
@group(0) @binding(3) var<storage, read> v: array<Cache>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> key_counts: array<u32>;           // (B)
@group(0) @binding(6) var<storage, read_write> out: array<Cache>;
@group(0) @binding(7) var<storage, read_write> lse: array<f32>;            // (B, H, Tq)

fn element(source: u32, at: u32) -> f32 {
    if (source == QUERY) { return f32(q[at]); }
    if (source == KEY) { return f32(k[at]); }
    return f32(v[at]);
}

fn put(at: u32, value: f32) { out[at] = cached(value); }

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    if (index >= params.samples * params.heads * params.queries) { return; }
    let query = index % params.queries;
    let head = index / params.queries % params.heads;
    let sample = index / params.queries / params.heads;
    let kv_head = head / params.group;
    let reach = reach_of(sample, head);
    let q_start = params.q_offset + sample * params.q_sample + head * params.q_head;
    let query_rows = Rows(QUERY, q_start, params.q_position, params.queries, params.width);
    let k_start = params.k_offset + sample * params.k_sample + kv_head * params.k_head;
    let key_rows = Rows(KEY, k_start, params.k_position, reach.keys, params.width);
    let v_start = params.v_offset + sample * params.v_sample + kv_head * params.v_head;
    let value_rows = Rows(VALUE, v_start, params.v_position, reach.keys, params.value_width);

    var own: array<vec4<f32>, PARTS>;
    var sum: array<vec4<f32>, PARTS>;
    for (var c = 0u; c < PARTS; c++) {
        own[c] = load(query_rows, query, c);
        sum[c] = vec4(0.0);
    }
    let seen = keys_of(reach, query, query);
    var largest = SMALLEST;
    var total = 0.0;
    for (var j = seen.x; j < seen.y; j++) {
        var product = 0.0;
        for (var c = 0u; c < PARTS; c++) { product += dot(own[c], load(key_rows, j, c)); }
        let score = pair_score(vec4(product), reach, vec4(query), vec4(j)).score.x;
        let earlier = largest;
        largest = max(largest, score);
        let before = exp2(earlier - largest);
        let p = exp2(score - largest);
        total = fma(total, before, p);
        for (var c = 0u; c < PARTS; c++) { sum[c] = fma(vec4(p), load(value_rows, j, c), sum[c] * before); }
    }

    lse[index] = select((largest + log2(total)) * LOG_2, SMALLEST, total == 0.0);
    let to = params.out_offset + sample * params.out_sample + query * params.out_position + head * params.out_head;
    let inverse = 1.0 / select(total, 1.0, total == 0.0);
    for (var c = 0u; c < PARTS; c++) {
        for (var e = 0u; e < 4u; e++) {
            if (4u * c + e < params.value_width) { put(to + 4u * c + e, sum[c][e] * inverse); }
        }
    }
}
