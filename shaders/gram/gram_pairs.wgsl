// Gram matrix of the gradients of a linear layer, from its inputs and the gradients of its outputs: subgroup variant.
//
//   high + low [a, b] (+)= Σ_{t, u} (δ_at · δ_bu)(x_at · x_bu + bias)    t·T + u in first_pair .. first_pair + pairs
//
// A subgroup owns ROWS samples a × 4·LANES samples b and iterates over pairs of their rows. For each pair it computes
// one product over N and one over K, as in linear_product. Lower triangle only; keep = 1 adds the total to a
// compensated pair. Samples are stored in parts of part_rows, of which the first live[0] are valid. Each part has its
// own δ; all parts share x.
//
// grid   ⌈samples / ROWS⌉ · ⌈samples / (4·LANES)⌉ subgroups, SUBGROUPS to a workgroup
// reads  signal (samples·T, N): δ · input (part_rows·T, K): x · live (1)
// makes  high, low: lower triangle in bands of 64 rows
// N and K are multiples of 4, samples and part_rows of 64.
#import grid
#import triangle
#import compensated
#import gram
const LANES: u32 = 8u; // spec 4 16 32 64
const SUBGROUPS: u32 = 2u; // spec 1 4
const ROWS: u32 = 8u; // spec 4

struct Params {
    rows: u32, part_rows: u32, outputs: u32, inputs: u32, tokens: u32, first_pair: u32, pairs: u32, bias: f32, keep: u32,
    zero: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> signal: array<vec4<f32>>;     // (samples·T, N)
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;      // (part_rows·T, K)
@group(0) @binding(3) var<storage, read> live: array<u32>;             // (1)
@group(0) @binding(4) var<storage, read_write> high: array<vec4<f32>>; // triangle
@group(0) @binding(5) var<storage, read_write> low: array<vec4<f32>>;  // triangle

fn load(of_input: bool, at: u32) -> vec4<f32> {
    if (of_input) { return input[at]; }
    return signal[at];
}

@compute @workgroup_size(LANES * SUBGROUPS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let column_tiles = (params.rows + 4u * LANES - 1u) / (4u * LANES);
    let tile = grid_index(group, groups) * SUBGROUPS + local / LANES;
    let first_row = tile / column_tiles * ROWS;
    let first_column = tile % column_tiles * 4u * LANES;
    if (!gram_counts(first_row, first_column, 4u * LANES)) { return; }
    let n = first_column + 4u * lane;
    let n_safe = min(n, params.rows - 4u);

    var total: array<vec4<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i++) { total[i] = vec4(0.0); }
    for (var index = params.first_pair; index < params.first_pair + params.pairs; index++) {
        let t = index / params.tokens;
        let u = index % params.tokens;
        var of_signal: array<vec4<f32>, ROWS>;
        for (var which = 0u; which < 2u; which++) {
            let of_input = which == 1u;
            let wide4 = select(params.outputs, params.inputs, of_input) / 4u;
            // All parts use x of the first part.
            let fold = select(params.rows, params.part_rows, of_input);
            let row = ((first_row % fold) * params.tokens + t) * wide4;
            let column = ((n_safe % fold) * params.tokens + u) * wide4;
            let step = params.tokens * wide4;
            var sum: array<vec4<f32>, ROWS>;
            for (var i = 0u; i < ROWS; i++) { sum[i] = vec4(0.0); }
            for (var k0 = 0u; k0 < wide4; k0 += LANES) {
                let k = min(k0 + lane, wide4 - 1u);
                var a: array<vec4<f32>, ROWS>;
                for (var i = 0u; i < ROWS; i++) { a[i] = load(of_input, row + i * step + k); }
                for (var source = 0u; source < min(LANES, wide4 - k0); source++) {
                    let at = column + k0 + source;
                    let b = transpose(mat4x4(load(of_input, at), load(of_input, at + step),
                        load(of_input, at + 2u * step), load(of_input, at + 3u * step)));
                    for (var j = 0u; j < 4u; j++) {
                        for (var i = 0u; i < ROWS; i++) {
                            sum[i] = fma(vec4(subgroupShuffle(a[i][j], source)), b[j], sum[i]);
                        }
                    }
                }
            }
            for (var i = 0u; i < ROWS; i++) {
                if (of_input) { total[i] = fma(of_signal[i], sum[i] + params.bias, total[i]); } else { of_signal[i] = sum[i]; }
            }
        }
    }

    if (n >= triangle_width(first_row) || !gram_is_sample(n)) { return; }
    for (var i = 0u; i < ROWS; i++) { gram_put(first_row + i, n, total[i]); }
}
