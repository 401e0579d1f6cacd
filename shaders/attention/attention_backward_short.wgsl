// Gradient of attention with respect to queries, keys and values in one pass, for short sequences: subgroup variant.
//
//   p_ij = exp(q_i · k_j / √D − lse_i)        s_ij = p_ij (d_out_i · v_j − δ_i)        δ_i = d_out_i · out_i
//   d_q_i = Σ_j s_ij k_j / √D        d_k_j = Σ_i s_ij q_i / √D        d_v_j = Σ_i p_ij d_out_i
//
// Dao et al., arXiv:2205.14135, appendix B. A cluster of 8 lanes owns one head of one sample and iterates over blocks
// of 8·KEYS keys. Each lane loads one query of 8 with its gradient; the cluster broadcasts them by shuffles. p and s
// are kept in registers. For d_q, s is shuffled and rows are spread over the cluster. A lane reads back only its own
// stores: δ, parts of d_q. If one block holds all keys (WHOLE), δ_i = Σ_j p_ij (d_out_i · v_j) and `out` is not read.
//
// grid   B · H clusters of 8 lanes, 64 lanes to a workgroup
// reads  qkv (B·T, 3C) · out (B·T, C) · lse (B·T, H) · d_out (B·T, C)
// makes  d_qkv (B·T, 3C) · delta (B·T, H)
// D is a multiple of 4 up to 32; subgroups have at least 8 lanes.
#import grid
#import head
#import sides
const KEYS: u32 = 1u; // spec 2
const WHOLE: u32 = 0u; // spec 1

