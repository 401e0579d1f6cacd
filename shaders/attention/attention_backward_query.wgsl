// Gradient of attention with respect to its queries (Dao et al., arXiv:2205.14135, appendix B): subgroup variant.
//
//   p_ij = exp(q_i · k_j / √D − lse_i)        δ_i = d_out_i · out_i
//   d_q_i = Σ_j p_ij (d_out_i · v_j − δ_i) k_j / √D
//
// A cluster of 8 lanes owns 8·QUERIES queries of one head. Each lane loads one key and one value of 8, and the cluster
// broadcasts them by shuffles. Heads are on adjacent clusters.
//
// grid   B · ⌈T / (8·QUERIES)⌉ · H clusters of 8 lanes, 64 lanes to a workgroup
// reads  qkv (B·T, 3C) · out (B·T, C) · lse (B·T, H) · d_out (B·T, C)
// makes  the first third of each row of d_qkv (B·T, 3C) · delta (B·T, H)
// D is a multiple of 4; subgroups have at least 8 lanes.
#import grid
#import head
#import head_tile
const QUERIES: u32 = 1u; // spec 2

struct Params { samples: u32, tokens: u32, heads: u32, causal: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;            // (B·T, 3C)
@group(0) @binding(2) var<storage, read> out: array<vec4<f32>>;            // (B·T, C)
@group(0) @binding(3) var<storage, read> lse: array<f32>;                  // (B·T, H)
@group(0) @binding(4) var<storage, read> d_out: array<vec4<f32>>;          // (B·T, C)
@group(0) @binding(5) var<storage, read_write> d_qkv: array<vec4<f32>>;    // (B·T, 3C)
@group(0) @binding(6) var<storage, read_write> delta: array<f32>;          // (B·T, H)

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
    let tile = head_tile(cluster, params.heads, params.tokens, CLUSTER * QUERIES);
    // Past the samples, the last one is recomputed and not stored, so that every lane reaches the shuffles.
    let sample = min(tile.sample, params.samples - 1u);
    let stores = tile.sample < params.samples;
    let head = tile.head;
    let first_query = tile.first + lane;
    let width4 = params.heads * PARTS;
    let start = sample * params.tokens * 3u * width4 + head * PARTS;

    var q: array<vec4<f32>, QUERIES * PARTS>;
    var g: array<vec4<f32>, QUERIES * PARTS>;
    var sum: array<vec4<f32>, QUERIES * PARTS>;
    var total: array<f32, QUERIES>;
    var product: array<f32, QUERIES>;
    var position: array<u32, QUERIES>;
    for (var i = 0u; i < QUERIES; i++) {
        position[i] = min(first_query + CLUSTER * i, params.tokens - 1u);
        let row = sample * params.tokens + position[i];
        total[i] = lse[row * params.heads + head];
        product[i] = 0.0;
        for (var c = 0u; c < PARTS; c++) {
            let at = row * width4 + head * PARTS + c;
            g[i * PARTS + c] = d_out[at];
            product[i] += dot(g[i * PARTS + c], out[at]);
            q[i * PARTS + c] = qkv[start + position[i] * 3u * width4 + c] * params.scale;
            sum[i * PARTS + c] = vec4(0.0);
        }
    }
    let keys = subgroupMax(select(params.tokens, position[QUERIES - 1u] + 1u, params.causal == 1u));
    for (var j0 = 0u; j0 < keys; j0 += CLUSTER) {
        var own_k: array<vec4<f32>, PARTS>;
        var own_v: array<vec4<f32>, PARTS>;
        let key = start + (3u * min(j0 + lane, params.tokens - 1u) + 1u) * width4;
        for (var c = 0u; c < PARTS; c++) {
            own_k[c] = qkv[key + c];
            own_v[c] = qkv[key + width4 + c];
        }
        let count = min(CLUSTER, keys - j0);
        for (var j = 0u; j < count; j++) {
            var k: array<vec4<f32>, PARTS>;
            var score: array<f32, QUERIES>;
            var slope: array<f32, QUERIES>;
            for (var i = 0u; i < QUERIES; i++) {
                score[i] = -total[i];
                slope[i] = -product[i];
            }
            for (var c = 0u; c < PARTS; c++) {
                k[c] = subgroupShuffle(own_k[c], leader + j);
                let v = subgroupShuffle(own_v[c], leader + j);
                for (var i = 0u; i < QUERIES; i++) {
                    score[i] += dot(q[i * PARTS + c], k[c]);
                    slope[i] += dot(g[i * PARTS + c], v);
                }
            }
            for (var i = 0u; i < QUERIES; i++) {
                let counts = params.causal == 0u || j0 + j <= position[i];
                slope[i] *= select(0.0, exp(score[i]), counts) * params.scale;
            }
            for (var c = 0u; c < PARTS; c++) {
                for (var i = 0u; i < QUERIES; i++) {
                    sum[i * PARTS + c] = fma(vec4(slope[i]), k[c], sum[i * PARTS + c]);
                }
            }
        }
    }

    for (var i = 0u; i < QUERIES; i++) {
        if (stores && first_query + CLUSTER * i < params.tokens) {
            for (var c = 0u; c < PARTS; c++) {
                d_qkv[start + position[i] * 3u * width4 + c] = sum[i * PARTS + c];
            }
            delta[(sample * params.tokens + position[i]) * params.heads + head] = product[i];
        }
    }
}
