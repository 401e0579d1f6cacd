// Gradient of general attention with respect to its keys, or to its values. Tiles in workgroup memory, without subgroups.
//
//   p_ij = exp(s_ij − lse_i)        s_ij = cap · tanh(scale q_i · k_j / cap) + bias_ij
//   d_k_j = Σ_i p_ij (d_out_i · v_j − δ_i) s'_ij q_i        d_v_j = Σ_i p_ij d_out_i        s'_ij = ∂s_ij / ∂(q_i · k_j)
//
// Dao et al., arXiv:2205.14135, appendix B. A workgroup owns OWNED keys of a head and iterates over the heads of queries
// that share it, in order, and over the queries that see the keys, STREAMED at a time. Heads wider than 64 take further
// workgroups for the other columns. Keys and values take a launch each, because eight buffers are the default limit.
//
// grid   B · Hk · ⌈Tk / OWNED⌉ · ⌈D / 64⌉ workgroups of 128 invocations, or Dv with OF_VALUES
// reads  q, d_out (B, Tq, H, ·) · k, v (B, Tk, Hk, ·), each with strides · statistics (B, H, Tq, 2) · bias · key_counts (B)
// makes  made (B, Tk, Hk, ·) with strides: d_k, or d_v with OF_VALUES
#import grid
#import cache
#import tanh
#import strided_rows
#import strided_tiles
#import pair_score
const OF_VALUES: u32 = 0u; // spec 1

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
@group(0) @binding(8) var<storage, read_write> made: array<Cache>;

fn element(source: u32, at: u32) -> f32 {
    if (source == QUERY) { return f32(q[at]); }
    if (source == KEY) { return f32(k[at]); }
    if (source == VALUE) { return f32(v[at]); }
    return f32(d_out[at]);
}

fn put(at: u32, value: f32) { made[at] = cached(value); }

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = grid_index(group, groups);
    let tiles = (params.keys + OWNED - 1u) / OWNED;
    let kv_heads = params.heads / params.group;
    let first_part = index % params.halves * 16u;
    let first = index / params.halves % tiles * OWNED;
    let kv_head = index / params.halves / tiles % kv_heads;
    let inside = index / params.halves / tiles / kv_heads < params.samples;
    let sample = min(index / params.halves / tiles / kv_heads, params.samples - 1u);
    let own = first + lane % 8u + 8u * FOUR;
    let count = reach_of(sample, 0u).keys;
    let k_start = params.k_offset + sample * params.k_sample + kv_head * params.k_head;
    let key_rows = Rows(KEY, k_start, params.k_position, count, params.width);
    let v_start = params.v_offset + sample * params.v_sample + kv_head * params.v_head;
    let value_rows = Rows(VALUE, v_start, params.v_position, count, params.value_width);

    var sum: mat4x4<f32>; // zero-initialized
    for (var head = kv_head * params.group; head < (kv_head + 1u) * params.group; head++) {
        let reach = reach_of(sample, head);
        let q_start = params.q_offset + sample * params.q_sample + head * params.q_head;
        let query_rows = Rows(QUERY, q_start, params.q_position, params.queries, params.width);
        let d_start = params.d_out_offset + sample * params.d_out_sample + head * params.d_out_head;
        let slope_rows = Rows(D_OUT, d_start, params.d_out_position, params.queries, params.value_width);
        let row = (sample * params.heads + head) * params.queries;
        let seen = queries_of(reach, first, min(first + OWNED, params.keys) - 1u);
        for (var i0 = seen.x; i0 < seen.y; i0 += STREAMED) {
            let product = scores(lane, query_rows, i0, key_rows, first, (params.width + 3u) / 4u);
            for (var m = 0u; m < 4u; m++) {
                let i = i0 + lane / 8u + 16u * m;
                let pair = pair_score(product[m], reach, vec4(i), own);
                let total = statistics[row + min(i, params.queries - 1u)].x * LOG2_E;
                let p = select(exp2(pair.score - total), vec4(0.0), pair.score <= vec4(SMALLEST));
                block[lane + 128u * m] = select(p * pair.slope, p, OF_VALUES == 1u);
            }
            if (OF_VALUES == 1u) {
                sum = add_rows(lane, slope_rows, i0, seen.y - i0, first_part, sum);
            } else {
                let slope = scores(lane, slope_rows, i0, value_rows, first, (params.value_width + 3u) / 4u);
                for (var m = 0u; m < 4u; m++) {
                    let i = i0 + lane / 8u + 16u * m;
                    block[lane + 128u * m] *= slope[m] - statistics[row + min(i, params.queries - 1u)].y;
                }
                sum = add_rows(lane, query_rows, i0, seen.y - i0, first_part, sum);
            }
        }
    }
    let made_start = params.made_offset + sample * params.made_sample + kv_head * params.made_head;
    let made_rows = Rows(0u, made_start, params.made_position, params.keys, select(params.width, params.value_width, OF_VALUES == 1u));
    store(lane, sum, made_rows, first, first_part, inside);
}
