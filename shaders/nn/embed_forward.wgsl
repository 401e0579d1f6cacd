// Patch embedding: the previous patch of each position, plus the positional encoding.
//
//   x[r, c] = tanh( Σ_j bit_j(row r) · weight[c, j] + bias[c] ) + position[p_r, c]
//
// A row is `stride` words: ⌈P / 32⌉ with the bits of the previous patch, the position, and others that are not read.
// p_r is the position modulo T, in sequences of T patches. At the start of a sequence, the previous patch counts as
// empty. An invocation owns four columns of ROWS rows.
//
// With START = 1, start[c] replaces the tanh in rows at position 0.
//
// grid   ⌈rows / ROWS⌉ · C/4 invocations, 64 to a workgroup
// reads  rows (rows, stride) · weight (C, P) · bias (C) · position (T, C) · start (C)
// makes  x (rows, C)
// C is a multiple of 4.
#import grid
#import tanh
#import remainder
const START: u32 = 0u; // spec 1
const ROWS: u32 = 2u; // spec 4
struct Params { rows: u32, width: u32, sites: u32, stride: u32, patches: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<u32>;                 // (rows, stride)
@group(0) @binding(2) var<storage, read> weight: array<f32>;               // (C, P)
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;           // (C)
@group(0) @binding(4) var<storage, read> position: array<vec4<f32>>;       // (T, C)
@group(0) @binding(5) var<storage, read> start: array<vec4<f32>>;          // (C)
@group(0) @binding(6) var<storage, read_write> x: array<vec4<f32>>;        // (rows, C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = grid_index(group, groups) * 64u + local;
    let width4 = params.width / 4u;
    let first_row = tile / width4 * ROWS;
    let c = tile % width4;
    if (first_row >= params.rows) { return; }
    let words = (params.sites + 31u) / 32u;
    var at: array<u32, ROWS>;
    var p: array<u32, ROWS>;
    var sum: array<vec4<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i++) {
        at[i] = min(first_row + i, params.rows - 1u) * params.stride;
        p[i] = remainder(rows[at[i] + words], params.patches);
        sum[i] = bias[c];
    }
    for (var word = 0u; word < words; word++) {
        var bits: array<u32, ROWS>;
        for (var i = 0u; i < ROWS; i++) { bits[i] = select(rows[at[i] + word], 0u, p[i] == 0u); }
        for (var j = 0u; j < min(32u, params.sites - 32u * word); j++) {
            var from_bit = 4u * c * params.sites + 32u * word + j;
            var w: vec4<f32>;
            for (var e = 0u; e < 4u; e++) {
                w[e] = weight[from_bit];
                from_bit += params.sites;
            }
            for (var i = 0u; i < ROWS; i++) { sum[i] += select(vec4(0.0), w, ((bits[i] >> j) & 1u) == 1u); }
        }
    }
    for (var i = 0u; i < ROWS; i++) {
        var value = tanh_value4(sum[i]);
        if (START == 1u) { value = select(value, start[c], p[i] == 0u); }
        value += position[p[i] * width4 + c];
        if (first_row + i < params.rows) { x[(first_row + i) * width4 + c] = value; }
    }
}
