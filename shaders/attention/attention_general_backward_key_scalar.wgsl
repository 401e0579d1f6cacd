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
#import general_backward
#import general_rows
#import pair_score
const PARTS: u32 = 2u; // spec 1 4 16
const OF_VALUES: u32 = 0u; // spec 1

@group(0) @binding(8) var<storage, read_write> made: array<Cache>;

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
    let key_rows = rows_of_keys(sample, kv_head, params.keys);
    let value_rows = rows_of_values(sample, kv_head, params.keys);

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
        let query_rows = rows_of_queries(sample, head);
        let slope_rows = rows_of_gradients(sample, head);
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
