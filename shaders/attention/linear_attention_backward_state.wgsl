// States of the backward pass of linear attention: the contribution of the queries after each chunk, from the last
// chunk backward.
//
//   R[c] = R[c + 1] + Σ_{i in chunk c + 1} φ(q_i) g_iᵀ        w[c] = w[c + 1] + Σ_{i in chunk c + 1} δ_i φ(q_i)
//   g_i = d_out_i / sum_i        φ(x) = elu(x) + 1        δ by linear_attention_backward_query
//
// An invocation owns four rows and BLOCK parts of the matrices of one head and iterates over the positions in reverse
// order.
//
// grid   B · H · PARTS · ⌈PARTS / BLOCK⌉ invocations, 64 to a workgroup
// reads  qkv (B·T, 3C) and d_out (B·T, C), bound twice: as vec4s for D a multiple of 4, as floats for any other
//        sum (B·T, H) · delta (B·T, H)
// makes  states (B, chunks − 1, H, STATE)
#import grid
#import head
#import feature
#import state
#import load
#import load_slope
const BLOCK: u32 = min(PARTS, 4u);

struct Params { samples: u32, tokens: u32, heads: u32, chunk: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;                  // (B·T, 3C)
@group(0) @binding(2) var<storage, read> qkv4: array<vec4<f32>>;           // (B·T, 3C)
@group(0) @binding(3) var<storage, read> d_out: array<f32>;                // (B·T, C)
@group(0) @binding(4) var<storage, read> d_out4: array<vec4<f32>>;         // (B·T, C)
@group(0) @binding(5) var<storage, read> sum: array<f32>;                  // (B·T, H)
@group(0) @binding(6) var<storage, read> delta: array<f32>;                // (B·T, H)
@group(0) @binding(7) var<storage, read_write> states: array<vec4<f32>>;   // (B, chunks − 1, H, STATE)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    let blocks = (PARTS + BLOCK - 1u) / BLOCK;
    let sample = index / blocks / PARTS / params.heads;
    if (sample >= params.samples) { return; }
    let head = index / blocks / PARTS % params.heads;
    let row = index / blocks % PARTS;
    let first_part = index % blocks * BLOCK;
    let parts = min(BLOCK, PARTS - first_part);
    let width = params.heads * HEAD_DIM;
    let slots = (params.tokens - 1u) / params.chunk;

    var matrix: array<mat4x4<f32>, BLOCK>; // zero-initialized
    var vector = vec4(0.0);
    for (var c = slots; c > 0u; c--) {
        for (var i = min((c + 1u) * params.chunk, params.tokens) - 1u; i >= c * params.chunk; i--) {
            let position = sample * params.tokens + i;
            let q = head_padded(row, feature(load(3u * position * width + head * HEAD_DIM, row)));
            vector += delta[position * params.heads + head] * q;
            let weight = q / sum[position * params.heads + head];
            for (var b = 0u; b < BLOCK; b++) {
                // Past the end, the last part is reloaded and not stored.
                let part = min(first_part + b, PARTS - 1u);
                let g = load_slope(position * width + head * HEAD_DIM, part);
                matrix[b] += mat4x4(weight.x * g, weight.y * g, weight.z * g, weight.w * g);
            }
        }
        let at = ((sample * slots + c - 1u) * params.heads + head) * STATE;
        for (var b = 0u; b < parts; b++) {
            for (var r = 0u; r < 4u; r++) { states[at + (4u * row + r) * PARTS + first_part + b] = matrix[b][r]; }
        }
        if (first_part == 0u) { states[at + 4u * PARTS * PARTS + row] = vector; }
    }
}
