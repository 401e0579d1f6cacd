// Token embedding: rows of a table by token, plus positions. Other tokens leave their rows unchanged.
//
//   x[r, c] = table[token_r − first_token, c] + position[first + r mod period, c]
//
// An invocation owns four channels of a row.
//
// grid   ⌈rows / 64⌉ · C / 4 workgroups
// reads  tokens (rows) · table (tokens, C) · position (T, C), if POSITION
// makes  x (rows, C)
// C is a multiple of 4.
#import grid
const POSITION: u32 = 1u; // spec 0

struct Params { rows: u32, width4: u32, first_token: u32, tokens: u32, period: u32, first: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;               // (rows)
@group(0) @binding(2) var<storage, read> table: array<vec4<f32>>;          // (tokens, C)
@group(0) @binding(3) var<storage, read> position: array<vec4<f32>>;       // (T, C)
@group(0) @binding(4) var<storage, read_write> x: array<vec4<f32>>;        // (rows, C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = grid_index(group, groups) * 64u + local;
    let row = i / params.width4;
    if (row >= params.rows) { return; }
    let c = i % params.width4;
    // Smaller tokens wrap around to large numbers.
    let token = tokens[row] - params.first_token;
    if (token >= params.tokens) { return; }
    var value = table[token * params.width4 + c];
    if (POSITION == 1u) { value += position[(params.first + row % params.period) * params.width4 + c]; }
    x[i] = value;
}
