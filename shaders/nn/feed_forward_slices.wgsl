// Feed-forward layer of a transformer block without storing its hidden layer, for narrow models: partial sums over
// slices of the hidden layer.
//
//   part[s, r] = Σ_{f in slice s} W2[:, f] · act(W1[f] · x[r] + b1[f])
//
// An invocation owns a row and holds x and the sum in registers. All invocations of a workgroup read the same weights,
// which AMD's compiler loads as scalars and other GPUs broadcast. Units of the hidden layer are added in order, in blocks
// of 4·BLOCK4, so that compilers merge loads of neighboring weights. feed_forward_sum adds the slices.
//
// grid   ⌈rows / 64⌉ · slices workgroups
// reads  x (rows, C) · weight1 (F, C) · bias1 (F) · weight2 (C, F)
// makes  part (slices, rows, C)
// C = 4·WIDTH4; F is a multiple of 4·BLOCK4.
#import grid
#import tanh
#import activation
#import dot_add
#import weight
const WIDTH4: u32 = 8u; // spec 1 4
const BLOCK4: u32 = 2u; // spec 4

struct Params { rows: u32, blocks: u32, slice_blocks: u32, slices: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;             // (rows, C)
@group(0) @binding(2) var<storage, read> weight1: array<vec4<Weight>>;    // (F, C)
@group(0) @binding(3) var<storage, read> bias1: array<vec4<f32>>;         // (F)
@group(0) @binding(4) var<storage, read> weight2: array<vec4<Weight>>;    // (C, F)
@group(0) @binding(5) var<storage, read_write> part: array<vec4<f32>>;    // (slices, rows, C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups);
    let row = index / params.slices * 64u + local;
    let slice = index % params.slices;
    // Past the edge, the last row is recomputed and not stored.
    let start = min(row, params.rows - 1u) * WIDTH4;

    var own: array<vec4<f32>, WIDTH4>;
    var sum: array<vec4<f32>, WIDTH4>;
    for (var c = 0u; c < WIDTH4; c++) {
        own[c] = x[start + c];
        sum[c] = vec4(0.0);
    }
    let first = slice * params.slice_blocks;
    let end = min(first + params.slice_blocks, params.blocks);
    for (var block = first; block < end; block++) {
        var h: array<vec4<f32>, BLOCK4>;
        let at1 = block * (4u * BLOCK4 * WIDTH4);
        for (var u = 0u; u < BLOCK4; u++) { // unroll
            h[u] = bias1[block * BLOCK4 + u];
            for (var c = 0u; c < WIDTH4; c++) { // unroll
                for (var j = 0u; j < 4u; j++) { // unroll
                    h[u][j] = dot_add(h[u][j], own[c], vec4<f32>(weight1[at1 + (4u * u + j) * WIDTH4 + c]));
                }
            }
            h[u] = activation_value4(h[u]);
        }
        var at2 = block;
        for (var c = 0u; c < WIDTH4; c++) { // unroll
            for (var j = 0u; j < 4u; j++) { // unroll
                for (var u = 0u; u < BLOCK4; u++) { // unroll
                    sum[c][j] = dot_add(sum[c][j], h[u], vec4<f32>(weight2[at2 * BLOCK4 + u]));
                }
                at2 += params.blocks;
            }
        }
    }
    if (row < params.rows) {
        for (var c = 0u; c < WIDTH4; c++) { part[slice * params.rows * WIDTH4 + start + c] = sum[c]; }
    }
}
