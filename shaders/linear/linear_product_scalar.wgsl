// Matrix product of a batch of rows with a weight: scalar variant, for any shape and for adapters without subgroups.
//
//   y[r, n] = epilogue( Σ_k x[r, k] · M[k, n] )        M = weightᵀ (forward) or weight (input gradient)
//
// An invocation owns a tile of 8 rows × 4 columns.
//
// grid   ⌈rows / 8⌉ · ⌈N / 4⌉ invocations, 64 to a workgroup
// reads  x (rows, K) · weight (N, K) or (K, N) · bias (N) · extra (rows, N)
// makes  y (rows, N), row r at r·y_stride + y_first
#import grid
#import tanh
#import activation
#import weight
#import cache
const WEIGHT_OUT_IN: u32 = 1u; // spec 0
const BIAS: u32 = 1u; // spec 0
// Role of `extra`: 0 unused · 1 added after the activation · 2 saved activation, whose slope multiplies the sum
const EXTRA: u32 = 0u; // spec 1 2

struct Params { rows: u32, inner: u32, columns: u32, y_stride: u32, y_first: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;               // (rows, K)
@group(0) @binding(2) var<storage, read> weight: array<Weight>;       // (N, K) or (K, N)
@group(0) @binding(3) var<storage, read> bias: array<f32>;            // (N)
@group(0) @binding(4) var<storage, read> extra: array<f32>;           // (rows, N)
@group(0) @binding(5) var<storage, read_write> y: array<Cache>;       // (rows·y_stride, N)

const ROWS: u32 = 8u;
const COLUMNS: u32 = 4u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let column_tiles = (params.columns + COLUMNS - 1u) / COLUMNS;
    let tile = grid_index(group, groups) * 64u + local;
    let first_row = (tile / column_tiles) * ROWS;
    if (first_row >= params.rows) { return; }
    let first_column = (tile % column_tiles) * COLUMNS;
    // Past the edge, the last row and column are recomputed and not stored.
    var columns: vec4<u32>;
    for (var j = 0u; j < COLUMNS; j++) { columns[j] = min(first_column + j, params.columns - 1u); }
    let stride = select(vec2(params.columns, 1u), vec2(1u, params.inner), WEIGHT_OUT_IN == 1u);

    var sum: array<vec4<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i++) { sum[i] = vec4(0.0); }
    // Indices are kept from step to step, because drivers move no arithmetic out of loops.
    var row_start: array<u32, ROWS>;
    for (var i = 0u; i < ROWS; i++) { row_start[i] = min(first_row + i, params.rows - 1u) * params.inner; }
    var at = columns * stride.y;
    for (var k = 0u; k < params.inner; k++) {
        let b = vec4<f32>(vec4(weight[at.x], weight[at.y], weight[at.z], weight[at.w]));
        for (var i = 0u; i < ROWS; i++) {
            sum[i] = fma(vec4(x[row_start[i] + k]), b, sum[i]);
        }
        at += vec4(stride.x);
    }

    for (var i = 0u; i < ROWS; i++) {
        let row = first_row + i;
        for (var j = 0u; j < COLUMNS; j++) {
            let column = first_column + j;
            if (row < params.rows && column < params.columns) {
                var value = sum[i][j];
                let at = row * params.columns + column;
                if (BIAS == 1u) { value += bias[column]; }
                if (EXTRA == 2u) {
                    value *= activation_slope(extra[at]);
                } else {
                    value = activation_value(value);
                }
                if (EXTRA == 1u) { value += extra[at]; }
                if (CACHE_BITS == 16u) { value = clamp(value, -CACHE_LARGEST, CACHE_LARGEST); }
                y[(row * params.y_stride + params.y_first) * params.columns + column] = Cache(value);
            }
        }
    }
}
