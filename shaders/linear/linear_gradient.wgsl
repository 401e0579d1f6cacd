// Gradient of a weight and its bias over a batch of rows, as partial sums of blocks of rows: subgroup variant.
//
//   part[s, n, k] = Σ_{r in block s} d_y[r, n] · x[r, k]        part[s, N·K + n] = Σ_{r in block s} d_y[r, n]
//
// A subgroup owns PASSED columns of one operand, `passed`, × 4·LANES columns of the other, `held`, and iterates over
// the rows of its block in order. It broadcasts `passed` by shuffles; each lane holds four columns of `held`. `passed`
// is the wider operand: d_y, or x with PASSED_IS_X = 1. linear_gradient_sum adds the blocks in a fixed order.
//
// grid   blocks · ⌈passed width / PASSED⌉ · ⌈held width / (4·LANES)⌉ subgroups, SUBGROUPS to a workgroup
// reads  passed (rows, passed width) · held (rows, held width), one x (rows, K), one d_y (rows, N) ·
//        live (1): only rows below live[0]·rows_per_item count
// makes  part (blocks, N·K + N)
// The held width is a multiple of 4.
#import grid
const LANES: u32 = 8u; // spec 4 16 32 64
const PASSED: u32 = 16u;
const SUBGROUPS: u32 = 4u; // spec 1 2
const PASSED_IS_X: u32 = 0u; // spec 1

struct Params {
    rows: u32, passed_width: u32, held_width: u32, blocks: u32, block_rows: u32, first_item: u32, rows_per_item: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> passed: array<f32>;               // (rows, passed width)
@group(0) @binding(2) var<storage, read> held: array<vec4<f32>>;           // (rows, held width)
@group(0) @binding(3) var<storage, read> live: array<u32>;                 // (1)
@group(0) @binding(4) var<storage, read_write> part: array<f32>;           // (blocks, N·K + N)

// Values of a row of `passed` that each lane loads, at least one.
const LOADS: u32 = (PASSED + LANES - 1u) / LANES;

@compute @workgroup_size(LANES * SUBGROUPS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let held_tiles = (params.held_width + 4u * LANES - 1u) / (4u * LANES);
    let passed_tiles = (params.passed_width + PASSED - 1u) / PASSED;
    let tile = grid_index(group, groups) * SUBGROUPS + local / LANES;
    let block = tile / (held_tiles * passed_tiles);
    if (block >= params.blocks) { return; }
    let first_passed = (tile / held_tiles) % passed_tiles * PASSED;
    let first_held = (tile % held_tiles) * 4u * LANES + 4u * lane;
    let held4 = params.held_width / 4u;
    let held_at = min(first_held / 4u, held4 - 1u);
    let items = max(live[0], params.first_item) - params.first_item;
    let rows = min(params.rows, items * params.rows_per_item);
    let first_row = block * params.block_rows;
    let end_row = min(first_row + params.block_rows, rows);

    var sum: array<vec4<f32>, PASSED>;
    for (var i = 0u; i < PASSED; i++) { sum[i] = vec4(0.0); }
    var held_sum = vec4(0.0);
    var passed_sum: array<f32, LOADS>;
    var column: array<u32, LOADS>;
    for (var l = 0u; l < LOADS; l++) {
        passed_sum[l] = 0.0;
        column[l] = min(first_passed + l * LANES + lane % PASSED, params.passed_width - 1u);
    }
    for (var row = first_row; row < end_row; row++) {
        let b = held[row * held4 + held_at];
        held_sum += b;
        var a: array<f32, LOADS>;
        for (var l = 0u; l < LOADS; l++) {
            a[l] = passed[row * params.passed_width + column[l]];
            passed_sum[l] += a[l];
        }
        for (var i = 0u; i < PASSED; i++) {
            sum[i] = fma(vec4(subgroupShuffle(a[i / LANES], i % LANES)), b, sum[i]);
        }
    }

    // Strides of the passed and of the held column in the weight (N, K).
    let step = select(vec2(params.held_width, 1u), vec2(1u, params.passed_width), PASSED_IS_X == 1u);
    let weights = params.held_width * params.passed_width;
    let start = block * (weights + select(params.passed_width, params.held_width, PASSED_IS_X == 1u));
    if (first_held < params.held_width) {
        for (var i = 0u; i < PASSED; i++) {
            if (first_passed + i < params.passed_width) {
                let at = start + (first_passed + i) * step.x + first_held * step.y;
                for (var c = 0u; c < 4u; c++) { part[at + c * step.y] = sum[i][c]; }
            }
        }
    }
    // Bias: sums over d_y, written by the first tile of x.
    if (PASSED_IS_X == 1u && first_passed == 0u && first_held < params.held_width) {
        for (var c = 0u; c < 4u; c++) { part[start + weights + first_held + c] = held_sum[c]; }
    }
    if (PASSED_IS_X == 0u && tile % held_tiles == 0u && lane < PASSED) {
        for (var l = 0u; l < LOADS; l++) {
            let n = first_passed + l * LANES + lane;
            if (n < params.passed_width) { part[start + weights + n] = passed_sum[l]; }
        }
    }
}
