// Gram matrix of the gradients of a linear layer, from its inputs and the gradients of its outputs: scalar variant, for
// any widths and without subgroups.
//
//   high + low [a, b] (+)= Σ_{t, u} (δ_at · δ_bu)(x_at · x_bu + bias)    t·T + u in first_pair .. first_pair + pairs
//
// An invocation owns 4 samples a × 4 samples b. Lower triangle only; keep = 1 adds the total to a compensated pair.
// Samples are stored in parts of part_rows, of which the first live[0] are valid. Each part has its own δ; all parts
// share x.
//
// grid   (samples / 4)² invocations, 64 to a workgroup
// reads  signal (samples·T, N): δ · input (part_rows·T, K): x · live (1)
// makes  high, low: lower triangle in bands of 64 rows
// Samples and part_rows are multiples of 64.
#import grid
#import triangle
#import compensated
#import gram
struct Params {
    rows: u32, part_rows: u32, outputs: u32, inputs: u32, tokens: u32, first_pair: u32, pairs: u32, bias: f32, keep: u32,
    zero: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> signal: array<f32>;           // (samples·T, N)
@group(0) @binding(2) var<storage, read> input: array<f32>;            // (part_rows·T, K)
@group(0) @binding(3) var<storage, read> live: array<u32>;             // (1)
@group(0) @binding(4) var<storage, read_write> high: array<vec4<f32>>; // triangle
@group(0) @binding(5) var<storage, read_write> low: array<vec4<f32>>;  // triangle

const ROWS: u32 = 4u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let column_tiles = params.rows / 4u;
    let tile = grid_index(group, groups) * 64u + local;
    let first_row = tile / column_tiles * ROWS;
    let n = tile % column_tiles * 4u;
    if (!gram_counts(first_row, n, 4u)) { return; }
    let each = vec4(0u, 1u, 2u, 3u) * params.tokens;

    var total: array<vec4<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i++) { total[i] = vec4(0.0); }
    for (var index = params.first_pair; index < params.first_pair + params.pairs; index++) {
        let t = index / params.tokens;
        let u = index % params.tokens;
        var of_signal: array<vec4<f32>, ROWS>;
        for (var i = 0u; i < ROWS; i++) { of_signal[i] = vec4(0.0); }
        let row = first_row * params.tokens + t;
        let column = (vec4(n * params.tokens + u) + each) * params.outputs;
        for (var k = 0u; k < params.outputs; k++) {
            let at = column + k;
            let b = vec4(signal[at.x], signal[at.y], signal[at.z], signal[at.w]);
            for (var i = 0u; i < ROWS; i++) {
                of_signal[i] = fma(vec4(signal[(row + i * params.tokens) * params.outputs + k]), b, of_signal[i]);
            }
        }
        // All parts use x of the first part.
        var of_input: array<vec4<f32>, ROWS>;
        for (var i = 0u; i < ROWS; i++) { of_input[i] = vec4(0.0); }
        let x_row = first_row % params.part_rows * params.tokens + t;
        let x_column = (vec4(n % params.part_rows * params.tokens + u) + each) * params.inputs;
        for (var k = 0u; k < params.inputs; k++) {
            let at = x_column + k;
            let b = vec4(input[at.x], input[at.y], input[at.z], input[at.w]);
            for (var i = 0u; i < ROWS; i++) {
                of_input[i] = fma(vec4(input[(x_row + i * params.tokens) * params.inputs + k]), b, of_input[i]);
            }
        }
        for (var i = 0u; i < ROWS; i++) { total[i] = fma(of_signal[i], of_input[i] + params.bias, total[i]); }
    }

    for (var i = 0u; i < ROWS; i++) { gram_put(first_row + i, n, total[i]); }
}
