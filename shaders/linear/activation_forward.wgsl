// Activation of rows that a product stored without it, because the backward pass needs its slope.
//
//   y[r, n] = act(x[r, n])
//
// grid   rows · N / 4 invocations, 64 to a workgroup
// reads  x (rows, N)
// makes  y (rows, N)
// N is a multiple of 4.
#import grid
#import tanh
#import activation
struct Params { rows: u32, width: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;              // (rows, N)
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;        // (rows, N)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = grid_index(group, groups) * 64u + local;
    if (i >= params.rows * (params.width / 4u)) { return; }
    y[i] = activation_value4(x[i]);
}
