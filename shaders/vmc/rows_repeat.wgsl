// Rows of samples or of positions, repeated for every patch of every sample.
//
//   y[b·T + t, c] = x[b, c]        or x[t, c] with BY_POSITION = 1
//
// grid   ⌈rows · C / 64⌉ workgroups
// reads  x (B, C) or (T, C)
// makes  y (rows, C)
#import grid
#import weight
const BY_POSITION: u32 = 0u; // spec 1
struct Params { rows: u32, width: u32, patches: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Weight>;                 // (B, C) or (T, C)
@group(0) @binding(2) var<storage, read_write> y: array<f32>;              // (rows, C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    let row = index / params.width;
    if (row >= params.rows) { return; }
    let source = select(row / params.patches, row % params.patches, BY_POSITION == 1u);
    y[index] = f32(x[source * params.width + index % params.width]);
}
