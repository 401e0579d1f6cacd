// Rows of a table, selected by an index.
//
//   y[r, c] = x[index[r], c]        words of any type
//
// grid   ⌈rows · C / 64⌉ workgroups
// reads  x (R, C) · index (rows)
// makes  y (rows, C)
#import grid
struct Params { rows: u32, width: u32, table_rows: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;                    // (R, C)
@group(0) @binding(2) var<storage, read> index: array<u32>;                // (rows)
@group(0) @binding(3) var<storage, read_write> y: array<u32>;              // (rows, C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    let row = at / params.width;
    if (row >= params.rows) { return; }
    y[at] = x[min(index[row], params.table_rows - 1u) * params.width + at % params.width];
}
