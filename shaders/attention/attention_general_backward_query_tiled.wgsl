// Gradient of general attention with respect to its queries. Tiles in workgroup memory, without subgroups.
//
//   p_ij = exp(s_ij − lse_i)        s_ij = cap · tanh(scale q_i · k_j / cap) + bias_ij
//   d_q_i = Σ_j p_ij (d_out_i · v_j − δ_i) s'_ij k_j        s'_ij = ∂s_ij / ∂(q_i · k_j)
//
// Dao et al., arXiv:2205.14135, appendix B. A workgroup owns OWNED queries of a head and iterates over the keys that they
// see, STREAMED at a time. Heads wider than 64 take further workgroups for the other columns.
//
// grid   B · H · ⌈Tq / OWNED⌉ · ⌈D / 64⌉ workgroups of 128 invocations
// reads  q, d_out (B, Tq, H, ·) · k, v (B, Tk, Hk, ·), each with strides · statistics (B, H, Tq, 2) · bias · key_counts (B)
// makes  d_q (B, Tq, H, D) with strides
#import grid
#import cache
#import tanh
#import strided_rows
#import strided_tiles
#import pair_score

struct Params {
    samples: u32, queries: u32, keys: u32, heads: u32, group: u32, width: u32, value_width: u32, halves: u32, steps: u32,
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
@group(0) @binding(8) var<storage, read_write> d_q: array<Cache>;

fn element(source: u32, at: u32) -> f32 {
    if (source == QUERY) { return f32(q[at]); }
    if (source == KEY) { return f32(k[at]); }
    if (source == VALUE) { return f32(v[at]); }
    return f32(d_out[at]);
}

fn put(at: u32, value: f32) { d_q[at] = cached(value); }

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = grid_index(group, groups);
    let tiles = (params.queries + OWNED - 1u) / OWNED;
    let first_part = index % params.halves * 16u;
    let first = index / params.halves % tiles * OWNED;
    let head = index / params.halves / tiles % params.heads;
    let kv_head = head / params.group;
    let inside = index / params.halves / tiles / params.heads < params.samples;
    let sample = min(index / params.halves / tiles / params.heads, params.samples - 1u);
    let reach = reach_of(sample, head);
    let q_start = params.q_offset + sample * params.q_sample + head * params.q_head;
    let query_rows = Rows(QUERY, q_start, params.q_position, params.queries, params.width);
    let d_start = params.d_out_offset + sample * params.d_out_sample + head * params.d_out_head;
    let slope_rows = Rows(D_OUT, d_start, params.d_out_position, params.queries, params.value_width);
    let k_start = params.k_offset + sample * params.k_sample + kv_head * params.k_head;
    let key_rows = Rows(KEY, k_start, params.k_position, reach.keys, params.width);
    let v_start = params.v_offset + sample * params.v_sample + kv_head * params.v_head;
    let value_rows = Rows(VALUE, v_start, params.v_position, reach.keys, params.value_width);

    let own = first + lane % 8u + 8u * FOUR;
    let seen = keys_of(reach, first, min(first + OWNED, params.queries) - 1u);
    var total: vec4<f32>; // lse_i in units of log 2
    var delta: vec4<f32>;
    for (var n = 0u; n < 4u; n++) {
        let of_query = statistics[(sample * params.heads + head) * params.queries + min(own[n], params.queries - 1u)];
        total[n] = of_query.x * LOG2_E;
        delta[n] = of_query.y;
    }
    var sum: mat4x4<f32>; // zero-initialized
    for (var j0 = seen.x; j0 < seen.y; j0 += STREAMED) {
        let product = scores(lane, key_rows, j0, query_rows, first, (params.width + 3u) / 4u);
        for (var m = 0u; m < 4u; m++) {
            let pair = pair_score(product[m], reach, own, vec4(j0 + lane / 8u + 16u * m));
            let p = select(exp2(pair.score - total), vec4(0.0), pair.score <= vec4(SMALLEST));
            block[lane + 128u * m] = p * pair.slope;
        }
        let slope = scores(lane, value_rows, j0, slope_rows, first, (params.value_width + 3u) / 4u);
        for (var m = 0u; m < 4u; m++) { block[lane + 128u * m] *= slope[m] - delta; }
        sum = add_rows(lane, key_rows, j0, seen.y - j0, first_part, sum);
    }
    let made_start = params.made_offset + sample * params.made_sample + head * params.made_head;
    let made_rows = Rows(0u, made_start, params.made_position, params.queries, params.width);
    store(lane, sum, made_rows, first, first_part, inside);
}
