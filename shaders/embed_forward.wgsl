// Embeds the patch before each position and adds the position.
//
//   x[r, c] = tanh( Σ_j bit_j(token_r) · weight[c, j] + bias[c] ) + position[p_r, c]
//
// With START = 1 start[c] stands in place of the tanh in rows at position 0.
//
// grid   ⌈rows / 8⌉ · C invocations, 64 to a workgroup
// reads  rows (rows): token, position, target, 0 · weight (C, P) · bias (C) · position (T, C)
//        start (C)
// makes  x (rows, C)
#import grid
#import tanh
const PATCH: u32 = 4u; // spec 1 2 12
const START: u32 = 0u; // spec 1
struct Params { rows: u32, width: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;           // (rows)
@group(0) @binding(2) var<storage, read> weight: array<f32>;               // (C, P)
@group(0) @binding(3) var<storage, read> bias: array<f32>;                 // (C)
@group(0) @binding(4) var<storage, read> position: array<f32>;             // (T, C)
@group(0) @binding(5) var<storage, read> start: array<f32>;                // (C)
@group(0) @binding(6) var<storage, read_write> x: array<f32>;              // (rows, C)

const ROWS: u32 = 8u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = grid_index(group, groups) * 64u + local;
    let first_row = tile / params.width * ROWS;
    let c = tile % params.width;
    if (first_row >= params.rows) { return; }
    var w: array<f32, PATCH>;
    for (var j = 0u; j < PATCH; j++) { w[j] = weight[c * PATCH + j]; }
    for (var row = first_row; row < min(first_row + ROWS, params.rows); row++) {
        let description = rows[row];
        var sum = bias[c];
        for (var j = 0u; j < PATCH; j++) { sum += select(0.0, w[j], ((description.x >> j) & 1u) == 1u); }
        var value = tanh_value(sum);
        if (START == 1u && description.y == 0u) { value = start[c]; }
        x[row * params.width + c] = value + position[description.y * params.width + c];
    }
}
