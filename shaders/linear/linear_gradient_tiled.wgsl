// Gradient of a weight and its bias over a batch of rows, as partial sums of blocks of rows: tiled variant in workgroup
// memory, for GPUs.
//
//   part[s, n, k] = Σ_{r in block s} d_y[r, n] · x[r, k]        part[s, N·K + n] = Σ_{r in block s} d_y[r, n]
//
// A workgroup owns a tile of outputs n × inputs k of one block of rows, divided among N_THREADS × K_THREADS invocations
// that hold 4·THREAD_N4 outputs × 4·THREAD_K4 inputs each in registers. They load the next STEP rows of both operands
// in vectors, once each, while they compute the current ones. Indices past the edges are clamped instead of branched
// around, so that no load is waited for before its use. Rows are added in order.
//
// grid   blocks · ⌈N / TILE_N⌉ · ⌈K / TILE_K⌉ workgroups
// reads  d_y (rows, N) · x (rows, K) · live (1): only rows below live[0]·rows_per_item count
// makes  part (blocks, N·K + N)
// K and N are multiples of 4. step is STEP.
#import grid
// Two decimal digits each: N_THREADS, K_THREADS, THREAD_N4, THREAD_K4.
const TILE: u32 = 16160101u; // spec 16160202 8080101

const N_THREADS: u32 = TILE / 1000000u;
const K_THREADS: u32 = (TILE / 10000u) % 100u;
const THREAD_N4: u32 = (TILE / 100u) % 100u;
const THREAD_K4: u32 = TILE % 100u;
const THREADS: u32 = N_THREADS * K_THREADS;
const N4: u32 = N_THREADS * THREAD_N4;                  // vectors of a row of the tiles
const K4: u32 = K_THREADS * THREAD_K4;
const STEP: u32 = select(8u, 16u, N4 + K4 <= 32u);      // rows per step
const UNROLLED: u32 = 4u / (THREAD_N4 * THREAD_K4);      // rows per iteration
const K_LOADS: u32 = (STEP * K4 + THREADS - 1u) / THREADS;
const N_LOADS: u32 = (STEP * N4 + THREADS - 1u) / THREADS;

