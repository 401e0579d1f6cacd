// Gradient of a weight and its bias over a batch of rows, as partial sums of blocks of rows: scalar variant, for any
// shape and for adapters without subgroups.
//
//   part[s, n, k] = Σ_{r in block s} d_y[r, n] · x[r, k]        part[s, N·K + n] = Σ_{r in block s} d_y[r, n]
//
// An invocation owns 4 outputs n × 4 inputs k of one block of rows.
//
// grid   blocks · ⌈N / 4⌉ · ⌈K / 4⌉ invocations, 64 to a workgroup
// reads  d_y (rows, N) · x (rows, K) · live (1): only rows below live[0]·rows_per_item count
// makes  part (blocks, N·K + N)
#import grid

struct Params { rows: u32, inner: u32, columns: u32, blocks: u32, block_rows: u32, first_item: u32, rows_per_item: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;                    // (rows, K)
@group(0) @binding(2) var<storage, read> d_y: array<f32>;                  // (rows, N)
@group(0) @binding(3) var<storage, read> live: array<u32>;                 // (1)
@group(0) @binding(4) var<storage, read_write> part: array<f32>;           // (blocks, N·K + N)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let k_tiles = (params.inner + 3u) / 4u;
    let n_tiles = (params.columns + 3u) / 4u;
    let tile = grid_index(group, groups) * 64u + local;
    let block = tile / (k_tiles * n_tiles);
    if (block >= params.blocks) { return; }
    let first_n = (tile / k_tiles) % n_tiles * 4u;
    let first_k = tile % k_tiles * 4u;
    // Past the edge, the last column is recomputed and not stored.
    let k = min(vec4(first_k) + vec4(0u, 1u, 2u, 3u), vec4(params.inner - 1u));
    let n = min(vec4(first_n) + vec4(0u, 1u, 2u, 3u), vec4(params.columns - 1u));
    let items = max(live[0], params.first_item) - params.first_item;
    let rows = min(params.rows, items * params.rows_per_item);
    let first_row = block * params.block_rows;
    let end_row = min(first_row + params.block_rows, rows);

    var sum: array<vec4<f32>, 4>;
    for (var i = 0u; i < 4u; i++) { sum[i] = vec4(0.0); }
    var column_sum = vec4(0.0);
    for (var row = first_row; row < end_row; row++) {
        let at = vec4(row * params.inner) + k;
        let from_x = vec4(x[at.x], x[at.y], x[at.z], x[at.w]);
        let y_at = vec4(row * params.columns) + n;
        let from_y = vec4(d_y[y_at.x], d_y[y_at.y], d_y[y_at.z], d_y[y_at.w]);
        column_sum += from_y;
        for (var i = 0u; i < 4u; i++) { sum[i] = fma(vec4(from_y[i]), from_x, sum[i]); }
    }

    let start = block * (params.inner + 1u) * params.columns;
    for (var i = 0u; i < 4u; i++) {
        if (first_n + i < params.columns) {
            for (var j = 0u; j < 4u; j++) {
                if (first_k + j < params.inner) {
                    part[start + (first_n + i) * params.inner + first_k + j] = sum[i][j];
                }
            }
            if (first_k == 0u) { part[start + params.inner * params.columns + first_n + i] = column_sum[i]; }
        }
    }
}
