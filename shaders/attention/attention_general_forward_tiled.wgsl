// Softmax attention of queries over keys and values in buffers of their own, with strides: grouped heads, any number of
// keys, a window, an additive bias. Tiles in workgroup memory, without subgroups.
//
//   out_i = Σ_j p_ij v_j        p_ij = exp(s_ij − lse_i)        lse_i = log Σ_j exp(s_ij)
//   s_ij = cap · tanh(scale q_i · k_j / cap) + bias_ij
//
// Online softmax (Milakov & Gimelshein, arXiv:1805.02867). A workgroup owns OWNED queries of a head and iterates over the
// keys that they see, STREAMED at a time. Values wider than 64 take further workgroups for the other columns. A query
// that sees no key has out = 0 and lse = −10³⁰.
//
// grid   B · H · ⌈Tq / OWNED⌉ · ⌈Dv / 64⌉ workgroups of 128 invocations
// reads  q (B, Tq, H, D) · k (B, Tk, Hk, D) · v (B, Tk, Hk, Dv), each with strides · bias · key_counts (B)
// makes  out (B, Tq, H, Dv) with strides · lse (B, H, Tq)
#import grid
#import cache
#import tanh
#import strided_rows
#import strided_tiles
#import general_params
#import general_forward
#import general_rows
#import pair_score

// A vector of four owned queries lane % 8 + 8·n each: factors of earlier sums, finally 1 / Σ_j exp.
var<workgroup> of_owned: array<vec4<f32>, 8>;

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
    let key_rows = rows_of_keys(sample, kv_head, reach.keys);
    let value_rows = rows_of_values(sample, kv_head, reach.keys);

    let own = first + lane % 8u + 8u * FOUR;
    let seen = keys_of(reach, first, min(first + OWNED, params.queries) - 1u);
    var largest = vec4(SMALLEST);
    var total = vec4(0.0);
    var sum: mat4x4<f32>; // zero-initialized
    for (var j0 = seen.x; j0 < seen.y; j0 += STREAMED) {
        var p = scores(lane, key_rows, j0, query_rows, first, (params.width + 3u) / 4u);
        for (var m = 0u; m < 4u; m++) { p[m] = pair_score(p[m], reach, own, vec4(j0 + lane / 8u + 16u * m)).score; }
        workgroupBarrier();
        streamed_tile[lane] = max(max(p[0], p[1]), max(p[2], p[3]));
        workgroupBarrier();
        let earlier = largest;
        for (var r = 0u; r < 16u; r++) { largest = max(largest, streamed_tile[lane % 8u + 8u * r]); }
        let before = exp2(earlier - largest);
        for (var m = 0u; m < 4u; m++) {
            p[m] = exp2(p[m] - largest);
            block[lane + 128u * m] = p[m];
        }
        if (lane < 8u) { of_owned[lane] = before; }
        workgroupBarrier();
        streamed_tile[lane] = (p[0] + p[1]) + (p[2] + p[3]);
        workgroupBarrier();
        total *= before;
        for (var r = 0u; r < 16u; r++) { total += streamed_tile[lane % 8u + 8u * r]; }
        for (var n = 0u; n < 4u; n++) { sum[n] *= of_owned[lane / 16u][n]; }
        sum = add_rows(lane, value_rows, j0, seen.y - j0, first_part, sum);
    }

    if (lane < 8u) { of_owned[lane] = vec4(1.0) / select(total, vec4(1.0), total == vec4(0.0)); }
    workgroupBarrier();
    for (var n = 0u; n < 4u; n++) { sum[n] *= of_owned[lane / 16u][n]; }
    if (lane < 8u && inside && first_part == 0u) {
        let logarithm = select((largest + log2(total)) * LOG_2, vec4(SMALLEST), total == vec4(0.0));
        for (var n = 0u; n < 4u; n++) {
            if (own[n] < params.queries) { lse[(sample * params.heads + head) * params.queries + own[n]] = logarithm[n]; }
        }
    }
    let out_start = params.out_offset + sample * params.out_sample + head * params.out_head;
    let out_rows = Rows(0u, out_start, params.out_position, params.queries, params.value_width);
    store(lane, sum, out_rows, first, first_part, inside);
}
