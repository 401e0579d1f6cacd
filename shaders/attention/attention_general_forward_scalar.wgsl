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
#import general_params
#import general_forward
#import general_rows
#import pair_score
const PARTS: u32 = 2u; // spec 1 4 16

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
    let query_rows = rows_of_queries(sample, head);
    let key_rows = rows_of_keys(sample, kv_head, reach.keys);
    let value_rows = rows_of_values(sample, kv_head, reach.keys);

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
