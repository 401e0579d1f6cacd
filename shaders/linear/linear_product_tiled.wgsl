// Matrix product of a batch of rows with a weight: tiled variant in workgroup memory, for GPUs.
//
//   y[r, n] = epilogue( Σ_k x[r, k] · M[k, n] )        M = weightᵀ (forward) or weight (input gradient)
//
// 256 invocations own a tile, THREAD_ROWS rows × 4 columns each in registers. In steps of 16 inputs they load x and
// weight along the contiguous axis while they compute the previous step. A forward weight is transposed when it is read
// from the tile.
//
// grid   ⌈rows / TILE_ROWS⌉ · ⌈N / TILE_COLUMNS⌉ workgroups
// reads  x (rows, K) · weight (N, K) or (K, N) · bias (N) · extra (rows, N)
// makes  y (rows, N), row r at r·y_stride + y_first
// K and N are multiples of 4.
#import grid
#import tanh
#import activation
#import epilogue
#import weight
#import cache
const COLUMN_THREADS: u32 = 16u; // spec 8
const THREAD_ROWS: u32 = 4u; // spec 8
const WEIGHT_OUT_IN: u32 = 1u; // spec 0

const THREADS: u32 = 256u;
const ROW_THREADS: u32 = THREADS / COLUMN_THREADS;
const TILE_ROWS: u32 = ROW_THREADS * THREAD_ROWS;
const TILE_COLUMNS: u32 = 4u * COLUMN_THREADS;
const STEP4: u32 = 4u;                                  // vectors of four inputs per step
const X_STRIDE: u32 = STEP4 + 1u;                       // padded by one vector, so that rows begin in different banks
const X_LOADS: u32 = TILE_ROWS * STEP4 / THREADS;
const BLOCK: u32 = 4u * STEP4 + 1u;                     // four columns of a forward weight, padded likewise

struct Params { rows: u32, inner: u32, columns: u32, y_stride: u32, y_first: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;         // (rows, K)
@group(0) @binding(2) var<storage, read> weight: array<vec4<Weight>>; // (N, K) or (K, N)
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;      // (N)
@group(0) @binding(4) var<storage, read> extra: array<vec4<f32>>;     // (rows, N)
@group(0) @binding(5) var<storage, read_write> y: array<vec4<Cache>>; // (rows·y_stride, N)

var<workgroup> x_tile: array<vec4<f32>, TILE_ROWS * X_STRIDE>;
// (TILE_COLUMNS, STEP4) in padded blocks of four columns, or (4·STEP4, COLUMN_THREADS)
var<workgroup> weight_tile: array<vec4<f32>, COLUMN_THREADS * BLOCK>;

// Vector `slot` of the x tile at input 4·k4; zero past the edges.
fn x_at(first_row: u32, k4: u32, slot: u32) -> vec4<f32> {
    let row = first_row + slot / STEP4;
    let k = k4 + slot % STEP4;
    if (row >= params.rows || k >= params.inner / 4u) { return vec4(0.0); }
    return x[row * (params.inner / 4u) + k];
}

// The same for the weight tile.
fn weight_at(first_column: u32, k4: u32, slot: u32) -> vec4<f32> {
    if (WEIGHT_OUT_IN == 1u) {
        let n = first_column + slot / STEP4;
        let k = k4 + slot % STEP4;
        if (n >= params.columns || k >= params.inner / 4u) { return vec4(0.0); }
        return vec4<f32>(weight[n * (params.inner / 4u) + k]);
    }
    let n4 = first_column / 4u + slot % COLUMN_THREADS;
    let k = 4u * k4 + slot / COLUMN_THREADS;
    if (n4 >= params.columns / 4u || k >= params.inner) { return vec4(0.0); }
    return vec4<f32>(weight[k * (params.columns / 4u) + n4]);
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let column_tiles = (params.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    let tile = grid_index(group, groups);
    let first_row = (tile / column_tiles) * TILE_ROWS;
    let first_column = (tile % column_tiles) * TILE_COLUMNS;
    let column = local % COLUMN_THREADS;
    let row = local / COLUMN_THREADS;
    let columns4 = params.columns / 4u;

    var sum: array<vec4<f32>, THREAD_ROWS>; // zero-initialized
    var next_x: array<vec4<f32>, X_LOADS>;
    for (var l = 0u; l < X_LOADS; l++) { next_x[l] = x_at(first_row, 0u, l * THREADS + local); }
    var next_weight = weight_at(first_column, 0u, local);

    for (var k0 = 0u; k0 < params.inner / 4u; k0 += STEP4) {
        for (var l = 0u; l < X_LOADS; l++) {
            let slot = l * THREADS + local;
            x_tile[(slot / STEP4) * X_STRIDE + slot % STEP4] = next_x[l];
        }
        if (local < TILE_COLUMNS * STEP4) {
            weight_tile[local + select(0u, local / (4u * STEP4), WEIGHT_OUT_IN == 1u)] = next_weight;
        }
        workgroupBarrier();
        for (var l = 0u; l < X_LOADS; l++) { next_x[l] = x_at(first_row, k0 + STEP4, l * THREADS + local); }
        if (local < TILE_COLUMNS * STEP4) { next_weight = weight_at(first_column, k0 + STEP4, local); }
        for (var k = 0u; k < STEP4; k++) {
            // Weights of four inputs for the four columns: b[j] is those of input j.
            let at = select(4u * k * COLUMN_THREADS + column, column * BLOCK + k, WEIGHT_OUT_IN == 1u);
            let step = select(COLUMN_THREADS, STEP4, WEIGHT_OUT_IN == 1u);
            var b: mat4x4<f32>;
            for (var j = 0u; j < 4u; j++) { b[j] = weight_tile[at + j * step]; }
            if (WEIGHT_OUT_IN == 1u) { b = transpose(b); }
            for (var i = 0u; i < THREAD_ROWS; i++) {
                let a = x_tile[(i * ROW_THREADS + row) * X_STRIDE + k];
                for (var j = 0u; j < 4u; j++) { sum[i] = fma(vec4(a[j]), b[j], sum[i]); }
            }
        }
        workgroupBarrier();
    }

    let n4 = first_column / 4u + column;
    if (n4 >= columns4) { return; }
    let start = epilogue_bias(n4);
    for (var i = 0u; i < THREAD_ROWS; i++) {
        let r = first_row + i * ROW_THREADS + row;
        if (r < params.rows) {
            var value = epilogue_value(sum[i] + start, r * columns4 + n4);
            if (CACHE_BITS == 16u) { value = clamp(value, vec4(-CACHE_LARGEST), vec4(CACHE_LARGEST)); }
            y[(r * params.y_stride + params.y_first) * columns4 + n4] = vec4<Cache>(value);
        }
    }
}
