// Gradient of attention with respect to its keys and values: tiled variant in workgroup memory, for GPUs.
//
//   p_ij = exp(q_i · k_j / √D − lse_i)
//   d_v_j = Σ_i p_ij d_out_i        d_k_j = Σ_i p_ij (d_out_i · v_j − δ_i) q_i / √D
//
// Dao et al., arXiv:2205.14135, appendix B. A workgroup owns OWNED keys and iterates over the queries, STREAMED at a
// time. Heads wider than 64 take a second workgroup for the other columns of the sums. δ comes from
// attention_backward_query.
//
// grid   B · H · ⌈T / OWNED⌉ · HALVES workgroups
// reads  qkv (B·T, 3C) and d_out (B·T, C), bound twice: as vec4s for D a multiple of 4, as floats for any other
//        with DROPOUT step: seed (2), step number, -; for D a multiple of 4, bound instead of the floats of d_out
//        lse (B·T, H) · delta (B·T, H)
// makes  the last two thirds of each row of d_qkv (B·T, 3C)
#import grid
#import head
#import score_stream
#import score_stream_product
#import philox
#import attention_dropout
#import dropout_block

// The loops over `parts` and `steps` have bounds at run time so that compilers do not unroll them, which would take
// more registers than a GPU has.
struct Params {
    samples: u32, tokens: u32, heads: u32, causal: u32, scale: f32, parts: u32, steps: u32,
    dropped: u32, factor: f32, site: u32, first_sample: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;                  // (B·T, 3C)
@group(0) @binding(2) var<storage, read> qkv4: array<vec4<f32>>;           // (B·T, 3C)
@group(0) @binding(3) var<storage, read> words: array<u32>;                // d_out (B·T, C) or step (4)
@group(0) @binding(4) var<storage, read> d_out4: array<vec4<f32>>;         // (B·T, C)
@group(0) @binding(5) var<storage, read> lse: array<f32>;                  // (B·T, H)
@group(0) @binding(6) var<storage, read> delta: array<f32>;                // (B·T, H)
@group(0) @binding(7) var<storage, read_write> d_qkv: array<f32>;          // (B·T, 3C)

// Factors of the lane's keys for its streamed query `m`.
fn factors_of(local: u32, m: u32) -> vec4<f32> {
    let query = local / 8u + 16u * m;
    let of_two = owned_tile[query / 2u * STRIDE + CHUNK];
    return kept_factors_of(select(of_two.xy, of_two.zw, query % 2u == 1u), local % 8u + 8u * vec4(0u, 1u, 2u, 3u));
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let own = owned_of(grid_index(group, groups));
    let lane = lane_of(local, own);
    let first_at = own.first * lane.width;
    let start = select(0u, own.first, params.causal == 1u);
    let pair = own.sample * params.heads + own.head;
    var i_at = start * lane.width;
    var of_at = (own.first_row + start + local / 8u) * params.heads + own.head;
    let of_last = (own.first_row + params.tokens - 1u) * params.heads + own.head;
    var d_k: mat4x4<f32>; // zero-initialized
    var d_v: mat4x4<f32>;
    for (var i0 = start; i0 < params.tokens; i0 += STREAMED) {
        if (DROPOUT == 1u) {
            // Into the padding of owned_tile, a vector per two queries.
            let bits = kept_bits(vec3(words[0], words[1], words[2]), pair, i0 + local / 2u, own.first / 16u + local % 2u);
            owned_tile[local / 4u * STRIDE + CHUNK][local % 4u] = bits;
        }
        var p = scores(lane, 0u, i_at, 1u, first_at);
        for (var m = 0u; m < 4u; m++) {
            let i = i0 + local / 8u + 16u * m;
            let total = lse[min(of_at + 16u * m * params.heads, of_last)];
            let keys = select(select(params.tokens, i + 1u, params.causal == 1u), 0u, i >= params.tokens);
            let counts = own.first + local % 8u + 8u * vec4(0u, 1u, 2u, 3u) < vec4(keys);
            let power = fma(p[m], vec4(params.scale * LOG2_E), vec4(-total * LOG2_E));
            p[m] = select(vec4(0.0), exp2(power), counts);
            var weight = p[m];
            if (DROPOUT == 1u) { weight *= factors_of(local, m); }
            block[local + 128u * m] = weight;
        }
        d_v = add_rows(lane, D_OUT, i_at, params.tokens - i0, d_v);
        let s = scores(lane, D_OUT, i_at, 2u, first_at);
        for (var m = 0u; m < 4u; m++) {
            let product = delta[min(of_at + 16u * m * params.heads, of_last)];
            if (DROPOUT == 1u) {
                block[local + 128u * m] = p[m] * (s[m] * factors_of(local, m) - product) * params.scale;
            } else {
                block[local + 128u * m] *= (s[m] - product) * params.scale;
            }
        }
        d_k = add_rows(lane, 0u, i_at, params.tokens - i0, d_k);
        i_at += STREAMED * lane.width;
        of_at += STREAMED * params.heads;
    }
    store(lane, d_k, own.first, 1u, own.sample < params.samples);
    store(lane, d_v, own.first, 2u, own.sample < params.samples);
}
