// Gradient of a weight and its bias over a batch of rows, by subgroups: the partial sums of each block of rows.
//
//   part[s, n, k] = Σ_{r in block s} d_y[r, n] · x[r, k]        part[s, N·K + n] = Σ_{r in block s} d_y[r, n]
//
// A subgroup owns OUTPUTS outputs n × 4·LANES inputs k of one block and walks its rows in order; linear_gradient_sum adds
// the blocks in a fixed order.
//
// grid   blocks · ⌈N / OUTPUTS⌉ · ⌈K / (4·LANES)⌉ subgroups, SUBGROUPS to a workgroup
// reads  d_y (rows, N) · x (rows, K) · live (1): only rows below live[0]·rows_per_item count
// makes  part (blocks, N·K + N)
// K is a multiple of 4.
#import grid
const LANES: u32 = 8u; // spec 4 16 32 64
const OUTPUTS: u32 = 16u; // spec 32
const SUBGROUPS: u32 = 4u; // spec 1 2

struct Params { rows: u32, inner: u32, columns: u32, blocks: u32, block_rows: u32, first_item: u32, rows_per_item: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;              // (rows, K)
@group(0) @binding(2) var<storage, read> d_y: array<f32>;                  // (rows, N)
@group(0) @binding(3) var<storage, read> live: array<u32>;                 // (1)
@group(0) @binding(4) var<storage, read_write> part: array<f32>;           // (blocks, N·K + N)

// Each lane loads OUTPUTS / LANES of a row's values of a row, at least one.
const LOADS: u32 = (OUTPUTS + LANES - 1u) / LANES;

@compute @workgroup_size(LANES * SUBGROUPS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let k_tiles = (params.inner + 4u * LANES - 1u) / (4u * LANES);
    let n_tiles = (params.columns + OUTPUTS - 1u) / OUTPUTS;
    let tile = grid_index(group, groups) * SUBGROUPS + local / LANES;
    let block = tile / (k_tiles * n_tiles);
    if (block >= params.blocks) { return; }
    let first_n = (tile / k_tiles) % n_tiles * OUTPUTS;
    let k = (tile % k_tiles) * 4u * LANES + 4u * lane;
    let inner4 = params.inner / 4u;
    let k4 = min(k / 4u, inner4 - 1u);
    let items = max(live[0], params.first_item) - params.first_item;
    let rows = min(params.rows, items * params.rows_per_item);
    let first_row = block * params.block_rows;
    let end_row = min(first_row + params.block_rows, rows);

    var sum: array<vec4<f32>, OUTPUTS>;
    for (var i = 0u; i < OUTPUTS; i++) { sum[i] = vec4(0.0); }
    var column_sum: array<f32, LOADS>;
    var n: array<u32, LOADS>;
    for (var l = 0u; l < LOADS; l++) {
        column_sum[l] = 0.0;
        n[l] = min(first_n + l * LANES + lane % OUTPUTS, params.columns - 1u);
    }
    for (var row = first_row; row < end_row; row++) {
        let b = x[row * inner4 + k4];
        var a: array<f32, LOADS>;
        for (var l = 0u; l < LOADS; l++) {
            a[l] = d_y[row * params.columns + n[l]];
            column_sum[l] += a[l];
        }
        for (var i = 0u; i < OUTPUTS; i++) {
            sum[i] = fma(vec4(subgroupShuffle(a[i / LANES], i % LANES)), b, sum[i]);
        }
    }

    let start = block * (params.inner + 1u) * params.columns;
    if (k < params.inner) {
        for (var i = 0u; i < OUTPUTS; i++) {
            if (first_n + i < params.columns) {
                let at = start + (first_n + i) * params.inner + k;
                part[at] = sum[i].x;
                part[at + 1u] = sum[i].y;
                part[at + 2u] = sum[i].z;
                part[at + 3u] = sum[i].w;
            }
        }
    }
    if (tile % k_tiles == 0u && lane < OUTPUTS) {
        for (var l = 0u; l < LOADS; l++) {
            let column = first_n + l * LANES + lane;
            if (column < params.columns) { part[start + params.inner * params.columns + column] = column_sum[l]; }
        }
    }
}
