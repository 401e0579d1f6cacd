// A range of columns of each row, packed into contiguous rows.
//
//   y[r, c] = x[r, first + c]        c < width
//
// grid   ⌈rows · width / 64⌉ workgroups
// reads  x (rows, stride)
// makes  y (rows, width)
#import grid
struct Params { rows: u32, width: u32, first: u32, stride: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;                // (rows, stride)
@group(0) @binding(2) var<storage, read_write> y: array<f32>;          // (rows, width)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = grid_index(group, groups) * 64u + local;
    let row = i / params.width;
    if (row >= params.rows) { return; }
    y[i] = x[row * params.stride + params.first + i % params.width];
}
