// Gradient of general attention with respect to its keys, or to its values: scalar variant, for CPUs and narrow heads.
//
//   p_ij = exp(s_ij − lse_i)        s_ij = cap · tanh(scale q_i · k_j / cap) + bias_ij
//   d_k_j = Σ_i p_ij (d_out_i · v_j − δ_i) s'_ij q_i        d_v_j = Σ_i p_ij d_out_i        s'_ij = ∂s_ij / ∂(q_i · k_j)
//
// Dao et al., arXiv:2205.14135, appendix B. An invocation owns a key of a head and iterates over the heads of queries that
// share it, in order, and over the queries that see the key.
//
// grid   B · Hk · Tk invocations, 64 to a workgroup
// reads  q, d_out (B, Tq, H, ·) · k, v (B, Tk, Hk, ·), each with strides · statistics (B, H, Tq, 2) · bias · key_counts (B)
// makes  made (B, Tk, Hk, ·) with strides: d_k, or d_v with OF_VALUES
#import grid
#import cache
#import tanh
#import strided_rows
#import pair_score
const PARTS: u32 = 2u; // spec 1 4 16
const OF_VALUES: u32 = 0u; // spec 1

struct Params {
    samples: u32, queries: u32, keys: u32, heads: u32, group: u32, width: u32, value_width: u32,
    q_offset: u32, q_sample: u32, q_position: u32, q_head: u32, k_offset: u32, k_sample: u32, k_position: u32, k_head: u32,
    v_offset: u32, v_sample: u32, v_position: u32, v_head: u32,
    d_out_offset: u32, d_out_sample: u32, d_out_position: u32, d_out_head: u32,
    made_offset: u32, made_sample: u32, made_position: u32, made_head: u32,
    scale: f32, softcap: f32, before: u32, after: u32, past: u32, counted: u32,
    biased: u32, bias_sample: u32, bias_head: u32, bias_query: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Cache>;
@group(0) @binding(2) var<storage, read> k: array<Cache>;
@group(0) @binding(3) var<storage, read> v: array<Cache>;
@group(0) @binding(4) var<storage, read> d_out: array<Cache>;
@group(0) @binding(5) var<storage, read> statistics: array<vec2<f32>>;     // (B, H, Tq)
@group(0) @binding(6) var<storage, read> bias: array<f32>;
@group(0) @binding(7) var<storage, read> key_counts: array<u32>;           // (B)
@group(0) @binding(8) var<storage, read_write> made: array<Cache>;

fn element(source: u32, at: u32) -> f32 {
    if (source == QUERY) { return f32(q[at]); }
    if (source == KEY) { return f32(k[at]); }
    if (source == VALUE) { return f32(v[at]); }
    return f32(d_out[at]);
}

fn put(at: u32, value: f32) { made[at] = cached(value); }

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    let kv_heads = params.heads / params.group;
    if (index >= params.samples * kv_heads * params.keys) { return; }
    let key = index % params.keys;
    let kv_head = index / params.keys % kv_heads;
    let sample = index / params.keys / kv_heads;
    let k_start = params.k_offset + sample * params.k_sample + kv_head * params.k_head;
    let key_rows = Rows(KEY, k_start, params.k_position, params.keys, params.width);
    let v_start = params.v_offset + sample * params.v_sample + kv_head * params.v_head;
    let value_rows = Rows(VALUE, v_start, params.v_position, params.keys, params.value_width);

    var own: array<vec4<f32>, PARTS>;
    var value: array<vec4<f32>, PARTS>;
    var sum: array<vec4<f32>, PARTS>;
    for (var c = 0u; c < PARTS; c++) {
        own[c] = load(key_rows, key, c);
        value[c] = load(value_rows, key, c);
        sum[c] = vec4(0.0);
    }
    for (var head = kv_head * params.group; head < (kv_head + 1u) * params.group; head++) {
        let reach = reach_of(sample, head);
        let q_start = params.q_offset + sample * params.q_sample + head * params.q_head;
        let query_rows = Rows(QUERY, q_start, params.q_position, params.queries, params.width);
        let d_start = params.d_out_offset + sample * params.d_out_sample + head * params.d_out_head;
        let slope_rows = Rows(D_OUT, d_start, params.d_out_position, params.queries, params.value_width);
        let seen = queries_of(reach, key, key);
        for (var i = seen.x; i < seen.y; i++) {
            var query: array<vec4<f32>, PARTS>;
            var slope: array<vec4<f32>, PARTS>;
            var product = 0.0;
            var d_p = 0.0;
            for (var c = 0u; c < PARTS; c++) {
                query[c] = load(query_rows, i, c);
                slope[c] = load(slope_rows, i, c);
                product += dot(query[c], own[c]);
                d_p += dot(slope[c], value[c]);
            }
            let of_query = statistics[(sample * params.heads + head) * params.queries + i];
            let pair = pair_score(vec4(product), reach, vec4(i), vec4(key));
            let p = select(exp2(pair.score.x - of_query.x * LOG2_E), 0.0, pair.score.x <= SMALLEST);
            let d_product = p * pair.slope.x * (d_p - of_query.y);
            for (var c = 0u; c < PARTS; c++) {
                if (OF_VALUES == 1u) { sum[c] = fma(vec4(p), slope[c], sum[c]); }
                else { sum[c] = fma(vec4(d_product), query[c], sum[c]); }
            }
        }
    }

    let to = params.made_offset + sample * params.made_sample + key * params.made_position + kv_head * params.made_head;
    let width = select(params.width, params.value_width, OF_VALUES == 1u);
    for (var c = 0u; c < PARTS; c++) {
        for (var e = 0u; e < 4u; e++) {
            if (4u * c + e < width) { put(to + 4u * c + e, sum[c][e]); }
        }
    }
}