struct Params { samples: u32, tokens: u32, heads: u32, causal: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;            // (B·T, 3C)
@group(0) @binding(2) var<storage, read> out: array<vec4<f32>>;            // (B·T, C)
@group(0) @binding(3) var<storage, read> lse: array<f32>;                  // (B·T, H)
@group(0) @binding(4) var<storage, read> d_out: array<vec4<f32>>;          // (B·T, C)
@group(0) @binding(5) var<storage, read_write> d_qkv: array<vec4<f32>>;    // (B·T, 3C)
@group(0) @binding(6) var<storage, read_write> delta: array<f32>;          // (B·T, H)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32, @builtin(subgroup_invocation_id) id: u32,
) {
    let cluster = grid_index(group, groups) * (64u / CLUSTER) + local / CLUSTER;
    let lane = id % CLUSTER;
    let leader = id - lane;
    let side = lane / SPAN;
    // Past the samples, the last one is recomputed and not stored, so that every lane reaches the shuffles.
    let stores = cluster / params.heads < params.samples;
    let first_row = min(cluster / params.heads, params.samples - 1u) * params.tokens;
    let head = cluster % params.heads;
    let last = params.tokens - 1u;
    let width4 = params.heads * PARTS;
    for (var j0 = 0u; j0 < params.tokens; j0 += CLUSTER * KEYS) {
        var k: array<vec4<f32>, KEYS * PARTS>;
        var v: array<vec4<f32>, KEYS * PARTS>;
        var d_k: array<vec4<f32>, KEYS * PARTS>; // zero-initialized
        var d_v: array<vec4<f32>, KEYS * PARTS>;
        var k_part: array<vec4<f32>, KEYS * SPAN>; // of key SIDES·r + side
        for (var j = 0u; j < KEYS; j++) {
            let at = (3u * (first_row + min(j0 + CLUSTER * j + lane, last)) + 1u) * width4 + head * PARTS;
            for (var c = 0u; c < PARTS; c++) {
                k[j * PARTS + c] = qkv[at + c] * params.scale;
                v[j * PARTS + c] = qkv[at + width4 + c];
            }
        }
        for (var r = 0u; r < KEYS * SPAN; r++) {
            for (var c = 0u; c < PARTS; c++) {
                let here = subgroupShuffle(k[r / SPAN * PARTS + c], leader + SIDES * (r % SPAN) + side);
                k_part[r] = select(k_part[r], here, lane % SPAN == c);
            }
        }
        for (var i0 = select(0u, j0, params.causal == 1u); i0 < params.tokens; i0 += CLUSTER) {
            var own_q: array<vec4<f32>, PARTS>;
            var own_g: array<vec4<f32>, PARTS>;
            let own = (first_row + min(i0 + lane, last)) * params.heads + head;
            var own_product = 0.0;
            for (var c = 0u; c < PARTS; c++) {
                own_q[c] = qkv[(3u * own - 2u * head) * PARTS + c];
                own_g[c] = d_out[own * PARTS + c];
                if (WHOLE == 0u && j0 == 0u) { own_product += dot(own_g[c], out[own * PARTS + c]); }
            }
            let own_total = lse[own]; // past the end, the last query is reloaded and excluded
            if (j0 > 0u) { own_product = delta[own]; } else if (WHOLE == 0u && stores) { delta[own] = own_product; }
            for (var i = i0; i < min(i0 + CLUSTER, params.tokens); i += SIDES) {
                var d_q: array<vec4<f32>, SIDES>;
                for (var u = 0u; u < SIDES; u++) {
                    let from_lane = leader + i - i0 + u;
                    let keys = select(0u, select(params.tokens, i + u + 1u, params.causal == 1u), i + u <= last);
                    var q: array<vec4<f32>, PARTS>;
                    var g: array<vec4<f32>, PARTS>;
                    let total = subgroupShuffle(own_total, from_lane);
                    var product = subgroupShuffle(own_product, from_lane);
                    var score: array<f32, KEYS>; // zero-initialized
                    var slope: array<f32, KEYS>;
                    for (var c = 0u; c < PARTS; c++) {
                        q[c] = subgroupShuffle(own_q[c], from_lane);
                        g[c] = subgroupShuffle(own_g[c], from_lane);
                        for (var j = 0u; j < KEYS; j++) {
                            score[j] += dot(q[c], k[j * PARTS + c]);
                            slope[j] += dot(g[c], v[j * PARTS + c]);
                        }
                    }
                    for (var j = 0u; j < KEYS; j++) {
                        score[j] = select(0.0, exp(score[j] - total), j0 + CLUSTER * j + lane < keys);
                        if (WHOLE == 1u) { product += score[j] * slope[j]; }
                    }
                    if (WHOLE == 1u) { product = cluster_sum(product, id); }
                    own_product = select(own_product, product, id == from_lane);
                    for (var j = 0u; j < KEYS; j++) {
                        slope[j] = score[j] * (slope[j] - product);
                        for (var c = 0u; c < PARTS; c++) {
                            d_k[j * PARTS + c] = fma(vec4(slope[j]), q[c], d_k[j * PARTS + c]);
                            d_v[j * PARTS + c] = fma(vec4(score[j]), g[c], d_v[j * PARTS + c]);
                        }
                    }
                    for (var r = 0u; r < KEYS * SPAN; r++) {
                        let here = subgroupShuffle(slope[r / SPAN], leader + SIDES * (r % SPAN) + side);
                        d_q[u] = fma(vec4(here), k_part[r], d_q[u]);
                    }
                }
                var sum = sides_sum(d_q, id);
                let at = (3u * (first_row + i + side) * params.heads + head) * PARTS + lane % SPAN;
                let counts = stores && i + side <= last && lane % SPAN < PARTS;
                if (counts && j0 > 0u) { sum += d_qkv[at]; }
                if (counts) { d_qkv[at] = sum; }
            }
            if (WHOLE == 1u && stores && i0 + lane <= last) { delta[own] = own_product; }
        }
        for (var j = 0u; j < KEYS; j++) {
            let key = j0 + CLUSTER * j + lane;
            let at = (3u * (first_row + key) + 1u) * width4 + head * PARTS;
            for (var c = 0u; c < PARTS; c++) {
                if (stores && key <= last) { d_qkv[at + c] = d_k[j * PARTS + c] * params.scale; }
                if (stores && key <= last) { d_qkv[at + width4 + c] = d_v[j * PARTS + c]; }
            }
        }
    }
}
