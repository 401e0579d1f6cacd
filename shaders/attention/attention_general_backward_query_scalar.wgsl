// Gradient of general attention with respect to its queries: scalar variant, for CPUs and narrow heads.
//
//   p_ij = exp(s_ij − lse_i)        s_ij = cap · tanh(scale q_i · k_j / cap) + bias_ij
//   d_q_i = Σ_j p_ij (d_out_i · v_j − δ_i) s'_ij k_j        s'_ij = ∂s_ij / ∂(q_i · k_j)
//
// Dao et al., arXiv:2205.14135, appendix B. An invocation owns a query of a head.
//
// grid   B · H · Tq invocations, 64 to a workgroup
// reads  q, d_out (B, Tq, H, ·) · k, v (B, Tk, Hk, ·), each with strides · statistics (B, H, Tq, 2) · bias · key_counts (B)
// makes  d_q (B, Tq, H, D) with strides
#import grid
#import cache
#import tanh
#import strided_rows
#import general_backward
#import general_rows
#import pair_score
const PARTS: u32 = 2u; // spec 1 4 16

@group(0) @binding(8) var<storage, read_write> d_q: array<Cache>;

fn put(at: u32, value: f32) { d_q[at] = cached(value); }

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
    let slope_rows = rows_of_gradients(sample, head);
    let key_rows = rows_of_keys(sample, kv_head, reach.keys);
    let value_rows = rows_of_values(sample, kv_head, reach.keys);

    var own: array<vec4<f32>, PARTS>;
    var slope: array<vec4<f32>, PARTS>;
    var sum: array<vec4<f32>, PARTS>;
    for (var c = 0u; c < PARTS; c++) {
        own[c] = load(query_rows, query, c);
        slope[c] = load(slope_rows, query, c);
        sum[c] = vec4(0.0);
    }
    let of_query = statistics[index];
    let seen = keys_of(reach, query, query);
    for (var j = seen.x; j < seen.y; j++) {
        var key: array<vec4<f32>, PARTS>;
        var product = 0.0;
        var d_p = 0.0;
        for (var c = 0u; c < PARTS; c++) {
            key[c] = load(key_rows, j, c);
            product += dot(own[c], key[c]);
            d_p += dot(slope[c], load(value_rows, j, c));
        }
        let pair = pair_score(vec4(product), reach, vec4(query), vec4(j));
        let p = select(exp2(pair.score.x - of_query.x * LOG2_E), 0.0, pair.score.x <= SMALLEST);
        let d_product = p * pair.slope.x * (d_p - of_query.y);
        for (var c = 0u; c < PARTS; c++) { sum[c] = fma(vec4(d_product), key[c], sum[c]); }
    }

    let to = params.made_offset + sample * params.made_sample + query * params.made_position + head * params.made_head;
    for (var c = 0u; c < PARTS; c++) {
        for (var e = 0u; e < 4u; e++) {
            if (4u * c + e < params.width) { put(to + 4u * c + e, sum[c][e]); }
        }
    }
}
