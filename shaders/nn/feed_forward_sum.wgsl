// Sum of the slices of feed_forward_slices, in order, with bias and residual.
//
//   y[r] = residual[r] + b2 + Σ_s part[s, r]
//
// grid   rows · C / 4 invocations, 64 to a workgroup
// reads  part (slices, rows, C) · residual (rows, C) · bias2 (C)
// makes  y (rows, C)
// C is a multiple of 4.
#import grid
#import slice_sum
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;       // (rows, C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    if (at >= params.rows * params.width4) { return; }
    y[at] = slice_sum(at, at % params.width4);
}
