// Gradient of attention with respect to its keys and values: scalar variant, for any head dimension and for adapters
// without subgroups.
//
//   p_ij = exp(q_i · k_j / √D − lse_i)
//   d_v_j = Σ_i p_ij d_out_i        d_k_j = Σ_i p_ij (d_out_i · v_j − δ_i) q_i / √D
//
// δ comes from attention_backward_query. An invocation owns KEYS keys and values of one head and loads each query and
// its gradient once for all of them. Each sum runs over the queries in order, without atomics.
//
// grid   B · ⌈T / KEYS⌉ · H invocations, 64 to a workgroup
// reads  qkv (B·T, 3C) and d_out (B·T, C), bound twice: as vec4s for D a multiple of 4, as floats for any other
//        lse (B·T, H) · delta (B·T, H)
//        with DROPOUT step: seed (2), step number, -; d_out_i · v_j and p_ij of d_v_j are then multiplied by the mask
// makes  the last two thirds of each row of d_qkv (B·T, 3C)
#import grid
#import head
#import load
#import load_slope
#import head_tile
#import philox
#import attention_dropout
const KEYS: u32 = 1u; // spec 4

struct Params {
    samples: u32, tokens: u32, heads: u32, causal: u32, scale: f32, dropped: u32, factor: f32, site: u32, first_sample: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;                  // (B·T, 3C)
@group(0) @binding(2) var<storage, read> qkv4: array<vec4<f32>>;           // (B·T, 3C)
@group(0) @binding(3) var<storage, read> d_out: array<f32>;                // (B·T, C)
@group(0) @binding(4) var<storage, read> d_out4: array<vec4<f32>>;         // (B·T, C)
@group(0) @binding(5) var<storage, read> lse: array<f32>;                  // (B·T, H)
@group(0) @binding(6) var<storage, read> delta: array<f32>;                // (B·T, H)
@group(0) @binding(7) var<storage, read_write> d_qkv: array<f32>;          // (B·T, 3C)
@group(0) @binding(8) var<storage, read> step: array<u32>;                 // (4), with DROPOUT

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    let tile = head_tile(index, params.heads, params.tokens, KEYS);
    if (tile.sample >= params.samples) { return; }
    let sample = tile.sample;
    let head = tile.head;
    let first_key = tile.first;
    let width = params.heads * HEAD_DIM;
    let start = sample * params.tokens * 3u * width + head * HEAD_DIM;

    // Past the end, the last token is recomputed and not stored.
    var k: array<vec4<f32>, KEYS * PARTS>;
    var v: array<vec4<f32>, KEYS * PARTS>;
    var d_k: array<vec4<f32>, KEYS * PARTS>;
    var d_v: array<vec4<f32>, KEYS * PARTS>;
    for (var j = 0u; j < KEYS; j++) {
        let key = start + (3u * min(first_key + j, params.tokens - 1u) + 1u) * width;
        for (var c = 0u; c < PARTS; c++) {
            k[j * PARTS + c] = load_padded(key, c) * params.scale;
            v[j * PARTS + c] = load_padded(key + width, c);
            d_k[j * PARTS + c] = vec4(0.0);
            d_v[j * PARTS + c] = vec4(0.0);
        }
    }
    for (var i = select(0u, first_key, params.causal == 1u); i < params.tokens; i++) {
        let row = sample * params.tokens + i;
        let total = lse[row * params.heads + head];
        let product = delta[row * params.heads + head];
        var q: array<vec4<f32>, PARTS>;
        var g: array<vec4<f32>, PARTS>;
        var score: array<f32, KEYS>;
        var slope: array<f32, KEYS>;
        for (var j = 0u; j < KEYS; j++) {
            score[j] = -total;
            slope[j] = -product;
        }
        for (var c = 0u; c < PARTS; c++) {
            q[c] = load_padded(start + i * 3u * width, c);
            g[c] = load_slope(row * width + head * HEAD_DIM, c);
            for (var j = 0u; j < KEYS; j++) {
                score[j] += dot(q[c], k[j * PARTS + c]);
                slope[j] += dot(g[c], v[j * PARTS + c]);
            }
        }
        var words: vec4<u32>; // of the mask
        if (DROPOUT == 1u) {
            let pair = sample * params.heads + head;
            words = dropout_words(vec3(step[0], step[1], step[2]), pair, i, first_key / 8u);
        }
        for (var j = 0u; j < KEYS; j++) {
            let counts = params.causal == 0u || first_key + j <= i;
            score[j] = select(0.0, exp(score[j]), counts);
            if (DROPOUT == 1u) {
                let mask = dropout_factor(words, first_key + j);
                slope[j] = (slope[j] + product) * mask - product;
                slope[j] *= score[j] * params.scale;
                score[j] *= mask;
                continue;
            }
            slope[j] *= score[j] * params.scale;
        }
        for (var c = 0u; c < PARTS; c++) {
            for (var j = 0u; j < KEYS; j++) {
                d_k[j * PARTS + c] = fma(vec4(slope[j]), q[c], d_k[j * PARTS + c]);
                d_v[j * PARTS + c] = fma(vec4(score[j]), g[c], d_v[j * PARTS + c]);
            }
        }
    }

    for (var j = 0u; j < KEYS; j++) {
        if (first_key + j < params.tokens) {
            let at = start + (3u * (first_key + j) + 1u) * width;
            for (var c = 0u; c < PARTS; c++) {
                let to_key = d_k[j * PARTS + c];
                let to_value = d_v[j * PARTS + c];
                for (var e = 0u; e < min(4u, HEAD_DIM - 4u * c); e++) {
                    d_qkv[at + 4u * c + e] = to_key[e];
                    d_qkv[at + width + 4u * c + e] = to_value[e];
                }
            }
        }
    }
}
