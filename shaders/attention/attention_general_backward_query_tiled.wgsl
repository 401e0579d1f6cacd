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
#import general_backward
#import general_rows
#import pair_score

@group(0) @binding(8) var<storage, read_write> d_q: array<Cache>;

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
    let query_rows = rows_of_queries(sample, head);
    let slope_rows = rows_of_gradients(sample, head);
    let key_rows = rows_of_keys(sample, kv_head, reach.keys);
    let value_rows = rows_of_values(sample, kv_head, reach.keys);

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
