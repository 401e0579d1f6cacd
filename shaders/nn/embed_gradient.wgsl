// Gradient of the patch embedding, as partial sums of blocks of rows that linear_gradient_sum adds.
//
//   dz[r, c] = d_x[r, c] (1 − tanh²( Σ_j bit_j(row r) · weight[c, j] + bias[c] ))        TANH = 0: d_x[r, c]
//   part[s, c, j] = Σ_{r in block s} dz[r, c] · bit_j(row r)        part[s, C·P + c] = Σ_{r in block s} dz[r, c]
//
// Rows are those of embed_forward. Rows of d_x are `d_stride` elements apart. An invocation owns BITS of the bits. With
// START = 1, rows at the start of a sequence have a different embedding and are excluded.
//
// grid   blocks · ⌈P / BITS⌉ · C invocations, 64 to a workgroup
// reads  rows (rows, stride) · weight (C, P) · bias (C) · d_x (rows, C) · live (1)
// makes  part (blocks, C·P + C)
#import grid
#import tanh
#import remainder
const BITS: u32 = 4u; // spec 1 2 12 16
const TANH: u32 = 1u; // spec 0
const START: u32 = 0u; // spec 1
struct Params {
    rows: u32, width: u32, sites: u32, stride: u32, d_stride: u32, patches: u32, blocks: u32, block_rows: u32,
    first_item: u32, rows_per_item: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<u32>;                 // (rows, stride)
@group(0) @binding(2) var<storage, read> weight: array<f32>;               // (C, P)
@group(0) @binding(3) var<storage, read> bias: array<f32>;                 // (C)
@group(0) @binding(4) var<storage, read> d_x: array<f32>;                  // (rows, C)
@group(0) @binding(5) var<storage, read> live: array<u32>;                 // (1)
@group(0) @binding(6) var<storage, read_write> part: array<f32>;           // (blocks, C·P + C)

const ROWS: u32 = 4u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = grid_index(group, groups) * 64u + local;
    let c = tile % params.width;
    let parts = (params.sites + BITS - 1u) / BITS;
    let first_bit = tile / params.width % parts * BITS;
    let block = tile / params.width / parts;
    if (block >= params.blocks) { return; }
    let items = max(live[0], params.first_item) - params.first_item;
    let first_row = block * params.block_rows;
    let end = min(first_row + params.block_rows, min(params.rows, items * params.rows_per_item));
    let words = (params.sites + 31u) / 32u;
    var sum: array<f32, BITS>;
    var bias_sum = 0.0;
    for (var j = 0u; j < BITS; j++) { sum[j] = 0.0; }
    for (var row = first_row; row < end; row += ROWS) {
        var at: array<u32, ROWS>;
        var empty: array<bool, ROWS>;
        var z: array<f32, ROWS>;
        for (var i = 0u; i < ROWS; i++) {
            at[i] = min(row + i, end - 1u) * params.stride;
            empty[i] = remainder(rows[at[i] + words], params.patches) == 0u;
        }
        if (TANH == 1u) { for (var i = 0u; i < ROWS; i++) { z[i] = bias[c]; } }
        for (var word = 0u; word < select(0u, words, TANH == 1u); word++) {
            var bits: array<u32, ROWS>;
            for (var i = 0u; i < ROWS; i++) { bits[i] = select(rows[at[i] + word], 0u, empty[i]); }
            for (var j = 0u; j < min(32u, params.sites - 32u * word); j++) {
                let w = weight[c * params.sites + 32u * word + j];
                for (var i = 0u; i < ROWS; i++) { z[i] += select(0.0, w, ((bits[i] >> j) & 1u) == 1u); }
            }
        }
        for (var i = 0u; i < ROWS; i++) {
            let counts = row + i < end && !(START == 1u && empty[i]);
            let value = tanh_value(z[i]);
            let slope = select(1.0, 1.0 - value * value, TANH == 1u);
            let dz = select(0.0, d_x[min(row + i, end - 1u) * params.d_stride + c] * slope, counts);
            // BITS divides 32 or covers all bits, so that the bits of an invocation are in one word.
            let own = select(rows[at[i] + first_bit / 32u] >> (first_bit % 32u), 0u, empty[i]);
            bias_sum += dz;
            for (var j = 0u; j < BITS; j++) { sum[j] += select(0.0, dz, ((own >> j) & 1u) == 1u); }
        }
    }
    let start = block * (params.sites + 1u) * params.width;
    for (var j = 0u; j < min(BITS, params.sites - first_bit); j++) { part[start + c * params.sites + first_bit + j] = sum[j]; }
    if (first_bit == 0u) { part[start + params.sites * params.width + c] = bias_sum; }
}
