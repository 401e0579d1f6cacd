// Sum of the slices of feed_forward_slices, in order, with bias and residual.
//
//   y[r] = residual[r] + b2 + Σ_s part[s, r]
//
// grid   rows · C / 4 invocations, 64 to a workgroup
// reads  part (slices, rows, C) · residual (rows, C) · bias2 (C)
// makes  y (rows, C)
// C is a multiple of 4.
#import grid

struct Params { rows: u32, width4: u32, slices: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> part: array<vec4<f32>>;          // (slices, rows, C)
@group(0) @binding(2) var<storage, read> residual: array<vec4<f32>>;      // (rows, C)
@group(0) @binding(3) var<storage, read> bias2: array<vec4<f32>>;         // (C)
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;       // (rows, C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    let stride = params.rows * params.width4;
    if (at >= stride) { return; }
    var sum = residual[at] + bias2[at % params.width4];
    var source = at;
    for (var s = 0u; s < params.slices; s++) {
        sum += part[source];
        source += stride;
    }
    y[at] = sum;
}
