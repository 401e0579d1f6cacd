// Gradient of one step of a recurrent cell, for one position of all sequences: scalar variant, for adapters without
// subgroups.
//
//   d = d_states[row] + W_hhᵀ d_a[after] + z[after]∘d[after]        gradients from d as in recurrent_backward
//
// An invocation owns ROWS sequences × 4 columns.
//
// grid   ⌈rows / ROWS⌉ · C / 4 invocations, 64 to a workgroup
// reads  weight W_hh (G·C, C) · saved (rows, C) · gates (rows, 4C) · d_states (rows, C) · d_hidden (rows, G·C)
// makes  gates · d_states · d_hidden, or with CONDITIONING = 1
//        d_conditioning (sequences, C): d before the first position
// C is a multiple of 4.
#import grid
#import recurrent_backward
const ROWS: u32 = 8u; // spec 2

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let width4 = params.width / 4u;
    let tile = grid_index(group, groups) * 64u + local;
    let first_row = (tile / width4) * ROWS;
    if (first_row >= params.rows) { return; }
    let c4 = tile % width4;
    var sum: array<vec4<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i++) { sum[i] = vec4(0.0); }

    let inner4 = select(GATES * width4, 0u, params.ends == 1u);
    for (var k = 0u; k < inner4; k++) {
        let at = 4u * k * width4 + c4;
        let b0 = weight[at];
        let b1 = weight[at + width4];
        let b2 = weight[at + 2u * width4];
        let b3 = weight[at + 3u * width4];
        for (var i = 0u; i < ROWS; i++) {
            let a = d_hidden[row_after(first_row + i) * GATES * width4 + k];
            // In the summation order of recurrent_backward.
            sum[i] = fma(vec4(a.w), b3, fma(vec4(a.z), b2, fma(vec4(a.y), b1, fma(vec4(a.x), b0, sum[i]))));
        }
    }
    finish(sum, first_row, params.rows - first_row, c4);
}
