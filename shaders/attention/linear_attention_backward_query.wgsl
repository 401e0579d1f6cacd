// Gradient of linear attention with respect to its queries.
//
//   g_i  = d_out_i / sum_i        δ_i = g_i · out_i        φ(x) = elu(x) + 1,  φ' = min(φ, 1)
//   d_q_i = φ'(q_i) ( S g_i − δ_i z + Σ_j (g_i · v_j − δ_i) φ(k_j) )   for j ≤ i in the chunk of i
//
// S and z are the state before the chunk. An invocation owns QUERIES queries of one head and one chunk.
//
// grid   B · ⌈T / QUERIES⌉ · H invocations, 64 to a workgroup
// reads  qkv (B·T, 3C), bound twice: as vec4s for D a multiple of 4, as floats for any other
//        states (B, chunks − 1, H, STATE) by linear_attention_state · out (B·T, C) · sum (B·T, H) · d_out (B·T, C)
// makes  the first third of each row of d_qkv (B·T, 3C) · delta (B·T, H)
#import grid
#import head
#import head_tile
#import feature
#import state
#import load
#import put
const QUERIES: u32 = 1u; // spec 4

struct Params { samples: u32, tokens: u32, heads: u32, chunk: u32, parts: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;                  // (B·T, 3C)
@group(0) @binding(2) var<storage, read> qkv4: array<vec4<f32>>;           // (B·T, 3C)
@group(0) @binding(3) var<storage, read> states: array<vec4<f32>>;         // (B, chunks − 1, H, STATE)
@group(0) @binding(4) var<storage, read> out: array<f32>;                  // (B·T, C)
@group(0) @binding(5) var<storage, read> sum: array<f32>;                  // (B·T, H)
@group(0) @binding(6) var<storage, read> d_out: array<f32>;                // (B·T, C)
@group(0) @binding(7) var<storage, read_write> d_qkv: array<f32>;          // (B·T, 3C)
@group(0) @binding(8) var<storage, read_write> delta: array<f32>;          // (B·T, H)

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
    var g: array<vec4<f32>, QUERIES * PARTS>;
    var slope: array<vec4<f32>, QUERIES * PARTS>; // w.r.t. φ(q), zero-initialized
    var product: array<f32, QUERIES>;
    var position: array<u32, QUERIES>;
    for (var i = 0u; i < QUERIES; i++) {
        position[i] = min(first_query + i, params.tokens - 1u);
        let row = sample * params.tokens + position[i];
        product[i] = 0.0;
        for (var c = 0u; c < PARTS; c++) {
            let at = vec4(row * width + head * HEAD_DIM) + head_index(c);
            let d = head_padded(c, vec4(d_out[at.x], d_out[at.y], d_out[at.z], d_out[at.w]));
            g[i * PARTS + c] = d / sum[row * params.heads + head];
            product[i] += dot(g[i * PARTS + c], vec4(out[at.x], out[at.y], out[at.z], out[at.w]));
        }
    }
    let chunk = first_query / params.chunk;
    if (chunk > 0u) {
        let slots = (params.tokens - 1u) / params.chunk;
        let before = ((sample * slots + chunk - 1u) * params.heads + head) * STATE;
        // The bound equals PARTS. It is a parameter to prevent drivers from unrolling both loops.
        for (var r = 0u; r < params.parts; r++) {
            let z = state_vector(before, r);
            var share: array<vec4<f32>, QUERIES>;
            for (var i = 0u; i < QUERIES; i++) { share[i] = -product[i] * z; }
            for (var c = 0u; c < PARTS; c++) {
                let block = state_block(before, r, c);
                for (var i = 0u; i < QUERIES; i++) { share[i] += g[i * PARTS + c] * block; }
            }
            for (var i = 0u; i < QUERIES; i++) {
                if (first_query + i < params.tokens) { put(start + position[i] * 3u * width, r, share[i]); }
            }
        }
    }
    for (var j = chunk * params.chunk; j <= position[QUERIES - 1u]; j++) {
        let key = start + (3u * j + 1u) * width;
        var weight: array<f32, QUERIES>;
        for (var i = 0u; i < QUERIES; i++) { weight[i] = -product[i]; }
        for (var c = 0u; c < PARTS; c++) {
            let v = load(key + width, c);
            for (var i = 0u; i < QUERIES; i++) { weight[i] += dot(g[i * PARTS + c], v); }
        }
        for (var i = 0u; i < QUERIES; i++) { weight[i] = select(0.0, weight[i], j <= position[i]); }
        for (var c = 0u; c < PARTS; c++) {
            let k = feature(load(key, c));
            for (var i = 0u; i < QUERIES; i++) { slope[i * PARTS + c] = fma(vec4(weight[i]), k, slope[i * PARTS + c]); }
        }
    }

    for (var i = 0u; i < QUERIES; i++) {
        if (first_query + i < params.tokens) {
            let at = start + position[i] * 3u * width;
            for (var c = 0u; c < PARTS; c++) {
                var value = slope[i * PARTS + c];
                if (chunk > 0u) { value += taken(at, c); }
                put(at, c, value * feature_slope(feature(load(at, c))));
            }
            delta[(sample * params.tokens + position[i]) * params.heads + head] = product[i];
        }
    }
}
