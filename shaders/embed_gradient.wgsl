// Gradient of the patch embedding, as partial sums of blocks of rows that linear_gradient_sum adds.
//
//   dz[r, c] = d_x[r, c] (1 − tanh²( Σ_j bit_j(token_r) · weight[c, j] + bias[c] ))
//   part[s, c, j] = Σ_{r in block s} dz[r, c] · bit_j(token_r)        part[s, C·P + c] = Σ_{r in block s} dz[r, c]
//
// With START = 1 rows at position 0 have another embedding and count for nothing.
//
// grid   blocks · C invocations, 64 to a workgroup
// reads  rows (rows): token, position, target, 0 · weight (C, P) · bias (C) · d_x (rows, C) · live (1)
// makes  part (blocks, C·P + C)
#import grid
#import tanh
const PATCH: u32 = 4u; // spec 1 2 12
const START: u32 = 0u; // spec 1
struct Params { rows: u32, width: u32, blocks: u32, block_rows: u32, first_item: u32, rows_per_item: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;           // (rows)
@group(0) @binding(2) var<storage, read> weight: array<f32>;               // (C, P)
@group(0) @binding(3) var<storage, read> bias: array<f32>;                 // (C)
@group(0) @binding(4) var<storage, read> d_x: array<f32>;                  // (rows, C)
@group(0) @binding(5) var<storage, read> live: array<u32>;                 // (1)
@group(0) @binding(6) var<storage, read_write> part: array<f32>;           // (blocks, C·P + C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = grid_index(group, groups) * 64u + local;
    let block = tile / params.width;
    let c = tile % params.width;
    if (block >= params.blocks) { return; }
    let items = max(live[0], params.first_item) - params.first_item;
    let end = min(params.rows, items * params.rows_per_item);
    let first_row = block * params.block_rows;
    var w: array<f32, PATCH>;
    var sum: array<f32, PATCH>;
    var bias_sum = 0.0;
    for (var j = 0u; j < PATCH; j++) {
        w[j] = weight[c * PATCH + j];
        sum[j] = 0.0;
    }
    for (var row = first_row; row < min(first_row + params.block_rows, end); row++) {
        let token = rows[row].x;
        if (START == 1u && rows[row].y == 0u) { continue; }
        var z = bias[c];
        for (var j = 0u; j < PATCH; j++) { z += select(0.0, w[j], ((token >> j) & 1u) == 1u); }
        let value = tanh_value(z);
        let dz = d_x[row * params.width + c] * (1.0 - value * value);
        bias_sum += dz;
        for (var j = 0u; j < PATCH; j++) { sum[j] += select(0.0, dz, ((token >> j) & 1u) == 1u); }
    }
    let start = block * (PATCH + 1u) * params.width;
    for (var j = 0u; j < PATCH; j++) { part[start + c * PATCH + j] = sum[j]; }
    part[start + PATCH * params.width + c] = bias_sum;
}
