// Softmax attention of a window of query positions over the keys and values of a layer, causal or full: subgroup
// variant.
//
//   out[i] = Σ_j p_ij v_j        p_ij = exp(q_i · k_j / √D − lse_i)        lse_i = log Σ_j exp(q_i · k_j / √D)
//
// Position j of sample b is row b·stride + offset + j. Query i of a sample is at position first + i. Causal attention
// sums over j ≤ first + i, otherwise over all T. A cluster of 8 lanes owns 8·QUERIES queries of one head. Each lane
// loads one key and one value of 8, and the cluster broadcasts them by shuffles. Heads are on adjacent clusters.
//
// grid   B · ⌈n / (8·QUERIES)⌉ · H clusters of 8 lanes, 64 lanes to a workgroup
// reads  qkv (rows, 3C)
// makes  out (B·n, C) · lse (B·n, H)
// D is a multiple of 4; subgroups have at least 8 lanes.
#import grid
#import head
#import head_tile
#import online_softmax
#import cache
const QUERIES: u32 = 1u; // spec 2 4

struct Params {
    samples: u32, tokens: u32, heads: u32, first: u32, queries: u32, causal: u32, scale: f32, stride: u32, offset: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<Cache>>;          // (rows, 3C)
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;      // (B·n, C)
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;            // (B·n, H)

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
    let tile = head_tile(cluster, params.heads, params.queries, CLUSTER * QUERIES);
    // Past the samples, the last one is recomputed and not stored, so that every lane reaches the shuffles.
    let sample = min(tile.sample, params.samples - 1u);
    let stores = tile.sample < params.samples;
    let head = tile.head;
    let first_query = tile.first + lane;
    let row4 = 3u * params.heads * PARTS;
    let start = (sample * params.stride + params.offset) * row4 + head * PARTS;

    var q: array<vec4<f32>, QUERIES * PARTS>;
    var sum: array<vec4<f32>, QUERIES * PARTS>;
    var state: array<vec2<f32>, QUERIES>;
    var position: array<u32, QUERIES>;
    for (var i = 0u; i < QUERIES; i++) {
        position[i] = params.first + min(first_query + CLUSTER * i, params.queries - 1u);
        state[i] = ONLINE_START;
        for (var c = 0u; c < PARTS; c++) {
            q[i * PARTS + c] = vec4<f32>(qkv[start + position[i] * row4 + c]) * params.scale;
            sum[i * PARTS + c] = vec4(0.0);
        }
    }
    let keys = subgroupMax(select(params.tokens, position[QUERIES - 1u] + 1u, params.causal == 1u));
    for (var j0 = 0u; j0 < keys; j0 += CLUSTER) {
        var k: array<vec4<f32>, PARTS>;
        var v: array<vec4<f32>, PARTS>;
        let key = start + min(j0 + lane, params.tokens - 1u) * row4 + params.heads * PARTS;
        for (var c = 0u; c < PARTS; c++) {
            k[c] = vec4<f32>(qkv[key + c]);
            v[c] = vec4<f32>(qkv[key + params.heads * PARTS + c]);
        }
        let count = min(CLUSTER, keys - j0);
        for (var j = 0u; j < count; j++) {
            var score: array<f32, QUERIES>;
            var before: array<f32, QUERIES>;
            for (var i = 0u; i < QUERIES; i++) { score[i] = 0.0; }
            for (var c = 0u; c < PARTS; c++) {
                let here = subgroupShuffle(k[c], leader + j);
                for (var i = 0u; i < QUERIES; i++) { score[i] += dot(q[i * PARTS + c], here); }
            }
            for (var i = 0u; i < QUERIES; i++) {
                let next = online_add(state[i], score[i], params.causal == 0u || j0 + j <= position[i]);
                state[i] = next.xy;
                before[i] = next.z;
                score[i] = next.w;
            }
            for (var c = 0u; c < PARTS; c++) {
                let here = subgroupShuffle(v[c], leader + j);
                for (var i = 0u; i < QUERIES; i++) {
                    sum[i * PARTS + c] = fma(vec4(score[i]), here, sum[i * PARTS + c] * before[i]);
                }
            }
        }
    }

    for (var i = 0u; i < QUERIES; i++) {
        if (stores && first_query + CLUSTER * i < params.queries) {
            let row = sample * params.queries + first_query + CLUSTER * i;
            for (var c = 0u; c < PARTS; c++) {
                out[(row * params.heads + head) * PARTS + c] = sum[i * PARTS + c] / state[i].y;
            }
            lse[row * params.heads + head] = state[i].x + log(state[i].y);
        }
    }
}
