// Gradient of one step of a recurrent cell, for one position of all sequences: subgroup variant. Positions run backward
// from the last.
//
//   d = d_states[row] + W_hhᵀ d_a[after] + z[after]∘d[after]        the last term for a GRU only, from d_states[after]
//   GRU     d_n = d∘(1 − z)∘(1 − n²)   d_z = d∘(h − n)∘z∘(1 − z)   d_r = d_n∘q∘r∘(1 − r)
//           d_hidden = d_a = (d_r, d_z, d_n∘r)   gates = (d_r, d_z, d_n, q)
//           d_states[row] = z∘d, for the previous position
//   Elman   d_hidden = d_a = d∘(1 − h'²)
//
// A subgroup owns ROWS sequences × 4·LANES columns. Sequence u has row u·stride + first and next row u·stride + after.
//
// grid   ⌈rows / ROWS⌉ · ⌈C / (4·LANES)⌉ subgroups, SUBGROUPS to a workgroup
// reads  weight W_hh (G·C, C) · saved (rows, C) · gates (rows, 4C) · d_states (rows, C) · d_hidden (rows, G·C)
// makes  gates · d_states · d_hidden, or with CONDITIONING = 1
//        d_conditioning (sequences, C): d before the first position
// C is a multiple of 4.
#import grid
#import recurrent_backward
const LANES: u32 = 8u; // spec 4 32
const SUBGROUPS: u32 = 4u; // spec 1
const ROWS: u32 = 8u; // spec 4 16

@compute @workgroup_size(LANES * SUBGROUPS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let width4 = params.width / 4u;
    let column_tiles = (width4 + LANES - 1u) / LANES;
    let tile = grid_index(group, groups) * SUBGROUPS + local / LANES;
    let first_row = (tile / column_tiles) * ROWS;
    if (first_row >= params.rows) { return; }
    let c4 = (tile % column_tiles) * LANES + lane;
    let c_safe = min(c4, width4 - 1u);
    var sum: array<vec4<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i++) { sum[i] = vec4(0.0); }

    var a: array<vec4<f32>, ROWS>;
    let inner4 = select(GATES * width4, 0u, params.ends == 1u);
    for (var k0 = 0u; k0 < inner4; k0 += LANES) {
        let k = min(k0 + lane, inner4 - 1u);
        for (var i = 0u; i < ROWS; i++) { a[i] = d_hidden[row_after(first_row + i) * GATES * width4 + k]; }
        for (var source = 0u; source < min(LANES, inner4 - k0); source++) {
            for (var j = 0u; j < 4u; j++) {
                let b = weight[(4u * (k0 + source) + j) * width4 + c_safe];
                for (var i = 0u; i < ROWS; i++) {
                    sum[i] = fma(vec4(subgroupShuffle(a[i][j], source)), b, sum[i]);
                }
            }
        }
    }
    finish(sum, first_row, select(0u, params.rows - first_row, c4 < width4), c_safe);
}
