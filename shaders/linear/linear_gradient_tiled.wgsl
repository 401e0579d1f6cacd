// Gradient of a weight and its bias over a batch of rows, as partial sums of blocks of rows: tiled variant in workgroup
// memory, for GPUs.
//
//   part[s, n, k] = Σ_{r in block s} d_y[r, n] · x[r, k]        part[s, N·K + n] = Σ_{r in block s} d_y[r, n]
//
// 256 invocations own 4·N_THREADS outputs n × 4·K_THREADS inputs k of one block of rows, 4 × 4 each in registers. They
// load the next 16 rows of both operands in vectors, once each, while they compute the current 16. Rows are added in
// order.
//
// grid   blocks · ⌈N / (4·N_THREADS)⌉ · ⌈K / (4·K_THREADS)⌉ workgroups
// reads  d_y (rows, N) · x (rows, K) · live (1): only rows below live[0]·rows_per_item count
// makes  part (blocks, N·K + N)
// K and N are multiples of 4.
#import grid
const K_THREADS: u32 = 16u; // spec 8 32

const THREADS: u32 = 256u;
const N_THREADS: u32 = THREADS / K_THREADS;
const STEP: u32 = 16u;                                  // rows per step
const X_LOADS: u32 = (STEP * K_THREADS + THREADS - 1u) / THREADS;
const D_Y_LOADS: u32 = (STEP * N_THREADS + THREADS - 1u) / THREADS;

struct Params { rows: u32, inner: u32, columns: u32, blocks: u32, block_rows: u32, first_item: u32, rows_per_item: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;              // (rows, K)
@group(0) @binding(2) var<storage, read> d_y: array<vec4<f32>>;            // (rows, N)
@group(0) @binding(3) var<storage, read> live: array<u32>;                 // (1)
@group(0) @binding(4) var<storage, read_write> part: array<vec4<f32>>;     // (blocks, N·K + N)

var<workgroup> x_tile: array<vec4<f32>, STEP * K_THREADS>;
var<workgroup> d_y_tile: array<vec4<f32>, STEP * N_THREADS>;

// Vector `slot` of 16 rows of x from `row` on; zero past the edges.
fn x_at(first_k4: u32, row: u32, end_row: u32, slot: u32) -> vec4<f32> {
    let r = row + slot / K_THREADS;
    let k4 = first_k4 + slot % K_THREADS;
    if (r >= end_row || k4 >= params.inner / 4u) { return vec4(0.0); }
    return x[r * (params.inner / 4u) + k4];
}

// The same for d_y.
fn d_y_at(first_n4: u32, row: u32, end_row: u32, slot: u32) -> vec4<f32> {
    let r = row + slot / N_THREADS;
    let n4 = first_n4 + slot % N_THREADS;
    if (r >= end_row || n4 >= params.columns / 4u) { return vec4(0.0); }
    return d_y[r * (params.columns / 4u) + n4];
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let inner4 = params.inner / 4u;
    let columns4 = params.columns / 4u;
    let k_tiles = (inner4 + K_THREADS - 1u) / K_THREADS;
    let n_tiles = (columns4 + N_THREADS - 1u) / N_THREADS;
    let tile = grid_index(group, groups);
    let block = tile / (k_tiles * n_tiles);
    let first_n4 = (tile / k_tiles) % n_tiles * N_THREADS;
    let first_k4 = tile % k_tiles * K_THREADS;
    let items = max(live[0], params.first_item) - params.first_item;
    let rows = min(params.rows, items * params.rows_per_item);
    let first_row = block * params.block_rows;
    let end_row = min(first_row + params.block_rows, rows);

    var sum: array<vec4<f32>, 4>;
    for (var i = 0u; i < 4u; i++) { sum[i] = vec4(0.0); }
    var column_sum = vec4(0.0);
    var next_x: array<vec4<f32>, X_LOADS>;
    var next_d_y: array<vec4<f32>, D_Y_LOADS>;
    for (var l = 0u; l < X_LOADS; l++) { next_x[l] = x_at(first_k4, first_row, end_row, l * THREADS + local); }
    for (var l = 0u; l < D_Y_LOADS; l++) { next_d_y[l] = d_y_at(first_n4, first_row, end_row, l * THREADS + local); }

    for (var row = first_row; row < end_row; row += STEP) {
        for (var l = 0u; l < X_LOADS; l++) {
            let slot = l * THREADS + local;
            if (slot < STEP * K_THREADS) { x_tile[slot] = next_x[l]; }
            next_x[l] = x_at(first_k4, row + STEP, end_row, slot);
        }
        for (var l = 0u; l < D_Y_LOADS; l++) {
            let slot = l * THREADS + local;
            if (slot < STEP * N_THREADS) { d_y_tile[slot] = next_d_y[l]; }
            next_d_y[l] = d_y_at(first_n4, row + STEP, end_row, slot);
        }
        workgroupBarrier();
        for (var r = 0u; r < STEP; r++) {
            let from_x = x_tile[r * K_THREADS + local % K_THREADS];
            let from_y = d_y_tile[r * N_THREADS + local / K_THREADS];
            column_sum += from_y;
            for (var i = 0u; i < 4u; i++) { sum[i] = fma(vec4(from_y[i]), from_x, sum[i]); }
        }
        workgroupBarrier();
    }

    let n4 = first_n4 + local / K_THREADS;
    let k4 = first_k4 + local % K_THREADS;
    if (block >= params.blocks || n4 >= columns4 || k4 >= inner4) { return; }
    let start = block * (params.inner + 1u) * columns4;
    for (var i = 0u; i < 4u; i++) { part[start + (4u * n4 + i) * inner4 + k4] = sum[i]; }
    if (k4 == 0u) { part[start + params.columns * inner4 + n4] = column_sum; }
}
