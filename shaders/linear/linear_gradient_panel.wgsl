// Gradient of a weight and its bias over a batch of rows, as partial sums of blocks of rows: panel variant, for CPU
// drivers.
//
//   part[s, n, k] = Σ_{r in block s} d_y[r, n] · x[r, k]        part[s, N·K + n] = Σ_{r in block s} d_y[r, n]
//
// A subgroup owns 4·LANES columns of d_y × 4·LANES columns of x and iterates over the rows of its block in order, STEP
// at a time. Each lane loads four columns of both, and the subgroup broadcasts those of d_y by shuffles, so that one
// load serves as many multiply-adds as there are columns. linear_gradient_sum adds the blocks in a fixed order.
//
// grid   blocks · ⌈N / (4·LANES)⌉ · ⌈K / (4·LANES)⌉ subgroups
// reads  x (rows, K) · d_y (rows, N) · live (1): only rows below live[0]·rows_per_item count
// makes  part (blocks, N·K + N)
// K and N are multiples of 4.
#import grid
const LANES: u32 = 8u; // spec 4 16
const STEP: u32 = 4u;

struct Params {
    rows: u32, inputs: u32, outputs: u32, blocks: u32, block_rows: u32, first_item: u32, rows_per_item: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;              // (rows, K)
@group(0) @binding(2) var<storage, read> d_y: array<vec4<f32>>;            // (rows, N)
@group(0) @binding(3) var<storage, read> live: array<u32>;                 // (1)
@group(0) @binding(4) var<storage, read_write> part: array<vec4<f32>>;     // (blocks, N·K + N)

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let inputs4 = params.inputs / 4u;
    let outputs4 = params.outputs / 4u;
    let input_tiles = (inputs4 + LANES - 1u) / LANES;
    let output_tiles = (outputs4 + LANES - 1u) / LANES;
    let tile = grid_index(group, groups);
    let block = tile / (input_tiles * output_tiles);
    if (block >= params.blocks) { return; }
    let k = tile % input_tiles * LANES + lane;
    let first_n = tile / input_tiles % output_tiles * LANES;
    let n = min(first_n + lane, outputs4 - 1u);
    let items = max(live[0], params.first_item) - params.first_item;
    let rows = min(params.rows, items * params.rows_per_item);
    let first_row = block * params.block_rows;
    let end_row = min(first_row + params.block_rows, rows);
    let last_row = params.rows - 1u;

    var sum: array<vec4<f32>, 4u * LANES>;
    var bias = vec4(0.0);
    for (var first = first_row; first < end_row; first += STEP) {
        for (var s = 0u; s < STEP; s++) { // unroll
            // Rows past the end are zero and contribute nothing.
            let row = min(first + s, last_row);
            let counts = first + s < end_row;
            let held = select(vec4(0.0), x[row * inputs4 + min(k, inputs4 - 1u)], counts);
            let passed = select(vec4(0.0), d_y[row * outputs4 + n], counts);
            bias += passed;
            for (var source = 0u; source < LANES; source++) { // unroll
                let value = subgroupShuffle(passed, source);
                for (var j = 0u; j < 4u; j++) { // unroll
                    sum[4u * source + j] = fma(vec4(value[j]), held, sum[4u * source + j]);
                }
            }
        }
    }

    let start = block * (params.outputs * inputs4 + outputs4);
    for (var source = 0u; source < LANES; source++) { // unroll
        for (var j = 0u; j < 4u; j++) { // unroll
            if (first_n + source < outputs4 && k < inputs4) {
                part[start + (4u * (first_n + source) + j) * inputs4 + k] = sum[4u * source + j];
            }
        }
    }
    if (tile % input_tiles == 0u && first_n + lane < outputs4) {
        part[start + params.outputs * inputs4 + first_n + lane] = bias;
    }
}
