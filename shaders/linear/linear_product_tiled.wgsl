// Matrix product of a batch of rows with a weight: tiled variant in workgroup memory, for GPUs.
//
//   y[r, n] = epilogue( Σ_k x[r, k] · M[k, n] )        M = weightᵀ (forward) or weight (input gradient)
//
// A workgroup owns a tile of y, divided among ROW_THREADS × COLUMN_THREADS invocations that hold THREAD_ROWS rows ×
// 4·THREAD_COLUMNS4 columns each in registers. SLICES such groups of invocations share the inputs: slice g adds those
// of the vectors g, g + SLICES, g + 2·SLICES, … in order, four inputs to a vector. In the end, the sums of the slices
// are added in order. The order of a sum depends on SLICES and on nothing else.
//
// In steps of STEP4 vectors per slice, all invocations load the next x and weight along the contiguous axis while they
// compute the current step. Indices past the edges are clamped instead of branched around: no load is waited for early.
//
// grid   ⌈rows / TILE_ROWS⌉ · ⌈N / TILE_COLUMNS⌉ workgroups
// reads  x (rows, K) · weight (N, K) or (K, N) · bias (N) · extra (rows, N)
// makes  y (rows, N), row r at r·y_stride + y_first
// K and N are multiples of 4. steps is the number of vectors per step and slice, min(STEP4, ⌈K / (4·SLICES)⌉).
#import grid
#import tanh
#import activation
#import epilogue
#import weight
#import cache
#import product_tile
const WEIGHT_OUT_IN: u32 = 1u; // spec 0

struct Params { rows: u32, inner: u32, columns: u32, y_stride: u32, y_first: u32, steps: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;         // (rows, K)
@group(0) @binding(2) var<storage, read> weight: array<vec4<Weight>>; // (N, K) or (K, N)
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;      // (N)
@group(0) @binding(4) var<storage, read> extra: array<vec4<f32>>;     // (rows, N)
@group(0) @binding(5) var<storage, read_write> y: array<vec4<Cache>>; // (rows·y_stride, N)

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let inner4 = params.inner / 4u;
    let columns4 = params.columns / 4u;
    let column_tiles = (columns4 + TILE_COLUMNS4 - 1u) / TILE_COLUMNS4;
    let index = grid_index(group, groups);
    let first_row = (index / column_tiles) * TILE_ROWS;
    let first_n4 = (index % column_tiles) * TILE_COLUMNS4;
    let slice = local / (ROW_THREADS * COLUMN_THREADS);
    let row = (local / COLUMN_THREADS) % ROW_THREADS;
    let column = local % COLUMN_THREADS;

    // This invocation loads vector `lane` of each step, of the rows and columns that begin at these indices.
    let lane = local % STEP;
    let last = inner4 - 1u;
    var x_start: array<u32, X_LOADS>;
    for (var l = 0u; l < X_LOADS; l++) {
        x_start[l] = min(first_row + (l * THREADS + local) / STEP, params.rows - 1u) * inner4;
    }
    var weight_start: array<u32, WEIGHT_LOADS>;
    let column4 = min(first_n4 + local % TILE_COLUMNS4, columns4 - 1u);
    let weight_last = (params.inner - 1u) * columns4 + column4;
    for (var l = 0u; l < WEIGHT_LOADS; l++) {
        weight_start[l] = start_of(l * THREADS + local, first_n4, inner4, column4);
    }
    var next_x: array<vec4<f32>, X_LOADS>;
    var next_weight: array<vec4<Weight>, WEIGHT_LOADS>;
    let k = min(lane, last);
    for (var l = 0u; l < X_LOADS; l++) { next_x[l] = x[x_start[l] + k]; }
    for (var l = 0u; l < WEIGHT_LOADS; l++) {
        next_weight[l] = weight[select(min(weight_start[l], weight_last), weight_start[l] + k, WEIGHT_OUT_IN == 1u)];
    }

    // Places at which the invocation stores what it loads, and from which it reads what it multiplies.
    let permuted = (local / STEP) ^ swizzle(lane);
    let x_store = plane(lane, X_PLANE) + permuted;
    let by_input = plane(local / TILE_COLUMNS, WEIGHT_PLANE) + local % TILE_COLUMNS;
    let weight_store = WEIGHTS + select(by_input, plane(lane, WEIGHT_PLANE) + permuted, WEIGHT_OUT_IN == 1u);
    let x_own = plane(slice, X_PLANE) + (row ^ swizzle(slice));
    let weight_own = WEIGHTS + plane(slice, WEIGHT_PLANE) + (column ^ select(0u, swizzle(slice), WEIGHT_OUT_IN == 1u));
    var sum: array<vec4<f32>, SUMS>; // zero-initialized
    for (var k0 = 0u; k0 < inner4; k0 += STEP) {
        for (var l = 0u; l < X_LOADS; l++) {
            // Inputs past the edge are zero.
            let value = select(vec4(0.0), next_x[l], k0 + lane < inner4);
            if (l * THREADS + local < X_SLOTS) { tile[x_store + l * (THREADS / STEP)] = value; }
        }
        for (var l = 0u; l < WEIGHT_LOADS; l++) {
            let of_input = plane(l * (THREADS / TILE_COLUMNS), WEIGHT_PLANE);
            let at = weight_store + select(of_input, l * (THREADS / STEP), WEIGHT_OUT_IN == 1u);
            if (l * THREADS + local < WEIGHT_SLOTS) { tile[at] = vec4<f32>(next_weight[l]); }
        }
        workgroupBarrier();
        let next = min(k0 + STEP + lane, last);
        for (var l = 0u; l < X_LOADS; l++) { next_x[l] = x[x_start[l] + next]; }
        for (var l = 0u; l < WEIGHT_LOADS; l++) {
            if (WEIGHT_OUT_IN == 1u) {
                next_weight[l] = weight[weight_start[l] + next];
            } else {
                weight_start[l] += 4u * STEP * columns4;
                next_weight[l] = weight[min(weight_start[l], weight_last)];
            }
        }
        // Never true. Mesa would move the loads behind the loop, next to their uses, without a use before it.
        if (params.steps == 0u) {
            for (var l = 0u; l < X_LOADS; l++) { tile[l] = next_x[l]; }
            for (var l = 0u; l < WEIGHT_LOADS; l++) { tile[X_LOADS + l] = vec4<f32>(next_weight[l]); }
        }
        for (var t = 0u; t < params.steps; t++) {
            let b = weights_at(t, weight_own);
            for (var i = 0u; i < THREAD_ROWS; i++) {
                let a = tile[t * X_PLANE + place(t, i, ROW_THREADS, x_own)];
                for (var c = 0u; c < THREAD_COLUMNS4; c++) {
                    let s = i * THREAD_COLUMNS4 + c;
                    for (var j = 0u; j < 4u; j++) { sum[s] = fma(vec4(a[j]), b[4u * c + j], sum[s]); }
                }
            }
        }
        workgroupBarrier();
    }
    if (SLICES == 1u) {
        for (var s = 0u; s < SUMS; s++) {
            let n4 = first_n4 + (s % THREAD_COLUMNS4) * COLUMN_THREADS + column;
            finish(first_row + (s / THREAD_COLUMNS4) * ROW_THREADS + row, n4, sum[s]);
        }
        return;
    }
    let total = sum_slices(sum, local);
    for (var o = 0u; o < OWN; o++) {
        let own = o * THREADS + local;
        if (own < TILE_SUMS) { finish(first_row + own / TILE_COLUMNS4, first_n4 + own % TILE_COLUMNS4, total[o]); }
    }
}
