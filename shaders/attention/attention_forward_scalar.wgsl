// Softmax attention of a window of query positions over the keys and values of a layer, causal or full: scalar variant,
// for any head dimension and for adapters without subgroups.
//
//   out[i] = Σ_j p_ij v_j        p_ij = exp(q_i · k_j / √D − lse_i)        lse_i = log Σ_j exp(q_i · k_j / √D)
//
// Position j of sample b is row b·stride + offset + j. Query i of a sample is at position first + i. Causal attention
// sums over j ≤ first + i, otherwise over all T. An invocation owns QUERIES queries of one head and loads each key and
// value once for all of them. Heads are on adjacent lanes.
//
// grid   B · ⌈n / QUERIES⌉ · H invocations, 64 to a workgroup
// reads  qkv (rows, 3C), bound twice: as vec4s for D a multiple of 4, as floats for any other
//        with DROPOUT step: seed (2), step number, -; p_ij v_j is then multiplied by the mask of the pair
// makes  out (B·n, C) · lse (B·n, H)
#import grid
#import head
#import load
#import head_tile
#import online_softmax
#import cache
#import philox
#import attention_dropout
const QUERIES: u32 = 1u; // spec 4

struct Params {
    samples: u32, tokens: u32, heads: u32, first: u32, queries: u32, causal: u32, scale: f32, stride: u32, offset: u32,
    dropped: u32, factor: f32, site: u32, first_sample: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<Cache>;                // (rows, 3C)
@group(0) @binding(2) var<storage, read> qkv4: array<vec4<Cache>>;         // (rows, 3C)
@group(0) @binding(3) var<storage, read_write> out: array<f32>;            // (B·n, C)
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;            // (B·n, H)
@group(0) @binding(5) var<storage, read> step: array<u32>;                 // (4), with DROPOUT

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    let tile = head_tile(index, params.heads, params.queries, QUERIES);
    if (tile.sample >= params.samples) { return; }
    let sample = tile.sample;
    let head = tile.head;
    let first_query = tile.first;
    let width = params.heads * HEAD_DIM;
    let start = (sample * params.stride + params.offset) * 3u * width + head * HEAD_DIM;

    // Past the window, the last query is recomputed and not stored.
    var q: array<vec4<f32>, QUERIES * PARTS>;
    var sum: array<vec4<f32>, QUERIES * PARTS>;
    var state: array<vec2<f32>, QUERIES>;
    var position: array<u32, QUERIES>;
    var words: array<vec4<u32>, QUERIES>; // of the mask of eight keys
    for (var i = 0u; i < QUERIES; i++) {
        position[i] = params.first + min(first_query + i, params.queries - 1u);
        state[i] = ONLINE_START;
        for (var c = 0u; c < PARTS; c++) {
            q[i * PARTS + c] = load_padded(start + position[i] * 3u * width, c) * params.scale;
            sum[i * PARTS + c] = vec4(0.0);
        }
    }
    let keys = select(params.tokens, min(params.tokens, position[QUERIES - 1u] + 1u), params.causal == 1u);
    for (var j = 0u; j < keys; j++) {
        let key = start + (3u * j + 1u) * width;
        var score: array<f32, QUERIES>;
        for (var i = 0u; i < QUERIES; i++) { score[i] = 0.0; }
        for (var c = 0u; c < PARTS; c++) {
            let k = load_padded(key, c);
            for (var i = 0u; i < QUERIES; i++) { score[i] += dot(q[i * PARTS + c], k); }
        }
        var before: array<f32, QUERIES>;
        for (var i = 0u; i < QUERIES; i++) {
            let next = online_add(state[i], score[i], params.causal == 0u || j <= position[i]);
            state[i] = next.xy;
            before[i] = next.z;
            score[i] = next.w;
            if (DROPOUT == 1u) {
                let pair = sample * params.heads + head;
                if (j % 8u == 0u) {
                    words[i] = dropout_words(vec3(step[0], step[1], step[2]), pair, position[i], j / 8u);
                }
                score[i] *= dropout_factor(words[i], j);
            }
        }
        for (var c = 0u; c < PARTS; c++) {
            let v = load_padded(key + width, c);
            for (var i = 0u; i < QUERIES; i++) {
                sum[i * PARTS + c] = fma(vec4(score[i]), v, sum[i * PARTS + c] * before[i]);
            }
        }
    }

    for (var i = 0u; i < QUERIES; i++) {
        if (first_query + i < params.queries) {
            let row = sample * params.queries + first_query + i;
            for (var c = 0u; c < PARTS; c++) {
                let value = sum[i * PARTS + c] / state[i].y;
                for (var e = 0u; e < min(4u, HEAD_DIM - 4u * c); e++) {
                    out[row * width + head * HEAD_DIM + 4u * c + e] = value[e];
                }
            }
            lse[row * params.heads + head] = state[i].x + log(state[i].y);
        }
    }
}