struct Params {
    rows: u32, inner: u32, columns: u32, blocks: u32, block_rows: u32, first_item: u32, rows_per_item: u32, step: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;              // (rows, K)
@group(0) @binding(2) var<storage, read> d_y: array<vec4<f32>>;            // (rows, N)
@group(0) @binding(3) var<storage, read> live: array<u32>;                 // (1)
@group(0) @binding(4) var<storage, read_write> part: array<vec4<f32>>;     // (blocks, N·K + N)

var<workgroup> x_tile: array<vec4<f32>, STEP * K4>;
var<workgroup> d_y_tile: array<vec4<f32>, STEP * N4>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let inner4 = params.inner / 4u;
    let columns4 = params.columns / 4u;
    let k_tiles = (inner4 + K4 - 1u) / K4;
    let n_tiles = (columns4 + N4 - 1u) / N4;
    let tile = grid_index(group, groups);
    let block = tile / (k_tiles * n_tiles);
    let first_n4 = (tile / k_tiles) % n_tiles * N4;
    let first_k4 = tile % k_tiles * K4;
    let items = max(live[0], params.first_item) - params.first_item;
    let rows = min(params.rows, items * params.rows_per_item);
    let first_row = block * params.block_rows;
    let end_row = min(first_row + params.block_rows, rows);
    let own_k = local % K_THREADS;
    let own_n = local / K_THREADS;
    // First indices that the invocation loads, and those in the last row.
    let last_row = max(end_row, 1u) - 1u;
    let load_k4 = min(first_k4 + local % K4, inner4 - 1u);
    let load_n4 = min(first_n4 + local % N4, columns4 - 1u);
    let x_last = last_row * inner4 + load_k4;
    let d_y_last = last_row * columns4 + load_n4;
    var x_at = (first_row + local / K4) * inner4 + load_k4;
    var d_y_at = (first_row + local / N4) * columns4 + load_n4;
    var next_x: array<vec4<f32>, K_LOADS>;
    var next_d_y: array<vec4<f32>, N_LOADS>;
    for (var l = 0u; l < K_LOADS; l++) { next_x[l] = x[min(x_at + l * (THREADS / K4) * inner4, x_last)]; }
    for (var l = 0u; l < N_LOADS; l++) { next_d_y[l] = d_y[min(d_y_at + l * (THREADS / N4) * columns4, d_y_last)]; }
    // sum[(4·c + j)·THREAD_K4 + i]: output j of vector c of the invocation, inputs of vector i.
    var sum: array<vec4<f32>, 4u * THREAD_N4 * THREAD_K4>; // zero-initialized
    var bias = vec4(0.0);
    for (var row = first_row; row < end_row; row += STEP) {
        for (var l = 0u; l < K_LOADS; l++) {
            if (l * THREADS + local < STEP * K4) { x_tile[l * THREADS + local] = next_x[l]; }
        }
        for (var l = 0u; l < N_LOADS; l++) {
            // Rows past the end are zero.
            let counts = row + l * (THREADS / N4) + local / N4 < end_row;
            let value = select(vec4(0.0), next_d_y[l], counts);
            if (l * THREADS + local < STEP * N4) { d_y_tile[l * THREADS + local] = value; }
        }
        workgroupBarrier();
        x_at += STEP * inner4;
        d_y_at += STEP * columns4;
        for (var l = 0u; l < K_LOADS; l++) { next_x[l] = x[min(x_at + l * (THREADS / K4) * inner4, x_last)]; }
        for (var l = 0u; l < N_LOADS; l++) { next_d_y[l] = d_y[min(d_y_at + l * (THREADS / N4) * columns4, d_y_last)]; }
        // Never true. Mesa would move the loads behind the loop, next to their uses, without a use before it.
        if (params.step == 0u) {
            for (var l = 0u; l < K_LOADS; l++) { x_tile[l] = next_x[l]; }
            for (var l = 0u; l < N_LOADS; l++) { d_y_tile[l] = next_d_y[l]; }
        }
        for (var r = 0u; r < params.step; r += UNROLLED) {
            for (var u = 0u; u < UNROLLED; u++) {
                var from_x: array<vec4<f32>, THREAD_K4>;
                for (var i = 0u; i < THREAD_K4; i++) { from_x[i] = x_tile[(r + u) * K4 + i * K_THREADS + own_k]; }
                for (var c = 0u; c < THREAD_N4; c++) {
                    let from_y = d_y_tile[(r + u) * N4 + c * N_THREADS + own_n];
                    for (var j = 0u; j < 4u; j++) {
                        for (var i = 0u; i < THREAD_K4; i++) {
                            let at = (4u * c + j) * THREAD_K4 + i;
                            sum[at] = fma(vec4(from_y[j]), from_x[i], sum[at]);
                        }
                    }
                }
            }
        }
        // The bias of the tile's outputs, by the workgroups of the first inputs.
        if (first_k4 == 0u && local < N4) {
            for (var r = 0u; r < params.step; r++) { bias += d_y_tile[r * N4 + local]; }
        }
        workgroupBarrier();
    }

    if (block >= params.blocks) { return; }
    let start = block * (params.inner + 1u) * columns4;
    for (var s = 0u; s < 4u * THREAD_N4 * THREAD_K4; s++) {
        let k4 = first_k4 + (s % THREAD_K4) * K_THREADS + own_k;
        let n4 = first_n4 + (s / (4u * THREAD_K4)) * N_THREADS + own_n;
        if (n4 < columns4 && k4 < inner4) { part[start + (4u * n4 + (s / THREAD_K4) % 4u) * inner4 + k4] = sum[s]; }
    }
    if (first_k4 == 0u && local < N4 && first_n4 + local < columns4) {
        part[start + params.columns * inner4 + first_n4 + local] = bias;
    }
}
