// States of linear attention after chunks of positions, each from the previous one (Katharopoulos et al.,
// arXiv:2006.16236).
//
//   S[c] = S[c − 1] + Σ_{j in chunk c} φ(k_j) v_jᵀ     z[c] = z[c − 1] + Σ_{j in chunk c} φ(k_j)     φ(x) = elu(x) + 1
//
// An invocation owns four rows and BLOCK parts of the matrices of one head and iterates over the positions in order.
// The state after the last chunk is not needed and not stored.
//
// grid   B · H · PARTS · ⌈PARTS / BLOCK⌉ invocations, 64 to a workgroup
// reads  qkv (B·T, 3C), bound twice: as vec4s for D a multiple of 4, as floats for any other
//        the state after chunk first − 1, if first > 0
// makes  states (B, chunks − 1, H, STATE): those after chunks first to first + count − 1
#import grid
#import head
#import cache
#import feature
#import state
#import load
const BLOCK: u32 = min(PARTS, 4u);

struct Params { samples: u32, tokens: u32, heads: u32, chunk: u32, first: u32, count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<Cache>;                // (B·T, 3C)
@group(0) @binding(2) var<storage, read> qkv4: array<vec4<Cache>>;         // (B·T, 3C)
@group(0) @binding(3) var<storage, read_write> states: array<vec4<f32>>;   // (B, chunks − 1, H, STATE)

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
    let start = sample * params.tokens * 3u * width + head * HEAD_DIM;
    let slots = (params.tokens - 1u) / params.chunk;

    var matrix: array<mat4x4<f32>, BLOCK>; // zero-initialized
    var vector = vec4(0.0);
    if (params.first > 0u) {
        let before = ((sample * slots + params.first - 1u) * params.heads + head) * STATE;
        for (var b = 0u; b < parts; b++) { matrix[b] = state_block(before, row, first_part + b); }
        vector = state_vector(before, row);
    }
    for (var c = params.first; c < params.first + params.count; c++) {
        for (var j = c * params.chunk; j < (c + 1u) * params.chunk; j++) {
            let key = start + (3u * j + 1u) * width;
            let k = head_padded(row, feature(load(key, row)));
            vector += k;
            for (var b = 0u; b < BLOCK; b++) {
                // Past the end, the last part is reloaded and not stored.
                let part = min(first_part + b, PARTS - 1u);
                let v = load_padded(key + width, part);
                matrix[b] += mat4x4(k.x * v, k.y * v, k.z * v, k.w * v);
            }
        }
        let at = ((sample * slots + c) * params.heads + head) * STATE;
        for (var b = 0u; b < parts; b++) {
            for (var r = 0u; r < 4u; r++) { states[at + (4u * row + r) * PARTS + first_part + b] = matrix[b][r]; }
        }
        if (first_part == 0u) { states[at + 4u * PARTS * PARTS + row] = vector; }
    }
}
