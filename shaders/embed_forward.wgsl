// Embeds the patch before each position and adds the position.
//
//   x[r, c] = tanh( Σ_j bit_j(row r) · weight[c, j] + bias[c] ) + position[p_r, c]
//
// A row is `stride` words: ⌈P / 32⌉ with the bits of the patch before, the position, and others that are not read. p_r is
// the position modulo T, in sequences of T patches; where one begins, the patch before counts as empty.
//
// With START = 1 start[c] stands in place of the tanh in rows at position 0.
//
// grid   ⌈rows / 8⌉ · C invocations, 64 to a workgroup
// reads  rows (rows, stride) · weight (C, P) · bias (C) · position (T, C) · start (C)
// makes  x (rows, C)
#import grid
#import tanh
const START: u32 = 0u; // spec 1
struct Params { rows: u32, width: u32, sites: u32, stride: u32, patches: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<u32>;                 // (rows, stride)
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
    let words = (params.sites + 31u) / 32u;
    let count = min(ROWS, params.rows - first_row);
    var sum: array<f32, ROWS>;
    var bits: array<u32, ROWS>;
    for (var i = 0u; i < ROWS; i++) { sum[i] = bias[c]; }
    for (var word = 0u; word < words; word++) {
        for (var i = 0u; i < ROWS; i++) {
            let at = (first_row + min(i, count - 1u)) * params.stride;
            bits[i] = select(rows[at + word], 0u, rows[at + words] % params.patches == 0u);
        }
        for (var j = 0u; j < min(32u, params.sites - 32u * word); j++) {
            let w = weight[c * params.sites + 32u * word + j];
            for (var i = 0u; i < ROWS; i++) { sum[i] += select(0.0, w, ((bits[i] >> j) & 1u) == 1u); }
        }
    }
    for (var i = 0u; i < count; i++) {
        let row = first_row + i;
        let p = rows[row * params.stride + words] % params.patches;
        var value = tanh_value(sum[i]);
        if (START == 1u && p == 0u) { value = start[c]; }
        x[row * params.width + c] = value + position[p * params.width + c];
    }
}
