// Feed-forward layer of a transformer block without storing its hidden layer: subgroup variant.
//
//   y[r] = residual[r] + W2 · act(W1 · x[r] + b1) + b2
//
// A subgroup owns ROWS rows and iterates over the hidden layer in blocks of 4·LANES units. It computes a block in
// registers, four units per lane, and broadcasts them by shuffles into the sums of y, so that the hidden layer causes
// no memory traffic.
//
// grid   ⌈rows / ROWS⌉ subgroups, SUBGROUPS to a workgroup
// reads  x (rows, C) · residual (rows, C) · weight1 (F, C) · bias1 (F) · weight2 (C, F) · bias2 (C)
// makes  y (rows, C)
// C and F are multiples of 4; TILES · 4 · LANES ≥ C.
#import grid
#import tanh
#import activation
#import weight
#import transpose
const LANES: u32 = 8u; // spec 4 16 32 64
const SUBGROUPS: u32 = 2u; // spec 1 4
const ROWS: u32 = 16u; // spec 8
const TILES: u32 = 1u; // spec 2 4

struct Params { rows: u32, width: u32, hidden: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;             // (rows, C)
@group(0) @binding(2) var<storage, read> residual: array<vec4<f32>>;      // (rows, C)
@group(0) @binding(3) var<storage, read> weight1: array<vec4<Weight>>;    // (F, C)
@group(0) @binding(4) var<storage, read> bias1: array<vec4<f32>>;         // (F)
@group(0) @binding(5) var<storage, read> weight2: array<vec4<Weight>>;    // (C, F)
@group(0) @binding(6) var<storage, read> bias2: array<vec4<f32>>;         // (C)
@group(0) @binding(7) var<storage, read_write> y: array<vec4<f32>>;       // (rows, C)

@compute @workgroup_size(LANES * SUBGROUPS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let first_row = (grid_index(group, groups) * SUBGROUPS + local / LANES) * ROWS;
    if (first_row >= params.rows) { return; }
    let last_row = params.rows - 1u;
    let width4 = params.width / 4u;
    let hidden4 = params.hidden / 4u;

    // Four columns per lane in each tile of 4·LANES.
    var row: array<array<vec4<f32>, ROWS>, TILES>;
    var sum: array<array<vec4<f32>, ROWS>, TILES>;
    for (var t = 0u; t < TILES; t++) {
        let n4 = min(t * LANES + lane, width4 - 1u);
        for (var i = 0u; i < ROWS; i++) {
            let at = min(first_row + i, last_row) * width4 + n4;
            row[t][i] = x[at];
            sum[t][i] = residual[at] + bias2[n4];
        }
    }
    for (var block = 0u; block < hidden4; block += LANES) {
        // Four hidden units per lane. Units past the end are not broadcast.
        let f4 = min(block + lane, hidden4 - 1u);
        var h: array<vec4<f32>, ROWS>;
        for (var i = 0u; i < ROWS; i++) { h[i] = bias1[f4]; }
        for (var t = 0u; t < TILES; t++) {
            for (var source = 0u; source < min(LANES, width4 - min(t * LANES, width4)); source++) {
                let at = 4u * f4 * width4 + t * LANES + source;
                let b = transposed(
                    vec4<f32>(weight1[at]), vec4<f32>(weight1[at + width4]),
                    vec4<f32>(weight1[at + 2u * width4]), vec4<f32>(weight1[at + 3u * width4]),
                );
                for (var j = 0u; j < 4u; j++) {
                    for (var i = 0u; i < ROWS; i++) {
                        h[i] = fma(vec4(subgroupShuffle(row[t][i][j], source)), b[j], h[i]);
                    }
                }
            }
        }
        for (var i = 0u; i < ROWS; i++) { h[i] = activation_value4(h[i]); }
        for (var source = 0u; source < min(LANES, hidden4 - block); source++) {
            for (var t = 0u; t < TILES; t++) {
                let at = 4u * min(t * LANES + lane, width4 - 1u) * hidden4 + block + source;
                let b = transposed(
                    vec4<f32>(weight2[at]), vec4<f32>(weight2[at + hidden4]),
                    vec4<f32>(weight2[at + 2u * hidden4]), vec4<f32>(weight2[at + 3u * hidden4]),
                );
                for (var j = 0u; j < 4u; j++) {
                    for (var i = 0u; i < ROWS; i++) {
                        sum[t][i] = fma(vec4(subgroupShuffle(h[i][j], source)), b[j], sum[t][i]);
                    }
                }
            }
        }
    }

    for (var t = 0u; t < TILES; t++) {
        let n4 = t * LANES + lane;
        for (var i = 0u; i < ROWS; i++) {
            if (n4 < width4 && first_row + i < params.rows) { y[(first_row + i) * width4 + n4] = sum[t][i]; }
        }
    }
}
