// Gradient of attention with respect to its queries: tiled variant in workgroup memory, for GPUs.
//
//   p_ij = exp(q_i · k_j / √D − lse_i)        δ_i = d_out_i · out_i
//   d_q_i = Σ_j p_ij (d_out_i · v_j − δ_i) k_j / √D
//
// Dao et al., arXiv:2205.14135, appendix B. A workgroup owns OWNED queries and iterates over the keys, STREAMED at a
// time. Heads wider than 64 take a second workgroup for the other columns of the sums.
//
// grid   B · H · ⌈T / OWNED⌉ · HALVES workgroups
// reads  qkv (B·T, 3C) and d_out (B·T, C), bound twice: as vec4s for D a multiple of 4, as floats for any other
//        with DROPOUT step: seed (2), step number, -; for D a multiple of 4, bound instead of the floats of d_out
//        out (B·T, C) · lse (B·T, H)
// makes  the first third of each row of d_qkv (B·T, 3C) · delta (B·T, H)
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
@group(0) @binding(3) var<storage, read> out: array<f32>;                  // (B·T, C)
@group(0) @binding(4) var<storage, read> lse: array<f32>;                  // (B·T, H)
@group(0) @binding(5) var<storage, read> words: array<u32>;                // d_out (B·T, C) or step (4)
@group(0) @binding(6) var<storage, read> d_out4: array<vec4<f32>>;         // (B·T, C)
@group(0) @binding(7) var<storage, read_write> d_qkv: array<f32>;          // (B·T, 3C)
@group(0) @binding(8) var<storage, read_write> delta: array<f32>;          // (B·T, H)

// lse_i · log₂ e and δ_i of the owned queries
var<workgroup> of_owned: array<vec2<f32>, OWNED>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let own = owned_of(grid_index(group, groups));
    let lane = lane_of(local, own);

    // Four lanes add the products of a query, in the chunks of its row.
    let first_at = own.first * lane.width;
    let own_at = min(lane.chunk_at + first_at, lane.last_at);
    var shares = vec4(0.0);
    for (var c = local % CHUNK; c < PARTS; c += CHUNK) {
        let i = UNIT * (own_at + lane.head) + head_index(c);
        shares = fma(load(lane, D_OUT, own_at, c), vec4(out[i.x], out[i.y], out[i.z], out[i.w]), shares);
    }
    owned_tile[local] = shares;
    workgroupBarrier();
    if (local < OWNED) {
        let query = own.first_row + min(own.first + local, params.tokens - 1u);
        var sum = owned_tile[CHUNK * local];
        for (var c = 1u; c < CHUNK; c++) { sum += owned_tile[CHUNK * local + c]; }
        let product = (sum.x + sum.y) + (sum.z + sum.w);
        of_owned[local] = vec2(lse[query * params.heads + own.head] * LOG2_E, product);
        let counts = own.sample < params.samples && own.half == 0u && own.first + local < params.tokens;
        if (counts) { delta[query * params.heads + own.head] = product; }
    }

    let end = select(params.tokens, min(own.first + OWNED, params.tokens), params.causal == 1u);
    let query = own.first + local % 8u + 8u * vec4(0u, 1u, 2u, 3u);
    let keys = select(vec4(params.tokens), min(query + 1u, vec4(params.tokens)), params.causal == 1u);
    let pair = own.sample * params.heads + own.head;
    var j_at = 0u;
    var d_q: mat4x4<f32>; // zero-initialized
    for (var j0 = 0u; j0 < end; j0 += STREAMED) {
        let p = scores(lane, 1u, j_at, 0u, first_at);
        if (DROPOUT == 1u) {
            // Into the padding of owned_tile, a vector per query.
            let bits = kept_bits(vec3(words[0], words[1], words[2]), pair, own.first + local / 4u, j0 / 16u + local % 4u);
            owned_tile[local / 4u * STRIDE + CHUNK][local % 4u] = bits;
        }
        var total: vec4<f32>;
        for (var n = 0u; n < 4u; n++) { total[n] = of_owned[local % 8u + 8u * n].x; }
        for (var m = 0u; m < 4u; m++) {
            let counts = vec4(j0 + local / 8u + 16u * m) < keys;
            block[local + 128u * m] = select(vec4(0.0), exp2(fma(p[m], vec4(params.scale * LOG2_E), -total)), counts);
        }
        let s = scores(lane, 2u, j_at, D_OUT, first_at);
        var product: vec4<f32>;
        for (var n = 0u; n < 4u; n++) { product[n] = of_owned[local % 8u + 8u * n].y; }
        for (var m = 0u; m < 4u; m++) {
            var slope = s[m];
            if (DROPOUT == 1u) {
                var numbers: vec4<f32>;
                for (var n = 0u; n < 4u; n++) { numbers[n] = owned_tile[(local % 8u + 8u * n) * STRIDE + CHUNK][m]; }
                slope *= kept_factors(numbers, vec4(local / 8u));
            }
            block[local + 128u * m] *= (slope - product) * params.scale;
        }
        d_q = add_rows(lane, 1u, j_at, end - j0, d_q);
        j_at += STREAMED * lane.width;
    }
    store(lane, d_q, own.first, 0u, own.sample < params.samples);
}
