// Gradient of layer normalization with respect to its scale and shift, as partial sums of blocks of rows.
//
//   part[s, c] = Σ_{r in block s} d_y[r, c] · x̂[r, c]        part[s, C + c] = Σ_{r in block s} d_y[r, c]
//   x̂[r, c] = (x[r, c] − mean_r) · rstd_r
//
// An invocation owns a column of one block and iterates over its rows in order. linear_gradient_sum adds the blocks in
// a fixed order.
//
// grid   blocks · C invocations, 64 to a workgroup
// reads  x (rows, C) · stats (rows, 2) · d_y (rows, C) · live (1): only rows below live[0]·rows_per_item count
// makes  part (blocks, 2C)
#import grid

struct Params { rows: u32, width: u32, blocks: u32, block_rows: u32, first_item: u32, rows_per_item: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;                    // (rows, C)
@group(0) @binding(2) var<storage, read> stats: array<vec2<f32>>;          // (rows): mean, rstd
@group(0) @binding(3) var<storage, read> d_y: array<f32>;                  // (rows, C)
@group(0) @binding(4) var<storage, read> live: array<u32>;                 // (1)
@group(0) @binding(5) var<storage, read_write> part: array<f32>;           // (blocks, 2C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    let block = index / params.width;
    if (block >= params.blocks) { return; }
    let column = index % params.width;
    let items = max(live[0], params.first_item) - params.first_item;
    let rows = min(params.rows, items * params.rows_per_item);
    let first_row = block * params.block_rows;
    let end_row = min(first_row + params.block_rows, rows);
    var scale = 0.0;
    var shift = 0.0;
    for (var row = first_row; row < end_row; row++) {
        let at = row * params.width + column;
        let row_stats = stats[row];
        let slope = d_y[at];
        scale = fma(slope, (x[at] - row_stats.x) * row_stats.y, scale);
        shift += slope;
    }
    part[2u * block * params.width + column] = scale;
    part[(2u * block + 1u) * params.width + column] = shift;
}
