// Gradient of attention with respect to its keys and values: subgroup variant.
//
//   p_ij = exp(q_i · k_j / √D − lse_i)
//   d_v_j = Σ_i p_ij d_out_i        d_k_j = Σ_i p_ij (d_out_i · v_j − δ_i) q_i / √D
//
// δ comes from attention_backward_query. A cluster of 8 lanes owns 8·KEYS keys and values of one head. Each lane loads
// one query of 8 with its gradient, lse and δ, and the cluster broadcasts them by shuffles. Each sum runs over the
// queries in order, without atomics.
//
// grid   B · ⌈T / (8·KEYS)⌉ · H clusters of 8 lanes, 64 lanes to a workgroup
// reads  qkv (B·T, 3C) · d_out (B·T, C) · lse (B·T, H) · delta (B·T, H)
// makes  the last two thirds of each row of d_qkv (B·T, 3C)
// D is a multiple of 4; subgroups have at least 8 lanes.
#import grid
#import head
#import head_tile
const KEYS: u32 = 1u; // spec 2

struct Params { samples: u32, tokens: u32, heads: u32, causal: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;            // (B·T, 3C)
@group(0) @binding(2) var<storage, read> d_out: array<vec4<f32>>;          // (B·T, C)
@group(0) @binding(3) var<storage, read> lse: array<f32>;                  // (B·T, H)
@group(0) @binding(4) var<storage, read> delta: array<f32>;                // (B·T, H)
@group(0) @binding(5) var<storage, read_write> d_qkv: array<vec4<f32>>;    // (B·T, 3C)

const CLUSTER: u32 = 8u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let cluster = grid_index(group, groups) * (64u / CLUSTER) + local / CLUSTER;
    let lane = id % CLUSTER;
    let leader = id - lane;
    let tile = head_tile(cluster, params.heads, params.tokens, CLUSTER * KEYS);
    // Past the samples, the last one is recomputed and not stored, so that every lane reaches the shuffles.
    let sample = min(tile.sample, params.samples - 1u);
    let stores = tile.sample < params.samples;
    let head = tile.head;
    let first_key = tile.first + lane;
    let width4 = params.heads * PARTS;
    let start = sample * params.tokens * 3u * width4 + head * PARTS;

    var k: array<vec4<f32>, KEYS * PARTS>;
    var v: array<vec4<f32>, KEYS * PARTS>;
    var d_k: array<vec4<f32>, KEYS * PARTS>;
    var d_v: array<vec4<f32>, KEYS * PARTS>;
    for (var j = 0u; j < KEYS; j++) {
        let key = start + (3u * min(first_key + CLUSTER * j, params.tokens - 1u) + 1u) * width4;
        for (var c = 0u; c < PARTS; c++) {
            k[j * PARTS + c] = qkv[key + c] * params.scale;
            v[j * PARTS + c] = qkv[key + width4 + c];
            d_k[j * PARTS + c] = vec4(0.0);
            d_v[j * PARTS + c] = vec4(0.0);
        }
    }
    for (var i0 = subgroupMin(select(0u, first_key - lane, params.causal == 1u)); i0 < params.tokens; i0 += CLUSTER) {
        var own_q: array<vec4<f32>, PARTS>;
        var own_g: array<vec4<f32>, PARTS>;
        let own_row = sample * params.tokens + min(i0 + lane, params.tokens - 1u);
        let own_total = lse[own_row * params.heads + head];
        let own_product = delta[own_row * params.heads + head];
        for (var c = 0u; c < PARTS; c++) {
            own_q[c] = qkv[(3u * own_row * params.heads + head) * PARTS + c];
            own_g[c] = d_out[(own_row * params.heads + head) * PARTS + c];
        }
        let count = min(CLUSTER, params.tokens - i0);
        for (var i = 0u; i < count; i++) {
            let total = subgroupShuffle(own_total, leader + i);
            let product = subgroupShuffle(own_product, leader + i);
            var q: array<vec4<f32>, PARTS>;
            var g: array<vec4<f32>, PARTS>;
            var score: array<f32, KEYS>;
            var slope: array<f32, KEYS>;
            for (var j = 0u; j < KEYS; j++) {
                score[j] = -total;
                slope[j] = -product;
            }
            for (var c = 0u; c < PARTS; c++) {
                q[c] = subgroupShuffle(own_q[c], leader + i);
                g[c] = subgroupShuffle(own_g[c], leader + i);
                for (var j = 0u; j < KEYS; j++) {
                    score[j] += dot(q[c], k[j * PARTS + c]);
                    slope[j] += dot(g[c], v[j * PARTS + c]);
                }
            }
            for (var j = 0u; j < KEYS; j++) {
                let counts = params.causal == 0u || first_key + CLUSTER * j <= i0 + i;
                score[j] = select(0.0, exp(score[j]), counts);
                slope[j] *= score[j] * params.scale;
            }
            for (var c = 0u; c < PARTS; c++) {
                for (var j = 0u; j < KEYS; j++) {
                    d_k[j * PARTS + c] = fma(vec4(slope[j]), q[c], d_k[j * PARTS + c]);
                    d_v[j * PARTS + c] = fma(vec4(score[j]), g[c], d_v[j * PARTS + c]);
                }
            }
        }
    }

    for (var j = 0u; j < KEYS; j++) {
        if (stores && first_key + CLUSTER * j < params.tokens) {
            let at = start + (3u * (first_key + CLUSTER * j) + 1u) * width4;
            for (var c = 0u; c < PARTS; c++) {
                d_qkv[at + c] = d_k[j * PARTS + c];
                d_qkv[at + width4 + c] = d_v[j * PARTS + c];
            }
        }
    }
}
