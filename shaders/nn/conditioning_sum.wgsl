// Gradient of the conditioning of a large patch: the sum of the gradients of its sub-patches.
//
//   d_conditioning[r, c] = Σ_{s < S} d_x[r·S + s, c]
//
// grid   ⌈rows · C/4 / 64⌉ workgroups
// reads  d_x (rows·S, C)
// makes  d_conditioning (rows, C)
// C is a multiple of 4.
#import grid
struct Params { rows: u32, width4: u32, sub_patches: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_x: array<vec4<f32>>;            // (rows·S, C)
@group(0) @binding(2) var<storage, read_write> d_conditioning: array<vec4<f32>>; // (rows, C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    let row = index / params.width4;
    if (row >= params.rows) { return; }
    let column = index % params.width4;
    var sum = vec4(0.0);
    for (var s = 0u; s < params.sub_patches; s++) {
        sum += d_x[(row * params.sub_patches + s) * params.width4 + column];
    }
    d_conditioning[index] = sum;
}
