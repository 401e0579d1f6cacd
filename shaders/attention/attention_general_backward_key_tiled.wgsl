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
#import general_backward
#import general_rows
#import pair_score
const OF_VALUES: u32 = 0u; // spec 1

@group(0) @binding(8) var<storage, read_write> made: array<Cache>;

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
    let key_rows = rows_of_keys(sample, kv_head, count);
    let value_rows = rows_of_values(sample, kv_head, count);

    var sum: mat4x4<f32>; // zero-initialized
    for (var head = kv_head * params.group; head < (kv_head + 1u) * params.group; head++) {
        let reach = reach_of(sample, head);
        let query_rows = rows_of_queries(sample, head);
        let slope_rows = rows_of_gradients(sample, head);
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
