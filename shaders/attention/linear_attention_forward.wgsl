// Linear attention of a window of query positions (Katharopoulos et al., arXiv:2006.16236), over the state before their
// chunk and the keys of the chunk.
//
//   out[i] = ( Sᵀ φ(q_i) + Σ_j a_ij v_j ) / sum[i]        sum[i] = z · φ(q_i) + Σ_j a_ij
//   a_ij   = φ(q_i) · φ(k_j)   for j ≤ i in the chunk of i        φ(x) = elu(x) + 1
//
// An invocation owns QUERIES queries of one head and one chunk and loads each key, value and the state once for all of
// them. Heads are on adjacent lanes.
//
// grid   B · H · (tiles of QUERIES positions that the window touches) invocations, 64 to a workgroup
// reads  qkv (B·T, 3C), bound twice: as vec4s for D a multiple of 4, as floats for any other
//        states (B, chunks − 1, H, STATE) by linear_attention_state
// makes  out (B·n, C) · sum (B·n, H)
#import grid
#import head
#import cache
#import feature
#import state
#import load
const QUERIES: u32 = 1u; // spec 4

struct Params { samples: u32, tokens: u32, heads: u32, chunk: u32, first: u32, queries: u32, parts: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<Cache>;                // (B·T, 3C)
@group(0) @binding(2) var<storage, read> qkv4: array<vec4<Cache>>;         // (B·T, 3C)
@group(0) @binding(3) var<storage, read> states: array<vec4<f32>>;         // (B, chunks − 1, H, STATE)
@group(0) @binding(4) var<storage, read_write> out: array<f32>;            // (B·n, C)
@group(0) @binding(5) var<storage, read_write> sum: array<f32>;            // (B·n, H)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    let last = params.first + params.queries - 1u;
    let first_tile = params.first / QUERIES;
    let tiles = last / QUERIES - first_tile + 1u;
    let sample = index / params.heads / tiles;
    if (sample >= params.samples) { return; }
    let head = index % params.heads;
    let first_query = (first_tile + index / params.heads % tiles) * QUERIES;
    let width = params.heads * HEAD_DIM;
    let start = sample * params.tokens * 3u * width + head * HEAD_DIM;

    // Outside the window, the nearest query is recomputed and not stored.
    var q: array<vec4<f32>, QUERIES * PARTS>;
    var numerator: array<vec4<f32>, QUERIES * PARTS>; // zero-initialized
    var denominator: array<f32, QUERIES>;
    var position: array<u32, QUERIES>;
    for (var i = 0u; i < QUERIES; i++) {
        position[i] = clamp(first_query + i, params.first, last);
        for (var c = 0u; c < PARTS; c++) {
            q[i * PARTS + c] = head_padded(c, feature(load(start + position[i] * 3u * width, c)));
        }
    }
    let chunk = first_query / params.chunk;
    if (chunk > 0u) {
        let slots = (params.tokens - 1u) / params.chunk;
        let before = ((sample * slots + chunk - 1u) * params.heads + head) * STATE;
        // The bound equals PARTS. It is a parameter to prevent drivers from unrolling both loops.
        for (var r = 0u; r < params.parts; r++) {
            let z = state_vector(before, r);
            var row: array<vec4<f32>, QUERIES>; // q[i·PARTS + r], reloaded to keep q in registers
            for (var i = 0u; i < QUERIES; i++) {
                row[i] = head_padded(r, feature(load(start + position[i] * 3u * width, r)));
                denominator[i] += dot(row[i], z);
            }
            for (var c = 0u; c < PARTS; c++) {
                let block = state_block(before, r, c);
                for (var i = 0u; i < QUERIES; i++) { numerator[i * PARTS + c] += block * row[i]; }
            }
        }
    }
    for (var j = chunk * params.chunk; j <= position[QUERIES - 1u]; j++) {
        let key = start + (3u * j + 1u) * width;
        var weight: array<f32, QUERIES>;
        for (var i = 0u; i < QUERIES; i++) { weight[i] = 0.0; }
        for (var c = 0u; c < PARTS; c++) {
            let k = feature(load(key, c));
            for (var i = 0u; i < QUERIES; i++) { weight[i] += dot(q[i * PARTS + c], k); }
        }
        for (var i = 0u; i < QUERIES; i++) {
            weight[i] = select(0.0, weight[i], j <= position[i]);
            denominator[i] += weight[i];
        }
        for (var c = 0u; c < PARTS; c++) {
            let v = load(key + width, c);
            for (var i = 0u; i < QUERIES; i++) {
                numerator[i * PARTS + c] = fma(vec4(weight[i]), v, numerator[i * PARTS + c]);
            }
        }
    }

    for (var i = 0u; i < QUERIES; i++) {
        if (first_query + i == position[i]) {
            let row = sample * params.queries + position[i] - params.first;
            for (var c = 0u; c < PARTS; c++) {
                let value = numerator[i * PARTS + c] / denominator[i];
                for (var e = 0u; e < min(4u, HEAD_DIM - 4u * c); e++) {
                    out[row * width + head * HEAD_DIM + 4u * c + e] = value[e];
                }
            }
            sum[row * params.heads + head] = denominator[i];
        }
    }
}
