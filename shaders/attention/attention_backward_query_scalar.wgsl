// Gradient of attention with respect to its queries (Dao et al., arXiv:2205.14135, appendix B): scalar variant, for any
// head dimension and for adapters without subgroups.
//
//   p_ij = exp(q_i · k_j / √D − lse_i)        δ_i = d_out_i · out_i
//   d_q_i = Σ_j p_ij (d_out_i · v_j − δ_i) k_j / √D
//
// An invocation owns QUERIES queries of one head and loads each key and value once for all of them.
//
// grid   B · ⌈T / QUERIES⌉ · H invocations, 64 to a workgroup
// reads  qkv (B·T, 3C), bound twice: as vec4s for D a multiple of 4, as floats for any other
//        out (B·T, C) · lse (B·T, H) · d_out (B·T, C)
//        with DROPOUT step: seed (2), step number, -; d_out_i · v_j is then multiplied by the mask of the pair
// makes  the first third of each row of d_qkv (B·T, 3C) · delta (B·T, H)
#import grid
#import head
#import load
#import head_tile
#import philox
#import attention_dropout
const QUERIES: u32 = 1u; // spec 4

struct Params {
    samples: u32, tokens: u32, heads: u32, causal: u32, scale: f32, dropped: u32, factor: f32, site: u32, first_sample: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;                  // (B·T, 3C)
@group(0) @binding(2) var<storage, read> qkv4: array<vec4<f32>>;           // (B·T, 3C)
@group(0) @binding(3) var<storage, read> out: array<f32>;                  // (B·T, C)
@group(0) @binding(4) var<storage, read> lse: array<f32>;                  // (B·T, H)
@group(0) @binding(5) var<storage, read> d_out: array<f32>;                // (B·T, C)
@group(0) @binding(6) var<storage, read_write> d_qkv: array<f32>;          // (B·T, 3C)
@group(0) @binding(7) var<storage, read_write> delta: array<f32>;          // (B·T, H)
@group(0) @binding(8) var<storage, read> step: array<u32>;                 // (4), with DROPOUT

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    let tile = head_tile(index, params.heads, params.tokens, QUERIES);
    if (tile.sample >= params.samples) { return; }
    let sample = tile.sample;
    let head = tile.head;
    let first_query = tile.first;
    let width = params.heads * HEAD_DIM;
    let start = sample * params.tokens * 3u * width + head * HEAD_DIM;

    // Past the end, the last token is recomputed and not stored.
    var q: array<vec4<f32>, QUERIES * PARTS>;
    var g: array<vec4<f32>, QUERIES * PARTS>;
    var sum: array<vec4<f32>, QUERIES * PARTS>;
    var total: array<f32, QUERIES>;
    var product: array<f32, QUERIES>;
    var position: array<u32, QUERIES>;
    var words: array<vec4<u32>, QUERIES>; // of the mask of eight keys
    for (var i = 0u; i < QUERIES; i++) {
        position[i] = min(first_query + i, params.tokens - 1u);
        let row = sample * params.tokens + position[i];
        total[i] = lse[row * params.heads + head];
        product[i] = 0.0;
        for (var c = 0u; c < PARTS; c++) {
            let at = vec4(row * width + head * HEAD_DIM) + head_index(c);
            let slope = head_padded(c, vec4(d_out[at.x], d_out[at.y], d_out[at.z], d_out[at.w]));
            product[i] += dot(slope, vec4(out[at.x], out[at.y], out[at.z], out[at.w]));
            g[i * PARTS + c] = slope;
            q[i * PARTS + c] = load_padded(start + position[i] * 3u * width, c) * params.scale;
            sum[i * PARTS + c] = vec4(0.0);
        }
    }
    let keys = select(params.tokens, position[QUERIES - 1u] + 1u, params.causal == 1u);
    for (var j = 0u; j < keys; j++) {
        let key = start + (3u * j + 1u) * width;
        var k: array<vec4<f32>, PARTS>;
        var score: array<f32, QUERIES>;
        var slope: array<f32, QUERIES>;
        for (var i = 0u; i < QUERIES; i++) {
            score[i] = -total[i];
            slope[i] = -product[i];
        }
        for (var c = 0u; c < PARTS; c++) {
            k[c] = load_padded(key, c);
            let v = load_padded(key + width, c);
            for (var i = 0u; i < QUERIES; i++) {
                score[i] += dot(q[i * PARTS + c], k[c]);
                slope[i] += dot(g[i * PARTS + c], v);
            }
        }
        for (var i = 0u; i < QUERIES; i++) {
            let counts = params.causal == 0u || j <= position[i];
            if (DROPOUT == 1u) {
                let pair = sample * params.heads + head;
                if (j % 8u == 0u) {
                    words[i] = dropout_words(vec3(step[0], step[1], step[2]), pair, position[i], j / 8u);
                }
                slope[i] = (slope[i] + product[i]) * dropout_factor(words[i], j) - product[i];
            }
            slope[i] *= select(0.0, exp(score[i]), counts) * params.scale;
        }
        for (var c = 0u; c < PARTS; c++) {
            for (var i = 0u; i < QUERIES; i++) { sum[i * PARTS + c] = fma(vec4(slope[i]), k[c], sum[i * PARTS + c]); }
        }
    }

    for (var i = 0u; i < QUERIES; i++) {
        if (first_query + i < params.tokens) {
            for (var c = 0u; c < PARTS; c++) {
                let value = sum[i * PARTS + c];
                for (var e = 0u; e < min(4u, HEAD_DIM - 4u * c); e++) {
                    d_qkv[start + position[i] * 3u * width + 4u * c + e] = value[e];
                }
            }
            delta[(sample * params.tokens + position[i]) * params.heads + head] = product[i];
        }
    }
}
