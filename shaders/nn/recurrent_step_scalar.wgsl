// One step of a recurrent cell for the rows at one position of their sequences: scalar variant, for adapters without
// subgroups.
//
//   GRU     r = σ(a_r)   z = σ(a_z)   n = tanh(i_n + r∘q)   h' = (1 − z)∘n + z∘h       Elman   h' = tanh(a)
//   i = W_ih bits(token) + b_ih      q = W_hn h + b_hn      a = i + W_hh h + b_hh
//
// An invocation owns ROWS rows × 4 columns of every gate. The rows are those of recurrent_step.
//
// grid   ⌈rows / ROWS⌉ · C / 4 invocations, 64 to a workgroup
// reads  rows: (token, ·, ·, ·), or links (token, row of the item, source, source row) ·
//        input: W_ih (G·C, P), b_ih, b_hh · weight W_hh (G·C, C) · base, conditioning (rows, C) ·
//        states (rows, C), of the previous position
// makes  states (rows, C) · with KEEPS = 1 gates (rows, 4C) of a GRU, previous (rows, C)
// C is a multiple of 4.
#import grid
#import tanh
#import weight
#import recurrent
const ROWS: u32 = 8u; // spec 2

// W_hh h of one gate for the rows that this invocation owns, columns 4·c4 to 4·c4 + 3.
fn gate_sum(g: u32, c4: u32) -> array<vec4<f32>, ROWS> {
    let width4 = params.width / 4u;
    var sum: array<vec4<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i++) { sum[i] = vec4(0.0); }
    for (var k = 0u; k < select(width4, 0u, SOURCES == 0u); k++) {
        let at = (g * params.width + 4u * c4) * width4 + k;
        let w0 = vec4<f32>(weight[at]);
        let w1 = vec4<f32>(weight[at + width4]);
        let w2 = vec4<f32>(weight[at + 2u * width4]);
        let w3 = vec4<f32>(weight[at + 3u * width4]);
        for (var i = 0u; i < ROWS; i++) {
            let a = state_before(own[i], k);
            // In the summation order of recurrent_step.
            var s = fma(vec4(a.x), vec4(w0.x, w1.x, w2.x, w3.x), sum[i]);
            s = fma(vec4(a.y), vec4(w0.y, w1.y, w2.y, w3.y), s);
            s = fma(vec4(a.z), vec4(w0.z, w1.z, w2.z, w3.z), s);
            sum[i] = fma(vec4(a.w), vec4(w0.w, w1.w, w2.w, w3.w), s);
        }
    }
    return sum;
}

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
    for (var i = 0u; i < ROWS; i++) { own[i] = row_of(first_row + i); }
    for (var g = 0u; g < params.gates; g++) { keep(g, gate_sum(g, c4)); }
    finish(params.rows - first_row, c4);
}
