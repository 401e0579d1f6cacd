// Gradient of linear attention with respect to its keys and values.
//
//   d_k_j = φ'(k_j) ( R v_j − w + Σ_i (g_i · v_j − δ_i) φ(q_i) )        g_i = d_out_i / sum_i
//   d_v_j = Rᵀ φ(k_j) + Σ_i (φ(q_i) · φ(k_j)) g_i                       for i ≥ j in the chunk of j
//
// φ(x) = elu(x) + 1, φ' = min(φ, 1). R and w are the backward state of the chunk, the contribution of the chunks after
// it. An invocation owns KEYS keys and values of one head and one chunk.
//
// grid   B · ⌈T / KEYS⌉ · H invocations, 64 to a workgroup
// reads  qkv (B·T, 3C) and d_out (B·T, C), bound twice: as vec4s for D a multiple of 4, as floats for any other
//        states (B, chunks − 1, H, STATE) by linear_attention_backward_state · sum (B·T, H) · delta (B·T, H)
// makes  the last two thirds of each row of d_qkv (B·T, 3C)
#import grid
#import head
#import head_tile
#import feature
#import state
#import load
#import load_slope
#import put
const KEYS: u32 = 1u; // spec 4

struct Params { samples: u32, tokens: u32, heads: u32, chunk: u32, parts: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;                  // (B·T, 3C)
@group(0) @binding(2) var<storage, read> qkv4: array<vec4<f32>>;           // (B·T, 3C)
@group(0) @binding(3) var<storage, read> d_out: array<f32>;                // (B·T, C)
@group(0) @binding(4) var<storage, read> d_out4: array<vec4<f32>>;         // (B·T, C)
@group(0) @binding(5) var<storage, read> sum: array<f32>;                  // (B·T, H)
@group(0) @binding(6) var<storage, read> delta: array<f32>;                // (B·T, H)
@group(0) @binding(7) var<storage, read> states: array<vec4<f32>>;         // (B, chunks − 1, H, STATE)
@group(0) @binding(8) var<storage, read_write> d_qkv: array<f32>;          // (B·T, 3C)

// Index of a key of a head in qkv; past the last token, that of the last.
fn place(start: u32, key: u32, width: u32) -> u32 {
    return start + (3u * min(key, params.tokens - 1u) + 1u) * width;
}

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
    let width = params.heads * HEAD_DIM;
    let start = sample * params.tokens * 3u * width + head * HEAD_DIM;

    // Past the end, the last token is recomputed and not stored.
    var k: array<vec4<f32>, KEYS * PARTS>; // φ(k)
    var v: array<vec4<f32>, KEYS * PARTS>;
    var d_k: array<vec4<f32>, KEYS * PARTS>; // w.r.t. φ(k), zero-initialized
    var d_v: array<vec4<f32>, KEYS * PARTS>;
    for (var j = 0u; j < KEYS; j++) {
        let key = place(start, tile.first + j, width);
        for (var c = 0u; c < PARTS; c++) {
            k[j * PARTS + c] = head_padded(c, feature(load(key, c)));
            v[j * PARTS + c] = load_padded(key + width, c);
        }
    }
    let chunk = tile.first / params.chunk;
    let slots = (params.tokens - 1u) / params.chunk;
    if (chunk < slots) {
        let after = ((sample * slots + chunk) * params.heads + head) * STATE;
        // The bound equals PARTS. It is a parameter to prevent drivers from unrolling both loops.
        for (var r = 0u; r < params.parts; r++) {
            let w = state_vector(after, r);
            var own: array<vec4<f32>, KEYS>; // k[j·PARTS + r], reloaded to keep k in registers
            var share: array<vec4<f32>, KEYS>;
            for (var j = 0u; j < KEYS; j++) {
                own[j] = head_padded(r, feature(load(place(start, tile.first + j, width), r)));
                share[j] = -w;
            }
            for (var c = 0u; c < PARTS; c++) {
                let block = state_block(after, r, c);
                for (var j = 0u; j < KEYS; j++) {
                    share[j] += v[j * PARTS + c] * block;
                    d_v[j * PARTS + c] += block * own[j];
                }
            }
            for (var j = 0u; j < KEYS; j++) {
                if (tile.first + j < params.tokens) { put(place(start, tile.first + j, width), r, share[j]); }
            }
        }
    }
    for (var i = tile.first; i < min((chunk + 1u) * params.chunk, params.tokens); i++) {
        let row = sample * params.tokens + i;
        let scale = 1.0 / sum[row * params.heads + head];
        let product = delta[row * params.heads + head];
        var q: array<vec4<f32>, PARTS>; // φ(q)
        var g: array<vec4<f32>, PARTS>;
        var weight: array<f32, KEYS>;
        var slope: array<f32, KEYS>;
        for (var j = 0u; j < KEYS; j++) {
            weight[j] = 0.0;
            slope[j] = -product;
        }
        for (var c = 0u; c < PARTS; c++) {
            q[c] = feature(load(start + i * 3u * width, c));
            g[c] = scale * load_slope(row * width + head * HEAD_DIM, c);
            for (var j = 0u; j < KEYS; j++) {
                weight[j] += dot(q[c], k[j * PARTS + c]);
                slope[j] += dot(g[c], v[j * PARTS + c]);
            }
        }
        for (var j = 0u; j < KEYS; j++) {
            let counts = tile.first + j <= i;
            for (var c = 0u; c < PARTS; c++) {
                d_k[j * PARTS + c] = fma(vec4(select(0.0, slope[j], counts)), q[c], d_k[j * PARTS + c]);
                d_v[j * PARTS + c] = fma(vec4(select(0.0, weight[j], counts)), g[c], d_v[j * PARTS + c]);
            }
        }
    }

    for (var j = 0u; j < KEYS; j++) {
        if (tile.first + j < params.tokens) {
            let at = place(start, tile.first + j, width);
            for (var c = 0u; c < PARTS; c++) {
                var to_key = d_k[j * PARTS + c];
                if (chunk < slots) { to_key += taken(at, c); }
                put(at, c, to_key * feature_slope(k[j * PARTS + c]));
                put(at + width, c, d_v[j * PARTS + c]);
            }
        }
    }
}
