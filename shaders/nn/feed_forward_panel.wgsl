// Feed-forward layer of a transformer block without storing its hidden layer: panel variant, for CPU drivers, with
// blocks of both weights in constant-indexed arrays.
//
//   y[r] = residual[r] + W2 · act(W1 · x[r] + b1) + b2
//
// A subgroup owns `tile_rows` rows and iterates over blocks of 4·LANES·UNITS hidden units. A block of both weights is
// loaded once, into arrays that are only indexed by constants, and the rows are streamed through it. Each lane computes
// UNITS times four hidden units of a row, and the subgroup broadcasts them by shuffles. Partial sums are stored in y.
//
// grid   ⌈rows / tile_rows⌉ subgroups
// reads  x (rows, C) · residual (rows, C) · weight1 (F, C) · bias1 (F) · weight2 (C, F) · bias2 (C)
// makes  y (rows, C)
// C = 4·WIDTH4; F is a multiple of 4·LANES·UNITS.
#import grid
#import tanh
#import activation
#import weight
#import transpose
const LANES: u32 = 8u; // spec 4
const WIDTH4: u32 = 8u; // spec 9 16
const UNITS: u32 = 1u; // spec 2

struct Params { rows: u32, hidden: u32, tile_rows: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;             // (rows, C)
@group(0) @binding(2) var<storage, read> residual: array<vec4<f32>>;      // (rows, C)
@group(0) @binding(3) var<storage, read> weight1: array<vec4<Weight>>;    // (F, C)
@group(0) @binding(4) var<storage, read> bias1: array<vec4<f32>>;         // (F)
@group(0) @binding(5) var<storage, read> weight2: array<vec4<Weight>>;    // (C, F)
@group(0) @binding(6) var<storage, read> bias2: array<vec4<f32>>;         // (C)
@group(0) @binding(7) var<storage, read_write> y: array<vec4<f32>>;       // (rows, C), read back

const TILES: u32 = (WIDTH4 + LANES - 1u) / LANES; // tiles of the columns; the last may be partial
const BLOCK: u32 = LANES * UNITS;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let first_row = grid_index(group, groups) * params.tile_rows;
    if (first_row >= params.rows) { return; }
    let end_row = min(first_row + params.tile_rows, params.rows);
    let hidden4 = params.hidden / 4u;

    for (var i = first_row * WIDTH4 + lane; i < end_row * WIDTH4; i += LANES) {
        y[i] = residual[i] + bias2[i % WIDTH4];
    }
    for (var block = 0u; block < hidden4; block += BLOCK) {
        // w1: weights of each input for four hidden units. w2: weights of each hidden unit for four columns.
        var w1: array<vec4<f32>, 4u * UNITS * WIDTH4>;
        var w2: array<vec4<f32>, 4u * TILES * BLOCK>;
        var start: array<vec4<f32>, UNITS>;
        for (var u = 0u; u < UNITS; u++) { // unroll
            let f = block + u * LANES + lane;
            start[u] = bias1[f];
            for (var k = 0u; k < WIDTH4; k++) { // unroll
                let at = 4u * f * WIDTH4 + k;
                let w = transposed(
                    vec4<f32>(weight1[at]), vec4<f32>(weight1[at + WIDTH4]),
                    vec4<f32>(weight1[at + 2u * WIDTH4]), vec4<f32>(weight1[at + 3u * WIDTH4]),
                );
                for (var j = 0u; j < 4u; j++) { w1[4u * (UNITS * k + u) + j] = w[j]; } // unroll
            }
        }
        for (var t = 0u; t < TILES; t++) { // unroll
            for (var f = 0u; f < BLOCK; f++) { // unroll
                let at = 4u * min(t * LANES + lane, WIDTH4 - 1u) * hidden4 + block + f;
                let w = transposed(
                    vec4<f32>(weight2[at]), vec4<f32>(weight2[at + hidden4]),
                    vec4<f32>(weight2[at + 2u * hidden4]), vec4<f32>(weight2[at + 3u * hidden4]),
                );
                for (var j = 0u; j < 4u; j++) { w2[4u * (TILES * f + t) + j] = w[j]; } // unroll
            }
        }
        for (var row = first_row; row < end_row; row++) {
            var h = start;
            for (var t = 0u; t < TILES; t++) { // unroll
                let inputs = x[row * WIDTH4 + min(t * LANES + lane, WIDTH4 - 1u)];
                for (var source = 0u; source < min(LANES, WIDTH4 - t * LANES); source++) { // unroll
                    let value = subgroupShuffle(inputs, source);
                    for (var j = 0u; j < 4u; j++) { // unroll
                        for (var u = 0u; u < UNITS; u++) { // unroll
                            h[u] = fma(vec4(value[j]), w1[4u * (UNITS * (t * LANES + source) + u) + j], h[u]);
                        }
                    }
                }
            }
            for (var u = 0u; u < UNITS; u++) { h[u] = activation_value4(h[u]); } // unroll
            var sum: array<vec4<f32>, TILES>;
            for (var t = 0u; t < TILES; t++) { sum[t] = y[row * WIDTH4 + min(t * LANES + lane, WIDTH4 - 1u)]; } // unroll
            for (var u = 0u; u < UNITS; u++) { // unroll
                for (var source = 0u; source < LANES; source++) { // unroll
                    let value = subgroupShuffle(h[u], source);
                    for (var j = 0u; j < 4u; j++) { // unroll
                        for (var t = 0u; t < TILES; t++) { // unroll
                            sum[t] = fma(vec4(value[j]), w2[4u * (TILES * (u * LANES + source) + t) + j], sum[t]);
                        }
                    }
                }
            }
            for (var t = 0u; t < TILES; t++) { // unroll
                if (t * LANES + lane < WIDTH4) { y[row * WIDTH4 + t * LANES + lane] = sum[t]; }
            }
        }
    }
}
