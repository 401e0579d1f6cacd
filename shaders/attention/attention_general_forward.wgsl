// Softmax attention of queries over keys and values in buffers of their own, with strides: subgroup variant, for CPUs.
//
//   out_i = Σ_j p_ij v_j        p_ij = exp(s_ij − lse_i)        lse_i = log Σ_j exp(s_ij)
//   s_ij = cap · tanh(scale q_i · k_j / cap) + bias_ij
//
// Online softmax (Milakov & Gimelshein, arXiv:1805.02867). A cluster of 8 lanes owns 8·QUERIES queries of a head. Each lane
// loads one key and one value of 8, and the cluster broadcasts them by shuffles. A query that sees no key has out = 0 and
// lse = −10³⁰.
//
// grid   B · H · ⌈Tq / (8·QUERIES)⌉ clusters of 8 lanes, 64 lanes to a workgroup
// reads  q (B, Tq, H, D) · k (B, Tk, Hk, D) · v (B, Tk, Hk, Dv), each with strides · bias · key_counts (B)
// makes  out (B, Tq, H, Dv) with strides · lse (B, H, Tq)
// Widths and strides are multiples of 4; subgroups have at least 8 lanes.
#import grid
#import cache
#import tanh
#import general_params
#import pair_score
const PARTS: u32 = 2u; // spec 1 4 16
const VALUE_PARTS: u32 = 2u; // spec 1 4 16
const QUERIES: u32 = 1u; // spec 2 4

@group(0) @binding(1) var<storage, read> q: array<vec4<Cache>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<Cache>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<Cache>>;
@group(0) @binding(6) var<storage, read_write> out: array<vec4<Cache>>;

const CLUSTER: u32 = 8u;

fn cached4(x: vec4<f32>) -> vec4<Cache> { return vec4(cached(x.x), cached(x.y), cached(x.z), cached(x.w)); }

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let index = grid_index(group, groups) * (64u / CLUSTER) + local / CLUSTER;
    let lane = id % CLUSTER;
    let leader = id - lane;
    let tiles = (params.queries + CLUSTER * QUERIES - 1u) / (CLUSTER * QUERIES);
    let first = index % tiles * (CLUSTER * QUERIES);
    let head = index / tiles % params.heads;
    let kv_head = head / params.group;
    // Past the samples, the last one is recomputed and not stored, so that every lane reaches the shuffles.
    let stores = index / tiles / params.heads < params.samples;
    let sample = min(index / tiles / params.heads, params.samples - 1u);
    let reach = reach_of(sample, head);
    let last_key = max(reach.keys, 1u) - 1u;
    let query_start = params.q_offset + sample * params.q_sample + head * params.q_head;
    let key_start = params.k_offset + sample * params.k_sample + kv_head * params.k_head;
    let value_start = params.v_offset + sample * params.v_sample + kv_head * params.v_head;

    var own: array<vec4<f32>, QUERIES * PARTS>;
    var sum: array<vec4<f32>, QUERIES * VALUE_PARTS>;
    var query = vec4(0u);
    for (var i = 0u; i < QUERIES; i++) {
        query[i] = first + lane + CLUSTER * i;
        let at = (query_start + min(query[i], params.queries - 1u) * params.q_position) / 4u;
        for (var c = 0u; c < PARTS; c++) { own[i * PARTS + c] = vec4<f32>(q[at + c]); }
        for (var c = 0u; c < VALUE_PARTS; c++) { sum[i * VALUE_PARTS + c] = vec4(0.0); }
    }
    let seen = keys_of(reach, first, min(first + CLUSTER * QUERIES, params.queries) - 1u);
    let end = subgroupMax(seen.y);
    var largest = vec4(SMALLEST);
    var total = vec4(0.0);
    for (var j0 = subgroupMin(seen.x); j0 < end; j0 += CLUSTER) {
        var key: array<vec4<f32>, PARTS>;
        var value: array<vec4<f32>, VALUE_PARTS>;
        let row = min(j0 + lane, last_key);
        let key_at = (key_start + row * params.k_position) / 4u;
        let value_at = (value_start + row * params.v_position) / 4u;
        for (var c = 0u; c < PARTS; c++) { // unroll
            key[c] = vec4<f32>(k[key_at + c]);
        }
        for (var c = 0u; c < VALUE_PARTS; c++) { // unroll
            value[c] = vec4<f32>(v[value_at + c]);
        }
        let count = min(CLUSTER, end - j0);
        for (var j = 0u; j < count; j++) {
            var product = vec4(0.0);
            for (var c = 0u; c < PARTS; c++) { // unroll
                let here = subgroupShuffle(key[c], leader + j);
                for (var i = 0u; i < QUERIES; i++) { product[i] += dot(own[i * PARTS + c], here); }
            }
            let score = pair_score(product, reach, query, vec4(j0 + j)).score;
            let earlier = largest;
            largest = max(largest, score);
            let before = exp2(earlier - largest);
            let p = exp2(score - largest);
            total = fma(total, before, p);
            for (var c = 0u; c < VALUE_PARTS; c++) { // unroll
                let here = subgroupShuffle(value[c], leader + j);
                for (var i = 0u; i < QUERIES; i++) {
                    sum[i * VALUE_PARTS + c] = fma(vec4(p[i]), here, sum[i * VALUE_PARTS + c] * before[i]);
                }
            }
        }
    }

    for (var i = 0u; i < QUERIES; i++) {
        if (stores && query[i] < params.queries) {
            let is_empty = total[i] == 0.0;
            let inverse = 1.0 / select(total[i], 1.0, is_empty);
            let at = params.out_offset + sample * params.out_sample + query[i] * params.out_position;
            for (var c = 0u; c < VALUE_PARTS; c++) {
                out[(at + head * params.out_head) / 4u + c] = cached4(sum[i * VALUE_PARTS + c] * inverse);
            }
            let to = (sample * params.heads + head) * params.queries + query[i];
            lse[to] = select((largest[i] + log2(total[i])) * LOG_2, SMALLEST, is_empty);
        }
    }
}
