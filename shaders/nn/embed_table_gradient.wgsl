// Gradient of a table that is added to embedded rows by position, as partial sums of blocks of rows that
// linear_gradient_sum adds.
//
//   part[s, t, c] = Σ_{r in block s at position t} d_x[r, c]        row r is at position r mod T
//
// grid   blocks · table · C invocations, 64 to a workgroup; positions 0 to table − 1 have a row in the table
// reads  d_x (rows, C) · live (1)
// makes  part (blocks, table, C)
#import grid
struct Params {
    rows: u32, width: u32, blocks: u32, block_rows: u32, first_item: u32, rows_per_item: u32, patches: u32, table: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_x: array<f32>;                  // (rows, C)
@group(0) @binding(2) var<storage, read> live: array<u32>;                 // (1)
@group(0) @binding(3) var<storage, read_write> part: array<f32>;           // (blocks, table, C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = grid_index(group, groups) * 64u + local;
    let block = i / params.width / params.table;
    if (block >= params.blocks) { return; }
    let c = i % params.width;
    let t = i / params.width % params.table;
    let items = max(live[0], params.first_item) - params.first_item;
    let end = min(params.rows, items * params.rows_per_item);
    let first_row = block * params.block_rows;
    var sum = 0.0;
    let first = first_row + (t + params.patches - first_row % params.patches) % params.patches;
    for (var row = first; row < min(first_row + params.block_rows, end); row += params.patches) {
        sum += d_x[row * params.width + c];
    }
    part[i] = sum;
}
