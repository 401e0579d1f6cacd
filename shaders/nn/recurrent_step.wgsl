// One step of a recurrent cell for the rows at one position of their sequences: subgroup variant. GRU (Cho et al.,
// arXiv:1406.1078, with the bias of the candidate inside as in PyTorch) and Elman cell (Cognitive Science 14, 1990).
//
//   GRU     r = σ(a_r)   z = σ(a_z)   n = tanh(i_n + r∘q)   h' = (1 − z)∘n + z∘h       Elman   h' = tanh(a)
//   i = W_ih bits(token) + b_ih      q = W_hn h + b_hn      a = i + W_hh h + b_hh
//
// A subgroup owns ROWS rows × 4·LANES columns of every gate. Each lane loads four elements of every previous state and
// the subgroup broadcasts them by shuffles, so that one load serves 4·LANES columns of all gates.
//
// Row w of the step is element w % count of item w / count. With LINKED = 0, its metadata is row item·row_stride +
// first + w % count of `rows` and its state is row item·state_stride + state_first. Its previous state is `back` rows
// earlier, or row item·conditioning_stride + conditioning_first of the conditionings.
//
// grid   ⌈rows / ROWS⌉ · ⌈C / (4·LANES)⌉ subgroups, SUBGROUPS to a workgroup
// reads  rows: (token, ·, ·, ·), or links (token, row of the item, source, source row) ·
//        input: W_ih (G·C, P), b_ih, b_hh · weight W_hh (G·C, C) · base, conditioning (rows, C) ·
//        states (rows, C), of the previous position
// makes  states (rows, C) · with KEEPS = 1 gates (rows, 4C) of a GRU, previous (rows, C)
// C is a multiple of 4.
#import grid
#import tanh
#import weight
#import recurrent
const LANES: u32 = 8u; // spec 4 32
const SUBGROUPS: u32 = 4u; // spec 1
const ROWS: u32 = 8u; // spec 4 16

// W_hh h of one gate for the rows that this subgroup owns, columns 4·c4 to 4·c4 + 3.
fn gate_sum(g: u32, c4: u32, lane: u32) -> array<vec4<f32>, ROWS> {
    let width4 = params.width / 4u;
    var sum: array<vec4<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i++) { sum[i] = vec4(0.0); }
    var a: array<vec4<f32>, ROWS>;
    for (var k0 = 0u; k0 < select(width4, 0u, SOURCES == 0u); k0 += LANES) {
        let k = min(k0 + lane, width4 - 1u);
        for (var i = 0u; i < ROWS; i++) { a[i] = state_before(own[i], k); }
        for (var source = 0u; source < min(LANES, width4 - k0); source++) {
            let at = (g * params.width + 4u * c4) * width4 + k0 + source;
            let w0 = vec4<f32>(weight[at]);
            let w1 = vec4<f32>(weight[at + width4]);
            let w2 = vec4<f32>(weight[at + 2u * width4]);
            let w3 = vec4<f32>(weight[at + 3u * width4]);
            var b: array<vec4<f32>, 4>;
            b[0] = vec4(w0.x, w1.x, w2.x, w3.x);
            b[1] = vec4(w0.y, w1.y, w2.y, w3.y);
            b[2] = vec4(w0.z, w1.z, w2.z, w3.z);
            b[3] = vec4(w0.w, w1.w, w2.w, w3.w);
            for (var j = 0u; j < 4u; j++) {
                for (var i = 0u; i < ROWS; i++) {
                    sum[i] = fma(vec4(subgroupShuffle(a[i][j], source)), b[j], sum[i]);
                }
            }
        }
    }
    return sum;
}

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
    for (var i = 0u; i < ROWS; i++) { own[i] = row_of(first_row + i); }
    // One gate after another, because the sums of all gates do not fit into registers.
    for (var g = 0u; g < params.gates; g++) { keep(g, gate_sum(g, c_safe, lane)); }
    finish(select(0u, params.rows - first_row, c4 < width4), c_safe);
}
